/* SPDX-License-Identifier: MIT */
/*
 * Reading a journal, and taking it over. Invariant: recover_read changes nothing in it.
 */
#include "recover/recover.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "domain/death.h"
#include "domain/restore.h"
#include "recover/header.h"

/* The words of a COMMIT are used where they lie. */
static_assert(sizeof(struct conn_word) == sizeof(struct drover_word) &&
		      offsetof(struct conn_word, id) == offsetof(struct drover_word, id) &&
		      offsetof(struct conn_word, word) == offsetof(struct drover_word, io_word) &&
		      offsetof(struct conn_word, slot) == offsetof(struct drover_word, slot),
	      "I/O words are the same in memory and in records");

struct recover {
	struct journal *j;	 /* borrowed */
	struct state_load *load; /* owned */
	bool base_read;
	bool goes_on;	/* the second log is read */
	uint64_t at[2]; /* how far each log is read */
	bool has_commit;
	uint64_t commit_seq;
	const struct conn_word *commit_words; /* borrowed: in a log */
	size_t commit_n;
	char why[400];
};

int recover_new(struct journal *j, const struct core_options *opt, struct recover **ret)
{
	struct recover *r = calloc(1, sizeof(*r));
	struct core_options mine = *opt;
	int err;

	if (!r)
		return FAULT(-ENOMEM);
	r->j = j;
	mine.area = NULL;
	err = state_load_new(&mine, &r->load);
	if (err) {
		free(r);
		return err;
	}
	r->at[j->pair] = j->header->log[j->pair].begin;
	*ret = r;
	return 0;
}

void recover_free(struct recover *r)
{
	if (!r)
		return;
	state_load_free(r->load);
	free(r);
}

const char *recover_error(const struct recover *r)
{
	return r->why;
}

const struct core *recover_core(const struct recover *r)
{
	return state_load_core(r->load);
}

const struct load_host *recover_host(const struct recover *r)
{
	return state_load_host(r->load);
}

static int damaged(struct recover *r, const struct record_file *f, uint64_t at, const char *what)
{
	snprintf(r->why, sizeof(r->why), "journal %s, offset %" PRIu64 ": %s", f->name, at, what);
	log_error("%s", r->why);
	return EINVAL;
}

/* The records of a file from *at to end. */
static int read_file(struct recover *r, const struct record_file *f, uint64_t *at, uint64_t end)
{
	bool is_log = f != &r->j->base[r->j->pair];
	struct drover_image_error err;
	struct drover_record rec;
	size_t len;
	int e;

	while (*at < end) {
		e = drover_record_decode(journal_format(), f->map + *at, end - *at, &rec, &len,
					 &err);
		if (e)
			return damaged(r, f, *at, e == EAGAIN ? "a record is cut off" : err.text);
		/* octets of zero are this record, too */
		if (rec.type == DROVER_RECORD_END && (is_log || *at + len != end))
			return damaged(r, f, *at, "ends here, and does not end");
		e = state_load_put(r->load, &rec);
		if (e)
			return e < 0 ? e : damaged(r, f, *at, state_load_error(r->load));
		if (rec.type == DROVER_RECORD_COMMIT) {
			r->has_commit = true;
			r->commit_seq = rec.commit.seq;
			r->commit_words = rec.commit.words.entry;
			r->commit_n = rec.commit.words.n;
		}
		*at += len;
	}
	return 0;
}

static int read_log(struct recover *r, unsigned int log)
{
	struct journal *j = r->j;
	uint64_t end = journal_log_end(j->header, log);

	if (end > JOURNAL_FILE_MAX || r->at[log] > end)
		return damaged(r, &j->log[log], r->at[log], "ends before it begins");
	if (end > j->log[log].room && record_file_look(&j->log[log]))
		return damaged(r, &j->log[log], 0, "cannot be looked at");
	if (end > j->log[log].room)
		return damaged(r, &j->log[log], j->log[log].room, "is shorter than it says");
	return read_file(r, &j->log[log], &r->at[log], end);
}

static int read_all(struct recover *r)
{
	struct journal *j = r->j;
	uint64_t at = 0;
	int e = 0;

	if (!r->base_read)
		e = read_file(r, &j->base[j->pair], &at, j->header->base_len[j->pair]);
	if (!e && !r->base_read)
		e = state_load_settle(r->load);
	if (e == EINVAL && !r->why[0])
		damaged(r, &j->base[j->pair], at, state_load_error(r->load));
	if (e)
		return e;
	r->base_read = true;
	e = read_log(r, j->pair);
	if (e || __atomic_load_n(&j->header->holds, __ATOMIC_ACQUIRE) / 2 != JOURNAL_GOES_ON)
		return e;
	if (!r->goes_on)
		r->at[!j->pair] = j->header->log[!j->pair].start;
	r->goes_on = true;
	return read_log(r, !j->pair);
}

