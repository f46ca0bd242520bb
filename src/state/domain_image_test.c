/* SPDX-License-Identifier: MIT */
/*
 * A domain leaves one core and arrives in another: what it held goes on there, what stands in its
 * way is named, and whatever is refused leaves nothing behind.
 */
#include "op/world_test.h"

#include "base/alloc_test.h"
#include "base/own.h"
#include "state/domain_image.h"
#include "state/load.h"
#include "state/log.h"
#include "state/write.h"

#define DUMP_ROOM (1u << 20)

static char why[CORE_WHY_MAX];

/* --- pictures of a core ------------------------------------------------------------------ */

struct dump {
	uint8_t *data;
	size_t len;
	bool io; /* with what connections have queued, which no log says */
};

static int dump_put(void *data, const struct drover_record *rec)
{
	static const struct drover_image_format format = { .version = 2 };
	struct dump *d = data;
	size_t n;

	if (rec->type == DROVER_RECORD_CONNECTION && !d->io)
		return 0;
	assert_int_equal(
		drover_record_encode(&format, rec, d->data + d->len, DUMP_ROOM - d->len, &n, NULL),
		0);
	d->len += n;
	return 0;
}

static void dump_core(struct core *core, bool io, struct dump *d)
{
	const struct state_write_options opt = { .quotas = true };
	const struct state_sink sink = { .put = dump_put, .data = d };

	d->data = d->data ? d->data : malloc(DUMP_ROOM);
	assert_non_null(d->data);
	d->len = 0;
	d->io = io;
	core->store.gen = core->conns.next_id = 0; /* what only ever rises is no state */
	assert_int_equal(state_write(core, &opt, &sink), 0);
}

static void assert_same(const struct dump *a, const struct dump *b)
{
	assert_int_equal(a->len, b->len);
	assert_memory_equal(a->data, b->data, a->len);
}

static void dumps_free(struct dump *a, struct dump *b)
{
	free(a->data);
	free(b->data);
}

/* --- two worlds -------------------------------------------------------------------------- */

struct two {
	struct world *from, *to;
	uint8_t *image;
	size_t len;
};

static struct two two_new(void)
{
	struct two t = { .from = world_new(), .to = world_new() };

	world_guest(t.from, 5);
	assert_string_equal(ask(t.from, 0, XS_WRITE, "/local/domain/5/name|guest"), "OK|");
	assert_string_equal(ask(t.from, 0, XS_WRITE, "/local/domain/5/data|"), "OK|");
	assert_string_equal(ask(t.from, 0, XS_SET_PERMS, "/local/domain/5/data|n5|r7|"), "OK|");
	assert_string_equal(ask(t.from, 0, XS_WRITE, "/local/domain/5/data/old|1"), "OK|");
	return t;
}

static void two_free(struct two *t)
{
	free(t->image);
	world_free(t->from);
	world_free(t->to);
}

static int leave(struct two *t, const char *with)
{
	struct path p[8];
	size_t n = 0;

	free(TAKE(t->image));
	for (size_t len; with && *with; with += len + (with[len] == ' ')) {
		len = strcspn(with, " ");
		assert_int_equal(path_make(&p[n++], NULL, with, len), 0);
	}
	why[0] = '\0';
	assert_string_equal(ask(t->from, 0, WIRE_QUIESCE, "5|"), "OK|");
	return domain_image_export(t->from->core, 5, p, n, &t->image, &t->len, why);
}

/* The page is copied, and what the guest had read off it. */
static void carry_page(struct two *t)
{
	struct world *w = t->to;

	fake_create(&w->hv, 5);
	*w->hv.dom[5].page = *t->from->hv.dom[5].page;
	w->guest[5] = t->from->guest[5];
	assert_string_equal(ask(w, 0, WIRE_QUIESCE, "5|"), "OK|");
	assert_string_equal(ask(w, 0, XS_INTRODUCE, "5|105|3|"), "OK|");
}

