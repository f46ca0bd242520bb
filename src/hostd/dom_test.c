/* SPDX-License-Identifier: MIT */
/*
 * The registry of guests against a plain list, and who waits for a guest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/dom.h"
#include "hostd/host.h"
#include "hostd/settings.h"
#include "rpc/error.h"

#define MANY 200u
#define STEPS 20000u

/* Numbers that look like chance, the same each time. */
static uint32_t next_number(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

static void make_uuid(uint32_t n, uint8_t ret[DEF_UUID_SIZE])
{
	for (size_t i = 0; i < DEF_UUID_SIZE; i++)
		ret[i] = (uint8_t)(n * (uint32_t)(2 * i + 7) >> (i % 4));
	ret[0] = (uint8_t)n;
	ret[15] = (uint8_t)(n >> 8);
}

static void check(const struct registry *r, const bool *there, const unsigned int *name)
{
	uint8_t uuid[DEF_UUID_SIZE];
	char text[16];
	size_t n = 0;

	for (uint32_t i = 0; i < MANY; i++) {
		const struct dom *d;

		make_uuid(i, uuid);
		d = dom_find_uuid(r, uuid);
		assert_int_equal(d != NULL, there[i]);
		if (!d)
			continue;
		snprintf(text, sizeof(text), "g%u", name[i]);
		assert_string_equal(d->name, text);
		assert_ptr_equal(dom_find_name(r, text), d);
		n++;
	}
	assert_int_equal(r->n, n);
	for (size_t i = 1; i < r->n; i++)
		assert_true(strcmp(r->by_name[i - 1]->name, r->by_name[i]->name) < 0);
}

/* One step at random: a guest comes, goes, or is renamed. */
static void step(struct registry *r, bool *there, unsigned int *name, uint32_t *seed)
{
	uint32_t i = next_number(seed) % MANY, wanted = next_number(seed) % (2 * MANY);
	uint8_t uuid[DEF_UUID_SIZE];
	struct dom *d;
	char text[16];
	bool taken;

	make_uuid(i, uuid);
	snprintf(text, sizeof(text), "g%u", wanted);
	taken = dom_find_name(r, text) != NULL;
	switch (next_number(seed) % 3) {
	case 0:
		assert_int_equal(dom_new(r, uuid, text, &d), there[i] || taken ? EEXIST : 0);
		if (!there[i] && !taken)
			name[i] = wanted;
		there[i] = there[i] || !taken;
		break;
	case 1:
		d = dom_find_uuid(r, uuid);
		if (!d)
			break;
		assert_int_equal(dom_rename(r, d, text), taken && name[i] != wanted ? EEXIST : 0);
		if (!taken)
			name[i] = wanted;
		break;
	default:
		d = dom_find_uuid(r, uuid);
		if (d)
			dom_remove(r, d);
		there[i] = false;
		break;
	}
}

static void guests_are_found_by_uuid_and_name(void **state)
{
	struct registry r;
	bool there[MANY] = { false };
	unsigned int name[MANY] = { 0 };
	uint32_t seed = 42;

	(void)state;
	registry_init(&r);
	for (unsigned int i = 0; i < STEPS; i++) {
		step(&r, there, name, &seed);
		if (i % 100 == 0) {
			check(&r, there, name);
			dom_reap(&r);
		}
	}
	check(&r, there, name);
	registry_fini(&r);
}

static void there_is_room_for_so_many(void **state)
{
	struct registry r;
	uint8_t uuid[DEF_UUID_SIZE] = { 0 };
	char text[16];
	struct dom *d;

	(void)state;
	registry_init(&r);
	for (uint32_t i = 0; i <= DOM_MAX; i++) {
		memcpy(uuid, &i, sizeof(i));
		snprintf(text, sizeof(text), "g%u", i);
		assert_int_equal(dom_new(&r, uuid, text, &d), i < DOM_MAX ? 0 : ENOSPC);
	}
	registry_fini(&r);
}

static void one_that_is_referred_to_stays_in_memory(void **state)
{
	struct registry r;
	uint8_t uuid[DEF_UUID_SIZE] = { 1 };
	struct dom *d;

	(void)state;
	registry_init(&r);
	assert_int_equal(dom_new(&r, uuid, "g", &d), 0);
	dom_ref(d);
	dom_remove(&r, d);
	dom_remove(&r, d);
	dom_reap(&r);
	assert_true(d->removed);
	assert_string_equal(d->name, "g");
	assert_null(dom_find_name(&r, "g"));
	dom_unref(d);
	dom_reap(&r);
	assert_true(list_is_empty(&r.dead));
	registry_fini(&r);
}

/* ---- who waits ---- */

struct scene {
	struct settings set;
	struct host host;
	struct dom *d;
	char told[1024]; /* a letter for each who was granted, its code for each who was not */
};

struct asker {
	struct scene *s;
	char letter;
	bool lets_go; /* at once */
};

static void granted(void *data, struct dom *d, int code, const char *why)
{
	struct asker *a = data;
	char *end = a->s->told + strlen(a->s->told);

	assert_ptr_equal(d, a->s->d);
	if (code) {
		assert_non_null(strstr(why, "'g'"));
		sprintf(end, "(%c %d)", a->letter, code);
		return;
	}
	sprintf(end, "%c", a->letter);
	if (a->lets_go)
		dom_release(&a->s->host, d);
}

static void scene_init(struct scene *s)
{
	uint8_t uuid[DEF_UUID_SIZE] = { 1 };

	memset(s, 0, sizeof(*s));
	s->set.lock_timeout_ms = 1000000;
	s->host.set = &s->set;
	registry_init(&s->host.doms);
	assert_int_equal(dom_new(&s->host.doms, uuid, "g", &s->d), 0);
}

static void those_who_wait_are_granted_in_order(void **state)
{
	struct scene s;
	struct asker a = { &s, 'a', false }, b = { &s, 'b', true }, c = { &s, 'c', false };

	(void)state;
	scene_init(&s);
	dom_take(&s.host, s.d, "first", granted, &a);
	dom_take(&s.host, s.d, "second", granted, &b);
	dom_take(&s.host, s.d, "third", granted, &c);
	dom_expire(&s.host);
	assert_string_equal(s.told, "a");
	assert_string_equal(s.d->holder, "first");
	dom_release(&s.host, s.d);
	assert_string_equal(s.told, "abc");
	assert_string_equal(s.d->holder, "third");
	dom_release(&s.host, s.d);
	assert_null(s.d->holder);
	assert_int_equal(s.d->refs, 0);
	registry_fini(&s.host.doms);
}

static void who_waits_too_long_is_refused_by_name(void **state)
{
	struct scene s;
	struct asker a = { &s, 'a', false }, b = { &s, 'b', true };
	char want[32];

	(void)state;
	scene_init(&s);
	dom_take(&s.host, s.d, "first", granted, &a);
	dom_take(&s.host, s.d, "second", granted, &b);
	s.set.lock_timeout_ms = 0;
	/* One that is gone is waited for no longer than others. */
	dom_remove(&s.host.doms, s.d);
	dom_reap(&s.host.doms);
	dom_expire(&s.host);
	sprintf(want, "a(b %d)", RPC_ERR_OPERATION_TIMEOUT);
	assert_string_equal(s.told, want);
	dom_release(&s.host, s.d);
	registry_fini(&s.host.doms);
}

static void so_many_may_wait(void **state)
{
	struct scene s;
	struct asker a = { &s, 'a', false }, b = { &s, 'b', true };

	(void)state;
	scene_init(&s);
	dom_take(&s.host, s.d, "first", granted, &a);
	for (unsigned int i = 0; i < DOM_WAITERS_MAX; i++)
		dom_take(&s.host, s.d, "waits", granted, &b);
	assert_string_equal(s.told, "a");
	dom_take(&s.host, s.d, "waits", granted, &b);
	assert_non_null(strstr(s.told, "a(b "));
	dom_refuse_waiters(&s.host);
	assert_int_equal(s.d->n_waiters, 0);
	dom_release(&s.host, s.d);
	assert_int_equal(s.d->refs, 0);
	registry_fini(&s.host.doms);
}

/* Neither those before it nor time keep it out; only the end of the daemon does. */
static void what_has_to_be_done_waits_however_long(void **state)
{
	struct scene s;
	struct asker a = { &s, 'a', false }, b = { &s, 'b', true }, c = { &s, 'c', false };
	struct asker d = { &s, 'd', true };
	const char *at;

	(void)state;
	scene_init(&s);
	dom_take(&s.host, s.d, "first", granted, &a);
	for (unsigned int i = 0; i < DOM_WAITERS_MAX; i++)
		dom_take(&s.host, s.d, "waits", granted, &b);
	dom_take_surely(&s.host, s.d, "surely", granted, &c);
	assert_string_equal(s.told, "a");
	s.set.lock_timeout_ms = 0;
	dom_expire(&s.host);
	at = s.told + strlen(s.told);
	dom_release(&s.host, s.d);
	assert_string_equal(at, "c");
	dom_take_surely(&s.host, s.d, "surely", granted, &d);
	dom_refuse_waiters(&s.host);
	assert_non_null(strstr(at, "c(d "));
	dom_release(&s.host, s.d);
	assert_int_equal(s.d->refs, 0);
	registry_fini(&s.host.doms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guests_are_found_by_uuid_and_name),
		cmocka_unit_test(there_is_room_for_so_many),
		cmocka_unit_test(one_that_is_referred_to_stays_in_memory),
		cmocka_unit_test(those_who_wait_are_granted_in_order),
		cmocka_unit_test(who_waits_too_long_is_refused_by_name),
		cmocka_unit_test(so_many_may_wait),
		cmocka_unit_test(what_has_to_be_done_waits_however_long),
	};

	return cmocka_run_group_tests_name("hostd/dom", tests, NULL, NULL);
}
