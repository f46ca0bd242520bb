/* SPDX-License-Identifier: MIT */
/*
 * A whole core over a hypervisor in memory: two sockets, and guests on ring pages. Requests are
 * texts in which '|' stands for NUL; so are their answers, and events come as "[path|token|]".
 */
#ifndef DROVER_OP_WORLD_TEST_H
#define DROVER_OP_WORLD_TEST_H

#include <stdio.h>

#include "hv/fake_test.h"

#include "op/core.h"

#define WORLD_BUF 65536u

struct mouth {
	uint8_t in[WORLD_BUF], out[WORLD_BUF];
	size_t in_len, out_len;
	struct conn *conn; /* NULL: gone */
};

struct world {
	struct fake_hv hv;
	struct quota_policy policy;
	struct core *core;
	struct mouth socket[2];
	struct mouth guest[FAKE_DOMAINS]; /* what it read off its ring, in out */
	char reported[4096];
	char answer[WORLD_BUF];
	char events[WORLD_BUF];
	uint64_t now_ms;
};

static inline ssize_t mouth_recv(void *transport, struct conn_cell *cell, void *buf, size_t room)
{
	struct mouth *m = transport;
	size_t n = m->in_len < room ? m->in_len : room;

	memcpy(buf, m->in, n);
	memmove(m->in, m->in + n, m->in_len - n);
	m->in_len -= n;
	conn_cell_note(cell, n);
	return (ssize_t)n;
}

static inline ssize_t mouth_send(void *transport, struct conn_cell *cell, const void *buf,
				 size_t len)
{
	struct mouth *m = transport;

	assert_in_range(m->out_len + len, 0, sizeof(m->out));
	memcpy(m->out + m->out_len, buf, len);
	m->out_len += len;
	conn_cell_note(cell, len);
	return (ssize_t)len;
}

static inline void mouth_free(void *transport)
{
	((struct mouth *)transport)->conn = NULL;
}

static inline void world_report(void *data, const char *line)
{
	struct world *w = data;

	snprintf(w->reported, sizeof(w->reported), "%s", line);
}

static inline void world_connect(struct world *w, unsigned int i)
{
	static const struct transport_ops ops = { .recv = mouth_recv,
						  .send = mouth_send,
						  .free = mouth_free };

	w->socket[i].in_len = w->socket[i].out_len = 0;
	assert_int_equal(core_add_socket(w->core, &ops, &w->socket[i], 0, &w->socket[i].conn), 0);
}

static inline struct world *world_new(void)
{
	struct core_options opt = { .key = { 5, 6 }, .priv_domid = PERM_NO_DOMID };
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	fake_init(&w->hv);
	quota_policy_init(&w->policy);
	w->policy.report = world_report;
	w->policy.report_data = w;
	opt.policy = &w->policy;
	assert_int_equal(core_new(&opt, &w->hv.hv, &w->core), 0);
	world_connect(w, 0);
	world_connect(w, 1);
	return w;
}

static inline void world_free(struct world *w)
{
	assert_int_equal(core_check(w->core), 0);
	core_free(w->core);
	fake_fini(&w->hv);
	free(w);
}

/* False: there was nothing to read. */
static inline bool guest_read(struct world *w, unsigned int domid)
{
	struct xenstore_domain_interface *p = w->hv.dom[domid].page;
	struct mouth *m = &w->guest[domid];
	size_t had = m->out_len;

	while (p->rsp_cons != p->rsp_prod) {
		assert_in_range(m->out_len, 0, sizeof(m->out) - 1);
		m->out[m->out_len++] = (uint8_t)p->rsp[MASK_XENSTORE_IDX(p->rsp_cons)];
		p->rsp_cons++;
	}
	w->hv.pending[w->hv.dom[domid].port] = true;
	return m->out_len != had;
}

