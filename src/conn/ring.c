/* SPDX-License-Identifier: MIT */
/*
 * Ring transport. Invariant: an index that the guest wrote is loaded once into a local and
 * checked there; our own index is the local copy's, not what the page says.
 */
#include "conn/ring.h"

#include <errno.h>
#include <stdlib.h>

#define LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

struct ring_transport *ring_transport_new(struct hv *hv, uint16_t domid, void *page, uint32_t port,
					  uint32_t features)
{
	struct ring_transport *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->hv = hv;
	t->domid = domid;
	t->page = page;
	t->port = port;
	t->features = features;
	return t;
}

void ring_transport_offer(struct ring_transport *t)
{
	STORE(&t->page->server_features, t->features);
	STORE(&t->page->error, XENSTORE_ERROR_NONE);
}

static ssize_t ring_recv(void *transport, struct conn_cell *cell, void *buf, size_t room)
{
	struct ring_transport *t = transport;
	struct xenstore_domain_interface *p = t->page;
	uint32_t cons, prod, len, at, first;

	if (t->features & XENSTORE_SERVER_FEATURE_RECONNECTION &&
	    LOAD(&p->connection) == XENSTORE_RECONNECT)
		return -ERESTART;
	if (!room)
		return 0;
	prod = LOAD(&p->req_prod);
	cons = LOAD(&p->req_cons);
	len = prod - cons;
	if (len > XENSTORE_RING_SIZE)
		return -EBADMSG;
	if (len > room)
		len = (uint32_t)room;
	if (!len)
		return 0;
	at = MASK_XENSTORE_IDX(cons);
	first = XENSTORE_RING_SIZE - at < len ? XENSTORE_RING_SIZE - at : len;
	memcpy(buf, p->req + at, first);
	memcpy((char *)buf + first, p->req, len - first);
	cell->ring_at = cons;
	conn_cell_note(cell, len);
	STORE(&p->req_cons, cons + len);
	t->moved = true;
	return (ssize_t)len;
}

static size_t ring_peek(void *transport, void *buf, size_t room)
{
	struct ring_transport *t = transport;
	uint32_t cons = LOAD(&t->page->req_cons), len = LOAD(&t->page->req_prod) - cons;
	uint8_t *to = buf;

	if (len > XENSTORE_RING_SIZE)
		return 0; /* recv judges it */
	if (len > room)
		len = (uint32_t)room;
	for (uint32_t i = 0; i < len; i++)
		to[i] = (uint8_t)t->page->req[MASK_XENSTORE_IDX(cons + i)];
	return len;
}

static ssize_t ring_send(void *transport, struct conn_cell *cell, const void *buf, size_t len)
{
	struct ring_transport *t = transport;
	struct xenstore_domain_interface *p = t->page;
	uint32_t cons, prod, room, n, at, first;

	/*
	 * The reader notifies only when it finds that the ring had been full. It stores rsp_cons
	 * and then looks at rsp_prod; here rsp_prod is stored and rsp_cons looked at again (the
	 * caller sends until there is no room). Were the two reordered, both could miss the
	 * other and wait for ever.
	 */
	cons = __atomic_load_n(&p->rsp_cons, __ATOMIC_SEQ_CST);
	prod = LOAD(&p->rsp_prod);
	if (prod - cons > XENSTORE_RING_SIZE)
		return -EBADMSG;
	room = XENSTORE_RING_SIZE - (prod - cons);
	n = len < room ? (uint32_t)len : room;
	if (!n)
		return 0;
	at = MASK_XENSTORE_IDX(prod);
	first = XENSTORE_RING_SIZE - at < n ? XENSTORE_RING_SIZE - at : n;
	memcpy(p->rsp + at, buf, first);
	memcpy(p->rsp, (const char *)buf + first, n - first);
	cell->ring_at = prod;
	__atomic_store_n(&cell->ring_len, n, __ATOMIC_RELEASE);
	__atomic_store_n(&p->rsp_prod, prod + n, __ATOMIC_SEQ_CST);
	conn_cell_note(cell, n);
	t->moved = true;
	return (ssize_t)n;
}

/*
 * What was noted as received is in the scratch, whether or not its index was moved yet. What was
 * about to be sent is sent if its index was moved: a guest that moves it itself harms itself alone.
 */
static size_t ring_recover(void *transport, const struct conn_cell *cell, bool sent)
{
	struct ring_transport *t = transport;
	uint32_t n = cell->msg.msg_len;

	if (n > XENSTORE_RING_SIZE || cell->ring_len > XENSTORE_RING_SIZE)
		return 0;
	if (!sent && n && LOAD(&t->page->req_cons) == cell->ring_at)
		STORE(&t->page->req_cons, cell->ring_at + n);
	if (sent && !n && LOAD(&t->page->rsp_prod) == cell->ring_at + cell->ring_len)
		n = cell->ring_len;
	t->moved = true;
	return n;
}

/*
 * A guest may notify only when it finds all that it wrote before consumed: after req_cons was
 * stored, req_prod is to be looked at again, in that order.
 */
static bool ring_has_more(void *transport)
{
	struct ring_transport *t = transport;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return LOAD(&t->page->req_prod) != LOAD(&t->page->req_cons);
}

static void ring_kick(void *transport)
{
	struct ring_transport *t = transport;

	if (!t->moved || !t->port)
		return;
	t->moved = false;
	t->hv->ops->evtchn_notify(t->hv, t->port);
}

static void ring_restart(void *transport)
{
	struct ring_transport *t = transport;
	struct xenstore_domain_interface *p = t->page;

	STORE(&p->req_cons, 0u);
	STORE(&p->req_prod, 0u);
	STORE(&p->rsp_cons, 0u);
	STORE(&p->rsp_prod, 0u);
	STORE(&p->error, XENSTORE_ERROR_NONE);
	STORE(&p->connection, XENSTORE_CONNECTED);
	t->moved = true;
	ring_kick(t);
}

static void ring_set_error(void *transport, enum conn_error err)
{
	struct ring_transport *t = transport;

	STORE(&t->page->error, (uint32_t)err);
	t->moved = true;
	ring_kick(t);
}

void ring_transport_unbind(struct ring_transport *t)
{
	if (t->port)
		t->hv->ops->evtchn_unbind(t->hv, t->port);
	t->port = 0;
}

static void ring_free(void *transport)
{
	struct ring_transport *t = transport;

	ring_transport_unbind(t);
	t->hv->ops->ring_unmap(t->hv, t->domid, t->page);
	free(t);
}

const struct transport_ops *ring_transport_ops(void)
{
	static const struct transport_ops ops = {
		.recv = ring_recv,
		.peek = ring_peek,
		.send = ring_send,
		.recover = ring_recover,
		.restart = ring_restart,
		.kick = ring_kick,
		.has_more = ring_has_more,
		.set_error = ring_set_error,
		.free = ring_free,
	};

	return &ops;
}
