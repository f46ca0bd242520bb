/* SPDX-License-Identifier: MIT */
/*
 * What went wrong in other xenstoreds, by the number of Xen's security advisory: each fails on
 * the faulty behaviour.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "base/own.h"
#include "scenario.h"

static uint64_t used(struct world *w, uint16_t domid, enum quota_id q)
{
	struct domain *d = domain_find(&w->core->domains, domid);

	return d ? d->budget.used[q] : 0;
}

static void check(struct world *w)
{
	if (core_check(w->core))
		world_fail(w, "contradictions inside");
}

static void ring_indices(struct world *w)
{
	static const uint32_t off[] = { 1025, 4096, 0x7fffffff, 0x80000000, 0xffffffff };
	struct xenstore_domain_interface *r;

	scenario_peer(w, "1");
	w->violations++;
	for (size_t i = 0; i < ARRAY_LEN(off) * 2; i++) {
		r = peer_page(scenario_peer(w, "1"));
		scenario_step(w, &(struct step){ "1", "WATCH x t", NULL });
		if (i % 2) {
			r->req_prod = r->req_cons + off[i / 2];
		} else {
			r->rsp_cons = r->rsp_prod - off[i / 2];
			scenario_send(w, scenario_peer(w, "1"), "READ x");
			scenario_peer(w, "1")->deaf = true;
		}
		fake_hv_kick(&w->hv, 1);
		world_run(w);
		if (r->error != XENSTORE_ERROR_RINGIDX)
			world_fail(w, "index %zu: error field %u", i, r->error);
		scenario_step(w, &(struct step){ "2", "READ /none", "EACCES" });
		r->connection = XENSTORE_RECONNECT;
		fake_hv_kick(&w->hv, 1);
		world_run(w);
		stream_fini(&scenario_peer(w, "1")->out);
		stream_fini(&scenario_peer(w, "1")->in);
		scenario_peer(w, "1")->deaf = false;
		scenario_step(w, &(struct step){ "1", "READ x", "ENOENT" });
	}
}

static void long_relative(struct world *w)
{
	scenario_steps(w, STEPS({ "1", "WRITE a*2047 1", "OK" },
				{ "1", "WRITE a*2049 1", "EINVAL" }, { "1", "READ a*2047", "1" },
				{ "a", "READ /local/domain/1/a*2047", "1" },
				{ "a", "RM /local/domain/1/a*2047", "OK" },
				{ "a", "DIRECTORY /local/domain/1", "(empty)" }));
}

static void oversize_event(struct world *w)
{
	scenario_steps(w, STEPS({ "a", "WATCH /s t*3000", NULL }, { "a", "WATCH /s t*4092", NULL },

				{ "a", "WATCH /s t", "OK [/s t]" },
				{ "b", "WRITE /s/a*2000 1", "OK" }, { "b", "WRITE /s/b 1", "OK" }));
	for (int i = 0; i < 2; i++) {
		char text[65536];

		scenario_receive(scenario_peer(w, "a"), text, sizeof(text));
		if (i)
			continue;
		if (strlen(text) < 2000 || !strstr(text, "[/s/b t]"))
			world_fail(w, "events: %.100s", text);
	}
	if (!domain_find(&w->core->domains, 0)->budget.counters->refused[REFUSAL_EVENT_DROPPED])
		world_fail(w, "the drop is not counted");
}

static void flood_of_memory(struct world *w)
{
	struct peer *p = scenario_peer(w, "1");
	uint64_t limit = 100000;

	scenario_steps(w, STEPS({ "1", "WRITE x a*2000", "OK" }, { "1", "WATCH x t", NULL },
				{ "hv", "limit memory 100000 1", NULL }, { "hv", "deaf 1", NULL }));
	for (int i = 0; i < 400; i++) {
		char line[64];

		scenario_send(w, p, "READ x");
		snprintf(line, sizeof(line), "WRITE x/%d v", i);
		scenario_send(w, p, line);
		scenario_send(w, p, "START");
		snprintf(line, sizeof(line), "tx=%d WRITE y a*2000", i + 1);
		scenario_send(w, p, line);
		scenario_ask(w, "a", "WRITE /local/domain/1/x/%d 2", i);
		if (used(w, 1, QUOTA_MEMORY) > limit + CONN_INPUT_MAX + 4200)
			world_fail(w, "%lu octets of memory",
				   (unsigned long)used(w, 1, QUOTA_MEMORY));
	}
	check(w);
}

/* Copies that transactions hold count, too. */
static void transaction_memory(struct world *w)
{
	unsigned int made = 0;

	scenario_steps(w, STEPS({ "1", NULL, NULL }, { "hv", "limit memory 100000 1", NULL }));
	for (int i = 1; i <= 40; i++) {
		scenario_ask(w, "1", "START");
		for (int k = 0; k < 10; k++)
			made += !strcmp(scenario_ask(w, "1", "tx=%d WRITE k%d a*2000", i, k), "OK");
	}
	if (made > 50)
		world_fail(w, "%u values of 2000 octets in 100000", made);
	if (!made)
		world_fail(w, "none was let");
	check(w);
}

