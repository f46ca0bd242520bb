/* SPDX-License-Identifier: MIT */
/*
 * The operations for a domain that moves, through a whole core; what an image holds is tested
 * where it is made.
 */
#include "op/world_test.h"

#include "base/own.h"
#include "op/op.h"
#include "op/vendor.h"

static void they_are_for_the_privileged_and_check_their_arguments(void **state)
{
	static const struct {
		unsigned int who;
		uint32_t tx, type;
		const char *text, *want;
	} table[] = {
		{ 5, 9, 0x8000, "", "ENOSYS|" },
		{ 5, 9, WIRE_VENDOR_END, "", "ENOSYS|" },
		{ 5, 0, WIRE_QUIESCE, "6|", "EACCES|" },
		{ 5, 0, WIRE_UNQUIESCE, "6|", "EACCES|" },
		{ 5, 0, WIRE_GET_DOMAIN_WATCHES, "5|0|", "EACCES|" },
		{ 5, 0, WIRE_ADD_DOMAIN_WATCHES, "5|a|b|", "EACCES|" },
		{ 5, 0, WIRE_START_DOMAIN_TRANSACTION, "5|1|", "EACCES|" },
		{ 5, 0, WIRE_EXPORT_DOMAIN, "5|0|", "EACCES|" },
		{ 5, 0, WIRE_IMPORT_DOMAIN, "5|0|1|x", "EACCES|" },
		{ 5, 0, WIRE_WHY, "|", "EACCES|" },
		{ 5, 0, WIRE_GET_DOMAIN_RING, "5|", "EACCES|" },
		{ 5, 0, WIRE_PUT_DOMAIN_RING, "5|x", "EACCES|" },
		{ 0, 9, WIRE_QUIESCE, "5|", "ENOENT|" },
		{ 0, 0, WIRE_QUIESCE, "", "EINVAL|" },
		{ 0, 0, WIRE_QUIESCE, "0|", "EINVAL|" },
		{ 0, 0, WIRE_QUIESCE, "x|", "EINVAL|" },
		{ 0, 0, WIRE_QUIESCE, "32752|", "EINVAL|" },
		{ 0, 0, WIRE_QUIESCE, "9|", "ENOENT|" },
		{ 0, 0, WIRE_UNQUIESCE, "9|", "ENOENT|" },
		{ 0, 0, WIRE_GET_DOMAIN_WATCHES, "9|0|", "ENOENT|" },
		{ 0, 0, WIRE_GET_DOMAIN_WATCHES, "5|x|", "EINVAL|" },
		{ 0, 0, WIRE_ADD_DOMAIN_WATCHES, "5|a|", "EINVAL|" },
		{ 0, 0, WIRE_ADD_DOMAIN_WATCHES, "9|a|b|", "ENOENT|" },
		{ 0, 0, WIRE_START_DOMAIN_TRANSACTION, "5|0|", "EINVAL|" },
		{ 0, 0, WIRE_START_DOMAIN_TRANSACTION, "5|4294967296|", "EINVAL|" },
		{ 0, 0, WIRE_START_DOMAIN_TRANSACTION, "9|1|", "ENOENT|" },
		{ 0, 0, WIRE_EXPORT_DOMAIN, "5|0|", "ENOSYS|" },
		{ 0, 0, WIRE_IMPORT_DOMAIN, "5|0|1|x", "ENOSYS|" },
		{ 0, 0, WIRE_WHY, "", "|" },
		{ 0, 0, WIRE_GET_DOMAIN_RING, "x|", "EINVAL|" },
		{ 0, 0, WIRE_GET_DOMAIN_RING, "9|", "ENOENT|" },
		{ 0, 0, WIRE_GET_DOMAIN_RING, "5|", "EBUSY|" },
		{ 0, 0, WIRE_PUT_DOMAIN_RING, "0|x", "EINVAL|" },
		{ 0, 0, WIRE_PUT_DOMAIN_RING, "9|x", "ENOENT|" },
		{ 0, 0, WIRE_PUT_DOMAIN_RING, "5|x", "EBUSY|" },
	};
	struct world *w = world_new();

	(void)state;
	world_guest(w, 5);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		ask_in(w, table[i].who, table[i].tx, table[i].type, table[i].text);
		if (strcmp(w->answer, table[i].want))
			fail_msg("row %zu: %s for %s", i, w->answer, table[i].want);
	}
	world_free(w);
}

