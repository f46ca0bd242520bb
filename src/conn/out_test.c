/* SPDX-License-Identifier: MIT */
/*
 * Queued output: whole messages in order whatever the line takes at a time, events once, stale
 * ones dropped, and every octet charged until it is gone.
 */
#include "base/alloc_test.h"
#include "base/prng.h"
#include "conn/line_test.h"

#define MODEL_MAX 4096u

static void event(struct conn *c, const char *path, const char *token)
{
	struct {
		struct watch w;
		char token[2048];
	} fake = { 0 };

	fake.w.token_len = (uint16_t)strlen(token);
	memcpy((char *)&fake.w + offsetof(struct watch, token), token, strlen(token) + 1);
	c->watcher.event(&c->watcher, &fake.w, path, strlen(path));
}

static void reply(struct conn *c, uint32_t id, const char *payload)
{
	const struct xsd_sockmsg h = { .type = XS_READ, .req_id = id };

	conn_reply(c, &h, XS_READ, payload, strlen(payload));
}

static void some_output(struct conn *c)
{
	reply(c, 1, "one");
	event(c, "/a", "token");
	reply(c, 2, "");
	event(c, "/a/longer/path", "t");
	event(c, "@releaseDomain", "t");
	reply(c, 3, "three");
}

static void messages_leave_whole_and_in_order_at_every_split(void **state)
{
	struct bench *b = bench_new();
	struct line *l = &b->line[1];
	uint8_t want[512];
	size_t total;

	(void)state;
	some_output(l->conn);
	total = conn_peek_output(l->conn, want, sizeof(want));
	bench_run(b);
	assert_int_equal(l->out_len, total);
	for (size_t step = 1; step <= total; step++) {
		l->out_len = 0;
		some_output(l->conn);
		for (size_t sent = 0; sent < total;) {
			l->out_room = sent + step;
			conn_wake(l->conn);
			bench_run(b);
			sent = l->out_len;
			assert_in_range(sent, 1, total);
			/* what is left is charged, to the octet, and only that */
			assert_int_equal(l->budget.used[QUOTA_MEMORY], total - sent);
			assert_int_equal(conn_queued(l->conn).octets, total - sent);
			assert_int_equal(l->want_write, sent < total);
		}
		assert_memory_equal(l->out, want, total);
		assert_null(l->conn->out);
	}
	bench_free(b);
}

static void an_event_is_queued_once_while_it_is_wholly_unsent(void **state)
{
	struct bench *b = bench_new();
	struct line *l = &b->line[1];
	struct conn *c = l->conn;
	size_t size = WIRE_HEADER_SIZE + sizeof("/a") + sizeof("t");

	(void)state;
	l->out_room = 0;
	for (int i = 0; i < 5; i++) {
		event(c, "/a", "t");
		event(c, "/a", "u");
		event(c, "/b", "t");
		event(c, "/",
		      "a"); /* not the same as the next, though the octets are but for a NUL */
		event(c, "/a", "");
	}
	assert_int_equal(conn_queued(c).events, 5);
	for (int i = 0; i < 3; i++)
		event(c, "@releaseDomain", "t"); /* these are counted, not merged */
	assert_int_equal(conn_queued(c).events, 8);
	l->out_room = 1; /* an octet of the first is gone: it is told of anew */
	conn_wake(c);
	bench_run(b);
	event(c, "/a", "t");
	event(c, "/a", "t");
	event(c, "/b", "t");
	assert_int_equal(conn_queued(c).events, 9);
	l->out_room = size;
	conn_wake(c);
	bench_run(b);
	assert_int_equal(conn_queued(c).events, 8);
	event(c, "/a", "t");
	assert_int_equal(conn_queued(c).events, 8);
	bench_free(b);
}

/* What should be in the queue: offsets in the whole stream. */
struct model {
	uint8_t stream[LINE_MAX_OCTETS];
	size_t len;
	size_t start[MODEL_MAX], end[MODEL_MAX];
	size_t n;
};

static bool model_has(const struct model *m, size_t sent, const void *msg, size_t len)
{
	for (size_t i = m->n; i-- > 0 && m->start[i] >= sent;)
		if (m->end[i] - m->start[i] == len && !memcmp(m->stream + m->start[i], msg, len))
			return true;
	return false;
}

