/* SPDX-License-Identifier: MIT */
/*
 * A client of the store with one question at a time (Xen's docs/misc/xenstore.txt). What fires
 * meanwhile is kept until somebody takes it.
 */
#ifndef GUEST_CLIENT_H
#define GUEST_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "machine.h"

#define CLIENT_OK ""

/*
 * Asks, in transaction tx or 0, with one or two arguments (second may be NULL; a value of a WRITE
 * has no terminator, any other argument does), and waits for the answer for as long as
 * client_patience() says. Returns CLIENT_OK, the name of the error, or "LATE"; borrowed until the
 * next question.
 */
const char *client_ask(enum xsd_sockmsg_type type, uint32_t tx, const char *first,
		       const char *second);

/* How long an answer is waited for, from now on; UINT64_MAX: for ever; to be said first. */
void client_patience(uint64_t patience_ns);

/* What the last answer said, terminated; borrowed until the next question. */
const char *client_answer(void);

const char *client_write(const char *path, const char *value);
const char *client_write_u64(const char *path, uint64_t value);

/*
 * The next event that came, oldest first; false if there is none yet. Both are borrowed until the
 * next question or event.
 */
bool client_event(const char **ret_path, const char **ret_token);

/* Events that came when too many waited, over all. */
uint64_t client_events_lost(void);

/* Another connection: no answer is due, no event waits. Returns false if it was too late. */
bool client_reconnect(void);

#endif
