/* SPDX-License-Identifier: MIT */
/*
 * Images of a whole world. Invariant: whatever a record refers to stands before it.
 */
#include "state/write.h"

#include <errno.h>
#include <stdio.h>

#include "base/fault.h"
#include "store/walk.h"

static int put_own(const struct core *core, const struct state_write_options *opt,
		   const struct state_sink *s)
{
	const struct ledger *l = &core->domains.ledger;
	struct domain *d;
	int r;

	r = rec_put_state(s, core, opt->host.started_ms);
	if (!r)
		r = rec_put_host(s, opt->host.trace_on, opt->host.trace_path);
	if (!r)
		r = rec_put_policy(s, core->opt.policy);
	list_for_each(d, &core->domains.all, all) {
		if (r)
			return r;
		r = rec_put_domain_state(s, d);
	}
	for (uint32_t i = 0; l->deaths && i <= UINT16_MAX && !r; i++)
		if (l->death_of[i])
			r = rec_put_death(s, (uint16_t)i, l->death_of[i]);
	return r;
}

static int put_conn(const struct conn *c, const struct state_write_options *opt,
		    const struct state_sink *s)
{
	int32_t fd = !c->domain && opt->fd_of ? opt->fd_of(opt->data, c) : -1;
	const struct watch *w;
	int r;

	r = rec_put_connection(s, c, fd, opt->unique_ids);
	if (!r && !opt->plain)
		r = rec_put_conn_state(s, c);
	for (w = watch_first(&c->watcher); w && !r; w = watch_next(w))
		r = rec_put_watch(s, w, false, opt->plain || opt->plain_watches);
	return r;
}

static int put_nodes(const struct core *core, const struct state_sink *s)
{
	const struct node *n;
	struct tree_walk w;
	int r = 0;

	tree_walk_init(&w, core->store.live.root, "/", 1);
	while (!r && (n = tree_walk_next(&w)))
		r = rec_put_node(s, 0, 0, w.path.str, w.path.len, n);
	if (w.failed)
		r = FAULT(-ENOMEM);
	tree_walk_fini(&w);
	return r;
}

int state_write(const struct core *core, const struct state_write_options *opt,
		const struct state_sink *s)
{
	struct drover_record rec = { .type = DROVER_RECORD_GLOBAL };
	const struct conn *c;
	struct domain *d;
	int r;

	rec.global.socket_fd = opt->socket_fd;
	rec.global.ro_socket_fd = -1;
	rec.global.evtchn_fd = opt->evtchn_fd;
	r = s->put(s->data, &rec);
	if (!r && opt->quotas)
		r = rec_put_quota(s, core->opt.policy);
	if (!r && !opt->plain)
		r = put_own(core, opt, s);
	list_for_each(c, &core->conns.all, all)
		if (!r && !c->closing)
			r = put_conn(c, opt, s);
	if (!r)
		r = put_nodes(core, s);
	if (!r)
		r = rec_put_special(s, "@releaseDomain", core->domains.release_perms);
	if (!r)
		r = rec_put_special(s, "@introduceDomain", core->domains.introduce_perms);
	list_for_each(d, &core->domains.all, all)
		if (!r && opt->quotas && d->introduced)
			r = rec_put_domain(s, d);
	if (!r && !opt->plain)
		r = rec_put_txns(s, core, true);
	rec = (struct drover_record){ .type = DROVER_RECORD_END };
	return r ? r : s->put(s->data, &rec);
}

void state_degrades(const struct core *core, const struct state_write_options *opt,
		    void (*tell)(void *data, const char *line), void *data)
{
	const struct conn *c;
	const struct watch *w;
	char line[160];
	size_t depth = 0;

	list_for_each(c, &core->conns.all, all) {
		if (c->closing)
			continue;
		for (w = watch_first(&c->watcher); w; w = watch_next(w))
			depth += w->depth != WATCH_DEPTH_ANY;
		if (!c->n_txns || !opt->plain)
			continue;
		if (c->domain)
			snprintf(line, sizeof(line), "domain %u has %u open transactions: EAGAIN",
				 c->domain->domid, c->n_txns);
		else
			snprintf(line, sizeof(line),
				 "connection %llu has %u open transactions: EAGAIN",
				 (unsigned long long)c->id, c->n_txns);
		tell(data, line);
	}
	if (!depth || (!opt->plain && !opt->plain_watches))
		return;
	snprintf(line, sizeof(line), "%zu watches lose their depth: more events come", depth);
	tell(data, line);
}
