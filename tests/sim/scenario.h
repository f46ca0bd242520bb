/* SPDX-License-Identifier: MIT */
/*
 * Scenarios as tables. A step names a peer, what it sends, and all that it is sent since its
 * last step, in order:
 *
 *   "a" … "f"    sockets, connected when first named
 *   "1" … "63"   guests, whose domains are made, given a home and introduced by "t" when first
 *                named; "t" is a socket, too
 *   "hv"         the world: create, shutdown, resume, dying, destroy DOMID; advance MS;
 *                limit QUOTA N [DOMID]; hangup, deaf, hears PEER; violation: a
 *                connection is about to break the protocol
 *
 * A request is an operation and its arguments, each ended by a NUL but for WRITE's value; "tx=N"
 * before it is its transaction. START and END are short for the TRANSACTION ones; "*N" after an
 * argument repeats its last character N times in all; "~" is an empty argument; an operation
 * ending in "!" sends its arguments joined by "|" for NUL, without one at the end.
 *
 * An answer is OK, an error's name, or the payload, its NULs written as blanks; an event is
 * [path token]; "closed" that the socket is gone, "error=N" the ring's error field. DIRECTORY is
 * sorted. NULL: whatever it is.
 */
#ifndef DROVER_SIM_SCENARIO_H
#define DROVER_SIM_SCENARIO_H

#include "world.h"

struct step {
	const char *who;
	const char *request; /* NULL: only looks what came */
	const char *expected;
};

struct scenario {
	const char *name;
	const struct step *steps; /* ended by a step of nobody; NULL: run alone */
	void (*run)(struct world *w);
	const struct world_options *options; /* NULL: the usual */
};

/* A peer by its name. */
struct peer *scenario_peer(struct world *w, const char *who);
/* One step; false: it went otherwise, which world_fail was told. */
bool scenario_step(struct world *w, const struct step *s);
void scenario_steps(struct world *w, const struct step *s);
/* Sends a request in words; its req_id. */
void scenario_send(struct world *w, struct peer *p, const char *request);
/* What came, in words. */
void scenario_receive(struct peer *p, char *text, size_t room);
/* One request of a peer and its answer, events left out, in words; valid until the next call. */
const char *scenario_ask(struct world *w, const char *who, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* TAP for a whole table; 0 or 1 for main. */
int scenario_main(const struct scenario *table, size_t n, int argc, char **argv);

/* Entries of a table: by steps, with options, by a function. */
#define CASE(claim, ...)                                                                           \
	{                                                                                          \
		.name = (claim), .steps = (const struct step[])                                    \
		{                                                                                  \
			__VA_ARGS__,                                                               \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}
#define CASE_WITH(claim, opt, ...)                                                                 \
	{                                                                                          \
		.name = (claim), .options = (opt), .steps = (const struct step[])                  \
		{                                                                                  \
			__VA_ARGS__,                                                               \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}
#define RUN(claim, fn)                                                                             \
	{                                                                                          \
		.name = (claim), .run = (fn)                                                       \
	}
/* Steps within a function. */
#define STEPS(...) ((const struct step[]){ __VA_ARGS__, { 0 } })

#endif
