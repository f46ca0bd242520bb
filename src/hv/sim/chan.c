/* SPDX-License-Identifier: MIT */
/*
 * The daemon's end of the event channels.
 *
 * Invariant: own[p] says what this daemon bound as port p, and nothing in shared memory is
 * believed in its place. No lock is taken: an end is joined by compare-and-swap on the guest's
 * port, and whoever loses puts its own port back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "hv/sim/chan.h"
#include "hv/sim/layout.h"

#define WAKE_SLOTS 1024u /* descriptors of guests' FIFOs kept open at most */

struct own_port {
	uint64_t unique;
	uint16_t domid;
	uint8_t gport;
	uint8_t kind; /* enum sim_port_kind */
};

struct wake_slot {
	uint64_t unique; /* 0: empty */
	int fd;		 /* owned */
};

struct sim_chan {
	struct sim *s; /* borrowed */
	uint32_t epoch;
	uint32_t hint;	      /* where to look for a free port */
	uint32_t cursor;      /* after the port collected last: none is always first */
	bool drained;	      /* the last sim_chan_next emptied the FIFO */
	bool woken;	      /* and found that it held something */
	struct own_port *own; /* SIM_PORTS of them */
	struct wake_slot wake[WAKE_SLOTS];
};

/* Takes over every port that this channel's device had bound; those of another are closed. */
static void chan_resume(struct sim_chan *c)
{
	struct sim_table *t = c->s->table;

	for (int32_t p = bits_find(&t->used, 1); p > 0; p = bits_find(&t->used, (uint32_t)p + 1u)) {
		struct sim_port *sp = &t->port[p];
		uint32_t kind = atomic_load(&sp->kind), domid = atomic_load(&sp->domid);
		uint32_t gport = atomic_load(&sp->gport);

		if (kind > SIM_PORT_VIRQ || domid >= HV_DOMID_FIRST_RESERVED ||
		    gport > SIM_GUEST_PORTS || atomic_load(&sp->epoch) != c->epoch)
			continue;
		c->own[p] = (struct own_port){
			.unique = atomic_load(&sp->unique),
			.domid = (uint16_t)domid,
			.gport = (uint8_t)gport,
			.kind = (uint8_t)kind,
		};
	}
}

int sim_chan_open(struct sim *s, bool resume, struct sim_chan **ret_chan)
{
	struct sim_chan *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->s = s;
	c->own = calloc(SIM_PORTS, sizeof(*c->own));
	if (!c->own) {
		free(c);
		return -ENOMEM;
	}
	bits_repair(&s->table->ready);
	c->hint = 1;
	if (resume) {
		c->epoch = atomic_load(&s->table->epoch);
		chan_resume(c);
	} else {
		c->epoch = atomic_fetch_add(&s->table->epoch, 1) + 1u;
	}
	sim_poke(s);
	*ret_chan = c;
	return 0;
}

void sim_chan_close(struct sim_chan *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < WAKE_SLOTS; i++)
		if (c->wake[i].unique)
			close(c->wake[i].fd);
	free(c->own);
	free(c);
}

/* Frees a port that is joined to nothing. */
static void port_free(struct sim_chan *c, uint32_t port)
{
	struct sim_table *t = c->s->table;

	atomic_store(&t->port[port].kind, SIM_PORT_FREE);
	bits_clear(&t->ready, port);
	bits_clear(&t->used, port);
}

/* The table is full: ports that dead daemons bound for domains that are gone. */
static void ports_reclaim(struct sim_chan *c)
{
	struct sim_table *t = c->s->table;

	for (uint32_t p = 1; p < SIM_PORTS; p++) {
		struct sim_port *sp = &t->port[p];
		uint32_t state, domid = atomic_load(&sp->domid);
		uint64_t unique;

		if (atomic_load(&sp->kind) != SIM_PORT_DOMAIN ||
		    atomic_load(&sp->epoch) == c->epoch)
			continue;
		if (domid < HV_DOMID_FIRST_RESERVED &&
		    !sim_domain_life(c->s, (uint16_t)domid, &unique, &state) &&
		    unique == atomic_load(&sp->unique))
			continue;
		port_free(c, p);
	}
}

static int port_claim(struct sim_chan *c, const struct own_port *own, uint32_t *ret_port)
{
	struct sim_table *t = c->s->table;
	int32_t p = bits_claim(&t->used, c->hint);
	struct sim_port *sp;

	if (p < 0) {
		ports_reclaim(c);
		p = bits_claim(&t->used, c->hint);
	}
	if (p <= 0)
		return -ENOSPC;
	sp = &t->port[p];
	atomic_store(&sp->state, 0);
	atomic_store(&sp->unique, own->unique);
	atomic_store(&sp->domid, own->domid);
	atomic_store(&sp->gport, own->gport);
	atomic_store(&sp->epoch, c->epoch);
	atomic_store(&sp->kind, own->kind);
	c->hint = (uint32_t)p + 1u;
	*ret_port = (uint32_t)p;
	return 0;
}