/* Puts octets on a guest's ring without waiting for anything. */
static void guest_says(struct world *w, unsigned int domid, const uint8_t *buf, size_t len)
{
	struct xenstore_domain_interface *p = w->hv.dom[domid].page;

	for (size_t i = 0; i < len; i++)
		p->req[MASK_XENSTORE_IDX(p->req_prod + i)] = (char)buf[i];
	p->req_prod += (uint32_t)len;
	w->hv.pending[w->hv.dom[domid].port] = true;
}

static void a_quiesced_ring_is_left_alone_until_it_is_no_more(void **state)
{
	struct world *w = world_new();
	struct xenstore_domain_interface *p;
	uint8_t buf[256];
	uint32_t cons, prod;
	size_t len;

	(void)state;
	world_guest(w, 5);
	p = w->hv.dom[5].page;
	assert_string_equal(ask(w, 5, XS_WATCH, "x|t|"), "OK|");
	for (int i = 0; i < 2; i++) /* twice: the second changes nothing */
		assert_string_equal(ask(w, 0, WIRE_QUIESCE, "5|"), "OK|");
	cons = p->req_cons;
	prod = p->rsp_prod;
	len = message(buf, XS_WRITE, 0, "y|1");
	guest_says(w, 5, buf, len);
	ask(w, 0, XS_WRITE, "/local/domain/5/x|1");
	assert_int_equal(p->req_cons, cons);
	assert_int_equal(p->rsp_prod, prod);
	assert_string_equal(ask(w, 0, XS_READ, "/local/domain/5/y|"), "ENOENT|");
	for (int i = 0; i < 2; i++)
		assert_string_equal(ask(w, 0, WIRE_UNQUIESCE, "5|"), "OK|");
	world_run(w, 5);
	world_hear(w, &w->guest[5], XS_WRITE);
	assert_string_equal(w->events, "[x|t|]");
	assert_string_equal(w->answer, "OK|");
	assert_string_equal(ask(w, 0, XS_READ, "/local/domain/5/y|"), "1");
	world_free(w);
}

static void ask_raw(struct world *w, uint32_t type, const void *data, size_t len);

static void a_quiesced_rings_page_is_had_and_put_as_it_is(void **state)
{
	uint8_t had[sizeof(struct xenstore_domain_interface)], put[2 + sizeof(had)] = "5";
	const size_t head = sizeof(struct xsd_sockmsg);
	struct world *w = world_new();
	struct mouth *m = &w->socket[0];

	(void)state;
	world_guest(w, 5);
	world_guest(w, 6);
	assert_string_equal(ask(w, 5, XS_WRITE, "a|1"), "OK|");
	assert_string_equal(ask(w, 0, WIRE_QUIESCE, "5|"), "OK|");
	ask_raw(w, WIRE_GET_DOMAIN_RING, "5", 2);
	assert_int_equal(m->out_len, head + sizeof(had));
	memcpy(had, m->out + head, sizeof(had));
	assert_memory_equal(had, w->hv.dom[5].page, sizeof(had));
	memset(w->hv.dom[5].page, 0, sizeof(had));
	memcpy(put + 2, had, sizeof(had));
	memset(put + 2 + offsetof(struct xenstore_domain_interface, server_features), 0,
	       sizeof(((struct xenstore_domain_interface *)0)->server_features));
	ask_raw(w, WIRE_PUT_DOMAIN_RING, put, sizeof(put));
	world_hear(w, m, WIRE_PUT_DOMAIN_RING);
	assert_string_equal(w->answer, "OK|");
	assert_memory_equal(had, w->hv.dom[5].page, sizeof(had));
	ask_raw(w, WIRE_PUT_DOMAIN_RING, put, sizeof(put) - 1);
	world_hear(w, m, WIRE_PUT_DOMAIN_RING);
	assert_string_equal(w->answer, "EINVAL|");
	assert_string_equal(ask(w, 0, WIRE_UNQUIESCE, "5|"), "OK|");
	assert_string_equal(ask(w, 5, XS_READ, "a|"), "1");
	world_free(w);
}

