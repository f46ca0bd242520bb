/* SPDX-License-Identifier: MIT */
/*
 * Lists: order, removal while visiting, and that removing twice is harmless.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
	int n;
	struct list link;
};

static void fill(struct list *head, struct item *items, int n)
{
	list_init(head);
	for (int i = 0; i < n; i++) {
		items[i].n = i;
		list_append(head, &items[i].link);
	}
}

static void appended_entries_come_in_order(void **state)
{
	struct item items[3], *it;
	struct list head;
	int want = 0;

	(void)state;
	fill(&head, items, 3);
	list_for_each(it, &head, link)
		assert_int_equal(it->n, want++);
	assert_int_equal(want, 3);
	assert_ptr_equal(list_first(&head, struct item, link), &items[0]);
}

static void the_visited_entry_may_be_removed(void **state)
{
	struct item items[4], *it;
	struct list head;
	int seen = 0;

	(void)state;
	fill(&head, items, 4);
	list_for_each(it, &head, link) {
		seen++;
		list_remove(&it->link);
	}
	assert_int_equal(seen, 4);
	assert_true(list_is_empty(&head));
	assert_null(list_first(&head, struct item, link));
}

static void removing_twice_is_harmless(void **state)
{
	struct item items[2];
	struct list head;

	(void)state;
	fill(&head, items, 2);
	list_remove(&items[0].link);
	list_remove(&items[0].link);
	assert_ptr_equal(list_first(&head, struct item, link), &items[1]);
	assert_true(list_is_empty(&items[0].link));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appended_entries_come_in_order),
		cmocka_unit_test(the_visited_entry_may_be_removed),
		cmocka_unit_test(removing_twice_is_harmless),
	};

	return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
