/* SPDX-License-Identifier: MIT */
/*
 * The table of operations, and what all have in common. Invariant: a request that gets an error
 * changed nothing.
 */
#include "op/op.h"

#include <errno.h>

#include "base/own.h"
#include "domain/death.h"

#define PRIVILEGED 1u
#define NO_TXN 2u   /* the transaction id is not looked at */
#define RAW_TAIL 4u /* what follows the last string is octets */
#define ANY OP_ARGS_MAX

struct op {
	op_fn *fn;
	size_t min; /* strings, each ended by a NUL */
	size_t max; /* further ones are ignored where it is ANY */
	unsigned int flags;
};

static const struct op ops[WIRE_TYPE_COUNT] = {
	[XS_CONTROL] = { op_control, 0, ANY, PRIVILEGED | RAW_TAIL },
	[XS_DIRECTORY] = { op_directory, 1, 1, 0 },
	[XS_READ] = { op_read, 1, 1, 0 },
	[XS_GET_PERMS] = { op_get_perms, 1, 1, 0 },
	[XS_WATCH] = { op_watch, 2, 3, NO_TXN },
	[XS_UNWATCH] = { op_unwatch, 2, 2, NO_TXN },
	[XS_TRANSACTION_START] = { op_transaction_start, 0, ANY, RAW_TAIL },
	[XS_TRANSACTION_END] = { op_transaction_end, 1, 1, 0 },
	[XS_INTRODUCE] = { op_introduce, 3, ANY, PRIVILEGED },
	[XS_RELEASE] = { op_release, 1, 1, PRIVILEGED },
	[XS_GET_DOMAIN_PATH] = { op_get_domain_path, 1, 1, 0 },
	[XS_WRITE] = { op_write, 1, 1, RAW_TAIL },
	[XS_MKDIR] = { op_mkdir, 1, 1, 0 },
	[XS_RM] = { op_rm, 1, 1, 0 },
	[XS_SET_PERMS] = { op_set_perms, 2, ANY, RAW_TAIL },
	[XS_IS_DOMAIN_INTRODUCED] = { op_is_domain_introduced, 1, 1, PRIVILEGED },
	[XS_RESUME] = { op_resume, 1, 1, PRIVILEGED },
	[XS_SET_TARGET] = { op_set_target, 2, ANY, PRIVILEGED },
	[XS_RESET_WATCHES] = { op_reset_watches, 0, ANY, RAW_TAIL },
	[XS_DIRECTORY_PART] = { op_directory_part, 2, ANY, 0 },
	[WIRE_GET_FEATURE] = { op_get_feature, 0, 1, 0 },
	[WIRE_SET_FEATURE] = { op_set_feature, 2, 2, PRIVILEGED },
	[WIRE_GET_QUOTA] = { op_get_quota, 0, 2, PRIVILEGED },
	[WIRE_SET_QUOTA] = { op_set_quota, 2, 3, PRIVILEGED },
};

static const struct op vendor_ops[WIRE_VENDOR_END - WIRE_VENDOR_FIRST] = {
	[WIRE_QUIESCE - WIRE_VENDOR_FIRST] = { op_quiesce, 1, 1, PRIVILEGED },
	[WIRE_UNQUIESCE - WIRE_VENDOR_FIRST] = { op_unquiesce, 1, 1, PRIVILEGED },
	[WIRE_GET_DOMAIN_WATCHES - WIRE_VENDOR_FIRST] = { op_get_domain_watches, 2, 2, PRIVILEGED },
	[WIRE_ADD_DOMAIN_WATCHES -
		WIRE_VENDOR_FIRST] = { op_add_domain_watches, 3, ANY, PRIVILEGED },
	[WIRE_START_DOMAIN_TRANSACTION -
		WIRE_VENDOR_FIRST] = { op_start_domain_transaction, 2, 2, PRIVILEGED },
	[WIRE_EXPORT_DOMAIN - WIRE_VENDOR_FIRST] = { op_export_domain, 2, ANY, PRIVILEGED },
	[WIRE_IMPORT_DOMAIN -
		WIRE_VENDOR_FIRST] = { op_import_domain, 3, ANY, PRIVILEGED | RAW_TAIL },
	[WIRE_WHY - WIRE_VENDOR_FIRST] = { op_why, 0, ANY, PRIVILEGED | RAW_TAIL },
	[WIRE_GET_DOMAIN_RING - WIRE_VENDOR_FIRST] = { op_get_domain_ring, 1, 1, PRIVILEGED },
	[WIRE_PUT_DOMAIN_RING -
		WIRE_VENDOR_FIRST] = { op_put_domain_ring, 1, 1, PRIVILEGED | RAW_TAIL },
};

