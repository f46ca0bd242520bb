/* SPDX-License-Identifier: MIT */
/*
 * The queue between the loop and the threads that talk to the store. Invariant: of one guest at
 * most one job is being done, and its jobs are done in the order in which they were asked for; a
 * sweep is done alone.
 */
#include "hostd/store.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/list.h"
#include "base/own.h"
#include "config/userdata.h"
#include "hostd/store_seat.h"

struct hstore {
	struct hstore_shared shared;
	uv_async_t ended; /* its data: the hstore */
	pthread_mutex_t lock;
	pthread_cond_t more;
	/* below: with the lock held */
	struct list waiting;
	struct list done; /* their callbacks are due */
	size_t n_waiting;
	const struct hstore_job *busy[HSTORE_THREADS]; /* NULL: that thread waits */
	bool closing;
	/* above: with the lock held */
	pthread_t thread[HSTORE_THREADS];
	unsigned int n_threads;
	void (*closed)(void *data);
	void *closed_data;
};

static void job_free(struct hstore_job *job)
{
	if (!job)
		return;
	free(job->json);
	free(job->blob);
	free(job->known);
	free(job);
}
DEFINE_CLEANUP(struct hstore_job *, job_free)

/* ---- the threads ---- */

static bool is_same_guest(const struct hstore_job *a, const struct hstore_job *b)
{
	return a->type == HSTORE_SWEEP || b->type == HSTORE_SWEEP ||
	       !memcmp(a->uuid, b->uuid, sizeof(a->uuid));
}

/* Whether nothing that was asked for before it, and that it must come after, is still to be done.
 */
static bool may_begin(const struct hstore *s, const struct hstore_job *job)
{
	const struct hstore_job *other;

	for (unsigned int i = 0; i < HSTORE_THREADS; i++)
		if (s->busy[i] && is_same_guest(s->busy[i], job))
			return false;
	list_for_each(other, &s->waiting, link) {
		if (other == job)
			break;
		if (is_same_guest(other, job))
			return false;
	}
	return true;
}

static struct hstore_job *next_job(const struct hstore *s)
{
	struct hstore_job *job;

	list_for_each(job, &s->waiting, link)
		if (may_begin(s, job))
			return job;
	return NULL;
}

static void run(struct hstore_seat *seat, struct hstore_job *job)
{
	if (conf_now_ms() <= job->due_ms) {
		hstore_seat_run(seat, job);
		return;
	}
	job->domid = -1;
	job->err = -ETIMEDOUT;
	snprintf(job->why, sizeof(job->why), "store: it has been too slow for %u seconds",
		 HSTORE_QUEUE_MS / 1000);
}

struct start {
	struct hstore *s;
	unsigned int i;
};

static void *thread_main(void *data)
{
	struct start start = *(struct start *)data;
	struct hstore *s = start.s;
	struct hstore_seat seat = { .shared = &s->shared };
	struct hstore_job *job;

	free(data);
	pthread_mutex_lock(&s->lock);
	while (!s->closing) {
		job = next_job(s);
		if (!job) {
			pthread_cond_wait(&s->more, &s->lock);
			continue;
		}
		list_remove(&job->link);
		s->n_waiting--;
		s->busy[start.i] = job;
		pthread_mutex_unlock(&s->lock);
		run(&seat, job);
		pthread_mutex_lock(&s->lock);
		s->busy[start.i] = NULL;
		list_append(&s->done, &job->link);
		uv_async_send(&s->ended);
		/* what waited for this one may begin, on any thread */
		pthread_cond_broadcast(&s->more);
	}
	pthread_mutex_unlock(&s->lock);
	hstore_seat_fini(&seat);
	return NULL;
}

/* ---- the loop ---- */

static void on_ended(uv_async_t *async)
{
	struct hstore *s = async->data;
	struct hstore_job *job;

	for (;;) {
		pthread_mutex_lock(&s->lock);
		job = s->closing ? NULL : list_first(&s->done, struct hstore_job, link);
		if (job)
			list_remove(&job->link);
		pthread_mutex_unlock(&s->lock);
		if (!job)
			return;
		if (job->done)
			job->done(job->data, job->err, job->why, job->domid);
		if (job->export_done)
			job->export_done(job->data, job->err, job->why, job->blob,
					 job->err ? 0 : job->blob_len);
		job_free(job);
	}
}