static void events_held_back_by_a_quiesced_ring_never_grow_stale(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->core->conns.event_timeout_ms = 20000;
	world_guest(w, 5);
	assert_string_equal(ask(w, 5, XS_WATCH, "x|t|"), "OK|");
	assert_string_equal(ask(w, 0, WIRE_QUIESCE, "5|"), "OK|");
	ask(w, 0, XS_WRITE, "/local/domain/5/x|1");
	for (int i = 0; i < 60; i++, w->now_ms += 1000)
		world_run(w, 0);
	assert_string_equal(ask(w, 0, WIRE_UNQUIESCE, "5|"), "OK|");
	world_run(w, 5);
	world_hear(w, &w->guest[5], XS_WRITE);
	assert_string_equal(w->events, "[x|t|]");
	world_free(w);
}

static void a_ring_that_comes_after_quiesce_is_left_alone_from_the_first(void **state)
{
	struct world *w = world_new();
	uint8_t buf[256];
	size_t len = message(buf, XS_GET_DOMAIN_PATH, 0, "5|");

	(void)state;
	fake_create(&w->hv, 5);
	assert_string_equal(ask(w, 0, WIRE_QUIESCE, "5|"), "OK|");
	w->hv.dom[5].port = 63; /* nobody's yet */
	guest_says(w, 5, buf, len);
	w->hv.pending[63] = false;
	assert_string_equal(ask(w, 0, XS_INTRODUCE, "5|105|3|"), "OK|");
	assert_int_equal(w->hv.dom[5].page->req_cons, 0);
	assert_string_equal(ask(w, 0, WIRE_UNQUIESCE, "5|"), "OK|");
	world_run(w, 5);
	world_hear(w, &w->guest[5], XS_GET_DOMAIN_PATH);
	assert_string_equal(w->answer, "/local/domain/5|");
	/* a RELEASE and another INTRODUCE, and it is read again */
	assert_string_equal(ask(w, 0, WIRE_QUIESCE, "5|"), "OK|");
	assert_string_equal(ask(w, 0, XS_RELEASE, "5|"), "OK|");
	assert_string_equal(ask(w, 0, XS_INTRODUCE, "5|105|3|"), "OK|");
	assert_string_equal(ask(w, 5, XS_GET_DOMAIN_PATH, "5|"), "/local/domain/5|");
	world_free(w);
}

