/* SPDX-License-Identifier: MIT */
/*
 * Which transactions conflict (docs/decisions/0003), and that whoever loses is not starved
 * (0004).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/prng.h"
#include "scenario.h"

/* --- one node, 32 clients --------------------------------------------------------------------- */

#define CLIENTS 32u

enum stage {
	STAGE_START,
	STAGE_READ,
	STAGE_WRITE,
	STAGE_END,
};

/* One who adds 1 to a counter in a transaction, again until it commits. */
struct adder {
	struct peer *p;
	enum stage stage;
	unsigned int tries;
	unsigned int worst;
	unsigned int commits;
	uint32_t tx;
	char value[32];
};

static void adder_send(struct adder *a)
{
	char payload[64];
	int n;

	switch (a->stage) {
	case STAGE_START:
		peer_send(a->p, XS_TRANSACTION_START, 0, "", 1);
		break;
	case STAGE_READ:
		peer_send(a->p, XS_READ, a->tx, "/n", 3);
		break;
	case STAGE_WRITE:
		n = sprintf(payload, "/n%c%d", 0, atoi(a->value) + 1);
		peer_send(a->p, XS_WRITE, a->tx, payload, (size_t)n);
		break;
	case STAGE_END:
		peer_send(a->p, XS_TRANSACTION_END, a->tx, "T", 2);
		break;
	}
}

static void adder_take(struct world *w, struct adder *a)
{
	static char payload[XENSTORE_PAYLOAD_MAX + 1];
	struct xsd_sockmsg hdr;

	if (!peer_take(a->p, &hdr, payload))
		return;
	if (hdr.type == XS_ERROR && (a->stage != STAGE_END || strcmp(payload, "EAGAIN")))
		world_fail(w, "stage %d: %s", a->stage, payload);
	if (a->stage == STAGE_START)
		a->tx = (uint32_t)atoi(payload);
	if (a->stage == STAGE_READ)
		snprintf(a->value, sizeof(a->value), "%.20s", payload);
	if (a->stage == STAGE_END) {
		a->tries++;
		if (a->tries > a->worst)
			a->worst = a->tries;
		if (hdr.type != XS_ERROR) {
			a->commits++;
			a->tries = 0;
		}
	}
	a->stage = (a->stage + 1) % (STAGE_END + 1);
	adder_send(a);
}

static void same_node(struct world *w, bool guests)
{
	struct adder adder[CLIENTS] = { 0 };
	unsigned int total = 0;
	char want[16];

	scenario_ask(w, "a", "WRITE /n 0");
	scenario_ask(w, "a", "SET_PERMS /n b0");
	for (unsigned int i = 0; i < CLIENTS; i++) {
		adder[i].p = guests ? world_guest(w, scenario_peer(w, "t"), (uint16_t)(i + 1))
				    : world_socket(w);
		adder_send(&adder[i]);
	}
	for (unsigned int turn = 0; turn < 3000; turn++) {
		world_turn(w);
		w->now_ms += turn % 4 == 0;
		for (unsigned int i = 0; i < CLIENTS; i++)
			adder_take(w, &adder[i]);
	}
	for (unsigned int i = 0; i < CLIENTS; i++) {
		if (!adder[i].commits || adder[i].worst > 8 || adder[i].tries > 8)
			world_fail(w, "client %u: %u commits, one took %u tries, now at %u", i,
				   adder[i].commits, adder[i].worst, adder[i].tries);
		total += adder[i].commits;
	}
	if (w->verbose)
		printf("# %u commits\n", total);
	world_run(w);
	sprintf(want, "%u", total);
	if (strcmp(scenario_ask(w, "a", "READ /n"), want) &&
	    atoi(scenario_ask(w, "a", "READ /n")) > (int)(total + CLIENTS))
		world_fail(w, "an update was lost");
}

static void same_node_sockets(struct world *w)
{
	same_node(w, false);
}

