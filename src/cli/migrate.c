/* SPDX-License-Identifier: MIT */
/*
 * `drover migrate`: a guest from one daemon to another, driven from here. Invariant: what is said
 * at the end, and the exit status, is what the daemons say, not what a phase answered.
 */
#include "cli/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/command.h"
#include "config/client.h"
#include "vmm/def.h"

#define XML_MAX (4u << 20)
#define SETTLE_MS 30000u

enum { OPT_FLAG = 256, OPT_PARAM = 512 };
enum {
	PARAM_BANDWIDTH = OPT_PARAM,
	PARAM_DNAME,
	PARAM_XML,
	PARAM_URI,
	PARAM_TIMEOUT,
	PARAM_DOWNTIME,
	PARAM_SETTLE,
	PARAM_JSON
};

static const struct {
	const char *name;
	uint32_t flag;
} flags[] = {
	{ "live", MIG_LIVE },
	{ "persistent", MIG_PERSIST_DEST },
	{ "undefinesource", MIG_UNDEFINE_SOURCE },
	{ "suspend", MIG_PAUSED },
	{ "offline", MIG_OFFLINE },
	{ "unsafe", MIG_UNSAFE },
	{ "abort-on-error", MIG_ABORT_ON_ERROR },
	{ "auto-converge", MIG_AUTO_CONVERGE },
	{ "compressed", MIG_COMPRESSED },
};

static const struct option params[] = {
	{ "connect", required_argument, NULL, 'c' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "json", no_argument, NULL, PARAM_JSON },
	{ "bandwidth", required_argument, NULL, PARAM_BANDWIDTH },
	{ "dname", required_argument, NULL, PARAM_DNAME },
	{ "xml", required_argument, NULL, PARAM_XML },
	{ "migrateuri", required_argument, NULL, PARAM_URI },
	{ "timeout", required_argument, NULL, PARAM_TIMEOUT },
	{ "downtime", required_argument, NULL, PARAM_DOWNTIME },
	{ "settle", required_argument, NULL, PARAM_SETTLE },
	{ "help", no_argument, NULL, 'h' },
	{ "socket", required_argument, NULL, 's' },
};

/* ---- signals ---- */

static int wake_out = -1;

static void on_signal(int sig)
{
	int saved = errno;
	char c = (char)sig;

	if (write(wake_out, &c, 1) < 0)
		errno = saved; /* the pipe is full of them */
	errno = saved;
}

static int catch_signals(struct move *m)
{
	struct sigaction sa = { .sa_handler = on_signal };
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return errno;
	m->wake_fd = fds[0];
	wake_out = fds[1];
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	return 0;
}

/* ---- the command line ---- */

/* cli_fail speaks of nodes. */
static int xml_fail(const char *path, int err)
{
	fprintf(stderr, "drover: migrate: --xml %s: %s\n", path, strerror(err));
	return CLI_FAILED;
}

static int read_xml(const char *path, char **ret)
{
	FILE *f = strcmp(path, "-") != 0 ? fopen(path, "re") : stdin;
	char *text;
	size_t n;
	int r;

	if (!f)
		return xml_fail(path, errno);
	text = cli_must(malloc(XML_MAX + 1));
	n = fread(text, 1, XML_MAX + 1, f);
	r = ferror(f) ? EIO : n > XML_MAX ? EFBIG : 0;
	if (f != stdin)
		fclose(f);
	if (!r && memchr(text, '\0', n))
		r = EINVAL;
	if (r) {
		free(text);
		return xml_fail(path, r);
	}
	text[n] = '\0';
	*ret = text;
	return 0;
}

static bool take_number(const char *what, const char *word, uint64_t unit, uint32_t *ret)
{
	unsigned long v;

	if (!cli_number("migrate", what, word, UINT32_MAX / unit, &v))
		return false;
	*ret = (uint32_t)(v * unit);
	return true;
}

