/* SPDX-License-Identifier: MIT */
/*
 * A worker's life: load what there is, enter the sandbox, take over, serve. Invariant: a candidate
 * changes nothing that others see before it is told to serve, and each start either serves or ends
 * with a status that says whether another try makes sense.
 */
#include "xenstored/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "keeper/sandbox.h"
#include "recover/adopt.h"
#include "recover/journal.h"
#include "recover/recover.h"
#include "xenstored/daemon.h"
#include "xenstored/host.h"
#include "xenstored/server.h"

#define SIM_DIR_DEFAULT "/run/drover/sim"

struct worker {
	const struct worker_seat *seat; /* borrowed, as the next two */
	struct options *opt;
	struct trace *trace;
	struct quota_policy *policy; /* borrowed: opt's */
	struct core_options core_opt;
	struct server *server; /* owned, as the rest */
	struct journal *journal;
	struct recover *recover; /* NULL: there is nothing to recover */
	struct core *core;
	struct hv *hv;
	struct sandbox sandbox;
	char last_error[512];
};

bool worker_wants_xen(const struct options *o)
{
	return o->hv == HV_XEN || (o->hv == HV_AUTO && hv_xen_is_present());
}

const char *worker_sim_dir(const struct options *o)
{
	return o->sim_dir ? o->sim_dir : SIM_DIR_DEFAULT;
}

static int open_hv(struct worker *w)
{
	bool xen = worker_wants_xen(w->opt);
	const char *dir = worker_sim_dir(w->opt);
	int r = xen ? hv_xen_open(&w->seat->hv, &w->hv) : hv_sim_open(dir, &w->hv);

	if (r && xen)
		log_error("cannot reach the Xen hypervisor: %s", strerror(-r));
	else if (r)
		log_error("cannot open the simulated hypervisor in %s: %s", dir, strerror(-r));
	return r;
}

static void report_refusal(void *data, const char *line)
{
	(void)data;
	log_warning("%s", line);
}

/* Standard error, or the keeper, whose syslog outlives the sandbox; and a candidate's reason. */
static void on_log(void *data, enum log_level level, const char *line)
{
	struct worker *w = data;

	if (level == LOG_LEVEL_ERROR)
		snprintf(w->last_error, sizeof(w->last_error), "%s", line);
	if (w->opt->no_fork)
		fprintf(stderr, "drover-xenstored: %s\n", line);
	else
		seat_tell(w->seat, PROTO_LOG, level, line);
}

static int open_by_keeper(void *data, const char *path)
{
	struct worker *w = data;

	return seat_open_file(w->seat, PROTO_OPEN_APPEND, path);
}

static int init(struct worker *w)
{
	struct trace_host host = { .log = on_log, .open = open_by_keeper, .data = w };
	struct core_options *c = &w->core_opt;
	int r;

	daemon_forget();
	trace_set_host(w->trace, &host);
	*c = (struct core_options){
		.policy = &w->opt->policy,
		.event_timeout_ms = w->opt->event_timeout_ms,
		.priv_domid = w->opt->priv_domid,
		.keep_orphans = w->opt->keep_orphans,
		.dom0_ring = !w->opt->no_domain_init,
		.dom0_port = w->opt->event_port,
	};
	if (getrandom(&c->key, sizeof(c->key), 0) != sizeof(c->key))
		return -errno;
	w->opt->policy.report = report_refusal;
	w->sandbox.netns = w->seat->netns;
	if (!worker_wants_xen(w->opt))
		w->sandbox.dir = worker_sim_dir(w->opt);
	r = server_new(w->seat, w->trace, &w->server);
	if (!r)
		server_core_options(w->server, c);
	return r;
}

/* Reads what the journal has; afterwards w->recover is NULL where it has nothing. */
static int load(struct worker *w)
{
	const int *fd = w->seat->journal[0] < 0 ? NULL : w->seat->journal;
	int r;

	r = fd && w->seat->image < 0
		    ? journal_attach(fd, w->seat->boot_id, !w->seat->candidate, &w->journal)
		    : ENOENT;
	if (r == ENOENT && fd && w->seat->image < 0 && w->seat->deaths) {
		/* clients and guests would go on in a store that forgot them */
		log_error("journal: it had no room, and what was in the store is lost");
		return EINVAL;
	}
	if (r == ENOENT)
		return w->seat->candidate ? ENOENT : journal_new(fd, w->seat->boot_id, &w->journal);
	if (r)
		return r;
	w->core_opt.area = journal_area(w->journal);
	w->core_opt.counters = journal_counters(w->journal);
	r = recover_new(w->journal, &w->core_opt, &w->recover);
	if (!r)
		r = recover_read(w->recover);
	if (r > 0)
		log_error("cannot recover: %s", recover_error(w->recover));
	return r;
}

/* A candidate reads on until the other process has stopped; see proto.h. */
static int follow(struct worker *w)
{
	struct proto_msg m;
	int r;

	r = seat_tell(w->seat, PROTO_LOADED, 0, NULL);
	if (!r)
		r = proto_recv(w->seat->link, &m, true);
	if (!r && m.type != PROTO_CATCH_UP)
		r = -EPROTO;
	if (!r)
		r = recover_read(w->recover);
	if (!r)
		r = seat_tell(w->seat, PROTO_READY, 0, NULL);
	return r;
}

