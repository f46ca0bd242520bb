/* SPDX-License-Identifier: MIT */
/*
 * Writing the journal. Invariant: whatever the instant, the header leads a reader to a base and to
 * logs that together are the state after the last commit; a store of one aligned word moves from
 * one such state to the next.
 *
 *   holds PAIR 0:     base.0, log.0 from its begin
 *   GOES_ON 0:        the same, then log.1 from its start       base.1 is being written
 *   PAIR 1:           base.1, log.1 from its begin              base.0, log.0 are emptied
 *
 * At its begin log.1 has the transactions that were open then; its start is behind them, for who
 * has them from log.0 already.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "recover/header.h"

static_assert(sizeof(struct journal_header) <= AREA_USER_SIZE, "the header has a place");

const char *const journal_file_name[JOURNAL_FILES] = { "area", "base.0", "log.0", "base.1",
						       "log.1" };

#define STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Before the files change that a reader may be at. */
static void set_holds(struct journal *j, enum journal_holds what, unsigned int pair)
{
	STORE(&j->header->generation, j->header->generation + 1);
	STORE(&j->header->holds, journal_holds_make(what, pair));
}

static struct record_file *log_file(struct journal *j)
{
	return &j->log[j->write];
}

static int open_files(struct journal *j, const int fd[JOURNAL_FILES], bool writable)
{
	int r = 0;

	for (unsigned int i = 0; i < 2 && !r; i++) {
		r = record_file_open(&j->base[i], fd[1 + 2 * i], journal_file_name[1 + 2 * i],
				     writable);
		if (!r)
			r = record_file_open(&j->log[i], fd[2 + 2 * i],
					     journal_file_name[2 + 2 * i], writable);
	}
	j->has_log = !r;
	return r;
}

int journal_new(const int fd[JOURNAL_FILES], const char *boot_id, struct journal **ret)
{
	struct journal *j = calloc(1, sizeof(*j));
	int r = 0;

	if (!j)
		return FAULT(-ENOMEM);
	for (unsigned int i = 0; fd && i < JOURNAL_FILES && !r; i++)
		if (ftruncate(fd[i], 0))
			r = -errno;
	if (!r)
		r = area_new(fd ? fd[0] : -1, boot_id, &j->area);
	if (!r && fd)
		r = open_files(j, fd, true);
	if (r) {
		log_error("journal: %s", strerror(-r));
		journal_free(j);
		return r;
	}
	j->header = area_user(j->area);
	j->writable = true;
	j->log_min = JOURNAL_LOG_MIN;
	*j->header = (struct journal_header){ .magic = JOURNAL_MAGIC, .version = JOURNAL_VERSION };
	*ret = j;
	return 0;
}

/* Whether what the header says can be. */
static int check_header(const struct journal *j)
{
	const struct journal_header *h = j->header;
	enum journal_holds what = h->holds / 2;

	if (h->magic != JOURNAL_MAGIC || h->version != JOURNAL_VERSION || what == JOURNAL_NOTHING)
		return ENOENT;
	if (what > JOURNAL_GOES_ON) {
		log_error("journal area: the header is damaged");
		return EINVAL;
	}
	if (h->base_len[j->pair] > j->base[j->pair].room) {
		log_error("journal %s: is shorter than the area says", j->base[j->pair].name);
		return EINVAL;
	}
	return 0;
}

int journal_attach(const int fd[JOURNAL_FILES], const char *boot_id, bool writable,
		   struct journal **ret)
{
	struct journal *j = calloc(1, sizeof(*j));
	int r;

	if (!j)
		return FAULT(-ENOMEM);
	r = area_attach(fd[0], boot_id, writable, &j->area);
	if (r == EINVAL)
		log_error("journal area: damaged");
	if (!r)
		r = open_files(j, fd, writable);
	if (!r) {
		j->writable = writable;
		j->log_min = JOURNAL_LOG_MIN;
		j->header = area_user(j->area);
		j->generation = journal_generation(j);
		j->pair = j->header->holds & 1;
		j->write = j->header->holds / 2 == JOURNAL_GOES_ON ? !j->pair : j->pair;
		r = check_header(j);
	}
	if (r) {
		journal_free(j);
		return r == ESTALE ? ENOENT : r;
	}
	*ret = j;
	return 0;
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	journal_stop(j);
	for (unsigned int i = 0; i < 2; i++) {
		record_file_close(&j->base[i]);
		record_file_close(&j->log[i]);
	}
	area_free(j->area);
	free(j);
}