int recover_read(struct recover *r)
{
	int e = read_all(r);

	if (e >= 0 && journal_generation(r->j) != r->j->generation)
		return damaged(r, &r->j->base[r->j->pair], 0, "was replaced while it was read");
	return e;
}

/* Counters of domains go on where they were. */
static void claim_counters(struct core *core, struct area *area)
{
	struct domain *d;

	list_for_each(d, &core->domains.all, all)
		if (d->counters && (area_claim(area, d->counters) ||
				    area_room(area, d->counters) < sizeof(struct budget_counters)))
			d->counters = 0;
}

static int restore_socket(struct conn *c, const struct recover_sockets *sockets)
{
	const struct transport_ops *ops;
	void *transport;
	int e;

	e = sockets->find(sockets->data, c->peer_id, c, &ops, &transport);
	return e ? e : conn_restore(c, ops, transport);
}

static int restore_ring(struct core *core, struct domain *d)
{
	if (!d->domid)
		return domain_restore_dom0(&core->domains, core->opt.dom0_port);
	if (!d->introduced || !domain_goes_on(&core->domains, d))
		return ENOENT;
	return domain_restore_ring(&core->domains, d);
}

/*
 * Connections get their transports and with them what they have in the area. Who gets none goes
 * later, when that can be told of.
 */
static int restore_conns(struct recover *r, struct core *core,
			 const struct recover_sockets *sockets)
{
	struct load_conn *c = NULL;
	struct domain *d;
	int e;

	while ((c = state_load_next_conn(r->load, c))) {
		d = c->conn->domain;
		e = d ? restore_ring(core, d) : restore_socket(c->conn, sockets);
		if (e < 0)
			return e;
		if (e && d && e != ENOENT)
			log_error("domain %u: its ring cannot be had again: %s", d->domid,
				  strerror(e));
		else if (e && e != ENOENT)
			log_error("connection %llu is lost: its input and output are damaged",
				  (unsigned long long)c->conn->id);
	}
	return 0;
}

static void drop_conns(struct recover *r, struct journal *j)
{
	struct load_conn *c = NULL;

	while ((c = state_load_next_conn(r->load, c))) {
		if (c->conn->transport)
			continue;
		if (c->conn->domain)
			c->conn->domain->conn = NULL;
		conn_discard(c->conn);
		c->conn = NULL;
		journal_put_conn_gone(j, c->conn_id);
	}
}

/* Introduced, and its ring is to be had again. */
static void reconnect(struct domain_table *t, struct domain *d)
{
	if (!domain_reconnect(t, d)) {
		domain_changed(t, d);
		return;
	}
	domain_disconnect(t, d);
	watch_fire_special(t->watches, "@releaseDomain", d->domid, t->release_perms);
}

/* What became of domains meanwhile: who was to look has died, and the hypervisor tells once. */
static void settle_domains(struct core *core)
{
	struct domain_table *t = &core->domains;
	struct domain *d;
	uint16_t domid;

	list_for_each(d, &t->all, all) {
		domid = d->domid;
		if (!domid || d->orphans)
			continue;
		domain_goes_on(t, d);
		domain_look(t, domid);
		if (domain_find(t, domid) != d)
			continue;
		if (d->conn)
			domain_changed(t, d); /* its port may be another one */
		else if (d->introduced)
			reconnect(t, d);
	}
}

static int take_over(struct recover *r, struct core *core, const struct recover_sockets *sockets)
{
	struct area *area = journal_area(r->j);
	struct domain *d;
	int e;

	e = conn_table_attach(&core->conns, area);
	if (!e && r->has_commit)
		e = conn_apply_words(&core->conns, r->commit_seq, r->commit_words, r->commit_n);
	if (e > 0)
		log_error("journal area: damaged");
	if (e)
		return e;
	claim_counters(core, area);
	e = restore_conns(r, core, sockets);
	if (e)
		return e;
	area_settle(area);
	conn_table_settle(&core->conns);
	list_for_each(d, &core->domains.all, all)
		domain_set_counters(&core->domains, d);
	return 0;
}

int recover_take_over(struct recover *r, struct journal *j, struct hv *hv,
		      const struct recover_sockets *sockets, struct core **ret)
{
	const struct load_host *host = recover_host(r);
	const struct state_host mine = { .started_ms = host->started_ms,
					 .trace_on = host->trace_on,
					 .trace_path = host->trace_path };
	struct core *core;
	int e;

	r->j = j;
	core = state_load_take(r->load);
	core->hv = hv;
	core->domains.hv = hv;
	core->counters = journal_counters(j);
	e = journal_own(j);
	if (!e)
		e = take_over(r, core, sockets);
	if (!e)
		e = journal_start(j, core, &mine, false);
	if (e)
		return e; /* what the files hold is as it was; this process is of no more use */
	drop_conns(r, j);
	settle_domains(core);
	conn_commit(&core->conns);
	*ret = core;
	return 0;
}