/* Whether a daemon that is gone bound exactly this as port. */
static bool port_adopt(struct sim_chan *c, const struct own_port *own, uint32_t port)
{
	struct sim_port *sp;

	if (!port || port >= SIM_PORTS || c->own[port].kind)
		return false;
	sp = &c->s->table->port[port];
	if (atomic_load(&sp->kind) != SIM_PORT_DOMAIN || atomic_load(&sp->epoch) == c->epoch ||
	    atomic_load(&sp->domid) != own->domid || atomic_load(&sp->gport) != own->gport ||
	    atomic_load(&sp->unique) != own->unique)
		return false;
	atomic_store(&sp->epoch, c->epoch);
	bits_set(&c->s->table->used, port);
	return true;
}

/* Joins a fresh port to the guest's; the guest's life is looked at again afterwards. */
static int port_join(struct sim_chan *c, const struct own_port *own, uint32_t *ret_port)
{
	struct sim_dom *d = &c->s->table->dom[own->domid];
	uint32_t port, unbound = SIM_UNBOUND;
	int r;

	r = port_claim(c, own, &port);
	if (r)
		return r;
	if (!atomic_compare_exchange_strong(&d->gport[own->gport], &unbound, port)) {
		port_free(c, port);
		return -EINVAL;
	}
	if (atomic_load(&d->unique) != own->unique) {
		unbound = port;
		atomic_compare_exchange_strong(&d->gport[own->gport], &unbound, SIM_UNBOUND);
		port_free(c, port);
		return -ESRCH;
	}
	*ret_port = port;
	return 0;
}

int sim_chan_bind(struct sim_chan *c, uint16_t domid, uint32_t gport, uint32_t *ret_port)
{
	struct own_port own = { .domid = domid, .kind = SIM_PORT_DOMAIN };
	struct sim_dom *d;
	uint32_t state, port;
	int r;

	if (sim_domain_life(c->s, domid, &own.unique, &state) || state & SIM_DYING)
		return -ESRCH;
	if (!gport || gport > SIM_GUEST_PORTS)
		return -EINVAL;
	own.gport = (uint8_t)gport;
	d = &c->s->table->dom[domid];
	port = atomic_load(&d->gport[gport]);
	if (!port)
		return -EINVAL;
	if (port == SIM_UNBOUND) {
		r = port_join(c, &own, &port);
		if (r)
			return r;
	} else if (!port_adopt(c, &own, port)) {
		return -EINVAL;
	}
	c->own[port] = own;
	/* Octets on their way may have died with the guest's or the old daemon's FIFO. */
	atomic_fetch_and(&d->told, ~(1u << gport));
	atomic_store(&c->s->table->port[port].state, 0);
	sim_raise(c->s, port);
	*ret_port = port;
	return 0;
}

int sim_chan_bind_virq(struct sim_chan *c, bool births, uint32_t *ret_port)
{
	struct own_port own = { .kind = SIM_PORT_VIRQ };
	struct sim_table *t = c->s->table;
	struct sim_listener *oldest = NULL;
	uint32_t oldest_epoch = UINT32_MAX, port;
	int r;

	/* A dead daemon's place, where no other is free. */
	for (uint32_t i = 0; i < SIM_LISTENERS; i++) {
		uint32_t epoch = 0;

		port = atomic_load(&t->listener[i].port);
		if (port && port < SIM_PORTS)
			epoch = atomic_load(&t->port[port].epoch);
		if (!oldest || epoch < oldest_epoch) {
			oldest = &t->listener[i];
			oldest_epoch = epoch;
		}
	}
	r = port_claim(c, &own, &port);
	if (r)
		return r;
	c->own[port] = own;
	atomic_store(&oldest->births, births);
	*ret_port = atomic_exchange(&oldest->port, port);
	if (*ret_port && *ret_port < SIM_PORTS)
		port_free(c, *ret_port);
	*ret_port = port;
	return 0;
}

/* A FIFO is kept open no longer than a port that uses it. */
static void wake_close(struct wake_slot *slot, uint64_t unique)
{
	if (slot->unique != unique)
		return;
	close(slot->fd);
	slot->unique = 0;
}

int sim_chan_unbind(struct sim_chan *c, uint32_t port)
{
	struct sim_table *t = c->s->table;
	struct own_port own;
	uint32_t expect = port;

	if (port >= SIM_PORTS || !c->own[port].kind)
		return -ENOTCONN;
	own = c->own[port];
	c->own[port] = (struct own_port){ .kind = SIM_PORT_FREE };
	if (own.kind == SIM_PORT_VIRQ) {
		for (uint32_t i = 0; i < SIM_LISTENERS; i++, expect = port)
			atomic_compare_exchange_strong(&t->listener[i].port, &expect, 0);
	} else {
		wake_close(&c->wake[port % WAKE_SLOTS], own.unique);
		/* As on Xen, the guest's end may be bound again. */
		if (atomic_load(&t->dom[own.domid].unique) == own.unique)
			atomic_compare_exchange_strong(&t->dom[own.domid].gport[own.gport], &expect,
						       SIM_UNBOUND);
	}
	port_free(c, port);
	return 0;
}