static int arrive(struct two *t)
{
	why[0] = '\0';
	return domain_image_import(t->to->core, 5, t->image, t->len, why);
}

static void move(struct two *t, const char *with)
{
	if (leave(t, with))
		fail_msg("refused: %s", why);
	carry_page(t);
	if (arrive(t))
		fail_msg("refused: %s", why);
	assert_string_equal(ask(t->to, 0, WIRE_UNQUIESCE, "5|"), "OK|");
}

static void guest_says(struct world *w, const uint8_t *buf, size_t len)
{
	struct xenstore_domain_interface *p = w->hv.dom[5].page;

	for (size_t i = 0; i < len; i++)
		p->req[MASK_XENSTORE_IDX(p->req_prod + i)] = (char)buf[i];
	p->req_prod += (uint32_t)len;
	w->hv.pending[w->hv.dom[5].port] = true;
	world_run(w, 0);
}

/* --- what goes along --------------------------------------------------------------------- */

static void nodes_arrive_with_values_access_and_charges(void **state)
{
	struct two t = two_new();

	(void)state;
	ask(t.from, 0, XS_WRITE, "/vm/u/name|n");
	ask(t.from, 0, XS_WRITE, "/vm/other|n");
	move(&t, "/vm/u /local/domain/5/data");
	assert_string_equal(ask(t.to, 0, XS_READ, "/local/domain/5/name|"), "guest");
	assert_string_equal(ask(t.to, 0, XS_GET_PERMS, "/local/domain/5/data|"), "n5|r7|");
	assert_string_equal(ask(t.to, 0, XS_READ, "/vm/u/name|"), "n");
	assert_string_equal(ask(t.to, 0, XS_READ, "/vm/other|"), "ENOENT|");
	assert_int_equal(domain_find(&t.to->core->domains, 5)->budget.used[QUOTA_NODES], 4);
	/* its death takes them along, wherever they are */
	fake_destroy(&t.to->hv, 5);
	world_run(t.to, 0);
	assert_string_equal(ask(t.to, 0, XS_READ, "/local/domain/5/name|"), "ENOENT|");
	two_free(&t);
}

static void watchers_hear_of_arriving_nodes_and_the_guest_of_what_did_not_come(void **state)
{
	struct two t = two_new();

	(void)state;
	ask(t.from, 5, XS_WATCH, "data|d|");
	ask(t.from, 5, XS_WATCH, "/local/domain/0/backend|b|");
	ask(t.to, 1, XS_WATCH, "/local/domain|w|");
	move(&t, NULL);
	world_hear(t.to, &t.to->socket[1], 0);
	assert_non_null(strstr(t.to->events, "[/local/domain/5/name|w|]"));
	assert_non_null(strstr(t.to->events, "[/local/domain/5|w|]"));
	world_run(t.to, 5);
	world_hear(t.to, &t.to->guest[5], 0);
	assert_string_equal(t.to->events, "[/local/domain/0/backend|b|]");
	two_free(&t);
}

static void watches_fire_there_as_before_depths_and_relative_paths_too(void **state)
{
	struct two t = two_new();

	(void)state;
	ask(t.from, 5, XS_WATCH, "data|rel|");
	ask(t.from, 5, XS_WATCH, "/local/domain/5|deep|1|");
	move(&t, NULL);
	ask(t.to, 0, XS_WRITE, "/local/domain/5/data/x|1");
	world_run(t.to, 5);
	world_hear(t.to, &t.to->guest[5], 0);
	assert_string_equal(t.to->events, "[data/x|rel|]");
	ask(t.to, 0, XS_WRITE, "/local/domain/5/data|1");
	world_run(t.to, 5);
	world_hear(t.to, &t.to->guest[5], 0);
	assert_non_null(strstr(t.to->events, "[/local/domain/5/data|deep|]"));
	two_free(&t);
}

