/* SPDX-License-Identifier: MIT */
/*
 * The monitor's client, beside a server that is a table: what it says, and what the client makes of
 * it, also where it is odd, hostile, slow, or cut into single octets.
 */
#include "vmm/qemu/qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/own.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"
#define FIRST_ID 7u
#define ID(n) (((uint64_t)FIRST_ID << 20) + (n))

struct world {
	struct qmp *q;
	int server;
	uint64_t now_ms;
	char told[4096]; /* events and ends of calls, a line each */
};

static void tell(struct world *w, const char *text)
{
	(void)snprintf(w->told + strlen(w->told), sizeof(w->told) - strlen(w->told), "%s\n", text);
}

static void on_event(void *data, const char *name, struct json_object *event_data)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "event %s %s", name,
		       event_data ? json_object_to_json_string(event_data) : "-");
	tell(data, text);
}

static void on_done(void *data, struct json_object *ret, int err, const char *why)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "done %s %d %s",
		       ret ? json_object_to_json_string(ret) : "-", err, why);
	tell(data, text);
}

static void world_init(struct world *w)
{
	static const struct qmp_events events = { on_event };
	int sv[2];

	memset(w, 0, sizeof(*w));
	w->now_ms = 1000;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv), 0);
	w->server = sv[0];
	w->q = qmp_new(sv[1], FIRST_ID, &events, w);
	assert_non_null(w->q);
}

static void world_fini(struct world *w)
{
	qmp_free(w->q);
	close(w->server);
}

static void say(struct world *w, const char *text)
{
	assert_int_equal(write(w->server, text, strlen(text)), strlen(text));
}

/* What the client has written, and a descriptor that came with it. */
static void hear(struct world *w, char *text, size_t room, int *ret_fd)
{
	struct iovec iov = { text, room - 1 };
	union {
		char octets[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.octets,
			      .msg_controllen = sizeof(control.octets) };
	ssize_t n = recvmsg(w->server, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	*ret_fd = -1;
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	text[n > 0 ? n : 0] = '\0';
}

/* Greeting and capabilities; what the client then wrote in between is thrown away. */
static void shake(struct world *w)
{
	char text[512], answer[64];
	int fd;

	say(w, GREETING);
	assert_int_equal(qmp_serve(w->q, w->now_ms), 0);
	hear(w, text, sizeof(text), &fd);
	assert_non_null(strstr(text, "\"qmp_capabilities\""));
	/* Its id is the first one after those that were given out before the greeting. */
	(void)snprintf(answer, sizeof(answer), "{\"return\":{},\"id\":%s",
		       strstr(text, "\"id\":") + 5);
	say(w, answer);
	assert_int_equal(qmp_serve(w->q, w->now_ms), 0);
	assert_true(qmp_is_ready(w->q));
}

static void answer(struct world *w, uint64_t id, const char *rest)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "{\"id\": %llu, %s}\r\n", (unsigned long long)id, rest);
	say(w, text);
	assert_int_equal(qmp_serve(w->q, w->now_ms), 0);
}

static void calls_wait_for_the_handshake_and_are_answered_by_id(void **state)
{
	struct world w;
	char text[1024];
	int fd;

	(void)state;
	world_init(&w);
	assert_int_equal(qmp_call(w.q, "one", NULL, -1, w.now_ms, on_done, &w), 0);
	assert_int_equal(qmp_call(w.q, "two", qmp_args_text(qmp_args_new(), "a", "b\"\n"), -1,
				  w.now_ms, on_done, &w),
			 0);
	assert_int_equal(qmp_serve(w.q, w.now_ms), 0);
	hear(&w, text, sizeof(text), &fd);
	assert_string_equal(text, "");
	shake(&w);
	hear(&w, text, sizeof(text), &fd);
	assert_string_equal(text, "{\"execute\":\"one\",\"id\":7340032}\n"
				  "{\"execute\":\"two\",\"id\":7340033,"
				  "\"arguments\":{\"a\":\"b\\\"\\n\"}}\n");

	answer(&w, ID(1), "\"return\": {\"x\": 1}");
	answer(&w, ID(0), "\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}");
	assert_string_equal(w.told, "done { \"x\": 1 } 0 \ndone - -121 no\n");
	world_fini(&w);
}

