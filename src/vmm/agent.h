/* SPDX-License-Identifier: MIT */
/*
 * The daemon's end of a guest whose process is a program of ours, drover-simguest or
 * drover-xlguest, and talks by vmm/agent_proto.h. Most are functions for a backend's table, with
 * the contracts of vmm/backend.h; guest_size has to be sizeof(struct agent_guest).
 */
#ifndef DROVER_VMM_AGENT_H
#define DROVER_VMM_AGENT_H

#include "vmm/agent_proto.h"
#include "vmm/backend.h"

#define AGENT_CALLS_MAX 32u /* of one guest, not answered yet */

struct agent_call {
	uint32_t id; /* 0: free */
	bool waits;  /* until the process has answered a greeting */
	struct {
		enum agent_msg_type type;
		uint64_t epoch;
	} what; /* that waits */
	struct vmm_call *call;
};

struct agent_guest {
	struct vmm_guest *g; /* borrowed */
	int ctl;	     /* -1: none */
	struct vmm_io io;
	struct vmm_timer greet;	      /* to be greeted again */
	uint32_t last_id, greeted_id; /* greeted_id: the last before it was greeted */
	uint64_t cpu_ns;	      /* as it said last */
	uint64_t look_ms;	      /* when it was last asked for that */
	struct vmm_call *start;	      /* until it is ready */
	struct agent_call calls[AGENT_CALLS_MAX];
};

/* Before anything else of a guest that is started. */
void agent_init(struct vmm_guest *g);
/* Its process is there, and its socket, AGENT_CTL_FILE, listens; call ends when it is ready. */
void agent_start(struct vmm_guest *g, struct vmm_call *call);

/*
 * Its process has ended and another one takes its place: what it said is taken, and the next one is
 * greeted. A child that it left may still hold its end, so that the connection alone tells nothing.
 */
void agent_lost(struct vmm_guest *g);

int agent_find(struct vmm_guest *g);
void agent_release(struct vmm_guest *g);
int agent_pause(struct vmm_guest *g, struct vmm_call *call);
int agent_resume(struct vmm_guest *g, struct vmm_call *call);
int agent_shutdown(struct vmm_guest *g, struct vmm_call *call);
int agent_reboot(struct vmm_guest *g, struct vmm_call *call);
void agent_quit(struct vmm_guest *g);
int agent_send(struct vmm_guest *g, int fd, const struct vmm_send_options *opt,
	       struct vmm_call *call);
int agent_send_cancel(struct vmm_guest *g);
int agent_send_tune(struct vmm_guest *g, const struct vmm_send_options *opt);
int agent_receive(struct vmm_guest *g, int fd);
uint64_t agent_cpu_ns(struct vmm_guest *g);

#endif
