/* SPDX-License-Identifier: MIT */
/*
 * WATCH, UNWATCH, RESET_WATCHES (xenstore.txt, "Watches").
 */
#include <errno.h>
#include <stdlib.h>

#include "op/op.h"

struct watch_args {
	struct path path;
	uint32_t depth;
	bool relative;
};

/* A special path is one component: "@releaseDomain", "@releaseDomain/5", any other word. */
static int parse_special(const struct op_call *o, struct watch_args *a)
{
	size_t len = o->arg_len[0];

	if (len > XENSTORE_REL_PATH_MAX || !path_is_valid(o->arg[0], len))
		return EINVAL;
	if (a->depth != WATCH_DEPTH_ANY && a->depth != 1)
		return EINVAL;
	memcpy(a->path.str, o->arg[0], len + 1);
	a->path.len = len;
	a->relative = false;
	return 0;
}

static int parse(const struct op_call *o, struct watch_args *a, bool with_depth)
{
	int r;

	a->depth = WATCH_DEPTH_ANY;
	if (with_depth && o->n_args > 2) {
		r = wire_parse_number(o->arg[2], o->arg_len[2], 9, &a->depth);
		if (r)
			return r;
	}
	if (o->arg[0][0] == '@')
		return parse_special(o, a);
	a->relative = o->arg[0][0] != '/';
	return op_path(o, &a->path);
}

int op_watch_add(struct op_call *o, struct watch **ret)
{
	struct watcher *w = &o->conn->watcher;
	struct watch_args a;
	uint64_t charge;
	int r;

	r = parse(o, &a, true);
	if (r)
		return r;
	/* what could never be told of is not watched */
	if (o->arg_len[0] + o->arg_len[1] + 2 > XENSTORE_PAYLOAD_MAX)
		return EINVAL;
	if (watch_exists(&o->core->watches, w, a.path.str, a.path.len, o->arg[1], o->arg_len[1]))
		return EEXIST; /* also of who may set no more */
	if (budget_check(w->budget, QUOTA_WATCHES, 1))
		return op_refuse(o, w->budget, QUOTA_WATCHES, &a.path,
				 w->budget->used[QUOTA_WATCHES] + 1);
	charge = watch_charge(a.path.str, a.path.len, o->arg_len[1]);
	if (budget_check(w->budget, QUOTA_MEMORY, charge))
		return op_refuse(o, w->budget, QUOTA_MEMORY, &a.path,
				 w->budget->used[QUOTA_MEMORY] + charge);
	return watch_add(&o->core->watches, w, a.path.str, a.path.len, o->arg[1], o->arg_len[1],
			 a.depth, a.relative, ret);
}

void op_watch_undo(struct op_call *o)
{
	struct watch_args a;

	if (!parse(o, &a, true))
		watch_remove(&o->core->watches, &o->conn->watcher, a.path.str, a.path.len,
			     o->arg[1], o->arg_len[1]);
}

int op_watch(struct op_call *o)
{
	struct conn *c = o->conn;
	struct watcher *w = &c->watcher;
	struct watch *watch;
	int r;

	r = op_watch_add(o, &watch);
	if (r)
		return r;
	/* the reply first, then the initial event, whether or not the node exists */
	conn_reply(c, &o->msg->hdr, XS_WATCH, "OK", sizeof("OK"));
	o->reply->sent = true;
	if (!c->failed && !c->closing) /* else the watch may have gone with what it failed of */
		w->event(w, watch, o->arg[0], o->arg_len[0]);
	return 0;
}

int op_unwatch(struct op_call *o)
{
	struct watch_args a;

	/* a path that cannot be watched is one that is not watched */
	if (parse(o, &a, false))
		return ENOENT;
	return watch_remove(&o->core->watches, &o->conn->watcher, a.path.str, a.path.len, o->arg[1],
			    o->arg_len[1]);
}

int op_reset_watches(struct op_call *o)
{
	conn_forget(o->conn);
	return 0;
}
