/* SPDX-License-Identifier: MIT */
/*
 * A host for tests with the real emulator: a vmm of its own in a folder of its own, what it told,
 * and a guest of one boot sector that counts on its serial line (tests/peers/tickguest.S).
 */
#ifndef DROVER_VMM_QEMU_HOST_TEST_H
#define DROVER_VMM_QEMU_HOST_TEST_H

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/own.h"
#include "vmm/vmm.h"

#define HOST_PATH_MAX 256u
#define HOST_WAIT_MS 20000
#define HOSTS_MAX 4u
#define HOST_MIGRATION_ID "00112233-4455-6677-8899-aabbccddeeff"

struct host {
	char dir[HOST_PATH_MAX], run[HOST_PATH_MAX + 8], log[HOST_PATH_MAX + 8];
	char serial[HOST_PATH_MAX + 8]; /* the guest's ticks */
	char disk[HOST_PATH_MAX + 8];	/* what it boots from, locked by the one that runs it */
	struct vmm *v;
	struct vmm_guest *guest;
	/* Told. */
	unsigned int n_found, n_changed, n_stopped, n_sent, n_received, n_progress, n_iterations;
	unsigned int n_done, n_resumed, n_rebooted;
	enum vmm_state state;
	enum vmm_reason reason;
	int done_err, sent_err, received_err;
	char why[VMM_ERROR_MAX];
	struct vmm_progress progress;
	uint64_t stopped_us, sent_us, received_us, running_us;
};

static inline uint64_t host_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

static inline void host_keep_why(struct host *h, int err, const char *why)
{
	if (err)
		(void)snprintf(h->why, sizeof(h->why), "%s", why);
}

static inline void host_found(void *data, struct vmm_guest *guest)
{
	struct host *h = data;

	h->guest = guest;
	h->n_found++;
	h->state = vmm_guest_state(guest);
	h->reason = vmm_guest_reason(guest);
}

static inline void host_changed(void *data, struct vmm_guest *guest, enum vmm_state state,
				enum vmm_reason reason)
{
	struct host *h = data;

	(void)guest;
	h->n_changed++;
	h->state = state;
	h->reason = reason;
	h->n_resumed += state == VMM_RUNNING;
	h->n_rebooted += reason == VMM_REBOOTED;
	if (state == VMM_RUNNING)
		h->running_us = host_now_us();
}

static inline void host_progress(void *data, struct vmm_guest *guest, const struct vmm_progress *p)
{
	struct host *h = data;

	(void)guest;
	h->n_progress++;
	h->progress = *p;
}

static inline void host_stopped(void *data, struct vmm_guest *guest)
{
	struct host *h = data;

	(void)guest;
	h->n_stopped++;
	h->stopped_us = host_now_us();
}

static inline void host_sent(void *data, struct vmm_guest *guest, int err, const char *why)
{
	struct host *h = data;

	(void)guest;
	h->n_sent++;
	h->sent_err = err;
	h->sent_us = host_now_us();
	host_keep_why(h, err, why);
}

static inline void host_received(void *data, struct vmm_guest *guest, int err, const char *why)
{
	struct host *h = data;

	(void)guest;
	h->n_received++;
	h->received_err = err;
	h->received_us = host_now_us();
	host_keep_why(h, err, why);
}

static inline void host_iteration(void *data, struct vmm_guest *guest, unsigned int n)
{
	struct host *h = data;

	(void)guest;
	(void)n;
	h->n_iterations++;
}

static inline void host_done(void *data, int err, const char *why)
{
	struct host *h = data;

	h->n_done++;
	h->done_err = err;
	host_keep_why(h, err, why);
}

static const struct vmm_events host_events = {
	host_found, host_changed,  host_progress,  host_stopped,
	host_sent,  host_received, host_iteration,
};

/* Hosts that a failed test left behind. */
static struct host *host_all[HOSTS_MAX];

static inline void host_open(struct host *h)
{
	struct vmm_options opt = { .run_dir = h->run, .log_dir = h->log, .host_name = "test" };

	assert_int_equal(vmm_open("qemu", &opt, &host_events, h, &h->v), 0);
}

/* A daemon that dies, and another: what was told is forgotten. */
static inline void host_reopen(struct host *h)
{
	struct host was = *h;

	vmm_free(h->v);
	memset(h, 0, sizeof(*h));
	memcpy(h->dir, was.dir, sizeof(h->dir));
	memcpy(h->run, was.run, sizeof(h->run));
	memcpy(h->log, was.log, sizeof(h->log));
	memcpy(h->serial, was.serial, sizeof(h->serial));
	memcpy(h->disk, was.disk, sizeof(h->disk));
	host_open(h);
}

