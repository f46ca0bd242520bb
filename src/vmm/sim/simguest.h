/* SPDX-License-Identifier: MIT */
/*
 * The process of a simulated guest: memory that ticks, a log of each tick, and the sending and
 * receiving of that memory. One thread, one poll loop (simguest_main.c).
 */
#ifndef DROVER_VMM_SIM_SIMGUEST_H
#define DROVER_VMM_SIM_SIMGUEST_H

#include "vmm/agent_end.h"
#include "vmm/sim/stream.h"
#include "vmm/vmm.h"

#define SIMGUEST_TICK_MS 10u	       /* where the command line says nothing */
#define SIMGUEST_MEMORY_MAX_KIB 16384u /* as little of its memory is simulated, at most */
#define SIMGUEST_SEND_CHUNK 262144u    /* octets written before ticks and calls are looked at */
#define SIMGUEST_RECEIVE_CHUNK 65536u
#define SIMGUEST_PROGRESS_MS 100u
#define SIMGUEST_DOWNTIME_MS 300u /* where the daemon says nothing */
#define SIMGUEST_THROTTLE_MAX 95u /* percent */

/* What the words of the guest's kernel command line ask for. */
struct simguest_words {
	uint32_t tick_ms;	/* tick=N */
	uint32_t dirty;		/* dirty=N: pages written in each tick */
	uint64_t crash, reboot; /* crash=N, reboot=N: at that tick; 0: never */
	uint64_t poweroff;	/* poweroff=N: switches itself off */
	uint64_t ioerror;	/* ioerror=N: is stopped as for an I/O error */
	bool deaf;		/* deaf: asked to shut down, it does not */
	bool fill;		/* fill: all pages have something in them */
};

/* What the guest's processor keeps: the start of its first page, and so part of what is sent. */
struct simguest_cpu {
	uint64_t ticks, random;
};

struct simguest_sender {
	int fd; /* -1: nothing is being sent */
	struct agent_options opt;
	uint8_t *chunk; /* owned */
	size_t chunk_len, chunk_at;
	uint64_t cursor; /* the next page that this round looks at */
	uint32_t round;
	uint64_t todo;	     /* pages that this round has left */
	uint64_t dirty_last; /* pages that were left when the round began */
	uint64_t n_pages, constant, processed;
	uint64_t begun_ns, stopped_ns, told_ns;
	uint64_t told_processed, told_dirtied;
	uint64_t rate_bps, dirty_rate_pages;
	uint64_t budget_ns; /* bandwidth: not before this time */
	uint32_t throttle;
	bool cpu_sent, end_sent;
	struct agent_progress last;
};

struct simguest {
	const char *name, *host, *log_path;
	uint8_t uuid[16];
	uint64_t epoch, pages;
	struct simguest_words words;

	uint8_t *memory;   /* mapped */
	uint64_t *dirty;   /* a bit for each page: written since it was last sent */
	uint64_t *touched; /* ever */
	uint64_t n_dirty, n_dirtied;

	int log, timer;
	struct agent_end end;

	struct agent_status status;
	struct simguest_sender send;
	int receive_fd;
	struct sim_reader reader;
	bool ends_at_reboot; /* as its definition says */
	bool ended;
	int exit_code;
};

uint64_t simguest_now_ns(void);

/* simguest_memory.c: 0, or a negative errno */
int simguest_memory_init(struct simguest *g);
struct simguest_cpu *simguest_cpu(struct simguest *g);
void simguest_touch(struct simguest *g, uint64_t page);
bool simguest_is_dirty(const struct simguest *g, uint64_t page);
void simguest_clean(struct simguest *g, uint64_t page);
void simguest_all_dirty(struct simguest *g); /* all that was ever touched */
void simguest_received_all(struct simguest *g);
/* One tick: counted in memory first, then logged. */
void simguest_tick(struct simguest *g);
void simguest_log(struct simguest *g, const char *what);
/* The timer, as state and throttle want it. */
void simguest_timer_arm(struct simguest *g);

/* simguest_state.c */
void simguest_enter(struct simguest *g, enum agent_state state, enum vmm_reason reason);
void simguest_reboot(struct simguest *g);
void simguest_end(struct simguest *g, const char *how, int exit_code);
void simguest_tell(struct simguest *g, enum agent_msg_type type, uint32_t id, int err,
		   const char *text);
/* What the daemon sent. False: it is gone. */
bool simguest_ctl_ready(struct simguest *g);
void simguest_ctl_accept(struct simguest *g);

/* simguest_send.c */
int simguest_send_begin(struct simguest *g, int fd, const struct agent_options *opt);
void simguest_send_tune(struct simguest *g, const struct agent_options *opt);
/* err 0: all was written. */
void simguest_send_end(struct simguest *g, int err, const char *text);
void simguest_send_some(struct simguest *g);
/* Milliseconds until some can be sent, where the bandwidth is limited; 0: now. */
int simguest_send_wait_ms(const struct simguest *g);

/* simguest_receive.c */
int simguest_receive_begin(struct simguest *g, int fd);
void simguest_receive_some(struct simguest *g);

#endif
