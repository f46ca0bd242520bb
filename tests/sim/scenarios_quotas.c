/* SPDX-License-Identifier: MIT */
/*
 * Quotas: the limit is the number allowed, a refusal is whole, and each is counted where the
 * operator looks.
 */
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "scenario.h"

static uint64_t refused(struct world *w, unsigned int kind)
{
	return domain_find(&w->core->domains, 1)->budget.counters->refused[kind];
}

static void defaults(struct world *w)
{
	static const struct {
		const char *name;
		const char *value;
	} row[] = {
		{ "nodes", "1000" },	     { "outstanding", "20" },
		{ "memory", "2621440" },     { "transaction-nodes", "1024" },
		{ "node-permissions", "5" }, { "path-max", "2048" },
		{ "node-size", "2048" },
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		if (strcmp(scenario_ask(w, "a", "GET_QUOTA %s", row[i].name), row[i].value))
			world_fail(w, "%s is not %s", row[i].name, row[i].value);
}

static void counted(struct world *w)
{
	static const unsigned int kind[] = { QUOTA_NODES, QUOTA_WATCHES, QUOTA_TRANSACTIONS,
					     QUOTA_NODE_SIZE, QUOTA_NODE_PERMISSIONS };

	scenario_steps(w, STEPS({ "1", "WATCH x t", NULL }, { "hv", "limit nodes 1 1", NULL },
				{ "hv", "limit watches 1 1", NULL },
				{ "hv", "limit transactions 1 1", NULL },
				{ "hv", "limit node-size 1 1", NULL },
				{ "hv", "limit node-permissions 1 1", NULL }, { "1", "START", "1" },
				{ "1", "START", "ENOSPC" }, { "1", "WRITE x 1", "ENOSPC" },
				{ "1", "WATCH x u", "ENOSPC" }, { "1", "WRITE x 12", "ENOSPC" },
				{ "1", "SET_PERMS /local/domain/1 n1 r0", "ENOSPC" }));
	for (size_t i = 0; i < ARRAY_LEN(kind); i++)
		if (refused(w, kind[i]) != 1)
			world_fail(w, "refusal of kind %u is counted %lu times", kind[i],
				   (unsigned long)refused(w, kind[i]));
}

/* Events that nobody reads fill a guest's memory: only they are dropped. */
static void events_fill_memory(struct world *w)
{
	struct domain *d;

	scenario_steps(w, STEPS({ "1", "WATCH x t", "OK [x t]" },
				{ "hv", "limit memory 20000 1", NULL }, { "hv", "deaf 1", NULL }));
	for (int i = 0; i < 1000; i++)
		if (strcmp(scenario_ask(w, "a", "WRITE /local/domain/1/x/%d 1", i), "OK"))
			world_fail(w, "dom0's write failed");
	d = domain_find(&w->core->domains, 1);
	if (!d->budget.counters->refused[REFUSAL_EVENT_DROPPED])
		world_fail(w, "nothing was dropped");
	if (conn_queued(d->conn).octets > 20000)
		world_fail(w, "%zu octets of events", conn_queued(d->conn).octets);
}

static const struct scenario table[] = {
	RUN("the defaults are those of docs/limits.md", defaults),
	RUN("each refusal is counted once, by its name", counted),
	CASE("nodes: the limit is the number allowed; a deep path does not overshoot",
	     { "1", NULL, NULL }, { "hv", "limit nodes 4 1", NULL }, { "1", "WRITE a 1", "OK" },
	     { "1", "WRITE b/c/d 1", "ENOSPC" }, { "1", "READ b", "ENOENT" },
	     { "1", "WRITE b/c 1", "OK" }, { "1", "WRITE d 1", "ENOSPC" },
	     { "1", "WRITE a 2", "OK" }, { "1", "RM b", "OK" }, { "1", "WRITE d/e 1", "OK" }),
	CASE("nodes: what the toolstack creates for a guest is not refused", { "1", NULL, NULL },
	     { "hv", "limit nodes 1 1", NULL }, { "a", "WRITE /local/domain/1/x 1", "OK" },
	     { "1", "WRITE y 1", "ENOSPC" }, { "a", "START", "1" },
	     { "a", "tx=1 WRITE /local/domain/1/z 1", "OK" }, { "a", "tx=1 END T", "OK" },
	     { "1", "READ z", "1" }),
	CASE("nodes: a transaction is refused at the write, and frees what it removed",
	     { "1", NULL, NULL }, { "hv", "limit nodes 3 1", NULL }, { "1", "WRITE a 1", "OK" },
	     { "1", "WRITE b 1", "OK" }, { "1", "START", "1" }, { "1", "tx=1 WRITE c 1", "ENOSPC" },
	     { "1", "tx=1 RM a", "OK" }, { "1", "tx=1 WRITE c 1", "OK" },
	     { "1", "tx=1 WRITE d 1", "ENOSPC" }, { "1", "tx=1 END T", "OK" },
	     { "1", "DIRECTORY /local/domain/1", "b c" }),
	CASE("watches: one that is set already is EEXIST also at the limit", { "1", NULL, NULL },
	     { "hv", "limit watches 1 1", NULL }, { "1", "WATCH a t", "OK [a t]" },
	     { "1", "WATCH a t", "EEXIST" }, { "1", "WATCH a u", "ENOSPC" }),
	CASE("watches: the limit is the number allowed", { "1", NULL, NULL },
	     { "hv", "limit watches 2 1", NULL }, { "1", "WATCH a t", "OK [a t]" },
	     { "1", "WATCH b t", "OK [b t]" }, { "1", "WATCH c t", "ENOSPC" },
	     { "1", "UNWATCH a t", "OK" }, { "1", "WATCH c t", "OK [c t]" },
	     { "2", "WATCH a t", "OK [a t]" }),
	CASE("transactions: the limit is the number allowed", { "1", NULL, NULL },
	     { "hv", "limit transactions 2 1", NULL }, { "1", "START", "1" }, { "1", "START", "2" },
	     { "1", "START", "ENOSPC" }, { "1", "tx=1 END F", "OK" }, { "1", "START", "3" }),
	CASE("transaction-nodes: the limit is the number of nodes touched", { "1", NULL, NULL },
	     { "hv", "limit transaction-nodes 3 1", NULL }, { "1", "START", "1" },
	     { "1", "tx=1 READ /local/domain/1", "(empty)" }, { "1", "tx=1 WRITE a 1", "OK" },
	     { "1", "tx=1 WRITE b 1", "OK" }, { "1", "tx=1 WRITE c 1", "ENOSPC" },
	     { "1", "tx=1 WRITE a 2", "OK" }, { "1", "tx=1 END T", "OK" }),
	CASE("node-permissions: the limit is the number of entries", { "1", "WRITE x 1", "OK" },
	     { "1", "SET_PERMS x n1 r0 r2 r3 r4", "OK" },
	     { "1", "SET_PERMS x n1 r0 r2 r3 r4 r5", "ENOSPC" },
	     { "a", "SET_PERMS /local/domain/1/x n1 r0 r2 r3 r4 r5", "OK" }),
	CASE("node-size: the limit is the value's octets", { "1", NULL, NULL },
	     { "hv", "limit node-size 4 1", NULL }, { "1", "WRITE x 1234", "OK" },
	     { "1", "WRITE x 12345", "ENOSPC" }, { "1", "READ x", "1234" }),
	CASE("path-max: EINVAL over it", { "1", NULL, NULL }, { "hv", "limit path-max 10", NULL },
	     { "a", "MKDIR /2345678901", "EINVAL" }, { "a", "MKDIR /234567890", "OK" },
	     { "1", "MKDIR 1234567890", "OK" }, { "1", "MKDIR 12345678901", "EINVAL" }),
	CASE("memory: values over it are refused, freed ones make room at once",
	     { "1", NULL, NULL }, { "hv", "limit memory 6000 1", NULL },
	     { "1", "WRITE a x*2000", "OK" }, { "1", "WRITE b x*2000", "OK" },
	     { "1", "WRITE c x*2000", "ENOSPC" }, { "1", "RM a", "OK" },
	     { "1", "WRITE c x*2000", "OK" }, { "1", "WATCH /t y*1900", "ENOSPC" },
	     { "1", "RM c", "OK" }, { "1", "WATCH /t y", "OK [/t y]" }),
	CASE("0 turns a limit off", { "1", NULL, NULL }, { "hv", "limit nodes 0 1", NULL },
	     { "1", "WRITE a/b/c 1", "OK" }, { "hv", "limit node-size 0 1", NULL },
	     { "1", "WRITE a x*3000", "OK" }),
	CASE("a general limit set later counts for domains known then without their own",
	     { "a", "SET_QUOTA nodes 3", "OK" }, { "1", "WRITE a/b 1", "OK" },
	     { "1", "WRITE c 1", "ENOSPC" }, { "a", "GET_QUOTA 1 nodes", "3" }),
	RUN("a guest's unread events at its memory quota do not fail dom0's writes",
	    events_fill_memory),
};

int main(int argc, char **argv)
{
	return scenario_main(table, ARRAY_LEN(table), argc, argv);
}
