/* SPDX-License-Identifier: MIT */
/*
 * The Xen backend with xenshim.so preloaded: libxen* answer from a simulated host, so that
 * src/hv/xen is run as it runs on a host of Xen 4.17.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hv/hv.h"
#include "hv/sim/sim.h"

static struct sim *sim;
static struct hv *hv;

static int host_setup(void **state)
{
	(void)state;
	assert_int_equal(sim_open(getenv("DROVER_SIM_DIR"), &sim), 0);
	assert_int_equal(hv_xen_open(NULL, &hv), 0);
	return 0;
}

static int host_teardown(void **state)
{
	struct sim_dominfo d;

	(void)state;
	for (uint32_t from = 1; sim_domain_next(sim, from, &d); from = d.domid + 1u)
		sim_domain_destroy(sim, d.domid);
	hv_free(hv);
	sim_close(sim);
	return 0;
}

static int64_t event(void)
{
	struct pollfd pfd = { .fd = hv->ops->fd(hv), .events = POLLIN };
	uint32_t port;
	int r;

	if (!poll(&pfd, 1, 0))
		return -1;
	r = hv->ops->event_next(hv, &port);
	assert_true(r >= 0);
	return r ? (int64_t)port : -1;
}

static void host_is_seen(void **state)
{
	struct hv_dominfo d;

	(void)state;
	assert_true(hv_xen_is_present());
	assert_string_equal(hv->ops->name, "xen");
	assert_int_equal(hv->ops->domain_info(hv, 0, &d), 0);
	assert_int_equal(hv->ops->domain_info(hv, 5, &d), -ENOENT);
	assert_int_equal(hv->ops->domain_info(hv, 0x7ff0, &d), -ENOENT);
	assert_int_equal(sim_domain_create(sim, 5, NULL), 0);
	assert_int_equal(hv->ops->domain_info(hv, 5, &d), 0);
	assert_int_equal(d.domid, 5);
	assert_false(d.shutdown || d.dying);
	assert_int_equal(hv->ops->domain_info(hv, 4, &d), -ENOENT);
}

static void deaths_are_reported(void **state)
{
	struct hv_dominfo d;
	uint16_t domid;
	bool all;

	(void)state;
	for (uint16_t i = 5; i < 8; i++) {
		assert_int_equal(sim_domain_create(sim, i, NULL), 0);
		assert_int_equal(hv->ops->domain_info(hv, i, &d), 0);
	}
	while (event() >= 0)
		;
	assert_int_equal(sim_domain_shutdown(sim, 6), 0);
	assert_int_equal(sim_domain_destroy(sim, 7), 0);
	assert_int_equal(event(), 0);
	assert_int_equal(hv->ops->next_changed(hv, &domid, &all), 1);
	assert_int_equal(domid, 6);
	assert_int_equal(hv->ops->domain_info(hv, 6, &d), 0);
	assert_true(d.shutdown);
	assert_int_equal(hv->ops->next_changed(hv, &domid, &all), 1);
	assert_int_equal(domid, 7);
	assert_int_equal(hv->ops->domain_info(hv, 7, &d), -ENOENT);
	assert_int_equal(hv->ops->next_changed(hv, &domid, &all), 0);
	assert_false(all);
}

static void ring_and_events_reach_the_guest(void **state)
{
	struct sim_guest *g;
	uint32_t port, other;
	void *page;

	(void)state;
	assert_int_equal(sim_domain_create(sim, 5, NULL), 0);
	assert_int_equal(hv->ops->ring_map(hv, 5, SIM_XS_GFN, &page), 0);
	assert_int_equal(hv->ops->evtchn_bind(hv, 5, SIM_XS_PORT, &port), 0);
	assert_int_equal(hv->ops->evtchn_bind(hv, 5, 9, &other), -EINVAL);
	assert_int_equal(hv->ops->evtchn_bind(hv, 6, SIM_XS_PORT, &other), -ESRCH);
	assert_int_equal(event(), port);
	hv->ops->evtchn_unmask(hv, port);
	assert_int_equal(event(), -1);
	assert_int_equal(sim_guest_open(getenv("DROVER_SIM_DIR"), 5, &g), 0);
	assert_int_equal(sim_guest_write(g, "hello", 5), 5);
	assert_int_equal(sim_guest_notify(g), 0);
	assert_int_equal(event(), port);
	assert_memory_equal(page, "hello", 5);
	assert_int_equal(hv->ops->evtchn_notify(hv, port), 0);
	assert_int_equal(sim_guest_wait(g, 0), 1);
	hv->ops->evtchn_unmask(hv, port);
	hv->ops->evtchn_unbind(hv, port);
	assert_true(hv->ops->evtchn_notify(hv, port) < 0);
	hv->ops->ring_unmap(hv, 5, page);
	sim_guest_close(g);
}

/* As keeper and workers share the device; what a worker knew of it dies with it. */
static struct hv *worker(const struct hv_kept *kept)
{
	struct hv_kept mine = *kept;
	struct hv *w;

