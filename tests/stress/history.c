/* SPDX-License-Identifier: MIT */
/*
 * stress-history [OPTION…] SOCKET
 *
 *   --sim DIR       the simulated host of the guests
 *   --clients N     on sockets (64)
 *   --guests N      over rings (16), created here and ended at the end
 *   --seed N        of all choices (1)
 *   --seconds S     how long; 0: until standard input ends (0)
 *   --lenient       a transaction may be lost (ENOENT, EAGAIN): the daemon is another's
 *
 * On standard input, "c" asks for no transactions: "calm" is printed when none is open. "g" lets
 * them go on.
 *
 * Clients that check what the daemon tells them (see client.h), while somebody else kills and
 * replaces it. Prints "ready" once all are connected, and a line "progress OPS COMMITS" each time
 * that every client that listens got an answer since the last, so that whoever disturbs the
 * daemon can wait for it to serve everybody again. About once a second all come to rest, and what
 * the store holds is compared with what was acknowledged. The last line is a JSON object of counts;
 * the exit status is 1 when anything was wrong, told on standard error.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hv/sim/sim.h"
#include "tests/stress/client.h"

#define PHASE_NS 1000000000u
#define SILENCE_NS UINT64_C(60000000000)
#define PROGRESS_NS 20000000u
#define TURN_MS 2

struct run {
	struct load load;
	struct peer *master; /* owned */
	struct sim *sim;     /* owned; NULL without guests */
	unsigned int n_sockets, n_guests;
	double seconds;
	bool ended; /* standard input */
	bool calm_told;
	uint64_t told_ns;
};

static void run_fail(struct run *run, const char *what, int r)
{
	run->load.failures++;
	fprintf(stderr, "failure: %s: %s\n", what, strerror(r < 0 ? -r : r));
}

/* ---- what is there before the first client ---- */

static int master_do(struct run *run, uint32_t type, const char *path, const char *value,
		     size_t len)
{
	char body[256];
	size_t n = strlen(path) + 1;
	int r;

	memcpy(body, path, n);
	memcpy(body + n, value, len);
	r = peer_call(run->master, type, 0, body, n + len, NULL, NULL);
	if (r)
		run_fail(run, path, r);
	return r;
}

/* A node that everybody may write. */
static int master_shared(struct run *run, const char *path, const char *value)
{
	int r = master_do(run, XS_WRITE, path, value, strlen(value));

	return r ? r : master_do(run, XS_SET_PERMS, path, "b0", 3);
}

static int master_prepare(struct run *run)
{
	char path[64];
	int r = master_shared(run, "/stress", "");

	for (unsigned int i = 0; !r && i < LOAD_ACCOUNTS; i++) {
		char value[24];

		snprintf(path, sizeof(path), "/stress/account/%u", i);
		snprintf(value, sizeof(value), "%ld", ACCOUNT_START);
		run->load.account[i] = ACCOUNT_START;
		r = master_shared(run, path, value);
	}
	for (unsigned int i = 0; !r && i < LOAD_COUNTERS; i++) {
		snprintf(path, sizeof(path), "/stress/counter/%u", i);
		r = master_shared(run, path, "0");
	}
	for (unsigned int i = 0; !r && i < run->load.n_clients; i++) {
		snprintf(path, sizeof(path), "/stress/pub/%u", i);
		r = master_shared(run, path, "0");
	}
	/* Homes inherit this: the clients' own permissions are what a new node of theirs has. */
	return r ? r : master_do(run, XS_SET_PERMS, "/stress", "n0", 3);
}

static int guest_create(struct run *run, uint16_t *ret_domid)
{
	char body[64], perms[16];
	int r = sim_domain_create(run->sim, 0, ret_domid), len;

	if (r)
		return r;
	len = snprintf(body, sizeof(body), "%u%c%u%c%u", *ret_domid, '\0', SIM_XS_GFN, '\0',
		       SIM_XS_PORT);
	r = peer_call(run->master, XS_INTRODUCE, 0, body, (size_t)len + 1, NULL, NULL);
	if (r)
		return r;
	snprintf(body, sizeof(body), "/local/domain/%u", *ret_domid);
	len = snprintf(perms, sizeof(perms), "n%u", *ret_domid);
	r = master_do(run, XS_MKDIR, body, "", 0);
	return r ? r : master_do(run, XS_SET_PERMS, body, perms, (size_t)len + 1);
}