static void model_add(struct model *m, const void *msg, size_t len)
{
	assert_in_range(m->n, 0, MODEL_MAX - 1);
	memcpy(m->stream + m->len, msg, len);
	m->start[m->n] = m->len;
	m->len += len;
	m->end[m->n++] = m->len;
}

static void random_step(struct bench *b, struct model *m, struct prng *rnd)
{
	struct line *l = &b->line[0];
	uint8_t msg[256];
	char path[32];
	size_t len;

	if (prng_below(rnd, 10) < 6) {
		struct xsd_sockmsg h = { .type = XS_WATCH_EVENT };

		snprintf(path, sizeof(path), "/%u", prng_below(rnd, 40));
		len = strlen(path) + 1;
		h.len = (uint32_t)len + 2;
		memcpy(msg, &h, sizeof(h));
		memcpy(msg + sizeof(h), path, len);
		memcpy(msg + sizeof(h) + len, "t", 2);
		if (!model_has(m, l->out_len, msg, sizeof(h) + h.len))
			model_add(m, msg, sizeof(h) + h.len);
		event(l->conn, path, "t");
	} else if (prng_below(rnd, 10) < 4) {
		memset(path, 'r', sizeof(path));
		path[prng_below(rnd, 31)] = '\0';
		len = request(msg, (uint32_t)m->len & 0xff, path, strlen(path));
		model_add(m, msg, len);
		reply(l->conn, (uint32_t)(m->len - len) & 0xff, path);
	} else {
		l->out_room += prng_below(rnd, prng_once_in(rnd, 10) ? 2000 : 60);
		if (l->out_room > m->len)
			l->out_room = m->len;
		conn_wake(l->conn);
		bench_run(b);
		assert_int_equal(l->out_len, l->out_room);
	}
	assert_int_equal(conn_queued(l->conn).octets, m->len - l->out_len);
	assert_int_equal(l->budget.used[QUOTA_MEMORY], m->len - l->out_len);
}

static void any_mix_of_events_replies_and_slow_readers_is_as_a_plain_queue(void **state)
{
	static struct model m;

	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct bench *b = bench_new();
		struct prng rnd;

		print_message("# seed %u\n", (unsigned int)seed);
		prng_init(&rnd, seed);
		m.len = m.n = 0;
		b->line[0].out_room = 0;
		for (unsigned int i = 0; i < 4000; i++)
			random_step(b, &m, &rnd);
		b->line[0].out_room = sizeof(b->line[0].out);
		conn_wake(b->line[0].conn);
		bench_run(b);
		assert_int_equal(b->line[0].out_len, m.len);
		assert_memory_equal(b->line[0].out, m.stream, m.len);
		bench_free(b);
	}
}

static void an_event_over_a_quota_or_too_long_is_dropped_and_counted(void **state)
{
	struct bench *b = bench_new();
	struct line *l = &b->line[1];
	char path[4096];

	(void)state;
	l->out_room = 0;
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[XENSTORE_ABS_PATH_MAX - 1] = '\0';
	event(l->conn, path, "t");
	assert_int_equal(conn_queued(l->conn).events, 1);
	l->budget.limits.hard[QUOTA_MEMORY] = l->budget.used[QUOTA_MEMORY] + 21;
	event(l->conn, "/b", "t"); /* 16 + 3 + 2 */
	event(l->conn, "/c", "t");
	assert_int_equal(conn_queued(l->conn).events, 2);
	assert_int_equal(l->budget.counters->refused[REFUSAL_EVENT_DROPPED], 1);
	bench_free(b);
}

