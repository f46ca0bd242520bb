/* SPDX-License-Identifier: MIT */
/*
 * What a migrator owes its owner: rows before effects, bounds, refusals in words, questions
 * answered from what is durable. Whether guests survive is tests/migrate's business.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_test.h"
#include "base/own.h"
#include "migrate/migrate.h"

#define EFFECTS 64u

/* The owner: remembers what it was asked for. */
struct owner {
	struct migrator *m;
	uint64_t ids;
	unsigned int n_rows, n_gone, n_effects;
	int journal_says;
	enum mig_phase written; /* the latest row's */
	struct {
		enum mig_effect_type type;
		enum mig_msg_type msg;
		enum mig_answer answer;
		int err;
		enum mig_phase phase;
	} effects[EFFECTS];
};

static int journal(void *data, const struct mig_row *const *rows, size_t n,
		   const struct mig_id *gone, size_t n_gone)
{
	struct owner *o = data;

	(void)gone;
	if (o->journal_says)
		return o->journal_says;
	o->n_rows += (unsigned int)n;
	o->n_gone += (unsigned int)n_gone;
	if (n)
		o->written = rows[n - 1]->phase;
	return 0;
}

static void effect(void *data, const struct mig_effect *e)
{
	struct owner *o = data;
	unsigned int i = o->n_effects++ % EFFECTS;

	o->effects[i].type = e->type;
	o->effects[i].msg = e->msg ? e->msg->type : 0;
	o->effects[i].answer = e->answer;
	o->effects[i].err = e->err;
	o->effects[i].phase = e->row ? e->row->phase : MIG_PHASES;
}

static void random_id(void *data, struct mig_id *ret)
{
	struct owner *o = data;
	uint64_t n = ++o->ids;

	memset(ret, 0, sizeof(*ret));
	memcpy(ret, &n, sizeof(n));
}

static const struct mig_ops ops = { journal, effect, random_id };
static const struct mig_self here = { .host = { .name = "here" }, .limits = MIG_LIMITS_DEFAULT };
static char text[MIG_WHY_MAX];

static void open_owner(struct owner *o)
{
	*o = (struct owner){ .m = migrator_new(&here, &ops, o) };
	assert_non_null(o->m);
}

static void round_end(struct owner *o)
{
	o->n_effects = 0;
	assert_int_equal(migrator_flush(o->m), 0);
}

static bool was_asked(const struct owner *o, enum mig_effect_type type, enum mig_msg_type msg)
{
	for (unsigned int i = 0; i < o->n_effects; i++) {
		if (o->effects[i].type == type && o->effects[i].msg == msg)
			return true;
	}
	return false;
}

static struct mig_begin guest_of(unsigned int n)
{
	struct mig_begin b = { .guest = "guest", .epoch = 1, .running = true };

	memcpy(b.uuid, &n, sizeof(n));
	return b;
}

static int begin(struct owner *o, unsigned int n, struct mig_cookie *c)
{
	struct mig_begin b = guest_of(n);

	return migrator_begin(o->m, &b, 1, c, text, sizeof(text));
}

/* A guest is on its way: START is said, and nothing else. */
static void perform(struct owner *o, struct mig_cookie *c)
{
	assert_int_equal(begin(o, 1, c), 0);
	snprintf(c->host.name, sizeof(c->host.name), "there");
	assert_int_equal(migrator_perform(o->m, c, 0, 1, 2, text, sizeof(text)), 0);
	round_end(o);
	assert_true(was_asked(o, MIG_DO_CALL, MIG_MSG_START));
}

/* The other end says it, and the round is not over yet. */
static void hear(struct owner *o, const struct mig_cookie *c, enum mig_msg_type type)
{
	struct mig_msg msg = {
		.type = type, .id = c->id, .epoch = c->epoch, .host = "there", .why = ""
	};

	migrator_peer_call(o->m, &msg, 7, 8);
}

static void say(struct owner *o, const struct mig_cookie *c, enum mig_msg_type type)
{
	hear(o, c, type);
	round_end(o);
}

/* All of it is sent, and its fate is the destination's to ask for. */
static void send_all(struct owner *o, const struct mig_cookie *c)
{
	migrator_answer(o->m, &c->id, MIG_MSG_START, MIG_ANS_OK, "");
	migrator_stopped(o->m, &c->id);
	migrator_exported(o->m, &c->id, 0, "", (const uint8_t *)"x", 1);
	migrator_sent(o->m, &c->id, 0, "");
	round_end(o);
}

static void nothing_leaves_before_its_row_is_durable(void **state)
{
	struct mig_cookie c;
	struct owner o;

	(void)state;
	open_owner(&o);
	perform(&o, &c);
	assert_int_equal(o.written, MIG_PERFORMING);
	send_all(&o, &c);
	o.journal_says = -EIO;
	o.n_effects = 0;
	hear(&o, &c, MIG_MSG_COMMIT);
	assert_int_equal(migrator_flush(o.m), -EIO);
	assert_int_equal(o.n_effects, 0);
	/* And it does not go on. */
	o.journal_says = 0;
	assert_int_equal(migrator_flush(o.m), -EIO);
	assert_int_equal(o.n_effects, 0);
	migrator_free(o.m);
}

