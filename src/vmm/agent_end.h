/* SPDX-License-Identifier: MIT */
/*
 * A guest's process's end of its talk with the daemon (vmm/agent_proto.h): what it tells is queued
 * while the daemon does not read; whoever reads none of it is let go of, and has to greet again.
 */
#ifndef DROVER_VMM_AGENT_END_H
#define DROVER_VMM_AGENT_END_H

#include "vmm/agent_proto.h"

struct agent_end {
	int listener, ctl; /* ctl -1: no daemon */
	struct agent_msg pending[AGENT_PENDING_MAX];
	size_t n_pending;
};

/* listener is borrowed. 0, or a negative errno. */
int agent_end_init(struct agent_end *e, int listener);
/* Nothing where there is no daemon; progress only where nothing else waits. The version is set. */
void agent_end_tell(struct agent_end *e, const struct agent_msg *msg);
void agent_end_flush(struct agent_end *e);
/* As agent_msg_receive; but for -EAGAIN an error has closed the connection. */
int agent_end_receive(struct agent_end *e, struct agent_msg *ret, int *ret_fd);
/*
 * Takes a new connection in the place of the old one, all of which has been received by calls of
 * take (what a daemon asked before it went away is done, whoever comes next). take: false: it is
 * over.
 */
void agent_end_accept(struct agent_end *e, bool (*take)(void *data), void *data);

#endif