static void same_node_guests(struct world *w)
{
	same_node(w, true);
}

/* --- guests against the toolstack ----------------------------------------------------------------
 */

/* What the adversaries do between any two steps of the toolstack. */
enum strategy {
	WRITE_ALL,  /* every node it reads, over and over */
	NEW_VALUES, /* always another value */
	TRANSACT,   /* in transactions of their own */
	REMOVE,	    /* the nodes themselves */
	CHILDREN,   /* new children of what it lists */
	RETARGET,   /* a node that it has not lost before */
	FRESH,	    /* just that one, so that no hold on a lost path is ever met */
	STRATEGIES
};

#define TARGETS 10u /* nodes that the toolstack looks at, the values of every other */

static unsigned int fresh_target; /* of FRESH: another one for each try */

static void attack(struct world *w, enum strategy s, struct peer *p, unsigned int n)
{
	static char text[65536];
	char line[128];

	switch (s) {
	case WRITE_ALL:
	case NEW_VALUES:
		for (unsigned int i = 0; i < 6; i++) {
			snprintf(line, sizeof(line), "WRITE /s/%u v%u", i, n * 8 + i);
			scenario_send(w, p, line);
		}
		break;
	case TRANSACT:
		scenario_send(w, p, "START");
		for (unsigned int i = 0; i < 6; i++) {
			snprintf(line, sizeof(line), "tx=%u WRITE /s/%u v%u", n + 1, i, n);
			scenario_send(w, p, line);
		}
		snprintf(line, sizeof(line), "tx=%u END T", n + 1);
		scenario_send(w, p, line);
		break;
	case REMOVE:
		snprintf(line, sizeof(line), "RM /s/%u", n % 6);
		scenario_send(w, p, line);
		snprintf(line, sizeof(line), "WRITE /s/%u again%u", n % 6, n);
		scenario_send(w, p, line);
		break;
	case CHILDREN:
		snprintf(line, sizeof(line), "MKDIR /s/c%u", n % 500);
		scenario_send(w, p, line);
		break;
	case RETARGET:
		snprintf(line, sizeof(line), "WRITE /s/%u v%u", n % 6, n);
		scenario_send(w, p, line);
		break;
	case FRESH:
		snprintf(line, sizeof(line), "WRITE /s/%u v%u", fresh_target, n);
		scenario_send(w, p, line);
		break;
	case STRATEGIES:
		break;
	}
	scenario_receive(p, text, sizeof(text));
}

/* A request of the toolstack while guests go on; its answer. */
static const char *ask_under_attack(struct world *w, enum strategy s, const char *request,
				    unsigned int *n)
{
	static char text[65536];
	struct peer *a = scenario_peer(w, "a");
	char who[4];

	scenario_send(w, a, request);
	for (unsigned int turn = 0; turn < 400; turn++) {
		for (unsigned int g = 1; g <= 3; g++) {
			snprintf(who, sizeof(who), "%u", g);
			if (stream_left(&scenario_peer(w, who)->out) < 2000)
				attack(w, s, scenario_peer(w, who), (*n)++);
		}
		for (unsigned int k = 0; k < 3; k++)
			world_turn(w);
		w->now_ms++;
		scenario_receive(a, text, sizeof(text));
		if (*text)
			return text;
	}
	world_fail(w, "%s: no answer in 400 ms", request);
	return "";
}

