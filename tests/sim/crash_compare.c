/* SPDX-License-Identifier: MIT */
/*
 * What the journal makes of a core against the core itself, as octets of an image; and what that
 * image makes of it in turn.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "drover/image.h"
#include "recover/header.h"
#include "state/load.h"
#include "state/write.h"

/* An image in memory. */
struct picture {
	uint8_t *buf; /* owned */
	size_t len;
	size_t room;
	bool no_io;	/* without what connections have received and not sent */
	size_t watches; /* where the watches of a connection begin; 0: not among them */
};

/* The last record, a watch, to its place: the order of a connection's watches says nothing. */
static void sort_in(struct picture *p, size_t at)
{
	size_t len = p->len - at, from = p->watches, other;
	struct drover_image_error err;
	struct drover_record rec;
	uint8_t copy[8192];

	assert(len <= sizeof(copy));
	memcpy(copy, p->buf + at, len);
	for (; from < at; from += other) {
		if (drover_record_decode(journal_format(), p->buf + from, at - from, &rec, &other,
					 &err))
			abort();
		if (other > len || (other == len && memcmp(p->buf + from, copy, len) > 0))
			break;
	}
	memmove(p->buf + from + len, p->buf + from, at - from);
	memcpy(p->buf + from, copy, len);
}

static int picture_put(void *data, const struct drover_record *rec)
{
	struct drover_record mine = *rec;
	struct picture *p = data;
	size_t len;

	/* these rise at each taking over */
	if (mine.type == DROVER_RECORD_STATE)
		mine.state.store_gen = mine.state.next_conn_id = 0;
	if (p->no_io && mine.type == DROVER_RECORD_CONNECTION) {
		mine.connection.input.len = mine.connection.output.len = 0;
		mine.connection.resp_len = 0;
	}
	while (drover_record_encode(journal_format(), &mine, p->buf + p->len, p->room - p->len,
				    &len, NULL)) {
		assert(p->room < 64u << 20);
		p->room = p->room * 2 + 65536;
		p->buf = realloc(p->buf, p->room);
		assert(p->buf);
	}
	p->len += len;
	if (mine.type != DROVER_RECORD_WATCH && mine.type != DROVER_RECORD_WATCH_DEPTH)
		p->watches = 0;
	else if (!p->watches)
		p->watches = p->len - len;
	else
		sort_in(p, p->len - len);
	return 0;
}

static void take(struct picture *p, const struct core *core)
{
	struct state_write_options opt = {
		.quotas = true, .unique_ids = true, .socket_fd = -1, .evtchn_fd = -1
	};
	const struct state_sink sink = { .put = picture_put, .data = p };

	if (state_write(core, &opt, &sink))
		abort();
}

static void compare(struct world *w, const char *what, const struct picture *a,
		    const struct picture *b)
{
	struct drover_image_error err;
	struct drover_record rec;
	size_t at = 0, len = 0;

	if (a->len == b->len && !memcmp(a->buf, b->buf, a->len))
		return;
	for (; at < a->len && at < b->len; at += len) {
		if (drover_record_decode(journal_format(), a->buf + at, a->len - at, &rec, &len,
					 &err))
			break;
		if (at + len > b->len || memcmp(a->buf + at, b->buf + at, len))
			break;
	}
	world_fail(w, "%s differs at offset %zu of %zu and %zu: record %u (%s)", what, at, a->len,
		   b->len, rec.type, drover_record_type_name(rec.type));
}

/* The world of the image, read into a core of its own. */
static void load(struct world *w, const struct picture *from, struct picture *to)
{
	struct quota_policy policy = w->policy;
	struct core_options opt = w->opt;
	struct drover_image_error err;
	struct drover_record rec;
	struct state_load *l;
	size_t at = 0, len;
	int r;

	opt.area = NULL;
	opt.counters = NULL;
	opt.policy = &policy;
	if (state_load_new(&opt, &l))
		abort();
	while (at < from->len) {
		r = drover_record_decode(journal_format(), from->buf + at, from->len - at, &rec,
					 &len, &err);
		if (!r)
			r = state_load_put(l, &rec);
		if (r) {
			world_fail(w, "its own image is refused: %s", state_load_error(l));
			break;
		}
		at += len;
	}
	take(to, state_load_core(l));
	state_load_free(l);
}

void crash_compare(struct world *w)
{
	struct crash *c = w->crash;
	struct picture now = { .no_io = true }, kept = { .no_io = true }, again = { .no_io = true };
	struct quota_policy policy = w->policy;
	struct core_options opt = w->opt;
	struct recover *r = NULL;
	struct journal *j = NULL;

	if (!c)
		return;
	opt.area = NULL;
	opt.counters = NULL;
	opt.policy = &policy;
	take(&now, w->core);
	if (journal_attach(c->fd, CRASH_BOOT, false, &j) || recover_new(j, &opt, &r) ||
	    recover_read(r)) {
		world_fail(w, "the journal cannot be read along: %s", r ? recover_error(r) : "");
	} else {
		take(&kept, recover_core(r));
		compare(w, "what the journal holds", &now, &kept);
	}
	recover_free(r);
	journal_free(j);
	load(w, &now, &again);
	compare(w, "what its image holds", &now, &again);
	free(now.buf);
	free(kept.buf);
	free(again.buf);
}