static void half_a_request_is_finished_there(void **state)
{
	uint8_t buf[256];
	size_t len = message(buf, XS_WRITE, 0, "data/half|whole");

	(void)state;
	for (size_t cut = 1; cut < len; cut += 3) {
		struct two t = two_new();

		guest_says(t.from, buf, cut);
		move(&t, NULL);
		guest_says(t.to, buf + cut, len - cut);
		world_run(t.to, 5);
		world_hear(t.to, &t.to->guest[5], XS_WRITE);
		assert_string_equal(t.to->answer, "OK|");
		assert_string_equal(ask(t.to, 0, XS_READ, "/local/domain/5/data/half|"), "whole");
		two_free(&t);
	}
}

/* A reply of 2000 octets of which the ring took a half, an event behind it. */
static void what_the_guest_did_not_read_it_reads_there(void **state)
{
	struct two t = two_new();
	static char text[2100];
	uint8_t buf[256];

	(void)state;
	memset(text, 'v', 2000);
	memcpy(text, "/local/domain/5/data|", 21);
	ask(t.from, 0, XS_WRITE, text);
	ask(t.from, 5, XS_WATCH, "name|t|");
	guest_says(t.from, buf, message(buf, XS_READ, 0, "data|"));
	ask(t.from, 0, XS_WRITE, "/local/domain/5/name|other");
	assert_true(conn_queued(domain_find(&t.from->core->domains, 5)->conn).partial > 0);
	move(&t, NULL);
	world_run(t.to, 5);
	world_hear(t.to, &t.to->guest[5], XS_READ);
	assert_int_equal(strlen(t.to->answer), 2000 - 21);
	assert_string_equal(t.to->events, "[name|t|]");
	assert_string_equal(ask(t.to, 5, XS_READ, "name|"), "other");
	two_free(&t);
}