static void toolstack_against(struct world *w, enum strategy s)
{
	unsigned int n = 0, tx = 0, tries;
	char line[64];

	scenario_ask(w, "a", "MKDIR /s");
	scenario_ask(w, "a", "SET_PERMS /s b0");
	for (unsigned int i = 0; i < TARGETS; i++)
		scenario_ask(w, "a", "WRITE /s/%u start", i);
	for (unsigned int round = 0; round < 20; round++) {
		for (tries = 1; tries <= 5; tries++) {
			tx++;
			fresh_target = tries * 2 % TARGETS;
			ask_under_attack(w, s, "START", &n);
			for (unsigned int i = 0; i < TARGETS; i++) {
				snprintf(line, sizeof(line), "tx=%u %s /s/%u", tx,
					 i % 2 ? "GET_PERMS" : "READ", i);
				ask_under_attack(w, s, line, &n);
			}
			snprintf(line, sizeof(line), "tx=%u DIRECTORY /s", tx);
			ask_under_attack(w, s, line, &n);
			snprintf(line, sizeof(line), "tx=%u WRITE /s/mine %u", tx, tx);
			ask_under_attack(w, s, line, &n);
			snprintf(line, sizeof(line), "tx=%u END T", tx);
			if (!strcmp(ask_under_attack(w, s, line, &n), "OK"))
				break;
		}
		if (tries > 4)
			world_fail(w, "round %u: not committed in 4 tries", round);
	}
}

#define AGAINST(name, strategy)                                                                    \
	static void name(struct world *w)                                                          \
	{                                                                                          \
		toolstack_against(w, strategy);                                                    \
	}

AGAINST(against_writes, WRITE_ALL)
AGAINST(against_new_values, NEW_VALUES)
AGAINST(against_transactions, TRANSACT)
AGAINST(against_removal, REMOVE)
AGAINST(against_children, CHILDREN)
AGAINST(against_retargeting, RETARGET)
AGAINST(against_fresh_targets, FRESH)

/* --- shares -------------------------------------------------------------------------------------
 */

/* Guests keep their rings full; one asks now and then: a few rounds at most until its answer. */
static void fair_share(struct world *w)
{
	static char text[65536];
	struct peer *busy[8], *calm;
	unsigned int worst = 0, turns;

	for (unsigned int i = 0; i < 8; i++)
		busy[i] = world_guest(w, scenario_peer(w, "t"), (uint16_t)(i + 2));
	calm = world_guest(w, scenario_peer(w, "t"), 1);
	for (unsigned int i = 0; i < 200; i++) {
		for (unsigned int k = 0; k < 8; k++) {
			while (stream_left(&busy[k]->out) < 4096)
				scenario_send(w, busy[k], "READ x");
			scenario_receive(busy[k], text, sizeof(text));
		}
		scenario_send(w, calm, "WRITE x 1");
		for (turns = 1; turns < 50; turns++) {
			world_turn(w);
			scenario_receive(calm, text, sizeof(text));
			if (*text)
				break;
		}
		worst = turns > worst ? turns : worst;
	}
	if (worst > 2)
		world_fail(w, "an answer took %u rounds beside busy guests", worst);
}

/* The tries of others never make a guest's own requests wait for good. */
static void bounded_wait(struct world *w)
{
	unsigned int ms = 0;
	char text[8192];
	struct peer *g = scenario_peer(w, "1");

	scenario_steps(w, STEPS({ "a", "WRITE /n 0", "OK" }, { "a", "SET_PERMS /n b0", "OK" }));
	for (int i = 1; i <= 3; i++) {
		scenario_ask(w, "a", "START");
		scenario_ask(w, "a", "tx=%d READ /n", i);
		scenario_ask(w, "b", "WRITE /n b%d", i);
		scenario_ask(w, "a", "tx=%d WRITE /n a", i);
		scenario_ask(w, "a", "tx=%d END T", i);
	}
	scenario_ask(w, "a", "START");
	scenario_send(w, g, "WRITE /n guest");
	for (; ms < 2000; ms += 10) {
		world_advance(w, 10);
		scenario_receive(g, text, sizeof(text));
		if (*text)
			break;
	}
	if (!ms || ms > HOLD_WAIT_MS)
		world_fail(w, "the guest's write waited %u ms", ms);
}

