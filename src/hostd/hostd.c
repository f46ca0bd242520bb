/* SPDX-License-Identifier: MIT */
/*
 * The daemon's parts, opened in order, and its rounds. Invariant: output of connections leaves in
 * hostd_round alone, after the journal was written.
 */
#include "hostd/hostd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/autostart.h"
#include "hostd/call.h"
#include "hostd/defs.h"
#include "hostd/front.h"
#include "hostd/life.h"
#include "hostd/save.h"
#include "hostd/settings.h"
#include "hostd/store.h"

#define EXPIRE_MS 500u /* how exact the time limit of those who wait for a guest is */

struct hostd {
	struct host host;
	uv_loop_t loop;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_timer_t vmm_timer, expire_timer;
	uv_poll_t vmm_poll;
	uv_async_t async;
	bool loop_open, polls_vmm, async_open;
};

static uint64_t clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t hostd_now_ms(const struct host *h)
{
	(void)h;
	return clock_ms(CLOCK_MONOTONIC);
}

uint64_t hostd_wall_ms(const struct host *h)
{
	(void)h;
	return clock_ms(CLOCK_REALTIME);
}

void hostd_wake(struct host *h)
{
	struct hostd *d = CONTAINER_OF(h, struct hostd, host);

	if (d->async_open)
		uv_async_send(&d->async);
}

void hostd_fail(struct host *h, int err)
{
	if (!h->failed)
		h->failed = err;
	h->stopping = true;
	if (h->loop)
		uv_stop(h->loop);
}

/* ---- the rounds ---- */

static void on_vmm(struct hostd *d)
{
	int r;

	if (d->host.stopping)
		return;
	r = vmm_dispatch(d->host.vmm);
	if (r) {
		log_error("guests cannot be trusted any more: %s", strerror(-r));
		hostd_fail(&d->host, r);
	}
}

static void on_vmm_poll(uv_poll_t *poll, int status, int events)
{
	(void)status;
	(void)events;
	on_vmm(poll->data);
}

static void on_vmm_timer(uv_timer_t *timer)
{
	on_vmm(timer->data);
}

static void hostd_round(struct hostd *d)
{
	struct host *h = &d->host;
	int timeout_ms, r = 0;

	if (h->failed)
		return;
	if (h->hooks->round)
		r = h->hooks->round(h);
	if (r) {
		/* What the answers say is not durable: none of them may leave. */
		hostd_fail(h, r);
		return;
	}
	front_flush(h);
	dom_reap(&h->doms);
	timeout_ms = vmm_timeout_ms(h->vmm);
	if (timeout_ms >= 0)
		uv_timer_start(&d->vmm_timer, on_vmm_timer, (uint64_t)timeout_ms, 0);
	else
		uv_timer_stop(&d->vmm_timer);
}

static void on_prepare(uv_prepare_t *prepare)
{
	hostd_round(prepare->data);
}

static void on_check(uv_check_t *check)
{
	hostd_round(check->data);
}

static void on_expire(uv_timer_t *timer)
{
	struct hostd *d = timer->data;

	dom_expire(&d->host);
	life_store_again(&d->host);
}

static void on_async(uv_async_t *async)
{
	(void)async; /* the round that ends now is all that was wanted */
}

/* ---- open ---- */

