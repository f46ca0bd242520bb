/* SPDX-License-Identifier: MIT */
/*
 * What a backend is, and what the front (vmm.c, guest*.c) does for it: directories, processes and
 * their ends, calls and their callbacks, descriptors, timers, and the checks of states. Only the
 * front calls the daemon's callbacks.
 *
 * A call that may end later is a struct vmm_call. The front makes it before it asks the backend,
 * who ends it by vmm_call_end at any time, from anywhere: its callback comes from vmm_dispatch.
 * Calls that a guest's end leaves open are ended by the front.
 */
#ifndef DROVER_VMM_BACKEND_H
#define DROVER_VMM_BACKEND_H

#include <sys/types.h>

#include "base/list.h"
#include "vmm/vmm.h"

#define VMM_SPAWN_FDS_MAX 16u /* descriptors given to a guest's process */
#define VMM_QUIT_MS 1000u     /* a process that was asked to end has so long */

struct vmm_call;

/* A descriptor in the front's epoll, embedded in whatever it belongs to; `fd` -1: in none. */
struct vmm_io {
	int fd;							 /* borrowed */
	void (*ready)(struct vmm_io *io, uint32_t epoll_events); /* from vmm_dispatch */
	struct vmm *v;
};

/* Runs once, from vmm_dispatch; 0 ms: in the next one, so that a call can defer. */
struct vmm_timer {
	struct list link;
	uint64_t due_ms;
	void (*run)(struct vmm_timer *t);
};

struct vmm_guest {
	struct list link;
	struct vmm *v;
	void *priv;  /* the backend's, guest_size octets, zeroed; owned by the front */
	void *owner; /* vmm_guest_set_data */

	/* Known of every guest, also of one found again. */
	uint8_t uuid[DEF_UUID_SIZE];
	char name[DEF_NAME_MAX + 1];
	uint64_t memory_kib;
	unsigned int vcpus;
	uint64_t epoch;
	char migration_id[VMM_MIGRATION_ID];
	char *dir; /* owned */
	int dir_fd;
	struct guest_def *def; /* owned; NULL of a guest found again */
	int domid, domid_wish; /* -1: none; domid is the backend's to set, as unaware is */
	bool unaware;

	pid_t pid; /* 0: no process yet */
	int pidfd; /* -1: none, or over */
	struct vmm_io exit_io;
	struct vmm_timer kill_timer;

	/* Set by the front; by a backend in `find` only. */
	enum vmm_state state;
	enum vmm_reason reason;
	bool incoming;	/* started to receive */
	bool receiving; /* vmm_receive was called, and has not ended */
	bool received;
	bool sending; /* vmm_send was called, and has not ended */
	bool stopped; /* for the end of the sending */

	bool destroying; /* by vmm_destroy */
	bool released;	 /* be->release was called */
	int err;	 /* vmm_guest_set_why */
	char why[VMM_ERROR_MAX];
	struct list calls;
};

struct vmm_backend {
	const char *name; /* vmm_open's, and in a guest's directory */
	unsigned int can; /* VMM_CAN_* */
	/* Follows <on_poweroff>, <on_reboot> and <on_crash> also where they say "preserve"; all
	 * follow "destroy" and "restart". */
	bool preserves;
	size_t size; /* of vmm_priv */
	size_t guest_size;
	/*
	 * What the front gives a process that was asked to end; 0: VMM_QUIT_MS. With `outlives` it
	 * is also asked where it would be killed at once otherwise.
	 */
	unsigned int quit_ms;

	/* The backend's own, before any guest. < 0: vmm_open fails; logged. */
	int (*open)(struct vmm *v);
	/* After all guests were released. NULL: nothing to do. Also when `open` failed. */
	void (*close)(struct vmm *v);
	const char *(*version)(const struct vmm *v, unsigned long *ret_number);
	/* The front has judged name, memory and vcpus. As vmm_check. */
	int (*check)(struct vmm *v, const struct guest_def *def, char *text, size_t room);

