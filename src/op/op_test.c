/* SPDX-License-Identifier: MIT */
/*
 * Requests through a whole core: which error comes first, what is refused is refused whole, and
 * a failing allocation anywhere is answered and changes nothing.
 */
#include "op/world_test.h"

#include "base/alloc_test.h"
#include "base/own.h"
#include "op/op.h"

static void errors_come_in_the_order_type_privilege_transaction_arguments(void **state)
{
	static const struct {
		unsigned int who;
		uint32_t tx, type;
		const char *text, *want;
	} table[] = {
		{ 5, 9, 20, "", "ENOSYS|" },
		{ 5, 9, 99, "", "ENOSYS|" },
		{ 0, 9, UINT32_MAX, "", "ENOSYS|" },
		{ 5, 9, XS_RELEASE, "", "EACCES|" },
		{ 5, 0, XS_CONTROL, "", "EACCES|" },
		{ 0, 9, XS_RELEASE, "", "ENOENT|" },
		{ 0, 9, XS_READ, "", "ENOENT|" },
		{ 5, 9, XS_WRITE, "", "ENOENT|" },
		{ 0, 0, XS_READ, "", "EINVAL|" },
		{ 0, 0, XS_READ, "/tool", "EINVAL|" },
		{ 0, 0, XS_READ, "/tool|x|", "EINVAL|" },
		{ 0, 0, XS_WRITE, "/a", "EINVAL|" },
		{ 0, 0, XS_WATCH, "/a|", "EINVAL|" },
		{ 0, 9, XS_WATCH, "/a|t|", "OK|" },
		{ 0, 9, XS_UNWATCH, "/a|t|", "OK|" },
		{ 0, 9, XS_TRANSACTION_END, "X|", "ENOENT|" },
		{ 0, 0, XS_TRANSACTION_END, "X|", "EINVAL|" },
		{ 0, 0, XS_TRANSACTION_END, "T|", "ENOENT|" },
		{ 0, 0, XS_SET_TARGET, "5|", "EINVAL|" },
		{ 0, 0, XS_SET_TARGET, "5|6|", "ENOENT|" },
		{ 5, 0, XS_READ, "/tool/none|", "EACCES|" },
		{ 0, 0, XS_READ, "/tool/none|", "ENOENT|" },
		{ 5, 0, XS_READ, "none|", "ENOENT|" },
	};
	struct world *w = world_new();

	(void)state;
	world_guest(w, 5);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		ask_in(w, table[i].who, table[i].tx, table[i].type, table[i].text);
		if (strcmp(w->answer, table[i].want))
			fail_msg("row %zu: %s for %s", i, w->answer, table[i].want);
	}
	world_free(w);
}

