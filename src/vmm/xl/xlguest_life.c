/* SPDX-License-Identifier: MIT */
/*
 * A domain's life: made, restored, gone on with, ended. Invariant: libxl is asked for nothing that
 * the record does not tell of already, so that whatever instant the process is killed at, the next
 * one knows what there may be; and a domain that is not of our uuid is never touched.
 *
 *   creating ─┬─► made ─► sending ─► made         a process that finds creating or restoring
 *   waiting ─► restoring ─┘   any ─► ending        destroys what it finds half made
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xen/hvm/params.h>

#include "vmm/xl/xl_files.h"
#include "vmm/xl/xlguest.h"

#define LIBXL_STREAM_IDENT "LibxlFmt" /* docs/specs/libxl-migration-stream.pandoc, header */

static libxl_asyncop_how how_of(enum xlguest_op op)
{
	libxl_asyncop_how how = { .callback = NULL };

	how.u.for_event = op;
	return how;
}

static bool is_ours(const struct xlguest *g, const libxl_dominfo *info)
{
	return !memcmp(libxl_uuid_bytearray_const(&info->uuid), g->uuid, DEF_UUID_SIZE);
}

/* The domain of our uuid; -1: there is none. < -1: it cannot be told. */
static int domain_find(struct xlguest *g)
{
	int n = 0, domid = -1;
	libxl_dominfo *all = libxl_list_domain(g->ctx, &n);

	if (!all)
		return -2;
	for (int i = 0; i < n; i++)
		if (is_ours(g, &all[i]) && !all[i].dying)
			domid = (int)all[i].domid;
	libxl_dominfo_list_free(all, n);
	return domid;
}

int xlguest_look(struct xlguest *g, bool *ret_suspended, bool *ret_paused)
{
	libxl_dominfo info;
	int r;

	libxl_dominfo_init(&info);
	r = g->record.domid < 0 ? ERROR_DOMAIN_NOTFOUND
				: libxl_domain_info(g->ctx, &info, (uint32_t)g->record.domid);
	if (r == 0 && (!is_ours(g, &info) || info.dying))
		r = ERROR_DOMAIN_NOTFOUND;
	*ret_suspended =
		r == 0 && info.shutdown && info.shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND;
	*ret_paused = r == 0 && info.paused;
	if (r == 0)
		g->status.cpu_ns = info.cpu_time;
	libxl_dominfo_dispose(&info);
	return r == 0 ? 0 : xlguest_errno(r);
}

/*
 * libxl suspends a guest by itself where that has told Xen of no way to reach its drivers; every
 * other one has to stop itself, and so knows.
 */
void xlguest_look_aware(struct xlguest *g)
{
	xc_interface *xch;
	uint64_t irq = 1;

	if (g->config.c_info.type == LIBXL_DOMAIN_TYPE_PV)
		return;
	xch = xc_interface_open(NULL, NULL, 0);
	if (!xch)
		return;
	if (xc_hvm_param_get(xch, (uint32_t)g->record.domid, HVM_PARAM_CALLBACK_IRQ, &irq) < 0)
		irq = 1;
	g->status.unaware = irq == 0;
	xc_interface_close(xch);
}

static int record(struct xlguest *g, enum xlguest_phase phase, int domid)
{
	g->record.phase = phase;
	g->record.domid = domid;
	g->status.domid = domid;
	return xlguest_record_write(g);
}

int xlguest_watch_death(struct xlguest *g)
{
	if (g->death)
		libxl_evdisable_domain_death(g->ctx, g->death);
	g->death = NULL;
	return xlguest_errno(
		libxl_evenable_domain_death(g->ctx, (uint32_t)g->record.domid, 0, &g->death));
}

/* ---- the end ---- */

static void end_now(struct xlguest *g)
{
	char text[AGENT_TEXT_MAX + 32];

	snprintf(text, sizeof(text), "%s\n%s", g->end, g->end_why);
	if (xlguest_file_write(AGENT_END_FILE, text) < 0)
		g->exit_code = 1;
	g->over = true;
}

