/* SPDX-License-Identifier: MIT */
/*
 * Cookies: what a client carries from one daemon to the other, as text. Each key once, in this
 * order, nothing else; so a cookie that is read and printed again is the same octets. The guest's
 * definition may follow, which only the destination's daemon reads.
 */
#include "migrate/migrate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

#define FIRST_LINE "drover-migration 1"
#define COOKIE_MAX 2048u /* octets of a cookie */
#define DOMID_MAX 0x7fefu

static void hex_print(const uint8_t *b, size_t n, char *ret)
{
	for (size_t i = 0; i < n; i++)
		snprintf(ret + 2 * i, 3, "%02x", b[i]);
}

char *mig_cookie_print(const struct mig_cookie *c, size_t *ret_len)
{
	char id[2 * MIG_ID_SIZE + 1], uuid[2 * MIG_UUID_SIZE + 1];
	char *text;
	int n;

	hex_print(c->id.b, MIG_ID_SIZE, id);
	hex_print(c->uuid, MIG_UUID_SIZE, uuid);
	n = asprintf(&text,
		     FIRST_LINE "\nid=%s\nuuid=%s\nguest=%s\nepoch=%" PRIu64 "\nflags=%" PRIu32
				"\narbiter=%d\ndomid=%u\nhost=%s\naddress=%s\nfingerprint=%s\n",
		     id, uuid, c->guest, c->epoch, c->flags, c->arbiter, c->domid, c->host.name,
		     c->host.address, c->host.fingerprint);
	if (n < 0)
		return NULL;
	*ret_len = (size_t)n;
	return text;
}

int mig_cookie_add(char **cookie, size_t *len, const char *definition)
{
	size_t n = strlen(definition);
	char *both = *len + n + 2 > MIG_COOKIE_MAX ? NULL : realloc(*cookie, *len + n + 2);

	if (!both)
		return *len + n + 2 > MIG_COOKIE_MAX ? E2BIG : ENOMEM;
	both[*len] = '\0';
	memcpy(both + *len + 1, definition, n + 1);
	*cookie = both;
	*len += n + 2;
	return 0;
}

const char *mig_cookie_definition(const char *data, size_t len)
{
	const char *end = len && data[len - 1] == '\0' ? memchr(data, '\0', len - 1) : NULL;

	return end && !memchr(end + 1, '\0', (size_t)(data + len - 1 - (end + 1))) ? end + 1 : NULL;
}

/* What is left to be read; wrong: the key at which it could not be. */
struct reader {
	const char *p, *end;
	const char *wrong;
};

/* The next line's text after "key="; NULL: it is another line. */
static const char *line_next(struct reader *r, const char *key, size_t *ret_len)
{
	size_t n = strlen(key);
	const char *value, *nl;

	if (r->wrong)
		return NULL;
	nl = memchr(r->p, '\n', (size_t)(r->end - r->p));
	if (!nl || (size_t)(nl - r->p) < n + 1 || memcmp(r->p, key, n) != 0 || r->p[n] != '=') {
		r->wrong = key;
		return NULL;
	}
	value = r->p + n + 1;
	*ret_len = (size_t)(nl - value);
	r->p = nl + 1;
	return value;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void read_hex(struct reader *r, const char *key, uint8_t *ret, size_t size)
{
	size_t len;
	const char *v = line_next(r, key, &len);

	if (!v)
		return;
	if (len != 2 * size)
		r->wrong = key;
	for (size_t i = 0; !r->wrong && i < size; i++) {
		int high = digit_of(v[2 * i]), low = digit_of(v[2 * i + 1]);

		if (high < 0 || low < 0)
			r->wrong = key;
		else
			ret[i] = (uint8_t)(high << 4 | low);
	}
}

/* Decimal, without a sign or a zero in front. */
static uint64_t read_number(struct reader *r, const char *key, uint64_t max)
{
	size_t len;
	const char *v = line_next(r, key, &len);
	uint64_t n = 0;

	if (!v)
		return 0;
	if (!len || len > 20 || (len > 1 && v[0] == '0'))
		r->wrong = key;
	for (size_t i = 0; !r->wrong && i < len; i++) {
		uint64_t d = (uint64_t)(v[i] - '0');

		if (v[i] < '0' || v[i] > '9' || d > max || n > (max - d) / 10)
			r->wrong = key;
		else
			n = n * 10 + d;
	}
	return n;
}

/* Printable: what is shown to people, and put into files' names, holds no control character. */
static void read_text(struct reader *r, const char *key, char *ret, size_t room, bool needed)
{
	size_t len;
	const char *v = line_next(r, key, &len);

	if (!v)
		return;
	if (len >= room || (needed && !len)) {
		r->wrong = key;
		return;
	}
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)v[i] < 0x20 || v[i] == 0x7f) {
			r->wrong = key;
			return;
		}
	}
	memcpy(ret, v, len);
	ret[len] = '\0';
}

static int wrong(char *text, size_t room, const char *what)
{
	snprintf(text, room, "migration cookie: %s", what);
	return EINVAL;
}

int mig_cookie_parse(const char *data, size_t len, struct mig_cookie *ret, char *text, size_t room)
{
	struct mig_cookie c = { 0 };
	struct reader r = { .p = data };
	char what[64];

	if (mig_cookie_definition(data, len))
		len = strlen(data);
	else if (len && data[len - 1] == '\0')
		len--;
	if (len > COOKIE_MAX)
		return wrong(text, room, "it is too long");
	if (len < sizeof(FIRST_LINE) || memcmp(data, FIRST_LINE "\n", sizeof(FIRST_LINE)) != 0)
		return wrong(text, room, "it is not one of this daemon's, version 1");
	r.p = data + sizeof(FIRST_LINE);
	r.end = data + len;
	read_hex(&r, "id", c.id.b, sizeof(c.id.b));
	read_hex(&r, "uuid", c.uuid, sizeof(c.uuid));
	read_text(&r, "guest", c.guest, sizeof(c.guest), true);
	c.epoch = read_number(&r, "epoch", MIG_EPOCH_MAX);
	c.flags = (uint32_t)read_number(&r, "flags", UINT32_MAX);
	c.arbiter = read_number(&r, "arbiter", 1);
	c.domid = (uint16_t)read_number(&r, "domid", DOMID_MAX);
	read_text(&r, "host", c.host.name, sizeof(c.host.name), true);
	read_text(&r, "address", c.host.address, sizeof(c.host.address), false);
	read_text(&r, "fingerprint", c.host.fingerprint, sizeof(c.host.fingerprint), false);
	if (!r.wrong && r.p != r.end)
		return wrong(text, room, "more follows upon its last line");
	if (r.wrong) {
		snprintf(what, sizeof(what), "the line of %s is missing, or wrong", r.wrong);
		return wrong(text, room, what);
	}
	*ret = c;
	return 0;
}