/* A guest with room for so much and no more: nothing of a request over it stays. */
static void a_request_over_a_quota_is_refused_whole_and_told_of_by_name(void **state)
{
	static const struct {
		enum quota_id q;
		uint64_t room; /* more than is used */
		uint32_t type;
		const char *text, *want;
	} table[] = {
		{ QUOTA_NODES, 3, XS_MKDIR, "a/b/c|", "OK|" },
		{ QUOTA_NODES, 2, XS_MKDIR, "a/b/c|", "ENOSPC|" },
		{ QUOTA_NODES, 2, XS_WRITE, "a/b/c|v", "ENOSPC|" },
		{ QUOTA_MEMORY, 2 * NODE_CHARGE + 7 + 40, XS_WRITE, "a/bbb|123", "OK|" },
		{ QUOTA_MEMORY, 2 * NODE_CHARGE + 6, XS_WRITE, "a/bbb|123", "ENOSPC|" },
		{ QUOTA_WATCHES, 0, XS_WATCH, "x|t|", "ENOSPC|" },
		{ QUOTA_MEMORY, 200, XS_WATCH, "x|t|", "ENOSPC|" },
		{ QUOTA_TRANSACTIONS, 0, XS_TRANSACTION_START, "|", "ENOSPC|" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct world *w = world_new();
		struct budget *b;
		uint64_t used[QUOTA_COUNTED];
		enum quota_id q = table[i].q;

		world_guest(w, 5);
		b = &domain_find(&w->core->domains, 5)->budget;
		memcpy(used, b->used, sizeof(used));
		b->limits.hard[q] = b->used[q] + table[i].room;
		if (!table[i].room && !b->limits.hard[q]) { /* 0 would mean without limit */
			b->limits.hard[q] = 1;
			budget_add(b, q, 1);
		}
		if (strcmp(ask(w, 5, table[i].type, table[i].text), table[i].want))
			fail_msg("row %zu: %s", i, w->answer);
		if (table[i].want[0] == 'E') {
			char text[64];

			snprintf(text, sizeof(text), "domain 5: refused by %s: %s", quota_name(q),
				 wire_type_name(table[i].type));
			assert_non_null(strstr(w->reported, text));
			assert_int_equal(b->counters->refused[q], 1);
			assert_int_equal(b->used[QUOTA_NODES], used[QUOTA_NODES]);
			assert_int_equal(b->used[QUOTA_MEMORY], used[QUOTA_MEMORY]);
			assert_string_equal(ask(w, 0, XS_DIRECTORY, "/local/domain/5|"), "");
		}
		if (b->used[q] && q != QUOTA_NODES && q != QUOTA_MEMORY)
			budget_sub(b, q, 1);
		world_free(w);
	}
}

/* --- without memory ---------------------------------------------------------------------- */

struct attempt {
	unsigned int who;
	bool in_txn;
	uint32_t type;
	const char *text;
};

static const struct attempt attempts[] = {
	{ 0, false, XS_READ, "/s/a|" },
	{ 0, false, XS_DIRECTORY, "/s|" },
	{ 0, false, XS_WRITE, "/s/a|a value that is longer than it was" },
	{ 0, false, XS_WRITE, "/s/x/y/z|new" },
	{ 0, false, XS_MKDIR, "/s/n/m|" },
	{ 0, false, XS_RM, "/s|" },
	{ 0, false, XS_SET_PERMS, "/s/a|n5|r6|b0|" },
	{ 0, false, XS_SET_PERMS, "@releaseDomain|n0|r5|" },
	{ 0, false, XS_WATCH, "/s/a/b/c|token|" },
	{ 0, false, XS_TRANSACTION_START, "|" },
	{ 0, false, XS_INTRODUCE, "7|107|3|" },
	{ 0, false, XS_INTRODUCE, "5|105|4|" },
	{ 0, false, XS_RELEASE, "5|" },
	{ 0, false, XS_SET_TARGET, "5|6|" },
	{ 0, false, XS_RESET_WATCHES, "|" },
	{ 5, false, XS_WRITE, "x/y|1" },
	{ 5, false, XS_WATCH, "x|t|" },
	{ 5, false, XS_MKDIR, "/shared/mine|" },
	{ 5, false, XS_TRANSACTION_START, "|" },
	{ 0, true, XS_READ, "/s/a|" },
	{ 0, true, XS_WRITE, "/s/a|a value that is longer than it was" },
	{ 0, true, XS_WRITE, "/s/x/y/z|new" },
	{ 0, true, XS_RM, "/s|" },
	{ 0, true, XS_SET_PERMS, "/s/a|n5|r6|" },
	{ 0, true, XS_TRANSACTION_END, "T|" },
	{ 0, true, XS_TRANSACTION_END, "F|" },
	{ 5, true, XS_WRITE, "x/y|1" },
	{ 5, true, XS_WRITE, "own|another value" },
	{ 5, true, XS_RM, "own|" },
	{ 5, true, XS_TRANSACTION_END, "T|" },
};

/* /s and its children, /shared that guests may write, and a watch on all. */
static struct world *furnished(void)
{
	struct world *w = world_new();

	fake_create(&w->hv, 7);
	world_guest(w, 5);
	world_guest(w, 6);
	ask(w, 0, XS_WRITE, "/s/a|1");
	ask(w, 0, XS_WRITE, "/s/b|2");
	ask(w, 0, XS_MKDIR, "/shared|");
	ask(w, 0, XS_SET_PERMS, "/shared|b0|");
	ask(w, 5, XS_WRITE, "own|1");
	ask(w, 0, XS_WATCH, "/|all|");
	ask(w, 5, XS_WATCH, "/shared|mine|");
	return w;
}

static void print_node(char *out, const struct node *n)
{
	size_t at = strlen(out);

	snprintf(out + at, WORLD_BUF - at, "%.*s=%.*s:%u/%u ", n->name_len, n->data, n->value_len,
		 node_value(n), perms_owner(n->perms), n->perms->n);
}

/* Every node, in preorder. */
static void picture(struct world *w, char *out)
{
	const struct node *n = w->core->store.live.root;
	struct node_iter it[64];
	int depth = 0;

	out[0] = '\0';
	node_iter_init(&it[0], n->kids);
	while (depth >= 0) {
		n = node_iter_next(&it[depth]);
		if (!n) {
			depth--;
			continue;
		}
		print_node(out, n);
		node_iter_init(&it[++depth], n->kids);
	}
}

static bool attempt_fails(const struct attempt *a, unsigned long n)
{
	static char before[WORLD_BUF], after[WORLD_BUF];
	struct world *w = furnished();
	char answer[64] = "";
	uint32_t tx = 0;
	bool failed;

	if (a->in_txn) {
		tx = (uint32_t)strtoul(ask(w, a->who, XS_TRANSACTION_START, "|"), NULL, 10);
		assert_int_equal(tx, 1);
		ask_in(w, a->who, tx, XS_WRITE, a->who ? "more|1" : "/more|1");
		ask(w, 1, XS_WRITE, "/s/b|changed outside");
	}
	picture(w, before);
	alloc_fail_nth(n, true);
	ask_in(w, a->who, tx, a->type, a->text);
	failed = alloc_fail_end();
	snprintf(answer, sizeof(answer), "%.32s", w->answer);
	world_run(w, 0);
	picture(w, after);
	if (!strcmp(answer, "ENOMEM|")) {
		if (strcmp(before, after))
			fail_msg("%s without allocation %lu: %s, then %s", wire_type_name(a->type),
				 n, before, after);
		/* the refused request is not done later either */
		if (tx && a->type != XS_TRANSACTION_END) {
			ask(w, 1, XS_WRITE, "/s/a|meanwhile");
			assert_string_equal(ask_in(w, a->who, tx, XS_TRANSACTION_END, "T|"), "OK|");
			if (a->who == 0)
				assert_string_equal(ask(w, 1, XS_READ, "/s/a|"), "meanwhile");
		}
	}
	/* whoever has lost a reply lost the connection: nobody waits for an answer */
	if (!answer[0] && a->type != XS_DIRECTORY)
		assert_true(a->who < 2 ? !w->socket[a->who].conn
				       : w->hv.dom[a->who].page->error == XENSTORE_ERROR_COMM);
	world_free(w);
	return failed;
}

static void a_failing_allocation_is_answered_and_changes_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(attempts); i++) {
		unsigned long n = 1;

		while (attempt_fails(&attempts[i], n))
			assert_in_range(n++, 1, 200);
	}
}

