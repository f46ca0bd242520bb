/* SPDX-License-Identifier: MIT */
/*
 * Guests: all that the daemon asks of whatever runs them. A backend is a table of functions
 * (struct vmm_backend); the front in vmm.c checks what is common to all.
 *
 * Nothing here blocks but vmm_open and a new process's start. What takes time ends in a callback,
 * called from vmm_dispatch and never from within the call that asked for it. A backend has one
 * descriptor that becomes readable when it wants to be dispatched (an epoll of its own), so that it
 * needs no loop.
 *
 * A guest is a process of its own that outlives the daemon. Each has a directory,
 * <run_dir>/<uuid>/, from which vmm_open finds the guests of a former daemon again: how to reach it
 * (socket), who it is (pid and the time it started, held by a pidfd from then on), its definition
 * (def.xml is the caller's), its epoch, and whether it was received for a migration. A process that
 * has no such directory is never touched.
 */
#ifndef DROVER_VMM_VMM_H
#define DROVER_VMM_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/def.h"

struct vmm;
struct vmm_guest;

#define VMM_GUESTS_MAX 4096u /* guests of one host */
#define VMM_ERROR_MAX 512u   /* octets of an error's text */
#define VMM_MIGRATION_ID 37u /* text of a migration's id and its NUL */

enum vmm_state {
	VMM_STARTING, /* the process is there, the guest is not ready for calls */
	VMM_INCOMING, /* waits for, or receives, a guest's memory */
	VMM_PAUSED,
	VMM_RUNNING,
	VMM_GONE, /* the process has ended */
	VMM_STATES,
};

enum vmm_reason {
	VMM_BY_USER, /* vmm_pause, vmm_resume, vmm_destroy */
	VMM_BOOTED,
	VMM_MIGRATING, /* paused because it is being sent, or was received */
	VMM_SHUTDOWN,  /* gone: the guest switched itself off */
	VMM_REBOOTED,
	/* Gone: the guest, or its process, died. Paused: it has crashed and is preserved, or its
	 * process knows it no more, and leaves it as it is. */
	VMM_CRASHED,
	VMM_IO_ERROR,
	VMM_FOUND, /* found again by vmm_open */
	VMM_REASONS,
};

/* A migration's, octets and milliseconds; as far as the backend knows. */
struct vmm_progress {
	uint64_t memory_total, memory_remaining, memory_processed;
	uint64_t pages_constant, pages_normal;
	uint64_t rate_bps;	   /* octets a second */
	uint64_t dirty_rate_pages; /* pages a second */
	uint64_t page_size;
	uint64_t iteration;
	uint64_t elapsed_ms, setup_ms;
	uint64_t downtime_ms;	       /* expected, or, once it is over, measured */
	unsigned int throttle_percent; /* AUTO_CONVERGE */
	bool compressed;
	uint64_t compress_bytes, compress_pages;
};

/*
 * What a backend tells. guest is borrowed. Each is called from vmm_dispatch (changed and found also
 * from vmm_open). None may call vmm_free; any may call the functions below.
 */
struct vmm_events {
	/*
	 * A guest of a former daemon, before anything else about it; its state is known then, but
	 * VMM_STARTING where its process has not answered yet. Where the process has ended,
	 * changed to VMM_GONE follows at once.
	 */
	void (*found)(void *data, struct vmm_guest *guest);
	/* The state differs from before, or it rebooted (VMM_RUNNING again). On VMM_GONE the guest
	 * is to be vmm_guest_free'd. */
	void (*changed)(void *data, struct vmm_guest *guest, enum vmm_state state,
			enum vmm_reason reason);
	/* While it is being sent; once more after `sent`, where a backend knows what it took. */
	void (*progress)(void *data, struct vmm_guest *guest, const struct vmm_progress *p);
	/*
	 * The guest that is being sent has stopped for good; the rest of its memory is on its way.
	 */
	void (*stopped)(void *data, struct vmm_guest *guest);
	/*
	 * Sending ended. err 0: all was written, the guest is paused (VMM_MIGRATING) and keeps its
	 * memory. Negative errno with text: it failed or was cancelled, and the guest is as before:
	 * the backend makes it run again only where it had stopped it itself and `resume` was asked
	 * for (vmm_send_options), so -ECANCELED leaves it paused otherwise.
	 */
	void (*sent)(void *data, struct vmm_guest *guest, int err, const char *why);
	/* All of a guest was received: paused. Or it failed; it is then of no use: destroy it. */
	void (*received)(void *data, struct vmm_guest *guest, int err, const char *why);
	/* It writes so fast that a migration does not end: a new iteration began. */
	void (*iteration)(void *data, struct vmm_guest *guest, unsigned int n);
};

