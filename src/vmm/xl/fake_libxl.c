/* SPDX-License-Identifier: MIT */
/*
 * As much of libxl, libxenctrl and libxenstore as drover-xlguest uses, without a hypervisor: for
 * tests. A domain is a file, ../../xen/N, "uuid paused shutdown"; a long operation is a child of
 * its own that dies with the process, as libxl's helper does. Tests hold them up by files of the
 * same folder: hold-create, hold-send, hold-receive; "no-domid-N" is a number that is not given,
 * and "no-shadow" makes it a Xen that cannot note what a PV guest writes.
 *
 * Invariant: what the files say outlives every process, as domains do.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xenctrl.h>
#include <xenstore.h>

#include "vmm/xl/xlguest.h"

#define XEN "../../xen/"
#define NO_SHUTDOWN 255u

struct libxl__evgen_domain_death {
	uint32_t domid;
	bool shutdown_told, death_told;
};

struct libxl__ctx {
	xentoollog_logger *log;
	struct libxl__evgen_domain_death death;
	bool watches;
	pid_t child; /* 0: none */
	int child_fd;
	uint64_t op;
	uint32_t *made, making;
	libxl_event queue[8];
	size_t n_queued;
};

struct fake {
	char uuid[33];
	unsigned int paused, shutdown;
};

static bool held(const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), XEN "%s", what);
	return access(path, F_OK) == 0;
}

static void hold(const char *what)
{
	while (held(what))
		poll(NULL, 0, 2);
}

static bool fake_read(uint32_t domid, struct fake *f)
{
	char path[64];
	FILE *file;
	int n;

	snprintf(path, sizeof(path), XEN "%u", domid);
	file = fopen(path, "re");
	if (!file)
		return false;
	n = fscanf(file, "%32s %u %u", f->uuid, &f->paused, &f->shutdown);
	fclose(file);
	return n == 3;
}

static int fake_write(uint32_t domid, const struct fake *f)
{
	char path[64], temp[64];
	FILE *file;

	snprintf(path, sizeof(path), XEN "%u", domid);
	snprintf(temp, sizeof(temp), XEN ".%u.%d", domid, (int)getpid());
	file = fopen(temp, "we");
	if (!file)
		return ERROR_FAIL;
	fprintf(file, "%s %u %u\n", f->uuid, f->paused, f->shutdown);
	return fclose(file) || rename(temp, path) ? ERROR_FAIL : 0;
}

static void queue(libxl_ctx *ctx, libxl_event_type type, uint32_t domid, uint64_t user, int value)
{
	libxl_event *e = &ctx->queue[ctx->n_queued++];

	memset(e, 0, sizeof(*e));
	e->type = type;
	e->domid = domid;
	e->for_user = user;
	if (type == LIBXL_EVENT_TYPE_OPERATION_COMPLETE)
		e->u.operation_complete.rc = value;
	else
		e->u.domain_shutdown.shutdown_reason = (uint8_t)value;
}

static void say(libxl_ctx *ctx, const char *what)
{
	xtl_log(ctx->log, XTL_ERROR, -1, "fake", "%s", what);
}

/* ---- context and events ---- */

int libxl_ctx_alloc(libxl_ctx **pctx, int version, unsigned int flags, xentoollog_logger *lg)
{
	libxl_ctx *ctx = calloc(1, sizeof(*ctx));

	(void)version;
	(void)flags;
	if (!ctx)
		return ERROR_NOMEM;
	mkdir(XEN, 0700);
	ctx->log = lg;
	*pctx = ctx;
	return 0;
}

int libxl_ctx_free(libxl_ctx *ctx)
{
	free(ctx);
	return 0;
}

int libxl_evenable_domain_death(libxl_ctx *ctx, uint32_t domid, libxl_ev_user user,
				libxl_evgen_domain_death **evgen_out)
{
	(void)user;
	ctx->death = (struct libxl__evgen_domain_death){ .domid = domid };
	ctx->watches = true;
	*evgen_out = &ctx->death;
	return 0;
}

void libxl_evdisable_domain_death(libxl_ctx *ctx, libxl_evgen_domain_death *death)
{
	(void)death;
	ctx->watches = false;
}

/* What another process writes into a file is seen by looking, often. */
int libxl_osevent_beforepoll(libxl_ctx *ctx, int *nfds_io, struct pollfd *fds, int *timeout_upd,
			     struct timeval now)
{
	(void)now;
	*nfds_io = 0;
	if (ctx->child)
		fds[(*nfds_io)++] = (struct pollfd){ .fd = ctx->child_fd, .events = POLLIN };
	if (ctx->watches && (*timeout_upd < 0 || *timeout_upd > 5))
		*timeout_upd = 5;
	return 0;
}