/* --- transactions and their connection --------------------------------------------------- */

static void a_reset_of_watches_ends_transactions_even_the_one_it_is_in(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_guest(w, 5);
	assert_string_equal(ask(w, 5, XS_TRANSACTION_START, "|"), "1|");
	assert_string_equal(ask_in(w, 5, 1, XS_WRITE, "a|1"), "OK|");
	assert_string_equal(ask(w, 5, XS_WATCH, "a|t|"), "OK|");
	assert_string_equal(ask_in(w, 5, 1, XS_RESET_WATCHES, "|"), "OK|");
	assert_string_equal(ask_in(w, 5, 1, XS_TRANSACTION_END, "T|"), "ENOENT|");
	assert_string_equal(ask(w, 5, XS_READ, "a|"), "ENOENT|");
	assert_int_equal(w->core->watches.n, 0);
	world_free(w);
}

/* Or one guest's busy transactions would make another's long one let go of its snapshot. */
static void what_a_transaction_copies_for_itself_is_its_own_charge_alone(void **state)
{
	struct world *w = world_new();
	uint64_t retained, used;
	struct budget *b;

	(void)state;
	world_guest(w, 5);
	b = &domain_find(&w->core->domains, 5)->budget;
	ask(w, 5, XS_WRITE, "a|value");
	assert_string_equal(ask(w, 5, XS_TRANSACTION_START, "|"), "1|");
	retained = w->core->store.heap.retained;
	used = b->used[QUOTA_MEMORY];
	assert_string_equal(ask_in(w, 5, 1, XS_WRITE, "a|other"), "OK|");
	assert_string_equal(ask_in(w, 5, 1, XS_RM, "a|"), "OK|");
	assert_int_equal(w->core->store.heap.retained, retained);
	assert_in_range(b->used[QUOTA_MEMORY] - used, 5 * sizeof(struct node), 2000);
	assert_string_equal(ask_in(w, 5, 1, XS_TRANSACTION_END, "F|"), "OK|");
	world_free(w);
}