	mine.evtchn_fd = dup(kept->evtchn_fd);
	assert_true(mine.evtchn_fd >= 0);
	assert_int_equal(hv_xen_open(&mine, &w), 0);
	return w;
}

static void binding_that_nobody_knows_is_found(void **state)
{
	uint32_t port, again, other;
	struct hv *first, *stranger, *second;
	struct hv_kept kept;

	(void)state;
	for (uint16_t i = 5; i < 7; i++)
		assert_int_equal(sim_domain_create(sim, i, NULL), 0);
	assert_int_equal(hv_xen_keep(&kept), 0);
	first = worker(&kept);
	stranger = worker(&kept);
	assert_int_equal(first->ops->evtchn_bind(first, 5, SIM_XS_PORT, &port), 0);
	assert_int_equal(first->ops->evtchn_bind(first, 6, SIM_XS_PORT, &other), 0);
	assert_int_equal(first->ops->evtchn_bind(first, 5, SIM_XS_PORT, &again), -EINVAL);
	/* opened before the port was bound, it stands for another program's device */
	assert_int_equal(stranger->ops->evtchn_bind(stranger, 5, SIM_XS_PORT, &again), -EINVAL);
	hv_free(stranger);
	hv_free(first);

	second = worker(&kept);
	assert_int_equal(second->ops->evtchn_bind(second, 5, 9, &again), -EINVAL);
	assert_int_equal(second->ops->evtchn_bind(second, 6, SIM_XS_PORT, &again), 0);
	assert_int_equal(again, other);
	assert_int_equal(second->ops->evtchn_bind(second, 5, SIM_XS_PORT, &again), 0);
	assert_int_equal(again, port);
	assert_int_equal(second->ops->evtchn_bind(second, 5, SIM_XS_PORT, &again), -EINVAL);
	second->ops->evtchn_unbind(second, port);
	assert_int_equal(second->ops->evtchn_bind(second, 5, SIM_XS_PORT, &again), 0);
	hv_free(second);

	/* known by its number, it is not found a second time either */
	second = worker(&kept);
	assert_int_equal(second->ops->evtchn_rebind(second, 5, SIM_XS_PORT, again, &port), 0);
	assert_int_equal(port, again);
	assert_int_equal(second->ops->evtchn_bind(second, 5, SIM_XS_PORT, &again), -EINVAL);
	hv_free(second);
}

/* The first worker took the event and died before it unmasked. */
static void found_binding_is_unmasked(void **state)
{
	struct hv *first, *second;
	struct hv_kept kept;
	struct sim_guest *g;
	uint32_t port, again, got;

	(void)state;
	assert_int_equal(sim_domain_create(sim, 5, NULL), 0);
	assert_int_equal(hv_xen_keep(&kept), 0);
	first = worker(&kept);
	assert_int_equal(first->ops->evtchn_bind(first, 5, SIM_XS_PORT, &port), 0);
	do
		assert_int_equal(first->ops->event_next(first, &got), 1);
	while (got != port);
	hv_free(first);

	second = worker(&kept);
	assert_int_equal(second->ops->evtchn_bind(second, 5, SIM_XS_PORT, &again), 0);
	assert_int_equal(again, port);
	while (second->ops->event_next(second, &got) > 0 && got != port)
		;
	assert_int_equal(sim_guest_open(getenv("DROVER_SIM_DIR"), 5, &g), 0);
	assert_int_equal(sim_guest_notify(g), 0);
	assert_int_equal(second->ops->event_next(second, &got), 1);
	assert_int_equal(got, port);
	sim_guest_close(g);
	hv_free(second);
}

static void event_next_does_not_wait(void **state)
{
	uint32_t port;

	(void)state;
	for (int i = 0; i < 3; i++)
		while (hv->ops->event_next(hv, &port) > 0)
			assert_true(i < 1);
}

static void domain_without_a_page_is_refused(void **state)
{
	void *page;
	int r;

	(void)state;
	r = hv->ops->ring_map(hv, 77, SIM_XS_GFN, &page);
	assert_true(r == -EINVAL || r == -ENOENT);
}

static void kernels_own_ring_is_found(void **state)
{
	uint32_t remote, port;
	void *page;

	(void)state;
	assert_int_equal(hv->ops->dom0_ring_map(hv, &page, &remote), 0);
	assert_int_equal(remote, SIM_XS_PORT);
	assert_int_equal(hv->ops->evtchn_bind(hv, 0, remote, &port), 0);
	hv->ops->evtchn_unbind(hv, port);
	hv->ops->ring_unmap(hv, 0, page);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, host_setup, host_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(host_is_seen),
		TEST(deaths_are_reported),
		TEST(ring_and_events_reach_the_guest),
		TEST(binding_that_nobody_knows_is_found),
		TEST(found_binding_is_unmasked),
		TEST(event_next_does_not_wait),
		TEST(domain_without_a_page_is_refused),
		TEST(kernels_own_ring_is_found),
	};

	return cmocka_run_group_tests_name("hv/xen", tests, NULL, NULL);
}
