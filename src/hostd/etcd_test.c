/* SPDX-License-Identifier: MIT */
/*
 * What is said to etcd's gateway, and that only what is understood decides.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/etcd.h"

static const struct etcd_request put = { "/d/owner/u", false, { "", 0 }, { "A", 7 }, 12 };
static const struct etcd_request swap = { "/d/owner/u", true, { "A", 7 }, { "B", 8 }, 0 };

/* Base64: "/d/owner/u" L2Qvb3duZXIvdQ==, "7 A" NyBB, "8 B" OCBC, "9 A" OSBB. */
static void body_is_what_the_gateway_takes(void **state)
{
	static const struct {
		const struct etcd_request *request;
		const char *compare, *value;
	} cases[] = {
		{ &put, "\"target\":\"MOD\",\"modRevision\":\"12\"", "NyBB" },
		{ &swap, "\"target\":\"VALUE\",\"value\":\"NyBB\"", "OCBC" },
	};
	char *body = etcd_read_body(&put), want[512];

	(void)state;
	assert_string_equal(body, "{\"key\":\"L2Qvb3duZXIvdQ==\"}");
	free(body);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(want, sizeof(want),
			 "{\"compare\":[{\"key\":\"L2Qvb3duZXIvdQ==\",\"result\":\"EQUAL\",%s}],"
			 "\"success\":[{\"requestPut\":{\"key\":\"L2Qvb3duZXIvdQ==\","
			 "\"value\":\"%s\"}}],"
			 "\"failure\":[{\"requestRange\":{\"key\":\"L2Qvb3duZXIvdQ==\"}}]}",
			 cases[i].compare, cases[i].value);
		body = etcd_request_body(cases[i].request);
		assert_string_equal(body, want);
		free(body);
	}
}

static void a_read_tells_revision_and_value(void **state)
{
	static const struct {
		const char *answer;
		enum mig_arbiter meaning;
		uint64_t revision;
	} cases[] = {
		{ "{\"header\":{}}", MIG_ARB_IS_OTHER, 0 },
		{ "{\"header\":{},\"kvs\":[]}", MIG_ARB_IS_OTHER, 0 },
		{ "{\"header\":{},\"kvs\":[{\"mod_revision\":\"9\",\"value\":\"NyBB\"}]}",
		  MIG_ARB_IS_TO, 9 },
		{ "{\"header\":{},\"kvs\":[{\"mod_revision\":\"9\",\"value\":\"OCBC\"}]}",
		  MIG_ARB_IS_OTHER, 9 },
		{ "{\"header\":{},\"kvs\":[{\"mod_revision\":\"9\"}]}", MIG_ARB_IS_OTHER, 9 },
		{ "{\"header\":{},\"kvs\":[{\"value\":\"NyBB\"}]}", MIG_ARB_UNREACHABLE, 0 },
		{ "{\"header\":{},\"kvs\":[{\"mod_revision\":\"-9\"}]}", MIG_ARB_UNREACHABLE, 0 },
		{ "{\"header\":{},\"kvs\":[{\"mod_revision\":9}]}", MIG_ARB_UNREACHABLE, 0 },
		{ "{\"kvs\":[]}", MIG_ARB_UNREACHABLE, 0 },
		{ "", MIG_ARB_UNREACHABLE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct etcd_request r = put;
		char why[128] = "";

		assert_int_equal(etcd_read_answer(&r, cases[i].answer, strlen(cases[i].answer), why,
						  sizeof(why)),
				 cases[i].meaning);
		if (cases[i].meaning != MIG_ARB_UNREACHABLE)
			assert_true(r.revision == cases[i].revision);
	}
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
		{ &put, "{" HEAD ",\"succeeded\":true}", MIG_ARB_YES },
		{ &put, RANGE("\"kvs\":[{\"value\":\"OSBB\"}]"), MIG_ARB_IS_OTHER },
		{ &swap, "{}", MIG_ARB_UNREACHABLE },
		{ &swap, "", MIG_ARB_UNREACHABLE },
		{ &swap, "[]", MIG_ARB_UNREACHABLE },
		{ &swap, "{" HEAD, MIG_ARB_UNREACHABLE },
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
		cmocka_unit_test(a_read_tells_revision_and_value),
		cmocka_unit_test(answers_mean_what_they_say),
		cmocka_unit_test(an_answer_cut_anywhere_decides_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