/* A guest's transaction holds what it lost; another one's commit waits for it. */
static void quiesce_is_answered_when_a_request_that_waits_is_done(void **state)
{
	struct world *w = world_new();
	uint8_t buf[256];
	size_t len;

	(void)state;
	world_guest(w, 5);
	world_guest(w, 6);
	ask(w, 0, XS_WRITE, "/s|0");
	ask(w, 0, XS_SET_PERMS, "/s|b0|");
	assert_string_equal(ask(w, 0, XS_TRANSACTION_START, "|"), "1|");
	ask_in(w, 0, 1, XS_READ, "/s|");
	ask_in(w, 0, 1, XS_WRITE, "/s|1");
	assert_string_equal(ask(w, 5, XS_WRITE, "/s|5"), "OK|");
	assert_string_equal(ask_in(w, 0, 1, XS_TRANSACTION_END, "T|"), "EAGAIN|");
	assert_string_equal(ask(w, 0, XS_TRANSACTION_START, "|"), "2|");
	/* domain 0 holds /s now: the guest's write waits, and so does who quiesces it */
	len = message(buf, XS_WRITE, 0, "/s|6");
	guest_says(w, 5, buf, len);
	world_run(w, 0);
	assert_string_equal(ask(w, 1, WIRE_QUIESCE, "5|"), "");
	assert_string_equal(ask_in(w, 0, 2, XS_TRANSACTION_END, "T|"), "OK|");
	world_hear(w, &w->socket[1], WIRE_QUIESCE);
	assert_string_equal(w->answer, "OK|");
	assert_string_equal(ask(w, 0, XS_READ, "/s|"), "6");
	ask(w, 0, WIRE_UNQUIESCE, "5|");
	world_free(w);
}

static void who_goes_while_it_waits_for_a_domain_is_forgotten(void **state)
{
	struct world *w = world_new();
	uint8_t buf[256];
	size_t len;

	(void)state;
	world_guest(w, 5);
	ask(w, 0, XS_WRITE, "/s|0");
	ask(w, 0, XS_SET_PERMS, "/s|b0|");
	ask(w, 0, XS_TRANSACTION_START, "|");
	ask_in(w, 0, 1, XS_READ, "/s|");
	ask_in(w, 0, 1, XS_WRITE, "/s|1");
	ask(w, 5, XS_WRITE, "/s|5");
	assert_string_equal(ask_in(w, 0, 1, XS_TRANSACTION_END, "T|"), "EAGAIN|");
	ask(w, 0, XS_TRANSACTION_START, "|");
	len = message(buf, XS_WRITE, 0, "/s|6");
	guest_says(w, 5, buf, len);
	world_run(w, 0);
	assert_string_equal(ask(w, 1, WIRE_QUIESCE, "5|"), "");
	conn_close(w->socket[1].conn);
	world_run(w, 0);
	assert_true(list_is_empty(&w->core->vendor));
	assert_string_equal(ask_in(w, 0, 2, XS_TRANSACTION_END, "T|"), "OK|");
	world_free(w);
}

/* --- watches and transactions in its place ----------------------------------------------- */

static void watches_are_listed_as_written_and_cut_between_two(void **state)
{
	struct world *w = world_new();
	char gen[32], text[1200];
	char *rest;

	(void)state;
	world_guest(w, 5);
	strcpy(gen, ask(w, 0, WIRE_GET_DOMAIN_WATCHES, "5|0|"));
	assert_string_equal(strchr(gen, '|'), "|");
	ask(w, 5, XS_WATCH, "x|t1|");
	ask(w, 5, XS_WATCH, "/local/domain/5/y|t2|");
	ask(w, 5, XS_WATCH, "@releaseDomain|t3|");
	ask(w, 0, WIRE_GET_DOMAIN_WATCHES, "5|0|");
	rest = strchr(w->answer, '|');
	assert_non_null(strstr(rest, "|x|t1|"));
	assert_non_null(strstr(rest, "|/local/domain/5/y|t2|"));
	assert_non_null(strstr(rest, "|@releaseDomain|t3|"));
	*rest = '\0';
	assert_string_not_equal(w->answer, strtok(gen, "|"));
	strcpy(gen, w->answer);
	/* the same list, the same count; another one, another */
	strtok((char *)(uintptr_t)ask(w, 0, WIRE_GET_DOMAIN_WATCHES, "5|9|"), "|");
	assert_string_equal(w->answer, gen);
	ask(w, 5, XS_UNWATCH, "x|t1|");
	ask(w, 5, XS_WATCH, "x|t4|");
	strtok((char *)(uintptr_t)ask(w, 0, WIRE_GET_DOMAIN_WATCHES, "5|9|"), "|");
	assert_string_not_equal(w->answer, gen);
	/* four of 1000 octets and more: the first three, then the rest */
	for (int i = 0; i < 4; i++) {
		memset(text, 'a' + i, 1000);
		strcpy(text + 1000, "|t|");
		assert_string_equal(ask(w, 0, WIRE_ADD_DOMAIN_WATCHES, "5|k|l|") + 0,
				    i ? "EEXIST|" : "OK|");
		memmove(text + 2, text, strlen(text) + 1);
		memcpy(text, "5|", 2);
		assert_string_equal(ask(w, 0, WIRE_ADD_DOMAIN_WATCHES, text), "OK|");
	}
	ask(w, 0, WIRE_GET_DOMAIN_WATCHES, "5|4|");
	assert_in_range(strlen(w->answer), 3000, 4096);
	ask(w, 0, WIRE_GET_DOMAIN_WATCHES, "5|8|");
	assert_string_equal(strchr(w->answer, '|'), "|");
	world_free(w);
}

