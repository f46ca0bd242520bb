/* SPDX-License-Identifier: MIT */
/*
 * What a dead domain leaves: docs/decisions/0009.
 */
#include "base/alloc_test.h"
#include "conn/ring.h"
#include "domain/host_test.h"

/* Nodes as path and list, one after the other; then which are left when domain 5 has died. */
struct legacy {
	const char *node[12][2];
	const char *left;
	const char *gone;
};

static void each_word(const struct host *h, const char *words, bool want)
{
	char path[64];

	while (*words) {
		size_t n = strcspn(words, " ");

		snprintf(path, sizeof(path), "%.*s", (int)n, words);
		if (host_has(h, path) != want)
			fail_msg("%s is %s", path, want ? "gone" : "left");
		words += n + (words[n] == ' ');
	}
}

static void all_that_it_owned_goes_wherever_it_is(void **state)
{
	static const struct legacy table[] = {
		{ { { "/h", "n5" }, { "/h/a/b", "n5" } }, "/", "/h" },
		{ { { "/x/y/z", "n5" } }, "/", "/x" }, /* made by it, parents too */
		{ { { "/x", "n0" }, { "/x/y/z", "n5" } }, "/x", "/x/y" },
		{ { { "/x", "n0" }, { "/x/a", "n5" }, { "/x/b", "n6" } }, "/x /x/b", "/x/a" },
		/* given to it later */
		{ { { "/x/y", "n0" }, { "/x/y/z", "n0" }, { "/x/y", "n5" } }, "/x", "/x/y" },
		/* taken from it, its children stay its own */
		{ { { "/h", "n5" }, { "/h/a", "n5" }, { "/h/a/b", "n5" }, { "/h", "n0" } },
		  "/h",
		  "/h/a" },
		{ { { "/h", "n5" },
		    { "/h/a", "n5" },
		    { "/h/a/b", "n5" },
		    { "/h/a", "n6" },
		    { "/h", "n6" } },
		  "/h /h/a",
		  "/h/a/b" },
		/* taken and given back */
		{ { { "/h", "n5" },
		    { "/h/a", "n5" },
		    { "/h", "n6" },
		    { "/h/a", "n6" },
		    { "/h/a", "n5" } },
		  "/h",
		  "/h/a" },
		/* a chain that is joined from above, then cut again */
		{ { { "/h", "n0" },
		    { "/h/a", "n0" },
		    { "/h/a/b", "n5" },
		    { "/h/a", "n5" },
		    { "/h", "n5" },
		    { "/h/a", "n0" },
		    { "/h", "n0" } },
		  "/h /h/a",
		  "/h/a/b" },
		/* others' nodes below its own go, too */
		{ { { "/h", "n5" }, { "/h/a", "n6" }, { "/h/a/b", "n0" } }, "/", "/h" },
		/* it may write, but owns nothing */
		{ { { "/h", "n0 b5" }, { "/h/a", "n6 b5" } }, "/h /h/a", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct host *h = host_new();

		print_message("# row %zu\n", i);
		host_guest(h, 5);
		host_guest(h, 6);
		for (size_t k = 0; table[i].node[k][0]; k++)
			host_node(h, table[i].node[k][0], table[i].node[k][1]);
		fake_destroy(&h->hv, 5);
		host_run(h);
		each_word(h, table[i].left, true);
		each_word(h, table[i].gone, false);
		assert_null(domain_find(&h->domains, 5));
		host_free(h);
	}
}

/* Many nodes made, removed, given and taken at random: none that it owned is left. */
static void no_history_of_owners_hides_a_node(void **state)
{
	(void)state;
	for (unsigned int seed = 1; seed <= 60; seed++) {
		struct host *h = host_new();
		unsigned int rnd = seed * 2654435761u;
		char path[64], list[8];

		host_guest(h, 5);
		host_guest(h, 6);
		for (unsigned int i = 0; i < 300; i++) {
			unsigned int r = (rnd = rnd * 1664525u + 1013904223u) >> 8;
			int n = 0;

			for (unsigned int d = 0; d <= r % 4; d++)
				n += sprintf(path + n, "/%u", r >> (4 + 2 * d) & 3);
			sprintf(list, "n%u", (r >> 14) % 3 ? 4 + (r >> 14) % 3 : 0);
			if (r >> 18 & 1 || !host_has(h, path))
				host_node(h, path, list);
			else if (!(r >> 19 & 3))
				assert_int_equal(domain_remove_tree(&h->store, &h->watches, path,
								    strlen(path)),
						 0);
		}
		fake_destroy(&h->hv, 5);
		host_run(h); /* the charge of a node that is left would find nobody */
		assert_null(domain_find(&h->domains, 5));
		host_free(h);
	}
}

static void the_root_itself_goes_back_to_the_control_domain(void **state)
{
	struct host *h = host_new();

	(void)state;
	host_guest(h, 5);
	host_node(h, "/x", "n0");
	host_node(h, "/y", "n5");
	host_node(h, "/", "b5 r6");
	fake_destroy(&h->hv, 5);
	host_run(h);
	assert_null(domain_find(&h->domains, 5));
	assert_int_equal(perms_owner(h->store.live.root->perms), 0);
	assert_true(host_has(h, "/x"));
	assert_false(host_has(h, "/y"));
	host_free(h);
}

static void its_id_goes_from_every_access_list(void **state)
{
	static const char *const lists[][2] = {
		{ "n0 r5", "n0" },
		{ "n0 b5 r6", "n0 r6" },
		{ "n6 r5 w5 b5", "n6" },
		{ "n0 r6 w5", "n0 r6" },
		{ "n0 r6", "n0 r6" },
		{ "b0 n5", "b0" },
		{ "n0 r5 r6 r7 r5", "n0 r6 r7" },
	};
	struct host *h = host_new();
	struct perms *held[7], *want;

	(void)state;
	host_guest(h, 5);
	host_guest(h, 6);
	for (size_t i = 0; i < 7; i++)
		held[i] = host_list(h, lists[i][0]);
	fake_destroy(&h->hv, 5);
	host_run(h);
	for (size_t i = 0; i < 7; i++) {
		want = host_list(h, lists[i][1]);
		assert_true(perms_equal(held[i], want));
		perms_release(h->perms, want);
		perms_release(h->perms, held[i]);
	}
	host_free(h);
}

/* What was granted while nobody had the id is nobody's either. */
static void a_recycled_domid_inherits_nothing(void **state)
{
	static const bool keep[] = { false, true };
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct host *h = host_new();
		struct perms *before, *between;
		struct domain *d;

		h->domains.keep_orphans = keep[i];
		host_guest(h, 6);
		d = host_guest(h, 5);
		host_node(h, "/h", "n5");
		before = host_list(h, "n0 b5");
		assert_int_equal(domain_set_target(&h->domains, 5, 6), 0);
		d->features = 1;
		d->budget.limits.hard[QUOTA_NODES] = 7;
		budget_refuse(&d->budget, QUOTA_NODES, &(struct refusal){ .op = "WRITE" });
		fake_destroy(&h->hv, 5);
		host_run(h);
		between = host_list(h, "n0 r5");
		d = host_guest(h, 5);
		assert_int_equal(perms_bits(before, 5, PERM_NO_DOMID), 0);
		assert_int_equal(perms_bits(between, 5, PERM_NO_DOMID), 0);
		assert_null(d->target);
		assert_int_equal(d->conn->watcher.target, PERM_NO_DOMID);
		assert_int_equal(d->features, RING_FEATURES);
		assert_int_equal(d->budget.limits.hard[QUOTA_NODES], 1000);
		assert_int_equal(d->budget.counters->refused[QUOTA_NODES], 0);
		assert_int_equal(host_has(h, "/h"), keep[i]);
		perms_release(h->perms, before);
		perms_release(h->perms, between);
		host_free(h);
	}
}

