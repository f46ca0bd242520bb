/* SPDX-License-Identifier: MIT */
/*
 * The simulated hypervisor seen from each side: what a toolstack (struct sim) and a guest
 * (struct sim_guest) do and what the daemon (struct hv) is told.
 */
#include <errno.h>

#include "hv/sim/host_test.h"

static void set_finds_claims_and_takes(void **state)
{
	static struct bits b;
	static const uint32_t members[] = { 0, 1, 63, 64, 4095, 4096, 65535 };
	int32_t at = -1;

	(void)state;
	for (size_t i = 0; i < 7; i++)
		assert_true(bits_set(&b, members[i]));
	assert_false(bits_set(&b, 64));
	for (size_t i = 0; i < 7; i++) {
		at = bits_find(&b, (uint32_t)(at + 1));
		assert_int_equal(at, members[i]);
	}
	assert_int_equal(bits_find(&b, 65536), -1);
	assert_int_equal(bits_claim(&b, 63), 65);   /* 63 and 64 are members */
	assert_int_equal(bits_claim(&b, 65535), 2); /* and around */
	assert_int_equal(bits_take(&b, 4097), 65535);
	assert_int_equal(bits_take(&b, 65535), 0);
	for (int i = 0; i < 7; i++)
		assert_true(bits_take(&b, 0) > 0);
	assert_int_equal(bits_take(&b, 0), -1);
	for (uint32_t i = 0; i < BITS_SIZE; i++)
		assert_int_equal(bits_claim(&b, 7), (7 + i) % BITS_SIZE);
	assert_int_equal(bits_claim(&b, 7), -1);
}

/* r: guest raises, u: daemon unmasks, e: an event is there, -: none is. */
static void port_is_pending_and_masked_as_on_xen(void **state)
{
	static const char *const scripts[] = {
		"-",	     /* quiet */
		"re-",	     /* one raise, one event */
		"rre-",	     /* raised twice before it was collected: one */
		"reu-",	     /* nothing while masked: nothing after */
		"rer-u",     /* raised while masked: nothing yet */
		"rer-ue-",   /* but after unmasking */
		"rerrr-ue-", /* once */
		"rerue-u-",  /* and only once */
		"rreu-",     /* the second raise was of the same event */
		"u-re-",     /* unmasking an unmasked port does nothing */
		"reureure",  /* and so on */
	};
	struct host *h = *state;
	struct sim_guest *g;
	uint32_t port;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	assert_int_equal(sim_guest_open(h->dir, 5, &g), 0);
	port = bind_port(h->hv, 5);
	for (size_t i = 0; i < 11; i++) {
		h->hv->ops->evtchn_unmask(h->hv, port);
		events_drop(h->hv);
		for (const char *c = scripts[i]; *c; c++) {
			if (*c == 'r')
				assert_int_equal(sim_guest_notify(g), 0);
			else if (*c == 'u')
				h->hv->ops->evtchn_unmask(h->hv, port);
			else
				assert_int_equal(event(h->hv), *c == 'e' ? (int64_t)port : -1);
		}
	}
	sim_guest_close(g);
}

static void channel_is_readable_exactly_while_events_wait(void **state)
{
	struct host *h = *state;
	struct sim_guest *g;
	int fd = h->hv->ops->fd(h->hv);
	uint32_t port;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	port = bind_port(h->hv, 5);
	events_drop(h->hv);
	assert_false(readable(fd));
	assert_int_equal(sim_guest_open(h->dir, 5, &g), 0);
	sim_guest_notify(g);
	assert_true(readable(fd));
	assert_int_equal(event(h->hv), port);
	assert_int_equal(event(h->hv), -1);
	assert_false(readable(fd));
	sim_guest_notify(g);
	assert_false(readable(fd));
	h->hv->ops->evtchn_unmask(h->hv, port);
	assert_true(readable(fd));
	sim_guest_close(g);
}

