/* SPDX-License-Identifier: MIT */
/*
 * Between the daemon and the process of a guest, where that is a program of ours (drover-simguest,
 * drover-xlguest): a SOCK_SEQPACKET socket, "ctl" in the guest's directory, on which each packet is
 * one struct agent_msg. A new connection takes the place
 * of the former one. Both ends are of one build's data layout, but the version is looked at: a
 * guest outlives an upgrade of the daemon.
 */
#ifndef DROVER_VMM_AGENT_PROTO_H
#define DROVER_VMM_AGENT_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AGENT_PROTO_VERSION 2u
#define AGENT_TEXT_MAX 512u
#define AGENT_CTL_FILE "ctl"
#define AGENT_END_FILE "end"  /* "shutdown" or "crash", written before the process ends */
#define AGENT_PENDING_MAX 64u /* messages that the daemon has not taken yet */
#define AGENT_CTL_FD 3	      /* the listening socket, in the process */

enum agent_msg_type {
	/* to the guest; each but AGENT_HELLO is answered by AGENT_DONE of the same id */
	AGENT_HELLO, /* AGENT_IS is the answer */
	AGENT_PAUSE,
	AGENT_RESUME, /* epoch: that it runs in from now on */
	AGENT_SHUTDOWN,
	AGENT_REBOOT,
	AGENT_QUIT,
	AGENT_SEND, /* with a descriptor; options */
	AGENT_CANCEL,
	AGENT_TUNE,
	AGENT_RECEIVE, /* with a descriptor */
	AGENT_LOOK,    /* the status that answers it has cpu_ns as of now */
	/* from the guest */
	AGENT_DONE, /* id, err, text */
	AGENT_IS,   /* all of status; text: of the last error of sending or receiving */
	AGENT_CHANGED,
	AGENT_PROGRESS,
	AGENT_STOPPED,
	AGENT_SENT,	/* err, text */
	AGENT_RECEIVED, /* err, text */
	AGENT_ITERATION,
	AGENT_MSG_TYPES,
};

enum agent_state {
	AGENT_STARTING, /* is being made: calls wait */
	AGENT_INCOMING,
	AGENT_PAUSED,
	AGENT_RUNNING,
	AGENT_STATES,
};

struct agent_status {
	uint32_t state;	 /* enum agent_state */
	uint32_t reason; /* enum vmm_reason */
	uint8_t receiving, received, sending, stopped;
	uint32_t iteration;
	int32_t send_err, receive_err; /* how the last one ended */
	int32_t domid;		       /* -1: none */
	uint8_t unaware;	       /* suspended without its help */
	uint8_t unused[3];
	uint64_t cpu_ns; /* of a domain: nanoseconds of processor time so far */
};

struct agent_options {
	uint64_t bandwidth_bps;
	uint32_t downtime_ms;
	uint8_t live, auto_converge, unused[2];
	int32_t domid; /* AGENT_RECEIVE: that it is to have; -1: any */
};

struct agent_progress {
	uint64_t memory_total, memory_remaining, memory_processed;
	uint64_t pages_constant, pages_normal;
	uint64_t rate_bps, dirty_rate_pages;
	uint64_t elapsed_ms, setup_ms, downtime_ms;
	uint32_t iteration, throttle_percent;
};

struct agent_msg {
	uint32_t version, type, id;
	int32_t err; /* 0 or a negative errno */
	uint64_t epoch;
	struct agent_status status;
	struct agent_options options;
	struct agent_progress progress;
	char text[AGENT_TEXT_MAX];
};

/*
 * Sends one packet, with fd unless it is -1. 0, or a negative errno: -EAGAIN: the peer does not
 * read. Nothing waits.
 */
int agent_msg_send(int sock, const struct agent_msg *msg, int fd);
/*
 * Receives one. *ret_fd: the descriptor that came with it, the caller's; -1: none. 0; -EAGAIN:
 * there is none; -EPIPE: the peer is gone; -EPROTO: it is not as it should be.
 */
int agent_msg_receive(int sock, struct agent_msg *ret, int *ret_fd);

#endif