static void open_transactions_go_on_if_all_they_touched_came_along(void **state)
{
	static const struct {
		const char *before;  /* read in the transaction */
		const char *outside; /* written meanwhile by domain 0, where it leaves */
		const char *there;   /* and where it arrives */
		const char *want;
	} table[] = {
		{ "name|", NULL, NULL, "OK|" },
		{ "/local/domain/5/data|", "/x|1", "/x|1", "OK|" },
		{ "/tool|", NULL, NULL, "EAGAIN|" },
		{ "name|", "/local/domain/5/name|1", NULL, "EAGAIN|" },
		{ "name|", NULL, "/local/domain/5/name|1", "EAGAIN|" },
		{ "missing|", NULL, "/local/domain/5/missing|1", "EAGAIN|" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct two t = two_new();

		ask(t.from, 0, XS_SET_PERMS, "/tool|r0|");
		assert_string_equal(ask(t.from, 5, XS_TRANSACTION_START, "|"), "1|");
		ask_in(t.from, 5, 1, XS_READ, table[i].before);
		ask_in(t.from, 5, 1, XS_WRITE, "data/new/leaf|mine");
		ask_in(t.from, 5, 1, XS_RM, "data/old|");
		ask_in(t.from, 5, 1, XS_WRITE, "/local/domain/5|"); /* as it is */
		ask(t.from, 0, XS_WRITE, "/local/domain/5|other");
		if (table[i].outside)
			ask(t.from, 0, XS_WRITE, table[i].outside);
		move(&t, NULL);
		if (table[i].there)
			ask(t.to, 0, XS_WRITE, table[i].there);
		assert_string_equal(ask_in(t.to, 5, 1, XS_WRITE, "data/more|too"), "OK|");
		assert_string_equal(ask(t.to, 5, XS_READ, "data/new/leaf|"), "ENOENT|");
		if (strcmp(ask_in(t.to, 5, 1, XS_TRANSACTION_END, "T|"), table[i].want))
			fail_msg("row %zu: %s", i, t.to->answer);
		if (table[i].want[0] == 'O') {
			assert_string_equal(ask(t.to, 5, XS_READ, "data/new/leaf|"), "mine");
			assert_string_equal(ask(t.to, 5, XS_READ, "data/more|"), "too");
			assert_string_equal(ask(t.to, 5, XS_READ, "data/old|"), "ENOENT|");
			assert_string_equal(ask(t.to, 5, XS_READ, "/local/domain/5|"), "");
		}
		assert_string_equal(ask(t.to, 5, XS_TRANSACTION_START, "|"), "2|");
		two_free(&t);
	}
}

static void limits_and_features_of_its_own_go_along(void **state)
{
	struct two t = two_new();
	const struct domain *d;

	(void)state;
	assert_string_equal(ask(t.from, 0, WIRE_SET_QUOTA, "5|watches|7|"), "OK|");
	domain_find(&t.from->core->domains, 5)->features = 2;
	move(&t, NULL);
	d = domain_find(&t.to->core->domains, 5);
	assert_int_equal(d->budget.limits.hard[QUOTA_WATCHES], 7);
	assert_true(d->budget.own_limit[QUOTA_WATCHES]);
	assert_false(d->budget.own_limit[QUOTA_NODES]);
	assert_int_equal(t.to->hv.dom[5].page->server_features, 2);
	two_free(&t);
}

static void a_move_that_is_called_off_goes_on_where_it_was(void **state)
{
	struct two t = two_new();

	(void)state;
	ask(t.from, 5, XS_WATCH, "data|d|");
	ask(t.from, 5, XS_TRANSACTION_START, "|");
	ask_in(t.from, 5, 1, XS_WRITE, "data|mine");
	assert_int_equal(leave(&t, NULL), 0);
	ask(t.from, 0, WIRE_UNQUIESCE, "5|");
	assert_string_equal(ask_in(t.from, 5, 1, XS_TRANSACTION_END, "T|"), "OK|");
	assert_string_equal(t.from->events, "[data|d|]");
	two_free(&t);
}

/* --- what stands in the way -------------------------------------------------------------- */

static void an_export_that_cannot_be_says_why(void **state)
{
	struct two t = two_new();

	(void)state;
	assert_int_equal(domain_image_export(t.from->core, 5, NULL, 0, &t.image, &t.len, why),
			 EBUSY);
	assert_string_equal(why, "domain 5 is not quiesced");
	assert_int_equal(leave(&t, "/vm/x"), ENOENT);
	assert_string_equal(why, "/vm/x does not exist");
	two_free(&t);
}

static void make_node(struct two *t)
{
	ask(t->to, 0, XS_WRITE, "/local/domain/5/x|");
}

static void make_owned(struct two *t)
{
	ask(t->to, 0, XS_WRITE, "/x|");
	ask(t->to, 0, XS_SET_PERMS, "/x|n5|");
}

static void make_watch(struct two *t)
{
	ask(t->to, 0, WIRE_ADD_DOMAIN_WATCHES, "5|@releaseDomain|t|");
}

static void make_txn(struct two *t)
{
	ask(t->to, 0, WIRE_START_DOMAIN_TRANSACTION, "5|1|");
}

static void make_awake(struct two *t)
{
	ask(t->to, 0, WIRE_UNQUIESCE, "5|");
}

static void make_released(struct two *t)
{
	ask(t->to, 0, XS_RELEASE, "5|");
}

static void make_gone(struct two *t)
{
	fake_destroy(&t->to->hv, 5);
}

static void make_other_image(struct two *t)
{
	t->image[4] = 'X';
}

static void what_stands_in_the_way_is_named_and_nothing_arrives(void **state)
{
	static const struct {
		void (*make)(struct two *t);
		const char *with;
		int want;
		const char *why;
	} table[] = {
		{ NULL, "/o", ENOENT, "domain 7, which is to own /o/p, does not exist" },
		{ make_node, NULL, EEXIST, "/local/domain/5 exists already" },
		{ make_owned, NULL, EEXIST, "domain 5 owns nodes already" },
		{ make_watch, NULL, EEXIST, "domain 5 has watches already" },
		{ make_txn, NULL, EEXIST, "domain 5 has open transactions already" },
		{ make_awake, NULL, EBUSY, "domain 5 is not quiesced" },
		{ make_released, NULL, ENOENT, "domain 5 is not introduced" },
		{ make_gone, NULL, ENOENT, "domain 5 does not exist" },
		{ make_other_image, NULL, EINVAL, NULL },
	};
	struct dump before = { 0 }, after = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct two t = two_new();

		fake_create(&t.from->hv, 7);
		ask(t.from, 0, XS_WRITE, "/o/p|");
		ask(t.from, 0, XS_SET_PERMS, "/o/p|n7|");
		assert_int_equal(leave(&t, table[i].with), 0);
		carry_page(&t);
		if (table[i].make)
			table[i].make(&t);
		world_run(t.to, 0);
		dump_core(t.to->core, true, &before);
		assert_int_equal(arrive(&t), table[i].want);
		if (table[i].why)
			assert_string_equal(why, table[i].why);
		assert_string_not_equal(why, "");
		world_run(t.to, 0);
		dump_core(t.to->core, true, &after);
		assert_same(&before, &after);
		two_free(&t);
	}
	dumps_free(&before, &after);
}