static void questions_are_answered_from_what_is_durable(void **state)
{
	struct mig_cookie c;
	struct owner o;

	(void)state;
	open_owner(&o);
	perform(&o, &c);
	send_all(&o, &c);
	assert_int_equal(migrator_find(o.m, &c.id)->phase, MIG_SENT);
	hear(&o, &c, MIG_MSG_COMMIT);
	assert_int_equal(migrator_find(o.m, &c.id)->phase, MIG_SENT);
	assert_int_equal(migrator_job(o.m, c.uuid)->phase, MIG_SENT);
	round_end(&o);
	assert_int_equal(migrator_find(o.m, &c.id)->phase, MIG_GIVEN);
	migrator_free(o.m);
}

static void a_commit_that_comes_before_the_sending_ended_is_answered_then(void **state)
{
	struct mig_cookie c;
	struct owner o;

	(void)state;
	open_owner(&o);
	perform(&o, &c);
	say(&o, &c, MIG_MSG_COMMIT);
	assert_false(was_asked(&o, MIG_DO_ANSWER, 0));
	send_all(&o, &c);
	assert_true(was_asked(&o, MIG_DO_ANSWER, 0));
	for (unsigned int i = 0; i < o.n_effects; i++) {
		if (o.effects[i].type == MIG_DO_ANSWER)
			assert_int_equal(o.effects[i].answer, MIG_ANS_GRANTED);
	}
	migrator_free(o.m);
}

static void what_peers_say_of_unknown_migrations_is_answered(void **state)
{
	static const struct {
		enum mig_msg_type type;
		enum mig_answer answer;
	} table[] = {
		{ MIG_MSG_START, MIG_ANS_REFUSED },  { MIG_MSG_STATE, MIG_ANS_REFUSED },
		{ MIG_MSG_COMMIT, MIG_ANS_REFUSED }, { MIG_MSG_ABORT, MIG_ANS_OK },
		{ MIG_MSG_FAILED, MIG_ANS_OK },	     { MIG_MSG_TAKEN, MIG_ANS_OK },
		{ MIG_MSG_RETURN, MIG_ANS_OK },
	};
	struct mig_cookie c = { .epoch = 1 };
	struct owner o;

	(void)state;
	open_owner(&o);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		say(&o, &c, table[i].type);
		assert_int_equal(o.n_effects, 1);
		assert_int_equal(o.effects[0].type, MIG_DO_ANSWER);
		assert_int_equal(o.effects[0].answer, table[i].answer);
		assert_int_equal(o.effects[0].phase, MIG_PHASES);
	}
	migrator_free(o.m);
}

static void what_cannot_be_begun_is_refused_in_words(void **state)
{
	static const struct {
		uint32_t flags;
		uint64_t epoch;
		int err;
		const char *named;
	} table[] = {
		{ MIG_TUNNELLED, 1, EINVAL, "PEER2PEER" },
		{ MIG_OFFLINE, 1, EINVAL, "PERSIST_DEST" },
		{ MIG_OFFLINE | MIG_PERSIST_DEST | MIG_NON_SHARED_INC, 1, EINVAL, "storage" },
		{ MIG_NON_SHARED_DISK | MIG_NON_SHARED_INC, 1, EINVAL, "exclude" },
		{ MIG_LIVE, UINT64_MAX, EINVAL, "epoch" },
		{ MIG_LIVE, 1, 0, "" },
		{ MIG_LIVE, 1, EBUSY, "is being migrated (begun, waits for the client" },
	};
	struct owner o;

	(void)state;
	open_owner(&o);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct mig_begin b = guest_of(1);
		struct mig_cookie c;

		b.flags = table[i].flags;
		b.epoch = table[i].epoch;
		text[0] = '\0';
		assert_int_equal(migrator_begin(o.m, &b, 1, &c, text, sizeof(text)), table[i].err);
		if (!strstr(text, table[i].named))
			fail_msg("%zu: %s", i, text);
	}
	migrator_free(o.m);
}

static void jobs_are_bounded_and_those_that_only_tell_make_room(void **state)
{
	struct mig_cookie c, last;
	struct owner o;

	(void)state;
	open_owner(&o);
	perform(&o, &c);
	for (unsigned int i = 1; i < MIG_JOBS_MAX; i++)
		assert_int_equal(begin(&o, i + 1, &last), 0);
	assert_int_equal(begin(&o, 5000, &last), ENOSPC);
	/* It stays here, and only its destination does not know. */
	assert_int_equal(migrator_abort(o.m, c.uuid, "enough", text, sizeof(text)), 0);
	round_end(&o);
	migrator_resumed(o.m, &c.id, 0, "");
	round_end(&o);
	assert_int_equal(migrator_find(o.m, &c.id)->phase, MIG_ABORTED);
	assert_null(migrator_job(o.m, c.uuid));
	assert_int_equal(begin(&o, 5000, &last), 0);
	assert_int_equal(begin(&o, 5001, &last), ENOSPC);
	round_end(&o);
	assert_int_equal(migrator_find(o.m, &c.id)->phase, MIG_DONE);
	migrator_free(o.m);
}

