/* SPDX-License-Identifier: MIT */
/*
 * What a daemon does around its loop: directory and socket, pid file, going to the background,
 * telling systemd.
 */
#ifndef DROVER_XENSTORED_DAEMON_H
#define DROVER_XENSTORED_DAEMON_H

#include <stdbool.h>
#include <stddef.h>

/* XENSTORED_RUNDIR, else /run/xenstored. */
const char *daemon_rundir(void);

/*
 * Binds and listens at XENSTORED_PATH, else at socket in daemon_rundir, mode 0600. A path that
 * nobody listens at is replaced. *ret_fd is the caller's. -EADDRINUSE: a daemon answers there.
 * -ENAMETOOLONG, -errno; each is logged with the path.
 */
int daemon_listen(int *ret_fd);

/* Removes the socket's path. */
void daemon_unlisten(void);

/*
 * Writes pid and a newline to path, and holds a lock on the file as long as the process lives.
 * -EEXIST: another living process holds it. -errno. Logged.
 */
int daemon_write_pid(const char *path);

/* The pid file's descriptor, whose lock says that the daemon lives; -1: none. Borrowed. */
int daemon_pid_fd(void);

/*
 * Forks; the parent stays until daemon_ready, then exits 0, or 1 when the child ends before.
 * Returns in the child. -errno.
 */
int daemon_fork(void);

/* Serving: the waiting parent goes; READY=1 to NOTIFY_SOCKET where there is one. */
void daemon_ready(void);

/*
 * In a process that was forked since: what the calls above left open is not its own, and the
 * terminal is nobody's that waits for daemon_ready.
 */
void daemon_forget(void);

#endif