void xlguest_end_unmade(struct xlguest *g, const char *how, const char *why)
{
	snprintf(g->end, sizeof(g->end), "%s", how);
	snprintf(g->end_why, sizeof(g->end_why), "%s", why);
	end_now(g);
}

static void destroy(struct xlguest *g)
{
	libxl_asyncop_how how = how_of(XLGUEST_OP_DESTROY);
	int rc;

	if (g->death)
		libxl_evdisable_domain_death(g->ctx, g->death);
	g->death = NULL;
	if (g->record.domid < 0)
		g->record.domid = domain_find(g);
	if (g->record.domid == -1 && !g->rebooting) {
		end_now(g);
		return;
	}
	xlguest_log_reset(&g->log);
	rc = g->record.domid < 0 ? ERROR_FAIL
				 : libxl_domain_destroy(g->ctx, (uint32_t)g->record.domid, &how);
	if (rc)
		g->again_ms = xlguest_now_ms() + XLGUEST_AGAIN_MS;
	else
		g->op = XLGUEST_OP_DESTROY;
}

static void abort_op(struct xlguest *g)
{
	libxl_asyncop_how how = how_of(g->op);

	/* one that cannot be cut short ends by itself */
	if (g->op == XLGUEST_NOTHING || g->op == XLGUEST_OP_DESTROY || g->aborting)
		return;
	g->aborting = true;
	if (g->pump)
		xlguest_send_cancel(g);
	else
		libxl_ao_abort(g->ctx, &how);
}

void xlguest_end(struct xlguest *g, const char *how, const char *why)
{
	if (*g->end)
		return;
	if (g->record.phase == XLGUEST_WAITING && g->op == XLGUEST_NOTHING) {
		xlguest_end_unmade(g, how, why);
		return;
	}
	snprintf(g->end, sizeof(g->end), "%s", how);
	snprintf(g->end_why, sizeof(g->end_why), "%s", why);
	g->rebooting = false;
	record(g, XLGUEST_ENDING, g->record.domid);
	if (g->pump)
		xlguest_pump_cancel(g->pump);
	if (g->op == XLGUEST_NOTHING)
		destroy(g);
	else
		abort_op(g);
}

void xlguest_again_due(struct xlguest *g)
{
	g->again_ms = 0;
	if (g->op == XLGUEST_NOTHING && (*g->end || g->rebooting))
		destroy(g);
}

/* ---- made ---- */

int xlguest_create(struct xlguest *g)
{
	libxl_asyncop_how how = how_of(XLGUEST_OP_CREATE);
	int r, rc;

	xlguest_log_reset(&g->log);
	r = xlguest_config_read(g, -1);
	if (r == 0 && domain_find(g) != -1) {
		snprintf(g->log.error, sizeof(g->log.error),
			 "there is a domain of this uuid already, which is not ours");
		r = -EEXIST;
	}
	/* before the record tells of it: that domain is none that was made for us */
	if (r < 0)
		return r;
	r = record(g, XLGUEST_CREATING, -1);
	if (r < 0)
		return r;
	g->made = (uint32_t)INVALID_DOMID;
	rc = libxl_domain_create_new(g->ctx, &g->config, &g->made, &how, NULL);
	if (rc == 0)
		g->op = XLGUEST_OP_CREATE;
	return xlguest_errno(rc);
}

static bool domid_is_free(struct xlguest *g, int domid)
{
	libxl_dominfo info;
	int rc;

	if (domid <= 0)
		return false;
	libxl_dominfo_init(&info);
	rc = libxl_domain_info(g->ctx, &info, (uint32_t)domid);
	libxl_dominfo_dispose(&info);
	return rc == ERROR_DOMAIN_NOTFOUND;
}