/* Closes one FIFO, the first from slot `from` on and then around: false where none is open. */
static bool wake_close_one(struct sim_chan *c, uint32_t from)
{
	for (uint32_t n = 0; n < WAKE_SLOTS; n++) {
		struct wake_slot *slot = &c->wake[(from + n) % WAKE_SLOTS];

		if (!slot->unique)
			continue;
		close(slot->fd);
		slot->unique = 0;
		return true;
	}
	return false;
}

/* The guest's FIFO, kept open while there are descriptors to spare; -errno. */
static int wake_open(struct sim_chan *c, uint32_t port)
{
	struct wake_slot *slot = &c->wake[port % WAKE_SLOTS];
	int fd;

	if (slot->unique == c->own[port].unique)
		return slot->fd;
	fd = sim_open_wake(c->s, c->own[port].domid);
	if ((fd == -EMFILE || fd == -ENFILE) && wake_close_one(c, port + 1u))
		fd = sim_open_wake(c->s, c->own[port].domid);
	if (fd < 0)
		return fd;
	if (slot->unique)
		close(slot->fd);
	slot->unique = c->own[port].unique;
	slot->fd = fd;
	return fd;
}

int sim_chan_notify(struct sim_chan *c, uint32_t port)
{
	struct own_port *own;
	struct sim_dom *d;
	uint8_t octet;
	int fd;

	if (port >= SIM_PORTS || c->own[port].kind != SIM_PORT_DOMAIN)
		return -ENOTCONN;
	own = &c->own[port];
	d = &c->s->table->dom[own->domid];
	if (atomic_load(&d->unique) != own->unique || atomic_load(&d->gport[own->gport]) != port)
		return -ENOTCONN;
	if (atomic_fetch_or(&d->told, 1u << own->gport) & 1u << own->gport)
		return 0;
	fd = wake_open(c, port);
	if (fd < 0) {
		atomic_fetch_and(&d->told, ~(1u << own->gport));
		return fd;
	}
	octet = own->gport;
	if (write(fd, &octet, 1) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

/* Empties the FIFO: 0 or -errno. */
static int chan_drain(struct sim_chan *c)
{
	char octets[4096];
	ssize_t n = read(c->s->wake_fd, octets, sizeof(octets));

	c->drained = true;
	c->woken = n > 0;
	return n < 0 && errno != EAGAIN && errno != EINTR ? -errno : 0;
}

static bool chan_take(struct sim_chan *c, uint32_t *ret_port)
{
	/* Ports that are nobody's, or another daemon's, are dropped. */
	for (uint32_t n = 0; n < SIM_PORTS; n++) {
		int32_t port = bits_take(&c->s->table->ready, c->cursor);

		if (port < 0)
			return false;
		c->cursor = ((uint32_t)port + 1u) % SIM_PORTS;
		if (c->own[port].kind) {
			/* What was raised before it is collected is one event. */
			atomic_fetch_and(&c->s->table->port[port].state, ~(uint32_t)SIM_PENDING);
			*ret_port = (uint32_t)port;
			return true;
		}
	}
	return false;
}

int sim_chan_next(struct sim_chan *c, uint32_t *ret_port)
{
	int r;

	c->drained = c->woken = false;
	if (chan_take(c, ret_port))
		return 1;
	r = chan_drain(c);
	if (r)
		return r;
	if (!chan_take(c, ret_port)) /* raised between the look and the read */
		return 0;
	if (bits_find(&c->s->table->ready, 0) >= 0)
		sim_poke(c->s); /* their octets were read, too; the caller may stop here */
	return 1;
}

void sim_chan_settle(struct sim_chan *c)
{
	struct bits *ready = &c->s->table->ready;

	if (c->drained || bits_find(ready, 0) >= 0 || chan_drain(c))
		return;
	if (bits_find(ready, 0) >= 0)
		sim_poke(c->s);
}

bool sim_chan_woken(struct sim_chan *c)
{
	return c->woken;
}

int sim_chan_unmask(struct sim_chan *c, uint32_t port)
{
	struct sim_port *sp;
	uint32_t was;

	if (port >= SIM_PORTS || !c->own[port].kind)
		return -ENOTCONN;
	sp = &c->s->table->port[port];
	was = atomic_load(&sp->state);
	while (!atomic_compare_exchange_weak(&sp->state, &was, was & SIM_PENDING ? SIM_MASKED : 0))
		;
	if (was & SIM_PENDING) {
		bits_set(&c->s->table->ready, port);
		sim_poke(c->s);
	}
	return 0;
}

int sim_chan_fd(struct sim_chan *c)
{
	return c->s->wake_fd;
}