static void look(libxl_ctx *ctx)
{
	struct libxl__evgen_domain_death *d = &ctx->death;
	struct fake f;

	if (!ctx->watches)
		return;
	if (!fake_read(d->domid, &f)) {
		if (!d->death_told)
			queue(ctx, LIBXL_EVENT_TYPE_DOMAIN_DEATH, d->domid, 0, 0);
		d->death_told = true;
	} else if (f.shutdown != NO_SHUTDOWN && !d->shutdown_told) {
		d->shutdown_told = true;
		queue(ctx, LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN, d->domid, 0, (int)f.shutdown);
	}
}

void libxl_osevent_afterpoll(libxl_ctx *ctx, int nfds, const struct pollfd *fds, struct timeval now)
{
	int status = 0, rc;

	(void)now;
	look(ctx);
	if (!nfds || !fds[0].revents)
		return;
	waitpid(ctx->child, &status, 0);
	close(ctx->child_fd);
	ctx->child = 0;
	rc = WIFEXITED(status) ? -WEXITSTATUS(status) : ERROR_ABORTED;
	if (rc == ERROR_FAIL)
		say(ctx, "the stream is broken");
	if (ctx->made && rc == 0)
		*ctx->made = ctx->making;
	else if (ctx->made)
		libxl_domain_destroy(ctx, ctx->making, NULL);
	queue(ctx, LIBXL_EVENT_TYPE_OPERATION_COMPLETE, 0, ctx->op, rc);
}

int libxl_event_check(libxl_ctx *ctx, libxl_event **event_r, uint64_t typemask,
		      libxl_event_predicate *predicate, void *user)
{
	(void)typemask;
	(void)predicate;
	(void)user;
	if (!ctx->n_queued)
		return ERROR_NOT_READY;
	*event_r = malloc(sizeof(**event_r));
	**event_r = ctx->queue[0];
	memmove(ctx->queue, ctx->queue + 1, --ctx->n_queued * sizeof(ctx->queue[0]));
	return 0;
}

void libxl_event_free(libxl_ctx *ctx, libxl_event *event)
{
	(void)ctx;
	free(event);
}

int libxl_ao_abort(libxl_ctx *ctx, const libxl_asyncop_how *how)
{
	(void)how;
	if (!ctx->child)
		return ERROR_NOTFOUND;
	kill(ctx->child, SIGKILL);
	return 0;
}

/* ---- operations ---- */

/* The child's run returns libxl's code; -1 .. -127 fit into an exit status. */
static int begin(libxl_ctx *ctx, const libxl_asyncop_how *how, int (*run)(uint32_t domid, int fd),
		 uint32_t domid, int fd)
{
	const pid_t parent = getpid();
	int ends[2];

	if (pipe(ends) < 0)
		return ERROR_FAIL;
	ctx->child = fork();
	if (ctx->child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		signal(SIGPIPE, SIG_IGN);
		_exit(-run(domid, fd));
	}
	close(ends[1]);
	ctx->child_fd = ends[0];
	ctx->op = how->u.for_event;
	return ctx->child < 0 ? ERROR_FAIL : 0;
}

static uint32_t domid_take(const libxl_domain_config *c)
{
	struct fake f;
	uint32_t domid = 1;

	if (c->c_info.domid != (uint32_t)INVALID_DOMID)
		return c->c_info.domid;
	while (fake_read(domid, &f))
		domid++;
	return domid;
}

static void domain_make(const libxl_domain_config *c, uint32_t domid)
{
	struct fake f = { .paused = 1, .shutdown = NO_SHUTDOWN };

	for (int i = 0; i < 16; i++)
		snprintf(f.uuid + 2 * i, 3, "%02x", c->c_info.uuid.uuid[i]);
	fake_write(domid, &f);
}

static int create_run(uint32_t domid, int fd)
{
	(void)domid;
	(void)fd;
	hold("hold-create");
	return 0;
}

int libxl_domain_create_new(libxl_ctx *ctx, libxl_domain_config *c, uint32_t *domid,
			    const libxl_asyncop_how *how, const libxl_asyncprogress_how *aop)
{
	(void)aop;
	ctx->making = domid_take(c);
	ctx->made = domid;
	domain_make(c, ctx->making);
	return begin(ctx, how, create_run, ctx->making, -1);
}

