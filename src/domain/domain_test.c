/* SPDX-License-Identifier: MIT */
/*
 * Introducing, releasing, resuming: what stays, what goes, and what is told.
 */
#include "domain/host_test.h"

#include "base/alloc_test.h"
#include "conn/ring.h"

/* Puts a request, or its first part, on a guest's ring. */
static void say(struct host *h, unsigned int domid, uint32_t id, const char *payload, size_t cut)
{
	struct xenstore_domain_interface *p = h->hv.dom[domid].page;
	struct xsd_sockmsg m = { .type = XS_READ, .req_id = id, .len = (uint32_t)strlen(payload) };
	uint8_t buf[256];
	size_t len = sizeof(m) + m.len;

	memcpy(buf, &m, sizeof(m));
	memcpy(buf + sizeof(m), payload, m.len);
	for (size_t i = 0; i < len - cut; i++)
		p->req[MASK_XENSTORE_IDX(p->req_prod++)] = (char)buf[i];
	h->hv.pending[h->hv.dom[domid].port] = h->hv.bound[h->hv.dom[domid].port];
}

static void an_introduction_is_told_of_once(void **state)
{
	struct host *h = host_new();

	(void)state;
	host_watch(h, "@introduceDomain", 1);
	host_watch(h, "@releaseDomain", 1);
	host_guest(h, 5);
	assert_int_equal(domain_introduce(&h->domains, 5, 105, 3), 0); /* nothing changes */
	assert_int_equal(domain_introduce(&h->domains, 5, 105, 4), 0); /* bound anew, quietly */
	assert_string_equal(h->events, "@introduceDomain/5");
	h->events[0] = '\0';
	assert_int_equal(domain_release(&h->domains, 5), 0);
	assert_int_equal(domain_release(&h->domains, 5), ENOENT);
	assert_string_equal(h->events, "@releaseDomain/5");
	host_run(h);
	host_free(h);
}

