/* SPDX-License-Identifier: MIT */
/*
 * `drover stat`: all about one node, or about the daemon. Invariant: what could not be learned is
 * left out or said to be unknown; nothing is made up for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/sim_client.h"
#include "cli/stats.h"
#include "cli/text.h"
#include "cli/xs_client.h"

/* A node's generation opens the answer to DIRECTORY_PART, which libxenstore keeps to itself. */
static int print_generation(const char *path)
{
	char payload[XENSTORE_ABS_PATH_MAX + 3];
	struct sim_client *c;
	struct sim_reply reply;
	size_t len = strlen(path) + 1;
	int r;

	if (len > XENSTORE_ABS_PATH_MAX || sim_client_connect(cli_socket_path(), &c))
		return EINVAL;
	memcpy(payload, path, len);
	memcpy(payload + len, "0", 2);
	r = sim_client_call(c, XS_DIRECTORY_PART, 0, payload, len + 2, &reply);
	sim_client_free(c);
	if (!r)
		printf("generation   %s\n", reply.octets);
	return r;
}

static void print_perms(const struct xs_permissions *perms, unsigned int n)
{
	char *text = cli_text_perms(perms, n);

	printf("owner        domain %u\n", perms[0].id);
	printf("permissions  %s\n", text);
	free(text);
	printf("             domain %u: reads and writes, owns it\n", perms[0].id);
	for (unsigned int i = 1; i < n; i++)
		printf("             domain %u: %s\n", perms[i].id,
		       cli_text_perm_words(perms[i].perms));
	printf("             any other: %s\n", cli_text_perm_words(perms[0].perms));
}

static int stat_node(struct xs_handle *xs, const char *path)
{
	struct xs_permissions *perms;
	unsigned int n_perms, n;
	char **names;
	void *value;

	perms = xs_get_permissions(xs, XBT_NULL, path, &n_perms);
	if (!perms)
		return errno;
	printf("path         %s\n", path);
	print_perms(perms, n_perms);
	free(perms);
	value = xs_read(xs, XBT_NULL, path, &n);
	if (value)
		printf("value        %u octets\n", n);
	else
		printf("value        unknown: %s\n", strerrorname_np(errno));
	free(value);
	names = xs_directory(xs, XBT_NULL, path, &n);
	if (names)
		printf("children     %u\n", n);
	else
		printf("children     unknown: %s\n", strerrorname_np(errno));
	free(names);
	print_generation(path); /* not every daemon tells it */
	return 0;
}

static int stat_daemon(struct xs_handle *xs)
{
	struct cli_stats s;
	int r;

	cli_stats_init(&s);
	r = cli_stats_read(xs, &s);
	if (!r)
		printf("socket        %s\n"
		       "uptime        %" PRIu64 " s\n"
		       "domains       %" PRIu64 "\n"
		       "connections   %" PRIu64 "\n"
		       "nodes         %" PRIu64 "\n"
		       "watches       %" PRIu64 "\n"
		       "transactions  %" PRIu64 "\n"
		       "requests      %" PRIu64 "\n"
		       "rounds        %" PRIu64 "\n",
		       cli_socket_path(), s.daemon.uptime_ms / 1000, s.daemon.domains,
		       s.daemon.connections, s.daemon.nodes, s.daemon.watches,
		       s.daemon.transactions, s.daemon.requests, s.daemon.rounds);
	cli_stats_fini(&s);
	return r ? cli_stats_fail("stat", r) : CLI_OK;
}

int cli_stat(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct xs_handle *xs;
	int status;

	if (cli_getopt(argc, argv, "s:h", options, &status) != -1)
		return status;
	xs = cli_open("stat");
	if (!xs)
		return CLI_FAILED;
	if (optind == argc) {
		status = stat_daemon(xs);
	} else {
		status = CLI_OK;
		for (int i = optind; i < argc; i++) {
			int r = stat_node(xs, argv[i]);

			if (r)
				status = cli_fail("stat", argv[i], r);
			if (i + 1 < argc)
				putchar('\n');
		}
	}
	xs_close(xs);
	return status;
}