static void reset_watches_leak(struct world *w)
{
	scenario_steps(w, STEPS({ "1", NULL, NULL }, { "hv", "limit watches 4 1", NULL }));
	for (int i = 0; i < 100; i++)
		scenario_steps(w, STEPS({ "1", "WATCH a t", "OK [a t]" },
					{ "1", "WATCH b t", "OK [b t]" }, { "1", "START", NULL },
					{ "1", "RESET_WATCHES", "OK" }));
	if (used(w, 1, QUOTA_WATCHES) || used(w, 1, QUOTA_TRANSACTIONS))
		world_fail(w, "charges are left");
	check(w);
}

/* Every allocation of a create fails once: nothing half made, in a transaction or not. */
static void failed_create(struct world *w, bool in_txn)
{
	char line[128];
	uint32_t tx = 0;
	bool failed = true;

	scenario_steps(w, STEPS({ "a", "WRITE /s/x 1", "OK" }, { "b", "WATCH /s t", NULL }));
	for (uint64_t n = 1; failed && n < 200; n++) {
		if (in_txn)
			tx = (uint32_t)atoi(scenario_ask(w, "a", "START"));
		snprintf(line, sizeof(line), "tx=%u WRITE /s/x/n%lu/a/b/c 1", tx, (unsigned long)n);
		scenario_send(w, scenario_peer(w, "a"), line);
		alloc_fail_at(n);
		world_run(w);
		failed = alloc_disarm();
		if (!scenario_peer(w, "a")->conn) {
			scenario_peer(w, "a")->name = 0;
			continue;
		}
		scenario_step(w, &(struct step){ "a", NULL, failed ? NULL : "OK" });
		if (in_txn)
			scenario_ask(w, "a", "tx=%u END T", tx);
		check(w);
		snprintf(line, sizeof(line), "READ /s/x/n%lu/a", (unsigned long)n);
		scenario_step(w, &(struct step){ "a", line, NULL });
	}
	if (failed)
		world_fail(w, "it fails for ever");
	scenario_steps(w, STEPS({ "a", "RM /s", "OK" }, { "a", "DIRECTORY /", "local tool" }));
	check(w);
}

static void failed_create_live(struct world *w)
{
	failed_create(w, false);
}

static void failed_create_txn(struct world *w)
{
	failed_create(w, true);
}

/* As deep as a path can be, and more by steps from within: removal does not recurse. */
static void deep_tree(struct world *w)
{
	static char path[3000];
	size_t n = 0;

	scenario_steps(w, STEPS({ "1", NULL, NULL }, { "hv", "limit nodes 0 1", NULL },
				{ "hv", "limit memory 0 1", NULL }));
	while (n < 2000) {
		path[n++] = 'd';
		path[n++] = '/';
	}
	path[n - 1] = '\0';
	scenario_steps(w, STEPS({ "1", "WATCH d t", NULL }));
	if (strcmp(scenario_ask(w, "1", "MKDIR %s", path), "OK"))
		world_fail(w, "no deep tree");
	if (strcmp(scenario_ask(w, "1", "START"), "1") ||
	    strcmp(scenario_ask(w, "1", "tx=1 RM d"), "OK") ||
	    strcmp(scenario_ask(w, "1", "tx=1 END T"), "OK"))
		world_fail(w, "not removed");
	if (strcmp(scenario_ask(w, "1", "MKDIR %s", path), "OK"))
		world_fail(w, "no deep tree again");
	scenario_step(w, &(struct step){ "hv", "destroy 1", NULL });
	scenario_step(w, &(struct step){ "a", "READ /local/domain/1", "ENOENT" });
	check(w);
}