static void count_row(void *data, const struct mig_row *row)
{
	unsigned int *n = data;

	(void)row;
	(*n)++;
}

static void history_is_bounded_and_the_journal_told_what_is_gone(void **state)
{
	struct owner o;
	unsigned int n = 0;

	(void)state;
	open_owner(&o);
	for (unsigned int i = 0; i < MIG_HISTORY_MAX + 10; i++) {
		struct mig_cookie c;

		perform(&o, &c);
		assert_int_equal(migrator_abort(o.m, c.uuid, "enough", text, sizeof(text)), 0);
		migrator_answer(o.m, &c.id, MIG_MSG_ABORT, MIG_ANS_OK, "");
		migrator_resumed(o.m, &c.id, 0, "");
		round_end(&o);
	}
	round_end(&o);
	migrator_each(o.m, count_row, &n);
	assert_int_equal(n, MIG_HISTORY_MAX);
	assert_int_equal(o.n_gone, 10);
	migrator_free(o.m);
}

static void rows_that_cannot_be_are_refused_whole(void **state)
{
	struct mig_row rows[2] = { { .id = { { 1 } }, .phase = MIG_GIVEN, .outcome = MIG_MOVED },
				   { .id = { { 2 } }, .phase = MIG_BEGUN } };
	unsigned int n = 0;
	struct owner o;

	(void)state;
	open_owner(&o);
	log_set_sink(alloc_quiet, NULL);
	assert_int_equal(migrator_restore(o.m, rows, 2, 1, 1), -EINVAL);
	migrator_each(o.m, count_row, &n);
	assert_int_equal(n, 0);
	rows[1] = rows[0];
	assert_int_equal(migrator_restore(o.m, rows, 2, 1, 1), -EINVAL);
	assert_int_equal(migrator_restore(o.m, rows, 1, 1, 1), 0);
	assert_int_equal(migrator_find(o.m, &rows[0].id)->phase, MIG_GIVEN);
	log_set_sink(NULL, NULL);
	migrator_free(o.m);
}

static void time_limits_end_what_nobody_goes_on_with(void **state)
{
	struct mig_cookie c;
	struct owner o;

	(void)state;
	open_owner(&o);
	assert_int_equal(begin(&o, 1, &c), 0);
	assert_int_equal(migrator_deadline_ms(o.m), here.limits.begin_ms);
	migrator_tick(o.m, here.limits.begin_ms - 1, 1);
	assert_non_null(migrator_job(o.m, c.uuid));
	migrator_tick(o.m, here.limits.begin_ms, 1);
	assert_null(migrator_job(o.m, c.uuid));
	assert_true(migrator_deadline_ms(o.m) == UINT64_MAX);
	assert_int_equal(migrator_perform(o.m, &c, 0, 1, 2, text, sizeof(text)), ETIMEDOUT);
	migrator_free(o.m);
}

/* Without memory nothing leaves any more: the next flush says so, and the daemon ends. */
static void without_memory_it_ends_and_has_said_nothing_false(void **state)
{
	bool failed = true;

	(void)state;
	log_set_sink(alloc_quiet, NULL);
	for (unsigned long n = 1; failed; n++) {
		struct mig_cookie c;
		struct owner o;
		int r;

		open_owner(&o);
		perform(&o, &c);
		send_all(&o, &c);
		o.n_effects = 0;
		alloc_failed = false;
		alloc_countdown = n;
		hear(&o, &c, MIG_MSG_COMMIT);
		r = migrator_flush(o.m);
		alloc_countdown = 0;
		failed = alloc_failed;
		assert_int_equal(r, failed ? -ENOMEM : 0);
		if (failed)
			assert_int_equal(o.n_effects, 0);
		else
			assert_int_equal(o.written, MIG_GIVEN);
		migrator_free(o.m);
	}
	log_set_sink(NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_leaves_before_its_row_is_durable),
		cmocka_unit_test(questions_are_answered_from_what_is_durable),
		cmocka_unit_test(a_commit_that_comes_before_the_sending_ended_is_answered_then),
		cmocka_unit_test(what_peers_say_of_unknown_migrations_is_answered),
		cmocka_unit_test(what_cannot_be_begun_is_refused_in_words),
		cmocka_unit_test(jobs_are_bounded_and_those_that_only_tell_make_room),
		cmocka_unit_test(history_is_bounded_and_the_journal_told_what_is_gone),
		cmocka_unit_test(rows_that_cannot_be_are_refused_whole),
		cmocka_unit_test(time_limits_end_what_nobody_goes_on_with),
		cmocka_unit_test(without_memory_it_ends_and_has_said_nothing_false),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