int xlguest_restore(struct xlguest *g, int fd, int domid)
{
	libxl_asyncop_how how = how_of(XLGUEST_OP_RESTORE);
	libxl_domain_restore_params params;
	int r, rc;

	xlguest_log_reset(&g->log);
	r = xlguest_config_read(g, domid_is_free(g, domid) ? domid : -1);
	if (r == 0 && domain_find(g) != -1) {
		snprintf(g->log.error, sizeof(g->log.error),
			 "there is a domain of this uuid already, which is not ours");
		r = -EEXIST;
	}
	r = r ? r : record(g, XLGUEST_RESTORING, -1);
	if (r < 0) {
		close(fd);
		return r;
	}
	libxl_domain_restore_params_init(&params);
	params.stream_version = 2;
	g->made = (uint32_t)INVALID_DOMID;
	g->wished = g->config.c_info.domid != (uint32_t)INVALID_DOMID;
	g->receive_fd = fd;
	rc = libxl_domain_create_restore(g->ctx, &g->config, &g->made, fd, -1, &params, &how, NULL);
	libxl_domain_restore_params_dispose(&params);
	if (rc == 0) {
		g->op = XLGUEST_OP_RESTORE;
		g->status.receiving = 1;
		return 0;
	}
	close(fd);
	g->receive_fd = -1;
	record(g, XLGUEST_WAITING, -1);
	return xlguest_errno(rc);
}

static void receive_failed(struct xlguest *g, int err)
{
	snprintf(g->last_error, sizeof(g->last_error), "%s",
		 xlguest_log_why(&g->log, strerror(-err)));
	g->status.receiving = 0;
	g->status.receive_err = err;
	record(g, XLGUEST_WAITING, -1);
	xlguest_tell(g, AGENT_RECEIVED, 0, err, g->last_error);
}

/* Whether libxl has read nothing of it: what it would read first is there, or nothing yet. */
static bool stream_is_whole(int fd)
{
	char head[sizeof(LIBXL_STREAM_IDENT) - 1];
	ssize_t n = recv(fd, head, sizeof(head), MSG_PEEK | MSG_DONTWAIT);

	return n < 0 ? errno == EAGAIN : n > 0 && !memcmp(head, LIBXL_STREAM_IDENT, (size_t)n);
}

static void restored(struct xlguest *g, int rc)
{
	int r = xlguest_errno(rc), fd = g->receive_fd;

	g->receive_fd = -1;
	/* libxl gives no number again for a while, and does not tell which before it is asked */
	if (r < 0 && g->wished && !*g->end && stream_is_whole(fd)) {
		fprintf(stderr, "drover-xlguest: another number than the one wished for\n");
		if (xlguest_restore(g, fd, -1) < 0)
			receive_failed(g, r);
		return;
	}
	close(fd);
	if (r == 0) {
		g->record.received = true;
		r = record(g, XLGUEST_MADE, (int)g->made);
	}
	r = r ? r : xlguest_watch_death(g);
	if (r < 0) {
		/* where libxl failed it has removed what it had made */
		if (rc == 0)
			libxl_domain_destroy(g->ctx, g->made, NULL);
		receive_failed(g, r);
		return;
	}
	xlguest_look_aware(g);
	g->status.receiving = 0;
	g->status.received = 1;
	xlguest_enter(g, AGENT_PAUSED, VMM_MIGRATING);
	xlguest_tell(g, AGENT_RECEIVED, 0, 0, "");
}

static int unpause(struct xlguest *g)
{
	return xlguest_errno(libxl_domain_unpause(g->ctx, (uint32_t)g->record.domid, NULL));
}

static void created(struct xlguest *g, int rc)
{
	const bool again = g->rebooting;
	int r = xlguest_errno(rc);

	g->rebooting = false;
	r = r ? r : record(g, XLGUEST_MADE, (int)g->made);
	r = r ? r : xlguest_watch_death(g);
	if (r == 0 && !g->paused)
		r = unpause(g);
	if (r < 0) {
		xlguest_end(g, again ? "crash" : "failed", xlguest_log_why(&g->log, strerror(-r)));
		return;
	}
	if (again) {
		g->status.reason = VMM_REBOOTED;
		xlguest_tell(g, AGENT_CHANGED, 0, 0, "");
	}
	xlguest_enter(g, g->paused ? AGENT_PAUSED : AGENT_RUNNING, VMM_BOOTED);
	g->paused = false;
}