/* What the process itself was set to; h: by an earlier one, NULL: there was none. */
static void set_host(struct worker *w, const struct load_host *h)
{
	const char *path = h && h->has_trace ? h->trace_path : w->opt->trace_file;
	int r;

	server_set_started(w->server, h ? h->started_ms : 0);
	trace_enable(w->trace, h && h->has_trace ? h->trace_on : w->opt->trace_io);
	if (!path || !*path)
		return;
	r = trace_open(w->trace, path);
	if (r)
		log_error("trace file %s: %s", path, strerror(r));
}

static int enter_sandbox(struct worker *w)
{
	int r = w->opt->no_sandbox ? 0 : sandbox_enter(&w->sandbox);

	if (r)
		log_error("cannot enter the sandbox: %s", strerror(-r));
	return r;
}

/* No system call but those that serving needs. */
static int seal(struct worker *w)
{
	int r = w->opt->no_sandbox ? 0 : sandbox_seal(&w->sandbox);

	if (r)
		log_error("cannot seal the sandbox: %s", strerror(-r));
	return r;
}

/*
 * What is loaded was written by a worker that may have been taken over by a guest, and so is read
 * within the sandbox. A candidate must not speak to the hypervisor before it serves.
 */
static int load_in_sandbox(struct worker *w)
{
	int r;

	if (w->seat->candidate) {
		r = enter_sandbox(w);
		if (!r)
			r = load(w);
		if (!r)
			r = follow(w);
		if (!r)
			r = open_hv(w);
		return r ? r : seal(w);
	}
	r = open_hv(w);
	if (!r)
		r = enter_sandbox(w);
	if (!r)
		r = seal(w);
	return r ? r : load(w);
}

/* From another daemon's image. */
static int adopt(struct worker *w, const struct recover_sockets *sockets)
{
	const char *path = trace_path(w->trace);
	struct load_host h = { .started_ms = host_real_ms(),
			       .has_trace = true,
			       .trace_on = trace_wanted(w->trace) };
	int r;

	snprintf(h.trace_path, sizeof(h.trace_path), "%s", path ? path : "");
	r = adopt_image(w->seat->image, &w->core_opt, w->journal, w->hv, sockets, &h, &w->core);
	if (!r)
		set_host(w, &h);
	return r;
}

static int take_over(struct worker *w)
{
	struct recover_sockets sockets = { .find = server_find_client, .data = w->server };
	struct state_host host = { .started_ms = host_real_ms(),
				   .trace_on = trace_wanted(w->trace),
				   .trace_path = trace_path(w->trace) };
	int r;

	if (w->recover)
		return recover_take_over(w->recover, w->journal, w->hv, &sockets, &w->core);
	if (w->seat->image >= 0)
		return adopt(w, &sockets);
	w->core_opt.area = journal_area(w->journal);
	w->core_opt.counters = journal_counters(w->journal);
	r = core_new(&w->core_opt, w->hv, &w->core);
	return r ? r : journal_start(w->journal, w->core, &host, true);
}

static int start(struct worker *w)
{
	int r;

	r = load_in_sandbox(w);
	if (!r)
		r = server_await_clients(w->server);
	if (r)
		return r;
	set_host(w, w->recover ? recover_host(w->recover) : NULL);
	r = take_over(w);
	if (!r)
		r = server_start(w->server, w->core, w->hv, w->journal);
	if (r)
		return r;
	recover_free(TAKE(w->recover));
	log_info("serving, hypervisor %s", w->hv->ops->name);
	return seat_tell(w->seat, PROTO_SERVING, 0, w->hv->ops->name);
}

static void fini(struct worker *w)
{
	if (w->server)
		server_end(w->server);
	recover_free(w->recover);
	if (w->journal)
		journal_stop(w->journal);
	core_free(w->core);
	server_free(w->server);
	journal_free(w->journal);
	hv_free(w->hv);
	trace_free(w->trace);
}

int worker_run(void *data, const struct worker_seat *seat)
{
	struct worker_options *o = data;
	struct worker w = { .seat = seat, .opt = o->opt, .trace = o->trace };
	int status = EXIT_SUCCESS, r;

	prctl(PR_SET_NAME, SEAT_WORKER_NAME);
	r = init(&w);
	if (!r)
		r = start(&w);
	if (r) {
		/* a keeper that is gone ends its workers, whatever they were about to say */
		if (seat->candidate)
			seat_tell(seat, PROTO_FAILED, 0,
				  *w.last_error ? w.last_error : strerror(r < 0 ? -r : r));
		status = r > 0 ? SEAT_STATUS_LOST : EXIT_FAILURE;
	} else if (server_run(w.server)) {
		status = EXIT_FAILURE;
	}
	if (r) {
		/* what is half built is of no use, and is not taken apart: files stay as they are
		 */
		fflush(NULL);
		_exit(status);
	}
	fini(&w);
	return status;
}
