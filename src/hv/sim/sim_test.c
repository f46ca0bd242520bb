/* SPDX-License-Identifier: MIT */
/*
 * The simulated hypervisor: a toolstack (struct sim), a guest (struct sim_guest) and the daemon
 * (struct hv) on one directory, in this process or in several.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "hv/hv.h"
#include "hv/sim/layout.h"

#include <xen/io/xs_wire.h>

struct host {
	char dir[64];
	struct sim *sim;
	struct hv *hv;
};

static int host_setup(void **state)
{
	struct host *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	strcpy(h->dir, access("/dev/shm", W_OK) ? "/tmp/hv_sim_XXXXXX" : "/dev/shm/hv_sim_XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	assert_int_equal(sim_open(h->dir, &h->sim), 0);
	assert_int_equal(hv_sim_open(h->dir, &h->hv), 0);
	*state = h;
	return 0;
}

static int host_teardown(void **state)
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

static bool readable(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

/* The next event, -1 where there is none. */
static int64_t event(struct hv *hv)
{
	uint32_t port;
	int r = hv->ops->event_next(hv, &port);

	assert_true(r >= 0);
	return r ? (int64_t)port : -1;
}

static void events_drop(struct hv *hv)
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

static uint32_t bind_port(struct hv *hv, uint16_t domid)
{
	uint32_t port;

	assert_int_equal(hv->ops->evtchn_bind(hv, domid, SIM_XS_PORT, &port), 0);
	return port;
}

/* A summary of a set of changes: "3 5", "" for none. */
static const char *changes(struct hv *hv)
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
	assert_string_equal(changes(h->hv), "3 6 9");
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

/* A ring carries any octets around its end, and refuses indices that cannot be. */
static void ring_carries_octets_both_ways(void **state)
{
	struct host *h = *state;
	struct xenstore_domain_interface *ring;
	struct sim_guest *g;
	char out[700], in[700];
	void *page;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	assert_int_equal(sim_guest_open(h->dir, 5, &g), 0);
	assert_int_equal(h->hv->ops->ring_map(h->hv, 5, 0, &page), 0);
	ring = page;
	for (uint32_t turn = 0; turn < 20; turn++) {
		memset(out, (int)turn, sizeof(out));
		assert_int_equal(sim_guest_write(g, out, sizeof(out)), sizeof(out));
		for (uint32_t i = 0; i < sizeof(out); i++) {
			uint32_t at = MASK_XENSTORE_IDX(ring->req_cons + i);

			ring->rsp[MASK_XENSTORE_IDX(ring->rsp_prod + i)] = ring->req[at];
		}
		ring->req_cons += (uint32_t)sizeof(out);
		ring->rsp_prod += (uint32_t)sizeof(out);
		assert_int_equal(sim_guest_read(g, in, sizeof(in)), sizeof(in));
		assert_memory_equal(in, out, sizeof(in));
		assert_int_equal(sim_guest_read(g, in, sizeof(in)), 0);
	}
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(sim_guest_write(g, out, 700), i ? (i == 1 ? 324 : 0) : 700);
	ring->req_cons += 1u << 30;
	ring->rsp_prod -= 1;
	assert_int_equal(sim_guest_write(g, out, 1), -EIO);
	assert_int_equal(sim_guest_read(g, in, 1), -EIO);
	h->hv->ops->ring_unmap(h->hv, 5, page);
	sim_guest_close(g);
}

/* The guest that empties a full ring says so: the daemon waits for room. */
static void reader_of_a_full_ring_notifies(void **state)
{
	struct host *h = *state;
	struct xenstore_domain_interface *ring;
	struct sim_guest *g;
	char in[XENSTORE_RING_SIZE];
	void *page;
	uint32_t port;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	assert_int_equal(sim_guest_open(h->dir, 5, &g), 0);
	assert_int_equal(h->hv->ops->ring_map(h->hv, 5, 0, &page), 0);
	ring = page;
	port = bind_port(h->hv, 5);
	events_drop(h->hv);
	ring->rsp_prod += XENSTORE_RING_SIZE - 1;
	assert_int_equal(sim_guest_read(g, in, sizeof(in)), XENSTORE_RING_SIZE - 1);
	assert_int_equal(event(h->hv), -1);
	ring->rsp_prod += XENSTORE_RING_SIZE;
	assert_int_equal(sim_guest_read(g, in, 10), 10);
	assert_int_equal(event(h->hv), port);
	h->hv->ops->ring_unmap(h->hv, 5, page);
	sim_guest_close(g);
}