static void a_descriptor_goes_with_its_call(void **state)
{
	struct world w;
	char text[1024];
	int fd, p[2];

	(void)state;
	world_init(&w);
	shake(&w);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(qmp_call(w.q, "getfd", NULL, p[1], w.now_ms, NULL, NULL), 0);
	assert_true(qmp_wants_write(w.q));
	assert_int_equal(qmp_serve(w.q, w.now_ms), 0);
	assert_false(qmp_wants_write(w.q));
	hear(&w, text, sizeof(text), &fd);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	assert_int_equal(read(p[0], text, 2), 1);
	assert_int_equal(read(p[0], text, 2), 0); /* ours is closed */
	close(p[0]);
	world_fini(&w);
}

struct talk {
	const char *said;     /* after the handshake, with one call outstanding */
	const char *expected; /* what was told */
	int result;	      /* of qmp_serve */
};

static void talks(const struct talk *talks, size_t n, bool shaken)
{
	for (size_t i = 0; i < n; i++) {
		struct world w;
		char text[512];
		int fd, r = 0;

		world_init(&w);
		if (shaken)
			shake(&w);
		assert_int_equal(qmp_call(w.q, "x", NULL, -1, w.now_ms, on_done, &w), 0);
		assert_int_equal(qmp_serve(w.q, w.now_ms), 0);
		hear(&w, text, sizeof(text), &fd);
		/* An octet at a time: nothing may depend on how it arrives. */
		for (const char *c = talks[i].said; *c && r == 0; c++) {
			assert_int_equal(write(w.server, c, 1), 1);
			r = qmp_serve(w.q, w.now_ms);
		}
		if (r != talks[i].result || strcmp(w.told, talks[i].expected))
			fail_msg("talk %zu: %d, \"%s\"", i, r, w.told);
		if (r < 0)
			assert_int_equal(qmp_call(w.q, "y", NULL, -1, w.now_ms, on_done, &w),
					 -ENOTCONN);
		world_fini(&w);
	}
}

#define WHY "done - -71 the emulator's monitor: "

static void whatever_the_emulator_says_is_understood_or_ends_the_connection(void **state)
{
	static const struct talk table[] = {
		{ "{\"event\": \"STOP\", \"timestamp\": {}}\r\n", "event STOP -\n", 0 },
		{ "{\"event\": \"E\", \"data\": {\"a\": []}}\n", "event E { \"a\": [ ] }\n", 0 },
		{ "{\"event\": \"E\", \"data\": 5}\n", "event E -\n", 0 },
		{ "\r\n\n{\"event\":\"E\"}\n", "event E -\n", 0 },
		{ "{\"return\": [], \"id\": 7340033}\n", "done [ ] 0 \n", 0 },
		{ "{\"return\": 5, \"id\": 7340033}\n", "done 5 0 \n", 0 },
		{ "{\"error\": {}, \"id\": 7340033}\n", "done - -121 it does not say why\n", 0 },
		/* Not ours, or answered before. */
		{ "{\"return\": {}, \"id\": 99}\n", "", 0 },
		{ "{\"return\": {}, \"id\": \"7340033\"}\n", "", 0 },
		{ "{\"return\": {}, \"id\": 7340033}\n{\"return\": {}, \"id\": 7340033}\n",
		  "done { } 0 \n", 0 },
		/* Odd. */
		{ "{\"return\": {}}\n", WHY "an answer to nobody\n", -EPROTO },
		{ "{\"error\": {\"desc\": \"x\"}}\n", WHY "it could not read a call\n", -EPROTO },
		{ "{\"id\": 7340033}\n", WHY "an object of no known kind\n", -EPROTO },
		{ "{\"error\": 5, \"id\": 7340033}\n", WHY "an object of no known kind\n",
		  -EPROTO },
		{ "{}\n", WHY "an object of no known kind\n", -EPROTO },
		{ "[]\n", WHY "a line is not an object\n", -EPROTO },
		{ "5\n", WHY "a line is not JSON\n", -EPROTO },
		{ "null\n", WHY "a line is not JSON\n", -EPROTO },
		{ "hello\n", WHY "a line is not JSON\n", -EPROTO },
		{ "{\"event\": \"E\"\n", WHY "a line is not JSON\n", -EPROTO },
		{ "{\"event\": \"E\"} {}\n", WHY "a line is not JSON\n", -EPROTO },
		{ "{\"event\": \"\xff\"}\n", WHY "a line is not JSON\n", -EPROTO },
		{ "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
		  WHY "a line is not JSON\n", -EPROTO },
	};
	static const struct talk greetings[] = {
		{ "{\"event\": \"E\"}\n", WHY "its greeting is odd\n", -EPROTO },
		{ "{\"QMP\": 1}\n", WHY "its greeting is odd\n", -EPROTO },
		{ GREETING GREETING, WHY "an object of no known kind\n", -EPROTO },
		{ GREETING "{\"error\": {\"desc\": \"no\"}, \"id\": 7340033}\n", "", 0 },
	};

	(void)state;
	talks(table, ARRAY_LEN(table), true);
	talks(greetings, ARRAY_LEN(greetings), false);
}