static int make_dir(const char *path, mode_t mode)
{
	char copy[4096];

	if ((size_t)snprintf(copy, sizeof(copy), "%s", path) >= sizeof(copy))
		return -ENAMETOOLONG;
	for (char *p = copy + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (mkdir(copy, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(copy, mode) && errno != EEXIST ? -errno : 0;
}

static int open_dirs(struct host *h)
{
	const char *dirs[] = { h->set->state_dir, h->set->run_dir, h->set->log_dir, NULL };
	int r = 0;

	if (asprintf(&h->defs_dir, "%s/domains", h->set->state_dir) < 0) {
		h->defs_dir = NULL;
		return FAULT(-ENOMEM);
	}
	dirs[3] = h->defs_dir;
	for (size_t i = 0; !r && i < ARRAY_LEN(dirs); i++) {
		r = make_dir(dirs[i], 0700);
		if (r)
			log_error("%s: %s", dirs[i], strerror(-r));
	}
	return r;
}

static int lock_dir(struct host *h)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/lock", h->set->state_dir);
	h->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (h->lock_fd < 0) {
		log_error("%s: %s", path, strerror(errno));
		return -errno;
	}
	if (!flock(h->lock_fd, LOCK_EX | LOCK_NB))
		return 0;
	log_error("%s: another daemon uses this directory", h->set->state_dir);
	return -EWOULDBLOCK;
}

/* Of this host: as it is set, or as it was made up once. */
static int find_uuid(struct host *h)
{
	char *text = NULL, made[DEF_UUID_TEXT];
	size_t len;
	int r;

	if (h->set->host_uuid) {
		if (def_uuid_parse(h->set->host_uuid, h->uuid))
			return 0;
		log_error("host_uuid: %s is no uuid", h->set->host_uuid);
		return -EINVAL;
	}
	r = defs_file_read(h->set->state_dir, "host-uuid", &text, &len);
	if (!r) {
		text[strcspn(text, "\n")] = '\0';
		r = def_uuid_parse(text, h->uuid) ? 0 : -EINVAL;
		free(text);
		if (r)
			log_error("%s/host-uuid: no uuid", h->set->state_dir);
		return r;
	}
	if (r != ENOENT)
		return r < 0 ? r : -r;
	if (getrandom(h->uuid, sizeof(h->uuid), 0) != (ssize_t)sizeof(h->uuid))
		return FAULT(-EIO);
	h->uuid[6] = (uint8_t)((h->uuid[6] & 0x0f) | 0x40);
	h->uuid[8] = (uint8_t)((h->uuid[8] & 0x3f) | 0x80);
	def_uuid_print(h->uuid, made);
	return defs_file_write(h->set->state_dir, "host-uuid", made, strlen(made));
}

static int open_store(struct host *h)
{
	bool none = !strcmp(h->set->store, "none");
	struct hstore_options o = {
		.socket = none ? NULL : h->set->store,
		.userdata = h->set->store_userdata,
		.joined = vmm_backend_can(h->set->backend) & VMM_OWNS_STORE,
		.sim = h->set->sim_dir,
		.host = h->name,
	};
	char text[512];
	int r = hstore_open(&o, h->loop, &h->store, text, sizeof(text));

	if (r)
		log_error("store: %s", text);
	return r;
}

static int open_vmm(struct hostd *d)
{
	struct host *h = &d->host;
	struct vmm_options o = {
		.run_dir = h->set->run_dir,
		.log_dir = h->set->log_dir,
		.host_name = h->name,
		.program = h->set->program,
	};
	int r = vmm_open(h->set->backend, &o, life_vmm_events(), h, &h->vmm);

	if (r)
		return r;
	if (uv_poll_init(h->loop, &d->vmm_poll, vmm_fd(h->vmm)))
		return FAULT(-EIO);
	d->polls_vmm = true;
	d->vmm_poll.data = d;
	uv_poll_start(&d->vmm_poll, UV_READABLE, on_vmm_poll);
	return 0;
}

static int open_loop(struct hostd *d)
{
	if (uv_loop_init(&d->loop))
		return FAULT(-EIO);
	d->loop_open = true;
	d->host.loop = &d->loop;
	uv_prepare_init(&d->loop, &d->prepare);
	uv_check_init(&d->loop, &d->check);
	uv_timer_init(&d->loop, &d->vmm_timer);
	uv_timer_init(&d->loop, &d->expire_timer);
	d->prepare.data = d->check.data = d->vmm_timer.data = d->expire_timer.data = d;
	if (uv_async_init(&d->loop, &d->async, on_async))
		return FAULT(-EIO);
	d->async_open = true;
	return 0;
}

int hostd_open(const struct settings *set, const struct hostd_parts *parts, struct hostd **ret)
{
	static const struct hostd_hooks none = { 0 };
	struct hostd *d = calloc(1, sizeof(*d));
	struct host *h;
	int r;

	if (!d)
		return FAULT(-ENOMEM);
	*ret = d;
	h = &d->host;
	h->set = set;
	h->hooks = &none;
	h->lock_fd = -1;
	registry_init(&h->doms);
	if (vmm_backend_can(set->backend) & VMM_OWNS_STORE)
		h->doms.next_id = DOM_ID_FREE; /* until a guest has its domain's number */
	list_init(&h->subscriptions);
	list_init(&h->calls);
	h->call_ids.key_len = sizeof(h->last_id);
	list_init(&h->life);
	if (set->host_name)
		snprintf(h->name, sizeof(h->name), "%s", set->host_name);
	else if (gethostname(h->name, sizeof(h->name) - 1))
		return FAULT(-errno);
	r = open_dirs(h);
	if (!r)
		r = lock_dir(h);
	if (!r)
		r = find_uuid(h);
	if (!r)
		r = open_loop(d);
	if (!r)
		r = defs_load(h);
	if (!r)
		r = open_store(h);
	if (!r)
		r = saves_open(h);
	if (!r)
		r = open_vmm(d);
	if (!r)
		r = life_sweep(h);
	if (!r && parts->open)
		r = parts->open(h);
	if (!r)
		saves_found(h);
	if (!r)
		r = front_open(h);
	return r;
}

int hostd_run(struct hostd *d)
{
	struct host *h = &d->host;

	uv_prepare_start(&d->prepare, on_prepare);
	uv_check_start(&d->check, on_check);
	uv_timer_start(&d->expire_timer, on_expire, EXPIRE_MS, EXPIRE_MS);
	front_serve(h);
	autostart_all(h);
	while (!h->stopping)
		uv_run(&d->loop, UV_RUN_ONCE);
	return h->failed;
}

struct host *hostd_host(struct hostd *d)
{
	return &d->host;
}

uv_loop_t *hostd_loop(struct hostd *d)
{
	return &d->loop;
}

void hostd_stop(struct hostd *d)
{
	d->host.stopping = true;
	uv_stop(&d->loop);
}

/* ---- close ---- */

static void close_loop(struct hostd *d)
{
	uv_handle_t *handles[] = { (uv_handle_t *)&d->prepare, (uv_handle_t *)&d->check,
				   (uv_handle_t *)&d->vmm_timer, (uv_handle_t *)&d->expire_timer };

	for (size_t i = 0; i < ARRAY_LEN(handles); i++)
		uv_close(handles[i], NULL);
	if (d->polls_vmm)
		uv_close((uv_handle_t *)&d->vmm_poll, NULL);
	if (d->async_open)
		uv_close((uv_handle_t *)&d->async, NULL);
	uv_run(&d->loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&d->loop))
		log_warning("the loop has handles that are not closed");
}

void hostd_close(struct hostd *d, const struct hostd_parts *parts)
{
	struct host *h = &d->host;

	h->stopping = true;
	if (d->loop_open) {
		dom_refuse_waiters(h);
		front_close(h);
		call_drop_all(h);
		hstore_close(h->store, NULL, NULL);
		saves_close(h);
		if (parts->close)
			parts->close(h);
		life_forget_all(h);
		vmm_free(h->vmm);
		close_loop(d);
	}
	registry_fini(&h->doms);
	if (h->lock_fd >= 0)
		close(h->lock_fd);
	free(h->defs_dir);
	free(d);
}
