/* SPDX-License-Identifier: MIT */
/*
 * READ, WRITE, MKDIR, RM, DIRECTORY, DIRECTORY_PART (xenstore.txt, "Database read, write and
 * permissions operations").
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "op/op.h"

int op_read(struct op_call *o)
{
	struct store_pos pos;
	struct path p;
	int r;

	r = op_path(o, &p);
	if (!r)
		r = op_find(o, &p, PERM_READ, TXN_SAW_VALUE, &pos);
	if (r)
		return r;
	if (pos.node->value_len > XENSTORE_PAYLOAD_MAX)
		return E2BIG;
	op_answer(o, node_value(pos.node), pos.node->value_len);
	return 0;
}

int op_directory(struct op_call *o)
{
	struct store_pos pos;
	struct path p;
	size_t len;
	int r;

	r = op_path(o, &p);
	if (!r)
		r = op_find(o, &p, PERM_READ, TXN_SAW_CHILDREN, &pos);
	if (r)
		return r;
	len = store_list(pos.node, 0, o->reply->data, XENSTORE_PAYLOAD_MAX);
	if (len > XENSTORE_PAYLOAD_MAX)
		return E2BIG;
	if (!len)
		op_answer(o, "", 0);
	o->reply->len = len;
	return 0;
}

#define PART_STEP_OCTETS 8u /* a name, about */

/* "<gencnt>|<child>|*", an empty string more where the list ends. */
int op_directory_part(struct op_call *o)
{
	struct store_pos pos;
	struct path p;
	char *out = o->reply->data, *end;
	size_t head, room, total, offset, len;
	int r;

	r = op_path(o, &p);
	if (r)
		return r;
	offset = strtoul(o->arg[1], &end, 10);
	if (!o->arg_len[1] || *end)
		return EINVAL;
	r = op_find(o, &p, PERM_READ, TXN_SAW_CHILDREN, &pos);
	if (r)
		return r;
	head = (size_t)snprintf(out, XENSTORE_PAYLOAD_MAX, "%" PRIu64, pos.node->gen) + 1;
	room = XENSTORE_PAYLOAD_MAX - head - 1;
	total = offset < UINT32_MAX ? store_list(pos.node, offset, out + head, room) : 0;
	o->core->store.steps += total / PART_STEP_OCTETS;
	len = total > offset ? total - offset : 0;
	if (len > room) {
		/* whole names only; what does not fit is asked for next */
		for (len = room; len && out[head + len - 1]; len--)
			;
	} else {
		out[head + len++] = '\0';
	}
	o->reply->len = head + len;
	return 0;
}

/* The list that a new node below up gets; *ret is a reference. */
static int new_perms(const struct op_call *o, const struct node *up, struct perms **ret)
{
	uint16_t domid = o->conn->watcher.domid;

	if (op_is_privileged(o) || perms_owner(up->perms) == domid) {
		*ret = perms_take(up->perms);
		return 0;
	}
	return perms_intern_owner(o->core->perms, up->perms, domid, ret);
}

/* In a transaction: what is judged of the place, and the nodes to be made, not yet as written. */
static int note_missing(struct op_call *o, const struct path *p, const struct store_pos *pos)
{
	struct path up; /* 3 KiB: filled only where there is a transaction */
	const char *name;
	size_t name_len, at = pos->ancestor_len == 1 ? 0 : pos->ancestor_len;
	int r;

	if (!o->txn)
		return 0;
	up.len = pos->ancestor_len;
	memcpy(up.str, p->str, up.len);
	r = op_note(o, &up, TXN_SAW_PERMS, 0);
	memcpy(up.str, p->str, p->len);
	while (!r && path_next(p->str, p->len, &at, &name, &name_len)) {
		up.len = at;
		r = op_note(o, &up, at == p->len ? 0 : TXN_SAW_EXISTENCE, 0);
	}
	return r;
}

/* Made: the missing parents, each by implication, and the node. */
static void created(struct op_call *o, const struct path *p, const struct store_pos *pos,
		    unsigned int wrote)
{
	size_t name_len, at = pos->ancestor_len == 1 ? 0 : pos->ancestor_len;
	const char *name;

	while (o->txn && path_next(p->str, p->len, &at, &name, &name_len))
		op_wrote(o, p->str, at, TXN_CREATED | (at == p->len ? wrote : TXN_IMPLIED));
}

