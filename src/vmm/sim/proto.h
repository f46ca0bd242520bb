/* SPDX-License-Identifier: MIT */
/*
 * Between the daemon and the process of a simulated guest: a SOCK_SEQPACKET socket, "ctl" in the
 * guest's directory, on which each packet is one struct sim_msg. A new connection takes the place
 * of the former one. Both ends are of one build's data layout, but the version is looked at: a
 * guest outlives an upgrade of the daemon.
 */
#ifndef DROVER_VMM_SIM_PROTO_H
#define DROVER_VMM_SIM_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_PROTO_VERSION 1u
#define SIM_TEXT_MAX 256u
#define SIM_CTL_FILE "ctl"
#define SIM_END_FILE "end" /* "shutdown" or "crash", written before the process ends */
#define SIM_CTL_FD 3	   /* the listening socket, in the process */

enum sim_msg_type {
	/* to the guest; each but SIM_HELLO is answered by SIM_DONE of the same id */
	SIM_HELLO, /* SIM_IS is the answer */
	SIM_PAUSE,
	SIM_RESUME, /* epoch: that it runs in from now on */
	SIM_SHUTDOWN,
	SIM_REBOOT,
	SIM_QUIT,
	SIM_SEND, /* with a descriptor; options */
	SIM_CANCEL,
	SIM_TUNE,
	SIM_RECEIVE, /* with a descriptor */
	/* from the guest */
	SIM_DONE, /* id, err, text */
	SIM_IS,	  /* all of status */
	SIM_CHANGED,
	SIM_PROGRESS,
	SIM_STOPPED,
	SIM_SENT,     /* err, text */
	SIM_RECEIVED, /* err, text */
	SIM_ITERATION,
	SIM_MSG_TYPES,
};

enum sim_state {
	SIM_INCOMING,
	SIM_PAUSED,
	SIM_RUNNING,
	SIM_STATES,
};

struct sim_status {
	uint32_t state;	 /* enum sim_state */
	uint32_t reason; /* enum vmm_reason */
	uint8_t receiving, received, sending, stopped;
	uint32_t iteration;
	int32_t send_err, receive_err; /* how the last one ended */
};

struct sim_options {
	uint64_t bandwidth_bps;
	uint32_t downtime_ms;
	uint8_t live, auto_converge, unused[2];
};

struct sim_progress {
	uint64_t memory_total, memory_remaining, memory_processed;
	uint64_t pages_constant, pages_normal;
	uint64_t rate_bps, dirty_rate_pages;
	uint64_t elapsed_ms, setup_ms, downtime_ms;
	uint32_t iteration, throttle_percent;
};

struct sim_msg {
	uint32_t version, type, id;
	int32_t err; /* 0 or a negative errno */
	uint64_t epoch;
	struct sim_status status;
	struct sim_options options;
	struct sim_progress progress;
	char text[SIM_TEXT_MAX];
};

/*
 * Sends one packet, with fd unless it is -1. 0, or a negative errno: -EAGAIN: the peer does not
 * read. Nothing waits.
 */
int sim_msg_send(int sock, const struct sim_msg *msg, int fd);
/*
 * Receives one. *ret_fd: the descriptor that came with it, the caller's; -1: none. 0; -EAGAIN:
 * there is none; -EPIPE: the peer is gone; -EPROTO: it is not as it should be.
 */
int sim_msg_receive(int sock, struct sim_msg *ret, int *ret_fd);

#endif
