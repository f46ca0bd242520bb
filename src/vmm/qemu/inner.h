/* SPDX-License-Identifier: MIT */
/*
 * What the files of this backend know of a guest.
 *
 *	qemu.c       the table: start, find, end
 *	monitor.c    the connection to its monitor: made, lost, made again
 *	run.c        run states and events
 *	transfer.c   being sent and received
 */
#ifndef DROVER_VMM_QEMU_INNER_H
#define DROVER_VMM_QEMU_INNER_H

#include "vmm/backend.h"
#include "vmm/qemu/argv.h"
#include "vmm/qemu/qmp.h"

#define QEMU_PTY_MAX 32u	   /* octets of "/dev/pts/N" */
#define QEMU_FIND_MS 500u	   /* for a guest of a former daemon to answer */
#define QEMU_RETRY_MS 200u	   /* until a monitor is connected to again */
#define QEMU_RETRIES_MAX 50u	   /* in a row */
#define QEMU_POLL_MS 100u	   /* between two questions for progress */
#define QEMU_SETTLE_MS 5u	   /* while a migration that failed is being wound up */
#define QEMU_SETTLE_TRIES 2000u	   /* of that */
#define QEMU_DOWNTIME_FIRST_MS 20u /* a guest may stand still, where nobody says how long */
#define QEMU_DOWNTIME_PASSES 3u	   /* then twice as long with each pass */
#define QEMU_DOWNTIME_MS 300u	   /* and no longer */
#define QEMU_FD_NAME "migration"   /* of the descriptor that a guest goes through */

/* What QEMU's query-status and query-migrate know, of the words that matter. */
enum qemu_run {
	QEMU_RUN_OTHER, /* stands still for a reason that is not told apart */
	QEMU_RUN_RUNNING,
	QEMU_RUN_INMIGRATE,
	QEMU_RUN_FINISH_MIGRATE,
	QEMU_RUN_POSTMIGRATE,
	QEMU_RUN_SHUTDOWN,
	QEMU_RUN_IO_ERROR,
	QEMU_RUN_PANICKED,
	QEMU_RUNS,
};

enum qemu_mig {
	QEMU_MIG_NONE,
	QEMU_MIG_ACTIVE, /* from setup to the last octet */
	QEMU_MIG_COMPLETED,
	QEMU_MIG_FAILED,
	QEMU_MIG_CANCELLED,
	QEMU_MIGS,
};

struct qemu_guest {
	struct vmm_guest *g;
	struct qmp *q; /* owned; NULL: not connected */
	struct vmm_io io;
	struct vmm_timer retry;	   /* connects again */
	struct vmm_timer deadline; /* of the oldest call */
	unsigned int retries;
	bool finding; /* in qemu's find: states are set, not told */
	bool recall;  /* a former daemon's: what it was doing has not been asked yet */
	bool synced;  /* since it was connected, its state has been asked for */

	off_t log_from; /* where its part of the log begins */
	unsigned int start_flags;
	struct vmm_call *start;	 /* borrowed, NULL: over */
	struct vmm_call *resume; /* borrowed: a `cont` that waits for the end of a migration */
	struct vmm_timer again;	 /* asks it again */
	unsigned int resume_tries;
	enum def_action on_poweroff, on_reboot, on_crash;
	unsigned int stops;	     /* of ours, not answered yet */
	enum vmm_reason stop_reason; /* why it stops next, VMM_REASONS: nobody said */
	enum vmm_reason end_reason;  /* why it ends, VMM_REASONS: nobody said */
	unsigned int vnc_port;	     /* 0: none */
	char pty[ARGV_SERIALS_MAX][QEMU_PTY_MAX];

	/* Being sent. */
	enum qemu_mig mig; /* as was told last */
	struct vmm_timer poll, settle;
	unsigned int settle_tries;
	struct vmm_call *send; /* borrowed, NULL: it has begun */
	bool spent;	       /* was sent whole, and has not run since */
	bool blinking;	       /* runs for a moment, which is told to nobody */
	bool cancelled;
	bool patient; /* downtime_ms follows the passes */
	unsigned int pass;
	uint32_t downtime_ms;
	bool polling;		 /* an answer is awaited */
	int send_err;		 /* what it failed of, until that is told */
	char why[VMM_ERROR_MAX]; /* that in words */
};

/* Its private part. */
struct qemu_guest *qemu_of(const struct vmm_guest *g);

/* ---- monitor.c ---- */

/* Connects, and asks how it is: qemu_run_synced. < 0: not now, it is tried again. */
int qemu_monitor_connect(struct qemu_guest *qg);
void qemu_monitor_close(struct qemu_guest *qg);
/* As qmp_call, with qg as data of done. */
int qemu_ask(struct qemu_guest *qg, const char *command, struct json_object *args, int fd,
	     qmp_done_fn *done);
/* The same with a call of the daemon's as data of done, which ends it. */
int qemu_ask_call(struct qemu_guest *qg, const char *command, qmp_done_fn *done,
		  struct vmm_call *call);
/* Serves what is there; of a process that has ended. */
void qemu_monitor_drain(struct qemu_guest *qg);
/* Awaits qg->synced, no longer than this. */
void qemu_monitor_await(struct qemu_guest *qg, uint64_t ms);

/* ---- run.c ---- */

void qemu_run_event(void *data, const char *name, struct json_object *event_data);
/* Asks for all that is to be known after a connection was made. */
void qemu_run_sync(struct qemu_guest *qg);
enum qemu_run qemu_run_of(const char *status);
/* Makes the state what QEMU says it is. */
void qemu_run_apply(struct qemu_guest *qg, enum qemu_run run);
/* The guest stands still for `reason`. */
void qemu_run_enter(struct qemu_guest *qg, enum vmm_state state, enum vmm_reason reason);
int qemu_run_pause(struct vmm_guest *g, struct vmm_call *call);
int qemu_run_resume(struct vmm_guest *g, struct vmm_call *call);
int qemu_run_shutdown(struct vmm_guest *g, struct vmm_call *call);
int qemu_run_reboot(struct vmm_guest *g, struct vmm_call *call);

/* ---- transfer.c ---- */

enum qemu_mig qemu_mig_of(const char *status);
void qemu_transfer_capabilities(struct qemu_guest *qg);
/* The event MIGRATION_PASS: it begins to send what was written meanwhile, once more. */
void qemu_transfer_pass(struct qemu_guest *qg, unsigned int pass);
/* The event MIGRATION, and the same after a connection was made again. */
void qemu_transfer_entered(struct qemu_guest *qg, enum qemu_mig mig);
void qemu_transfer_synced(struct qemu_guest *qg, enum qemu_run run);
int qemu_transfer_send(struct vmm_guest *g, int fd, const struct vmm_send_options *opt,
		       struct vmm_call *call);
int qemu_transfer_cancel(struct vmm_guest *g);
int qemu_transfer_tune(struct vmm_guest *g, const struct vmm_send_options *opt);
int qemu_transfer_receive(struct vmm_guest *g, int fd);

#endif
