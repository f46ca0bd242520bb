/* SPDX-License-Identifier: MIT */
/*
 * The CONTROL command live-update, in the steps of xenstore-control: -f FILE and -c ARGS name the
 * new program, -s starts the update, -a gives it up.
 *
 * A -s waits at the head of its connection's input until somebody has decided (control_update_
 * decide), if need be in another process: it is known by connection and position.
 */
#ifndef DROVER_CONTROL_UPDATE_H
#define DROVER_CONTROL_UPDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "op/core.h"

#define CONTROL_UPDATE_TIMEOUT_S 60u

struct control_update {
	/* Asks for it. 0; E2BIG, EIO: it cannot be asked for. */
	int (*begin)(void *data, uint64_t conn, uint64_t position, const char *file,
		     const char *args, uint64_t timeout_ms);
	/* What begin asked for is not wanted any more. It is decided nevertheless. */
	void (*abort)(void *data);
	void *data; /* borrowed */

	char file[XENSTORE_PAYLOAD_MAX]; /* -f; empty: not named */
	char args[XENSTORE_PAYLOAD_MAX]; /* -c */
	bool force;			 /* -F, of the one that is begun */
	bool awaited;			 /* begun and not decided */
	bool decided;
	uint64_t conn; /* of the request that is awaited, or was decided */
	uint64_t position;
	char verdict[512]; /* what it is answered */
};

/* live-update's arguments. Errors as control_handle; OP_WAIT: asked again when decided. */
int control_update_call(struct control_update *u, struct conn *c, const char *const *arg, size_t n,
			char *reply, size_t room);

/* Whether c's request is the one that is waited for. */
bool control_update_is_awaited(const struct control_update *u, const struct conn *c);
/* Its connection is gone. */
void control_update_forget(struct control_update *u);

/*
 * How the request of that connection and position is to be answered; it is woken. False: another
 * one is awaited, which this says nothing of.
 */
bool control_update_decide(struct control_update *u, struct core *core, uint64_t conn,
			   uint64_t position, const char *verdict);

#endif
