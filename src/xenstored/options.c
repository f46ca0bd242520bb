/* SPDX-License-Identifier: MIT */
/*
 * Command line. Invariant: a bad value is named together with its option, and nothing is started.
 */
#include "xenstored/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "keeper/seat.h"
#include "perm/perm.h"

#define EVENT_TIMEOUT_DEFAULT_MS 20000u

enum long_option {
	OPT_HV = 256,
	OPT_PRIV_DOMID,
	OPT_TRACE_CONTROL,
	OPT_VERSION,
	OPT_CHECK,
	OPT_BACK,
	OPT_OCAML_RESTART,
	OPT_OCAML_IGNORED,
	OPT_NO_JOURNAL,
	OPT_DISCARD_STATE,
	OPT_NO_SANDBOX,
	OPT_CANDIDATE,
	OPT_KEEPER_STATE,
};

static const struct option long_options[] = {
	{ "no-domain-init", no_argument, NULL, 'D' },
	{ "pid-file", required_argument, NULL, 'F' },
	{ "help", no_argument, NULL, 'H' },
	{ "no-fork", no_argument, NULL, 'N' },
	{ "output-pid", no_argument, NULL, 'P' },
	{ "trace-file", required_argument, NULL, 'T' },
	{ "trace-control", required_argument, NULL, OPT_TRACE_CONTROL },
	{ "entry-nb", required_argument, NULL, 'E' },
	{ "entry-size", required_argument, NULL, 'S' },
	{ "watch-nb", required_argument, NULL, 'W' },
	{ "transaction", required_argument, NULL, 't' },
	{ "perm-nb", required_argument, NULL, 'A' },
	{ "path-max", required_argument, NULL, 'M' },
	{ "quota", required_argument, NULL, 'Q' },
	{ "quota-soft", required_argument, NULL, 'q' },
	{ "timeout", required_argument, NULL, 'w' },
	{ "no-recovery", no_argument, NULL, 'R' },
	{ "internal-db", optional_argument, NULL, 'I' },
	{ "keep-orphans", no_argument, NULL, 'K' },
	{ "master-domid", required_argument, NULL, 'm' },
	{ "priv-domid", required_argument, NULL, OPT_PRIV_DOMID },
	{ "event", required_argument, NULL, 'e' },
	{ "verbose", no_argument, NULL, 'V' },
	{ "live-update", no_argument, NULL, 'U' },
	{ "hv", required_argument, NULL, OPT_HV },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "no-journal", no_argument, NULL, OPT_NO_JOURNAL },
	{ "discard-state", no_argument, NULL, OPT_DISCARD_STATE },
	{ "no-sandbox", no_argument, NULL, OPT_NO_SANDBOX },
	{ "back", required_argument, NULL, OPT_BACK },
	/* oxenstored's own, which it puts before those that it was told */
	{ "restart", no_argument, NULL, OPT_OCAML_RESTART },
	{ "live", no_argument, NULL, OPT_OCAML_IGNORED },
	{ "no-access-log", no_argument, NULL, OPT_OCAML_IGNORED },
	{ "reraise-top-level", no_argument, NULL, OPT_OCAML_IGNORED },
	{ "config-file", required_argument, NULL, OPT_OCAML_IGNORED },
	/* between versions of this program, at a live update */
	{ "candidate", required_argument, NULL, OPT_CANDIDATE },
	{ "keeper-state", required_argument, NULL, OPT_KEEPER_STATE },
	{ 0 },
};