static void destroyed(struct xlguest *g, int rc)
{
	int r;

	if (rc && rc != ERROR_DOMAIN_NOTFOUND) {
		g->again_ms = xlguest_now_ms() + XLGUEST_AGAIN_MS;
		return;
	}
	record(g, g->record.phase, -1);
	if (!g->rebooting) {
		end_now(g);
		return;
	}
	r = xlguest_create(g);
	if (r < 0)
		xlguest_end_unmade(g, "crash", xlguest_log_why(&g->log, strerror(-r)));
}

void xlguest_op_done(struct xlguest *g, int rc)
{
	enum xlguest_op op = g->op;

	g->op = XLGUEST_NOTHING;
	g->aborting = false;
	if (op == XLGUEST_OP_DESTROY) {
		destroyed(g, rc);
		return;
	}
	if (*g->end && (op == XLGUEST_OP_CREATE || op == XLGUEST_OP_RESTORE)) {
		/* what was made meanwhile goes at once */
		record(g, XLGUEST_ENDING, rc == 0 ? (int)g->made : g->record.domid);
		destroy(g);
		return;
	}
	if (op == XLGUEST_OP_CREATE)
		created(g, rc);
	else if (op == XLGUEST_OP_RESTORE)
		restored(g, rc);
	else if (op == XLGUEST_OP_SUSPEND)
		xlguest_send_op_done(g, rc);
	if (*g->end && g->op == XLGUEST_NOTHING && !g->pump && !g->over && !g->again_ms)
		destroy(g);
}

/* ---- what happens to it ---- */

static void reboot(struct xlguest *g)
{
	if (g->config.on_reboot == LIBXL_ACTION_ON_SHUTDOWN_DESTROY) {
		xlguest_end(g, "shutdown", "");
		return;
	}
	g->rebooting = true;
	record(g, XLGUEST_CREATING, g->record.domid);
	destroy(g);
}

/* It suspended itself although nobody sends it: left over from a sending that was given up. */
static void suspended(struct xlguest *g)
{
	if (g->op == XLGUEST_OP_SUSPEND) {
		xlguest_send_stopped(g);
		return;
	}
	if (g->status.state != AGENT_RUNNING)
		return;
	libxl_domain_resume(g->ctx, (uint32_t)g->record.domid, 1, NULL);
	xlguest_watch_death(g);
}

void xlguest_domain_event(struct xlguest *g, const libxl_event *event)
{
	if ((int)event->domid != g->record.domid || *g->end || g->rebooting)
		return;
	if (event->type == LIBXL_EVENT_TYPE_DOMAIN_DEATH) {
		xlguest_end(g, "destroyed", "the domain was destroyed");
		return;
	}
	if (event->type != LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN || g->unknown)
		return;
	switch (event->u.domain_shutdown.shutdown_reason) {
	case LIBXL_SHUTDOWN_REASON_POWEROFF:
		xlguest_end(g, "shutdown", "");
		return;
	case LIBXL_SHUTDOWN_REASON_REBOOT:
		if (g->op == XLGUEST_NOTHING)
			reboot(g);
		else
			xlguest_end(g, "shutdown", "it rebooted while it was being sent");
		return;
	case LIBXL_SHUTDOWN_REASON_SUSPEND:
		suspended(g);
		return;
	default:
		xlguest_end(g, "crash", "the guest crashed");
		return;
	}
}

/* ---- gone on with ---- */