/* Whatever a guest writes into the shared table, the daemon's calls come to an end. */
static void scribbled_table_harms_nobody(void **state)
{
	struct host *h = *state;
	struct sim_table *saved = malloc(sizeof(*saved));
	unsigned char *octets;
	struct hv_dominfo d;
	uint32_t port, seed = 1;
	uint16_t domid;
	bool all;
	void *page;

	assert_int_equal(sim_domain_create(h->sim, 5, NULL), 0);
	port = bind_port(h->hv, 5);
	assert_non_null(saved);
	memcpy(saved, h->sim->table, sizeof(*saved));
	for (int turn = 0; turn < 20; turn++) {
		octets = (unsigned char *)h->sim->table;
		for (size_t i = offsetof(struct sim_table, listener); i < sizeof(*h->sim->table);
		     i++) {
			seed = seed * 1103515245u + 12345u;
			octets[i] = turn % 3 ? (unsigned char)(seed >> 16) : 0xff;
		}
		for (int i = 0; i < 100; i++) {
			uint32_t some = 0;

			if (h->hv->ops->event_next(h->hv, &some) > 0)
				h->hv->ops->evtchn_unmask(h->hv, some);
			h->hv->ops->evtchn_notify(h->hv, some);
			h->hv->ops->next_changed(h->hv, &domid, &all);
			h->hv->ops->domain_info(h->hv, (uint16_t)i, &d);
			h->hv->ops->evtchn_bind(h->hv, (uint16_t)i, (uint32_t)i % 13, &some);
		}
		if (!h->hv->ops->ring_map(h->hv, 5, 0, &page))
			h->hv->ops->ring_unmap(h->hv, 5, page);
	}
	h->hv->ops->evtchn_unbind(h->hv, port);
	h->hv->ops->evtchn_unbind(h->hv, UINT32_MAX);
	memcpy(h->sim->table, saved, sizeof(*saved));
	free(saved);
}

/* Guests, as processes of their own, raise events; each is seen, none after they ended. */
static void processes_share_the_host(void **state)
{
	enum { GUESTS = 4, ROUNDS = 500 };
	struct host *h = *state;
	struct xenstore_domain_interface *ring[GUESTS];
	uint32_t ports[GUESTS], seen[GUESTS] = { 0 };
	pid_t pids[GUESTS];
	uint32_t port;
	int status;

	for (uint16_t i = 0; i < GUESTS; i++) {
		void *page;

		assert_int_equal(sim_domain_create(h->sim, 10 + i, NULL), 0);
		assert_int_equal(h->hv->ops->ring_map(h->hv, 10 + i, 0, &page), 0);
		ring[i] = page;
		ports[i] = bind_port(h->hv, 10 + i);
		pids[i] = fork();
		if (!pids[i]) {
			struct sim_guest *g;
			char octet;

			if (sim_guest_open(h->dir, 10 + i, &g))
				_exit(1);
			for (int n = 0; n < ROUNDS; n++) {
				if (sim_guest_write(g, "x", 1) != 1 || sim_guest_notify(g))
					_exit(2);
				while (!sim_guest_read(g, &octet, 1))
					if (sim_guest_wait(g, 10000) != 1)
						_exit(3);
			}
			_exit(0);
		}
	}
	for (uint32_t left = GUESTS; left;) {
		struct pollfd pfd = { .fd = h->hv->ops->fd(h->hv), .events = POLLIN };

		assert_int_equal(poll(&pfd, 1, 10000), 1);
		while (h->hv->ops->event_next(h->hv, &port) > 0) {
			for (uint16_t i = 0; i < GUESTS; i++) {
				uint32_t n;

				if (ports[i] != port)
					continue;
				n = __atomic_load_n(&ring[i]->req_prod, __ATOMIC_SEQ_CST) -
				    ring[i]->req_cons;
				if (!n)
					continue;
				seen[i] += n;
				left -= seen[i] == ROUNDS;
				__atomic_fetch_add(&ring[i]->req_cons, n, __ATOMIC_SEQ_CST);
				__atomic_fetch_add(&ring[i]->rsp_prod, n, __ATOMIC_SEQ_CST);
				assert_int_equal(h->hv->ops->evtchn_notify(h->hv, port), 0);
			}
			if (port)
				h->hv->ops->evtchn_unmask(h->hv, port);
		}
	}
	for (uint16_t i = 0; i < GUESTS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
		h->hv->ops->ring_unmap(h->hv, 10 + i, ring[i]);
	}
}