static void added_watches_are_as_if_the_domain_had_set_them_or_none_is(void **state)
{
	static const struct {
		const char *text, *want;
	} refused[] = {
		{ "5|a|1|b|2|a|1|", "EEXIST|" },     { "5|a|1|b|", "EINVAL|" },
		{ "5|a|1|b//c|2|", "EINVAL|" },	     { "5|a|1|b", "EINVAL|" },
		{ "5|a|1|b|2|c|3|d|4|", "ENOSPC|" },
	};
	struct world *w = world_new();
	struct domain *d;

	(void)state;
	world_guest(w, 5);
	d = domain_find(&w->core->domains, 5);
	d->budget.limits.hard[QUOTA_WATCHES] = 3;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		assert_string_equal(ask(w, 0, WIRE_ADD_DOMAIN_WATCHES, refused[i].text),
				    refused[i].want);
		assert_int_equal(d->conn->watcher.n, 0);
		assert_int_equal(conn_queued(d->conn).octets, 0);
	}
	assert_string_equal(ask(w, 0, WIRE_ADD_DOMAIN_WATCHES, "5|a|1|/b|2|"), "OK|");
	world_run(w, 5);
	world_hear(w, &w->guest[5], 0);
	assert_string_equal(w->events, "[a|1|][/b|2|]");
	assert_string_equal(ask(w, 5, XS_WRITE, "a|x"), "OK|");
	assert_string_equal(w->events, "[a|1|]");
	assert_string_equal(ask(w, 5, XS_UNWATCH, "a|1|"), "OK|");
	world_free(w);
}

static void a_transaction_started_for_a_domain_can_only_lose(void **state)
{
	struct world *w = world_new();

	(void)state;
	world_guest(w, 5);
	for (int i = 0; i < 2; i++)
		assert_string_equal(
			ask(w, 0, WIRE_START_DOMAIN_TRANSACTION, i ? "5|4294967295|" : "5|3|"),
			"OK|");
	assert_string_equal(ask(w, 0, WIRE_START_DOMAIN_TRANSACTION, "5|3|"), "EEXIST|");
	assert_string_equal(ask_in(w, 5, 3, XS_WRITE, "a|1"), "OK|");
	assert_string_equal(ask_in(w, 5, 3, XS_TRANSACTION_END, "T|"), "EAGAIN|");
	assert_string_equal(ask(w, 5, XS_READ, "a|"), "ENOENT|");
	/* ids rise from there, and are never 0 */
	assert_string_equal(ask(w, 5, XS_TRANSACTION_START, "|"), "1|");
	assert_string_equal(ask_in(w, 5, UINT32_MAX, XS_TRANSACTION_END, "F|"), "OK|");
	domain_find(&w->core->domains, 5)->budget.limits.hard[QUOTA_TRANSACTIONS] = 1;
	assert_string_equal(ask(w, 0, WIRE_START_DOMAIN_TRANSACTION, "5|9|"), "ENOSPC|");
	world_free(w);
}

