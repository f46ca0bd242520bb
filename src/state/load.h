/* SPDX-License-Identifier: MIT */
/*
 * From records to a core: of an image, of a checkpoint, and of the log that follows it. The core
 * is built apart from any hypervisor, area and transport; a half-built one is thrown away whole.
 */
#ifndef DROVER_STATE_LOAD_H
#define DROVER_STATE_LOAD_H

#include "drover/image.h"

#include "op/core.h"

struct state_load;

/* What a record said of a connection and its core does not keep. */
struct load_conn {
	uint32_t conn_id;
	struct conn *conn;   /* borrowed; has no transport yet */
	uint16_t kind;	     /* enum drover_conn_kind */
	int32_t fd;	     /* a socket's, as the record names it; -1: none */
	uint32_t local_port; /* a ring's; 0: not said */
	uint8_t *input;	     /* owned: received, not a whole request */
	size_t input_len;
	uint8_t *output; /* owned: not sent */
	size_t output_len;
	size_t resp_len; /* of it the rest of a message that was sent in part */
};

/* What a record said that is the process's. */
struct load_host {
	int32_t socket_fd; /* -1: none */
	int32_t evtchn_fd;
	bool has_trace; /* the next two were said */
	bool trace_on;
	char trace_path[4097];
	uint64_t started_ms; /* real time; 0: not said */
};

/* opt: of the core to be; its policy is filled from the records. -ENOMEM. */
int state_load_new(const struct core_options *opt, struct state_load **ret);
/* Also the core, unless it was taken. Accepts NULL. */
void state_load_free(struct state_load *l);

/*
 * Applies one record. EINVAL: it contradicts what came before it, see state_load_error; nothing
 * more can be applied. -ENOMEM.
 */
int state_load_put(struct state_load *l, const struct drover_record *rec);

/*
 * The nodes of an image have come: later ones may come in any order. Called by itself at END and
 * where a node does not follow the one before it.
 */
int state_load_settle(struct state_load *l);

/* What was wrong, after EINVAL. */
const char *state_load_error(const struct state_load *l);

/* Borrowed: what has been built so far. */
struct core *state_load_core(struct state_load *l);
const struct load_host *state_load_host(const struct state_load *l);
/* The connections in rising order of their numbers: the first, or the one after prev. */
struct load_conn *state_load_next_conn(struct state_load *l, const struct load_conn *prev);

/*
 * The core, now the caller's; the limits of its budgets count from here on. l keeps what it says of
 * connections.
 */
struct core *state_load_take(struct state_load *l);

#endif
