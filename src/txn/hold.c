/* SPDX-License-Identifier: MIT */
/*
 * Holds and waits. Invariant: at most HOLD_ACTIVE_MAX holds are active, each with a deadline;
 * whoever waits has a deadline, too. Looking for a hold costs the number of active holds, and
 * nothing while there is none, which is the rule.
 */
#include "txn/hold.h"

#include <stdlib.h>
#include <string.h>

#include "wire/path.h"

struct lost_path {
	struct lost_path *next; /* owned */
	size_t len;
	char path[];
};

void hold_table_init(struct hold_table *h)
{
	list_init(&h->active);
	list_init(&h->waiting);
	h->n_active = 0;
	h->now_ms = 0;
}

void contender_init(struct contender *c, bool privileged)
{
	memset(c, 0, sizeof(*c));
	list_init(&c->active);
	list_init(&c->waiting);
	c->privileged = privileged;
}

static void lost_free(struct contender *c)
{
	while (c->lost) {
		struct lost_path *next = c->lost->next;

		free(c->lost);
		c->lost = next;
	}
}

static bool shares_path(const struct contender *a, const struct contender *b)
{
	for (const struct lost_path *x = a->lost; x; x = x->next)
		for (const struct lost_path *y = b->lost; y; y = y->next)
			if (x->len == y->len && !memcmp(x->path, y->path, x->len))
				return true;
	return false;
}

static bool holds_all(const struct contender *c)
{
	return c->privileged && c->losses >= HOLD_ALL_AFTER;
}

/* Whether holder makes c wait at all. */
static bool outranks(const struct contender *holder, const struct contender *c)
{
	return holder != c && (holder->privileged || !c->privileged);
}

static void hold_activate(struct hold_table *h, struct contender *c, uint64_t now_ms)
{
	size_t max = c->privileged ? HOLD_ACTIVE_MAX : HOLD_ACTIVE_MAX / 2;

	if (!list_is_empty(&c->active) || (h->n_active >= max && !holds_all(c)))
		return;
	list_append(&h->active, &c->active);
	h->n_active++;
	c->tx_id = 0;
	c->deadline_ms = now_ms + (c->privileged ? HOLD_MAX_MS : HOLD_MAX_GUEST_MS);
}

static void wait_end(struct contender *c)
{
	list_remove(&c->waiting);
	if (c->wake)
		c->wake(c);
}

static const struct contender *start_blocker(const struct hold_table *h, const struct contender *c)
{
	struct contender *a;

	list_for_each(a, &h->active, active)
		if (outranks(a, c) && shares_path(a, c))
			return a;
	return NULL;
}

/* c no longer holds: the first one that waited to start on its paths takes over. */
static void hold_release(struct hold_table *h, struct contender *c)
{
	struct contender *w;

	if (list_is_empty(&c->active))
		return;
	list_remove(&c->active);
	h->n_active--;
	list_for_each(w, &h->waiting, waiting) {
		if (w->wants_start) {
			if (start_blocker(h, w))
				continue;
			hold_activate(h, w, h->now_ms);
		}
		wait_end(w);
	}
}

static void losses_forget(struct contender *c)
{
	c->losses = 0;
	lost_free(c);
}

void contender_fini(struct hold_table *h, struct contender *c)
{
	list_remove(&c->waiting);
	hold_release(h, c);
	losses_forget(c);
	c->wait_until_ms = 0;
}

/* Puts c on the waiting list; false when it has waited long enough. */
static bool wait_begin(struct hold_table *h, struct contender *c, bool wants_start, uint64_t now_ms)
{
	if (c->wait_until_ms && now_ms >= c->wait_until_ms)
		return false;
	if (!c->wait_until_ms)
		c->wait_until_ms = now_ms + HOLD_WAIT_MS;
	c->wants_start = wants_start;
	if (list_is_empty(&c->waiting))
		list_append(&h->waiting, &c->waiting);
	return true;
}