/* What was half made goes, and the guest is as it was before that. */
static void undo(struct xlguest *g, bool restoring)
{
	if (!restoring) {
		xlguest_end(g, "failed", "its process died while it was being made");
		return;
	}
	/* to the daemon it is as if the stream had broken */
	g->status.state = AGENT_INCOMING;
	g->status.receive_err = -EIO;
	snprintf(g->last_error, sizeof(g->last_error), "%s",
		 "its process died while the guest was being received");
	if (g->record.domid >= 0 &&
	    libxl_domain_destroy(g->ctx, (uint32_t)g->record.domid, NULL) == 0)
		g->record.domid = -1;
	record(g, g->record.domid < 0 ? XLGUEST_WAITING : XLGUEST_RESTORING, g->record.domid);
}

/*
 * A file of ours is damaged, and will be however often it is read. What the domain is to be is not
 * known, so it is left as it is, and told of as crashed, until it is destroyed.
 */
static int give_up(struct xlguest *g, const char *file, int err)
{
	int domid = domain_find(g);

	if (domid < -1)
		return -EIO;
	snprintf(g->last_error, sizeof(g->last_error),
		 "the file '%s' of its directory cannot be read (%s): %s", file, strerror(-err),
		 domid < 0 ? "there is no domain of its uuid"
			   : "its domain is left as it is until it is destroyed");
	fprintf(stderr, "drover-xlguest: %s: %s\n", g->name, g->last_error);
	if (domid < 0) {
		xlguest_end_unmade(g, "failed", g->last_error);
		return 0;
	}
	g->unknown = true;
	g->record = (struct xlguest_record){ .phase = XLGUEST_CREATING, .domid = domid };
	g->status.domid = domid;
	g->status.state = AGENT_PAUSED;
	g->status.reason = VMM_CRASHED;
	/* whatever was under way with it has not come to its end */
	g->status.send_err = g->status.receive_err = -EIO;
	return xlguest_watch_death(g);
}

static int go_on(struct xlguest *g)
{
	bool was_sending = g->record.phase == XLGUEST_SENDING, is_suspended, is_paused;
	int r = xlguest_look(g, &is_suspended, &is_paused);

	if (r == -ENOTCONN) {
		xlguest_end(g, "destroyed", "the domain is gone");
		return 0;
	}
	if (r < 0)
		return r;
	r = xlguest_config_read(g, -1);
	if (r < 0)
		return r == -ENOMEM ? r : give_up(g, XL_CONFIG_FILE, r);
	g->status.domid = g->record.domid;
	g->status.received = g->record.received;
	g->status.state = is_suspended || is_paused ? AGENT_PAUSED : AGENT_RUNNING;
	g->status.reason = was_sending && is_suspended ? VMM_MIGRATING : VMM_FOUND;
	if (was_sending) {
		g->status.send_err = -EIO;
		snprintf(g->last_error, sizeof(g->last_error), "%s",
			 "its process died while the guest was being sent");
		r = record(g, XLGUEST_MADE, g->record.domid);
	}
	xlguest_look_aware(g);
	return r ? r : xlguest_watch_death(g);
}

int xlguest_again(struct xlguest *g)
{
	int r = xlguest_record_read(g);

	if (r == -ENOENT) {
		xlguest_end_unmade(g, "failed", "its process died before anything was made");
		return 0;
	}
	if (r < 0)
		return r == -ENOMEM ? r : give_up(g, XLGUEST_RECORD_FILE, r);
	/* a number that was not written down yet, or one that another domain has by now */
	if (g->record.phase != XLGUEST_MADE && g->record.phase != XLGUEST_SENDING) {
		g->record.domid = domain_find(g);
		if (g->record.domid < -1)
			return -EIO;
	}
	switch (g->record.phase) {
	case XLGUEST_CREATING:
	case XLGUEST_RESTORING:
		undo(g, g->record.phase == XLGUEST_RESTORING);
		return 0;
	case XLGUEST_WAITING:
		g->status.state = AGENT_INCOMING;
		return 0;
	case XLGUEST_ENDING:
		xlguest_end(g, "destroyed", "");
		return 0;
	default:
		return go_on(g);
	}
}
