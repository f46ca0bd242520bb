/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a phase of a migration. Invariant: nothing but the source's daemon calls a migration
 * off; whoever waits here may ask it to, and still hears what became of it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/migrate.h"
#include "config/client.h"

#define STATS_COMPLETED 1u /* DOMAIN_GET_JOB_STATS: of the last one that has ended */
#define STATS_MS 2000u	   /* for an answer about how far it is */
#define FEW_MS 5000u	   /* for an answer that needs no work */
#define SIGNALS_MAX 3u	   /* after so many nobody waits for anything */

bool move_read_stats(struct move *m, struct rpc_client *c, bool completed, struct move_stats *ret)
{
	struct rpc_dom_flags_args args = { .dom = m->dom,
					   .flags = completed ? STATS_COMPLETED : 0 };
	struct move_stats s = { .total = 0 };
	const struct {
		const char *name;
		uint64_t *to;
	} fields[] = {
		{ "time_elapsed", &s.elapsed_ms },
		{ "downtime", &s.downtime_ms },
		{ "memory_total", &s.total },
		{ "memory_processed", &s.processed },
		{ "memory_remaining", &s.remaining },
		{ "memory_bps", &s.rate_bps },
		{ "memory_dirty_rate", &s.dirty_pages },
		{ "memory_page_size", &s.page_size },
		{ "memory_iteration", &s.iteration },
	};
	struct rpc_job_stats_ret r;
	struct rpc_error err;

	if (rpc_client_call(c, RPC_DOMAIN_GET_JOB_STATS, RPC_XDR(rpc_dom_flags_args), &args,
			    RPC_XDR(rpc_job_stats_ret), &r, sizeof(r), STATS_MS, &err))
		return false;
	for (unsigned int i = 0; i < r.params.rpc_params_len; i++) {
		const struct rpc_param *p = &r.params.rpc_params_val[i];

		for (size_t j = 0; j < ARRAY_LEN(fields); j++)
			if (!strcmp(p->name, fields[j].name) && p->value.type == RPC_PARAM_ULLONG)
				*fields[j].to = p->value.rpc_value_u.ul;
	}
	rpc_code_free(RPC_XDR(rpc_job_stats_ret), &r, sizeof(r));
	*ret = s;
	return true;
}

/* Asks the source to call it off. What comes of it the phase under way tells. */
static void abort_job(struct move *m, const char *why)
{
	struct rpc_dom_args args = { .dom = m->dom };
	struct rpc_error err;
	int r;

	move_show_end(m);
	if (!m->o.quiet)
		fprintf(stderr, "drover: migrate: %s: asking the source to call it off\n", why);
	r = rpc_client_call(m->src, RPC_DOMAIN_ABORT_JOB, RPC_XDR(rpc_dom_args), &args, NULL, NULL,
			    0, FEW_MS, &err);
	if (r && r != EINTR && !m->o.quiet)
		fprintf(stderr, "drover: migrate: it cannot be called off: %s\n", err.message);
}

/* Takes the signals that came. True: enough of them not to wait any longer. */
static bool take_signals(struct move *m)
{
	char c[16];
	ssize_t n = read(m->wake_fd, c, sizeof(c));

	if (n <= 0)
		return false;
	m->n_signals += (unsigned int)n;
	if (!m->cancelled) {
		m->cancelled = true;
		abort_job(m, "interrupted");
	} else if (!m->o.quiet && m->n_signals < SIGNALS_MAX) {
		move_show_end(m);
		fprintf(stderr, "drover: migrate: waiting for the daemons; once more to leave\n");
	}
	return m->n_signals >= SIGNALS_MAX;
}

static void look(struct move *m, struct rpc_client *c)
{
	struct rpc_error err;

	if (m->o.timeout_ms && !m->cancelled && !m->timed_out &&
	    conf_now_ms() - m->begun_ms >= m->o.timeout_ms) {
		m->timed_out = true;
		abort_job(m, "it takes longer than it may");
	}
	/* Whoever is not waited for wants its keepalive answered, too. */
	if (c != m->dst && m->dst)
		rpc_client_poll(m->dst, -1, 1, &err);
	if (c != m->src && m->src)
		rpc_client_poll(m->src, -1, 1, &err);
	if (m->src && move_read_stats(m, m->src, false, &m->stats))
		move_show(m);
}

int move_await(struct move *m, struct rpc_client *c, uint32_t serial, xdrproc_t fn, void *ret,
	       size_t ret_size)
{
	struct rpc_error err;
	int r;

	for (;;) {
		rpc_client_set_wake(c, m->wake_fd);
		r = rpc_client_wait(c, serial, fn, ret, ret_size, MOVE_TICK_MS, &err);
		rpc_client_set_wake(c, -1);
		if (r == ETIMEDOUT) {
			look(m, c);
		} else if (r == EINTR) {
			if (take_signals(m))
				break;
		} else {
			break;
		}
	}
	if (r && !m->err.code)
		m->err = err;
	return r;
}