static int run_open(struct run *run)
{
	struct load *l = &run->load;
	int r;

	l->n_clients = run->n_sockets + run->n_guests;
	l->client = calloc(l->n_clients, sizeof(l->client[0]));
	run->master = calloc(1, sizeof(*run->master));
	if (!l->client || !run->master)
		return -ENOMEM;
	r = peer_open_socket(run->master, l->socket_path);
	if (!r && run->n_guests)
		r = sim_open(l->sim_dir, &run->sim);
	if (!r)
		r = master_prepare(run);
	/* Guests are spread among the others. */
	for (unsigned int i = 0, guests = 0; !r && i < l->n_clients; i++) {
		struct client *c = &l->client[i];

		c->load = l;
		c->number = i;
		if (guests * l->n_clients < run->n_guests * (i + 1) && guests++ < run->n_guests)
			r = guest_create(run, &c->domid);
	}
	for (unsigned int i = 0; !r && i < l->n_clients; i++) {
		if (l->client[i].domid)
			l->any_guest = l->client[i].domid;
		r = client_open(&l->client[i]);
	}
	if (r)
		run_fail(run, "preparing", r);
	return r;
}

static void run_close(struct run *run)
{
	for (unsigned int i = 0; i < run->load.n_clients; i++) {
		struct client *c = &run->load.client[i];

		client_close(c);
		if (c->domid)
			sim_domain_destroy(run->sim, c->domid);
	}
	if (!run->load.failures)
		master_do(run, XS_RM, "/stress", "", 0);
	peer_close(run->master);
	sim_close(run->sim);
	free(run->master);
	free(run->load.client);
}

/* ---- rounds ---- */

static void tell_progress(struct run *run, uint64_t now)
{
	struct load *l = &run->load;

	if (now - run->told_ns < PROGRESS_NS)
		return;
	for (unsigned int i = 0; i < l->n_clients; i++)
		if (l->client[i].done == l->client[i].done_told &&
		    l->client[i].peer.deaf_ns < run->told_ns)
			return;
	for (unsigned int i = 0; i < l->n_clients; i++)
		l->client[i].done_told = l->client[i].done;
	run->told_ns = now;
	printf("progress %lu %lu\n", (unsigned long)l->ops, (unsigned long)l->commits);
	fflush(stdout);
}

static void check_silence(struct client *c, uint64_t now)
{
	const struct expect *e = &c->expect[c->n_first % CLIENT_EXPECTS];

	if (c->n_first == c->n_last || now - c->heard_ns < SILENCE_NS)
		return;
	if (now - e->sent_ns >= SILENCE_NS)
		client_fail(c, "no answer to type %u, req_id %u; %zu octets are not sent", e->type,
			    e->req_id, c->peer.out_tail - c->peer.out_head);
}

static bool all(const struct load *l, bool (*is)(const struct client *c))
{
	for (unsigned int i = 0; i < l->n_clients; i++)
		if (!is(&l->client[i]))
			return false;
	return true;
}

static void take_commands(struct run *run)
{
	char word[64];
	ssize_t n = read(0, word, sizeof(word));

	run->ended = n <= 0;
	for (ssize_t i = 0; i < n; i++)
		if (word[i] == 'c' || word[i] == 'g') {
			run->load.calm = word[i] == 'c';
			run->calm_told = false;
		}
}

static void tell_calm(struct run *run)
{
	if (!run->load.calm || run->calm_told || !all(&run->load, txn_none))
		return;
	run->calm_told = true;
	puts("calm");
	fflush(stdout);
}

/* Everybody once: work, wait a moment, receive. */
static void run_turn(struct run *run)
{
	static struct pollfd pfd[LOAD_CLIENTS + 1];
	struct load *l = &run->load;
	uint64_t now = now_ns();

	for (unsigned int i = 0; i < l->n_clients && !l->failures; i++) {
		client_turn(&l->client[i], now);
		peer_poll(&l->client[i].peer, now, &pfd[i]);
	}
	pfd[l->n_clients] =
		(struct pollfd){ .fd = run->seconds > 0 || run->ended ? -1 : 0, .events = POLLIN };
	poll(pfd, l->n_clients + 1, TURN_MS);
	if (pfd[l->n_clients].revents)
		take_commands(run);
	now = now_ns();
	for (unsigned int i = 0; i < l->n_clients && !l->failures; i++) {
		if (pfd[i].events & POLLIN && pfd[i].revents & ~POLLOUT)
			client_receive(&l->client[i], now);
		check_silence(&l->client[i], now);
	}
	tell_progress(run, now);
	tell_calm(run);
}

static bool is_fenced(const struct client *c)
{
	return c->fenced && client_idle(c);
}

static void compare_shared(struct run *run, const char *what, unsigned int n, const long *want)
{
	for (unsigned int i = 0; i < n && !run->load.failures; i++) {
		char path[64], text[XENSTORE_PAYLOAD_MAX + 1];
		size_t len = XENSTORE_PAYLOAD_MAX;
		int r;

		snprintf(path, sizeof(path), "/stress/%s/%u", what, i);
		r = peer_call(run->master, XS_READ, 0, path, strlen(path) + 1, text, &len);
		if (r) {
			run_fail(run, path, r);
			return;
		}
		text[len] = '\0';
		if (strtol(text, NULL, 10) == want[i])
			continue;
		run->load.failures++;
		fprintf(stderr, "failure: %s holds %s; what was committed makes %ld\n", path, text,
			want[i]);
	}
}