static void who_acted_for_it_does_not_act_for_its_successor(void **state)
{
	static const bool keep[] = { false, true };
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct host *h = host_new();
		struct domain *stub;

		h->domains.keep_orphans = keep[i];
		stub = host_guest(h, 6);
		host_guest(h, 5);
		host_node(h, "/h", "n5");
		assert_int_equal(domain_set_target(&h->domains, 6, 5), 0);
		assert_int_equal(stub->conn->watcher.target, 5);
		fake_destroy(&h->hv, 5);
		host_run(h);
		host_guest(h, 5);
		assert_null(stub->target);
		assert_int_equal(stub->conn->watcher.target, PERM_NO_DOMID);
		host_free(h);
	}
}

static void a_domain_and_who_acts_for_it_die_together(void **state)
{
	static const unsigned int order[][2] = { { 5, 6 }, { 6, 5 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct host *h = host_new();

		host_guest(h, 5);
		host_guest(h, 6);
		assert_int_equal(domain_set_target(&h->domains, 6, 5), 0);
		assert_int_equal(domain_set_target(&h->domains, 5, 6), 0);
		assert_int_equal(domain_set_target(&h->domains, 5, 5), 0);
		fake_destroy(&h->hv, order[i][0]);
		fake_destroy(&h->hv, order[i][1]);
		h->hv.all = i;
		host_run(h);
		assert_int_equal(h->domains.n, 1);
		host_free(h);
	}
}

static void with_k_its_nodes_stay_and_are_found_when_the_id_comes_back(void **state)
{
	struct host *h = host_new();
	struct domain *d;

	(void)state;
	h->domains.keep_orphans = true;
	host_guest(h, 5);
	host_node(h, "/h/a", "n5");
	fake_destroy(&h->hv, 5);
	host_run(h);
	assert_true(host_has(h, "/h/a"));
	assert_true(domain_find(&h->domains, 5)->orphans);
	assert_int_equal(domain_get(&h->domains, 5, &d), ENOENT);
	d = host_guest(h, 5);
	assert_int_equal(d->budget.used[QUOTA_NODES], 2);
	h->domains.keep_orphans = false;
	fake_destroy(&h->hv, 5);
	host_run(h);
	assert_false(host_has(h, "/h"));
	assert_int_equal(h->domains.n, 1);
	host_free(h);
}

static void events_come_for_its_nodes_and_then_for_itself(void **state)
{
	struct host *h = host_new();

	(void)state;
	host_guest(h, 5);
	host_node(h, "/h", "n5");
	host_node(h, "/h/a", "n5");
	host_watch(h, "/h/a", WATCH_DEPTH_ANY);
	host_watch(h, "@releaseDomain", 1);
	host_watch(h, "@releaseDomain/5", WATCH_DEPTH_ANY);
	h->hv.dom[5].shutdown = true;
	fake_tell(&h->hv, 5);
	host_run(h);
	assert_string_equal(h->events, "@releaseDomain/5 @releaseDomain/5");
	h->events[0] = '\0';
	fake_tell(&h->hv, 5); /* told of once */
	host_run(h);
	assert_string_equal(h->events, "");
	fake_destroy(&h->hv, 5);
	host_run(h);
	assert_string_equal(h->events, "/h/a @releaseDomain/5 @releaseDomain/5");
	host_free(h);
}

static void a_death_without_memory_kills_nobody_else(void **state)
{
	(void)state;
	for (unsigned long n = 1; n < 40; n++) {
		struct host *h = host_new();
		struct node *snapshot;

		host_guest(h, 5);
		host_node(h, "/x", "n0");
		host_node(h, "/x/h", "n5");
		host_node(h, "/x/h/a", "n5");
		host_node(h, "/x/i", "n5");
		host_node(h, "/x/h", "n0");
		snapshot = node_take(h->store.live.root);
		fake_destroy(&h->hv, 5);
		alloc_fail_nth(n, true);
		domain_hv_events(&h->domains);
		if (!alloc_fail_end())
			n = 40;
		host_run(h);
		store_discard(&h->store, snapshot, false);
		/* the id comes back, and dies when there is memory again: nothing is left */
		host_guest(h, 5);
		fake_destroy(&h->hv, 5);
		host_run(h);
		assert_false(host_has(h, "/x/h/a"));
		assert_false(host_has(h, "/x/i"));
		assert_true(host_has(h, "/x/h"));
		assert_int_equal(h->domains.n, 1);
		host_free(h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_it_owned_goes_wherever_it_is),
		cmocka_unit_test(no_history_of_owners_hides_a_node),
		cmocka_unit_test(the_root_itself_goes_back_to_the_control_domain),
		cmocka_unit_test(its_id_goes_from_every_access_list),
		cmocka_unit_test(a_recycled_domid_inherits_nothing),
		cmocka_unit_test(who_acted_for_it_does_not_act_for_its_successor),
		cmocka_unit_test(a_domain_and_who_acts_for_it_die_together),
		cmocka_unit_test(with_k_its_nodes_stay_and_are_found_when_the_id_comes_back),
		cmocka_unit_test(events_come_for_its_nodes_and_then_for_itself),
		cmocka_unit_test(a_death_without_memory_kills_nobody_else),
	};

	return cmocka_run_group_tests_name("death", tests, NULL, NULL);
}
