/* SPDX-License-Identifier: MIT */
/*
 * Calls to peers, repeated until they are answered. Invariant: of each migration and type at most
 * one call is kept, and every call's link is followed by its migration, so that it is told when
 * the link is cut and when it is back.
 */
#include "hostd/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/job.h"
#include "hostd/job_numbers.h"
#include "hostd/migration.h"
#include "hostd/peer_own.h"
#include "hostd/settings.h"
#include "rpc/tls.h"

static bool id_is(const struct mig_id *a, const struct mig_id *b)
{
	return !memcmp(a->b, b->b, sizeof(a->b));
}

static struct follow *follow_find(struct peers *p, const struct mig_id *id)
{
	struct follow *f;

	list_for_each(f, &p->follows, link) {
		if (id_is(&f->id, id))
			return f;
	}
	return NULL;
}

static struct outcall *call_find_type(struct peers *p, const struct mig_id *id,
				      enum mig_msg_type type)
{
	struct outcall *c;

	list_for_each(c, &p->calls, link) {
		if (c->msg.type == type && id_is(&c->id, id))
			return c;
	}
	return NULL;
}

static void call_free(struct outcall *c)
{
	list_remove(&c->link);
	free(c->blob);
	free(c);
}

void peers_follow(struct peers *p, const struct mig_row *row)
{
	struct follow *f;

	if (follow_find(p, &row->id) || !row->peer.address[0])
		return;
	f = calloc(1, sizeof(*f));
	if (!f) {
		hostd_fail(p->host, FAULT(-ENOMEM));
		return;
	}
	list_init(&f->link);
	f->id = row->id;
	f->to = link_take(p, row->peer.address, row->peer.fingerprint);
	if (!f->to) {
		free(f);
		return;
	}
	list_append(&p->follows, &f->link);
	/* A link that was found cut is down for who comes later, too. */
	if (f->to->down) {
		f->told_down = true;
		migrator_peer_reach(p->host->migrator, &f->id, false);
	}
	peers_arm(p);
}

void peers_unfollow(struct peers *p, const struct mig_id *id)
{
	struct follow *f = follow_find(p, id);
	struct outcall *c;

	list_for_each(c, &p->calls, link) {
		if (id_is(&c->id, id))
			call_free(c);
	}
	if (!f)
		return;
	list_remove(&f->link);
	link_release(f->to);
	free(f);
}

static void call_send(struct outcall *c, uint64_t now_ms)
{
	c->serial = link_send(c->to, &c->msg);
	c->again_ms = c->serial ? now_ms + MIG_RETRY_MS : UINT64_MAX;
}

void peers_call(struct peers *p, const struct mig_row *row, const struct mig_msg *msg)
{
	struct outcall *c = call_find_type(p, &row->id, msg->type);
	struct follow *f;

	if (c)
		call_free(c);
	peers_follow(p, row);
	f = follow_find(p, &row->id);
	if (!f) /* no address, or none that can be read: logged; its time limit ends it */
		return;
	c = calloc(1, sizeof(*c));
	if (c && msg->blob_len)
		c->blob = malloc(msg->blob_len);
	if (!c || (msg->blob_len && !c->blob)) {
		free(c);
		hostd_fail(p->host, FAULT(-ENOMEM));
		return;
	}
	list_init(&c->link);
	c->id = row->id;
	c->to = f->to;
	c->msg = *msg;
	snprintf(c->why, sizeof(c->why), "%s", msg->why ? msg->why : "");
	c->msg.why = c->why;
	if (msg->blob_len)
		memcpy(c->blob, msg->blob, msg->blob_len);
	c->msg.blob = c->blob;
	list_append(&p->calls, &c->link);
	call_send(c, hostd_now_ms(p->host));
	peers_arm(p);
}

void peers_cancel(struct peers *p, const struct mig_id *id, enum mig_msg_type type)
{
	struct outcall *c = call_find_type(p, id, type);

	if (c)
		call_free(c);
}

void peers_link_up(struct link *l)
{
	struct peers *p = l->peers;
	uint64_t now = hostd_now_ms(p->host);
	struct follow *f;
	struct outcall *c;

	list_for_each(f, &p->follows, link) {
		if (f->to != l || !f->told_down)
			continue;
		f->told_down = false;
		migrator_peer_reach(p->host->migrator, &f->id, true);
	}
	list_for_each(c, &p->calls, link) {
		if (c->to == l)
			call_send(c, now);
	}
}

void peers_link_down(struct link *l, const char *why)
{
	struct peers *p = l->peers;
	struct follow *f;
	struct outcall *c;

	if (!l->down)
		log_warning("peer %s cannot be reached: %s", l->address, why);
	l->down = true;
	list_for_each(c, &p->calls, link) {
		if (c->to != l)
			continue;
		c->serial = 0;
		c->again_ms = UINT64_MAX;
	}
	list_for_each(f, &p->follows, link) {
		if (f->to != l || f->told_down)
			continue;
		f->told_down = true;
		migrator_peer_reach(p->host->migrator, &f->id, false);
	}
}

/* The call that a reply is for; NULL: it is not wanted any more, or an earlier copy's. */
static struct outcall *call_find_serial(struct link *l, uint32_t serial)
{
	struct outcall *c;

	list_for_each(c, &l->peers->calls, link) {
		if (c->to == l && c->serial == serial)
			return c;
	}
	return NULL;
}

