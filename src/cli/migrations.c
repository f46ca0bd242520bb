/* SPDX-License-Identifier: MIT */
/*
 * `drover migrations`: what a daemon knows of migrations: where each one is, what it waits for, and
 * how it went. Invariant: only what the daemon said is shown.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/config_table.h"
#include "cli/migrate.h"
#include "migrate/migrate.h"
#include "rpc/client.h"
#include "rpc/peer.h"
#include "vmm/def.h"

#define ASK_MS 10000u
#define WATCH_MS 500u
#define ID_SHORT 8   /* digits of an id in the table */
#define PAGES_MAX 64 /* answers of PEER_LIST_MAX migrations each */

struct listing {
	const char *connect, *id; /* id: its first digits, or NULL */
	bool json, watch, open_only;
	struct rpc_client *client;   /* owned */
	struct peer_migration **row; /* owned array; borrowed from pages */
	size_t n, room;
	struct peer_list_ret page[PAGES_MAX];
	unsigned int n_pages;
};

/* As the daemons' logs have it. */
static void id_print(const struct peer_migration *m, char ret[DEF_UUID_TEXT])
{
	def_uuid_print((const uint8_t *)m->id, ret);
}

static const char *phase_name(int phase)
{
	return phase >= 0 && phase < MIG_PHASES ? mig_phase_name((enum mig_phase)phase) : "?";
}

static const char *outcome_of(const struct peer_migration *m)
{
	return m->outcome >= 0 && m->outcome < MIG_OUTCOMES
		       ? mig_outcome_name((enum mig_outcome)m->outcome)
		       : "?";
}

static bool is_wanted(const struct listing *l, const struct peer_migration *m)
{
	char id[DEF_UUID_TEXT];

	id_print(m, id);
	if (l->id)
		return !strncmp(id, l->id, strlen(l->id));
	return !l->open_only || m->outcome == MIG_OPEN || m->phase != MIG_DONE;
}

/* ---- asking ---- */

static void forget(struct listing *l)
{
	for (unsigned int i = 0; i < l->n_pages; i++)
		rpc_code_free(RPC_XDR(peer_list_ret), &l->page[i], sizeof(l->page[i]));
	l->n_pages = 0;
	l->n = 0;
}

static void keep(struct listing *l, struct peer_list_ret *page)
{
	for (unsigned int i = 0; i < page->migrations.migrations_len; i++) {
		struct peer_migration *m = &page->migrations.migrations_val[i];

		if (!is_wanted(l, m))
			continue;
		if (l->n == l->room) {
			l->room = l->room ? 2 * l->room : 64;
			l->row = cli_must(
				realloc(l->row, l->room * sizeof(struct peer_migration *)));
		}
		l->row[l->n++] = m;
	}
}

static int fail(const struct rpc_error *err)
{
	if (err->code == RPC_ERR_NO_SUPPORT || err->code == RPC_ERR_RPC)
		fprintf(stderr, "drover: migrations: this daemon keeps no list of them: %s\n",
			err->message);
	else
		fprintf(stderr, "drover: migrations: %s\n", err->message);
	return CLI_FAILED;
}

static int ask(struct listing *l)
{
	struct peer_list_args args = { .id = { .id_len = 0 } };
	struct peer_list_ret *page;
	struct rpc_error err;
	bool more = true;

	forget(l);
	while (more && l->n_pages < PAGES_MAX) {
		page = &l->page[l->n_pages];
		if (rpc_client_call_program(l->client, PEER_PROGRAM, PEER_VERSION, PEER_LIST,
					    RPC_XDR(peer_list_args), &args, RPC_XDR(peer_list_ret),
					    page, sizeof(*page), ASK_MS, &err))
			return fail(&err);
		l->n_pages++;
		keep(l, page);
		more = page->more && page->migrations.migrations_len;
		if (more) {
			args.after.after_len = MIG_ID_SIZE;
			args.after.after_val =
				page->migrations.migrations_val[page->migrations.migrations_len - 1]
					.id;
		}
	}
	return CLI_OK;
}

/* ---- telling ---- */

static void time_print(uint64_t ms, bool with_date, char *ret, size_t room)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(ret, room, with_date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
	snprintf(ret + strlen(ret), room - strlen(ret), ".%03u", (unsigned int)(ms % 1000));
}