static const struct op *find_op(uint32_t type)
{
	const struct op *op = NULL;

	if (type < WIRE_TYPE_COUNT)
		op = &ops[type];
	else if (type >= WIRE_VENDOR_FIRST && type < WIRE_VENDOR_END)
		op = &vendor_ops[type - WIRE_VENDOR_FIRST];
	return op && op->fn ? op : NULL;
}

const char *op_name(const struct op_call *o)
{
	return wire_type_name(o->msg->hdr.type);
}

/* Takes strings off the payload. */
static int parse_args(struct op_call *o, const struct op *op)
{
	const char *p = o->msg->payload, *end = p + o->msg->hdr.len, *nul;

	while (p < end && o->n_args < op->max) {
		nul = memchr(p, '\0', (size_t)(end - p));
		if (!nul)
			break;
		o->arg[o->n_args] = p;
		o->arg_len[o->n_args++] = (size_t)(nul - p);
		p = nul + 1;
	}
	if (o->n_args < op->min)
		return EINVAL;
	/* the reserved tail, or a further string, is ignored where the table says so */
	return p < end && op->max != ANY && !(op->flags & RAW_TAIL) ? EINVAL : 0;
}

static int call(struct op_call *o)
{
	const struct op *op = find_op(o->msg->hdr.type);
	int r;

	if (!op)
		return ENOSYS;
	if (op->flags & PRIVILEGED && !op_is_privileged(o))
		return EACCES;
	if (o->msg->hdr.tx_id && !(op->flags & NO_TXN)) {
		o->txn = txn_find(&o->conn->txns, o->msg->hdr.tx_id);
		if (!o->txn)
			return ENOENT;
	}
	r = parse_args(o, op);
	return r ? r : op->fn(o);
}

bool op_handle(void *data, struct conn *c, const struct wire_msg *m)
{
	struct core *core = data;
	struct op_call o = { .core = core, .conn = c, .msg = m, .reply = &core->reply };
	int r;

	core->reply.len = 0;
	core->reply.sent = false;
	r = call(&o);
	if (r == OP_WAIT)
		return false;
	core->counters->requests++;
	c->watcher.budget->counters->requests++;
	if (r)
		conn_reply_error(c, &m->hdr, r < 0 ? -r : r);
	else if (!core->reply.sent && !core->reply.len)
		conn_reply(c, &m->hdr, m->hdr.type, "OK", sizeof("OK"));
	else if (!core->reply.sent)
		conn_reply(c, &m->hdr, m->hdr.type, core->reply.data, core->reply.len);
	return true;
}

/* Octets of a path that do not count: "/local/domain/<domid>/" of whatever domain. */
static size_t own_prefix(const struct path *p)
{
	static const char prefix[] = "/local/domain/";
	size_t at = sizeof(prefix) - 1;

	if (p->len <= at || memcmp(p->str, prefix, at))
		return 0;
	while (at < p->len && p->str[at] >= '0' && p->str[at] <= '9')
		at++;
	return at < p->len && p->str[at] == '/' ? at + 1 : 0;
}

int op_path(const struct op_call *o, struct path *ret)
{
	uint64_t limit = o->core->opt.policy->limits.hard[QUOTA_PATH_MAX];
	int r;

	if (o->arg_len[0] && o->arg[0][0] == '@')
		return EINVAL;
	r = path_make(ret, o->conn->prefix, o->arg[0], o->arg_len[0]);
	if (r)
		return r;
	return limit && ret->len - own_prefix(ret) > limit ? EINVAL : 0;
}

int op_note(struct op_call *o, const struct path *p, unsigned int saw, unsigned int wrote)
{
	int r;

	if (!o->txn)
		return 0;
	if (budget_check(o->txn->budget, QUOTA_MEMORY, TXN_NODE_CHARGE + p->len))
		return op_refuse(o, o->txn->budget, QUOTA_MEMORY, p,
				 o->txn->budget->used[QUOTA_MEMORY] + TXN_NODE_CHARGE + p->len);
	r = txn_note(o->txn, p->str, p->len, saw, wrote);
	if (r == ENOSPC)
		return op_refuse(o, o->txn->budget, QUOTA_TRANSACTION_NODES, p,
				 o->txn->n_accesses + 1);
	return r;
}

void op_wrote(struct op_call *o, const char *path, size_t len, unsigned int wrote)
{
	if (o->txn)
		txn_note(o->txn, path, len, 0, wrote); /* known: cannot fail */
}

static bool lets(const struct op_call *o, const struct node *n, unsigned int want)
{
	const struct watcher *w = &o->conn->watcher;

	return w->privileged || !(want & ~perms_bits(n->perms, w->domid, w->target));
}