/* One option: 0, or an exit status. */
static int take_option(struct move_options *o, int c)
{
	unsigned long mib;

	switch (c) {
	case 'c':
		o->connect = optarg;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case PARAM_JSON:
		o->json = true;
		return 0;
	case PARAM_DNAME:
		o->dname = optarg;
		return 0;
	case PARAM_URI:
		o->migrate_uri = optarg;
		return 0;
	case PARAM_XML:
		free(TAKE(o->xml));
		return read_xml(optarg, &o->xml);
	case PARAM_TIMEOUT:
		return take_number("--timeout", optarg, 1000, &o->timeout_ms) ? 0 : CLI_USAGE;
	case PARAM_SETTLE:
		return take_number("--settle", optarg, 1000, &o->settle_ms) ? 0 : CLI_USAGE;
	case PARAM_DOWNTIME:
		return take_number("--downtime", optarg, 1, &o->downtime_ms) ? 0 : CLI_USAGE;
	case PARAM_BANDWIDTH:
		if (!cli_number("migrate", "--bandwidth", optarg, 1u << 30, &mib))
			return CLI_USAGE;
		o->bandwidth_mib = mib;
		return 0;
	default:
		o->flags |= flags[c - OPT_FLAG].flag;
		return 0;
	}
}

static int check_options(const struct move_options *o)
{
	if (o->flags & MIG_OFFLINE && !(o->flags & MIG_PERSIST_DEST))
		return cli_usage("migrate", "--offline needs --persistent");
	if (o->flags & MIG_OFFLINE && o->flags & MIG_LIVE)
		return cli_usage("migrate", "--offline and --live exclude each other");
	if (o->dname && strlen(o->dname) >= DEF_NAME_MAX)
		return cli_usage("migrate", "--dname: a name of more than %u octets",
				 DEF_NAME_MAX - 1);
	return CLI_OK;
}

/* 0: go on; else the command ends with *ret_status. */
static int read_options(struct move_options *o, int argc, char **argv, int *ret_status)
{
	struct option all[ARRAY_LEN(flags) + ARRAY_LEN(params) + 1] = { 0 };
	size_t n = 0;
	int c, r = 0;

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		all[n++] = (struct option){ flags[i].name, no_argument, NULL, OPT_FLAG + (int)i };
	memcpy(all + n, params, sizeof(params));
	while (!r && (c = cli_getopt(argc, argv, "c:qs:h", all, ret_status)) != -1) {
		if (c == '?')
			return 1;
		r = take_option(o, c);
	}
	*ret_status = r;
	if (!r && optind + 2 != argc)
		*ret_status = cli_usage("migrate", "which guest, and where to?");
	else if (!r)
		*ret_status = check_options(o);
	if (*ret_status)
		return 1;
	o->guest = argv[optind];
	o->dest = argv[optind + 1];
	return 0;
}

/* ---- the end ---- */

static const char *outcome_name(enum move_verdict v)
{
	static const char *const names[] = {
		[MOVE_IS_THERE] = "moved",	   [MOVE_IS_HERE] = "stayed",
		[MOVE_IS_TWICE] = "runs twice",	   [MOVE_IS_NOWHERE] = "runs nowhere",
		[MOVE_IS_UNKNOWN] = "not settled",
	};

	return names[v];
}

static void add(struct json_object *o, const char *name, struct json_object *value)
{
	json_object_object_add(o, name, value);
}

static void add_text(struct json_object *o, const char *name, const char *text)
{
	if (text && *text)
		add(o, name, cli_must(json_object_new_string(text)));
}

static void add_number(struct json_object *o, const char *name, uint64_t value)
{
	add(o, name, cli_must(json_object_new_uint64(value)));
}

static void print_json(const struct move *m, const struct move_truth *t, uint64_t elapsed_ms)
{
	struct json_object *o = cli_must(json_object_new_object());
	char uuid[DEF_UUID_TEXT], id[DEF_UUID_TEXT];
	const char *text;

	def_uuid_print((const uint8_t *)m->dom.uuid, uuid);
	add_text(o, "guest", m->dom.name);
	add_text(o, "uuid", uuid);
	def_uuid_print(m->id.b, id);
	if (m->has_id)
		add_text(o, "migration", id);
	add_text(o, "outcome", outcome_name(t->verdict));
	add(o, "cancelled", cli_must(json_object_new_boolean(m->cancelled || m->timed_out)));
	add_text(o, "source", t->source);
	add_text(o, "destination", t->destination);
	add_text(o, "error", m->err.code ? m->err.message : NULL);
	if (m->err.code)
		add(o, "code", cli_must(json_object_new_int(m->err.code)));
	add_number(o, "elapsed_ms", elapsed_ms);
	add_number(o, "downtime_ms", m->stats.downtime_ms);
	add_number(o, "memory_total", m->stats.total);
	add_number(o, "memory_processed", m->stats.processed);
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
	puts(cli_must((void *)(uintptr_t)text));
	json_object_put(o);
}