static void an_end_is_told_to_everybody_who_waits(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	shake(&w);
	assert_int_equal(qmp_call(w.q, "a", NULL, -1, w.now_ms, on_done, &w), 0);
	assert_int_equal(qmp_serve(w.q, w.now_ms), 0);
	assert_int_equal(qmp_call(w.q, "b", NULL, -1, w.now_ms, on_done, &w), 0);
	close(w.server);
	w.server = -1;
	assert_true(qmp_serve(w.q, w.now_ms) < 0);
	assert_non_null(strstr(w.told, "done - -104"));
	assert_non_null(strstr(strchr(w.told, '\n') + 1, "done - -104"));
	assert_int_equal(qmp_serve(w.q, w.now_ms), -ENOTCONN);
	assert_int_equal(qmp_deadline_ms(w.q), UINT64_MAX);
	world_fini(&w);
}

static void who_does_not_answer_in_time_is_given_up(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	shake(&w);
	assert_int_equal(qmp_deadline_ms(w.q), UINT64_MAX);
	assert_int_equal(qmp_call(w.q, "a", NULL, -1, w.now_ms, on_done, &w), 0);
	assert_int_equal(qmp_deadline_ms(w.q), w.now_ms + QMP_ANSWER_MS);
	assert_int_equal(qmp_serve(w.q, w.now_ms + QMP_ANSWER_MS - 1), 0);
	assert_int_equal(qmp_serve(w.q, w.now_ms + QMP_ANSWER_MS), -ETIMEDOUT);
	assert_string_equal(w.told, "done - -110 the emulator's monitor: it does not answer\n");
	world_fini(&w);
}

static void calls_and_lines_have_bounds(void **state)
{
	static char line[QMP_READ_MAX];
	struct world w;
	int r = 0;

	(void)state;
	world_init(&w);
	for (unsigned int i = 0; i < QMP_CALLS_MAX; i++)
		assert_int_equal(qmp_call(w.q, "a", NULL, -1, w.now_ms, NULL, NULL), 0);
	assert_int_equal(qmp_call(w.q, "a", NULL, -1, w.now_ms, NULL, NULL), -ENOBUFS);
	memset(line, '[', sizeof(line));
	for (unsigned int i = 0; i < 2 * QMP_LINE_MAX / QMP_READ_MAX && r == 0; i++) {
		ssize_t n = write(w.server, line, sizeof(line));

		assert_true(n > 0);
		r = qmp_serve(w.q, w.now_ms);
	}
	while (r == 0)
		r = qmp_serve(w.q, w.now_ms);
	assert_int_equal(r, -EPROTO);
	assert_string_equal(qmp_why(w.q), "the emulator's monitor: a line is too long");
	world_fini(&w);
}

static void members_of_the_wrong_type_are_not_there(void **state)
{
	struct json_object *o = json_tokener_parse(
		"{\"t\": \"x\", \"n\": 5, \"m\": -5, \"b\": true, \"o\": {\"p\": 1}, \"z\": null}");

	(void)state;
	assert_string_equal(qmp_text(o, "t"), "x");
	assert_null(qmp_text(o, "n"));
	assert_null(qmp_text(NULL, "t"));
	assert_int_equal(qmp_uint(o, "n"), 5);
	assert_int_equal(qmp_uint(o, "m"), 0);
	assert_int_equal(qmp_uint(o, "t"), 0);
	assert_true(qmp_bool(o, "b"));
	assert_false(qmp_bool(o, "n"));
	assert_int_equal(qmp_uint(qmp_object(o, "o"), "p"), 1);
	assert_null(qmp_object(o, "z"));
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_wait_for_the_handshake_and_are_answered_by_id),
		cmocka_unit_test(a_descriptor_goes_with_its_call),
		cmocka_unit_test(whatever_the_emulator_says_is_understood_or_ends_the_connection),
		cmocka_unit_test(an_end_is_told_to_everybody_who_waits),
		cmocka_unit_test(who_does_not_answer_in_time_is_given_up),
		cmocka_unit_test(calls_and_lines_have_bounds),
		cmocka_unit_test(members_of_the_wrong_type_are_not_there),
	};

	return cmocka_run_group_tests_name("vmm/qemu qmp", tests, NULL, NULL);
}