/* --- images in chunks -------------------------------------------------------------------- */

#define FAKE_IMAGE 9000u

static int fake_export(struct core *core, uint16_t domid, const struct path *paths, size_t n,
		       uint8_t **ret, size_t *ret_len, char *why)
{
	(void)core;
	if (domid == 6) {
		strcpy(why, "because");
		return EBUSY;
	}
	*ret = malloc(FAKE_IMAGE);
	*ret_len = FAKE_IMAGE;
	for (size_t i = 0; i < FAKE_IMAGE; i++)
		(*ret)[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < n; i++)
		(*ret)[i] = (uint8_t)paths[i].str[1];
	return 0;
}

static uint8_t imported[FAKE_IMAGE];

static int fake_import(struct core *core, uint16_t domid, const uint8_t *image, size_t len,
		       char *why)
{
	(void)core;
	assert_int_equal(domid, 5);
	assert_int_equal(len, FAKE_IMAGE);
	memcpy(imported, image, len);
	strcpy(why, "not yet");
	return image[0] == 'x' ? EEXIST : 0;
}

/* A request with octets as they are; the answer is in w->socket[0].out. */
static void ask_raw(struct world *w, uint32_t type, const void *data, size_t len)
{
	struct xsd_sockmsg h = { .type = type, .req_id = 7, .len = (uint32_t)len };
	struct mouth *m = &w->socket[0];

	m->out_len = 0;
	memcpy(m->in, &h, sizeof(h));
	memcpy(m->in + sizeof(h), data, len);
	m->in_len = sizeof(h) + len;
	conn_wake(m->conn);
	world_run(w, 0);
}

/* One chunk to out; its octets, *total. */
static size_t chunk(struct world *w, size_t offset, uint8_t *out, size_t *total)
{
	struct mouth *m = &w->socket[0];
	const char *p = (const char *)m->out + sizeof(struct xsd_sockmsg);
	char text[64];
	size_t head, n;

	n = (size_t)snprintf(text, sizeof(text), "5%c%zu%c/a%c/b", 0, offset, 0, 0) + 1;
	ask_raw(w, WIRE_EXPORT_DOMAIN, text, offset ? n - 6 : n);
	*total = strtoul(p, NULL, 10);
	head = strlen(p) + 1;
	n = m->out_len - sizeof(struct xsd_sockmsg) - head;
	memcpy(out + offset, p + head, n);
	m->out_len = 0;
	return n;
}

static void give(struct world *w, const uint8_t *image, size_t offset, size_t total, size_t n)
{
	uint8_t buf[4096];
	int head = snprintf((char *)buf, sizeof(buf), "5%c%zu%c%zu", 0, offset, 0, total) + 1;

	memcpy(buf + head, image + offset, n);
	ask_raw(w, WIRE_IMPORT_DOMAIN, buf, (size_t)head + n);
	world_hear(w, &w->socket[0], WIRE_IMPORT_DOMAIN);
}

static void an_image_leaves_in_chunks_and_is_let_go_of_after_the_last(void **state)
{
	struct world *w = world_new();
	uint8_t got[FAKE_IMAGE + 4096];
	size_t at = 0, total = 1;

	(void)state;
	world_guest(w, 5);
	world_guest(w, 6);
	w->core->opt.export_domain = fake_export;
	assert_string_equal(ask(w, 0, WIRE_EXPORT_DOMAIN, "5|100|"), "EAGAIN|");
	assert_string_equal(ask(w, 0, WIRE_EXPORT_DOMAIN, "6|0|"), "EBUSY|");
	assert_string_equal(ask(w, 0, WIRE_WHY, "|"), "because|");
	assert_string_equal(ask(w, 0, WIRE_EXPORT_DOMAIN, "5|0|x|"), "EINVAL|");
	assert_string_equal(ask(w, 0, WIRE_EXPORT_DOMAIN, "5|0|/a"), "EINVAL|");
	while (at < total) {
		at += chunk(w, at, got, &total);
		assert_int_equal(total, FAKE_IMAGE);
	}
	assert_memory_equal(got, "ab", 2);
	for (size_t i = 2; i < FAKE_IMAGE; i++)
		assert_int_equal(got[i], (uint8_t)(i * 7));
	assert_int_equal(w->core->vendor_octets, 0);
	assert_string_equal(ask(w, 0, WIRE_EXPORT_DOMAIN, "5|100|"), "EAGAIN|");
	world_free(w);
}

