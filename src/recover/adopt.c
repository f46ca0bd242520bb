/* SPDX-License-Identifier: MIT */
/*
 * Adoption. Invariant: until the image is read to its end nothing outside this process is touched:
 * it can be read again by a successor.
 */
#include "recover/adopt.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "conn/ring.h"
#include "domain/death.h"
#include "domain/restore.h"
#include "image/oxdump.h"

static int read_fd(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	ssize_t n;

	do
		n = read(*(int *)ctx, buf, len);
	while (n < 0 && errno == EINTR);
	*ret_len = n < 0 ? 0 : (size_t)n;
	return n < 0 ? errno : 0;
}

/* What is read: an image, or oxenstored's dump as one. */
struct source {
	int fd;
	struct oxdump *dump; /* owned; NULL: an image */
};

static int source_open(struct source *s, int fd)
{
	char head[OXDUMP_FIRST_LEN];
	ssize_t n;

	s->fd = fd;
	s->dump = NULL;
	/* an earlier worker may have read it and died */
	if (lseek(fd, 0, SEEK_SET) < 0)
		return FAULT(-errno);
	n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return FAULT(-errno);
	if (!oxdump_is(head, (size_t)n))
		return 0;
	s->dump = oxdump_new(read_fd, &s->fd);
	return s->dump ? 0 : FAULT(-ENOMEM);
}

static int refused(const struct drover_reader *reader, const char *why)
{
	char text[320];

	if (why)
		log_error("image: record %llu at offset %llu: %s",
			  (unsigned long long)drover_reader_index(reader),
			  (unsigned long long)drover_reader_offset(reader), why);
	else if (drover_image_error_print(drover_reader_error(reader), text, sizeof(text)) >= 0)
		log_error("image: %s", text);
	return EINVAL;
}

/* All records. 0, EINVAL, < 0. */
static int load_all(const struct source *s, struct drover_reader *reader, struct state_load *l)
{
	struct drover_record rec;
	const char *rule = NULL;
	uint64_t line = 0;
	int r;

	while (!(r = drover_reader_next(reader, &rec))) {
		r = state_load_put(l, &rec);
		if (r)
			return r < 0 ? r : refused(reader, state_load_error(l));
	}
	if (r == ENODATA)
		return 0;
	if (s->dump)
		rule = oxdump_error(s->dump, &line);
	if (rule) {
		log_error("oxenstored's dump: line %llu: %s", (unsigned long long)line, rule);
		return EINVAL;
	}
	return r == EINVAL ? refused(reader, NULL) : FAULT(-r);
}

static int image_load(int fd, struct state_load *l)
{
	struct drover_reader_options options = { .layout = DROVER_LAYOUT_UPSTREAM };
	struct drover_reader *reader;
	struct source s;
	int r;

	r = source_open(&s, fd);
	if (r)
		return r;
	options.read = s.dump ? oxdump_read : read_fd;
	options.ctx = s.dump ? (void *)s.dump : &s.fd;
	if (getrandom(options.hash_key, sizeof(options.hash_key), 0) < 0)
		r = FAULT(-errno);
	else if (drover_reader_new(&options, &reader))
		r = FAULT(-ENOMEM);
	if (!r) {
		r = load_all(&s, reader, l);
		drover_reader_free(reader);
	}
	oxdump_free(s.dump);
	return r;
}

static struct conn_freight freight_of(const struct load_conn *c)
{
	return (struct conn_freight){
		.in = c->input,
		.in_len = c->input_len,
		.out = c->output,
		.out_len = c->output_len,
		.out_partial = c->resp_len,
	};
}

static int adopt_socket(struct load_conn *c, const struct recover_sockets *sockets)
{
	struct conn_freight freight = freight_of(c);
	const struct transport_ops *ops;
	void *transport;

	c->conn->peer_id = (uint64_t)c->fd;
	if (c->fd < 0 || sockets->find(sockets->data, c->conn->peer_id, c->conn, &ops, &transport))
		return ENOENT;
	return conn_adopt(c->conn, ops, transport, &freight);
}