/* All come to rest; then the store is what was acknowledged. */
static void run_settle(struct run *run)
{
	struct load *l = &run->load;
	int r;

	l->draining = true;
	while (!l->failures && !all(l, client_idle))
		run_turn(run);
	for (unsigned int i = 0; i < l->n_clients && !l->failures; i++)
		client_fence(&l->client[i]);
	while (!l->failures && !all(l, is_fenced))
		run_turn(run);
	compare_shared(run, "account", LOAD_ACCOUNTS, l->account);
	compare_shared(run, "counter", LOAD_COUNTERS, l->counter);
	for (unsigned int i = 0; i < l->n_clients && !l->failures; i++) {
		r = client_audit(&l->client[i], run->master);
		if (r)
			run_fail(run, "the toolstack's connection", r);
	}
	l->settles++;
	l->draining = false;
}

static void run_all(struct run *run)
{
	uint64_t begin = now_ns(), end = begin + (uint64_t)(run->seconds * 1e9);

	puts("ready");
	fflush(stdout);
	do {
		uint64_t rest = now_ns() + PHASE_NS;

		while (!run->load.failures && !run->ended && now_ns() < rest)
			run_turn(run);
		if (!run->load.failures)
			run_settle(run);
	} while (!run->load.failures && !run->ended && (run->seconds <= 0 || now_ns() < end));
}

static void print_counts(const struct run *run, double seconds)
{
	const struct load *l = &run->load;
	uint64_t pieces = 0, in = 0, out = 0;

	for (unsigned int i = 0; i < l->n_clients; i++) {
		pieces += l->client[i].peer.n_pieces;
		in += l->client[i].peer.octets_in;
		out += l->client[i].peer.octets_out;
	}
	printf("{\"clients\": %u, \"guests\": %u, \"seed\": %lu, \"seconds\": %.1f, \"ops\": %lu, "
	       "\"writes\": %lu, \"reads\": %lu, \"events\": %lu, \"commits\": %lu, "
	       "\"conflicts\": %lu, \"audits\": %lu, \"held\": %lu, \"lost\": %lu, "
	       "\"settles\": %lu, \"pieces\": %lu, \"deaf\": %lu, \"octets_in\": %lu, "
	       "\"octets_out\": %lu, \"longest_ms\": %.1f, \"longest_held_ms\": %.0f, "
	       "\"failures\": %u}\n",
	       run->n_sockets, run->n_guests, (unsigned long)l->seed, seconds,
	       (unsigned long)l->ops, (unsigned long)l->writes, (unsigned long)l->reads,
	       (unsigned long)l->events, (unsigned long)l->commits, (unsigned long)l->conflicts,
	       (unsigned long)l->audits, (unsigned long)l->held, (unsigned long)l->lost,
	       (unsigned long)l->settles, (unsigned long)pieces, (unsigned long)l->deaf,
	       (unsigned long)in, (unsigned long)out, (double)l->longest_ns / 1e6,
	       (double)l->longest_held_ns / 1e6, l->failures);
}

static int options_read(struct run *run, int argc, char **argv)
{
	static const struct option options[] = {
		{ "sim", required_argument, NULL, 'd' },
		{ "clients", required_argument, NULL, 'c' },
		{ "guests", required_argument, NULL, 'g' },
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "lenient", no_argument, NULL, 'l' },
		{ 0 },
	};
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (o) {
		case 'd':
			run->load.sim_dir = optarg;
			break;
		case 'c':
			run->n_sockets = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'g':
			run->n_guests = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 's':
			run->load.seed = strtoull(optarg, NULL, 10);
			break;
		case 't':
			run->seconds = strtod(optarg, NULL);
			break;
		case 'l':
			run->load.strict = false;
			break;
		default:
			return -1;
		}
	if (!run->load.sim_dir)
		run->n_guests = 0;
	if (argc - optind != 1 || !(run->n_sockets + run->n_guests) ||
	    run->n_sockets + run->n_guests > LOAD_CLIENTS)
		return -1;
	run->load.socket_path = argv[optind];
	return 0;
}

int main(int argc, char **argv)
{
	static struct run run = { .load = { .seed = 1, .strict = true },
				  .n_sockets = 64,
				  .n_guests = 16 };
	uint64_t begin;

	if (options_read(&run, argc, argv)) {
		fputs("usage: stress-history [--sim DIR] [--clients N] [--guests N] [--seed N] "
		      "[--seconds S] [--lenient] SOCKET\n",
		      stderr);
		return 2;
	}
	begin = now_ns();
	if (!run_open(&run))
		run_all(&run);
	print_counts(&run, (double)(now_ns() - begin) / 1e9);
	if (run.load.failures)
		fprintf(stderr, "again: %s --clients %u --guests %u --seed %lu …\n", argv[0],
			run.n_sockets, run.n_guests, (unsigned long)run.load.seed);
	run_close(&run);
	return run.load.failures ? 1 : 0;
}