static void what_cannot_be_introduced_changes_nothing(void **state)
{
	static const struct {
		uint16_t domid;
		uint64_t gfn;
		uint32_t port;
		bool dying;
		int want;
	} table[] = {
		{ 9, 100, 3, false, ENOENT },	 { 5, 0, 3, false, EINVAL },
		{ 5, 100, 2000, false, EINVAL }, { 5, 100, 3, true, ENOENT },
		{ 40, 100, 3, false, ENOENT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct host *h = host_new();

		host_watch(h, "@introduceDomain", 1);
		fake_create(&h->hv, 5);
		h->hv.dom[5].dying = table[i].dying;
		assert_int_equal(
			domain_introduce(&h->domains, table[i].domid, table[i].gfn, table[i].port),
			table[i].want);
		assert_string_equal(h->events, "");
		assert_int_equal(h->conns.n, 0);
		host_free(h);
	}
}

static void the_same_introduction_again_lets_a_half_read_request_go_on(void **state)
{
	struct host *h = host_new();
	struct conn *c;

	(void)state;
	c = host_guest(h, 5)->conn;
	assert_int_equal(
		watch_add(&h->watches, &c->watcher, "/a", 2, "t", 1, WATCH_DEPTH_ANY, false, NULL),
		0);
	say(h, 5, 1, "payload", 3);
	host_run(h);
	assert_int_equal(domain_introduce(&h->domains, 5, 105, 3), 0);
	assert_ptr_equal(domain_find(&h->domains, 5)->conn, c);
	assert_int_equal(h->watches.n, 1);
	for (size_t i = 0; i < 3; i++)
		h->hv.dom[5].page->req[MASK_XENSTORE_IDX(h->hv.dom[5].page->req_prod++)] = 'x';
	h->hv.pending[h->hv.dom[5].port] = true;
	host_run(h);
	assert_int_equal(h->n_requests, 1);
	host_free(h);
}

static void another_port_drops_a_half_read_request_whole(void **state)
{
	struct host *h = host_new();
	struct domain *d;

	(void)state;
	d = host_guest(h, 5);
	assert_int_equal(watch_add(&h->watches, &d->conn->watcher, "/a", 2, "t", 1, WATCH_DEPTH_ANY,
				   false, NULL),
			 0);
	say(h, 5, 1, "payload", 3);
	host_run(h);
	assert_int_not_equal(d->budget.used[QUOTA_MEMORY], 0);
	assert_int_equal(domain_introduce(&h->domains, 5, 105, 4), 0);
	assert_int_equal(d->budget.used[QUOTA_MEMORY], 0);
	assert_int_equal(h->watches.n, 0);
	host_run(h);
	say(h, 5, 2, "fresh", 0);
	host_run(h);
	assert_int_equal(h->n_requests, 1);
	assert_int_equal(h->conns.n, 1);
	assert_int_equal(h->hv.dom[5].maps, 1);
	host_free(h);
}

static void release_and_introduce_are_a_pair_that_loses_nothing(void **state)
{
	struct host *h = host_new();
	struct domain *d;

	(void)state;
	d = host_guest(h, 5);
	host_node(h, "/h", "n5");
	assert_int_equal(domain_release(&h->domains, 5), 0);
	say(h, 5, 1, "kept on the ring", 0); /* written while nobody reads */
	host_run(h);
	assert_true(host_has(h, "/h"));
	assert_int_equal(d->budget.used[QUOTA_NODES], 1);
	assert_int_equal(domain_introduce(&h->domains, 5, 105, 3), 0);
	host_run(h);
	assert_int_equal(h->n_requests, 1);
	host_free(h);
}

static void a_release_of_one_that_is_gone_is_its_death(void **state)
{
	struct host *h = host_new();

	(void)state;
	host_guest(h, 5);
	host_node(h, "/h", "n5");
	host_watch(h, "@releaseDomain", 1);
	h->hv.dom[5].exists = false; /* nobody has told yet */
	assert_int_equal(domain_release(&h->domains, 5), 0);
	assert_false(host_has(h, "/h"));
	assert_string_equal(h->events, "@releaseDomain/5");
	fake_tell(&h->hv, 5);
	host_run(h);
	assert_string_equal(h->events, "@releaseDomain/5");
	host_free(h);
}

/* The toolstack introduces the next life before we heard of the end of the last. */
static void an_id_in_its_next_life_is_another_domain(void **state)
{
	struct host *h = host_new();
	struct domain *d;

	(void)state;
	host_guest(h, 5);
	host_node(h, "/h", "n5");
	host_watch(h, "@introduceDomain", 1);
	host_watch(h, "@releaseDomain", 1);
	fake_create(&h->hv, 5);
	assert_int_equal(domain_introduce(&h->domains, 5, 105, 3), 0);
	assert_string_equal(h->events, "@releaseDomain/5 @introduceDomain/5");
	assert_false(host_has(h, "/h"));
	d = domain_find(&h->domains, 5);
	assert_int_equal(d->budget.used[QUOTA_NODES], 0);
	host_run(h);
	assert_int_equal(h->hv.dom[5].maps, 1);
	host_free(h);
}

static void a_shutdown_is_told_of_again_after_a_resume(void **state)
{
	struct host *h = host_new();

	(void)state;
	host_guest(h, 5);
	host_watch(h, "@releaseDomain", 1);
	h->hv.dom[5].shutdown = true;
	for (unsigned int i = 0; i < 3; i++) {
		fake_tell(&h->hv, 5);
		host_run(h);
	}
	assert_string_equal(h->events, "@releaseDomain/5");
	assert_int_equal(domain_resume(&h->domains, 5), 0);
	assert_int_equal(domain_resume(&h->domains, 6), ENOENT);
	fake_tell(&h->hv, 5);
	host_run(h);
	assert_string_equal(h->events, "@releaseDomain/5 @releaseDomain/5");
	host_free(h);
}

static void a_target_lends_its_rights_while_both_are_there(void **state)
{
	struct host *h = host_new();
	struct domain *d;

	(void)state;
	d = host_guest(h, 5);
	assert_int_equal(domain_set_target(&h->domains, 5, 6), ENOENT);
	assert_int_equal(domain_set_target(&h->domains, 6, 5), ENOENT);
	host_guest(h, 6);
	assert_int_equal(domain_set_target(&h->domains, 5, 6), 0);
	assert_int_equal(d->conn->watcher.target, 6);
	assert_int_equal(domain_introduce(&h->domains, 5, 105, 9), 0); /* kept over a new ring */
	assert_int_equal(d->conn->watcher.target, 6);
	fake_destroy(&h->hv, 6);
	host_run(h);
	assert_int_equal(d->conn->watcher.target, PERM_NO_DOMID);
	host_free(h);
}

static void an_introduction_without_memory_leaves_nothing_bound_or_mapped(void **state)
{
	static const bool again[] = { false, true };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		for (unsigned long n = 1; n < 30; n++) {
			struct host *h = host_new();
			bool failed;
			int r;

			fake_create(&h->hv, 5);
			if (again[k])
				host_guest(h, 5);
			host_watch(h, "@introduceDomain", 1);
			alloc_fail_nth(n, true);
			r = domain_introduce(&h->domains, 5, 105, 8);
			failed = alloc_fail_end();
			assert_int_equal(r, failed ? -ENOMEM : 0);
			host_run(h);
			if (failed) {
				assert_int_equal(h->conns.n, 0);
				assert_int_equal(h->hv.dom[5].maps, 0);
				assert_string_equal(h->events, "");
			}
			/* once there is memory it is introduced, and told of unless it was */
			h->events[0] = '\0';
			assert_int_equal(domain_introduce(&h->domains, 5, 105, 8), 0);
			host_run(h);
			say(h, 5, 1, "x", 0);
			host_run(h);
			assert_int_equal(h->n_requests, 1);
			if (failed)
				assert_string_equal(h->events, "@introduceDomain/5");
			host_free(h);
			if (!failed)
				break;
		}
	}
}

/* A Linux in domain 0 starts xenbus, and its backends with that, at the first notification. */
static void domain_0_is_notified_before_it_asked_for_anything(void **state)
{
	struct host *h = host_new();

	(void)state;
	h->hv.dom[0].page = calloc(1, sizeof(*h->hv.dom[0].page));
	assert_non_null(h->hv.dom[0].page);
	assert_int_equal(domain_connect_dom0(&h->domains, 0), 0);
	assert_int_equal(h->hv.notified, 1);
	host_run(h);
	say(h, 0, 1, "x", 0);
	host_run(h);
	assert_int_equal(h->n_requests, 1);
	host_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(domain_0_is_notified_before_it_asked_for_anything),
		cmocka_unit_test(an_introduction_is_told_of_once),
		cmocka_unit_test(what_cannot_be_introduced_changes_nothing),
		cmocka_unit_test(the_same_introduction_again_lets_a_half_read_request_go_on),
		cmocka_unit_test(another_port_drops_a_half_read_request_whole),
		cmocka_unit_test(release_and_introduce_are_a_pair_that_loses_nothing),
		cmocka_unit_test(a_release_of_one_that_is_gone_is_its_death),
		cmocka_unit_test(an_id_in_its_next_life_is_another_domain),
		cmocka_unit_test(a_shutdown_is_told_of_again_after_a_resume),
		cmocka_unit_test(a_target_lends_its_rights_while_both_are_there),
		cmocka_unit_test(an_introduction_without_memory_leaves_nothing_bound_or_mapped),
	};

	return cmocka_run_group_tests_name("domain", tests, NULL, NULL);
}