struct area *journal_area(struct journal *j)
{
	return j->area;
}

struct core_counters *journal_counters(struct journal *j)
{
	return &j->header->counters;
}

static int file_put(void *data, const struct drover_record *rec)
{
	return record_file_put(data, rec);
}

static int log_put(void *data, const struct drover_record *rec)
{
	struct journal *j = data;

	return j->broken ? 0 : record_file_put(log_file(j), rec);
}

static uint64_t log_mark(void *data)
{
	return log_file(data)->len;
}

static void log_rewind(void *data, uint64_t mark)
{
	struct journal *j = data;

	if (!j->broken)
		log_file(j)->len = mark;
}

/* --- checkpoints ------------------------------------------------------------------------- */

static void checkpoint_end(struct journal *j)
{
	j->records.checkpoint = NULL;
	state_checkpoint_free(TAKE(j->checkpoint));
}

/* The base that was being written is whole. */
static void checkpoint_done(struct journal *j)
{
	unsigned int pair = j->write, old = !pair;

	checkpoint_end(j);
	STORE(&j->header->base_len[pair], j->base[pair].len);
	set_holds(j, JOURNAL_PAIR, pair);
	j->pair = pair;
	j->next_try = 0;
	j->n_checkpoints++;
	record_file_empty(&j->base[old], j->base[pair].len);
	record_file_empty(&j->log[old], RECORD_FILE_CHUNK);
}

/* Puts down the world as it is: what stays a snapshot of it, and what goes to the log at to. */
static int checkpoint_open(struct journal *j, unsigned int to)
{
	struct state_sink base = { .put = file_put, .data = &j->base[to] };
	struct state_sink log = { .put = file_put, .data = &j->log[to] };
	size_t was = j->log[to].len;
	int r;

	j->base[to].len = 0;
	r = state_checkpoint_new(j->core, &j->host, &base, &log, &j->checkpoint);
	if (r)
		j->log[to].len = was;
	return r;
}

/*
 * Begins one: the log goes on in the other file. Until that is told nothing has changed. Everything
 * told of so far must be committed.
 */
static int checkpoint_begin(struct journal *j)
{
	unsigned int to = !j->pair;
	int r;

	j->log[to].len = 0;
	r = checkpoint_open(j, to);
	if (r)
		return r;
	j->header->log[to] = (struct journal_log_head){ .head = j->log[to].len,
							.preamble = j->log[to].len,
							.start = j->log[to].len };
	set_holds(j, JOURNAL_GOES_ON, j->pair);
	j->write = to;
	j->records.checkpoint = j->checkpoint;
	return 0;
}

/* All of it at once; the log goes on where it is. */
static int checkpoint_whole(struct journal *j)
{
	struct journal_log_head *head = &j->header->log[j->write];
	uint64_t begin = log_file(j)->len;
	int r;

	r = checkpoint_open(j, j->write);
	while (!r && (r = state_checkpoint_step(j->checkpoint, SIZE_MAX)) > 0)
		r = 0;
	if (r) {
		log_file(j)->len = begin;
		if (j->checkpoint)
			checkpoint_end(j);
		return r;
	}
	head->begin = begin;
	head->preamble = log_file(j)->len;
	checkpoint_done(j);
	return 0;
}

static void hold_nothing(struct journal *j)
{
	set_holds(j, JOURNAL_NOTHING, 0);
	for (unsigned int i = 0; i < 2; i++) {
		j->header->log[i] = (struct journal_log_head){ 0 };
		record_file_empty(&j->base[i], 0);
		record_file_empty(&j->log[i], 0);
	}
}

