/* SPDX-License-Identifier: MIT */
/*
 * A guest's side of a simulated hypervisor: its ring page, its ports, its wake-ups.
 *
 * Invariant: the other end's ring index is read once and judged before an octet is moved; own
 * indices are published after the octets they speak of.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hv/sim/layout.h"

#include <xen/io/xs_wire.h> /* wants stdint.h first */

struct sim_guest {
	struct sim *s;				/* owned */
	struct xenstore_domain_interface *ring; /* mapped */
	uint64_t unique;
	uint16_t domid;
	uint32_t port;
	bool has_read; /* and did not notify since */
	int ring_fd;   /* its flock says that somebody speaks for the domain */
	int wake_fd;
};

static int guest_open(struct sim_guest *g, const char *dir)
{
	void *page;
	uint32_t state;
	int r;

	r = sim_open(dir, &g->s);
	if (r)
		return r;
	r = sim_domain_life(g->s, g->domid, &g->unique, &state);
	if (r)
		return r;
	g->ring_fd = sim_open_ring(g->s, g->domid);
	if (g->ring_fd < 0)
		return g->ring_fd;
	if (flock(g->ring_fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	r = sim_map_ring(g->ring_fd, &page);
	if (r)
		return r;
	g->ring = page;
	g->wake_fd = sim_open_wake(g->s, g->domid);
	if (g->wake_fd < 0)
		return g->wake_fd;
	/* The files may be of the next life already. */
	return atomic_load(&g->s->table->dom[g->domid].unique) == g->unique ? 0 : -ENOENT;
}

int sim_guest_open(const char *dir, uint16_t domid, struct sim_guest **ret_guest)
{
	struct sim_guest *g = calloc(1, sizeof(*g));
	int r;

	if (!g)
		return -ENOMEM;
	g->domid = domid;
	g->port = SIM_XS_PORT;
	g->ring_fd = g->wake_fd = -1;
	r = guest_open(g, dir);
	if (r) {
		sim_guest_close(g);
		return r;
	}
	/* An earlier speaker may have left wake-ups behind, or taken them away half. */
	atomic_store(&g->s->table->dom[domid].told, 0);
	*ret_guest = g;
	return 0;
}

void sim_guest_close(struct sim_guest *g)
{
	if (!g)
		return;
	if (g->ring)
		munmap(g->ring, HV_RING_SIZE);
	if (g->wake_fd >= 0)
		close(g->wake_fd);
	if (g->ring_fd >= 0)
		close(g->ring_fd);
	sim_close(g->s);
	free(g);
}

static struct sim_dom *guest_dom(struct sim_guest *g)
{
	struct sim_dom *d = &g->s->table->dom[g->domid];

	return atomic_load(&d->unique) == g->unique ? d : NULL;
}

int sim_guest_port_alloc(struct sim_guest *g, uint32_t *ret_port)
{
	struct sim_dom *d = guest_dom(g);

	if (!d)
		return -ESRCH;
	for (uint32_t port = 1; port <= SIM_GUEST_PORTS; port++) {
		uint32_t is_free = 0;

		if (atomic_compare_exchange_strong(&d->gport[port], &is_free, SIM_UNBOUND)) {
			*ret_port = port;
			return 0;
		}
	}
	return -ENOSPC;
}

int sim_guest_port_free(struct sim_guest *g, uint32_t port)
{
	struct sim_dom *d = guest_dom(g);

	if (!d)
		return -ESRCH;
	if (!port || port > SIM_GUEST_PORTS)
		return -EINVAL;
	return atomic_exchange(&d->gport[port], 0) ? 0 : -EINVAL;
}

int sim_guest_port_use(struct sim_guest *g, uint32_t port)
{
	if (!port || port > SIM_GUEST_PORTS)
		return -EINVAL;
	g->port = port;
	return 0;
}

void *sim_guest_page(struct sim_guest *g)
{
	return g->ring;
}

int sim_guest_write(struct sim_guest *g, const void *data, size_t len)
{
	const char *from = data;
	uint32_t cons = __atomic_load_n(&g->ring->req_cons, __ATOMIC_SEQ_CST);
	uint32_t prod = __atomic_load_n(&g->ring->req_prod, __ATOMIC_RELAXED);
	uint32_t room, at = MASK_XENSTORE_IDX(prod), n, first;

	if (prod - cons > XENSTORE_RING_SIZE)
		return -EIO;
	room = XENSTORE_RING_SIZE - (prod - cons);
	n = len < room ? (uint32_t)len : room;
	first = n < XENSTORE_RING_SIZE - at ? n : XENSTORE_RING_SIZE - at;
	memcpy(g->ring->req + at, from, first);
	memcpy(g->ring->req, from + first, n - first);
	__atomic_store_n(&g->ring->req_prod, prod + n, __ATOMIC_SEQ_CST);
	return (int)n;
}

int sim_guest_read(struct sim_guest *g, void *data, size_t len)
{
	char *to = data;
	uint32_t prod = __atomic_load_n(&g->ring->rsp_prod, __ATOMIC_SEQ_CST);
	uint32_t cons = __atomic_load_n(&g->ring->rsp_cons, __ATOMIC_RELAXED);
	uint32_t at = MASK_XENSTORE_IDX(cons), n, first;

	if (prod - cons > XENSTORE_RING_SIZE)
		return -EIO;
	n = len < prod - cons ? (uint32_t)len : prod - cons;
	if (!n)
		return 0;
	first = n < XENSTORE_RING_SIZE - at ? n : XENSTORE_RING_SIZE - at;
	memcpy(to, g->ring->rsp + at, first);
	memcpy(to + first, g->ring->rsp, n - first);
	__atomic_store_n(&g->ring->rsp_cons, cons + n, __ATOMIC_SEQ_CST);
	g->has_read = true;
	/*
	 * The daemon waits when it finds the ring full. It stores rsp_prod and then looks at
	 * rsp_cons; this side stores rsp_cons and then looks at rsp_prod: one sees the other.
	 */
	prod = __atomic_load_n(&g->ring->rsp_prod, __ATOMIC_SEQ_CST);
	if (prod - cons >= XENSTORE_RING_SIZE)
		sim_guest_notify(g);
	return (int)n;
}

int sim_guest_notify(struct sim_guest *g)
{
	struct sim_dom *d = guest_dom(g);
	uint32_t port;

	if (!d)
		return -ESRCH;
	port = atomic_load(&d->gport[g->port]);
	if (!port)
		return -EINVAL;
	g->has_read = false;
	if (port != SIM_UNBOUND)
		sim_raise(g->s, port);
	return 0;
}

int sim_guest_wait(struct sim_guest *g, int timeout_ms)
{
	struct pollfd pfd = { .fd = g->wake_fd, .events = POLLIN };
	struct sim_dom *d;
	uint8_t octets[64];
	ssize_t n;
	int r;

	if (g->has_read)
		sim_guest_notify(g);
	r = poll(&pfd, 1, timeout_ms);
	if (r <= 0)
		return r && errno != EINTR ? -errno : 0;
	n = read(g->wake_fd, octets, sizeof(octets));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	d = guest_dom(g);
	if (!d)
		return -ESRCH;
	for (ssize_t i = 0; i < n; i++)
		if (octets[i] && octets[i] <= SIM_GUEST_PORTS)
			atomic_fetch_and(&d->told, ~(1u << octets[i]));
	return 1;
}

int sim_guest_fd(struct sim_guest *g)
{
	return g->wake_fd;
}