void options_usage(const char *program)
{
	printf("Usage: %s [options]\n\n"
	       "  -N, --no-fork             stay in the foreground, log to stderr\n"
	       "  -F, --pid-file FILE       write the daemon's pid there\n"
	       "  -P, --output-pid          print the daemon's pid\n"
	       "      --hv=auto|xen|sim[:DIR]  the hypervisor (default auto)\n"
	       "  -D, --no-domain-init      leave domain 0's ring alone: sockets only\n"
	       "  -T, --trace-file FILE     write each message in and out there\n"
	       "      --trace-control WORD  +io or -io: messages in the trace file or not\n"
	       "  -E, --entry-nb N          nodes per domain\n"
	       "  -S, --entry-size N        octets per node\n"
	       "  -W, --watch-nb N          watches per domain\n"
	       "  -t, --transaction N       transactions per domain\n"
	       "  -A, --perm-nb N           permissions per node\n"
	       "  -M, --path-max N          octets of a node's path\n"
	       "  -Q, --quota WHAT=N        any quota by name, 0 for none:\n",
	       program);
	for (enum quota_id q = 0; q < QUOTA_COUNT; q++)
		printf("                              %s\n", quota_name(q));
	printf("  -q, --quota-soft WHAT=N   warn above: memory\n"
	       "  -w, --timeout WHAT=SECONDS  watch-event: drop a guest's events left unread\n"
	       "  -K, --keep-orphans        keep nodes of domains that are gone (a risk)\n"
	       "  -m, --master-domid N, --priv-domid N  a domain as privileged as domain 0\n"
	       "  -e, --event PORT          domain 0's event channel port\n"
	       "      --discard-state       start empty, whatever an earlier daemon left\n"
	       "      --no-journal          nothing outlives the process that serves\n"
	       "      --no-sandbox          that process keeps its privileges (for debuggers)\n"
	       "  -V, --verbose             log more\n"
	       "  -R, --no-recovery; -I, --internal-db [on|off]  understood, without effect: the\n"
	       "                            store is in memory\n"
	       "  -H, --help                this text\n"
	       "      --back=FILE           with -U: the program that was here before, to go on\n"
	       "                            where this one cannot take over\n"
	       "      --more=WORDS          further options, in one\n"
	       "      --restart             as -U, from oxenstored, whose options are understood\n"
	       "      --version\n"
	       "      --check               whether this host can be served; changes nothing\n\n"
	       "XENSTORED_PATH names the socket, XENSTORED_RUNDIR its directory\n"
	       "(default /run/xenstored). See drover-xenstored(8).\n\n" SEAT_VERSIONS "\n");
}

static int number(const char *option, const char *str, uint64_t max, uint64_t *ret)
{
	unsigned long long v;
	char *end;

	errno = 0;
	v = strtoull(str, &end, 10);
	if (!*str || *str == '-' || *end || errno || v > max) {
		fprintf(stderr, "drover-xenstored: %s: invalid parameter value \"%s\"\n", option,
			str);
		return EINVAL;
	}
	*ret = v;
	return 0;
}

/* WHAT=N */
static int split(const char *option, const char *str, size_t *ret_name_len, const char **ret_value)
{
	const char *eq = strchr(str, '=');

	if (!eq || eq == str || !eq[1]) {
		fprintf(stderr, "drover-xenstored: %s: \"%s\" is not <what>=<nb>\n", option, str);
		return EINVAL;
	}
	*ret_name_len = (size_t)(eq - str);
	*ret_value = eq + 1;
	return 0;
}

static int set_quota(struct options *o, const char *option, const char *str, bool soft)
{
	const char *value;
	enum quota_id q;
	size_t len;
	int r;

	r = split(option, str, &len, &value);
	if (r)
		return r;
	if (quota_find(str, len, &q) || (soft && q != QUOTA_MEMORY)) {
		fprintf(stderr, "drover-xenstored: %s: unknown quota \"%s\"\n", option, str);
		return EINVAL;
	}
	return number(option, value, UINT32_MAX,
		      soft ? &o->policy.limits.soft[q] : &o->policy.limits.hard[q]);
}

static int set_timeout(struct options *o, const char *str)
{
	const char *value;
	uint64_t seconds;
	size_t len;
	int r;

	r = split("-w", str, &len, &value);
	if (r)
		return r;
	if (len != strlen("watch-event") || memcmp(str, "watch-event", len)) {
		fprintf(stderr, "drover-xenstored: -w: unknown timeout \"%s\"\n", str);
		return EINVAL;
	}
	r = number("-w", value, UINT32_MAX, &seconds);
	if (!r)
		o->event_timeout_ms = seconds * 1000;
	return r;
}

static int set_hv(struct options *o, const char *str)
{
	if (!strcmp(str, "auto")) {
		o->hv = HV_AUTO;
	} else if (!strcmp(str, "xen")) {
		o->hv = HV_XEN;
	} else if (!strcmp(str, "sim")) {
		o->hv = HV_SIM;
	} else if (!strncmp(str, "sim:", 4) && str[4]) {
		o->hv = HV_SIM;
		o->sim_dir = str + 4;
	} else {
		fprintf(stderr, "drover-xenstored: --hv: \"%s\" is not auto, xen or sim[:DIR]\n",
			str);
		return EINVAL;
	}
	return 0;
}

static int set_domid(struct options *o, const char *option, const char *str)
{
	uint64_t v;
	int r = number(option, str, UINT16_MAX, &v);

	if (!r)
		o->priv_domid = (uint32_t)v;
	return r;
}

static int set_trace_control(struct options *o, const char *str)
{
	if (!strcmp(str, "+io") || !strcmp(str, "io") || !strcmp(str, "all")) {
		o->trace_io = true;
	} else if (!strcmp(str, "-io") || !strcmp(str, "none")) {
		o->trace_io = false;
	} else {
		fprintf(stderr, "drover-xenstored: --trace-control: \"%s\" is not +io or -io\n",
			str);
		return EINVAL;
	}
	return 0;
}