static bool lets_any(const struct op_call *o, const struct node *n, unsigned int want)
{
	const struct watcher *w = &o->conn->watcher;

	return w->privileged || want & perms_bits(n->perms, w->domid, w->target);
}

int op_find(struct op_call *o, const struct path *p, unsigned int want, unsigned int saw,
	    struct store_pos *ret)
{
	unsigned int judged = op_is_privileged(o) ? 0 : TXN_SAW_PERMS;
	struct path up;
	int r;

	store_find(op_tree(o)->root, p->str, p->len, ret);
	if (ret->node) {
		r = saw | judged ? op_note(o, p, saw | judged, 0) : 0;
		if (r)
			return r;
		return lets(o, ret->node, want) ? 0 : EACCES;
	}
	r = saw | judged ? op_note(o, p, TXN_SAW_EXISTENCE, 0) : 0;
	if (r)
		return r;
	if (judged && o->txn) {
		up.len = ret->ancestor_len;
		memcpy(up.str, p->str, up.len);
		up.str[up.len] = '\0';
		r = op_note(o, &up, TXN_SAW_PERMS, 0);
		if (r)
			return r;
	}
	/* of a missing node is told whom its ancestor grants anything of what is wanted */
	return lets_any(o, ret->ancestor, want) ? ENOENT : EACCES;
}

int op_refuse(const struct op_call *o, struct budget *b, enum quota_id q, const struct path *p,
	      uint64_t use)
{
	budget_refuse(b, q,
		      &(struct refusal){ .op = op_name(o),
					 .path = p ? p->str : NULL,
					 .path_len = p ? p->len : 0,
					 .limit = b->limits.hard[q],
					 .use = use });
	return ENOSPC;
}

uint64_t op_edit_mark(const struct op_call *o)
{
	return o->core->store.heap.retained;
}

void op_edited(struct op_call *o, uint64_t mark, uint64_t octets)
{
	uint64_t *retained = &o->core->store.heap.retained;

	if (!o->txn)
		return;
	/* its own copies are its own charge: they age nobody else's snapshot */
	txn_charge(o->txn, *retained - mark + octets);
	*retained = mark;
}

/* What b would come to: > 0 more than now. Removed nodes are given back only as far as known. */
static int64_t room_more(const struct op_call *o, const struct budget *b, enum quota_id q,
			 uint64_t more)
{
	int64_t nodes = 0, octets = 0;

	if (o->txn)
		txn_delta_of(o->txn, b->domid, &nodes, &octets);
	return (int64_t)more + (q == QUOTA_NODES ? nodes : octets);
}

static int room_one(struct op_call *o, const struct path *p, struct budget *b, enum quota_id q,
		    uint64_t more)
{
	int64_t n = room_more(o, b, q, more);

	if (!more || n <= 0 || !budget_check(b, q, (uint64_t)n))
		return 0;
	store_settle(&o->core->store);
	if (!budget_check(b, q, (uint64_t)n))
		return 0;
	return op_refuse(o, b, q, p, b->used[q] + (uint64_t)n);
}

int op_room(struct op_call *o, const struct path *p, uint16_t owner, uint64_t nodes,
	    uint64_t octets)
{
	struct budget *b = ledger_find(&o->core->domains.ledger, owner);
	int r;

	/* a snapshot may show nodes of a domain that died since: the commit will say so */
	if (!b)
		return o->txn ? 0 : ENOENT;
	if (op_is_privileged(o))
		return 0; /* what the toolstack writes it answers for */
	r = room_one(o, p, b, QUOTA_NODES, nodes);
	return r ? r : room_one(o, p, b, QUOTA_MEMORY, octets);
}

int op_may_change(struct op_call *o, const struct path *p, bool removed)
{
	struct core *core = o->core;

	if (o->txn)
		return 0;
	if (core->holds.n_active && !hold_may_change(&core->holds, &o->conn->contender, HOLD_WRITE,
						     p->str, p->len, removed, core->now_ms))
		return OP_WAIT;
	hold_wait_over(&o->conn->contender);
	return 0;
}

void op_fire(struct op_call *o, const struct change *c)
{
	if (!o->txn)
		watch_fire(&o->core->watches, c);
}

void op_answer(struct op_call *o, const void *data, size_t len)
{
	if (!len) {
		conn_reply(o->conn, &o->msg->hdr, o->msg->hdr.type, data, 0);
		o->reply->sent = true;
		return;
	}
	memcpy(o->reply->data, data, len);
	o->reply->len = len;
}

void op_answer_string(struct op_call *o, const char *str)
{
	op_answer(o, str, strlen(str) + 1);
}