	/*
	 * Directory and def are there, the state is VMM_STARTING. Ends in vmm_spawn; the rest is
	 * awaited. When the guest is ready: vmm_guest_enter, and vmm_call_end. If it cannot be:
	 * vmm_guest_fail. < 0: no process was started; why is in vmm_guest_set_why.
	 */
	int (*start)(struct vmm_guest *g, unsigned int flags, struct vmm_call *call);
	/*
	 * A process of a former daemon, alive. May wait for it for a short time. Sets state,
	 * incoming, received, receiving, sending, stopped directly, without events; leaves
	 * VMM_STARTING where it does not answer, and then tells later by vmm_guest_enter.
	 * < 0: it can never be reached: logged; it stays VMM_STARTING and can only be destroyed.
	 */
	int (*find)(struct vmm_guest *g);
	/*
	 * NULL: a guest is its process. Otherwise: the process has ended, and the guest may not
	 * have: true if it goes on, and then the backend has another process take its place, by
	 * vmm_spawn, soon. What the guest is, and what was open, is learned from that one.
	 */
	bool (*outlives)(struct vmm_guest *g, int status);
	/* With `outlives`, of one found again: starts that process, before `find`. 0: it is there;
	 * -ENOENT: the guest has ended, too; < 0: it could not be started: as -ENOENT, but logged.
	 */
	int (*revive)(struct vmm_guest *g);
	/*
	 * The process has ended (or, of one found again, had ended). status: wait's, -1 where it is
	 * not ours to wait for. Returns why: VMM_SHUTDOWN, VMM_CRASHED ... It may still read what
	 * the process left in its socket; vmm_guest_set_why says more. `release` follows.
	 */
	enum vmm_reason (*died)(struct vmm_guest *g, int status);
	/* Lets go of descriptors, timers and memory. The process may go on. Called once. */
	void (*release)(struct vmm_guest *g);

	/* As the functions of vmm.h. The front has checked the state, and answered what is so
	 * already. 0: the call will be ended; < 0: it is not taken, and the front drops it. */
	int (*pause)(struct vmm_guest *g, struct vmm_call *call);
	int (*resume)(struct vmm_guest *g, struct vmm_call *call);
	int (*shutdown)(struct vmm_guest *g, struct vmm_call *call);
	int (*reboot)(struct vmm_guest *g, struct vmm_call *call); /* NULL: -EOPNOTSUPP */
	/* Asks the process to end; the front kills it if it has not after VMM_QUIT_MS. */
	void (*quit)(struct vmm_guest *g);

	/* fd is the backend's, also on failure. 0: vmm_guest_sent will be called, once. */
	int (*send)(struct vmm_guest *g, int fd, const struct vmm_send_options *opt,
		    struct vmm_call *call);
	int (*send_cancel)(struct vmm_guest *g);
	int (*send_tune)(struct vmm_guest *g, const struct vmm_send_options *opt);
	/* fd as for send. 0: vmm_guest_receive_ended will be called, once. */
	int (*receive)(struct vmm_guest *g, int fd);

	const char *(*pty)(const struct vmm_guest *g, unsigned int i); /* NULL: knows none */
	uint64_t (*cpu_ns)(struct vmm_guest *g);		       /* NULL: its process's */
	unsigned int (*vnc_port)(const struct vmm_guest *g);	       /* NULL: knows none */
};

/* The tables, listed in backends.c. */
const struct vmm_backend *sim_backend(void);
const struct vmm_backend *qemu_backend(void);
const struct vmm_backend *xl_backend(void);
/* NULL: none of this name. */
const struct vmm_backend *vmm_backend_find(const char *name);

void *vmm_priv(const struct vmm *v);
const struct vmm_options *vmm_options(const struct vmm *v); /* log_dir, program ... as given */