static int receive_run(uint32_t domid, int fd)
{
	char buf[4096], last[3] = "";
	size_t total = 0;
	ssize_t n;

	(void)domid;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		if (total == 0 && (n < 8 || memcmp(buf, "LibxlFmt", 8) != 0))
			return ERROR_FAIL;
		total += (size_t)n;
		memcpy(last, buf + (n > 2 ? n - 3 : 0), 3);
		hold("hold-receive");
		if (!memcmp(last, "END", 3))
			return 0;
	}
	return ERROR_FAIL;
}

static int refuse_run(uint32_t domid, int fd)
{
	(void)domid;
	(void)fd;
	return ERROR_INVAL;
}

int libxl_domain_create_restore(libxl_ctx *ctx, libxl_domain_config *c, uint32_t *domid,
				int restore_fd, int send_back_fd,
				const libxl_domain_restore_params *params,
				const libxl_asyncop_how *how, const libxl_asyncprogress_how *aop)
{
	char refused[32];

	(void)send_back_fd;
	(void)params;
	(void)aop;
	ctx->making = domid_take(c);
	ctx->made = domid;
	snprintf(refused, sizeof(refused), "no-domid-%u", ctx->making);
	if (held(refused)) {
		say(ctx, "domain id recently used");
		return begin(ctx, how, refuse_run, ctx->making, -1);
	}
	domain_make(c, ctx->making);
	return begin(ctx, how, receive_run, ctx->making, restore_fd);
}

static int send_run(uint32_t domid, int fd)
{
	static char page[4096] = "LibxlFmt";
	struct fake f;

	for (int i = 0; i < 64; i++) {
		if (write(fd, page, sizeof(page)) != (ssize_t)sizeof(page))
			return ERROR_FAIL;
		page[0] = '\0';
		if (i == 16)
			hold("hold-send");
	}
	if (!fake_read(domid, &f))
		return ERROR_FAIL;
	f.shutdown = LIBXL_SHUTDOWN_REASON_SUSPEND;
	fake_write(domid, &f);
	hold("hold-stopped");
	return write(fd, "END", 3) == 3 ? 0 : ERROR_FAIL;
}

int libxl_domain_suspend(libxl_ctx *ctx, uint32_t domid, int fd, int flags,
			 const libxl_asyncop_how *how)
{
	(void)flags;
	ctx->made = NULL;
	return begin(ctx, how, send_run, domid, fd);
}

static int change(uint32_t domid, int paused, int shutdown)
{
	struct fake f;

	if (!fake_read(domid, &f))
		return ERROR_DOMAIN_NOTFOUND;
	if (paused >= 0)
		f.paused = (unsigned int)paused;
	if (shutdown >= 0)
		f.shutdown = (unsigned int)shutdown;
	return fake_write(domid, &f);
}

int libxl_domain_resume(libxl_ctx *ctx, uint32_t domid, int cancel, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)cancel;
	(void)how;
	return change(domid, -1, (int)NO_SHUTDOWN);
}

int libxl_domain_pause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)how;
	return change(domid, 1, -1);
}

int libxl_domain_unpause(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)how;
	return change(domid, 0, -1);
}

int libxl_domain_shutdown(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)how;
	return change(domid, -1, LIBXL_SHUTDOWN_REASON_POWEROFF);
}

int libxl_domain_reboot(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	(void)ctx;
	(void)how;
	return change(domid, -1, LIBXL_SHUTDOWN_REASON_REBOOT);
}

int libxl_send_trigger(libxl_ctx *ctx, uint32_t domid, libxl_trigger trigger, uint32_t vcpu,
		       const libxl_asyncop_how *how)
{
	(void)trigger;
	(void)vcpu;
	return libxl_domain_shutdown(ctx, domid, how);
}

int libxl_domain_destroy(libxl_ctx *ctx, uint32_t domid, const libxl_asyncop_how *how)
{
	char path[64];

	snprintf(path, sizeof(path), XEN "%u", domid);
	if (unlink(path) < 0 && !how)
		return ERROR_DOMAIN_NOTFOUND;
	if (how)
		queue(ctx, LIBXL_EVENT_TYPE_OPERATION_COMPLETE, 0, how->u.for_event, 0);
	return 0;
}

/* ---- what there is ---- */

