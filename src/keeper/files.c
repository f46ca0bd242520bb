/* SPDX-License-Identifier: MIT */
/*
 * Files. Invariant: the journal is open only while its lock is held, by this process and by every
 * worker, so that nobody else can take it before the last of them is gone.
 */
#include "keeper/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define LOCK_LOOK_MS 2

static const char *const names[SEAT_JOURNAL_FILES] = { "area", "base.0", "log.0", "base.1",
						       "log.1" };

static int failed(const char *dir, const char *name, int err)
{
	log_error("journal %s/%s: %s", dir, name, strerror(err));
	return -err;
}

static int open_in(const char *dir, const char *name, int *ret_fd)
{
	char path[4096];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return failed(dir, name, ENAMETOOLONG);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return failed(dir, name, errno);
	*ret_fd = fd;
	return 0;
}

/* flock has no time limit; the wait is for a process that is being killed already. */
static int lock_journal(const char *dir, int fd)
{
	int waited_ms = 0;

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return failed(dir, "lock", errno);
		if (waited_ms >= FILES_LOCK_WAIT_MS) {
			log_error("journal %s: a living daemon has it", dir);
			return -EBUSY;
		}
		poll(NULL, 0, LOCK_LOOK_MS);
		waited_ms += LOCK_LOOK_MS;
	}
	return 0;
}

int files_open_journal(struct worker_seat *seat, const char *rundir, bool discard)
{
	char dir[4000];
	int r;

	if (snprintf(dir, sizeof(dir), "%s/journal", rundir) >= (int)sizeof(dir))
		return failed(rundir, "journal", ENAMETOOLONG);
	if (mkdir(dir, 0700) && errno != EEXIST)
		return failed(rundir, "journal", errno);
	r = open_in(dir, "lock", &seat->lock);
	if (!r)
		r = lock_journal(dir, seat->lock);
	for (size_t i = 0; i < SEAT_JOURNAL_FILES && !r; i++) {
		r = open_in(dir, names[i], &seat->journal[i]);
		if (!r && discard && ftruncate(seat->journal[i], 0))
			r = failed(dir, names[i], errno);
	}
	return r;
}

int files_read_boot_id(struct worker_seat *seat)
{
	int fd = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		err = errno;
	else if (read(fd, seat->boot_id, SEAT_BOOT_ID_LEN) != SEAT_BOOT_ID_LEN)
		err = EIO;
	if (fd >= 0)
		close(fd);
	if (err)
		log_error("%s: %s", BOOT_ID_PATH, strerror(err));
	return -err;
}

int files_open_for_worker(enum proto_open how, const char *path)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	struct stat st;
	int fd;

	/* O_NONBLOCK: a pipe without a reader must not stop the keeper */
	fd = open(path, flags | O_APPEND, how == PROTO_OPEN_APPEND ? 0600 : 0644);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) ||
	    (S_ISREG(st.st_mode) && st.st_mode & 07111)) {
		close(fd);
		return -EPERM;
	}
	if ((how == PROTO_OPEN_REPLACE && S_ISREG(st.st_mode) && ftruncate(fd, 0)) ||
	    fcntl(fd, F_SETFL, O_APPEND)) {
		int err = errno;

		close(fd);
		return -err;
	}
	return fd;
}