/* "3 s", "2 min", "5 h", "4 d": since then. */
static void since_print(uint64_t ms, char *ret, size_t room)
{
	static const struct {
		uint64_t s;
		const char *unit;
	} units[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" } };
	uint64_t now = (uint64_t)time(NULL), s = now > ms / 1000 ? now - ms / 1000 : 0;

	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (s >= units[i].s) {
			snprintf(ret, room, "%" PRIu64 " %s", s / units[i].s, units[i].unit);
			return;
		}
	snprintf(ret, room, "%" PRIu64 " s", s);
}

static void add_row(struct config_table *t, const struct peer_migration *m)
{
	char id[DEF_UUID_TEXT], epoch[24], since[32], peer[160];
	bool open = m->outcome == MIG_OPEN;
	const char *cells[] = { id,
				m->guest,
				peer,
				m->phase == MIG_DONE ? outcome_of(m) : phase_name(m->phase),
				epoch,
				since,
				*m->waits_for ? m->waits_for : m->why };

	id_print(m, id);
	id[ID_SHORT] = '\0';
	snprintf(epoch, sizeof(epoch), "%" PRIu64, (uint64_t)m->epoch);
	snprintf(peer, sizeof(peer), "%s %.120s", m->side == MIG_SOURCE ? "to" : "from",
		 *m->peer_host ? m->peer_host : "?");
	since_print(m->phase_ms, since, sizeof(since));
	config_table_add(t,
			 open			   ? CONFIG_YELLOW
			 : m->outcome == MIG_MOVED ? CONFIG_GREEN
						   : CONFIG_PLAIN,
			 cells);
}

static void print_table(const struct listing *l)
{
	static const struct config_column columns[] = {
		{ "ID", false },
		{ "GUEST", false },
		{ "PEER", false },
		{ "PHASE", false },
		{ "EPOCH", true },
		{ "SINCE", true },
		{ "WAITS FOR, OR WHY", false },
	};
	struct config_table t;

	config_table_init(&t, columns, ARRAY_LEN(columns));
	for (size_t i = 0; i < l->n; i++)
		add_row(&t, l->row[i]);
	config_table_print(stdout, &t, config_screen_width(), config_screen_colour());
	config_table_fini(&t);
}

static void print_one(const struct peer_migration *m)
{
	char id[DEF_UUID_TEXT], uuid[DEF_UUID_TEXT], at[64];

	id_print(m, id);
	def_uuid_print((const uint8_t *)m->uuid, uuid);
	printf("%s\n", id);
	printf("  guest      %s (%s)%s%s\n", m->guest, uuid, *m->new_name ? ", there " : "",
	       m->new_name);
	printf("  %-9s  %s %s\n", m->side == MIG_SOURCE ? "leaves to" : "came from", m->peer_host,
	       m->peer_address);
	printf("  epoch      %" PRIu64 "%s\n", (uint64_t)m->epoch,
	       m->arbiter ? ", with the arbiter" : "");
	printf("  phase      %s%s%s\n", phase_name(m->phase),
	       m->outcome == MIG_OPEN ? "" : ": the guest ",
	       m->outcome == MIG_OPEN ? "" : outcome_of(m));
	if (*m->waits_for)
		printf("  waits for  %s\n", m->waits_for);
	if (*m->why)
		printf("  why        %s\n", m->why);
	for (unsigned int i = 0; i < m->steps.steps_len; i++) {
		const struct peer_step *s = &m->steps.steps_val[i];
		uint64_t before = i ? m->steps.steps_val[i - 1].at_ms : s->at_ms;

		time_print(s->at_ms, !i, at, sizeof(at));
		printf("  %23s  %+7.3f s  %s%s%s\n", at,
		       s->at_ms >= before ? (double)(s->at_ms - before) / 1000 : 0,
		       phase_name(s->phase), *s->why ? ": " : "", s->why);
	}
}

static void add(struct json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, cli_must(json_object_new_string(text)));
}

static void add_u64(struct json_object *o, const char *name, uint64_t v)
{
	json_object_object_add(o, name, cli_must(json_object_new_uint64(v)));
}

static struct json_object *json_of(const struct peer_migration *m)
{
	struct json_object *o = cli_must(json_object_new_object());
	struct json_object *steps = cli_must(json_object_new_array());
	char id[DEF_UUID_TEXT], uuid[DEF_UUID_TEXT];