static void giant_lengths(struct world *w)
{
	static const uint32_t len[] = { 4097, 0x40000000, 0x7fffffff, 0x80000000, 0xffffffff };
	char who[2] = "b";

	w->violations++;
	for (size_t i = 0; i < ARRAY_LEN(len); i++) {
		struct xsd_sockmsg hdr = { .type = XS_READ, .len = len[i] };
		char guest[4];

		peer_send_raw(scenario_peer(w, who), &hdr, sizeof(hdr));
		snprintf(guest, sizeof(guest), "%zu", i + 1);
		peer_send_raw(scenario_peer(w, guest), &hdr, sizeof(hdr));
		world_run(w);
		scenario_step(w, &(struct step){ who, NULL, "closed" });
		scenario_step(w, &(struct step){ guest, NULL, "error=3" });
		scenario_step(w, &(struct step){ "a", "READ /tool", "(empty)" });
		who[0]++;
	}
	check(w);
}

static void create_and_delete(struct world *w)
{
	for (int i = 1; i <= 20; i++) {
		scenario_ask(w, "1", "START");
		scenario_ask(w, "1", "tx=%d WRITE x/y/z 1", i);
		scenario_ask(w, "1", "tx=%d RM x", i);
		scenario_ask(w, "1", "tx=%d WRITE x 1", i);
		scenario_ask(w, "1", "tx=%d RM x/y", i);
		if (strcmp(scenario_ask(w, "1", "tx=%d END T", i), "OK"))
			world_fail(w, "not committed");
		check(w);
	}
	if (used(w, 1, QUOTA_NODES) != 2)
		world_fail(w, "%lu nodes are charged", (unsigned long)used(w, 1, QUOTA_NODES));
}

static void deaths_at_once(struct world *w)
{
	char line[64];

	scenario_steps(w, STEPS({ "a", "WATCH @releaseDomain r", NULL }));
	for (int i = 1; i <= 12; i++) {
		snprintf(line, sizeof(line), "%d", i);
		scenario_peer(w, line);
	}
	for (int i = 1; i <= 12; i++) {
		if (i % 3)
			fake_hv_destroy(&w->hv, (uint16_t)i);
		snprintf(line, sizeof(line), "RELEASE %d", 13 - i);
		scenario_send(w, scenario_peer(w, "b"), line);
	}
	world_run(w);
	for (int i = 1; i <= 12; i++)
		if (*scenario_ask(w, "a", "IS_DOMAIN_INTRODUCED %d", i) != 'F')
			world_fail(w, "domain %d is still there", i);
	check(w);
}

static void conflicting_deletes(struct world *w)
{
	scenario_steps(w, STEPS({ "1", "WRITE x/y/z 1", "OK" }, { "1", "START", "1" },
				{ "a", "START", "1" }, { "1", "tx=1 RM x", "OK" },
				{ "a", "tx=1 RM /local/domain/1/x/y", "OK" },
				{ "a", "tx=1 WRITE /local/domain/1/x 1", "OK" },
				{ "1", "tx=1 END T", "OK" }, { "a", "tx=1 END T", NULL },
				{ "a", "START", NULL }, { "b", "START", "1" }));
	scenario_ask(w, "a", "tx=2 RM /local/domain/1");
	scenario_ask(w, "b", "tx=1 RM /local/domain/1");
	scenario_ask(w, "a", "tx=2 END T");
	scenario_ask(w, "b", "tx=1 END T");
	scenario_step(w, &(struct step){ "a", "READ /local/domain/1", "ENOENT" });
	if (used(w, 1, QUOTA_NODES))
		world_fail(w, "%lu nodes are charged", (unsigned long)used(w, 1, QUOTA_NODES));
	check(w);
}