static int make_directory(const char *path, char *text, size_t room)
{
	char dir[4096];
	int n = snprintf(dir, sizeof(dir), "%s", path);

	if (n >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	for (char *p = dir + 1; p <= dir + n; p++) {
		if (*p && *p != '/')
			continue;
		*p = '\0';
		if (mkdir(dir, 0755) && errno != EEXIST) {
			snprintf(text, room, "%s: %s", dir, strerror(errno));
			return -errno;
		}
		if (p < dir + n)
			*p = '/';
	}
	return 0;
}

static int copy_options(struct hstore_shared *to, const struct hstore_options *opt, char *text,
			size_t room)
{
	if (!opt->socket)
		return 0;
	if (!opt->sim && !opt->joined) {
		snprintf(text, room,
			 "a store without a simulated hypervisor: guests' domains cannot be made");
		return -EINVAL;
	}
	if (snprintf(to->host, sizeof(to->host), "%s", opt->host) >= (int)sizeof(to->host)) {
		snprintf(text, room, "a host's name of more than %u octets", HSTORE_HOST_MAX - 1);
		return -EINVAL;
	}
	to->timeout_ms = opt->timeout_ms ? opt->timeout_ms : HSTORE_TIMEOUT_MS;
	to->socket = strdup(opt->socket);
	to->joined = opt->joined;
	to->sim = opt->joined ? NULL : strdup(opt->sim);
	to->userdata = strdup(opt->userdata ? opt->userdata : USERDATA_DIR);
	if (!to->socket || (!to->sim && !to->joined) || !to->userdata)
		return -ENOMEM;
	return make_directory(to->userdata, text, room);
}

static void store_free(struct hstore *s)
{
	struct hstore_job *job;

	list_for_each(job, &s->waiting, link) {
		list_remove(&job->link);
		job_free(job);
	}
	list_for_each(job, &s->done, link) {
		list_remove(&job->link);
		job_free(job);
	}
	free(s->shared.socket);
	free(s->shared.userdata);
	free(s->shared.sim);
	pthread_cond_destroy(&s->more);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void on_closed(uv_handle_t *handle)
{
	struct hstore *s = handle->data;
	void (*closed)(void *data) = s->closed;
	void *data = s->closed_data;

	store_free(s);
	if (closed)
		closed(data);
}

static void stop_threads(struct hstore *s)
{
	pthread_mutex_lock(&s->lock);
	s->closing = true;
	pthread_cond_broadcast(&s->more);
	pthread_mutex_unlock(&s->lock);
	for (unsigned int i = 0; i < s->n_threads; i++)
		pthread_join(s->thread[i], NULL);
}

/* Signals are the loop's. */
static int start_threads(struct hstore *s)
{
	sigset_t all, was;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	while (!r && s->n_threads < HSTORE_THREADS) {
		struct start *start = malloc(sizeof(*start));

		if (!start) {
			r = -ENOMEM;
			break;
		}
		*start = (struct start){ .s = s, .i = s->n_threads };
		r = -pthread_create(&s->thread[s->n_threads], NULL, thread_main, start);
		if (r)
			free(start);
		else
			s->n_threads++;
	}
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	return r;
}

int hstore_open(const struct hstore_options *opt, uv_loop_t *loop, struct hstore **ret, char *text,
		size_t room)
{
	struct hstore *s = calloc(1, sizeof(*s));
	int r;

	text[0] = '\0';
	if (!s)
		return -ENOMEM;
	list_init(&s->waiting);
	list_init(&s->done);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->more, NULL);
	r = copy_options(&s->shared, opt, text, room);
	if (!r)
		r = uv_async_init(loop, &s->ended, on_ended);
	if (r) {
		store_free(s);
		return r;
	}
	s->ended.data = s;
	r = start_threads(s);
	if (r) {
		snprintf(text, room, "a thread: %s", strerror(-r));
		hstore_close(s, NULL, NULL);
		return r;
	}
	*ret = s;
	return 0;
}

void hstore_close(struct hstore *s, void (*done)(void *data), void *data)
{
	if (!s)
		return;
	stop_threads(s);
	s->closed = done;
	s->closed_data = data;
	uv_close((uv_handle_t *)&s->ended, on_closed);
}

bool hstore_is_joined(const struct hstore *s)
{
	return s->shared.joined;
}

bool hstore_is_none(const struct hstore *s)
{
	return !s->shared.socket;
}

/* ---- asking ---- */

/* Accepts NULL: memory was out. The job is the store's from now on, also on failure. */
static int submit(struct hstore *s, struct hstore_job *job)
{
	CLEANUP(job_free) struct hstore_job *owned = job;
	int r = 0;

	if (!owned)
		return -ENOMEM;
	pthread_mutex_lock(&s->lock);
	assert(!s->closing);
	if (s->n_waiting >= HSTORE_QUEUE_MAX) {
		r = -ENOSPC;
	} else {
		owned->due_ms = conf_now_ms() + HSTORE_QUEUE_MS;
		list_append(&s->waiting, &owned->link);
		owned = NULL;
		s->n_waiting++;
		pthread_cond_signal(&s->more);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static struct hstore_job *job_new(enum hstore_job_type type, const uint8_t *uuid,
				  hstore_done_fn *done, void *data)
{
	struct hstore_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	list_init(&job->link);
	job->type = type;
	if (uuid) {
		memcpy(job->uuid, uuid, sizeof(job->uuid));
		def_uuid_print(uuid, job->uuid_text);
	}
	job->done = done;
	job->data = data;
	return job;
}

/* A copy of len octets; NULL: memory is out. */
static void *copy(const void *data, size_t len)
{
	void *p = malloc(len ? len : 1);

	if (p && len)
		memcpy(p, data, len);
	return p;
}

static struct hstore_job *job_with(enum hstore_job_type type, const uint8_t *uuid, uint64_t epoch,
				   const char *json, size_t len, hstore_done_fn *done, void *data)
{
	CLEANUP(job_free) struct hstore_job *job = job_new(type, uuid, done, data);

	if (!job)
		return NULL;
	job->epoch = epoch;
	if (json) {
		job->json = copy(json, len);
		job->json_len = len;
		if (!job->json)
			return NULL;
	}
	return TAKE(job);
}

int hstore_create(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], uint64_t epoch,
		  const char *json, size_t len, hstore_done_fn *done, void *data)
{
	return submit(s, job_with(HSTORE_CREATE, uuid, epoch, json, len, done, data));
}

int hstore_join(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], uint64_t epoch, int domid,
		bool incoming, hstore_done_fn *done, void *data)
{
	struct hstore_job *job = job_with(HSTORE_JOIN, uuid, epoch, NULL, 0, done, data);

	if (job) {
		job->domid = domid;
		job->incoming = incoming;
	}
	return submit(s, job);
}

int hstore_destroy(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], hstore_done_fn *done,
		   void *data)
{
	return submit(s, job_new(HSTORE_DESTROY, uuid, done, data));
}