/* As vmm_open with any backend: for tests. */
int vmm_open_backend(const struct vmm_backend *be, const struct vmm_options *opt,
		     const struct vmm_events *events, void *data, struct vmm **ret);

/* ---- descriptors and timers ---- */

/* 0, or the system's error: logged. */
int vmm_io_add(struct vmm *v, struct vmm_io *io, int fd, uint32_t epoll_events,
	       void (*ready)(struct vmm_io *io, uint32_t epoll_events));
/* Which events it waits for now; 0: none but EPOLLHUP and EPOLLERR. */
void vmm_io_want(struct vmm_io *io, uint32_t epoll_events);
/* Does not close. Harmless where it was not added (fd -1) and while it is being dispatched. */
void vmm_io_remove(struct vmm_io *io);

void vmm_timer_init(struct vmm_timer *t); /* before anything else */
void vmm_timer_set(struct vmm *v, struct vmm_timer *t, uint64_t in_ms,
		   void (*run)(struct vmm_timer *t));
void vmm_timer_stop(struct vmm_timer *t); /* harmless where it was not set */
uint64_t vmm_now_ms(void);		  /* CLOCK_MONOTONIC */

/* ---- calls ---- */

/* err: 0 or a negative errno; why may be NULL. NULL call: nothing. */
void vmm_call_end(struct vmm_call *call, int err, const char *why);

/* ---- processes and directories ---- */

/*
 * Starts the guest's process: in a session of its own, standard input from /dev/null, output and
 * errors to <log_dir>/<name>.log (appended), fds[i] as descriptor 3 + i (they stay the caller's),
 * nothing else open, working directory that of the guest. The process writes its pid into the
 * directory before it becomes the program, so that no daemon ever misses it. Waits until it is
 * the program. < 0: it is not; nothing is left; why is set.
 */
int vmm_spawn(struct vmm_guest *g, const char *program, char *const argv[], const int *fds,
	      size_t n_fds);
/* A listening unix socket in its directory, close-on-exec; and a connection to one, non-blocking.
 * However long the path is. The descriptor, or < 0: the system's error. */
int vmm_guest_listen(struct vmm_guest *g, const char *file, int type);
int vmm_guest_connect(struct vmm_guest *g, const char *file, int type);
/* Replaces a small file of its directory, durably: the old or the new is there. */
int vmm_guest_write_file(struct vmm_guest *g, const char *file, const void *data, size_t len);
/* Octets read (a NUL is put behind), or < 0: -ENOENT, -EFBIG, the system's error. */
ssize_t vmm_guest_read_file(struct vmm_guest *g, const char *file, char *buf, size_t room);

/* ---- what a backend tells; from a vmm_io or vmm_timer only, and nothing of a released guest ----
 *
 * Any of them may end in the daemon's vmm_guest_free once the guest is VMM_GONE, but only
 * the front makes a guest VMM_GONE: so g stays valid.
 */
void vmm_guest_enter(struct vmm_guest *g, enum vmm_state state, enum vmm_reason reason);
/* Why calls that are open fail when it ends; the first one holds. why may be NULL. */
void vmm_guest_set_why(struct vmm_guest *g, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* What failed is tried again. */
void vmm_guest_clear_why(struct vmm_guest *g);
/* It is of no use: set_why, and SIGKILL. What follows comes when the process has ended. */
void vmm_guest_fail(struct vmm_guest *g, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void vmm_guest_progress(struct vmm_guest *g, const struct vmm_progress *p);
void vmm_guest_stopped(struct vmm_guest *g);
void vmm_guest_sent(struct vmm_guest *g, int err, const char *why);
/* 0: the state is to be VMM_PAUSED, VMM_MIGRATING by vmm_guest_enter before. */
void vmm_guest_receive_ended(struct vmm_guest *g, int err, const char *why);
void vmm_guest_iteration(struct vmm_guest *g, unsigned int n);

#endif
