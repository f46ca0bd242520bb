/* SPDX-License-Identifier: MIT */
/*
 * A host to test on: a directory with a toolstack (struct sim) and a daemon (struct hv).
 */
#ifndef DROVER_HV_SIM_HOST_TEST_H
#define DROVER_HV_SIM_HOST_TEST_H

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
#include "hv/sim/layout.h"

#define TEST(f) cmocka_unit_test_setup_teardown(f, host_setup, host_teardown)

struct host {
	char dir[64];
	struct sim *sim;
	struct hv *hv;
};

static inline int host_setup(void **state)
{
	struct host *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	snprintf(h->dir, sizeof(h->dir), "%s/hv_sim_XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(h->dir));
	assert_int_equal(sim_open(h->dir, &h->sim), 0);
	assert_int_equal(hv_sim_open(h->dir, &h->hv), 0);
	*state = h;
	return 0;
}

static inline int host_teardown(void **state)
{
	struct host *h = *state;
	struct sim_dominfo d;
	char path[128];

	for (uint32_t from = 1; sim_domain_next(h->sim, from, &d); from = d.domid + 1u)
		sim_domain_destroy(h->sim, d.domid);
	hv_free(h->hv);
	sim_close(h->sim);
	for (size_t i = 0; i < 6; i++) {
		static const char *const names[] = { "dom/0.ring", "dom/0.wake", "dom",
						     "table",	   "lock",	 "wake" };

		snprintf(path, sizeof(path), "%s/%s", h->dir, names[i]);
		assert_int_equal(remove(path), 0);
	}
	assert_int_equal(rmdir(h->dir), 0);
	free(h);
	return 0;
}

static inline bool readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* The next event, -1 where there is none. */
static inline int64_t event(struct hv *hv)
{
	uint32_t port;
	int r = hv->ops->event_next(hv, &port);

	assert_true(r >= 0);
	return r ? (int64_t)port : -1;
}

static inline void events_drop(struct hv *hv)
{
	uint32_t port;
	uint16_t domid;
	bool all;

	while (hv->ops->event_next(hv, &port) > 0)
		if (port)
			hv->ops->evtchn_unmask(hv, port);
	while (hv->ops->next_changed(hv, &domid, &all))
		;
}

static inline uint32_t bind_port(struct hv *hv, uint16_t domid)
{
	uint32_t port;

	assert_int_equal(hv->ops->evtchn_bind(hv, domid, SIM_XS_PORT, &port), 0);
	return port;
}

/* A summary of a set of changes: "3 5", "" for none. */
static inline const char *changes(struct hv *hv)
{
	static char text[256];
	uint16_t domid;
	bool all;

	text[0] = '\0';
	while (hv->ops->next_changed(hv, &domid, &all) > 0)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%u", *text ? " " : "",
			 domid);
	assert_false(all);
	return text;
}

#endif
