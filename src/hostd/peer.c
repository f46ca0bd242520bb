/* SPDX-License-Identifier: MIT */
/*
 * Calls to peers, repeated until they are answered. Invariant: of each migration and type at most
 * one call is kept, with what follows the link for that migration, so that it is told when the link
 * is cut and when it is back. Calls wait in queues of one delay each, so that the first is due
 * first.
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

static struct follow *follow_find(struct peers *p, const struct mig_id *id)
{
	struct idtree_link *l = idtree_find(&p->ids, id);

	return l ? CONTAINER_OF(l, struct follow, ided) : NULL;
}

/* ---- one call ---- */

/* It is sent again that much later. */
static void call_wait(struct outcall *c, enum peer_wait wait)
{
	static const uint32_t delays_ms[PEER_WAITS] = {
		[PEER_WAIT_RETRY] = MIG_RETRY_MS,
		[PEER_WAIT_LATER] = PEER_LATER_MS,
	};
	struct peers *p = c->of->peers;

	list_remove(&c->waiting);
	list_append(&p->waiting[wait], &c->waiting);
	c->again_ms = hostd_now_ms(p->host) + delays_ms[wait];
}

/* No answer is expected to what was sent of it, and none is sent again. */
static void call_rest(struct outcall *c)
{
	idtree_remove(&c->of->to->serials, &c->by_serial);
	c->serial = 0;
	list_remove(&c->waiting);
}

static void call_send(struct outcall *c)
{
	call_rest(c);
	c->serial = link_send(c->of->to, &c->msg);
	if (!c->serial)
		return;
	idtree_add(&c->of->to->serials, &c->by_serial, &c->serial);
	call_wait(c, PEER_WAIT_RETRY);
}

/* Accepts NULL. */
static void call_free(struct outcall *c)
{
	if (!c)
		return;
	call_rest(c);
	c->of->calls[c->msg.type] = NULL;
	free(c->blob);
	free(c);
}

static struct outcall *call_new(struct follow *f, const struct mig_msg *msg)
{
	struct outcall *c = calloc(1, sizeof(*c));

	if (c && msg->blob_len)
		c->blob = malloc(msg->blob_len);
	if (!c || (msg->blob_len && !c->blob)) {
		free(c);
		hostd_fail(f->peers->host, FAULT(-ENOMEM));
		return NULL;
	}
	list_init(&c->waiting);
	c->of = f;
	c->msg = *msg;
	snprintf(c->why, sizeof(c->why), "%s", msg->why ? msg->why : "");
	c->msg.why = c->why;
	if (msg->blob_len)
		memcpy(c->blob, msg->blob, msg->blob_len);
	c->msg.blob = c->blob;
	f->calls[msg->type] = c;
	return c;
}

/* ---- whom to speak to ---- */

/* Its link goes at the end of the round: a callback of that may be under way. */
static void follow_free(struct follow *f)
{
	for (size_t t = 0; t < MIG_MSGS; t++)
		call_free(f->calls[t]);
	list_remove(&f->link);
	list_remove(&f->of_link);
	idtree_remove(&f->peers->ids, &f->ided);
	free(f);
}

static void follow_tell(struct follow *f, bool up)
{
	if (f->told_down != up)
		return;
	f->told_down = !up;
	migrator_peer_reach(f->peers->host->migrator, &f->id, up);
}

void peers_follow(struct peers *p, const struct mig_row *row)
{
	struct follow *f;
	struct link *l;

	if (follow_find(p, &row->id) || !row->peer.address[0])
		return;
	l = link_find(p, row->peer.address, row->peer.fingerprint);
	if (!l)
		return;
	f = calloc(1, sizeof(*f));
	if (!f) {
		hostd_fail(p->host, FAULT(-ENOMEM));
		return;
	}
	f->id = row->id;
	f->peers = p;
	f->to = l;
	list_append(&p->follows, &f->link);
	list_append(&l->follows, &f->of_link);
	idtree_add(&p->ids, &f->ided, &f->id);
	/* A link that was found cut is down for who comes later, too. */
	if (l->down)
		follow_tell(f, false);
}

void peers_unfollow(struct peers *p, const struct mig_id *id)
{
	struct follow *f = follow_find(p, id);

	if (f)
		follow_free(f);
}