void hold_wait_over(struct contender *c)
{
	list_remove(&c->waiting);
	c->wait_until_ms = 0;
}

bool hold_may_start(struct hold_table *h, struct contender *c, uint64_t now_ms)
{
	if (c->losses && list_is_empty(&c->active) && start_blocker(h, c) &&
	    wait_begin(h, c, true, now_ms))
		return false;
	hold_wait_over(c);
	return true;
}

void hold_began(struct hold_table *h, struct contender *c, uint32_t tx_id, uint64_t now_ms)
{
	if (!c->losses)
		return;
	hold_activate(h, c, now_ms);
	if (!list_is_empty(&c->active) && !c->tx_id)
		c->tx_id = tx_id;
}

static bool overlaps(const struct contender *holder, const char *path, size_t len, bool removed)
{
	size_t parent_len = path_parent_len(path, len);

	for (const struct lost_path *l = holder->lost; l; l = l->next) {
		if (l->len == len && !memcmp(l->path, path, len))
			return true;
		if (l->len == parent_len && !memcmp(l->path, path, parent_len))
			return true;
		if (removed && path_is_below(l->path, l->len, path, len))
			return true;
	}
	return false;
}

bool hold_may_change(struct hold_table *h, struct contender *c, enum hold_access access,
		     const char *path, size_t len, bool removed, uint64_t now_ms)
{
	struct contender *a;

	list_for_each(a, &h->active, active) {
		bool blocks;

		if (!outranks(a, c) || now_ms >= a->deadline_ms)
			continue;
		if (!c->privileged && holds_all(a))
			blocks = true;
		else if (access == HOLD_WRITE && (c->privileged || !a->privileged))
			blocks = false;
		else
			blocks = overlaps(a, path, len, removed);
		if (!blocks)
			continue;
		/* against this one even a long wait goes on: to its end, which is near */
		if (holds_all(a) && c->wait_until_ms && c->wait_until_ms < a->deadline_ms)
			c->wait_until_ms = a->deadline_ms;
		if (wait_begin(h, c, false, now_ms))
			return false;
	}
	return true;
}

static void lost_note(struct contender *c, const char *path, size_t len)
{
	struct lost_path *l, **at;
	size_t n = 0;

	for (at = &c->lost; *at; at = &(*at)->next)
		if ((*at)->len == len && !memcmp((*at)->path, path, len))
			return;
	l = malloc(sizeof(*l) + len);
	if (!l)
		return; /* less protection, nothing else */
	l->len = len;
	memcpy(l->path, path, len);
	l->next = c->lost;
	c->lost = l;
	for (at = &c->lost; *at; at = &(*at)->next) {
		if (++n > HOLD_PATHS) {
			free(*at);
			*at = NULL;
			return;
		}
	}
}

void hold_ended(struct hold_table *h, struct contender *c, uint32_t tx_id, bool committed,
		const char *lost_path, size_t len)
{
	if (c->tx_id == tx_id)
		hold_release(h, c);
	if (lost_path) {
		c->losses++;
		lost_note(c, lost_path, len);
	} else if (committed || !c->privileged) {
		losses_forget(c);
	}
}

uint64_t hold_tick(struct hold_table *h, uint64_t now_ms)
{
	uint64_t next = UINT64_MAX;
	struct contender *c;

	h->now_ms = now_ms;
	list_for_each(c, &h->active, active) {
		if (now_ms >= c->deadline_ms) {
			hold_release(h, c);
			if (!c->privileged)
				losses_forget(c);
			return now_ms; /* the lists changed: look again at once */
		}
		if (c->deadline_ms < next)
			next = c->deadline_ms;
	}
	list_for_each(c, &h->waiting, waiting) {
		if (now_ms >= c->wait_until_ms)
			wait_end(c);
		else if (c->wait_until_ms < next)
			next = c->wait_until_ms;
	}
	return next;
}
