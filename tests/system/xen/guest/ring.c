/* SPDX-License-Identifier: MIT */
/*
 * The store's ring. Invariant: the other side is told whenever it may wait for what was done:
 * octets written, and room made where there was none.
 */
#include "machine.h"
#include "ring.h"

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t ring_room(void)
{
	volatile struct xenstore_domain_interface *ring = machine_store_ring();
	uint32_t n = ring->req_prod - ring->req_cons;

	return n > XENSTORE_RING_SIZE ? 0 : XENSTORE_RING_SIZE - n;
}

bool ring_write(const void *data, size_t len, uint64_t until_ns)
{
	volatile struct xenstore_domain_interface *ring = machine_store_ring();
	const char *from = data;

	while (len) {
		uint32_t prod = ring->req_prod;
		size_t room = ring_room(), n, i;

		if (!room) {
			if (machine_now_ns() >= until_ns)
				return false;
			machine_wait(until_ns);
			continue;
		}
		BARRIER();
		n = smaller(len, room);
		for (i = 0; i < n; i++)
			ring->req[MASK_XENSTORE_IDX(prod + i)] = from[i];
		BARRIER();
		ring->req_prod = prod + (uint32_t)n;
		from += n;
		len -= n;
		if (len)
			machine_store_notify();
	}
	machine_store_notify();
	return true;
}

size_t ring_waiting(void)
{
	volatile struct xenstore_domain_interface *ring = machine_store_ring();
	uint32_t n = ring->rsp_prod - ring->rsp_cons;

	return n > XENSTORE_RING_SIZE ? 0 : n;
}

bool ring_read(void *data, size_t len, uint64_t until_ns)
{
	volatile struct xenstore_domain_interface *ring = machine_store_ring();
	char *to = data;

	while (len) {
		size_t waiting = ring_waiting(), n = smaller(len, waiting), i;
		uint32_t cons = ring->rsp_cons;

		if (!n) {
			if (machine_now_ns() >= until_ns)
				return false;
			machine_wait(until_ns);
			continue;
		}
		BARRIER();
		for (i = 0; i < n; i++)
			to[i] = ring->rsp[MASK_XENSTORE_IDX(cons + i)];
		BARRIER();
		ring->rsp_cons = cons + (uint32_t)n;
		to += n;
		len -= n;
		BARRIER();
		if (ring->rsp_prod - cons >= XENSTORE_RING_SIZE)
			machine_store_notify();
	}
	return true;
}

bool ring_reconnect(uint64_t until_ns)
{
	volatile struct xenstore_domain_interface *ring = machine_store_ring();

	if (!(ring->server_features & XENSTORE_SERVER_FEATURE_RECONNECTION))
		return false;
	ring->connection = XENSTORE_RECONNECT;
	machine_store_notify();
	while (ring->connection != XENSTORE_CONNECTED) {
		if (machine_now_ns() >= until_ns)
			return false;
		machine_wait(until_ns);
	}
	return true;
}
