/* SPDX-License-Identifier: MIT */
/*
 * drover-xlguest: the process that looks after one domain of real Xen, by libxl. One thread and one
 * poll loop, in which libxl's own descriptors are, too; and a second thread that carries a guest's
 * memory to the network while it is being sent (xlguest_pump.c).
 *
 * At most one long operation of libxl's goes on at a time. What the process has to know after it
 * died is in one small file of the guest's directory (struct xlguest_record), replaced before
 * libxl is asked for what it describes and again when that is done.
 */
#ifndef DROVER_VMM_XL_XLGUEST_H
#define DROVER_VMM_XL_XLGUEST_H

#include <libxl.h>
#include <libxl_event.h>
#include <xentoollog.h>

#include "vmm/agent_end.h"
#include "vmm/def.h"
#include "vmm/vmm.h"

#define XLGUEST_POLLS_MAX 64	       /* descriptors of libxl's */
#define XLGUEST_RECORD_MAX 64u	       /* octets of the record */
#define XLGUEST_CONFIG_MAX (16u << 20) /* octets of a configuration */
#define XLGUEST_PROGRESS_MS 250u       /* between two reports while it is being sent */
#define XLGUEST_AGAIN_MS 1000u	       /* until a domain that did not end is destroyed again */
#define XLGUEST_RECORD_FILE "domain"

enum xlguest_phase {
	XLGUEST_CREATING,  /* there may be a half-made domain of our uuid */
	XLGUEST_WAITING,   /* for a stream: there is no domain */
	XLGUEST_RESTORING, /* as XLGUEST_CREATING */
	XLGUEST_MADE,
	XLGUEST_SENDING,
	XLGUEST_ENDING, /* whatever there is of it goes */
	XLGUEST_PHASES,
};

struct xlguest_record {
	enum xlguest_phase phase;
	int domid; /* -1: none, or not known yet */
	bool received;
};

/* Which operation of libxl's goes on; its number is the event's for_user. */
enum xlguest_op {
	XLGUEST_NOTHING,
	XLGUEST_OP_CREATE,
	XLGUEST_OP_RESTORE,
	XLGUEST_OP_SUSPEND,
	XLGUEST_OP_DESTROY,
};

struct xlguest_log {
	xentoollog_logger logger;	    /* first: libxl knows this much of it */
	char error[AGENT_TEXT_MAX];	    /* the last one; "" since the operation began */
	unsigned long frames, frames_total; /* of the iteration that is being sent */
	uint32_t iteration;
};

struct xlguest_pump;
struct xs_handle;

struct xlguest {
	const char *name;
	uint8_t uuid[DEF_UUID_SIZE];
	uint64_t epoch;
	bool paused; /* is not to run once it is made */

	libxl_ctx *ctx;
	struct xlguest_log log;
	libxl_domain_config config; /* as long as libxl makes the domain */
	bool has_config;
	libxl_evgen_domain_death *death; /* NULL: not watched */
	struct xlguest_record record;

	enum xlguest_op op;
	uint32_t made; /* domid that libxl writes */
	bool aborting;
	bool rebooting; /* destroyed to be created anew */
	bool unknown;	/* what is known of it cannot be read: it is left as it is (last_error) */
	char end[16];	/* "": it goes on; else how it ends, once nothing else goes on */
	char end_why[AGENT_TEXT_MAX];
	uint64_t again_ms; /* 0: nothing is to be tried again */

	struct agent_end ctl;
	struct agent_status status;
	struct agent_options send_options;
	struct agent_progress progress;
	char last_error[AGENT_TEXT_MAX]; /* of sending or receiving; or why it is unknown */
	struct xlguest_pump *pump;	 /* NULL: nothing is being sent */
	uint64_t begun_ms, stopped_ms, told_ms, told_octets;
	bool wished;			/* for a number, of the domain that is being restored */
	int receive_fd, send_fd;	/* -1: none; send_fd: the pump's pipe */
	int send_rc;			/* of libxl's part */
	bool send_cancelled, send_over; /* over: all was sent */
	struct xs_handle *aid;		/* NULL: it needs none */

	bool over;
	int exit_code;
};

uint64_t xlguest_now_ms(void);

/* ---- xlguest_file.c ---- */