/*
 * The files have no room. All of it is written anew, which may need less; where that fails, too, a
 * crash from now on would lose what happens, and a reader must not take an old state for the
 * present one.
 */
static void journal_break(struct journal *j)
{
	if (j->checkpoint)
		checkpoint_end(j);
	j->records.error = 0;
	hold_nothing(j);
	/* with room for less log than that, all would be written anew with each commit */
	if (!checkpoint_whole(j) && !record_file_reserve(log_file(j), j->log_min)) {
		if (j->broken)
			log_notice("journal: there is room again, all is kept from now on");
		else
			log_warning("journal: written anew for want of room");
		j->broken = false;
		return;
	}
	if (!j->broken)
		log_error("journal: no room; a crash from now on loses the store");
	j->broken = true;
	j->next_try = j->core->counters->rounds + JOURNAL_RETRY_ROUNDS;
	hold_nothing(j);
}

/*
 * What a checkpoint writes, open transactions too, is at most five times what has come since. More
 * log would be longer to read for who recovers: a record of it costs as much as three of a base.
 */
static bool has_changes(void *data)
{
	struct journal *j = data;

	return !j->broken &&
	       (log_file(j)->len != j->header->log[j->write].head || j->records.error);
}

static uint64_t log_limit(const struct journal *j)
{
	uint64_t preamble = j->header->log[j->write].preamble;
	uint64_t part = (j->base[j->pair].len + preamble) / 4;

	return preamble + (part > j->log_min ? part : j->log_min);
}

bool journal_round(struct journal *j)
{
	int r;

	if (!j->core || !j->has_log)
		return false;
	if (j->broken) {
		/* now and then, at a cost that follows what has happened since */
		if (j->core->counters->rounds >= j->next_try)
			journal_break(j);
		return false;
	}
	if (j->frozen)
		return false;
	if (!j->checkpoint) {
		if (log_file(j)->len < log_limit(j) + j->next_try)
			return false;
		/* what the base has must not be missing from the log before it */
		conn_commit(&j->core->conns);
		if (j->broken || has_changes(j))
			return false;
		r = checkpoint_begin(j);
		if (r) {
			j->next_try += log_limit(j);
			return false;
		}
	}
	r = state_checkpoint_step(j->checkpoint, JOURNAL_STEP);
	if (r > 0)
		return true;
	if (r)
		journal_break(j);
	else
		checkpoint_done(j);
	return false;
}

void journal_freeze(struct journal *j, bool on)
{
	j->frozen = on;
}

/* --- commits ----------------------------------------------------------------------------- */

static int put_commit(struct journal *j, uint64_t seq, const struct conn_word *words, size_t n)
{
	struct drover_record rec = { .type = DROVER_RECORD_COMMIT };

	/* the two structs are one layout: see recover.c */
	rec.commit.seq = seq;
	rec.commit.words.entry = words;
	rec.commit.words.n = (uint32_t)n;
	return record_file_put(log_file(j), &rec);
}

static int commit(void *data, uint64_t seq, const struct conn_word *words, size_t n)
{
	struct journal *j = data;
	int r = j->records.error;

	if (j->broken || !j->has_log)
		return 0;
	if (!r)
		r = put_commit(j, seq, words, n);
	if (r) {
		journal_break(j);
		/* written anew it holds all that was done, but not the words */
		if (!j->broken && put_commit(j, seq, words, n))
			journal_break(j);
		if (j->broken)
			return 0;
	}
	STORE(&j->header->log[j->write].head, log_file(j)->len);
	return 0;
}

static void conn_told(void *data, const struct conn *c)
{
	struct journal *j = data;

	if (j->core->log)
		j->core->log->conn(j->core->log_data, c);
}

static void conn_closed(void *data, const struct conn *c)
{
	struct journal *j = data;

	if (j->core->log)
		j->core->log->conn_closed(j->core->log_data, c);
}

