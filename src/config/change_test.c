/* SPDX-License-Identifier: MIT */
/*
 * Keys written in one transaction, and backends awaited, against a store that a child plays.
 */
#include "config/change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/store_test.h"

#define UUID "6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2c"
#define BACK "/local/domain/9/backend/vbd/7/51728"

/* Domain 9 has backends in each state; 7 is the guest. */
static const char *const nodes[] = {
	"/local/domain/7/vm",
	"/vm/" UUID,
	"/local/domain/7/device/vbd/51728/state",
	"1",
	"/local/domain/9",
	"",
	BACK "/state",
	"2",
	BACK "/online",
	"1",
	"/local/domain/9/backend/vbd/7/1/state",
	"1",
	"/local/domain/9/backend/vbd/7/2/state",
	"5",
	"/local/domain/9/backend/vbd/7/3/state",
	"6",
	"/local/domain/9/backend/vbd/7/4/state",
	"1",
	"/local/domain/9/backend/vbd/7/4/hotplug-error",
	"no \033[31mvolume",
	"/local/domain/9/backend/vbd/7/5/state",
	"7",
	"/local/domain/9/backend/vbd/7/6/state",
	"8",
	"/local/domain/9/error/backend/vbd/7/2/error",
	"22 reading physical-device",
	"/local/domain/8/vm",
	"/vm/00000000-0000-0000-0000-000000000008",
	NULL,
};

static struct fake_store store;

static struct drover_config *open_faulty(enum fake_fault fault, unsigned int refusals)
{
	struct drover_config *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	store = (struct fake_store){ .nodes = nodes, .refusals = refusals, .fault = fault };
	assert_true(fake_store_start(&store));
	assert_int_equal(conf_client_open(store.path, 20000, &c->err, &c->client), 0);
	return c;
}

static struct drover_config *open_session(unsigned int refusals)
{
	return open_faulty(FAKE_WELL, refusals);
}

static void close_session(struct drover_config *c)
{
	conf_client_close(c->client);
	free(c);
	fake_store_stop(&store);
}

/* What one step comes to, in a domain of ours, and in how many round trips. */
static void a_step_is_refused_by_what_it_finds(void **state)
{
	static const struct {
		enum keys_op op;
		const char *path, *value;
		uint32_t domid;
		int r;
		const char *said;
		uint64_t round_trips;
	} cases[] = {
		{ KEYS_WRITE, BACK "/state", "5", 7, 0, NULL, 3 },
		{ KEYS_ABSENT, "/libxl/7/device/vbd/51728", NULL, 7, 0, NULL, 3 },
		{ KEYS_ABSENT, BACK, NULL, 7, -EEXIST, BACK " is there already", 3 },
		{ KEYS_EXPECT, BACK "/state", "2", 7, 0, NULL, 3 },
		{ KEYS_EXPECT, BACK "/state", "3", 7, -EAGAIN, BACK "/state was changed", 3 },
		{ KEYS_EXPECT, BACK "/state", NULL, 7, -EAGAIN, BACK "/state was changed", 3 },
		{ KEYS_EXPECT, BACK "/none", NULL, 7, 0, NULL, 3 },
		{ KEYS_EXPECT, BACK "/none", "", 7, -EAGAIN, BACK "/none was changed", 3 },
		{ KEYS_REMOVE, BACK "/none", NULL, 7, 0, NULL, 3 },
		{ KEYS_WRITE, "/none", "", 7, -EIO, "/none: No such file", 3 },
		{ KEYS_WRITE, BACK "/state", "5", 8, -ESTALE, "is another domain by now", 3 },
		{ KEYS_WRITE, BACK "/state", "5", 6, -ENOENT, "domain 6 is gone", 3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct drover_config *c = open_session(0);
		struct conf_domain d = { .domid = cases[i].domid, .uuid = UUID };
		struct keys keys = { .n = 0 };
		uint64_t before = conf_client_round_trips(c->client);
		int r = keys_add(&keys, cases[i].op, cases[i].path, cases[i].value,
				 CLASS_DEVID_NONE, 0, &c->err);

		assert_int_equal(r, 0);
		r = keys_commit(c, &d, &keys);
		if (r != cases[i].r)
			fail_msg("case %zu: %d, not %d: %s", i, r, cases[i].r, c->err.text);
		if (cases[i].said && !strstr(c->err.text, cases[i].said))
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, c->err.text,
				 cases[i].said);
		assert_int_equal(conf_client_round_trips(c->client) - before, cases[i].round_trips);
		keys_fini(&keys);
		close_session(c);
	}
}

/* Others may win as often as CHANGE_TRIES - 1 times; a store that never commits is told. */
static void a_lost_transaction_is_tried_again(void **state)
{
	static const struct {
		unsigned int refusals;
		int r;
	} cases[] = { { 3, 0 }, { CHANGE_TRIES - 1, 0 }, { CHANGE_TRIES, -EAGAIN } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct drover_config *c = open_session(cases[i].refusals);
		struct conf_domain d = { .domid = 7, .uuid = UUID };
		struct keys keys = { .n = 0 };

		assert_int_equal(keys_add(&keys, KEYS_WRITE, BACK "/state", "5", CLASS_DEVID_NONE,
					  0, &c->err),
				 0);
		assert_int_equal(keys_commit(c, &d, &keys), cases[i].r);
		if (cases[i].r)
			assert_non_null(strstr(c->err.text, "kept changing"));
		keys_fini(&keys);
		close_session(c);
	}
}

