/* SPDX-License-Identifier: MIT */
/*
 * Lock files, as libxl uses them: who holds the flock of the file that the path names at that
 * moment has the lock. A holder unlinks before it closes, so whoever got the flock of a file that
 * is no longer there begins again; and a holder that is killed leaves a file that nobody holds.
 *
 * libxl waits in flock for ever. To give up in time without a signal or a thread of ours in
 * somebody else's program, this asks without waiting, and in between awaits what ends a wait: the
 * file is unlinked (the holder is through) or closed (it was killed, or another who waited went
 * on). A close is told an instant before the lock is free, so after each event it asks again at
 * growing intervals, and these also serve where the kernel has no inotify left.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/own.h"
#include "config/client.h"
#include "config/userdata_priv.h"

#define LOCK_RETRY_MIN_MS 1u
#define LOCK_RETRY_MAX_MS 100u

/* A wait for one file. */
struct waiter {
	int inotify; /* borrowed, or -1 */
	int fd;	     /* of the lock file, or -1 */
	int watch;   /* of fd's file, or -1 */
	bool watched;
	uint32_t retry_ms;
};

static void waiter_drop_file(struct waiter *w)
{
	/* Where the file is gone, so is its watch. */
	if (w->watch >= 0)
		inotify_rm_watch(w->inotify, w->watch);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = w->watch = -1;
	w->watched = false;
}

/* Whether the path still names the file that is open. */
static bool is_in_place(const struct userdata *u, const char *file, int fd)
{
	struct stat open_st, st;

	return !fstat(fd, &open_st) && !fstatat(u->fd, file, &st, AT_SYMLINK_NOFOLLOW) &&
	       open_st.st_dev == st.st_dev && open_st.st_ino == st.st_ino;
}

/* Waits for an event of the file, or until it is time to ask again. */
static void waiter_wait(struct waiter *w, uint64_t left_ms)
{
	struct pollfd pfd = { .fd = w->inotify, .events = POLLIN };
	uint64_t ms = w->retry_ms < left_ms ? w->retry_ms : left_ms;
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	if (poll(&pfd, 1, (int)(ms ? ms : 1)) > 0 && read(w->inotify, events, sizeof(events)) > 0)
		w->retry_ms = LOCK_RETRY_MIN_MS;
	else if (w->retry_ms < LOCK_RETRY_MAX_MS)
		w->retry_ms *= 2;
}

/*
 * Has the file's events from now on. Where the path names another file by then, that shows when
 * it is asked next.
 */
static void waiter_watch(struct waiter *w, struct userdata *u, const char *path)
{
	if (u->inotify < 0)
		u->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	w->inotify = u->inotify;
	if (w->inotify >= 0)
		w->watch = inotify_add_watch(w->inotify, path, IN_ATTRIB | IN_CLOSE);
	w->watched = true;
}

static int busy(struct userdata *u, const struct waiter *w, const char *path, struct conf_err *err)
{
	char what[128] = "";
	struct stat st;
	int pid = -1;

	if (w->fd >= 0 && !fstat(w->fd, &st))
		pid = userdata_lock_holder(u, &st, what, sizeof(what));
	if (pid > 0)
		return conf_fail(err, -EBUSY, "%s: held by process %d (%s) for more than %u ms",
				 path, pid, what, u->lock_timeout_ms);
	return conf_fail(err, -EBUSY, "%s: held by others for more than %u ms", path,
			 u->lock_timeout_ms);
}

/* One try: 0, -EAGAIN: not yet, or what went wrong. */
static int waiter_try(struct waiter *w, struct userdata *u, const char *file)
{
	if (w->fd >= 0 && w->watched && !is_in_place(u, file, w->fd))
		waiter_drop_file(w);
	if (w->fd < 0)
		w->fd = openat(u->fd, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (w->fd < 0)
		return -errno;
	if (flock(w->fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
	if (is_in_place(u, file, w->fd))
		return 0;
	/* Its holder unlinked it between our open and our flock. */
	waiter_drop_file(w);
	w->retry_ms = 0;
	return -EAGAIN;
}

int userdata_lock_take(struct userdata *u, uint32_t domid, const char *uuid, const char *name,
		       struct conf_err *err, struct userdata_lock *ret)
{
	struct waiter w = { -1, -1, -1, false, LOCK_RETRY_MIN_MS };
	uint64_t now_ms = conf_now_ms(), end_ms = now_ms + u->lock_timeout_ms;
	char file[NAME_MAX + 1], *path;
	int r;

	if (!userdata_file_name('l', domid, uuid, name, file))
		return conf_fail(err, -EINVAL, "%s: no lock of a domain with uuid \"%s\"", name,
				 uuid);
	path = userdata_path(u, 'l', domid, uuid, name);
	if (!path)
		return conf_no_memory(err);
	while ((r = waiter_try(&w, u, file)) == -EAGAIN && (now_ms = conf_now_ms()) < end_ms) {
		if (!w.retry_ms)
			w.retry_ms = LOCK_RETRY_MIN_MS;
		else if (!w.watched)
			waiter_watch(&w, u, path);
		else
			waiter_wait(&w, end_ms - now_ms);
	}
	if (r == -EAGAIN)
		r = busy(u, &w, path, err);
	else if (r)
		r = conf_fail(err, r == -EACCES || r == -EROFS || r == -EPERM ? -EACCES : -EIO,
			      "%s: cannot be locked: %s", path, strerror(-r));
	if (!r) {
		ret->fd = w.fd;
		ret->path = TAKE(path);
		w.fd = -1;
	}
	waiter_drop_file(&w);
	free(path);
	return r;
}

void userdata_lock_release(struct userdata_lock *l)
{
	struct stat open_st, st;

	if (l->fd >= 0) {
		/*
		 * In this order: see the opening of this file. Where somebody took the file away
		 * by force, what is there now is another's.
		 */
		if (!fstat(l->fd, &open_st) && !stat(l->path, &st) && open_st.st_dev == st.st_dev &&
		    open_st.st_ino == st.st_ino)
			unlink(l->path);
		/* A child that somebody forked meanwhile may have the descriptor, too. */
		flock(l->fd, LOCK_UN);
		close(l->fd);
	}
	free(l->path);
	l->fd = -1;
	l->path = NULL;
}

void userdata_lock_sweep(struct userdata *u, const char *file)
{
	int fd = openat(u->fd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return;
	/* Only as its holder: whoever took it meanwhile would share it with the next. */
	if (!flock(fd, LOCK_EX | LOCK_NB) && is_in_place(u, file, fd))
		unlinkat(u->fd, file, 0);
	close(fd);
}

int userdata_lock_each(struct userdata *u, drover_lock_fn *fn, void *data)
{
	struct userdata_list list = { 0 };
	char what[256];
	int r;

	r = userdata_list(u, NULL, &list);
	for (size_t i = 0; !r && i < list.n; i++) {
		const struct userdata_name *n = &list.v[i];
		struct drover_lock_info info = { .domid = n->domid, .uuid = n->uuid };
		struct stat st;
		char *path;

		if (n->what != 'l')
			continue;
		path = userdata_path(u, 'l', n->domid, n->uuid, n->name);
		if (!path) {
			r = -ENOMEM;
		} else if (!stat(path, &st)) {
			info.name = n->name;
			info.path = path;
			what[0] = '\0';
			info.pid = userdata_lock_holder(u, &st, what, sizeof(what));
			info.what = what;
			r = fn(data, &info);
		}
		free(path);
	}
	userdata_list_fini(&list);
	return r;
}