static void info_of(uint32_t domid, const struct fake *f, libxl_dominfo *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->domid = domid;
	for (int i = 0; i < 16; i++) {
		char text[3] = { f->uuid[2 * i], f->uuid[2 * i + 1], '\0' };

		ret->uuid.uuid[i] = (uint8_t)strtoul(text, NULL, 16);
	}
	ret->paused = f->paused != 0;
	ret->shutdown = f->shutdown != NO_SHUTDOWN;
	ret->shutdown_reason =
		ret->shutdown ? (libxl_shutdown_reason)f->shutdown : LIBXL_SHUTDOWN_REASON_UNKNOWN;
	ret->cpu_time = 1000;
}

int libxl_domain_info(libxl_ctx *ctx, libxl_dominfo *info_r, uint32_t domid)
{
	struct fake f;

	(void)ctx;
	if (!fake_read(domid, &f))
		return ERROR_DOMAIN_NOTFOUND;
	info_of(domid, &f, info_r);
	return 0;
}

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *n)
{
	libxl_dominfo *all = calloc(64, sizeof(*all));
	DIR *dir = opendir(XEN);
	struct dirent *e;
	struct fake f;

	(void)ctx;
	*n = 0;
	while (all && dir && (e = readdir(dir)) && *n < 64)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
		    fake_read((uint32_t)strtoul(e->d_name, NULL, 10), &f))
			info_of((uint32_t)strtoul(e->d_name, NULL, 10), &f, &all[(*n)++]);
	if (dir)
		closedir(dir);
	return all;
}

void libxl_dominfo_list_free(libxl_dominfo *list, int n)
{
	(void)n;
	free(list);
}

void libxl_dominfo_init(libxl_dominfo *p)
{
	memset(p, 0, sizeof(*p));
}

void libxl_dominfo_dispose(libxl_dominfo *p)
{
	(void)p;
}

int libxl_get_physinfo(libxl_ctx *ctx, libxl_physinfo *info)
{
	(void)ctx;
	info->cap_shadow = !held("no-shadow");
	return 0;
}

void libxl_physinfo_init(libxl_physinfo *p)
{
	memset(p, 0, sizeof(*p));
}

void libxl_physinfo_dispose(libxl_physinfo *p)
{
	(void)p;
}

void libxl_domain_restore_params_init(libxl_domain_restore_params *p)
{
	memset(p, 0, sizeof(*p));
}

void libxl_domain_restore_params_dispose(libxl_domain_restore_params *p)
{
	(void)p;
}

void libxl_domain_config_init(libxl_domain_config *p)
{
	memset(p, 0, sizeof(*p));
}

void libxl_domain_config_dispose(libxl_domain_config *p)
{
	(void)p;
}

const uint8_t *libxl_uuid_bytearray_const(const libxl_uuid *uuid)
{
	return uuid->uuid;
}

/* Kind and uuid, of the JSON that we print ourselves. */
int libxl_domain_config_from_json(libxl_ctx *ctx, libxl_domain_config *p, const char *json)
{
	const char *uuid = strstr(json, "\"uuid\": \"");
	char text[DEF_UUID_TEXT] = "";

	(void)ctx;
	if (uuid)
		snprintf(text, sizeof(text), "%s", uuid + strlen("\"uuid\": \""));
	if (!def_uuid_parse(text, p->c_info.uuid.uuid))
		return ERROR_INVAL;
	p->c_info.type =
		strstr(json, "\"type\": \"pvh\"") ? LIBXL_DOMAIN_TYPE_PVH : LIBXL_DOMAIN_TYPE_PV;
	p->b_info.max_memkb = 4096;
	p->on_reboot = strstr(json, "\"on_reboot\": \"restart\"")
			       ? LIBXL_ACTION_ON_SHUTDOWN_RESTART
			       : LIBXL_ACTION_ON_SHUTDOWN_DESTROY;
	return 0;
}

/* ---- of the lower libraries ---- */

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dombuild,
				unsigned int flags)
{
	(void)logger;
	(void)dombuild;
	(void)flags;
	return NULL;
}

int xc_interface_close(xc_interface *xch)
{
	(void)xch;
	return 0;
}

int xc_hvm_param_get(xc_interface *xch, uint32_t dom, uint32_t param, uint64_t *value)
{
	(void)xch;
	(void)dom;
	(void)param;
	(void)value;
	return -1;
}

int xc_domain_shutdown(xc_interface *xch, uint32_t domid, int reason)
{
	(void)xch;
	(void)domid;
	(void)reason;
	return -1;
}