/* All at once, each with its own result, within the one time. */
static void each_backend_has_its_result(void **state)
{
	static const struct {
		enum await what;
		const char *back;
		uint32_t backend_domid;
		int r;
		const char *said;
	} cases[] = {
		{ AWAIT_CONNECT, BACK, 9, 0, NULL },
		{ AWAIT_CONNECT, "/local/domain/9/backend/vbd/7/1", 9, -ETIMEDOUT,
		  "7/1 is in state 1, Initialising, after" },
		{ AWAIT_CONNECT, "/local/domain/9/backend/vbd/7/2", 9, -EREMOTEIO,
		  "is in state 5, Closing: 22 reading physical-device" },
		{ AWAIT_CONNECT, "/local/domain/9/backend/vbd/7/3", 9, -EREMOTEIO, "6, Closed" },
		{ AWAIT_CONNECT, "/local/domain/9/backend/vbd/7/4", 9, -EREMOTEIO,
		  "Initialising: no \\x1b[31mvolume" },
		{ AWAIT_CONNECT, "/local/domain/9/backend/vbd/7/5", 9, -ETIMEDOUT,
		  "Reconfiguring" },
		{ AWAIT_CONNECT, "/local/domain/9/backend/vbd/7/6", 9, 0, NULL },
		{ AWAIT_CONNECT, "/local/domain/9/backend/vbd/7/99", 9, -EREMOTEIO,
		  "its directory was removed" },
		{ AWAIT_CONNECT, "/local/domain/5/backend/vbd/7/1", 5, -ENOENT,
		  "its domain 5 is gone" },
		{ AWAIT_CLOSE, BACK, 9, -ETIMEDOUT, "InitWait" },
		{ AWAIT_CLOSE, "/local/domain/9/backend/vbd/7/3", 9, 0, NULL },
		{ AWAIT_CLOSE, "/local/domain/9/backend/vbd/7/99", 9, 0, NULL },
		{ AWAIT_GONE, "/local/domain/9/backend/vbd/7/3", 9, -ETIMEDOUT, "Closed" },
		{ AWAIT_GONE, "/local/domain/9/backend/vbd/7/99", 9, 0, NULL },
	};
	enum { N = sizeof(cases) / sizeof(*cases) };
	struct drover_config *c = open_session(0);
	struct awaited v[N];
	uint64_t began = conf_now_ms();

	(void)state;
	for (size_t i = 0; i < N; i++)
		v[i] = (struct awaited){ .what = cases[i].what,
					 .back = cases[i].back,
					 .backend_domid = cases[i].backend_domid };
	assert_int_equal(change_await(c, 7, UUID, v, N, began + 100), 0);
	assert_in_range(conf_now_ms() - began, 100, 10000);
	for (size_t i = 0; i < N; i++) {
		if (v[i].result != cases[i].r)
			fail_msg("case %zu: %d, not %d: %s", i, v[i].result, cases[i].r,
				 v[i].err.text);
		if (cases[i].said && !strstr(v[i].err.text, cases[i].said))
			fail_msg("case %zu: \"%s\" does not say \"%s\"", i, v[i].err.text,
				 cases[i].said);
	}
	close_session(c);
}

static void the_domain_s_end_ends_the_wait(void **state)
{
	struct drover_config *c = open_session(0);
	struct awaited v = { .what = AWAIT_CONNECT,
			     .back = "/local/domain/9/backend/vbd/7/1",
			     .backend_domid = 9 };
	uint64_t deadline = conf_now_ms() + 20000;

	(void)state;
	assert_int_equal(change_await(c, 8, UUID, &v, 1, deadline), -ESTALE);
	assert_int_equal(change_await(c, 6, UUID, &v, 1, deadline), -ENOENT);
	assert_true(conf_now_ms() < deadline);
	close_session(c);
}

static void who_keeps_writing_does_not_keep_us_waiting(void **state)
{
	struct drover_config *c = open_faulty(FAKE_RESTLESS, 0);
	struct awaited v = { .what = AWAIT_CONNECT,
			     .back = "/local/domain/9/backend/vbd/7/1",
			     .backend_domid = 9 };

	(void)state;
	assert_int_equal(change_await(c, 7, UUID, &v, 1, conf_now_ms() + 100), 0);
	assert_int_equal(v.result, -ETIMEDOUT);
	close_session(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_step_is_refused_by_what_it_finds),
		cmocka_unit_test(a_lost_transaction_is_tried_again),
		cmocka_unit_test(each_backend_has_its_result),
		cmocka_unit_test(the_domain_s_end_ends_the_wait),
		cmocka_unit_test(who_keeps_writing_does_not_keep_us_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