static int set_event(struct options *o, const char *str)
{
	uint64_t v;
	int r = number("-e", str, UINT32_MAX, &v);

	if (!r)
		o->event_port = (uint32_t)v;
	return r;
}

/* -E and the like: a quota of its own letter. */
static int set_letter(struct options *o, int c, const char *str)
{
	static const struct {
		int letter;
		const char *option;
		enum quota_id q;
	} letters[] = {
		{ 'E', "-E", QUOTA_NODES },
		{ 'S', "-S", QUOTA_NODE_SIZE },
		{ 'W', "-W", QUOTA_WATCHES },
		{ 't', "-t", QUOTA_TRANSACTIONS },
		{ 'A', "-A", QUOTA_NODE_PERMISSIONS },
		{ 'M', "-M", QUOTA_PATH_MAX },
	};

	for (size_t i = 0; i < ARRAY_LEN(letters); i++)
		if (letters[i].letter == c)
			return number(letters[i].option, str, UINT32_MAX,
				      &o->policy.limits.hard[letters[i].q]);
	return EINVAL; /* getopt has said what it did not know */
}

/* Options without a value. False: not one of them. */
static bool set_flag(struct options *o, int c)
{
	switch (c) {
	case 'D':
		o->no_domain_init = true;
		return true;
	case 'H':
		o->help = true;
		return true;
	case 'K':
		o->keep_orphans = true;
		return true;
	case 'N':
		o->no_fork = true;
		return true;
	case 'P':
		o->output_pid = true;
		return true;
	case 'V':
		o->verbose = true;
		return true;
	case OPT_VERSION:
		o->version = true;
		return true;
	case OPT_CHECK:
		o->check = true;
		return true;
	case OPT_NO_JOURNAL:
		o->no_journal = true;
		return true;
	case 'U':
		o->adopt = true;
		return true;
	case OPT_DISCARD_STATE:
		o->discard_state = true;
		return true;
	case OPT_NO_SANDBOX:
		o->no_sandbox = true;
		return true;
	case OPT_OCAML_RESTART:
		o->adopt_ocaml = true;
		return true;
	case OPT_OCAML_IGNORED: /* ours has no such log and file */
	case 'R':		/* of a store on disk; ours is in memory */
	case 'I':
		return true;
	default:
		return false;
	}
}

static int set_fd(const char *option, const char *str, int *ret)
{
	uint64_t v;
	int r = number(option, str, INT32_MAX, &v);

	if (!r)
		*ret = (int)v;
	return r;
}

static int set_value(struct options *o, int c, const char *str)
{
	switch (c) {
	case 'F':
		o->pid_file = str;
		return 0;
	case 'T':
		o->trace_file = str;
		return 0;
	case 'Q':
		return set_quota(o, "-Q", str, false);
	case 'q':
		return set_quota(o, "-q", str, true);
	case 'w':
		return set_timeout(o, str);
	case 'm':
		return set_domid(o, "-m", str);
	case 'e':
		return set_event(o, str);
	case OPT_PRIV_DOMID:
		return set_domid(o, "--priv-domid", str);
	case OPT_CANDIDATE:
		return set_fd("--candidate", str, &o->candidate_fd);
	case OPT_KEEPER_STATE:
		return set_fd("--keeper-state", str, &o->keeper_state_fd);
	case OPT_TRACE_CONTROL:
		return set_trace_control(o, str);
	case OPT_HV:
		return set_hv(o, str);
	case OPT_BACK:
		o->back = str;
		return 0;
	default:
		return set_letter(o, c, str);
	}
}

int options_parse(struct options *ret, int argc, char **argv)
{
	int c, r;

	memset(ret, 0, sizeof(*ret));
	ret->priv_domid = PERM_NO_DOMID;
	ret->event_timeout_ms = EVENT_TIMEOUT_DEFAULT_MS;
	ret->trace_io = true;
	ret->candidate_fd = ret->keeper_state_fd = -1;
	quota_policy_init(&ret->policy);
	while ((c = getopt_long(argc, argv, "DF:HKNPT:E:S:W:t:A:M:Q:q:w:RI::m:e:VU", long_options,
				NULL)) != -1) {
		if (set_flag(ret, c))
			continue;
		r = set_value(ret, c, optarg);
		if (r)
			return r;
	}
	if (optind != argc) {
		fprintf(stderr, "drover-xenstored: no arguments desired, got \"%s\"\n",
			argv[optind]);
		return EINVAL;
	}
	return 0;
}
