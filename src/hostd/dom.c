/* SPDX-License-Identifier: MIT */
/*
 * The guests of a host. Invariant: by_uuid and by_name hold the same guests, each sorted, each
 * guest once; one that was removed is on the list of the dead until nobody refers to it.
 */
#include "hostd/dom.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

void registry_init(struct registry *r)
{
	memset(r, 0, sizeof(*r));
	list_init(&r->dead);
	r->next_id = 1;
}

static void dom_free(struct dom *d)
{
	assert(list_is_empty(&d->waiters) && list_is_empty(&d->enders));
	list_remove(&d->dead);
	def_free(d->live);
	def_free(d->persistent);
	def_free(d->again);
	free(d->name);
	free(d);
}

void registry_fini(struct registry *r)
{
	struct dom *d;

	for (size_t i = 0; i < r->n; i++)
		dom_free(r->by_uuid[i]);
	list_for_each(d, &r->dead, dead)
		dom_free(d);
	free(r->by_uuid);
	free(r->by_name);
	registry_init(r);
}

static int compare_uuid(const void *uuid, const struct dom *d)
{
	return memcmp(uuid, d->uuid, DEF_UUID_SIZE);
}

static int compare_name(const void *name, const struct dom *d)
{
	return strcmp(name, d->name);
}

/* Where among n guests in order the one with that key is, or would be. */
static size_t place(struct dom *const *by, size_t n, const void *key,
		    int (*compare)(const void *key, const struct dom *d), bool *ret_found)
{
	size_t low = 0, high = n;

	*ret_found = false;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = compare(key, by[mid]);

		if (!c) {
			*ret_found = true;
			return mid;
		}
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static size_t place_uuid(const struct registry *r, const uint8_t *uuid, bool *ret_found)
{
	return place(r->by_uuid, r->n, uuid, compare_uuid, ret_found);
}

static size_t place_name(const struct registry *r, const char *name, bool *ret_found)
{
	return place(r->by_name, r->n, name, compare_name, ret_found);
}

struct dom *dom_find_uuid(const struct registry *r, const uint8_t uuid[DEF_UUID_SIZE])
{
	bool found;
	size_t at = place_uuid(r, uuid, &found);

	return found ? r->by_uuid[at] : NULL;
}

struct dom *dom_find_name(const struct registry *r, const char *name)
{
	bool found;
	size_t at = place_name(r, name, &found);

	return found ? r->by_name[at] : NULL;
}

struct dom *dom_find_id(const struct registry *r, int id)
{
	for (size_t i = 0; i < r->n; i++)
		if (id >= 0 && r->by_uuid[i]->id == id)
			return r->by_uuid[i];
	return NULL;
}

/* Room for one more in both arrays. */
static int make_room(struct registry *r)
{
	size_t room = r->room ? r->room * 2 : 16;
	struct dom **p;

	if (r->n < r->room)
		return 0;
	p = realloc(r->by_uuid, room * sizeof(*p));
	if (!p)
		return FAULT(-ENOMEM);
	r->by_uuid = p;
	p = realloc(r->by_name, room * sizeof(*p));
	if (!p)
		return FAULT(-ENOMEM);
	r->by_name = p;
	r->room = room;
	return 0;
}

static void put_at(struct dom **v, size_t n, size_t at, struct dom *d)
{
	memmove(v + at + 1, v + at, (n - at) * sizeof(*v));
	v[at] = d;
}

static void take_at(struct dom **v, size_t n, size_t at)
{
	memmove(v + at, v + at + 1, (n - at - 1) * sizeof(*v));
}

int dom_new(struct registry *r, const uint8_t uuid[DEF_UUID_SIZE], const char *name,
	    struct dom **ret)
{
	bool taken_uuid, taken_name;
	size_t at_uuid = place_uuid(r, uuid, &taken_uuid);
	size_t at_name = place_name(r, name, &taken_name);
	struct dom *d;
	int err;

	if (taken_uuid || taken_name)
		return EEXIST;
	if (r->n >= DOM_MAX)
		return ENOSPC;
	err = make_room(r);
	if (err)
		return err;
	d = calloc(1, sizeof(*d));
	if (!d)
		return FAULT(-ENOMEM);
	d->name = strdup(name);
	if (!d->name) {
		free(d);
		return FAULT(-ENOMEM);
	}
	memcpy(d->uuid, uuid, DEF_UUID_SIZE);
	d->id = d->domid = -1;
	d->state = DOM_SHUTOFF;
	d->reason = DOM_SHUTOFF_UNKNOWN;
	d->resume_reason = DOM_RUNNING_UNPAUSED;
	list_init(&d->enders);
	list_init(&d->waiters);
	list_init(&d->dead);
	put_at(r->by_uuid, r->n, at_uuid, d);
	put_at(r->by_name, r->n, at_name, d);
	r->n++;
	*ret = d;
	return 0;
}

int dom_rename(struct registry *r, struct dom *d, const char *name)
{
	bool found;
	size_t at;
	char *copy;

	if (!strcmp(d->name, name))
		return 0;
	place_name(r, name, &found);
	if (found)
		return EEXIST;
	copy = strdup(name);
	if (!copy)
		return FAULT(-ENOMEM);
	at = place_name(r, d->name, &found);
	assert(found);
	take_at(r->by_name, r->n, at);
	free(d->name);
	d->name = copy;
	r->n--;
	at = place_name(r, name, &found);
	put_at(r->by_name, r->n, at, d);
	r->n++;
	return 0;
}

void dom_remove(struct registry *r, struct dom *d)
{
	bool found;
	size_t at;

	if (d->removed)
		return;
	at = place_uuid(r, d->uuid, &found);
	assert(found);
	take_at(r->by_uuid, r->n, at);
	at = place_name(r, d->name, &found);
	assert(found);
	take_at(r->by_name, r->n, at);
	r->n--;
	d->removed = true;
	list_append(&r->dead, &d->dead);
}

struct dom *dom_ref(struct dom *d)
{
	d->refs++;
	return d;
}

void dom_unref(struct dom *d)
{
	assert(d->refs > 0);
	d->refs--;
}

void dom_reap(struct registry *r)
{
	struct dom *d;

	list_for_each(d, &r->dead, dead)
		if (!d->refs)
			dom_free(d);
}