/* Replaces a file of the directory; < 0: a negative errno, logged. */
int xlguest_file_write(const char *file, const char *text);
int xlguest_record_write(const struct xlguest *g);
/* -ENOENT; -EBADMSG: not as it was written. */
int xlguest_record_read(struct xlguest *g);
/* Reads it into g->config, with the wished number (-1: any). < 0: why in g->log.error. */
int xlguest_config_read(struct xlguest *g, int domid);

/* ---- xlguest_log.c ---- */

void xlguest_log_init(struct xlguest_log *l);
/* An operation begins: errors before it are not its. */
void xlguest_log_reset(struct xlguest_log *l);
/* Why it failed, in libxl's words where it had any, else in ours. */
const char *xlguest_log_why(const struct xlguest_log *l, const char *otherwise);
/* libxl's code as a negative errno. */
int xlguest_errno(int rc);

/* ---- xlguest_life.c: the domain ---- */

int xlguest_create(struct xlguest *g);
int xlguest_restore(struct xlguest *g, int fd, int domid); /* fd is taken */
/* Goes on with whatever the former process left. < 0: it cannot even be looked at now. */
int xlguest_again(struct xlguest *g);
/* Ends it as soon as nothing else goes on; the first how and why hold. */
void xlguest_end(struct xlguest *g, const char *how, const char *why);
/* Nothing was made, and whatever has its uuid is not ours. */
void xlguest_end_unmade(struct xlguest *g, const char *how, const char *why);
void xlguest_op_done(struct xlguest *g, int rc);
void xlguest_domain_event(struct xlguest *g, const libxl_event *event);
void xlguest_again_due(struct xlguest *g);
int xlguest_watch_death(struct xlguest *g);
/* Notes whether the guest would know that it was suspended. */
void xlguest_look_aware(struct xlguest *g);
/* Suspended: by itself, so that its memory could be sent; paused: by the hypervisor. */
int xlguest_look(struct xlguest *g, bool *ret_suspended, bool *ret_paused);

/* ---- xlguest_send.c ---- */

int xlguest_send(struct xlguest *g, int fd, const struct agent_options *opt); /* fd is taken */
int xlguest_send_cancel(struct xlguest *g);
void xlguest_send_tune(struct xlguest *g, const struct agent_options *opt);
void xlguest_send_stopped(struct xlguest *g);
void xlguest_send_op_done(struct xlguest *g, int rc);
void xlguest_send_pump_ready(struct xlguest *g);
void xlguest_send_tick(struct xlguest *g); /* every XLGUEST_PROGRESS_MS */

/* ---- xlguest_aid.c: of a guest that does not know what it is to be suspended ---- */

void xlguest_aid_begin(struct xlguest *g); /* a sending has begun */
void xlguest_aid_end(struct xlguest *g);   /* harmless where there is none */
int xlguest_aid_fd(const struct xlguest *g);
void xlguest_aid_ready(struct xlguest *g);

/* ---- xlguest_call.c: the daemon ---- */

void xlguest_enter(struct xlguest *g, enum agent_state state, enum vmm_reason reason);
void xlguest_tell(struct xlguest *g, enum agent_msg_type type, uint32_t id, int err,
		  const char *text);
/* What the daemon sent; false: nothing more, or it is gone. */
bool xlguest_call_take(struct xlguest *g);
void xlguest_call_accept(struct xlguest *g);

/* ---- xlguest_pump.c: a thread ---- */

/*
 * Carries what is written into *ret_fd (the caller's, to be closed at the end) to fd, which is
 * taken. -ENOMEM, or the system's error.
 */
int xlguest_pump_new(int fd, uint64_t bandwidth_bps, struct xlguest_pump **ret, int *ret_fd);
/* Waits for the thread. Accepts NULL. */
void xlguest_pump_free(struct xlguest_pump *p);
int xlguest_pump_fd(const struct xlguest_pump *p); /* readable once it failed or is through */
void xlguest_pump_set_bandwidth(struct xlguest_pump *p, uint64_t bps);
/* What comes from now on goes nowhere. */
void xlguest_pump_cancel(struct xlguest_pump *p);
uint64_t xlguest_pump_octets(const struct xlguest_pump *p);
/* 0: it goes on; 1: all of it was written; < 0: it could not be. */
int xlguest_pump_state(const struct xlguest_pump *p);

#endif
