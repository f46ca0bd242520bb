/* SPDX-License-Identifier: MIT */
/*
 * What clients rely on beyond the written protocol (docs/protocol.md, "What clients rely on"): a
 * named case per statement.
 */
#include <string.h>

#include "base/own.h"
#include "scenario.h"

/* Octets in pieces of one: nothing depends on where a message is cut. */
static void split_requests(struct world *w)
{
	static const char *const who[] = { "a", "1" };
	const struct xsd_sockmsg hdr = { .type = XS_READ, .req_id = 77, .len = 6 };
	uint8_t msg[sizeof(hdr) + 6];
	char text[8192];

	memcpy(msg, &hdr, sizeof(hdr));
	memcpy(msg + sizeof(hdr), "/tool", 6);
	scenario_ask(w, "a", "SET_PERMS /tool r0");
	for (size_t i = 0; i < ARRAY_LEN(who); i++) {
		struct peer *p = scenario_peer(w, who[i]);
		struct xsd_sockmsg got;

		scenario_receive(p, text, sizeof(text));
		for (size_t k = 0; k < sizeof(msg); k++) {
			peer_send_raw(p, msg + k, 1);
			world_run(w);
			if (k + 1 < sizeof(msg) && stream_left(&p->in))
				world_fail(w, "answered after %zu octets", k + 1);
		}
		if (!peer_take(p, &got, text) || got.type != XS_READ || got.req_id != 77)
			world_fail(w, "no answer to a request in pieces");
	}
}

/* A header whose payload is late, or a client that reads nothing, delays only itself. */
static void slow_clients(struct world *w)
{
	const struct xsd_sockmsg hdr = { .type = XS_READ, .len = 4000 };
	struct peer *deaf;

	scenario_ask(w, "a", "WRITE /big a*4000");
	peer_send_raw(scenario_peer(w, "b"), &hdr, sizeof(hdr));
	peer_send_raw(scenario_peer(w, "1"), &hdr, sizeof(hdr));
	deaf = scenario_peer(w, "c");
	deaf->deaf = true;
	for (int i = 0; i < 2000; i++)
		scenario_send(w, deaf, "READ /big");
	world_run(w);
	scenario_steps(w, STEPS({ "d", "READ /tool", "(empty)" }, { "2", "MKDIR x", "OK" }));
	if (conn_queued(deaf->conn).octets > CONN_BACKLOG_MAX + 8192)
		world_fail(w, "%zu octets are kept for who does not read",
			   conn_queued(deaf->conn).octets);
	deaf->deaf = false;
	world_run(w);
	if (stream_left(&deaf->in) != 2000 * (sizeof(hdr) + 4000))
		world_fail(w, "%zu octets came once it read", stream_left(&deaf->in));
}

/* Feature bits and the error field; a reconnection clears it. */
static void ring_page(struct world *w)
{
	struct peer *p = scenario_peer(w, "1");
	struct xenstore_domain_interface *r = peer_page(p);

	w->violations++;
	if (r->server_features != 15)
		world_fail(w, "features %u are offered", r->server_features);
	scenario_steps(w, STEPS({ "1", "WATCH x t", "OK [x t]" }, { "1", "START", "1" }));
	r->req_prod = r->req_cons + XENSTORE_RING_SIZE + 1;
	fake_hv_kick(&w->hv, 1);
	world_run(w);
	if (r->error != XENSTORE_ERROR_RINGIDX)
		world_fail(w, "error field %u after a bad index", r->error);
	r->connection = XENSTORE_RECONNECT;
	fake_hv_kick(&w->hv, 1);
	world_run(w);
	if (r->connection != XENSTORE_CONNECTED || r->error || r->req_prod || r->rsp_prod)
		world_fail(w, "not connected anew");
	scenario_steps(w, STEPS({ "1", "tx=1 READ x", "ENOENT" }, { "1", "WRITE x 1", "OK" },
				{ "1", "START", NULL }));
}