/* Creates p, whose pos says where it is missing. wrote: TXN_WROTE_VALUE or nothing. */
static int create(struct op_call *o, const struct path *p, const struct store_pos *pos,
		  const void *value, size_t value_len, unsigned int wrote)
{
	struct store *s = &o->core->store;
	struct tree *t = op_tree(o);
	struct change c = { .path = p->str, .len = p->len };
	struct perms *perms;
	struct store_pos now;
	uint64_t mark;
	int r;

	r = new_perms(o, pos->ancestor, &perms);
	if (r)
		return r;
	r = op_room(o, p, perms_owner(perms), pos->missing,
		    pos->missing * NODE_CHARGE + pos->missing_octets + value_len);
	if (!r)
		r = note_missing(o, p, pos);
	mark = op_edit_mark(o);
	if (!r)
		r = tree_create(s, t, p->str, p->len, perms, value, value_len);
	op_edited(o, mark, r ? 0 : sizeof(struct node) * pos->missing + p->len + value_len);
	perms_release(o->core->perms, perms);
	if (!r)
		created(o, p, pos, wrote);
	if (r || o->txn || !watch_may_fire(&o->core->watches))
		return r;
	store_find(t->root, p->str, p->len, &now);
	c.new_node = now.node;
	c.new_parent = now.ancestor ? now.ancestor->perms : NULL;
	op_fire(o, &c);
	return 0;
}

static int write_existing(struct op_call *o, const struct path *p, const struct store_pos *pos,
			  const void *value, size_t len)
{
	struct change c = { .path = p->str, .len = p->len };
	struct tree *t = op_tree(o);
	size_t was = pos->node->value_len;
	struct store_pos now;
	uint64_t mark;
	int r;

	r = op_room(o, p, perms_owner(pos->node->perms), 0, len > was ? len - was : 0);
	if (!r)
		r = op_note(o, p, 0, 0);
	mark = op_edit_mark(o);
	if (!r)
		r = tree_set_value(&o->core->store, t, p->str, p->len, value, len);
	op_edited(o, mark, !r && len > was ? len - was : 0);
	if (!r)
		op_wrote(o, p->str, p->len, TXN_WROTE_VALUE);
	if (r || o->txn || !watch_may_fire(&o->core->watches))
		return r;
	store_find(t->root, p->str, p->len, &now);
	c.old_node = c.new_node = now.node;
	c.old_parent = c.new_parent = now.ancestor ? now.ancestor->perms : NULL;
	op_fire(o, &c);
	return 0;
}

int op_write(struct op_call *o)
{
	const char *value = o->arg[0] + o->arg_len[0] + 1;
	size_t len = o->msg->hdr.len - o->arg_len[0] - 1;
	struct budget *b = o->conn->watcher.budget;
	struct store_pos pos;
	struct path p;
	int r;

	r = op_path(o, &p);
	if (r)
		return r;
	r = op_may_change(o, &p, false);
	if (r)
		return r;
	r = op_find(o, &p, PERM_WRITE, 0, &pos);
	if (r && r != ENOENT)
		return r;
	if (!op_is_privileged(o) && budget_check_value(b, QUOTA_NODE_SIZE, len))
		return op_refuse(o, b, QUOTA_NODE_SIZE, &p, len);
	if (r == ENOENT)
		return create(o, &p, &pos, value, len, TXN_WROTE_VALUE);
	return write_existing(o, &p, &pos, value, len);
}

int op_mkdir(struct op_call *o)
{
	struct store_pos pos;
	struct path p;
	int r;

	r = op_path(o, &p);
	if (!r)
		r = op_may_change(o, &p, false);
	if (!r)
		r = op_find(o, &p, PERM_WRITE, TXN_SAW_EXISTENCE, &pos);
	return r == ENOENT ? create(o, &p, &pos, NULL, 0, 0) : r;
}

/* A missing node is removed where its parent exists. */
static int rm_missing(struct op_call *o, const struct store_pos *pos, const struct path *p)
{
	struct path up;
	int r = op_note(o, p, TXN_SAW_EXISTENCE, 0);

	if (r || pos->missing == 1)
		return r;
	up.len = path_parent_len(p->str, p->len);
	memcpy(up.str, p->str, up.len);
	r = op_note(o, &up, TXN_SAW_EXISTENCE, 0);
	return r ? r : ENOENT;
}

int op_rm(struct op_call *o)
{
	struct core *core = o->core;
	struct store_pos pos;
	struct node *gone;
	struct path p;
	uint64_t mark;
	int r;

	r = op_path(o, &p);
	if (!r)
		r = op_may_change(o, &p, true);
	if (!r)
		r = op_find(o, &p, PERM_WRITE, 0, &pos);
	if (r == ENOENT)
		return rm_missing(o, &pos, &p);
	if (r)
		return r;
	if (p.len == 1)
		return EINVAL;
	if (!o->txn)
		return domain_remove_tree(&core->store, &core->watches, p.str, p.len);
	r = op_note(o, &p, 0, 0);
	mark = op_edit_mark(o);
	if (!r)
		r = tree_remove(&core->store, op_tree(o), p.str, p.len, &gone);
	op_edited(o, mark, 0);
	if (r)
		return r;
	op_wrote(o, p.str, p.len, TXN_REMOVED);
	txn_removed(&core->store, o->txn, gone);
	return 0;
}