/* Why there can be no real guest here; NULL: there can. */
static inline const char *host_lacks(void)
{
	const char *build = getenv("DROVER_BUILD");
	char path[HOST_PATH_MAX * 2];

	if (access("/usr/bin/qemu-system-x86_64", X_OK))
		return "qemu-system-x86_64 is not installed";
	(void)snprintf(path, sizeof(path), "%s/tests/peers/tick.img", build ? build : "");
	return access(path, R_OK) ? "tests/peers/tick.img was not built" : NULL;
}

static inline struct host *host_new(void)
{
	struct host *h;
	char command[3 * HOST_PATH_MAX];

	if (host_lacks()) {
		print_message("# %s\n", host_lacks());
		skip();
	}
	h = calloc(1, sizeof(*h));
	assert_non_null(h);
	(void)snprintf(h->dir, sizeof(h->dir), "/tmp/drover-qemu.XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	(void)snprintf(h->run, sizeof(h->run), "%s/run", h->dir);
	(void)snprintf(h->log, sizeof(h->log), "%s/log", h->dir);
	(void)snprintf(h->serial, sizeof(h->serial), "%s/ticks", h->dir);
	(void)snprintf(h->disk, sizeof(h->disk), "%s/disk", h->dir);
	(void)snprintf(command, sizeof(command), "cp %s/tests/peers/tick.img %s",
		       getenv("DROVER_BUILD"), h->disk);
	assert_int_equal(system(command), 0);
	host_open(h);
	for (size_t i = 0; i < HOSTS_MAX; i++)
		if (!host_all[i]) {
			host_all[i] = h;
			break;
		}
	return h;
}

/* One round of all hosts' loops; n of them. False: the time is over. */
static inline bool host_round(struct host *const *hosts, size_t n, uint64_t end_us)
{
	struct pollfd p[4];
	uint64_t now = host_now_us();
	int ms = 50;

	if (now >= end_us)
		return false;
	assert_true(n <= ARRAY_LEN(p));
	for (size_t i = 0; i < n; i++) {
		int t = vmm_timeout_ms(hosts[i]->v);

		p[i].fd = vmm_fd(hosts[i]->v);
		p[i].events = POLLIN;
		if (t >= 0 && t < ms)
			ms = t;
	}
	assert_true(poll(p, n, ms) >= 0 || errno == EINTR);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(vmm_dispatch(hosts[i]->v), 0);
	return true;
}

/* Runs the hosts (up to two) until the condition holds; fails the test when it never does. */
#define host_await(a, b, condition)                                                                \
	do {                                                                                       \
		struct host *hosts_[] = { (a), (b) };                                              \
		uint64_t end_ = host_now_us() + HOST_WAIT_MS * 1000u;                              \
		while (!(condition))                                                               \
			if (!host_round(hosts_, hosts_[1] ? 2 : 1, end_))                          \
				fail_msg("never: %s (%s)", #condition, hosts_[0]->why);            \
	} while (0)

/* The guest that counts. */
static inline struct guest_def *host_def(const struct host *h)
{
	struct guest_def *def = def_new();

	assert_non_null(def);
	def->type = DEF_QEMU;
	def->name = strdup("tick");
	def->memory_kib = def->current_kib = 64u * 1024u;
	def->vcpus = def->vcpus_current = 1;
	def->machine = strdup("q35");
	def->features = DEF_ACPI;
	memset(def->uuid, 0x42, sizeof(def->uuid));
	def->disks = calloc(1, sizeof(*def->disks));
	def->n_disks = 1;
	def->disks[0].type = strdup("file");
	def->disks[0].device = strdup("disk");
	def->disks[0].source = strdup(h->disk);
	def->disks[0].target = strdup("vda");
	def->disks[0].bus = strdup("virtio");
	def->serials = calloc(2, sizeof(*def->serials));
	def->n_serials = 2;
	def->serials[0].type = strdup("file");
	def->serials[0].source = strdup(h->serial);
	def->serials[0].append = true;
	def->serials[1].type = strdup("pty");
	def->serials[1].port = 1;
	return def;
}

static inline void host_start(struct host *h, unsigned int flags, const char *migration_id)
{
	struct guest_def *def = host_def(h);
	unsigned int before = h->n_done;

	assert_int_equal(vmm_start(h->v, def, flags, 1, migration_id, host_done, h, &h->guest), 0);
	def_free(def);
	host_await(h, NULL, h->n_done > before);
	assert_int_equal(h->done_err, 0);
}

/* A host with a guest that runs. */
static inline struct host *host_with_guest(void)
{
	struct host *h = host_new();

	host_start(h, 0, NULL);
	return h;
}

/* What the guest has printed, and the last whole line's number; 0: none, -1: a line is odd. */
static inline long host_ticks(const struct host *h, long *ret_first)
{
	FILE *f = fopen(h->serial, "r");
	char line[64];
	long last = 0, first = 0;

	while (f && fgets(line, sizeof(line), f)) {
		long n;

		if (!strchr(line, '\n'))
			break;
		if (sscanf(line, "TICK %ld", &n) != 1 || (last && n != last + 1))
			last = -1;
		else
			last = n;
		if (!first)
			first = n;
		if (last < 0)
			break;
	}
	if (f)
		(void)fclose(f);
	if (ret_first)
		*ret_first = first;
	return last;
}

static inline void host_call(struct host *h,
			     int (*fn)(struct vmm_guest *g, vmm_done_fn *done, void *data))
{
	unsigned int before = h->n_done;

	assert_int_equal(fn(h->guest, host_done, h), 0);
	host_await(h, NULL, h->n_done > before);
}

static inline void host_destroy(struct host *h)
{
	if (h->guest && h->state != VMM_GONE) {
		unsigned int before = h->n_done;

		assert_int_equal(vmm_destroy(h->guest, true, host_done, h), 0);
		host_await(h, NULL, h->n_done > before && h->state == VMM_GONE);
	}
	if (h->guest)
		vmm_guest_free(h->guest);
	h->guest = NULL;
}

static inline void host_free(struct host *h)
{
	char command[HOST_PATH_MAX + 16];

	host_destroy(h);
	vmm_free(h->v);
	(void)snprintf(command, sizeof(command), "rm -rf %s", h->dir);
	assert_int_equal(system(command), 0);
	for (size_t i = 0; i < HOSTS_MAX; i++)
		if (host_all[i] == h)
			host_all[i] = NULL;
	free(h);
}

/* After each test: a guest that it left behind would hold the disk of the next one's. */
static inline int host_reap(void **state)
{
	(void)state;
	for (size_t i = 0; i < HOSTS_MAX; i++)
		if (host_all[i])
			host_free(host_all[i]);
	return 0;
}

/* Two hosts, a guest that runs on a, one that waits on b, and a stream between them. */
struct pair {
	struct host *a, *b;
	int to_b, to_a;
};

static inline struct pair pair_new(void)
{
	struct pair p = { host_new(), host_new(), -1, -1 };
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	p.to_b = sv[0];
	p.to_a = sv[1];
	memcpy(p.b->disk, p.a->disk, sizeof(p.b->disk));
	host_start(p.a, 0, NULL);
	host_start(p.b, VMM_START_INCOMING, HOST_MIGRATION_ID);
	assert_int_equal(p.b->state, VMM_INCOMING);
	host_await(p.a, p.b, host_ticks(p.a, NULL) >= 3);
	return p;
}

/* The same with a connection as between two hosts. */
static inline void pair_over_tcp(struct pair *p)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	close(p->to_a);
	close(p->to_b);
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(s, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(s, 1), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&sin, &len), 0);
	p->to_b = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(p->to_b, (struct sockaddr *)&sin, sizeof(sin)), 0);
	p->to_a = accept4(s, NULL, NULL, SOCK_CLOEXEC);
	assert_true(p->to_a >= 0);
	close(s);
}

static inline void pair_free(struct pair *p)
{
	host_free(p->a);
	host_free(p->b);
}

static inline void pair_send(struct pair *p, const struct vmm_send_options *opt)
{
	assert_int_equal(vmm_receive(p->b->guest, p->to_a), 0);
	p->a->n_done = 0;
	assert_int_equal(vmm_send(p->a->guest, p->to_b, opt, host_done, p->a), 0);
}

/* b runs on where a stopped: neither a tick twice, nor one left out. */
static inline void assert_moved(struct pair *p)
{
	long last, first;

	host_await(p->a, p->b, host_ticks(p->b, NULL) >= 3);
	last = host_ticks(p->a, NULL);
	assert_true(host_ticks(p->b, &first) > 0);
	assert_int_equal(first, last + 1);
}

#endif
