/* SPDX-License-Identifier: MIT */
/*
 * The store client: batches, events that come between, connections that fail, lists in parts.
 */
#include "config/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/store_test.h"

#define TIMEOUT_MS 20000

static const char *const nodes[] = {
	"/a", "1",	   "/a/b", "2",		  "/a/c", "",	"/list/one",
	"x",  "/list/two", "y",	   "/list/three", "z",	  NULL,
};

static struct conf_client *open_client(struct fake_store *f, uint32_t timeout_ms)
{
	struct conf_client *c = NULL;
	struct conf_err err = { 0 };

	f->nodes = nodes;
	assert_true(fake_store_start(f));
	assert_int_equal(conf_client_open(f->path, timeout_ms, &err, &c), 0);
	return c;
}

/* Each answer is at its request's place, a refusal, too, and all cost one round trip. */
static void a_batch_is_one_round_trip(void **state)
{
	struct fake_store f = { .fault = FAKE_CHATTERS };
	struct conf_client *c = open_client(&f, TIMEOUT_MS);
	struct conf_batch b = { 0 };
	struct conf_err err = { 0 };
	size_t i, n = 3000;
	char *path, *token;

	(void)state;
	for (i = 0; i < n; i++)
		assert_int_equal(conf_batch_add(&b, XS_READ, 0,
						i % 3 == 2 ? "/gone"
						: i % 3	   ? "/a/b"
							   : "/a",
						NULL, 0, NULL),
				 0);
	assert_int_equal(conf_client_run(c, &b, &err), 0);
	assert_int_equal(conf_client_round_trips(c), 1);
	for (i = 0; i < n; i++) {
		const struct conf_reply *r = conf_batch_reply(&b, i);

		if (i % 3 == 2) {
			assert_int_equal(r->err, ENOENT);
			continue;
		}
		assert_int_equal(r->err, 0);
		assert_string_equal(r->data, i % 3 ? "2" : "1");
		assert_int_equal(r->len, 1);
	}
	/* what came between was kept */
	assert_int_equal(conf_client_event(c, 0, &err, &path, &token), 0);
	assert_string_equal(path, "/a");
	assert_string_equal(token, "tok");
	free(path);
	free(token);
	conf_batch_fini(&b);
	conf_client_close(c);
	fake_store_stop(&f);
}

/* Events over CLIENT_EVENTS_MAX are told as one without a path, behind the others. */
static void lost_events_are_told(void **state)
{
	struct fake_store f = { .fault = FAKE_CHATTERS };
	struct conf_client *c = open_client(&f, TIMEOUT_MS);
	struct conf_batch b = { 0 };
	struct conf_err err = { 0 };
	size_t i, n_events = 0, n_lost = 0;
	char *path, *token;

	(void)state;
	for (i = 0; i < 5000; i++)
		assert_int_equal(conf_batch_add(&b, XS_READ, 0, "/a", NULL, 0, NULL), 0);
	assert_int_equal(conf_client_run(c, &b, &err), 0);
	while (conf_client_event(c, 0, &err, &path, &token) == 0) {
		n_events += *path != '\0';
		n_lost += *path == '\0';
		free(path);
		free(token);
	}
	assert_int_equal(n_lost, 1);
	assert_in_range(n_events, 4096, 4999);
	conf_batch_fini(&b);
	conf_client_close(c);
	fake_store_stop(&f);
}

/* A connection that failed once is never used again. */
static void faults_end_the_connection(void **state)
{
	static const struct {
		enum fake_fault fault;
		int r;
		const char *says;
	} cases[] = {
		{ FAKE_SILENT, -ETIMEDOUT, "no answer in time" },
		{ FAKE_CLOSES, -ECONNRESET, "closed" },
		{ FAKE_WRONG_ID, -ECONNRESET, "belongs to no request" },
		{ FAKE_TOO_LONG, -ECONNRESET, "belongs to no request" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_store f = { .fault = cases[i].fault };
		struct conf_client *c =
			open_client(&f, cases[i].fault == FAKE_SILENT ? 50 : TIMEOUT_MS);
		struct conf_err err = { 0 };
		char *value = NULL;

		assert_int_equal(conf_client_read(c, 0, "/a", &err, &value, NULL), cases[i].r);
		assert_non_null(strstr(err.text, cases[i].says));
		assert_non_null(strstr(err.text, f.path));
		assert_int_equal(conf_client_read(c, 0, "/a", &err, &value, NULL), -ECONNRESET);
		assert_null(value);
		conf_client_close(c);
		fake_store_stop(&f);
	}
}

static void nobody_listens(void **state)
{
	struct conf_client *c = NULL;
	struct conf_err err = { 0 };

	(void)state;
	assert_int_equal(conf_client_open("/nonexistent/socket", 100, &err, &c), -ECONNREFUSED);
	assert_null(c);
	assert_non_null(strstr(err.text, "/nonexistent/socket"));
}

/* A list that comes in parts is the list that comes at once. */
static void directories_in_parts(void **state)
{
	static const size_t parts[] = { 0, 4, 5, 9, 11 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct fake_store f = { .part_octets = parts[i] };
		struct conf_client *c = open_client(&f, TIMEOUT_MS);
		struct conf_err err = { 0 };
		char *names = NULL;
		size_t len = 0;

		assert_int_equal(conf_client_directory(c, 0, "/list", &err, &names, &len), 0);
		assert_int_equal(len, 14);
		assert_memory_equal(names, "one\0two\0three", 14);
		free(names);
		names = NULL;
		assert_int_equal(conf_client_directory(c, 0, "/gone", &err, &names, &len), -ENOENT);
		assert_non_null(strstr(err.text, "/gone"));
		conf_client_close(c);
		fake_store_stop(&f);
	}
}

static void commits_tell_a_loss(void **state)
{
	struct fake_store f = { .refusals = 1 };
	struct conf_client *c = open_client(&f, TIMEOUT_MS);
	struct conf_err err = { 0 };
	uint32_t tx = 0;

	(void)state;
	assert_int_equal(conf_client_begin(c, &err, &tx), 0);
	assert_int_equal(tx, 7);
	assert_int_equal(conf_client_commit(c, tx, &err), -EAGAIN);
	assert_int_equal(conf_client_commit(c, tx, &err), 0);
	conf_client_close(c);
	fake_store_stop(&f);
}

/* Nothing that a message cannot hold is sent. */
static void requests_are_bounded(void **state)
{
	struct conf_batch b = { 0 };
	char path[XENSTORE_ABS_PATH_MAX + 3], tail[XENSTORE_PAYLOAD_MAX];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	memset(tail, 'y', sizeof(tail));
	assert_int_equal(conf_batch_add(&b, XS_READ, 0, path, NULL, 0, NULL), -EINVAL);
	assert_int_equal(conf_batch_add(&b, XS_WRITE, 0, "/a", tail, sizeof(tail), NULL), -EINVAL);
	assert_int_equal(conf_batch_add(&b, XS_WRITE, 0, "/a", tail, sizeof(tail) - 3, NULL), 0);
	assert_int_equal(b.n, 1);
	conf_batch_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_is_one_round_trip), cmocka_unit_test(lost_events_are_told),
		cmocka_unit_test(faults_end_the_connection), cmocka_unit_test(nobody_listens),
		cmocka_unit_test(directories_in_parts),	     cmocka_unit_test(commits_tell_a_loss),
		cmocka_unit_test(requests_are_bounded),
	};

	return cmocka_run_group_tests_name("config/client", tests, NULL, NULL);
}