static void bind_gives_what_xen_gives(void **state)
{
	struct host *h = *state;
	static const struct {
		uint16_t domid;
		uint32_t port;
		int want;
	} cases[] = {
		{ 5, 0, -EINVAL },
		{ 5, SIM_GUEST_PORTS + 1, -EINVAL },
		{ 5, UINT32_MAX, -EINVAL },
		{ 5, 2, -EINVAL },
		{ 6, 1, -ESRCH },
		{ 0x7ff0, 1, -ESRCH },
		{ 0xffff, 1, -ESRCH },
		{ 7, 1, -ESRCH },
		{ 5, 1, 0 },
		{ 5, 1, -EINVAL },
	};
	uint32_t port, again;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	assert_int_equal(sim_domain_create(h->sim, 7, NULL), 0);
	assert_int_equal(sim_domain_kill(h->sim, 7), 0);
	for (size_t i = 0; i < 10; i++) {
		events_drop(h->hv);
		assert_int_equal(
			h->hv->ops->evtchn_bind(h->hv, cases[i].domid, cases[i].port, &port),
			cases[i].want);
		assert_int_equal(event(h->hv), cases[i].want ? -1 : (int64_t)port);
	}
	/* The guest's end outlives ours. */
	h->hv->ops->evtchn_unbind(h->hv, port);
	again = bind_port(h->hv, 5);
	assert_int_equal(h->hv->ops->evtchn_notify(h->hv, again), 0);
	assert_true(again == port || h->hv->ops->evtchn_notify(h->hv, port) == -ENOTCONN);
}

