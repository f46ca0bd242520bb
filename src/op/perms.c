/* SPDX-License-Identifier: MIT */
/*
 * GET_PERMS, SET_PERMS, also of the special watch paths.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/own.h"
#include "op/op.h"

static int answer_perms(struct op_call *o, const struct perms *p)
{
	char *out = o->reply->data;
	size_t len = 0;

	for (uint32_t i = 0; i < p->n; i++) {
		if (len + PERMS_PRINT_MAX > XENSTORE_PAYLOAD_MAX)
			return E2BIG;
		len += perm_print(&p->entry[i], out + len) + 1;
	}
	o->reply->len = len;
	return 0;
}

/* The list of a special path, EINVAL for another name. */
static int special_perms(struct op_call *o, struct perms ***ret)
{
	static const char introduce[] = "@introduceDomain", release[] = "@releaseDomain";
	struct domain_table *t = &o->core->domains;

	if (o->arg_len[0] == sizeof(introduce) - 1 && !strcmp(o->arg[0], introduce))
		*ret = &t->introduce_perms;
	else if (o->arg_len[0] == sizeof(release) - 1 && !strcmp(o->arg[0], release))
		*ret = &t->release_perms;
	else
		return EINVAL;
	return 0;
}

int op_get_perms(struct op_call *o)
{
	struct perms **special;
	struct store_pos pos;
	struct path p;
	int r;

	if (o->arg[0][0] == '@') {
		r = special_perms(o, &special);
		if (r)
			return r;
		if (!op_is_privileged(o) &&
		    !(perms_bits(*special, o->conn->watcher.domid, o->conn->watcher.target) &
		      PERM_READ))
			return EACCES;
		return answer_perms(o, *special);
	}
	r = op_path(o, &p);
	if (!r)
		r = op_find(o, &p, PERM_READ, TXN_SAW_PERMS, &pos);
	return r ? r : answer_perms(o, pos.node->perms);
}

/* The list after the path; *ret_list is malloc'd. EINVAL, -ENOMEM. */
static int parse_list(const struct op_call *o, struct perm **ret_list, size_t *ret_n)
{
	const char *at = o->arg[1], *end = o->msg->payload + o->msg->hdr.len, *nul;
	struct perm *list = malloc((size_t)(end - at) / 2 * sizeof(*list) + sizeof(*list));
	size_t n = 0;

	if (!list)
		return FAULT(-ENOMEM);
	/* octets without a NUL are the reserved tail */
	while (at < end && (nul = memchr(at, '\0', (size_t)(end - at)))) {
		if (perm_parse(at, (size_t)(nul - at), &list[n])) {
			free(list);
			return EINVAL;
		}
		n++;
		at = nul + 1;
	}
	if (!n) {
		free(list);
		return EINVAL;
	}
	*ret_list = list;
	*ret_n = n;
	return 0;
}

/* Domains named must be known, so that who gets the id later inherits nothing. */
static int know_domains(struct op_call *o, const struct perm *list, size_t n)
{
	struct domain *d;
	int r;

	for (size_t i = 0; i < n; i++) {
		if (list[i].domid >= HV_DOMID_FIRST_RESERVED && i)
			continue;
		r = domain_get(&o->core->domains, list[i].domid, &d);
		if (r < 0 || (r && !i))
			return r;
	}
	return 0;
}

static int set_special(struct op_call *o, const struct perm *list, size_t n)
{
	struct perms **special, *perms;
	int r;

	r = special_perms(o, &special);
	if (r)
		return r;
	if (!op_is_privileged(o))
		return EACCES;
	/* a domain that becomes known only later would be taken out of the list then */
	r = know_domains(o, list, n);
	if (!r)
		r = perms_intern(o->core->perms, list, n, &perms);
	if (r)
		return r;
	domain_set_special(&o->core->domains, special, perms);
	return 0;
}

static int set_list(struct op_call *o, const struct path *p, const struct store_pos *pos,
		    const struct perm *list, size_t n)
{
	const struct node *old = pos->node;
	struct change c = { .path = p->str, .len = p->len };
	struct tree *t = op_tree(o);
	struct perms *perms, *was = old->perms;
	uint64_t mark;
	int r;

	if (list[0].domid != perms_owner(was)) {
		r = op_room(o, p, list[0].domid, 1, node_charge(old));
		if (r)
			return r;
	}
	r = op_note(o, p, 0, 0);
	if (!r)
		r = perms_intern(o->core->perms, list, n, &perms);
	if (r)
		return r;
	perms_take(was);
	mark = op_edit_mark(o);
	r = tree_set_perms(&o->core->store, t, p->str, p->len, perms);
	op_edited(o, mark, 0);
	if (!r)
		op_wrote(o, p->str, p->len, TXN_WROTE_PERMS);
	if (!r && !o->txn && watch_may_fire(&o->core->watches)) {
		struct store_pos now;
		/* the node before is described by a copy of its head with the former list */
		struct node before = { .perms = was };

		store_find(t->root, p->str, p->len, &now);
		c.old_node = &before;
		c.new_node = now.node;
		c.old_parent = c.new_parent = now.ancestor ? now.ancestor->perms : NULL;
		op_fire(o, &c);
	}
	perms_release(o->core->perms, was);
	perms_release(o->core->perms, perms);
	return r;
}

static int set_perms(struct op_call *o, const struct perm *list, size_t n)
{
	struct budget *b = o->conn->watcher.budget;
	struct store_pos pos;
	struct path p;
	int r;

	r = op_path(o, &p);
	if (r)
		return r;
	if (!op_is_privileged(o) && budget_check_value(b, QUOTA_NODE_PERMISSIONS, n))
		return op_refuse(o, b, QUOTA_NODE_PERMISSIONS, &p, n);
	/* who waits has done nothing yet; then the list is judged before the node, as in C */
	r = op_may_change(o, &p, false);
	if (!r)
		r = know_domains(o, list, n);
	if (!r)
		r = op_find(o, &p, PERM_WRITE | PERM_OWNER, TXN_SAW_EXISTENCE, &pos);
	if (r)
		return r;
	if (!op_is_privileged(o) && list[0].domid != perms_owner(pos.node->perms))
		return EPERM;
	return set_list(o, &p, &pos, list, n);
}

int op_set_perms(struct op_call *o)
{
	struct perm *list = NULL;
	size_t n = 0;
	int r;

	r = parse_list(o, &list, &n);
	if (r)
		return r;
	r = o->arg[0][0] == '@' ? set_special(o, list, n) : set_perms(o, list, n);
	free(list);
	return r;
}