static void print_moved(const struct move *m, uint64_t elapsed_ms)
{
	char size[16];

	printf("%s: moved to %s in %.2f s", m->dom.name, m->o.dest, (double)elapsed_ms / 1000);
	move_print_size(m->stats.processed, size);
	if (m->stats.processed)
		printf(", %s sent", size);
	if (m->stats.downtime_ms)
		printf(", stopped for %" PRIu64 " ms", m->stats.downtime_ms);
	putchar('\n');
	if (m->err.code && !m->o.quiet)
		fprintf(stderr, "drover: migrate: though it was heard on the way: %s\n",
			m->err.message);
}

static void print_text(const struct move *m, const struct move_truth *t, uint64_t elapsed_ms)
{
	const char *why = m->err.code ? m->err.message : "no reason was given";

	if (t->verdict == MOVE_IS_THERE) {
		print_moved(m, elapsed_ms);
		return;
	}
	if (t->verdict == MOVE_IS_HERE && (m->cancelled || m->timed_out))
		fprintf(stderr, "drover: migrate: %s: called off; it goes on at %s\n", m->dom.name,
			m->o.connect);
	else if (t->verdict == MOVE_IS_HERE)
		fprintf(stderr, "drover: migrate: %s: it stays at %s: %s\n", m->dom.name,
			m->o.connect, why);
	else
		fprintf(stderr,
			"drover: migrate: %s: %s: %s\n  the source %s\n  the destination %s\n",
			m->dom.name, outcome_name(t->verdict), why, t->source, t->destination);
}

static int end(struct move *m, int err)
{
	struct move_truth truth = { .verdict = MOVE_IS_THERE };
	uint64_t elapsed_ms = conf_now_ms() - m->begun_ms;
	struct move_stats stats;

	move_show_end(m);
	if (err && !m->xml) /* Begin was refused: wherever the guest is, it is not from now */
		truth.verdict = MOVE_IS_HERE;
	else if (err)
		move_find_truth(m, &truth);
	if (truth.verdict == MOVE_IS_THERE &&
	    ((m->dst && move_read_stats(m, m->dst, true, &stats) && stats.total) ||
	     (m->src && move_read_stats(m, m->src, true, &stats) && stats.total)))
		m->stats = stats;
	if (m->o.json)
		print_json(m, &truth, elapsed_ms);
	else
		print_text(m, &truth, elapsed_ms);
	return truth.verdict == MOVE_IS_THERE  ? CLI_OK
	       : truth.verdict == MOVE_IS_HERE ? MOVE_STAYED
					       : MOVE_UNSETTLED;
}

static void set_params(struct move *m)
{
	move_set_string(m, "destination_name", m->o.dname);
	move_set_string(m, "destination_xml", m->o.xml);
	move_set_string(m, "migrate_uri", m->o.migrate_uri);
	if (m->o.bandwidth_mib)
		move_set_u64(m, "bandwidth", m->o.bandwidth_mib);
}

static int set_downtime(struct move *m)
{
	struct rpc_dom_u64_flags_args args = { .dom = m->dom, .value = m->o.downtime_ms };

	if (!m->o.downtime_ms)
		return 0;
	return rpc_client_call(m->src, RPC_DOMAIN_MIGRATE_SET_MAX_DOWNTIME,
			       RPC_XDR(rpc_dom_u64_flags_args), &args, NULL, NULL, 0, 5000,
			       &m->err);
}

int cli_migrate(int argc, char **argv)
{
	struct move m = { .o = { .connect = move_default_uri(), .settle_ms = SETTLE_MS },
			  .wake_fd = -1 };
	int status, r;

	if (read_options(&m.o, argc, argv, &status)) {
		move_fini(&m);
		return status;
	}
	r = catch_signals(&m);
	if (!r) {
		set_params(&m);
		r = move_open(&m);
		if (!r)
			r = set_downtime(&m);
		if (r) {
			fprintf(stderr, "drover: migrate: %s: %s\n", m.o.guest,
				m.err.code ? m.err.message : strerror(r));
			move_fini(&m);
			return MOVE_STAYED;
		}
		status = end(&m, move_run(&m));
	} else {
		status = cli_fail("migrate", "pipe", r);
	}
	move_fini(&m);
	return status;
}