static void partial_then_introduce(struct world *w)
{
	struct xsd_sockmsg hdr = { .type = XS_WRITE, .req_id = 5, .len = 100 };

	scenario_peer(w, "1");
	peer_send_raw(scenario_peer(w, "1"), &hdr, sizeof(hdr));
	peer_send_raw(scenario_peer(w, "1"), "/tool", 5);
	world_run(w);
	if (!used(w, 1, QUOTA_MEMORY))
		world_fail(w, "a half request is not charged");
	scenario_steps(w, STEPS({ "a", "INTRODUCE 1 1000 4", "OK" }, { "1", "READ x", "ENOENT" },
				{ "1", "WRITE x 1", "OK" }, { "1", "READ x", "1" }));
	check(w);
}

static void every_domid(struct world *w)
{
	char line[128];
	const char *want;

	scenario_steps(w, STEPS({ "a", "WRITE /x 1", "OK" }, { "1", "WRITE y 1", "OK" }));
	for (unsigned int d = 0; d < 65536; d++) {
		snprintf(line, sizeof(line), "SET_PERMS /x n0 r%u b%u", d, d);
		scenario_step(w, &(struct step){ "a", line, "OK" });
		want = d < 2 ? "OK" : "ENOENT";
		snprintf(line, sizeof(line), "SET_PERMS /x n%u r1", d);
		scenario_step(w, &(struct step){ "a", line, want });
		if (d % 64 && d < 32752)
			continue;
		snprintf(line, sizeof(line), "SET_PERMS y n1 r%u w%u", d, d);
		scenario_step(w, &(struct step){ "1", line, "OK" });
	}
	check(w);
}