static void an_image_arrives_in_chunks_one_after_the_other(void **state)
{
	struct world *w = world_new();
	uint8_t image[FAKE_IMAGE];
	char text[64];

	(void)state;
	world_guest(w, 5);
	w->core->opt.import_domain = fake_import;
	for (size_t i = 0; i < FAKE_IMAGE; i++)
		image[i] = (uint8_t)(i * 11);
	give(w, image, 100, FAKE_IMAGE, 100);
	assert_string_equal(w->answer, "EAGAIN|");
	for (size_t at = 0; at < FAKE_IMAGE; at += 3000) {
		give(w, image, at, FAKE_IMAGE, 3000);
		assert_string_equal(w->answer, "OK|");
		if (!at)
			give(w, image, 6000, FAKE_IMAGE, 3000);
		if (!at)
			assert_string_equal(w->answer, "EINVAL|");
	}
	assert_memory_equal(image, imported, FAKE_IMAGE);
	assert_int_equal(w->core->vendor_octets, 0);
	image[0] = 'x';
	for (size_t at = 0; at < FAKE_IMAGE; at += 3000)
		give(w, image, at, FAKE_IMAGE, 3000);
	assert_string_equal(w->answer, "EEXIST|");
	assert_string_equal(ask(w, 0, WIRE_WHY, "|"), "not yet|");
	/* what was begun goes with its connection; what is too large is not begun */
	give(w, image, 0, FAKE_IMAGE, 3000);
	assert_int_equal(w->core->vendor_octets, FAKE_IMAGE);
	snprintf(text, sizeof(text), "5|0|%u|x", VENDOR_IMAGES_MAX);
	assert_string_equal(ask(w, 1, WIRE_IMPORT_DOMAIN, text), "ENOSPC|");
	assert_string_equal(ask(w, 0, WIRE_IMPORT_DOMAIN, "5|0|0|"), "EINVAL|");
	give(w, image, 0, FAKE_IMAGE, 3000);
	conn_close(w->socket[0].conn);
	world_run(w, 0);
	assert_int_equal(w->core->vendor_octets, 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_are_for_the_privileged_and_check_their_arguments),
		cmocka_unit_test(a_quiesced_ring_is_left_alone_until_it_is_no_more),
		cmocka_unit_test(a_quiesced_rings_page_is_had_and_put_as_it_is),
		cmocka_unit_test(events_held_back_by_a_quiesced_ring_never_grow_stale),
		cmocka_unit_test(a_ring_that_comes_after_quiesce_is_left_alone_from_the_first),
		cmocka_unit_test(quiesce_is_answered_when_a_request_that_waits_is_done),
		cmocka_unit_test(who_goes_while_it_waits_for_a_domain_is_forgotten),
		cmocka_unit_test(watches_are_listed_as_written_and_cut_between_two),
		cmocka_unit_test(added_watches_are_as_if_the_domain_had_set_them_or_none_is),
		cmocka_unit_test(a_transaction_started_for_a_domain_can_only_lose),
		cmocka_unit_test(an_image_leaves_in_chunks_and_is_let_go_of_after_the_last),
		cmocka_unit_test(an_image_arrives_in_chunks_one_after_the_other),
	};

	return cmocka_run_group_tests_name("op/vendor", tests, NULL, NULL);
}