/* The job of the guest that is received is told what the source has counted. */
static void take_progress(struct host *h, const struct mig_id *id, const struct peer_ans *ans)
{
	struct run *run = run_find(h, id);
	struct vmm_progress progress;

	if (!run || !run->dom || run->side != MIG_DESTINATION || !ans->progress.progress_len)
		return;
	job_numbers_take(ans->progress.progress_val, ans->progress.progress_len, &progress);
	job_progress(h, run->dom, &progress);
}

void peers_reply(struct link *l, uint32_t serial, const struct peer_ans *ans, const char *error)
{
	struct outcall *c = call_find_serial(l, serial);
	struct peers *p = l->peers;
	struct mig_id id;
	enum mig_msg_type type;

	if (!c)
		return;
	if (error || ans->answer == MIG_ANS_LATER) {
		if (error)
			log_warning("peer %s: %s", l->address, error);
		c->again_ms = hostd_now_ms(p->host) + (error ? MIG_RETRY_MS : PEER_LATER_MS);
		peers_arm(p);
		return;
	}
	if (ans->answer < 0 || ans->answer >= MIG_ANSWERS) {
		log_warning("peer %s: its answer %d is not known", l->address, ans->answer);
		return;
	}
	id = c->id;
	type = c->msg.type;
	call_free(c);
	if (type == MIG_MSG_COMMIT)
		take_progress(p->host, &id, ans);
	migrator_answer(p->host->migrator, &id, type, (enum mig_answer)ans->answer,
			ans->why ? ans->why : "");
}

void peers_flush(struct peers *p)
{
	uint64_t now = hostd_now_ms(p->host);
	struct link *l;

	list_for_each(l, &p->links, link) {
		if (!l->n_follows)
			link_free(l);
		else
			link_flush(l, now);
	}
	peers_arm(p);
}

static void on_timer(uv_timer_t *timer)
{
	struct peers *p = CONTAINER_OF(timer, struct peers, timer);
	uint64_t now = hostd_now_ms(p->host);
	struct outcall *c;
	struct link *l;

	list_for_each(l, &p->links, link)
		link_tick(l, now);
	list_for_each(c, &p->calls, link) {
		if (c->again_ms <= now)
			call_send(c, now);
	}
	hostd_wake(p->host);
}

void peers_arm(struct peers *p)
{
	uint64_t now = hostd_now_ms(p->host), at = UINT64_MAX, due;
	struct outcall *c;
	struct link *l;

	if (p->closing)
		return;
	list_for_each(l, &p->links, link) {
		due = link_tick(l, now);
		at = due < at ? due : at;
	}
	list_for_each(c, &p->calls, link)
		at = c->again_ms < at ? c->again_ms : at;
	if (at == UINT64_MAX)
		uv_timer_stop(&p->timer);
	else
		uv_timer_start(&p->timer, on_timer, at > now ? at - now : 1, 0);
}

/* Whether this host speaks TLS at all. */
static bool has_tls(const struct settings *s)
{
	if (s->peer_address && !strncmp(s->peer_address, "tls:", 4))
		return true;
	for (size_t i = 0; i < s->listen.n; i++) {
		if (!strncmp(s->listen.v[i], "tls:", 4))
			return true;
	}
	return false;
}

/* Other daemons would find out only in the middle of a migration. */
static int address_check(const char *address, char *text, size_t room)
{
	struct rpc_uri uri;
	char why[256];

	if (!address || !*address || !rpc_address_parse(address, &uri, why, sizeof(why)))
		return 0;
	snprintf(text, room, "peer_address: %s", why);
	return EINVAL;
}

void peers_tls_files(const struct settings *s, struct rpc_tls_files *ret)
{
	*ret = (struct rpc_tls_files){ .ca = s->tls_ca, .crl = s->tls_crl };
	if (s->tls_client_cert) {
		ret->cert = s->tls_client_cert;
		ret->key = s->tls_client_key;
	} else if (has_tls(s)) {
		ret->cert = s->tls_cert;
		ret->key = s->tls_key;
	}
}

/* A certificate of our own to show to peers. */
static int cred_load(struct peers *p, char *text, size_t room)
{
	const struct settings *s = p->host->set;
	struct rpc_tls_files files;
	int r;

	if (!has_tls(s))
		return 0;
	peers_tls_files(s, &files);
	r = rpc_tls_cred_load(&files, &p->cred, text, room);
	return r == ENOMEM ? FAULT(-ENOMEM) : r;
}

int peers_open(struct host *h, struct peers **ret, char *text, size_t room)
{
	struct peers *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return FAULT(-ENOMEM);
	p->host = h;
	list_init(&p->links);
	list_init(&p->follows);
	list_init(&p->calls);
	r = address_check(h->set->peer_address, text, room);
	if (!r)
		r = cred_load(p, text, room);
	if (r) {
		free(p);
		return r;
	}
	uv_timer_init(h->loop, &p->timer);
	*ret = p;
	return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct peers *p = CONTAINER_OF((uv_timer_t *)handle, struct peers, timer);

	rpc_tls_cred_free(p->cred);
	free(p);
}

void peers_close(struct peers *p)
{
	struct outcall *c;
	struct follow *f;
	struct link *l;

	if (!p)
		return;
	p->closing = true;
	list_for_each(c, &p->calls, link)
		call_free(c);
	list_for_each(f, &p->follows, link) {
		list_remove(&f->link);
		free(f);
	}
	list_for_each(l, &p->links, link)
		link_free(l);
	uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

const char *peers_fingerprint(const struct peers *p)
{
	return p->cred ? rpc_tls_cred_fingerprint(p->cred) : "";
}