static const struct scenario table[] = {
	RUN("XSA-38: ring indices out of range end that ring alone", ring_indices),
	CASE("XSA-72: a reply that would be too long is E2BIG, the ring goes on",
	     { "1", "MKDIR d/a*1400", "OK" }, { "1", "MKDIR d/b*1400", "OK" },
	     { "1", "MKDIR d/c*1400", "OK" }, { "1", "DIRECTORY d", "E2BIG" },
	     { "1", "READ d", "(empty)" }),
	CASE("XSA-115: a guest is not told of nodes that it cannot read",
	     { "1", "WATCH / t", "OK [/ t]" }, { "a", "WRITE /secret 1", "OK" },
	     { "a", "WRITE /secret/x 1", "OK" }, { "a", "RM /secret", "OK" }, { "1", NULL, "" }),
	CASE("XSA-115: special watches need leave; a transaction id on WATCH is harmless",
	     { "1", "WATCH @introduceDomain t", NULL }, { "2", NULL, NULL }, { "1", NULL, "" },
	     { "1", "tx=4 WATCH x t", "OK [x t]" }, { "1", "START", "1" },
	     { "1", "tx=1 WATCH y t", "OK [y t]" }, { "1", "tx=1 END F", "OK" },
	     { "1", "WRITE y 1", "[y t] OK" }),
	CASE("XSA-206: a flood of writes does not starve a transaction",
	     { "a", "WRITE /n 0", "OK" }, { "a", "SET_PERMS /n b0", "OK" }, { "a", "START", "1" },
	     { "a", "tx=1 READ /n", "0" }, { "1", "WRITE /n 1", "OK" },
	     { "a", "tx=1 WRITE /n 9", "OK" }, { "a", "tx=1 END T", "EAGAIN" },
	     { "a", "START", "2" }, { "a", "tx=2 READ /n", "1" }, { "1", "WRITE /n 2", "" },
	     { "a", "tx=2 WRITE /n 9", "OK" }, { "a", "tx=2 END T", "OK" }, { "1", NULL, "OK" },
	     { "a", "READ /n", "2" }),
	CASE("XSA-233: a domain and its stub domain die together", { "1", "WRITE x 1", "OK" },
	     { "2", "WRITE x 1", "OK" }, { "a", "SET_TARGET 2 1", "OK" },
	     { "2", "READ /local/domain/1/x", "1" }, { "hv", "dying 1", NULL },
	     { "2", "READ /local/domain/1/x", NULL }, { "hv", "destroy 2", NULL },
	     { "hv", "destroy 1", NULL }, { "hv", "create 1", NULL },
	     { "a", "DIRECTORY /local/domain", "(empty)" }),
	CASE("XSA-272: nodes of transactions count", { "1", NULL, NULL },
	     { "hv", "limit nodes 5 1", NULL }, { "1", "START", "1" }, { "1", "START", "2" },
	     { "1", "tx=1 WRITE a/b/c/d 1", "OK" }, { "1", "tx=2 WRITE e/f/g/h 1", "OK" },
	     { "1", "tx=1 END T", "OK" }, { "1", "tx=2 END T", "ENOSPC" },
	     { "1", "WRITE i 1", "ENOSPC" }),
	CASE("XSA-322: who gets a domid next inherits no access", { "1", NULL, NULL },
	     { "a", "WRITE /x v", "OK" }, { "a", "SET_PERMS /x n0 b1 r2", "OK" },
	     { "1", "READ /x", "v" }, { "hv", "destroy 1", NULL }, { "a", "GET_PERMS /x", "n0 r2" },
	     { "hv", "create 1", NULL }, { "a", "INTRODUCE 1 1 3", "OK" },
	     { "1", "READ /x", "EACCES" }),
	CASE("XSA-322: nor by lists that named it in advance, nor by those of special paths",
	     { "a", "WRITE /x v", "OK" }, { "a", "SET_PERMS /x n0 b1", "OK" }, { "1", NULL, NULL },
	     { "1", "READ /x", "EACCES" }, { "a", "SET_PERMS @releaseDomain n1 r1", "OK" },
	     { "a", "SET_PERMS @introduceDomain n0 r1", "OK" }, { "hv", "destroy 1", NULL },
	     { "a", "GET_PERMS @releaseDomain", "n0" },
	     { "a", "GET_PERMS @introduceDomain", "n0" }),
	RUN("XSA-323: what a relative path makes, an absolute one reads and removes",
	    long_relative),
	RUN("XSA-324: an event too long for the protocol is dropped and counted", oversize_event),
	CASE("XSA-325: the death of a misbehaving client is announced", { "1", NULL, NULL },
	     { "a", "WATCH @releaseDomain r", NULL }, { "hv", "violation", NULL },
	     { "1", "WRITE! /x*", NULL }, { "1", "WRITE x a*5000", NULL },
	     { "hv", "destroy 1", NULL }, { "a", NULL, "[@releaseDomain r]" },
	     { "a", "READ /local/domain/1", "ENOENT" }),
	RUN("XSA-326: replies, events and requests stay within the memory quota", flood_of_memory),
	RUN("XSA-326: what transactions hold stays within it, too", transaction_memory),
	RUN("XSA-330: RESET_WATCHES gives everything back", reset_watches_leak),
	CASE("XSA-352: a guest cannot give its nodes away", { "1", "WRITE x 1", "OK" },
	     { "2", NULL, NULL }, { "1", "SET_PERMS x n2", "EPERM" }, { "1", "START", "1" },
	     { "1", "tx=1 SET_PERMS x n2", "EPERM" }, { "1", "GET_PERMS x", "n1" }),
	CASE("XSA-353: a guest's operations on / are refused", { "1", "RM /", "EACCES" },
	     { "1", "SET_PERMS / n1", "EACCES" }, { "1", "WRITE / x", "EACCES" },
	     { "1", "MKDIR /", "EACCES" }, { "1", "START", "1" }, { "1", "tx=1 RM /", "EACCES" },
	     { "a", "START", "1" }, { "a", "tx=1 RM /", "EINVAL" },
	     { "a", "DIRECTORY /", "local tool" }),
	RUN("XSA-414: a create that fails leaves nothing behind", failed_create_live),
	RUN("XSA-415: nor inside a transaction", failed_create_txn),
	RUN("XSA-416: memory tied to an unread reply is counted and bounded", flood_of_memory),
	CASE("XSA-417: a deleted domain's entries are gone from every list", { "1", NULL, NULL },
	     { "2", NULL, NULL }, { "a", "WRITE /x v", "OK" },
	     { "a", "SET_PERMS /x n0 r1 r2 w1", "OK" }, { "a", "START", "1" },
	     { "a", "tx=1 WRITE /y v", "OK" }, { "a", "tx=1 SET_PERMS /y n0 r1", "OK" },
	     { "hv", "destroy 1", NULL }, { "a", "tx=1 END T", "OK" },
	     { "a", "GET_PERMS /x", "n0 r2" }, { "a", "GET_PERMS /y", "n0" }),
	RUN("XSA-418: the deepest tree is removed without recursion", deep_tree),
	CASE("XSA-419: nodes below another's that goes are gone, and not charged",
	     { "1", "WRITE d 1", "OK" }, { "2", NULL, NULL }, { "1", "SET_PERMS d n1 b2", "OK" },
	     { "hv", "limit nodes 3 2", NULL }, { "2", "WRITE /local/domain/1/d/x/y 1", "OK" },
	     { "2", "WRITE z 1", "ENOSPC" }, { "1", "RM d", "OK" }, { "2", "WRITE z/u 1", "OK" },
	     { "2", "WRITE v 1", "ENOSPC" }),
	RUN("XSA-420: a length of 4097, 1 GiB, 2 GiB, 4 GiB", giant_lengths),
	RUN("XSA-421: create and delete in a transaction are accounted", create_and_delete),
	RUN("XSA-425: domains die and are released all at once", deaths_at_once),
	RUN("XSA-440: conflicting deletes in transactions", conflicting_deletes),
	CASE("XSA-481: the path /local/domain/", { "a", "READ /local/domain/", "EINVAL" },
	     { "1", "WRITE /local/domain/ x", "EINVAL" },
	     { "a", "WATCH /local/domain/ t", "EINVAL" }, { "a", "RM /local/domain/", "EINVAL" },
	     { "a", "MKDIR /local/domain//x", "EINVAL" }, { "1", "READ /local/domain", "EACCES" }),
	CASE("XSA-483: a recycled domid starts with nothing used", { "1", "WATCH a t", NULL },
	     { "1", "START", "1" }, { "1", "WRITE a/b/c 1", NULL }, { "hv", "destroy 1", NULL },
	     { "hv", "create 1", NULL }, { "a", "SET_QUOTA 1 nodes 2", "OK" },
	     { "a", "SET_QUOTA 1 watches 1", "OK" }, { "a", "SET_QUOTA 1 transactions 1", "OK" },
	     { "a", "MKDIR /local/domain/1", "OK" }, { "a", "SET_PERMS /local/domain/1 n1", "OK" },
	     { "a", "INTRODUCE 1 1 3", "OK" }, { "1", "WATCH b t", NULL }, { "1", "START", "1" },
	     { "1", "WRITE x 1", "OK" }, { "1", "WRITE y 1", "ENOSPC" }),
	CASE("XSA-484: RESET_WATCHES inside a transaction ends it, too", { "1", "START", "1" },
	     { "1", "tx=1 WRITE x 1", "OK" }, { "1", "tx=1 RESET_WATCHES", "OK" },
	     { "1", "tx=1 END T", "ENOENT" }, { "1", "READ x", "ENOENT" },
	     { "1", "tx=9 RESET_WATCHES", "ENOENT" }),
	RUN("a half request before a second INTRODUCE is dropped whole", partial_then_introduce),
	CASE("a payload of length 0 is answered", { "1", "READ!", "EINVAL" },
	     { "1", "WRITE!", "EINVAL" }, { "1", "END!", "EINVAL" }, { "a", "CONTROL!", "ENOSYS" },
	     { "1", "RESET_WATCHES!", "OK" }),
	RUN("every domid in every position of SET_PERMS is safe", every_domid),
};

int main(int argc, char **argv)
{
	return scenario_main(table, ARRAY_LEN(table), argc, argv);
}