/* The end of a call. err: 0 or a negative errno, with why in words. */
typedef void vmm_done_fn(void *data, int err, const char *why);

struct vmm_options {
	const char *run_dir;   /* guests' directories; created where missing. Borrowed, as all */
	const char *log_dir;   /* a file for each guest's process */
	const char *host_name; /* for sim's log: where it ran */
	const char *program;   /* the emulator, or drover-simguest; NULL: the installed one */
};

struct vmm_send_options {
	uint64_t bandwidth_bps; /* octets a second; 0: no limit */
	uint32_t downtime_ms;	/* at most, where the backend can; 0: its default */
	bool live;		/* false: paused first */
	bool auto_converge, compressed;
};

enum { /* vmm_start */
       VMM_START_PAUSED = 1u << 0,
       VMM_START_INCOMING = 1u << 1, /* waits for vmm_receive; migration_id is its */
};

enum { /* vmm_can */
       VMM_CAN_LIVE = 1u << 0,
       VMM_CAN_AUTO_CONVERGE = 1u << 1,
       VMM_CAN_COMPRESS = 1u << 2,
       VMM_CAN_BANDWIDTH = 1u << 3,
       VMM_CAN_DOWNTIME = 1u << 4,
       VMM_CAN_CANCEL = 1u << 5,
       VMM_CAN_REBOOT = 1u << 6,
       /*
	* A guest is a domain of real Xen, whose part of the store, record and introduction are
	* libxl's: made before the guest is ready or received, gone before it is VMM_GONE.
	*/
       VMM_OWNS_STORE = 1u << 7,
};

/*
 * Opens a backend, "sim", "qemu" or "xl", and finds its guests. events and its data are borrowed
 * until vmm_free. -EINVAL: no such backend; or the system's error; logged.
 */
int vmm_open(const char *backend, const struct vmm_options *opt, const struct vmm_events *events,
	     void *data, struct vmm **ret);
/* Lets go of all guests, which go on. Accepts NULL. */
void vmm_free(struct vmm *v);

const char *vmm_name(const struct vmm *v);
const char *vmm_version(const struct vmm *v, unsigned long *ret_number); /* 7002000: 7.2.0 */
unsigned int vmm_can(const struct vmm *v);
/* The same of a backend by its name, also before it is open; 0: there is none. */
unsigned int vmm_backend_can(const char *backend);
int vmm_fd(const struct vmm *v);
/* Does what is to be done. < 0: -ENOMEM or the system's error, and no guest can be trusted. */
int vmm_dispatch(struct vmm *v);
/* Milliseconds until it is to be dispatched although the descriptor is silent; -1: never. */
int vmm_timeout_ms(const struct vmm *v);

/*
 * Whether the backend can run such a guest: 0, or -EINVAL or -EOPNOTSUPP with text (room octets)
 * that names the element.
 */
int vmm_check(struct vmm *v, const struct guest_def *def, char *text, size_t room);

/*
 * Starts a guest. def is copied. epoch is written into its directory, migration_id too (NULL: none
 * ). done tells when it is VMM_RUNNING, VMM_PAUSED or VMM_INCOMING, or why it could not; then it is
 * gone and is to be freed. *ret_guest is valid at once. -EEXIST: there is a guest of this uuid;
 * -ENOSPC; the system's error: no process could be started, *ret_guest is not set.
 */
int vmm_start(struct vmm *v, const struct guest_def *def, unsigned int flags, uint64_t epoch,
	      const char *migration_id, vmm_done_fn *done, void *data,
	      struct vmm_guest **ret_guest);
/* Why vmm_start has just returned an error, naming what is wrong. Borrowed until the next one. */
const char *vmm_start_why(const struct vmm *v);

/* Of a guest that is VMM_GONE, or was only just started and failed: removes its directory. */
void vmm_guest_free(struct vmm_guest *g);

