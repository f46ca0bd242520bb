/* SPDX-License-Identifier: MIT */
/*
 * What a connection brings along from elsewhere is its own with the commit, and before that is
 * nothing, whatever the instant its process dies.
 */
#include "conn/death_test.h"

#define IN_LEN 11u
#define PARTIAL 7u

/* The rest of a message, and a whole one. */
static size_t unsent(uint8_t *buf)
{
	memset(buf, 'p', PARTIAL);
	return PARTIAL + message_make(buf + PARTIAL, XS_READ, 4);
}

static void load(struct world *w)
{
	uint8_t out[2048];
	const struct conn_freight freight = {
		.in = stream[RING],
		.in_len = IN_LEN,
		.out = out,
		.out_len = unsent(out),
		.out_partial = PARTIAL,
	};

	conn_quiesce(w->conn[RING], true);
	assert_int_equal(conn_load(w->conn[RING], &freight), 0);
}

static void check_load(const struct conn *c)
{
	uint8_t want[2048], got[2048];
	size_t len = unsent(want);

	assert_int_equal(conn_peek_input(c, got, sizeof(got)), IN_LEN);
	assert_memory_equal(got, stream[RING], IN_LEN);
	assert_int_equal(conn_peek_output(c, got, sizeof(got)), len);
	assert_memory_equal(got, want, len);
	assert_int_equal(conn_queued(c).partial, PARTIAL);
	assert_int_equal(c->watcher.budget->used[QUOTA_MEMORY], IN_LEN + len);
}

static struct world *die(struct world *dead)
{
	struct world *w = here = world_restore(dead);

	world_bury(dead);
	w->conn[RING]->quiesced = true;
	world_take_over(w);
	return w;
}

static void freight_is_there_with_its_commit_and_not_before(void **state)
{
	(void)state;
	for (int committed = 0; committed < 2; committed++) {
		struct world *w = here = world_new();
		struct conn *c;

		load(w);
		if (committed)
			assert_int_equal(conn_commit(&w->t), 0);
		w = die(w);
		c = w->conn[RING];
		if (committed)
			check_load(c);
		assert_int_equal(conn_queued(c).octets > 0, committed);
		assert_int_equal(c->in_len > 0, committed);
		/* and another one finds the same, or may be given it again */
		if (!committed) {
			load(w);
			conn_round(&w->t, 0);
		}
		w = die(w);
		c = w->conn[RING];
		check_load(c);
		conn_reset(c);
		conn_round(&w->t, 0);
		world_free(w);
	}
	here = NULL;
}

static void freight_that_is_refused_leaves_nothing(void **state)
{
	struct conn_freight freight = { .in = stream[RING], .in_len = IN_LEN, .out = stream[RING] };
	struct world *w = here = world_new();
	struct conn *c = w->conn[RING];

	(void)state;
	conn_quiesce(c, true);
	/* half a head, and a part longer than all there is */
	for (freight.out_len = 10; freight.out_len <= 40; freight.out_len += 30) {
		freight.out_partial = freight.out_len > 10 ? freight.out_len + 1 : 0;
		assert_int_equal(conn_load(c, &freight), EINVAL);
		conn_reset(c);
		conn_round(&w->t, 0);
		assert_int_equal(c->in_len + conn_queued(c).octets, 0);
	}
	freight = (struct conn_freight){ .in = stream[RING], .in_len = CONN_INPUT_MAX + 1 };
	assert_int_equal(conn_load(c, &freight), EINVAL);
	conn_reset(c);
	conn_round(&w->t, 0);
	load(w);
	conn_round(&w->t, 0);
	check_load(c);
	conn_reset(c);
	conn_round(&w->t, 0);
	world_free(w);
	here = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(freight_is_there_with_its_commit_and_not_before),
		cmocka_unit_test(freight_that_is_refused_leaves_nothing),
	};

	streams_make();
	return cmocka_run_group_tests_name("conn/freight", tests, NULL, NULL);
}