/* Until nothing happens; listen: the guest that reads its ring meanwhile. */
static inline void world_run(struct world *w, unsigned int listen)
{
	unsigned int rounds = 0, idle = 0;

	while (idle < 3) {
		core_hv_events(w->core);
		idle = core_round(w->core, w->now_ms) ? 0 : idle + 1;
		if (listen && guest_read(w, listen))
			idle = 0;
		assert_in_range(rounds++, 0, 100000); /* nobody holds the loop */
	}
}

/* Payload from text, '|' for NUL. */
static inline size_t message(uint8_t *buf, uint32_t type, uint32_t tx_id, const char *text)
{
	struct xsd_sockmsg h = { .type = type, .req_id = 99, .tx_id = tx_id };

	h.len = (uint32_t)strlen(text);
	memcpy(buf, &h, sizeof(h));
	for (uint32_t i = 0; i < h.len; i++)
		buf[sizeof(h) + i] = text[i] == '|' ? 0 : (uint8_t)text[i];
	return sizeof(h) + h.len;
}

/* Takes all that came apart: the last reply into answer, events in order. */
static inline void world_hear(struct world *w, struct mouth *m, uint32_t type)
{
	struct xsd_sockmsg h;
	size_t at = 0;

	w->answer[0] = '\0';
	w->events[0] = '\0';
	while (at + sizeof(h) <= m->out_len) {
		char *to;

		memcpy(&h, m->out + at, sizeof(h));
		at += sizeof(h);
		to = h.type == XS_WATCH_EVENT ? w->events + strlen(w->events) : w->answer;
		if (h.type == XS_WATCH_EVENT)
			*to++ = '[';
		else
			assert_true(h.type == type || h.type == XS_ERROR);
		for (uint32_t i = 0; i < h.len; i++)
			*to++ = m->out[at + i] ? (char)m->out[at + i] : '|';
		if (h.type == XS_WATCH_EVENT)
			*to++ = ']';
		*to = '\0';
		at += h.len;
	}
	assert_int_equal(at, m->out_len);
	m->out_len = 0;
}

/* who: 0 and 1 are the sockets, others guests. The answer; "" where there is none. */
static inline const char *ask_in(struct world *w, unsigned int who, uint32_t tx, uint32_t type,
				 const char *text)
{
	struct mouth *m = who < 2 ? &w->socket[who] : &w->guest[who];
	uint8_t buf[8192];
	size_t len = message(buf, type, tx, text);

	if (who < 2) {
		memcpy(m->in + m->in_len, buf, len);
		m->in_len += len;
		conn_wake(m->conn);
		world_run(w, 0);
	} else {
		struct xenstore_domain_interface *p = w->hv.dom[who].page;

		assert_in_range(len, 0, XENSTORE_RING_SIZE);
		for (size_t i = 0; i < len; i++)
			p->req[MASK_XENSTORE_IDX(p->req_prod + i)] = (char)buf[i];
		p->req_prod += (uint32_t)len;
		w->hv.pending[w->hv.dom[who].port] = true;
		world_run(w, who);
	}
	world_hear(w, m, type);
	return w->answer;
}

static inline const char *ask(struct world *w, unsigned int who, uint32_t type, const char *text)
{
	return ask_in(w, who, 0, type, text);
}

/* A domain with a home of its own, introduced. */
static inline void world_guest(struct world *w, unsigned int domid)
{
	char text[64], perms[96];

	fake_create(&w->hv, domid);
	snprintf(text, sizeof(text), "%u|%u|3|", domid, 100 + domid);
	assert_string_equal(ask(w, 0, XS_INTRODUCE, text), "OK|");
	snprintf(text, sizeof(text), "/local/domain/%u|", domid);
	assert_string_equal(ask(w, 0, XS_MKDIR, text), "OK|");
	snprintf(perms, sizeof(perms), "%sn%u|", text, domid);
	assert_string_equal(ask(w, 0, XS_SET_PERMS, perms), "OK|");
}

#endif