/* The caller's own pointer; NULL at first. */
void vmm_guest_set_data(struct vmm_guest *g, void *data);
void *vmm_guest_data(const struct vmm_guest *g);
enum vmm_state vmm_guest_state(const struct vmm_guest *g);
enum vmm_reason vmm_guest_reason(const struct vmm_guest *g);
const uint8_t *vmm_guest_uuid(const struct vmm_guest *g);
uint64_t vmm_guest_epoch(const struct vmm_guest *g);
/* "" : it was not received for a migration, or that is over (vmm_set_epoch). */
const char *vmm_guest_migration_id(const struct vmm_guest *g);
int vmm_guest_pid(const struct vmm_guest *g);
/*
 * VMM_OWNS_STORE: the domain's number: known once it is VMM_RUNNING or VMM_PAUSED, another one
 * after VMM_REBOOTED. -1: it has none, or it is not known.
 */
int vmm_guest_domid(const struct vmm_guest *g);
/*
 * VMM_OWNS_STORE, before vmm_receive: the number that it is to have where that is free (for Xen's
 * tools it is not until a minute after it was another's), and otherwise any. -1: none is wished
 * for. Forgotten when the daemon ends.
 */
void vmm_set_domid_wish(struct vmm_guest *g, int domid);
/*
 * VMM_OWNS_STORE, once it is stopped or received: it was suspended without its help (it has no
 * drivers of Xen's), so that it goes on without knowing. False of any other guest.
 */
bool vmm_guest_is_unaware(const struct vmm_guest *g);
/* <run_dir>/<uuid>: the caller may keep files of its own in it; they go with the guest. */
const char *vmm_guest_dir(const struct vmm_guest *g);
/* Nanoseconds of processor time so far. VMM_OWNS_STORE: as of when it was asked for last. */
uint64_t vmm_guest_cpu_ns(struct vmm_guest *g);
/* Where a pty was asked for: the i-th serial's path; NULL: not known. */
const char *vmm_guest_pty(const struct vmm_guest *g, unsigned int i);
/* Where its screen is served (VNC), on the address that was asked for; 0: not known. */
unsigned int vmm_guest_vnc_port(const struct vmm_guest *g);

/* In its directory when it returns: the epoch it runs in from now on, and no migration id. */
int vmm_set_epoch(struct vmm_guest *g, uint64_t epoch);

/*
 * Calls on a guest. done is called once, always, but for vmm_free. They return 0, or a negative
 * errno and then done is not called: -EINVAL: not in this state; -ENOTCONN: gone. done may be NULL.
 * Pausing what is paused and resuming what runs succeeds.
 */
int vmm_pause(struct vmm_guest *g, vmm_done_fn *done, void *data);
int vmm_resume(struct vmm_guest *g, vmm_done_fn *done, void *data);
int vmm_shutdown(struct vmm_guest *g, vmm_done_fn *done, void *data); /* asks the guest */
int vmm_reboot(struct vmm_guest *g, vmm_done_fn *done, void *data);
/*
 * Ends the process, hard (SIGKILL by pidfd) if it does not end by itself in a second; graceful
 * false: at once. With VMM_OWNS_STORE it is the domain that is destroyed, at once. done comes with
 * VMM_GONE, after events->changed.
 */
int vmm_destroy(struct vmm_guest *g, bool graceful, vmm_done_fn *done, void *data);

/*
 * Sends the guest's memory over fd, a connected stream that is the backend's from now on (also on
 * failure). events->stopped and events->sent tell. done: it has begun.
 */
int vmm_send(struct vmm_guest *g, int fd, const struct vmm_send_options *opt, vmm_done_fn *done,
	     void *data);
/* events->sent follows, -ECANCELED, or 0 if it was over already. The guest stays paused if it was
 * stopped; the caller resumes it. -EINVAL: nothing is being sent. */
int vmm_send_cancel(struct vmm_guest *g);
/* While it is being sent. */
int vmm_send_tune(struct vmm_guest *g, const struct vmm_send_options *opt);
/* The stream from which an incoming guest is read, the backend's from now on. */
int vmm_receive(struct vmm_guest *g, int fd);
/* Whether all of it has been received: also known of a guest that was found again. */
bool vmm_guest_is_received(const struct vmm_guest *g);

#endif