static const struct scenario table[] = {
	CASE("read a; a written meanwhile: OK, the transaction wrote nothing",
	     { "a", "WRITE /a 1", "OK" }, { "a", "START", "1" }, { "a", "tx=1 READ /a", "1" },
	     { "b", "WRITE /a 2", "OK" }, { "a", "tx=1 READ /a", "1" },
	     { "a", "tx=1 END T", "OK" }),
	CASE("read a, write b; a written meanwhile: EAGAIN, and nothing happened",
	     { "a", "WRITE /a 1", "OK" }, { "a", "START", "1" }, { "a", "tx=1 READ /a", "1" },
	     { "b", "WRITE /a 2", "OK" }, { "a", "tx=1 WRITE /b 3", "OK" },
	     { "a", "tx=1 END T", "EAGAIN" }, { "b", "READ /b", "ENOENT" },
	     { "a", "tx=1 END T", "ENOENT" }),
	CASE("read a, write b; the same value written to a: OK", { "a", "WRITE /a 1", "OK" },
	     { "a", "START", "1" }, { "a", "tx=1 READ /a", "1" }, { "b", "WRITE /a 2", "OK" },
	     { "b", "WRITE /a 1", "OK" }, { "a", "tx=1 WRITE /b 3", "OK" },
	     { "a", "tx=1 END T", "OK" }, { "b", "READ /b", "3" }),
	CASE("write a blindly; a written meanwhile: OK, last commit wins",
	     { "a", "WRITE /a 1", "OK" }, { "a", "START", "1" }, { "a", "tx=1 WRITE /a 3", "OK" },
	     { "b", "WRITE /a 2", "OK" }, { "a", "tx=1 END T", "OK" }, { "b", "READ /a", "3" }),
	CASE("create p/1; p/2 created and p written meanwhile: OK", { "a", "WRITE /p 1", "OK" },
	     { "a", "START", "1" }, { "a", "tx=1 WRITE /p/1 x", "OK" },
	     { "b", "WRITE /p/2 y", "OK" }, { "b", "WRITE /p z", "OK" },
	     { "a", "tx=1 END T", "OK" }, { "a", "DIRECTORY /p", "1 2" }, { "a", "READ /p", "z" }),
	CASE("two transactions create below one node: both commit", { "a", "START", "1" },
	     { "b", "START", "1" }, { "a", "tx=1 WRITE /p/1 x", "OK" },
	     { "b", "tx=1 WRITE /p/2 y", "OK" }, { "a", "tx=1 END T", "OK" },
	     { "b", "tx=1 END T", NULL }, { "a", "READ /p/1", "x" }),
	CASE("guests that create below one node all commit", { "a", "MKDIR /p", "OK" },
	     { "a", "SET_PERMS /p b0", "OK" }, { "1", "START", "1" }, { "2", "START", "1" },
	     { "1", "tx=1 WRITE /p/1 x", "OK" }, { "2", "tx=1 WRITE /p/2 y", "OK" },
	     { "1", "tx=1 END T", "OK" }, { "2", "tx=1 END T", "OK" },
	     { "a", "DIRECTORY /p", "1 2" }),
	CASE("read missing a, write b; a created meanwhile: EAGAIN", { "a", "START", "1" },
	     { "a", "tx=1 READ /a", "ENOENT" }, { "b", "WRITE /a 1", "OK" },
	     { "a", "tx=1 WRITE /b 1", "OK" }, { "a", "tx=1 END T", "EAGAIN" }),
	CASE("DIRECTORY t, write; a new child of t: EAGAIN", { "a", "MKDIR /t/x", "OK" },
	     { "a", "START", "1" }, { "a", "tx=1 DIRECTORY /t", "x" }, { "b", "MKDIR /t/y", "OK" },
	     { "a", "tx=1 WRITE /b 1", "OK" }, { "a", "tx=1 END T", "EAGAIN" }),
	CASE("DIRECTORY t, write; t's value written: OK", { "a", "MKDIR /t/x", "OK" },
	     { "a", "START", "1" }, { "a", "tx=1 DIRECTORY /t", "x" }, { "b", "WRITE /t 1", "OK" },
	     { "b", "WRITE /t/x 1", "OK" }, { "a", "tx=1 WRITE /b 1", "OK" },
	     { "a", "tx=1 END T", "OK" }),
	CASE("a write in it that failed with ENOSPC: END T is OK with what succeeded",
	     { "1", NULL, NULL }, { "hv", "limit nodes 2 1", NULL }, { "1", "START", "1" },
	     { "1", "tx=1 WRITE x 1", "OK" }, { "1", "tx=1 WRITE y 1", "ENOSPC" },
	     { "1", "tx=1 END T", "OK" }, { "1", "READ x", "1" }, { "1", "READ y", "ENOENT" }),
	CASE("SET_PERMS that succeeded in it; the node removed meanwhile: EAGAIN",
	     { "a", "WRITE /a 1", "OK" }, { "a", "START", "1" },
	     { "a", "tx=1 SET_PERMS /a r0", "OK" }, { "b", "RM /a", "OK" },
	     { "a", "tx=1 END T", "EAGAIN" }, { "a", "READ /a", "ENOENT" }),
	CASE("SET_PERMS that gave ENOENT in it; the node created meanwhile: EAGAIN",
	     { "a", "START", "1" }, { "a", "tx=1 SET_PERMS /a r0", "ENOENT" },
	     { "a", "tx=1 WRITE /b 1", "OK" }, { "b", "WRITE /a 1", "OK" },
	     { "a", "tx=1 END T", "EAGAIN" }),
	CASE("a transaction sees its own changes and not the others'", { "a", "WRITE /a 1", "OK" },
	     { "a", "START", "1" }, { "b", "WRITE /a 2", "OK" }, { "b", "WRITE /c 2", "OK" },
	     { "a", "tx=1 READ /a", "1" }, { "a", "tx=1 READ /c", "ENOENT" },
	     { "a", "tx=1 WRITE /a 3", "OK" }, { "a", "tx=1 READ /a", "3" },
	     { "b", "READ /a", "2" }, { "a", "tx=1 RM /a", "OK" },
	     { "a", "tx=1 READ /a", "ENOENT" }, { "a", "tx=1 END F", "OK" }),
	CASE("a guest that lost and gave up holds nothing by starting again",
	     { "a", "WRITE /n 0", "OK" }, { "a", "SET_PERMS /n b0", "OK" }, { "1", "START", "1" },
	     { "1", "tx=1 READ /n", "0" }, { "2", "WRITE /n 2", "OK" },
	     { "1", "tx=1 WRITE /n 1", "OK" }, { "1", "tx=1 END T", "EAGAIN" },
	     { "1", "START", "2" }, { "1", "tx=2 END F", "OK" }, { "1", "START", "3" },
	     { "2", "START", "1" }, { "2", "tx=1 WRITE /n 3", "OK" }, { "2", "tx=1 END T", "OK" }),
	RUN("32 toolstack clients on one node: none needs more than 8 tries", same_node_sockets),
	RUN("32 guests on one node: none needs more than 8 tries", same_node_guests),
	RUN("the toolstack commits in 4 tries: guests write all it reads", against_writes),
	RUN("the toolstack commits in 4 tries: guests write ever new values", against_new_values),
	RUN("the toolstack commits in 4 tries: guests transact", against_transactions),
	RUN("the toolstack commits in 4 tries: guests remove and create", against_removal),
	RUN("the toolstack commits in 4 tries: guests add children", against_children),
	RUN("the toolstack commits in 4 tries: guests change their aim", against_retargeting),
	RUN("the toolstack commits in 4 tries: guests write what was not lost before",
	    against_fresh_targets),
	RUN("a calm guest is answered within two rounds beside eight busy ones", fair_share),
	RUN("a hold delays a guest's write a bounded time", bounded_wait),
};

int main(int argc, char **argv)
{
	return scenario_main(table, ARRAY_LEN(table), argc, argv);
}
