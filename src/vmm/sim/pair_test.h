/* SPDX-License-Identifier: MIT */
/*
 * Two hosts of one test, each a backend that is opened, closed and opened again, with guests that
 * are real processes. What a backend tells is written down, and awaited with a time limit. Which
 * backend, program and type of guests: PAIR_BACKEND, PAIR_PROGRAM, PAIR_TYPE before this.
 */
#ifndef DROVER_VMM_SIM_PAIR_TEST_H
#define DROVER_VMM_SIM_PAIR_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/backend.h"

#ifndef PAIR_BACKEND
#define PAIR_BACKEND "sim"
#define PAIR_PROGRAM "drover-simguest"
#define PAIR_TYPE DEF_TEST
#endif
#define PAIR_UNUSED __attribute__((unused))

#define PAIR_AWAIT_MS 20000u
#define PAIR_GUESTS 32u

/* What was told of one guest; index: the last octet of its uuid. */
struct seen {
	struct vmm_guest *guest; /* NULL: gone, or never there */
	unsigned int n_found, n_gone, n_stopped, n_sent, n_received, n_done, n_progress;
	unsigned int n_rebooted;
	int done_err, sent_err, received_err;
	char why[VMM_ERROR_MAX];
	enum vmm_reason gone_why;
};

struct host {
	struct vmm *v;
	char *dir, *run, *logs;
	const char *name;
	struct seen seen[PAIR_GUESTS];
};

struct pair {
	struct host a, b;
	char dir[64];
	char program[512];
};

static struct pair *pair;

static struct seen *seen_of(struct host *h, const struct vmm_guest *g)
{
	return &h->seen[vmm_guest_uuid(g)[DEF_UUID_SIZE - 1] % PAIR_GUESTS];
}

static void on_found(void *data, struct vmm_guest *guest)
{
	struct seen *s = seen_of(data, guest);

	s->guest = guest;
	s->n_found++;
}

static void on_changed(void *data, struct vmm_guest *guest, enum vmm_state state,
		       enum vmm_reason reason)
{
	struct seen *s = seen_of(data, guest);

	if (reason == VMM_REBOOTED)
		s->n_rebooted++;
	if (state != VMM_GONE)
		return;
	s->n_gone++;
	s->gone_why = reason;
	s->guest = NULL;
	vmm_guest_free(guest);
}

static void on_progress(void *data, struct vmm_guest *guest, const struct vmm_progress *p)
{
	assert_true(p->memory_remaining <= p->memory_total);
	seen_of(data, guest)->n_progress++;
}

static void on_stopped(void *data, struct vmm_guest *guest)
{
	seen_of(data, guest)->n_stopped++;
}

static void on_sent(void *data, struct vmm_guest *guest, int err, const char *why)
{
	struct seen *s = seen_of(data, guest);

	s->n_sent++;
	s->sent_err = err;
	snprintf(s->why, sizeof(s->why), "%s", why);
}

static void on_received(void *data, struct vmm_guest *guest, int err, const char *why)
{
	struct seen *s = seen_of(data, guest);

	s->n_received++;
	s->received_err = err;
	snprintf(s->why, sizeof(s->why), "%s", why);
}

static void on_iteration(void *data, struct vmm_guest *guest, unsigned int n)
{
	(void)data;
	(void)guest;
	assert_true(n > 0);
}

static const struct vmm_events pair_events = { on_found, on_changed,  on_progress, on_stopped,
					       on_sent,	 on_received, on_iteration };

static void on_done(void *data, int err, const char *why)
{
	struct seen *s = data;

	s->n_done++;
	s->done_err = err;
	if (err)
		snprintf(s->why, sizeof(s->why), "%s", why);
}

static void host_open(struct host *h)
{
	const struct vmm_options opt = { .run_dir = h->run,
					 .log_dir = h->logs,
					 .host_name = h->name,
					 .program = pair->program };

	assert_null(h->v);
	for (size_t i = 0; i < PAIR_GUESTS; i++)
		h->seen[i].guest = NULL;
	assert_int_equal(vmm_open(PAIR_BACKEND, &opt, &pair_events, h, &h->v), 0);
}

static void host_close(struct host *h)
{
	vmm_free(h->v);
	h->v = NULL;
}

static void host_init(struct host *h, const char *name)
{
	memset(h, 0, sizeof(*h));
	h->name = name;
	assert_true(asprintf(&h->dir, "%s/%s", pair->dir, name) > 0);
	assert_true(asprintf(&h->run, "%s/run", h->dir) > 0);
	assert_true(asprintf(&h->logs, "%s/log", h->dir) > 0);
	host_open(h);
}

/* Both hosts once, waiting for no longer than wait_ms. */
static void pair_turn(int wait_ms)
{
	struct host *hosts[2] = { &pair->a, &pair->b };
	struct pollfd p[2];

	for (int i = 0; i < 2; i++) {
		int due = hosts[i]->v ? vmm_timeout_ms(hosts[i]->v) : -1;

		p[i] = (struct pollfd){ .fd = hosts[i]->v ? vmm_fd(hosts[i]->v) : -1,
					.events = POLLIN };
		if (due >= 0 && due < wait_ms)
			wait_ms = due;
	}
	poll(p, 2, wait_ms);
	for (int i = 0; i < 2; i++)
		if (hosts[i]->v)
			assert_int_equal(vmm_dispatch(hosts[i]->v), 0);
}