/* The time after which a guest's unread event is dropped is 1000 ms here, give or take a part. */
static void unread_events_go_stale_and_replies_do_not(void **state)
{
	struct bench *b = bench_new();
	struct conn *c = bench_guest(b, 1);
	struct line *l = &b->line[1];
	uint64_t gone_ms = 0;

	(void)state;
	b->t.event_timeout_ms = 1000;
	l->out_room = 5; /* within the first event */
	event(c, "/half", "t");
	event(c, "/old", "t");
	reply(c, 1, "reply");
	bench_run(b);
	for (b->now_ms = 0; b->now_ms < 3000; b->now_ms += 10) {
		if (b->now_ms == 700) {
			event(c, "/young", "t");
			bench_run(b);
		}
		conn_tick(&b->t, b->now_ms);
		if (!gone_ms && l->budget.counters->refused[REFUSAL_EVENT_DROPPED])
			gone_ms = b->now_ms;
		if (b->now_ms == 1600)
			assert_int_equal(conn_queued(c).events, 2);
	}
	assert_in_range(gone_ms, 1000, 1250);
	assert_int_equal(conn_queued(c).events, 1); /* the one that is half sent */
	assert_int_equal(conn_queued(c).replies, 1);
	assert_int_equal(l->budget.counters->refused[REFUSAL_EVENT_DROPPED], 2);
	l->out_room = sizeof(l->out);
	conn_wake(c);
	bench_run(b);
	assert_int_equal(l->out_len, 16 + 6 + 2 + 16 + 5);
	assert_int_equal(l->budget.used[QUOTA_MEMORY], 0);
	assert_true(list_is_empty(&b->t.stalled));
	bench_free(b);
}

static void who_reads_in_time_loses_nothing_though_never_all_is_read(void **state)
{
	struct bench *b = bench_new();
	struct conn *c = bench_guest(b, 1);
	struct line *l = &b->line[1];
	char path[32];

	(void)state;
	b->t.event_timeout_ms = 1000;
	l->out_room = 0;
	for (unsigned int i = 0; i < 400; i++) {
		b->now_ms += 50;
		snprintf(path, sizeof(path), "/%03u", i);
		event(c, path, "t");
		if (i >= 15) /* it is fifteen events behind, 750 ms, all the time */
			l->out_room += 23;
		conn_wake(c);
		bench_run(b);
		conn_tick(&b->t, b->now_ms);
	}
	assert_int_equal(l->budget.counters->refused[REFUSAL_EVENT_DROPPED], 0);
	assert_int_equal(conn_queued(c).events, 15);
	bench_free(b);
}

static void a_queue_without_memory_is_no_queue(void **state)
{
	struct bench *b = bench_new();
	struct line *l = &b->line[1];
	static char big[XENSTORE_PAYLOAD_MAX], path[XENSTORE_ABS_PATH_MAX], token[1024];

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	memset(token, 'x', sizeof(token) - 2);
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	for (unsigned long n = 1; n < 9; n++) {
		bool failed;

		alloc_fail_nth(n, true);
		event(l->conn, path, token);
		failed = alloc_fail_end();
		if (!failed)
			break;
		bench_run(b);
		assert_null(l->conn->out);
		assert_false(l->want_write);
		assert_int_equal(l->budget.used[QUOTA_MEMORY], 0);
		assert_int_equal(l->budget.counters->refused[REFUSAL_EVENT_DROPPED], n);
	}
	assert_int_equal(conn_queued(l->conn).events, 1);
	/* a reply is not dropped: its connection ends */
	reply(b->line[2].conn, 1, big);
	b->line[2].out_room = 0;
	bench_run(b);
	alloc_fail_nth(1, true);
	for (uint32_t i = 2; i < 100; i++) /* more than the area has room for */
		reply(b->line[2].conn, i, big);
	assert_true(alloc_fail_end());
	bench_run(b);
	assert_true(b->line[2].freed);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_leave_whole_and_in_order_at_every_split),
		cmocka_unit_test(an_event_is_queued_once_while_it_is_wholly_unsent),
		cmocka_unit_test(any_mix_of_events_replies_and_slow_readers_is_as_a_plain_queue),
		cmocka_unit_test(an_event_over_a_quota_or_too_long_is_dropped_and_counted),
		cmocka_unit_test(unread_events_go_stale_and_replies_do_not),
		cmocka_unit_test(who_reads_in_time_loses_nothing_though_never_all_is_read),
		cmocka_unit_test(a_queue_without_memory_is_no_queue),
	};

	return cmocka_run_group_tests_name("out", tests, NULL, NULL);
}
