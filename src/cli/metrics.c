/* SPDX-License-Identifier: MIT */
/*
 * `drover metrics`. Invariant: all samples of a family follow its HELP and TYPE lines, and no
 * others do; "# EOF" is the last line, so that a cut file is seen to be one.
 */
#include "cli/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/xs_client.h"

struct family {
	const char *name; /* of a counter: without _total, which its samples have */
	const char *help;
	bool counter;
	size_t offset;
};

#define DOMAIN(f) offsetof(struct cli_domain_stats, f)
static const struct family domain_families[] = {
	{ "drover_domain_introduced", "1: the domain is introduced.", false, DOMAIN(introduced) },
	{ "drover_domain_nodes", "Nodes that the domain owns.", false, DOMAIN(nodes) },
	{ "drover_domain_memory_bytes", "Octets of memory charged to the domain.", false,
	  DOMAIN(memory) },
	{ "drover_domain_watches", "Watches that the domain has set.", false, DOMAIN(watches) },
	{ "drover_domain_transactions", "Transactions that the domain has open.", false,
	  DOMAIN(transactions) },
	{ "drover_domain_queued_events", "Watch events that the domain has not read.", false,
	  DOMAIN(events) },
	{ "drover_domain_queued_bytes", "Octets of replies and events not read.", false,
	  DOMAIN(queued) },
	{ "drover_domain_outstanding_replies", "Replies that the domain has not read.", false,
	  DOMAIN(outstanding) },
	{ "drover_domain_requests", "Requests served for the domain.", true, DOMAIN(requests) },
	{ "drover_domain_conflicts", "Transactions of the domain that ended in EAGAIN.", true,
	  DOMAIN(conflicts) },
};

#define DAEMON(f) offsetof(struct cli_daemon_stats, f)
static const struct family daemon_families[] = {
	{ "drover_nodes", "Nodes in the store.", false, DAEMON(nodes) },
	{ "drover_watches", "Watches set by anybody.", false, DAEMON(watches) },
	{ "drover_connections", "Sockets and rings that are open.", false, DAEMON(connections) },
	{ "drover_transactions", "Transactions open.", false, DAEMON(transactions) },
	{ "drover_domains", "Domains that the daemon knows.", false, DAEMON(domains) },
	{ "drover_rounds", "Turns of the daemon's loop.", true, DAEMON(rounds) },
	{ "drover_requests", "Requests served for anybody.", true, DAEMON(requests) },
};

static void print_head(FILE *to, const char *name, const char *help, bool counter)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
		counter ? "counter" : "gauge");
}

static uint64_t field(const void *record, size_t offset)
{
	uint64_t v;

	memcpy(&v, (const char *)record + offset, sizeof(v));
	return v;
}

static void print_daemon(FILE *to, const struct cli_daemon_stats *d)
{
	for (size_t i = 0; i < ARRAY_LEN(daemon_families); i++) {
		const struct family *f = &daemon_families[i];

		print_head(to, f->name, f->help, f->counter);
		fprintf(to, "%s%s %" PRIu64 "\n", f->name, f->counter ? "_total" : "",
			field(d, f->offset));
	}
	print_head(to, "drover_uptime_seconds", "Time since the daemon started.", false);
	fprintf(to, "drover_uptime_seconds %" PRIu64 ".%03u\n", d->uptime_ms / 1000,
		(unsigned int)(d->uptime_ms % 1000));
}

static void print_domains(FILE *to, const struct cli_stats *s)
{
	for (size_t i = 0; i < ARRAY_LEN(domain_families); i++) {
		const struct family *f = &domain_families[i];

		print_head(to, f->name, f->help, f->counter);
		for (size_t k = 0; k < s->n_domains; k++)
			fprintf(to, "%s%s{domain=\"%u\"} %" PRIu64 "\n", f->name,
				f->counter ? "_total" : "", s->domain[k].domid,
				field(&s->domain[k], f->offset));
	}
}

static void print_limits(FILE *to, const struct cli_stats *s)
{
	print_head(to, "drover_domain_limit", "What the domain is allowed at most; 0: no limit.",
		   false);
	for (size_t k = 0; k < s->n_domains; k++) {
		if (!s->domain[k].domid)
			continue; /* the control domain's use is counted, not limited */
		for (enum cli_limit i = 0; i < CLI_LIMIT_COUNT; i++)
			fprintf(to, "drover_domain_limit{domain=\"%u\",kind=\"%s\"} %" PRIu64 "\n",
				s->domain[k].domid, cli_limit_name(i), s->domain[k].limit[i]);
	}
}

static void print_refusals(FILE *to, const struct cli_stats *s)
{
	print_head(to, "drover_domain_refusals",
		   "What the domain was refused, by the quota or fault behind it.", true);
	for (size_t k = 0; k < s->n_domains; k++)
		for (size_t i = 0; i < s->n_kinds; i++)
			fprintf(to,
				"drover_domain_refusals_total{domain=\"%u\",kind=\"%s\"} %" PRIu64
				"\n",
				s->domain[k].domid, s->kind[i], s->domain[k].refused[i]);
}

void cli_metrics_print(FILE *to, const struct cli_stats *s)
{
	print_daemon(to, &s->daemon);
	print_domains(to, s);
	print_limits(to, s);
	print_refusals(to, s);
	fputs("# EOF\n", to);
}

/* Whole or not at all: written beside path, then renamed over it. 0 or an errno. */
static int metrics_write(const char *path, const struct cli_stats *s)
{
	char *beside;
	FILE *to = NULL;
	int fd, r = 0;

	/* A name that textfile collectors pass over, since it does not end in .prom. */
	if (asprintf(&beside, "%s.XXXXXX", path) < 0)
		beside = cli_must(NULL);
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd >= 0)
		to = fdopen(fd, "w");
	if (!to) {
		r = errno;
	} else {
		cli_metrics_print(to, s);
		if (fchmod(fd, 0644) || fflush(to) || ferror(to))
			r = errno ? errno : EIO;
		if (fclose(to) && !r)
			r = errno;
		if (!r && rename(beside, path))
			r = errno;
	}
	if (r && fd >= 0)
		unlink(beside);
	free(beside);
	return r;
}

int cli_metrics(int argc, char **argv)
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	const char *output = NULL;
	struct xs_handle *xs;
	struct cli_stats s;
	int c, r, status;

	while ((c = cli_getopt(argc, argv, "o:s:h", options, &status)) != -1) {
		if (c == '?')
			return status;
		output = optarg;
	}
	if (optind < argc)
		return cli_usage("metrics", "'%s' is not expected", argv[optind]);
	xs = cli_open("metrics");
	if (!xs)
		return CLI_FAILED;
	cli_stats_init(&s);
	r = cli_stats_read(xs, &s);
	xs_close(xs);
	status = CLI_OK;
	if (r) {
		status = cli_stats_fail("metrics", r);
	} else if (output) {
		r = metrics_write(output, &s);
		if (r) {
			fprintf(stderr, "drover: metrics: %s: %s\n", output, strerror(r));
			status = CLI_FAILED;
		}
	} else {
		cli_metrics_print(stdout, &s);
	}
	cli_stats_fini(&s);
	return status;
}
