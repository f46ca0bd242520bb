/* SPDX-License-Identifier: MIT */
/*
 * Input that is kept from one turn to the next. Invariant: in_len octets from position in_pos on,
 * in the block, charged to the octet; the block that the slot names is not let go of before the
 * slot's word says that it is consumed, or before another one has the same.
 */
#include <errno.h>
#include <string.h>

#include "base/area.h"
#include "base/fault.h"
#include "conn/inner.h"

const uint8_t *in_data(const struct conn *c)
{
	return c->in ? c->in->data + (c->in_pos - c->in->base) : NULL;
}

static void charge(struct conn *c, uint32_t len)
{
	struct budget *b = c->watcher.budget;

	if (len)
		budget_add(b, QUOTA_MEMORY, len);
	if (c->in_len)
		budget_sub(b, QUOTA_MEMORY, c->in_len);
	c->in_len = len;
}

/* The octets that the block lacks behind those it has. False: they do not fit. */
static bool append(struct conn *c, const uint8_t *data, uint32_t len)
{
	struct area *a = c->table->area;
	uint32_t more = len - c->in_len, end;

	if (!c->in || c->in_pos + c->in_len != c->in->base + c->in->len)
		return false;
	end = c->in->len;
	if (more > area_room(a, area_ref(a, c->in)) - sizeof(*c->in) - end)
		return false;
	memcpy(c->in->data + end, data + c->in_len, more);
	__atomic_store_n(&c->in->len, end + more, __ATOMIC_RELEASE);
	return true;
}

void in_shrink(struct conn *c, size_t len)
{
	charge(c, (uint32_t)len);
	if (!len)
		c->in = NULL;
}

int in_keep(struct conn *c, const uint8_t *data, size_t len, bool consumed)
{
	struct area *a = c->table->area;
	struct in_block *b;
	uint32_t ref;

	if (!len) {
		in_shrink(c, 0);
		return 0;
	}
	if (consumed || !append(c, data, (uint32_t)len)) {
		ref = area_alloc(a, sizeof(*b) + len);
		if (!ref)
			return FAULT(-ENOMEM);
		b = area_at(a, ref);
		b->base = c->in_pos;
		b->len = (uint32_t)len;
		memcpy(b->data, data, len);
		if (c->in && area_ref(a, c->in) != io_slot(c)->in_block)
			area_release(a, area_ref(a, c->in));
		c->in = b;
	}
	charge(c, (uint32_t)len);
	return 0;
}

void in_drop(struct conn *c)
{
	struct conn_table *t = c->table;
	uint32_t end = t->turn == c ? t->turn_end : c->in_pos + c->in_len;

	charge(c, 0);
	if (c->in && area_ref(t->area, c->in) != io_slot(c)->in_block)
		area_release(t->area, area_ref(t->area, c->in));
	c->in = NULL;
	if (end == c->in_pos)
		return;
	c->in_pos = end;
	io_touch(c);
}

size_t conn_peek_input(const struct conn *c, void *buf, size_t room)
{
	size_t n = c->in_len < room ? c->in_len : room;

	if (n)
		memcpy(buf, in_data(c), n);
	return n;
}