/* Where the ring is, and by which port of ours, which is bound. 0, EINVAL, < 0. */
static int ring_of(struct core *core, struct domain *d, struct ring_transport **ret)
{
	struct domain_table *t = &core->domains;
	const struct hv_ops *ops = t->hv->ops;
	uint32_t port = d->local_port, remote = d->remote_port;
	void *page;
	int r;

	if (d->domid)
		r = ops->ring_map(t->hv, d->domid, d->gfn, &page);
	else
		r = ops->dom0_ring_map(t->hv, &page, &remote);
	if (r)
		return EINVAL;
	if (!d->domid && core->opt.dom0_port)
		remote = core->opt.dom0_port;
	if (ops->evtchn_rebind(t->hv, d->domid, remote, d->local_port, &port)) {
		ops->ring_unmap(t->hv, d->domid, page);
		return EINVAL;
	}
	d->local_port = port;
	r = domain_make_ring(t, d, page, port, ret);
	if (!r)
		ring_transport_offer(*ret);
	return r;
}

static int adopt_ring(struct core *core, struct load_conn *c)
{
	struct conn_freight freight = freight_of(c);
	struct domain *d = c->conn->domain;
	struct ring_transport *ring;
	int r;

	r = ring_of(core, d, &ring);
	if (!r)
		r = conn_adopt(c->conn, ring_transport_ops(), ring, &freight);
	if (!r)
		core->domains.by_port[d->local_port] = c->conn;
	return r;
}

/* A connection that cannot go on is closed; that one can is no reason to refuse all. */
static int adopt_conns(struct core *core, struct state_load *l,
		       const struct recover_sockets *sockets)
{
	struct load_conn *c = NULL;
	struct domain *d;
	int r;

	while ((c = state_load_next_conn(l, c))) {
		d = c->conn->domain;
		if (d && d->domid && !domain_goes_on(&core->domains, d))
			continue;
		r = d ? adopt_ring(core, c) : adopt_socket(c, sockets);
		if (r < 0)
			return r;
		if (!r)
			continue;
		if (d)
			log_error("domain %u: its ring cannot be had again", d->domid);
		else
			log_notice("a client's socket %d is gone", c->fd);
		if (d)
			d->conn = NULL;
		conn_discard(c->conn);
	}
	return 0;
}

/* Those whose end nobody has seen yet. */
static void bury(struct core *core)
{
	struct domain_table *t = &core->domains;
	struct domain *d;

	list_for_each(d, &t->all, all) {
		d->counters = 0; /* where the other process had them */
		domain_set_counters(t, d);
		if (d->domid && !domain_goes_on(t, d))
			domain_died(t, d);
	}
}

/* What the image says goes before what was said to this process. */
static void host_of(const struct state_load *l, struct load_host *host)
{
	const struct load_host *said = state_load_host(l);

	if (said->started_ms)
		host->started_ms = said->started_ms;
	if (!said->has_trace)
		return;
	host->trace_on = said->trace_on;
	memcpy(host->trace_path, said->trace_path, sizeof(host->trace_path));
}

static int start_journal(struct journal *j, struct core *core, const struct load_host *host)
{
	const struct state_host mine = { .started_ms = host->started_ms,
					 .trace_on = host->trace_on,
					 .trace_path = host->trace_path };

	return journal_start(j, core, &mine, true);
}

int adopt_image(int fd, const struct core_options *opt, struct journal *j, struct hv *hv,
		const struct recover_sockets *sockets, struct load_host *host, struct core **ret)
{
	struct core_options mine = *opt;
	struct state_load *l;
	struct core *core;
	int r;

	mine.area = journal_area(j);
	mine.counters = journal_counters(j);
	r = state_load_new(&mine, &l);
	if (r)
		return r;
	r = image_load(fd, l);
	if (r) {
		state_load_free(l);
		return r;
	}
	host_of(l, host);
	core = state_load_take(l);
	core->hv = hv;
	core->domains.hv = hv;
	r = adopt_conns(core, l, sockets);
	state_load_free(l);
	if (!r) {
		bury(core);
		r = start_journal(j, core, host);
	}
	if (r) {
		journal_stop(j);
		core_free(core);
		return r;
	}
	*ret = core;
	return 0;
}