/* A guest with something of everything. */
static void furnish(struct two *t)
{
	uint8_t buf[256];

	ask(t->from, 5, XS_WATCH, "data|d|");
	ask(t->from, 5, XS_WATCH, "/local/domain/0|b|2|");
	ask(t->from, 5, XS_TRANSACTION_START, "|");
	ask_in(t->from, 5, 1, XS_READ, "name|");
	ask_in(t->from, 5, 1, XS_WRITE, "data/new/leaf|mine");
	ask_in(t->from, 5, 1, XS_RM, "data/old|");
	ask(t->from, 5, XS_TRANSACTION_START, "|");
	ask_in(t->from, 5, 2, XS_READ, "/tool|");
	guest_says(t->from, buf, message(buf, XS_WRITE, 0, "half|octets") - 3);
	/* not read: events stay queued once it is quiesced */
	assert_string_equal(ask(t->from, 0, WIRE_QUIESCE, "5|"), "OK|");
	ask(t->from, 0, XS_WRITE, "/local/domain/5/data|1");
}

static void arrive_or_nothing(struct two *t, struct dump *before, const char *what, size_t at)
{
	static struct dump after;
	int r = arrive(t);

	if (r < 0 || (r && !why[0]))
		fail_msg("%s %zu: %d", what, at, r);
	world_run(t->to, 0);
	if (r) {
		dump_core(t->to->core, true, &after);
		assert_same(before, &after);
		return;
	}
	/* it was good all the same: another place to arrive in */
	world_free(t->to);
	t->to = world_new();
	carry_page(t);
	dump_core(t->to->core, true, before);
}