#define AWAIT(condition)                                                                           \
	do {                                                                                       \
		uint64_t until_ = vmm_now_ms() + PAIR_AWAIT_MS;                                    \
		while (!(condition)) {                                                             \
			if (vmm_now_ms() > until_)                                                 \
				fail_msg("awaited in vain: %s", #condition);                       \
			pair_turn(20);                                                             \
		}                                                                                  \
	} while (0)

static struct guest_def *def_of(unsigned int n, const char *words)
{
	struct guest_def *def = def_new();
	char name[16];

	assert_non_null(def);
	snprintf(name, sizeof(name), "g%u", n);
	def->type = PAIR_TYPE;
	def->name = strdup(name);
	def->cmdline = strdup(words);
	def->memory_kib = 4096;
	def->uuid[0] = 0xd5;
	def->uuid[DEF_UUID_SIZE - 1] = (uint8_t)n;
	return def;
}

static struct seen *guest_start_at(struct host *h, unsigned int n, const char *words,
				   unsigned int flags)
{
	struct guest_def *def = def_of(n, words);
	struct seen *s = &h->seen[n];
	const bool incoming = flags & VMM_START_INCOMING;
	unsigned int before = s->n_done;

	assert_int_equal(vmm_start(h->v, def, flags, 7, incoming ? "some-migration" : NULL, on_done,
				   s, &s->guest),
			 0);
	def_free(def);
	AWAIT(s->n_done == before + 1);
	assert_int_equal(s->done_err, 0);
	assert_int_equal(vmm_guest_state(s->guest), incoming		       ? VMM_INCOMING
						    : flags & VMM_START_PAUSED ? VMM_PAUSED
									       : VMM_RUNNING);
	return s;
}

/* Asks, and waits for the answer. */
#define CALL(seen_, call_)                                                                         \
	do {                                                                                       \
		unsigned int n_ = (seen_)->n_done;                                                 \
		assert_int_equal(call_, 0);                                                        \
		AWAIT((seen_)->n_done == n_ + 1);                                                  \
	} while (0)

static void guest_destroy(struct seen *s)
{
	if (!s->guest)
		return;
	CALL(s, vmm_destroy(s->guest, false, on_done, s));
	assert_null(s->guest);
}

/* ---- logs ---- */

struct tick_log {
	uint64_t n_ticks, last;	    /* ticks, the number of the last one */
	uint64_t first_ns, last_ns; /* of TICK lines */
	bool monotonic;		    /* each tick one more than the one before */
};

PAIR_UNUSED static struct tick_log log_read(const struct host *h, unsigned int n)
{
	struct tick_log ret = { .monotonic = true };
	char *path, word[16], host[64];
	uint64_t tick, epoch, ns;
	FILE *f;

	assert_true(asprintf(&path, "%s/g%u.ticks", h->logs, n) > 0);
	f = fopen(path, "r");
	free(path);
	while (f && fscanf(f, "%15s %" SCNu64 " host=%63s epoch=%" SCNu64 " t=%" SCNu64 "\n", word,
			   &tick, host, &epoch, &ns) == 5) {
		assert_string_equal(host, h->name);
		if (strcmp(word, "TICK") != 0)
			continue;
		if (ret.n_ticks && tick != ret.last + 1)
			ret.monotonic = false;
		if (!ret.n_ticks)
			ret.first_ns = ns;
		ret.n_ticks++;
		ret.last = tick;
		ret.last_ns = ns;
	}
	if (f) {
		assert_true(feof(f));
		fclose(f);
	}
	return ret;
}

PAIR_UNUSED static void await_ticks(struct host *h, unsigned int n, uint64_t more)
{
	uint64_t want = log_read(h, n).n_ticks + more;

	AWAIT(log_read(h, n).n_ticks >= want);
}

/* ---- the pair ---- */

static int pair_setup(void **state)
{
	const char *build = getenv("DROVER_BUILD");

	(void)state;
	pair = calloc(1, sizeof(*pair));
	assert_non_null(pair);
	snprintf(pair->dir, sizeof(pair->dir), "/tmp/drover-sim-XXXXXX");
	assert_non_null(mkdtemp(pair->dir));
	snprintf(pair->program, sizeof(pair->program), "%s/" PAIR_PROGRAM, build ? build : ".");
	/* guests outlive the test's own death only so that they can be looked for */
	host_init(&pair->a, "a");
	host_init(&pair->b, "b");
	return 0;
}

static void host_fini(struct host *h)
{
	struct dirent *e;
	DIR *dir;

	if (!h->v)
		host_open(h);
	for (unsigned int i = 0; i < PAIR_GUESTS; i++)
		guest_destroy(&h->seen[i]);
	dir = opendir(h->run);
	assert_non_null(dir);
	while ((e = readdir(dir)))
		assert_true(e->d_name[0] == '.'); /* no directory is left */
	closedir(dir);
	host_close(h);
	free(h->dir);
	free(h->run);
	free(h->logs);
}

static int pair_teardown(void **state)
{
	char command[128];

	(void)state;
	host_fini(&pair->a);
	host_fini(&pair->b);
	snprintf(command, sizeof(command), "rm -rf %s", pair->dir);
	assert_int_equal(system(command), 0);
	/* no process of any guest is left */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	free(pair);
	pair = NULL;
	return 0;
}

#define PAIR_TEST(f) cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

#endif