static void guest_is_woken_once_for_many_notifications(void **state)
{
	struct host *h = *state;
	struct sim_guest *g;
	uint32_t port;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	port = bind_port(h->hv, 5);
	assert_int_equal(sim_guest_open(h->dir, 5, &g), 0);
	assert_int_equal(sim_guest_wait(g, 0), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(h->hv->ops->evtchn_notify(h->hv, port), 0);
	assert_true(readable(sim_guest_fd(g)));
	assert_int_equal(sim_guest_wait(g, 0), 1);
	assert_int_equal(sim_guest_wait(g, 0), 0);
	assert_int_equal(h->hv->ops->evtchn_notify(h->hv, port), 0);
	assert_int_equal(sim_guest_wait(g, 0), 1);
	sim_guest_close(g);
}

static void one_guest_speaks_at_a_time(void **state)
{
	struct host *h = *state;
	struct sim_guest *g, *other;

	assert_int_equal(sim_guest_open(h->dir, 5, &g), -ENOENT);
	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	assert_int_equal(sim_guest_open(h->dir, 5, &g), 0);
	assert_int_equal(sim_guest_open(h->dir, 5, &other), -EBUSY);
	sim_guest_close(g);
	assert_int_equal(sim_guest_open(h->dir, 5, &other), 0);
	sim_guest_close(other);
}

static void guest_allocates_ports(void **state)
{
	struct host *h = *state;
	struct sim_guest *g;
	uint32_t port, ours;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	assert_int_equal(sim_guest_open(h->dir, 5, &g), 0);
	for (uint32_t want = 2; want <= SIM_GUEST_PORTS; want++) {
		assert_int_equal(sim_guest_port_alloc(g, &port), 0);
		assert_int_equal(port, want);
	}
	assert_int_equal(sim_guest_port_alloc(g, &port), -ENOSPC);
	assert_int_equal(sim_guest_port_free(g, 3), 0);
	assert_int_equal(sim_guest_port_free(g, 3), -EINVAL);
	assert_int_equal(sim_guest_port_alloc(g, &port), 0);
	assert_int_equal(port, 3);
	assert_int_equal(h->hv->ops->evtchn_bind(h->hv, 5, 3, &ours), 0);
	events_drop(h->hv);
	assert_int_equal(sim_guest_notify(g), 0); /* port 1: nobody there */
	assert_int_equal(event(h->hv), -1);
	assert_int_equal(sim_guest_port_use(g, 3), 0);
	assert_int_equal(sim_guest_notify(g), 0);
	assert_int_equal(event(h->hv), ours);
	sim_guest_close(g);
}

/* What the daemon sees of a domain's life, change by change. */
static void changes_are_reported_exactly(void **state)
{
	struct host *h = *state;
	struct hv_dominfo d;

	events_drop(h->hv);
	assert_int_equal(h->hv->ops->domain_info(h->hv, 0, &d), 0);
	assert_string_equal(changes(h->hv), "");
	for (uint16_t domid = 3; domid <= 9; domid += 3)
		assert_int_equal(sim_domain_create(h->sim, domid, NULL), 0);
	assert_int_equal(event(h->hv), 0);
	assert_int_equal(event(h->hv), -1);
	assert_string_equal(changes(h->hv), "3 6 9");
	assert_string_equal(changes(h->hv), "");

	assert_int_equal(sim_domain_shutdown(h->sim, 6), 0);
	assert_int_equal(event(h->hv), 0);
	assert_string_equal(changes(h->hv), "6");
	assert_int_equal(h->hv->ops->domain_info(h->hv, 6, &d), 0);
	assert_true(d.shutdown && !d.dying && d.domid == 6);
	assert_int_equal(sim_domain_shutdown(h->sim, 6), 0); /* no change */
	assert_int_equal(event(h->hv), -1);

	assert_int_equal(sim_domain_resume(h->sim, 6), 0);
	assert_int_equal(sim_domain_kill(h->sim, 9), 0);
	assert_int_equal(sim_domain_destroy(h->sim, 3), 0);
	assert_int_equal(event(h->hv), 0);
	assert_string_equal(changes(h->hv), "3 9"); /* as on Xen, where resuming tells nobody */
	assert_int_equal(h->hv->ops->domain_info(h->hv, 9, &d), 0);
	assert_true(d.dying);
	assert_int_equal(h->hv->ops->domain_info(h->hv, 6, &d), 0);
	assert_false(d.shutdown);
	assert_int_equal(h->hv->ops->domain_info(h->hv, 3, &d), -ENOENT);
	assert_int_equal(sim_domain_destroy(h->sim, 3), -ENOENT);
	assert_int_equal(sim_domain_destroy(h->sim, 0), -EINVAL);
	assert_int_equal(sim_domain_create(h->sim, 6, NULL), -EEXIST);
	assert_int_equal(sim_domain_create(h->sim, 0x7ff0, NULL), -EINVAL);
}

static void changes_wait_for_a_daemon(void **state)
{
	struct host *h = *state;

	hv_free(h->hv);
	assert_int_equal(sim_domain_create(h->sim, 4, NULL), 0);
	assert_int_equal(hv_sim_open(h->dir, &h->hv), 0);
	assert_true(readable(h->hv->ops->fd(h->hv)));
	assert_int_equal(event(h->hv), 0);
	assert_string_equal(changes(h->hv), "4");
}

/* A recycled domid inherits neither page nor port nor event. */
static void domid_reused_is_another_life(void **state)
{
	struct host *h = *state;
	struct sim_guest *old, *new;
	struct hv_dominfo d;
	void *old_page, *new_page;
	uint64_t unique;
	uint32_t old_port, port;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	assert_int_equal(sim_guest_open(h->dir, 5, &old), 0);
	assert_int_equal(h->hv->ops->domain_info(h->hv, 5, &d), 0);
	unique = d.unique;
	assert_true(unique > 0);
	assert_int_equal(h->hv->ops->ring_map(h->hv, 5, 0, &old_page), 0);
	old_port = bind_port(h->hv, 5);
	assert_int_equal(sim_guest_write(old, "old", 3), 3);
	events_drop(h->hv);

	assert_int_equal(sim_domain_destroy(h->sim, 5), 0);
	assert_int_equal(h->hv->ops->ring_map(h->hv, 5, 0, &new_page), -ENOENT);
	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	events_drop(h->hv);
	assert_int_equal(h->hv->ops->domain_info(h->hv, 5, &d), 0);
	assert_true(d.unique > unique);
	assert_int_equal(sim_guest_notify(old), -ESRCH);
	assert_int_equal(h->hv->ops->evtchn_notify(h->hv, old_port), -ENOTCONN);
	assert_int_equal(h->hv->ops->ring_map(h->hv, 5, 0, &new_page), 0);
	assert_memory_equal(old_page, "old", 3);
	for (size_t i = 0; i < HV_RING_SIZE; i++)
		assert_int_equal(((char *)new_page)[i], 0);
	assert_int_equal(sim_guest_open(h->dir, 5, &new), 0);
	port = bind_port(h->hv, 5);
	assert_int_not_equal(port, old_port);
	/* Unbinding the old life's port leaves the new life's alone. */
	h->hv->ops->evtchn_unbind(h->hv, old_port);
	events_drop(h->hv);
	assert_int_equal(sim_guest_notify(new), 0);
	assert_int_equal(event(h->hv), port);
	h->hv->ops->ring_unmap(h->hv, 5, old_page);
	h->hv->ops->ring_unmap(h->hv, 5, new_page);
	sim_guest_close(old);
	sim_guest_close(new);
}

static void next_free_domid_rises_before_it_is_reused(void **state)
{
	struct host *h = *state;
	uint16_t domid;

	for (uint16_t want = 1; want <= 3; want++) {
		assert_int_equal(sim_domain_create(h->sim, 0, &domid), 0);
		assert_int_equal(domid, want);
	}
	assert_int_equal(sim_domain_destroy(h->sim, 2), 0);
	assert_int_equal(sim_domain_create(h->sim, 0, &domid), 0);
	assert_int_equal(domid, 4);
	h->sim->table->next_domid = HV_DOMID_FIRST_RESERVED - 1u;
	assert_int_equal(sim_domain_create(h->sim, 0, &domid), 0);
	assert_int_equal(domid, HV_DOMID_FIRST_RESERVED - 1u);
	assert_int_equal(sim_domain_create(h->sim, 0, &domid), 0);
	assert_int_equal(domid, 2);
}

/* The next daemon binds the same port and gets, once, what the dead one may have lost. */
static void binding_of_a_dead_daemon_is_found_again(void **state)
{
	struct host *h = *state;
	struct sim_guest *g;
	uint32_t port;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	assert_int_equal(sim_guest_open(h->dir, 5, &g), 0);
	port = bind_port(h->hv, 5);
	events_drop(h->hv);
	sim_guest_notify(g);
	assert_int_equal(event(h->hv), port); /* collected, never served */
	assert_int_equal(h->hv->ops->evtchn_notify(h->hv, port), 0);
	hv_free(h->hv);

	assert_int_equal(hv_sim_open(h->dir, &h->hv), 0);
	assert_int_equal(h->hv->ops->evtchn_notify(h->hv, port), -ENOTCONN);
	assert_int_equal(bind_port(h->hv, 5), port);
	assert_int_equal(event(h->hv), port);
	assert_int_equal(event(h->hv), -1);
	h->hv->ops->evtchn_unmask(h->hv, port);
	assert_int_equal(event(h->hv), -1);
	assert_int_equal(sim_guest_wait(g, 0), 1);
	assert_int_equal(h->hv->ops->evtchn_notify(h->hv, port), 0);
	assert_int_equal(sim_guest_wait(g, 0), 1);
	sim_guest_close(g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(set_finds_claims_and_takes),
		TEST(port_is_pending_and_masked_as_on_xen),
		TEST(channel_is_readable_exactly_while_events_wait),
		TEST(bind_gives_what_xen_gives),
		TEST(guest_is_woken_once_for_many_notifications),
		TEST(one_guest_speaks_at_a_time),
		TEST(guest_allocates_ports),
		TEST(changes_are_reported_exactly),
		TEST(changes_wait_for_a_daemon),
		TEST(domid_reused_is_another_life),
		TEST(next_free_domid_rises_before_it_is_reused),
		TEST(binding_of_a_dead_daemon_is_found_again),
	};

	return cmocka_run_group_tests_name("hv/sim", tests, NULL, NULL);
}