int hstore_export(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], unsigned int flags,
		  hstore_export_fn *done, void *data)
{
	struct hstore_job *job = job_new(HSTORE_EXPORT, uuid, NULL, data);

	if (job) {
		job->export_done = done;
		job->flags = flags;
	}
	return submit(s, job);
}

int hstore_prepare(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], uint64_t epoch,
		   const char *json, size_t len, hstore_done_fn *done, void *data)
{
	return submit(s, job_with(HSTORE_PREPARE, uuid, epoch, json, len, done, data));
}

int hstore_import(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], uint64_t epoch,
		  unsigned int flags, const uint8_t *blob, size_t blob_len, const char *json,
		  size_t len, hstore_done_fn *done, void *data)
{
	CLEANUP(job_free)
	struct hstore_job *job = job_with(HSTORE_IMPORT, uuid, epoch, json, len, done, data);

	if (!job)
		return -ENOMEM;
	job->flags = flags;
	job->blob = copy(blob, blob_len);
	job->blob_len = blob_len;
	if (!job->blob)
		return -ENOMEM;
	return submit(s, TAKE(job));
}

int hstore_serve(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], uint64_t epoch,
		 hstore_done_fn *done, void *data)
{
	return submit(s, job_with(HSTORE_SERVE, uuid, epoch, NULL, 0, done, data));
}

int hstore_find(struct hstore *s, const uint8_t uuid[DEF_UUID_SIZE], hstore_done_fn *done,
		void *data)
{
	return submit(s, job_new(HSTORE_FIND, uuid, done, data));
}

int hstore_sweep(struct hstore *s, const uint8_t (*known)[DEF_UUID_SIZE], size_t n,
		 hstore_done_fn *done, void *data)
{
	CLEANUP(job_free) struct hstore_job *job = job_new(HSTORE_SWEEP, NULL, done, data);

	if (!job)
		return -ENOMEM;
	job->known = copy(known, n * sizeof(*known));
	job->n_known = n;
	if (!job->known)
		return -ENOMEM;
	return submit(s, TAKE(job));
}