static void a_damaged_image_is_refused_whole_or_proven_harmless(void **state)
{
	struct two t = two_new();
	struct dump before = { 0 };
	size_t len;

	(void)state;
	furnish(&t);
	assert_int_equal(leave(&t, NULL), 0);
	carry_page(&t);
	dump_core(t.to->core, true, &before);
	len = t.len;
	for (t.len = 0; t.len < len; t.len++)
		arrive_or_nothing(&t, &before, "cut at", t.len);
	for (size_t bit = 0; bit < len * 8; bit++) {
		t.image[bit / 8] ^= (uint8_t)(1u << bit % 8);
		arrive_or_nothing(&t, &before, "bit", bit);
		t.image[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(before.data);
	two_free(&t);
}

static bool arrival_fails(unsigned long n)
{
	struct dump before = { 0 }, after = { 0 };
	struct two t = two_new();
	bool failed;
	int r;

	furnish(&t);
	assert_int_equal(leave(&t, NULL), 0);
	carry_page(&t);
	world_run(t.to, 0);
	dump_core(t.to->core, true, &before);
	alloc_fail_nth(n, true);
	r = arrive(&t);
	failed = alloc_fail_end();
	assert_true(!r || r == -ENOMEM);
	world_run(t.to, 0);
	if (r) {
		dump_core(t.to->core, true, &after);
		assert_same(&before, &after);
		/* and then it arrives */
		assert_int_equal(arrive(&t), 0);
	}
	assert_string_equal(ask(t.to, 0, WIRE_UNQUIESCE, "5|"), "OK|");
	world_run(t.to, 5);
	assert_string_equal(ask(t.to, 0, XS_READ, "/local/domain/5/name|"), "guest");
	dumps_free(&before, &after);
	two_free(&t);
	return failed;
}

static void an_arrival_without_memory_is_none(void **state)
{
	unsigned long n = 1;

	(void)state;
	while (arrival_fails(n))
		n++;
	assert_in_range(n, 20, 500);
}

/* --- the log ----------------------------------------------------------------------------- */

static int load_put(void *data, const struct drover_record *rec)
{
	struct state_load *l = data;
	assert_int_equal(state_load_put(l, rec), 0);
	return 0;
}

static uint64_t no_mark(void *data)
{
	(void)data;
	return 0;
}

static void an_arrival_is_in_the_log(void **state)
{
	const struct state_write_options opt = { .socket_fd = -1, .evtchn_fd = -1 };
	struct dump live = { 0 }, loaded = { 0 };
	struct quota_policy policy;
	struct core_options core_opt = { { 5, 6 }, &policy, .priv_domid = PERM_NO_DOMID };
	struct state_load *l;
	struct state_log log = { .mark = no_mark };
	struct two t = two_new();

	(void)state;
	furnish(&t);
	assert_int_equal(leave(&t, NULL), 0);
	carry_page(&t);
	world_run(t.to, 0);
	quota_policy_init(&policy);
	assert_int_equal(state_load_new(&core_opt, &l), 0);
	log.sink = (struct state_sink){ .put = load_put, .data = l };
	assert_int_equal(state_write(t.to->core, &opt, &log.sink), 0);
	state_log_attach(&log, t.to->core);
	assert_int_equal(arrive(&t), 0);
	assert_int_equal(log.error, 0);
	core_set_log(t.to->core, NULL, NULL);
	dump_core(t.to->core, false, &live);
	dump_core(state_load_core(l), false, &loaded);
	assert_same(&live, &loaded);
	state_load_free(l);
	dumps_free(&live, &loaded);
	two_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_arrive_with_values_access_and_charges),
		cmocka_unit_test(
			watchers_hear_of_arriving_nodes_and_the_guest_of_what_did_not_come),
		cmocka_unit_test(watches_fire_there_as_before_depths_and_relative_paths_too),
		cmocka_unit_test(half_a_request_is_finished_there),
		cmocka_unit_test(what_the_guest_did_not_read_it_reads_there),
		cmocka_unit_test(open_transactions_go_on_if_all_they_touched_came_along),
		cmocka_unit_test(limits_and_features_of_its_own_go_along),
		cmocka_unit_test(a_move_that_is_called_off_goes_on_where_it_was),
		cmocka_unit_test(an_export_that_cannot_be_says_why),
		cmocka_unit_test(what_stands_in_the_way_is_named_and_nothing_arrives),
		cmocka_unit_test(a_damaged_image_is_refused_whole_or_proven_harmless),
		cmocka_unit_test(an_arrival_without_memory_is_none),
		cmocka_unit_test(an_arrival_is_in_the_log),
	};

	return cmocka_run_group_tests_name("state/domain_image", tests, NULL, NULL);
}