void peers_call(struct peers *p, const struct mig_row *row, const struct mig_msg *msg)
{
	struct outcall *c;
	struct follow *f;

	peers_follow(p, row);
	f = follow_find(p, &row->id);
	if (!f) /* no address, or none that can be read: logged; its time limit ends it */
		return;
	call_free(f->calls[msg->type]);
	c = call_new(f, msg);
	if (c)
		call_send(c);
}

void peers_cancel(struct peers *p, const struct mig_id *id, enum mig_msg_type type)
{
	struct follow *f = follow_find(p, id);

	if (f)
		call_free(f->calls[type]);
}

void peers_link_up(struct link *l)
{
	struct follow *f;

	list_for_each(f, &l->follows, of_link)
		follow_tell(f, true);
	list_for_each(f, &l->follows, of_link) {
		for (size_t t = 0; t < MIG_MSGS; t++) {
			if (f->calls[t])
				call_send(f->calls[t]);
		}
	}
}

void peers_link_down(struct link *l, const char *why)
{
	struct follow *f;

	if (!l->down)
		log_warning("peer %s cannot be reached: %s", l->address, why);
	l->down = true;
	list_for_each(f, &l->follows, of_link) {
		for (size_t t = 0; t < MIG_MSGS; t++) {
			if (f->calls[t])
				call_rest(f->calls[t]);
		}
		follow_tell(f, false);
	}
}

/* The call that a reply is for; NULL: it is not wanted any more, or an earlier copy's. */
static struct outcall *call_find_serial(struct link *l, uint32_t serial)
{
	struct idtree_link *i = idtree_find(&l->serials, &serial);

	return i ? CONTAINER_OF(i, struct outcall, by_serial) : NULL;
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
		call_wait(c, error ? PEER_WAIT_RETRY : PEER_WAIT_LATER);
		return;
	}
	if (ans->answer < 0 || ans->answer >= MIG_ANSWERS) {
		log_warning("peer %s: its answer %d is not known", l->address, ans->answer);
		return;
	}
	id = c->of->id;
	type = c->msg.type;
	call_free(c);
	if (type == MIG_MSG_COMMIT)
		take_progress(p->host, &id, ans);
	migrator_answer(p->host->migrator, &id, type, (enum mig_answer)ans->answer,
			ans->why ? ans->why : "");
}

static void on_timer(uv_timer_t *timer)
{
	struct peers *p = CONTAINER_OF(timer, struct peers, timer);
	uint64_t now = hostd_now_ms(p->host);
	struct outcall *c;
	struct link *l;

	list_for_each(l, &p->links, link)
		link_tick(l, now);
	for (size_t i = 0; i < PEER_WAITS; i++) {
		while ((c = list_first(&p->waiting[i], struct outcall, waiting)) &&
		       c->again_ms <= now)
			call_send(c);
	}
	hostd_wake(p->host);
}

/* Sets the timer anew. */
static void arm(struct peers *p)
{
	uint64_t now = hostd_now_ms(p->host), at = UINT64_MAX, due;
	struct outcall *c;
	struct link *l;

	list_for_each(l, &p->links, link) {
		due = link_tick(l, now);
		at = due < at ? due : at;
	}
	for (size_t i = 0; i < PEER_WAITS; i++) {
		c = list_first(&p->waiting[i], struct outcall, waiting);
		at = c && c->again_ms < at ? c->again_ms : at;
	}
	if (at == UINT64_MAX)
		uv_timer_stop(&p->timer);
	else
		uv_timer_start(&p->timer, on_timer, at > now ? at - now : 1, 0);
}

void peers_flush(struct peers *p)
{
	uint64_t now = hostd_now_ms(p->host);
	struct link *l;

	list_for_each(l, &p->links, link) {
		if (list_is_empty(&l->follows))
			link_free(l);
		else
			link_flush(l, now);
	}
	arm(p);
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
	for (size_t i = 0; i < PEER_WAITS; i++)
		list_init(&p->waiting[i]);
	p->ids.key_len = sizeof(struct mig_id);
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
	struct follow *f;
	struct link *l;

	if (!p)
		return;
	list_for_each(f, &p->follows, link)
		follow_free(f);
	list_for_each(l, &p->links, link)
		link_free(l);
	uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

const char *peers_fingerprint(const struct peers *p)
{
	return p->cred ? rpc_tls_cred_fingerprint(p->cred) : "";
}