static void oversize(struct world *w)
{
	const struct xsd_sockmsg hdr = { .type = XS_WRITE, .len = XENSTORE_PAYLOAD_MAX + 1 };

	w->violations++;
	peer_send_raw(scenario_peer(w, "a"), &hdr, sizeof(hdr));
	peer_send_raw(scenario_peer(w, "1"), &hdr, sizeof(hdr));
	scenario_steps(w, STEPS({ "a", NULL, "closed" }, { "1", NULL, "error=3" },
				{ "1", "READ x", "error=3" }, { "b", "READ /tool", "(empty)" },
				{ "2", "READ x", "ENOENT" }));
}

/* Guests leave events unread: after 20 s they are dropped, replies are not. */
static void stale_events(struct world *w)
{
	struct peer *p = scenario_peer(w, "1");
	char text[8192];

	scenario_steps(w, STEPS({ "1", "WATCH x t", "OK [x t]" }, { "hv", "deaf 1", NULL }));
	for (int i = 0; i < 40; i++)
		scenario_ask(w, "a", "WRITE /local/domain/1/x/%d%s 1", i,
			     "-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	scenario_send(w, p, "READ none");
	world_run(w);
	if (conn_queued(peer_conn(p)).events < 20)
		world_fail(w, "no events are held");
	world_advance(w, 19000);
	if (conn_queued(peer_conn(p)).events < 20)
		world_fail(w, "dropped after 19 s");
	world_advance(w, 4000);
	if (conn_queued(peer_conn(p)).events > 1)
		world_fail(w, "%zu events held after 23 s", conn_queued(peer_conn(p)).events);
	if (!domain_find(&w->core->domains, 1)->budget.counters->refused[REFUSAL_EVENT_DROPPED])
		world_fail(w, "dropped events are not counted");
	p->deaf = false;
	w->hv.dom[1].notified = true;
	world_run(w);
	scenario_receive(p, text, sizeof(text));
	if (!strstr(text, "ENOENT"))
		world_fail(w, "the reply was dropped, too: %.200s", text);
	scenario_step(w, &(struct step){ "1", "READ none", "ENOENT" });
}

/* "outstanding": replies unread stop the reading of requests, and nothing is lost. */
static void back_pressure(struct world *w)
{
	struct peer *p = scenario_peer(w, "1");
	size_t n = 0;
	char text[8192];
	struct xsd_sockmsg hdr;

	scenario_ask(w, "1", "WRITE x a*500");
	p->deaf = true;
	for (int i = 0; i < 100; i++)
		scenario_send(w, p, "READ x");
	world_run(w);
	if (conn_queued(peer_conn(p)).replies > 20)
		world_fail(w, "%zu replies are outstanding", conn_queued(peer_conn(p)).replies);
	if (domain_find(&w->core->domains, 1)->budget.counters->refused[REFUSAL_STALL] != 1)
		world_fail(w, "the stall is not counted once");
	scenario_step(w, &(struct step){ "2", "READ x", "ENOENT" });
	p->deaf = false;
	w->hv.dom[1].notified = true;
	world_run(w);
	while (peer_take(p, &hdr, text))
		n++;
	if (n != 100)
		world_fail(w, "%zu answers of 100", n);
}

static void same_event(struct world *w)
{
	static char text[16384];

	scenario_steps(w, STEPS({ "1", "WATCH w t", "OK [w t]" },
				{ "a", "SET_PERMS @introduceDomain n0 r1", "OK" },
				{ "1", "WATCH @introduceDomain i", "OK [@introduceDomain i]" },
				{ "1", "WRITE f a*1020", "OK" }, { "hv", "deaf 1", NULL },
				{ "1", "READ f", "" }, { "a", "WRITE /local/domain/1/w 1", "OK" },
				{ "a", "WRITE /local/domain/1/w 2", "OK" },
				{ "a", "WRITE /local/domain/1/w 1", "OK" }, { "2", NULL, NULL },
				{ "3", NULL, NULL }, { "hv", "hears 1", NULL }));
	scenario_receive(scenario_peer(w, "1"), text, sizeof(text));
	if (strcmp(text + 1020, " [w t] [@introduceDomain i] [@introduceDomain i]"))
		world_fail(w, "came: %s", text + 1020);
	scenario_step(w, &(struct step){ "a", "WRITE /local/domain/1/w 3", "OK" });
	scenario_step(w, &(struct step){ "1", NULL, "[w t]" });
}

static const struct scenario table[] = {
	CASE("WATCH: the reply, then the initial event, without any check",
	     { "a", "WATCH /none t", "OK [/none t]" }, { "1", "WATCH /tool t", "OK [/tool t]" },
	     { "1", "WATCH @releaseDomain t", "OK [@releaseDomain t]" },
	     { "1", "WATCH @introduceDomain t", "OK [@introduceDomain t]" },
	     { "1", "WATCH @foo t", "OK [@foo t]" }, { "1", "WATCH rel t", "OK [rel t]" }),
	CASE("a client's own events come before the reply, RELEASE's after it",
	     { "a", "WATCH /s t", "OK [/s t]" }, { "a", "WRITE /s 1", "[/s t] OK" },
	     { "a", "MKDIR /s/d", "[/s/d t] OK" }, { "a", "SET_PERMS /s n0", "[/s t] OK" },
	     { "a", "RM /s/d", "[/s/d t] OK" }, { "a", "START", "1" },
	     { "a", "tx=1 WRITE /s/q 1", "OK" }, { "a", "tx=1 END T", "[/s/q t] OK" },
	     { "a", "WATCH @introduceDomain i", "OK [@introduceDomain i]" },
	     { "hv", "create 9", NULL }, { "a", "INTRODUCE 9 1 3", "[@introduceDomain i] OK" },
	     { "a", "WATCH @releaseDomain r", "OK [@releaseDomain r]" },
	     { "a", "RELEASE 9", "OK [@releaseDomain r]" }),
	CASE("parents created on the way give one event, on the leaf's path",
	     { "a", "WATCH / t", "OK [/ t]" }, { "a", "WRITE /p/q/r/s 1", "[/p/q/r/s t] OK" },
	     { "a", "MKDIR /u/v", "[/u/v t] OK" }),
	CASE("MKDIR of an existing node gives no event", { "a", "WATCH / t", "OK [/ t]" },
	     { "a", "MKDIR /tool", "OK" }),
	CASE("RM fires ancestors and itself, and every watch below once with its own path",
	     { "a", "WRITE /s/d/e/f 1", "OK" }, { "b", "WATCH / 0", "OK [/ 0]" },
	     { "b", "WATCH /s 1", "OK [/s 1]" }, { "b", "WATCH /s/d 2", "OK [/s/d 2]" },
	     { "b", "WATCH /s/d/e/f 3", "OK [/s/d/e/f 3]" },
	     { "b", "WATCH /s/d/none 4", "OK [/s/d/none 4]" },
	     { "b", "WATCH /s/x 5", "OK [/s/x 5]" }, { "a", "RM /s/d", "OK" },
	     { "b", NULL, "[/s/d 0] [/s/d 1] [/s/d 2] [/s/d/e/f 3] [/s/d/none 4]" }),
	CASE("RM of a missing node gives no event", { "a", "WATCH / t", "OK [/ t]" },
	     { "a", "RM /none", "OK" }),
	CASE("an event needs the node or its parent readable, old permissions counted",
	     { "a", "WRITE /s/x 1", "OK" }, { "1", "WATCH /s t", "OK [/s t]" },
	     { "a", "WRITE /s/x 2", "OK" }, { "1", NULL, "" },
	     { "a", "SET_PERMS /s/x n0 r1", "OK" }, { "1", NULL, "[/s/x t]" },
	     { "a", "WRITE /s/x 2", "OK" }, { "1", NULL, "[/s/x t]" },
	     { "a", "SET_PERMS /s/x n0", "OK" }, { "1", NULL, "[/s/x t]" },
	     { "a", "WRITE /s/x 2", "OK" }, { "1", NULL, "" }, { "a", "SET_PERMS /s n0 r1", "OK" },
	     { "1", NULL, "[/s t]" }, { "a", "WRITE /s/x 2", "OK" }, { "1", NULL, "[/s/x t]" },
	     { "a", "WRITE /s/x/y 2", "OK" }, { "1", NULL, "" }, { "a", "RM /s/x", "OK" },
	     { "1", NULL, "[/s/x t]" }),
	CASE("special watches are for privileged callers, or whom SET_PERMS on them allows",
	     { "1", "WATCH @introduceDomain i", "OK [@introduceDomain i]" },
	     { "1", "WATCH @releaseDomain r", "OK [@releaseDomain r]" }, { "2", NULL, NULL },
	     { "1", NULL, "" }, { "a", "SET_PERMS @introduceDomain n0 r1", "OK" },
	     { "3", NULL, NULL }, { "1", NULL, "[@introduceDomain i]" }, { "a", "RELEASE 3", "OK" },
	     { "1", NULL, "[@releaseDomain r]" }, { "a", "SET_PERMS @releaseDomain n0", "OK" },
	     { "a", "RELEASE 2", "OK" }, { "1", NULL, "" },
	     { "1", "SET_PERMS @releaseDomain n1", "EACCES" },
	     { "1", "GET_PERMS @releaseDomain", "EACCES" },
	     { "a", "GET_PERMS @introduceDomain", "n0 r1" },
	     { "a", "SET_PERMS @none n0", "EINVAL" }),
	RUN("an event equal to one still unread is not queued again, a special one is", same_event),
	CASE("depth limits which levels below are told of", { "a", "WATCH /s t 0", "OK [/s t]" },
	     { "a", "WATCH /s u 1", "OK [/s u]" }, { "b", "WRITE /s 1", "OK" },
	     { "a", NULL, "[/s u] [/s t]" }, { "b", "WRITE /s/x 1", "OK" },
	     { "a", NULL, "[/s/x u]" }, { "b", "WRITE /s/x/y 1", "OK" }, { "a", NULL, "" },
	     { "a", "WATCH /s v x", "EINVAL" }, { "a", "WATCH /s v -1", "EINVAL" },
	     { "b", "RM /s", "OK" }, { "a", NULL, "[/s u] [/s t]" }),
	CASE("depth 1 on special paths tells the domid, other depths are EINVAL",
	     { "a", "WATCH @introduceDomain i 1", "OK [@introduceDomain i]" },
	     { "a", "WATCH @releaseDomain r 1", "OK [@releaseDomain r]" },
	     { "a", "WATCH @releaseDomain/9 s", "OK [@releaseDomain/9 s]" },
	     { "a", "WATCH @releaseDomain/8 s", "OK [@releaseDomain/8 s]" },
	     { "a", "WATCH @introduceDomain j 0", "EINVAL" },
	     { "a", "WATCH @introduceDomain j 2", "EINVAL" }, { "hv", "create 9", NULL },
	     { "a", "INTRODUCE 9 1 3", "[@introduceDomain/9 i] OK" },
	     { "a", "RELEASE 9", "OK [@releaseDomain/9 r] [@releaseDomain/9 s]" }),
	CASE("a relative watch tells relative paths", { "1", "WATCH x t", "OK [x t]" },
	     { "1", "WATCH /local/domain/1 u", "OK [/local/domain/1 u]" },
	     { "1", "WRITE x/y 1", "[/local/domain/1/x/y u] [x/y t] OK" },
	     { "1", "UNWATCH /local/domain/1/x t", "OK" }),
	CASE("death: @releaseDomain at shutdown, again at death; subtrees go before, with events",
	     { "1", "WRITE x 1", "OK" }, { "a", "WATCH @releaseDomain r", "OK [@releaseDomain r]" },
	     { "a", "WATCH /local/domain/1/x t", "OK [/local/domain/1/x t]" },
	     { "hv", "shutdown 1", NULL }, { "a", NULL, "[@releaseDomain r]" },
	     { "a", "READ /local/domain/1/x", "1" }, { "hv", "destroy 1", NULL },
	     { "a", NULL, "[/local/domain/1/x t] [@releaseDomain r]" },
	     { "a", "READ /local/domain/1/x", "ENOENT" }, { "a", "IS_DOMAIN_INTRODUCED 1", "F" }),
	CASE("RESUME lets the next shutdown be told of again", { "1", NULL, NULL },
	     { "a", "WATCH @releaseDomain r", "OK [@releaseDomain r]" },
	     { "hv", "shutdown 1", NULL }, { "a", NULL, "[@releaseDomain r]" },
	     { "hv", "shutdown 1", NULL }, { "a", NULL, "" }, { "hv", "resume 1", NULL },
	     { "a", "RESUME 1", "OK" }, { "hv", "shutdown 1", NULL },
	     { "a", NULL, "[@releaseDomain r]" }),
	CASE("RELEASE then INTRODUCE is a pair that loses no nodes", { "1", "WRITE x 1", "OK" },
	     { "a", "RELEASE 1", "OK" }, { "a", "READ /local/domain/1/x", "1" },
	     { "a", "INTRODUCE 1 1000 3", "OK" }, { "1", "READ x", "1" },
	     { "1", "WRITE x 2", "OK" }),
	CASE("INTRODUCE again with the same page and port changes nothing", { "1", "START", "1" },
	     { "1", "WATCH x t", "OK [x t]" },
	     { "a", "WATCH @introduceDomain i", "OK [@introduceDomain i]" },
	     { "a", "INTRODUCE 1 1000 3", "OK" }, { "1", "tx=1 END T", "OK" },
	     { "1", "WRITE x 1", "[x t] OK" }),
	CASE("INTRODUCE with another port drops watches and transactions", { "1", "START", "1" },
	     { "1", "WATCH x t", "OK [x t]" }, { "a", "INTRODUCE 1 1000 4", "OK" },
	     { "1", "tx=1 END T", "ENOENT" }, { "1", "WRITE x 1", "OK" }),
	CASE("INTRODUCE with another page and the same port binds anew, too", { "1", "START", "1" },
	     { "a", "INTRODUCE 1 1001 3", "OK" }, { "1", "tx=1 END T", "ENOENT" },
	     { "1", "WRITE x 1", "OK" }),
	CASE("RESET_WATCHES drops watches and transactions of the caller alone",
	     { "1", "START", "1" }, { "1", "WATCH x t", "OK [x t]" }, { "2", "START", "1" },
	     { "1", "RESET_WATCHES", "OK" }, { "1", "tx=1 END T", "ENOENT" },
	     { "1", "WRITE x 1", "OK" }, { "2", "tx=1 END T", "OK" }),
	CASE("a committed transaction fires once per node, in the order of first touch",
	     { "a", "WATCH /s t", "OK [/s t]" }, { "b", "START", "1" },
	     { "b", "tx=1 WRITE /s/b 1", "OK" }, { "b", "tx=1 WRITE /s/a 1", "OK" },
	     { "b", "tx=1 WRITE /s/b 2", "OK" }, { "b", "tx=1 MKDIR /s/d/e", "OK" },
	     { "a", NULL, "" }, { "b", "tx=1 END T", "OK" },
	     { "a", NULL, "[/s/b t] [/s/a t] [/s/d/e t]" }),
	CASE("an aborted transaction fires nothing", { "a", "WATCH /s t", "OK [/s t]" },
	     { "b", "START", "1" }, { "b", "tx=1 WRITE /s/b 1", "OK" }, { "b", "tx=1 END F", "OK" },
	     { "a", NULL, "" }, { "a", "READ /s/b", "ENOENT" }),
	RUN("where a message is cut does not matter", split_requests),
	RUN("who delays a payload or reads nothing delays only itself", slow_clients),
	RUN("features, error field and reconnection of a ring", ring_page),
	RUN("a payload over 4096 closes a socket, and sets a ring's error to 3", oversize),
	RUN("a guest's unread events are dropped after 20 s and counted", stale_events),
	RUN("unread replies stop the reading of requests; none is lost", back_pressure),
};

int main(int argc, char **argv)
{
	return scenario_main(table, ARRAY_LEN(table), argc, argv);
}
