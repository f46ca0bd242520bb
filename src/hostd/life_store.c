/* SPDX-License-Identifier: MIT */
/*
 * What the store could not be told while it could not be had. Invariant: whatever is left over in
 * it, or is not served by it, is so only until it answers again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "hostd/life_own.h"
#include "hostd/store.h"

static void swept(void *data, int err, const char *why, int domid)
{
	struct host *h = data;

	(void)domid;
	h->sweeping = false;
	if (!err && !h->sweep_anew)
		h->sweep_due = false;
	if (!err)
		return;
	if (!h->sweep_due)
		log_warning("store: what is left of guests that are gone stays for now: %s", why);
	h->sweep_due = true;
}

void life_sweep_later(struct host *h)
{
	h->sweep_due = h->sweep_anew = true;
}

int life_sweep(struct host *h)
{
	uint8_t(*known)[DEF_UUID_SIZE] = calloc(h->doms.n + 1, sizeof(*known));
	size_t n = 0;
	int r;

	if (!known)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < h->doms.n; i++)
		if (dom_is_active(h->doms.by_uuid[i]))
			memcpy(known[n++], h->doms.by_uuid[i]->uuid, DEF_UUID_SIZE);
	r = hstore_sweep(h->store, (const uint8_t(*)[DEF_UUID_SIZE])known, n, swept, h);
	free(known);
	h->sweeping = !r;
	h->sweep_anew = false;
	return r;
}

static void joined(void *data, int err, const char *why, int domid)
{
	struct life_op *op = data;

	(void)domid;
	if (err) {
		op->dom->unserved = true;
		log_warning("domain %s: it runs, and cannot be moved yet: %s", op->dom->name, why);
	}
	life_op_end(op, 0, "");
}

static void join(struct host *h, struct dom *d)
{
	struct life_op *op = life_op_new(h, d, NULL, NULL);

	d->domid = vmm_guest_domid(d->guest);
	if (op && hstore_join(h->store, d->uuid, vmm_guest_epoch(d->guest), d->domid, false, joined,
			      op)) {
		d->unserved = true;
		life_op_end(op, 0, "");
	}
}

void life_join(struct host *h, struct dom *d)
{
	if (hstore_is_joined(h->store) && d->guest && !d->incoming &&
	    vmm_guest_domid(d->guest) >= 0 && vmm_guest_domid(d->guest) != d->domid)
		join(h, d);
}

static void served(void *data, int err, const char *why, int domid)
{
	struct life_op *op = data;

	(void)why;
	(void)domid;
	if (!err || err == -ENOENT)
		op->dom->unserved = false;
	life_op_end(op, 0, "");
}

/* One that is being migrated is quiesced, and served again by its migration if it stays. */
static void serve(struct host *h, struct dom *d)
{
	char text[VMM_ERROR_MAX];
	struct life_op *op;

	if (h->hooks->may && h->hooks->may(h, d, HOSTD_START, text, sizeof(text)))
		return;
	if (hstore_is_joined(h->store) && vmm_guest_domid(d->guest) >= 0)
		join(h, d);
	op = life_op_new(h, d, NULL, NULL);
	if (op && hstore_serve(h->store, d->uuid, vmm_guest_epoch(d->guest), served, op))
		life_op_end(op, 0, "");
}

void life_store_again(struct host *h)
{
	uint64_t now = hostd_now_ms(h);

	if (now < h->store_again_ms)
		return;
	h->store_again_ms = now + LIFE_STORE_AGAIN_MS;
	if (h->sweep_due && !h->sweeping && life_sweep(h) == -ENOMEM)
		hostd_fail(h, -ENOMEM);
	for (size_t i = 0; i < h->doms.n; i++)
		if (h->doms.by_uuid[i]->unserved && h->doms.by_uuid[i]->guest)
			serve(h, h->doms.by_uuid[i]);
}