/* In hexadecimal, a line for each 1024 octets. */
static void refused(void *data, const struct conn *c, const struct wire_msg *m)
{
	char line[2 * 1024 + 1];

	(void)data;
	log_error("connection %llu (domain %u): %s request of %u octets ended the worker %u times; "
		  "it is answered EIO and not tried again",
		  (unsigned long long)c->id, c->watcher.domid, wire_type_name(m->hdr.type),
		  m->hdr.len, CONN_DEATHS_MAX);
	for (uint32_t at = 0; at < m->hdr.len; at += 1024) {
		uint32_t n = m->hdr.len - at < 1024 ? m->hdr.len - at : 1024;

		for (uint32_t i = 0; i < n; i++) {
			uint8_t octet = (uint8_t)m->payload[at + i];

			line[2 * i] = "0123456789abcdef"[octet >> 4];
			line[2 * i + 1] = "0123456789abcdef"[octet & 15];
		}
		line[2 * n] = '\0';
		log_error("octets from %u: %s", at, line);
	}
}

static const struct conn_log_ops conn_ops = { .opened = conn_told,
					      .changed = conn_told,
					      .closed = conn_closed,
					      .has_changes = has_changes,
					      .commit = commit,
					      .refused = refused };

static void keep_host(struct journal *j, const struct state_host *host)
{
	size_t len = host->trace_path ? strnlen(host->trace_path, sizeof(j->trace_path) - 1) : 0;

	if (len)
		memcpy(j->trace_path, host->trace_path, len);
	j->trace_path[len] = '\0';
	j->host = *host;
	j->host.trace_path = j->trace_path;
}

int journal_start(struct journal *j, struct core *core, const struct state_host *host, bool fresh)
{
	int r = 0;

	keep_host(j, host);
	j->core = core;
	if (j->has_log) {
		j->records.sink = (struct state_sink){ .put = log_put, .data = j };
		j->records.mark = log_mark;
		j->records.rewind = log_rewind;
		state_log_attach(&j->records, core);
	}
	core->conns.log = &conn_ops;
	core->conns.log_data = j;
	if (!j->has_log)
		return 0;
	if (!fresh) {
		j->base[j->pair].len = j->header->base_len[j->pair];
		log_file(j)->len = journal_log_end(j->header, j->write);
	}
	/* one that was under way is begun again, all at once: who wrote it is gone */
	if (fresh || j->header->holds / 2 == JOURNAL_GOES_ON)
		r = checkpoint_whole(j);
	return r;
}

int journal_own(struct journal *j)
{
	int r = 0;

	if (j->writable)
		return 0;
	for (unsigned int i = 0; i < 2 && !r; i++) {
		r = record_file_own(&j->base[i]);
		if (!r)
			r = record_file_own(&j->log[i]);
	}
	if (!r)
		r = area_own(j->area);
	j->writable = !r;
	return r;
}

void journal_stop(struct journal *j)
{
	if (!j->core)
		return;
	if (j->has_log && area_disown(j->area))
		abort(); /* or what others go on with would be taken apart */
	if (j->checkpoint)
		checkpoint_end(j);
	core_set_log(j->core, NULL, NULL);
	j->core->conns.log = NULL;
	j->core = NULL;
}

void journal_put_conn_gone(struct journal *j, uint32_t conn_id)
{
	if (j->has_log && rec_put_conn_gone(&j->records.sink, conn_id))
		j->records.error = -ENOMEM;
}

void journal_set_host(struct journal *j, bool trace_on, const char *trace_path)
{
	struct state_host host = { .started_ms = j->host.started_ms,
				   .trace_on = trace_on,
				   .trace_path = trace_path };

	keep_host(j, &host);
	if (j->core && j->has_log && !j->broken &&
	    rec_put_host(&j->records.sink, trace_on, j->trace_path))
		j->records.error = -ENOMEM;
}

void journal_stats(const struct journal *j, struct journal_stats *ret)
{
	*ret = (struct journal_stats){ .base_octets = j->base[j->pair].len,
				       .log_octets = j->log[j->write].len,
				       .checkpoints = j->n_checkpoints,
				       .broken = j->broken };
}