static void a_closed_socket_takes_its_transactions_and_watches_along(void **state)
{
	struct world *w = world_new();

	(void)state;
	ask(w, 0, XS_WATCH, "/|t|");
	ask(w, 0, XS_TRANSACTION_START, "|");
	ask_in(w, 0, 1, XS_WRITE, "/never|1");
	conn_close(w->socket[0].conn);
	world_run(w, 0);
	assert_null(w->socket[0].conn);
	assert_string_equal(ask(w, 1, XS_READ, "/never|"), "ENOENT|");
	assert_int_equal(w->core->watches.n, 0);
	world_free(w);
}

/* The last round a guest that is being destroyed has in the loop: its own RELEASE and death. */
static void a_domain_that_dies_in_the_midst_of_its_requests_leaves_nothing(void **state)
{
	struct world *w = world_new();
	struct xenstore_domain_interface *p;
	uint8_t buf[256];
	size_t len;

	(void)state;
	world_guest(w, 5);
	p = w->hv.dom[5].page;
	assert_string_equal(ask(w, 5, XS_TRANSACTION_START, "|"), "1|");
	assert_string_equal(ask(w, 5, XS_WATCH, "a|t|"), "OK|");
	len = message(buf, XS_WRITE, 0, "a|half") - 1;
	for (size_t i = 0; i < len; i++)
		p->req[MASK_XENSTORE_IDX(p->req_prod++)] = (char)buf[i];
	w->hv.pending[w->hv.dom[5].port] = true;
	world_run(w, 0);
	fake_destroy(&w->hv, 5);
	world_run(w, 0);
	assert_null(domain_find(&w->core->domains, 5));
	assert_int_equal(w->core->watches.n, 0);
	assert_string_equal(ask(w, 0, XS_READ, "/local/domain/5|"), "ENOENT|");
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_come_in_the_order_type_privilege_transaction_arguments),
		cmocka_unit_test(a_request_over_a_quota_is_refused_whole_and_told_of_by_name),
		cmocka_unit_test(a_failing_allocation_is_answered_and_changes_nothing),
		cmocka_unit_test(a_reset_of_watches_ends_transactions_even_the_one_it_is_in),
		cmocka_unit_test(what_a_transaction_copies_for_itself_is_its_own_charge_alone),
		cmocka_unit_test(a_closed_socket_takes_its_transactions_and_watches_along),
		cmocka_unit_test(a_domain_that_dies_in_the_midst_of_its_requests_leaves_nothing),
	};

	return cmocka_run_group_tests_name("op", tests, NULL, NULL);
}
