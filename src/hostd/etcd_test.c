/* SPDX-License-Identifier: MIT */
/*
 * What is said to etcd's gateway, and that only what is understood decides.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/etcd.h"

static const struct etcd_request put = { "/d/owner/u", false, { "", 0 }, { "A", 7 } };
static const struct etcd_request swap = { "/d/owner/u", true, { "A", 7 }, { "B", 8 } };

/* Base64: "/d/owner/u" L2Qvb3duZXIvdQ==, "7 A" NyBB, "8 B" OCBC, "9 A" OSBB. */
static void body_is_what_the_gateway_takes(void **state)
{
	char *body = etcd_request_body(&put);

	(void)state;
	assert_string_equal(body, "{\"key\":\"L2Qvb3duZXIvdQ==\",\"value\":\"NyBB\"}");
	free(body);
	assert_string_equal(etcd_request_path(&put), "/v3/kv/put");

	body = etcd_request_body(&swap);
	assert_string_equal(
		body,
		"{\"compare\":[{\"target\":\"VALUE\",\"result\":\"EQUAL\","
		"\"key\":\"L2Qvb3duZXIvdQ==\",\"value\":\"NyBB\"}],"
		"\"success\":[{\"requestPut\":{\"key\":\"L2Qvb3duZXIvdQ==\",\"value\":\"OCBC\"}}],"
		"\"failure\":[{\"requestRange\":{\"key\":\"L2Qvb3duZXIvdQ==\"}}]}");
	free(body);
	assert_string_equal(etcd_request_path(&swap), "/v3/kv/txn");
}

#define HEAD "\"header\":{\"revision\":\"3\"}"
#define RANGE(kvs) "{" HEAD ",\"responses\":[{\"response_range\":{" kvs "}}]}"

static void answers_mean_what_they_say(void **state)
{
	static const struct {
		const struct etcd_request *request;
		const char *answer;
		enum mig_arbiter meaning;
	} cases[] = {
		{ &put, "{" HEAD "}", MIG_ARB_YES },
		{ &put, "{}", MIG_ARB_UNREACHABLE },
		{ &put, "", MIG_ARB_UNREACHABLE },
		{ &put, "[]", MIG_ARB_UNREACHABLE },
		{ &put, "{" HEAD, MIG_ARB_UNREACHABLE },
		{ &put, "{\"error\":\"etcdserver: no leader\",\"code\":14}", MIG_ARB_UNREACHABLE },
		{ &swap, "{" HEAD ",\"succeeded\":true}", MIG_ARB_YES },
		{ &swap, RANGE("\"kvs\":[{\"value\":\"OCBC\"}]"), MIG_ARB_IS_TO },
		{ &swap, RANGE("\"kvs\":[{\"value\":\"OSBB\"}]"), MIG_ARB_IS_OTHER },
		{ &swap, RANGE("\"kvs\":[{\"value\":\"?\"}]"), MIG_ARB_IS_OTHER },
		{ &swap, RANGE("\"kvs\":[{}]"), MIG_ARB_IS_OTHER },
		{ &swap, RANGE("\"kvs\":[]"), MIG_ARB_IS_OTHER },
		{ &swap, RANGE(""), MIG_ARB_IS_OTHER },
		{ &swap, "{" HEAD "}", MIG_ARB_UNREACHABLE },
		{ &swap, "{" HEAD ",\"succeeded\":1}", MIG_ARB_UNREACHABLE },
		{ &swap, "{" HEAD ",\"succeeded\":false,\"responses\":[7]}", MIG_ARB_UNREACHABLE },
		{ &swap, "{" HEAD ",\"succeeded\":false,\"responses\":{}}", MIG_ARB_UNREACHABLE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char why[128] = "";

		assert_int_equal(etcd_answer_read(cases[i].request, cases[i].answer,
						  strlen(cases[i].answer), why, sizeof(why)),
				 cases[i].meaning);
		/* Whoever cannot be understood is named in the log. */
		assert_true((cases[i].meaning == MIG_ARB_UNREACHABLE) == (why[0] != '\0'));
	}
}

static void an_answer_cut_anywhere_decides_nothing(void **state)
{
	static const char whole[] = RANGE("\"kvs\":[{\"value\":\"OCBC\"}]");

	(void)state;
	for (size_t len = 0; len < sizeof(whole) - 1; len++) {
		char why[128] = "";

		assert_int_equal(etcd_answer_read(&swap, whole, len, why, sizeof(why)),
				 MIG_ARB_UNREACHABLE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(body_is_what_the_gateway_takes),
		cmocka_unit_test(answers_mean_what_they_say),
		cmocka_unit_test(an_answer_cut_anywhere_decides_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