/* Processes create and destroy at once: each life has its own number, none is lost. */
static void processes_create_and_destroy_at_once(void **state)
{
	enum { PROCESSES = 4, LIVES = 50 };
	struct host *h = *state;
	struct sim_dominfo d;
	pid_t pids[PROCESSES];
	uint64_t before;
	int status;

	before = h->sim->table->next_unique;
	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			struct sim *s;
			uint16_t domid;

			if (sim_open(h->dir, &s))
				_exit(1);
			for (int n = 0; n < LIVES; n++)
				if (sim_domain_create(s, 0, &domid) ||
				    sim_domain_shutdown(s, domid) || sim_domain_destroy(s, domid))
					_exit(2);
			_exit(0);
		}
	}
	for (int i = 0; i < PROCESSES; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(h->sim->table->next_unique - before, PROCESSES * LIVES);
	assert_int_equal(sim_domain_next(h->sim, 1, &d), 0);
}

/* A process killed while it held the lock blocks nobody, and its change is reported. */
static void killed_holder_of_the_lock_is_made_good(void **state)
{
	struct host *h = *state;
	int ready[2], status;
	char octet;
	pid_t pid;

	events_drop(h->hv);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct sim *s;

		if (sim_open(h->dir, &s) || sim_lock(s, 42) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &octet, 1), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(sim_domain_create(h->sim, 8, NULL), 0);
	assert_int_equal(event(h->hv), 0);
	assert_string_equal(changes(h->hv), "8 42");
	close(ready[0]);
	close(ready[1]);
}

static void thousands_of_domains_fit(void **state)
{
	struct host *h = *state;
	uint32_t ports[3000];
	struct sim_dominfo d;
	uint16_t domid;
	uint32_t n = 0;

	for (uint32_t i = 0; i < 3000; i++) {
		assert_int_equal(sim_domain_create(h->sim, 0, &domid), 0);
		ports[i] = bind_port(h->hv, domid);
	}
	for (uint32_t from = 1; sim_domain_next(h->sim, from, &d); from = d.domid + 1u)
		n += d.bound;
	assert_int_equal(n, 3000);
	for (uint32_t i = 0; i < 3000; i++)
		assert_int_equal(h->hv->ops->evtchn_notify(h->hv, ports[i]), 0);
}

static void other_versions_table_is_refused(void **state)
{
	struct host *h = *state;
	struct sim *s;

	h->sim->table->version++;
	assert_int_equal(sim_open(h->dir, &s), -EPROTO);
	h->sim->table->version--;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, host_setup, host_teardown)

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
		TEST(ring_carries_octets_both_ways),
		TEST(reader_of_a_full_ring_notifies),
		TEST(scribbled_table_harms_nobody),
		TEST(processes_share_the_host),
		TEST(processes_create_and_destroy_at_once),
		TEST(killed_holder_of_the_lock_is_made_good),
		TEST(thousands_of_domains_fit),
		TEST(other_versions_table_is_refused),
	};

	return cmocka_run_group_tests_name("hv/sim", tests, NULL, NULL);
}