	id_print(m, id);
	def_uuid_print((const uint8_t *)m->uuid, uuid);
	add(o, "id", id);
	add(o, "side", m->side == MIG_SOURCE ? "source" : "destination");
	add(o, "guest", m->guest);
	add(o, "uuid", uuid);
	add(o, "new_name", m->new_name);
	add(o, "phase", phase_name(m->phase));
	add(o, "outcome", outcome_of(m));
	add_u64(o, "epoch", m->epoch);
	add_u64(o, "flags", m->flags);
	json_object_object_add(o, "arbiter", cli_must(json_object_new_boolean(m->arbiter)));
	add(o, "peer", m->peer_host);
	add(o, "peer_address", m->peer_address);
	add_u64(o, "begun_ms", m->begun_ms);
	add_u64(o, "phase_ms", m->phase_ms);
	add(o, "waits_for", m->waits_for);
	add(o, "why", m->why);
	for (unsigned int i = 0; i < m->steps.steps_len; i++) {
		struct json_object *s = cli_must(json_object_new_object());

		add(s, "phase", phase_name(m->steps.steps_val[i].phase));
		add_u64(s, "at_ms", m->steps.steps_val[i].at_ms);
		add(s, "why", m->steps.steps_val[i].why);
		json_object_array_add(steps, s);
	}
	json_object_object_add(o, "steps", steps);
	return o;
}

static void print_json(const struct listing *l)
{
	struct json_object *all = cli_must(json_object_new_array());
	const char *text;

	for (size_t i = 0; i < l->n; i++)
		json_object_array_add(all, json_of(l->row[i]));
	text = json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_SPACED |
							   JSON_C_TO_STRING_NOSLASHESCAPE);
	puts(cli_must((void *)(uintptr_t)text));
	json_object_put(all);
}

static int tell(const struct listing *l)
{
	if (l->json)
		print_json(l);
	else if (!l->id)
		print_table(l);
	else
		for (size_t i = 0; i < l->n; i++)
			print_one(l->row[i]);
	if (l->n || !l->id)
		return CLI_OK;
	fprintf(stderr, "drover: migrations: %s: there is no such migration here\n", l->id);
	return CLI_FAILED;
}

/* The same again whenever it has changed, until the end of the output or a signal. */
static int watch(struct listing *l)
{
	struct rpc_error err;
	int status, r;

	for (;;) {
		status = ask(l);
		if (status)
			return status;
		if (isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		(void)tell(l); /* one that is not there yet may come */
		if (fflush(stdout))
			return CLI_FAILED;
		r = rpc_client_poll(l->client, -1, WATCH_MS, &err);
		if (r != ETIMEDOUT && r != EINTR)
			return fail(&err);
	}
}

static int run(struct listing *l)
{
	struct rpc_client_options o = { .connect_ms = ASK_MS };
	struct rpc_error err;
	int status;

	if (rpc_client_open(l->connect, &o, &l->client, &err)) {
		fprintf(stderr, "drover: migrations: %s: %s\n", l->connect, err.message);
		return CLI_FAILED;
	}
	if (l->watch)
		return watch(l);
	status = ask(l);
	return status ? status : tell(l);
}

int cli_migrations(int argc, char **argv)
{
	static const struct option options[] = {
		{ "connect", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "open", no_argument, NULL, 'o' },
		{ "watch", no_argument, NULL, 'w' },
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct listing *l = cli_must(calloc(1, sizeof(*l)));
	int c, status = CLI_USAGE;

	l->connect = move_default_uri();
	while ((c = cli_getopt(argc, argv, "c:ows:h", options, &status)) != -1 && c != '?') {
		if (c == 'c')
			l->connect = optarg;
		l->json |= c == 'j';
		l->open_only |= c == 'o';
		l->watch |= c == 'w';
	}
	if (c == -1) {
		l->id = optind < argc ? argv[optind] : NULL;
		if (argc - optind > 1)
			status = cli_usage("migrations", "one migration at most");
		else if (l->id && (!*l->id || l->id[strspn(l->id, "0123456789abcdef-")]))
			status = cli_usage("migrations", "'%s' is no migration's id", l->id);
		else
			status = run(l);
	}
	forget(l);
	rpc_client_close(l->client);
	free(l->row);
	free(l);
	return status;
}
