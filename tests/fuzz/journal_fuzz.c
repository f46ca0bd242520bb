/* SPDX-License-Identifier: MIT */
/*
 * A journal that is not as its daemon left it. The input changes octets of its five files, copies
 * some elsewhere, and appends records to the log; then another daemon takes over from them. It
 * refuses, or serves a world without contradictions.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc.h"
#include "base/log.h"
#include "crash.h"
#include "fuzz.h"
#include "recover/header.h"
#include "scenario.h"

#define FILE_USED (256u << 10) /* octets of a file that are kept: more than any of them uses */
#define APPEND_MAX 255u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a daemon has left. */
static struct {
	uint8_t *octets[JOURNAL_FILES]; /* owned */
	size_t len[JOURNAL_FILES];
	size_t used[JOURNAL_FILES]; /* octets worth changing */
	size_t header;		    /* where the journal's is in the area */
	unsigned int log;	    /* the file that is written */
} left;

static void quiet(void *data, enum log_level level, const char *line)
{
	(void)data;
	(void)level;
	(void)line;
}

static void report(void *data, const char *line)
{
	(void)data;
	(void)line;
}

static void populate(struct world *w)
{
	struct peer *t = world_socket(w), *guest = world_guest(w, t, 1);
	static const char *const asked[] = { "MKDIR /s",	  "SET_PERMS /s b0",
					     "WRITE /s/x 1",	  "START",
					     "WATCH /s t",	  "WATCH @releaseDomain u 1",
					     "tx=1 WRITE /s/y 2", "RM /s/x" };

	world_guest(w, t, 2);
	scenario_send(w, t, "SET_TARGET 2 1");
	world_run(w);
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		scenario_send(w, t, asked[i]);
		scenario_send(w, guest, asked[i]);
		world_run(w);
	}
	/* half a request, and output that nobody reads */
	guest->deaf = true;
	scenario_send(w, t, "WRITE /s/x 3");
	peer_send_raw(guest, "\0\0\0\0half", 8);
	world_run(w);
}

static void capture(void)
{
	static const uint32_t magic = JOURNAL_MAGIC;
	struct world_options opt = { .priv_domid = PERM_NO_DOMID,
				     .journal = true,
				     .no_oracle = true };
	struct world *w = world_new(&opt);
	struct journal *j = w->crash->journal;
	const uint8_t *at;

	populate(w);
	for (unsigned int i = 0; i < JOURNAL_FILES; i++) {
		left.len[i] = (size_t)lseek(w->crash->fd[i], 0, SEEK_END);
		left.octets[i] = malloc(left.len[i] + 1);
		assert(left.octets[i]);
		if (pread(w->crash->fd[i], left.octets[i], left.len[i], 0) != (ssize_t)left.len[i])
			abort();
		left.used[i] = left.len[i] < FILE_USED ? left.len[i] : FILE_USED;
	}
	for (unsigned int i = 0; i < 2; i++) {
		left.used[1 + 2 * i] = j->base[i].len;
		left.used[2 + 2 * i] = j->log[i].len;
	}
	left.log = 2 + 2 * j->write;
	at = memmem(left.octets[0], left.len[0], &magic, sizeof(magic));
	assert(at);
	left.header = (size_t)(at - left.octets[0]);
	world_free(w);
}

/* --- one input ------------------------------------------------------------------------------ */

struct files {
	int fd[JOURNAL_FILES];
	uint8_t *octets[JOURNAL_FILES]; /* owned mappings */
};

static void files_open(struct files *f)
{
	for (unsigned int i = 0; i < JOURNAL_FILES; i++) {
		f->fd[i] = memfd_create(journal_file_name[i], MFD_CLOEXEC);
		if (f->fd[i] < 0 ||
		    write(f->fd[i], left.octets[i], left.len[i]) != (ssize_t)left.len[i])
			abort();
		f->octets[i] = NULL;
		if (left.len[i])
			f->octets[i] = mmap(NULL, left.len[i], PROT_READ | PROT_WRITE, MAP_SHARED,
					    f->fd[i], 0);
		if (f->octets[i] == MAP_FAILED)
			abort();
	}
}

static void files_close(struct files *f)
{
	for (unsigned int i = 0; i < JOURNAL_FILES; i++) {
		if (f->octets[i])
			munmap(f->octets[i], left.len[i]);
		close(f->fd[i]);
	}
}

