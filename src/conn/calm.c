/* SPDX-License-Identifier: MIT */
/*
 * Calms. Invariant: while there is one no octet of a TRANSACTION_START is received that its
 * connection has not begun to receive before, unless another transaction of it is open: its end
 * may stand behind it.
 */
#include <string.h>

#include "conn/inner.h"

size_t conn_may_receive(struct conn *c)
{
	size_t have = c->in_len, room = CONN_INPUT_MAX - have, n;
	uint8_t head[WIRE_HEADER_SIZE];
	struct xsd_sockmsg hdr = { 0 };

	c->kept_off = false;
	if (!c->table->calm || !c->ops->peek)
		return room;
	n = conn_peek_input(c, head, sizeof(head));
	if (n < sizeof(head))
		n += c->ops->peek(c->transport, head + n, sizeof(head) - n);
	memcpy(&hdr, head, n);
	c->kept_off =
		!have && !c->n_txns && n >= sizeof(hdr.type) && hdr.type == XS_TRANSACTION_START;
	if (c->kept_off)
		return 0;
	/* one request at a time: who knows what is behind it */
	if (n < sizeof(head))
		return sizeof(head) - have;
	return hdr.len > XENSTORE_PAYLOAD_MAX ? room : sizeof(head) + hdr.len - have;
}

void conn_table_calm(struct conn_table *t, bool on)
{
	struct conn *c;

	t->calm = on;
	list_for_each(c, &t->all, all) {
		if (on || !c->kept_off || c->closing)
			continue;
		c->kept_off = false;
		conn_wake(c);
	}
}