static void change(struct files *f, struct fuzz_input *in)
{
	unsigned int file = fuzz_octet(in) % JOURNAL_FILES;
	struct journal_header *h = (void *)(f->octets[0] + left.header);
	struct journal_log_head *head = &h->log[left.log / 2 - 1];
	uint32_t at = fuzz_word(in), v;
	const uint8_t *octets;
	size_t n;

	if (!left.used[file])
		return;
	switch (fuzz_octet(in) % 4) {
	case 0:
		f->octets[file][at % left.used[file]] ^= fuzz_octet(in);
		break;
	case 1:
		v = fuzz_word(in);
		at = at % left.used[file] & ~3u;
		memcpy(f->octets[file] + at, &v, sizeof(v));
		break;
	case 2:
		n = fuzz_octet(in);
		v = fuzz_word(in) % (uint32_t)left.used[file] & ~7u;
		at = at % (uint32_t)left.used[file] & ~7u;
		if (at + n <= left.len[file] && v + n <= left.len[file])
			memmove(f->octets[file] + at, f->octets[file] + v, n);
		break;
	default:
		n = fuzz_take(in, fuzz_octet(in), &octets);
		at = (uint32_t)head->head;
		if (head->head + n + 8 > left.len[left.log])
			break;
		memcpy(f->octets[left.log] + at, octets, n);
		head->head += (n + 7) & ~(size_t)7;
		break;
	}
}

static ssize_t dead_recv(void *transport, struct conn_cell *cell, void *buf, size_t room)
{
	(void)transport;
	(void)cell;
	(void)buf;
	(void)room;
	return 0;
}

static ssize_t dead_send(void *transport, struct conn_cell *cell, const void *buf, size_t len)
{
	(void)transport;
	(void)buf;
	conn_cell_note(cell, len);
	return (ssize_t)len;
}

static void dead_free(void *transport)
{
	(void)transport;
}

static int find(void *data, uint64_t peer_id, struct conn *c, const struct transport_ops **ret_ops,
		void **ret_transport)
{
	static const struct transport_ops ops = { .recv = dead_recv,
						  .send = dead_send,
						  .free = dead_free };

	(void)peer_id;
	(void)c;
	*ret_ops = &ops;
	*ret_transport = data;
	return 0;
}

static void serve(struct core *core, struct journal *j)
{
	uint64_t now_ms = 1000;

	for (int i = 0; i < 4; i++) {
		core_hv_events(core);
		core_round(core, now_ms += 10);
		journal_round(j);
	}
	if (core_check(core))
		abort();
	journal_stop(j);
	core_free(core);
}

static void take_over(const struct files *f, struct fake_hv *hv)
{
	const struct recover_sockets sockets = { .find = find, .data = hv };
	static struct quota_policy policy;
	struct core_options opt = { .key = { 1, 2 },
				    .priv_domid = PERM_NO_DOMID,
				    .policy = &policy };
	struct recover *r = NULL;
	struct journal *j = NULL;
	struct core *core;

	quota_policy_init(&policy);
	policy.report = report;
	if (journal_attach(f->fd, CRASH_BOOT, true, &j))
		return;
	opt.area = journal_area(j);
	opt.counters = journal_counters(j);
	if (recover_new(j, &opt, &r))
		abort();
	if (recover_read(r)) {
		recover_free(r);
		journal_free(j);
		return;
	}
	if (!recover_take_over(r, j, &hv->hv, &sockets, &core)) {
		serve(core, j);
	} else {
		/* such a process ends, and its core with it */
		record_file_close(&j->base[0]);
		record_file_close(&j->base[1]);
		record_file_close(&j->log[0]);
		record_file_close(&j->log[1]);
		area_free(j->area);
		return;
	}
	recover_free(r);
	journal_free(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { .at = data, .left = size };
	static struct fake_hv hv;
	struct files f;

	if (!left.len[0])
		capture();
	log_set_sink(quiet, NULL);
	fake_hv_init(&hv);
	fake_hv_create(&hv, 1);
	fake_hv_create(&hv, 2);
	files_open(&f);
	while (in.left)
		change(&f, &in);
	alloc_track(true);
	alloc_resume();
	take_over(&f, &hv);
	alloc_pause();
	alloc_track(false);
	alloc_abandon();
	files_close(&f);
	return 0;
}
