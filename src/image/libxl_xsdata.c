/* SPDX-License-Identifier: MIT */
/*
 * One DOMAIN_XENSTORE_DATA record in its three forms. Invariant: what is decoded encodes again in
 * the same form, and whatever cannot be said in a form is refused, not bent.
 */
#include "drover/libxl_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "wire/path.h"

#define RECORD_HEADER_LEN 8u
#define VALUE_LEN_MAX 65535u

static const char *const form_names[] = {
	[DROVER_XSDATA_AUTO] = "auto",
	[DROVER_XSDATA_RELATIVE] = "relative",
	[DROVER_XSDATA_ABSOLUTE] = "absolute",
	[DROVER_XSDATA_BINARY] = "binary",
};

const char *drover_xsdata_form_name(enum drover_xsdata_form form)
{
	return form_names[form];
}

/* What the caller is told of a broken record; the first rule broken counts. */
struct saying {
	char *text;
	size_t len;
};

static int __attribute__((format(printf, 2, 3))) say(const struct saying *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (s->len)
		vsnprintf(s->text, s->len, fmt, ap);
	va_end(ap);
	return EINVAL;
}

static uint32_t get32(const uint8_t *p, bool big)
{
	if (big)
		return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void set32(uint8_t *p, uint32_t v, bool big)
{
	for (unsigned int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * (big ? 3 - i : i));
}

static bool is_letter(uint8_t c)
{
	return c == 'n' || c == 'r' || c == 'w' || c == 'b';
}

/* ---- what is true of every form ---- */

static bool path_is_special(const struct drover_octets *path)
{
	return path->len && *(const char *)path->data == '@';
}

static bool path_is_absolute(const struct drover_octets *path)
{
	return path->len && *(const char *)path->data == '/';
}

/* "@releaseDomain" and the like, one component. */
static bool special_is_valid(const struct drover_octets *path)
{
	return path_is_valid((const char *)path->data + 1, path->len - 1);
}

static int check_path(const struct drover_xsdata *d, enum drover_xsdata_form form,
		      const struct saying *s)
{
	const struct drover_octets *path = &d->path;
	bool home = !path->len && form == DROVER_XSDATA_RELATIVE && d->type == DROVER_XSDATA_NODE;

	if (path->len >= XENSTORE_ABS_PATH_MAX)
		return say(s, "a path of %zu octets, at most %u", path->len,
			   XENSTORE_ABS_PATH_MAX - 1u);
	if (!home && !(path_is_special(path) ? special_is_valid(path)
					     : path_is_valid(path->data, path->len)))
		return say(s, "'%.*s' is not a path", (int)(path->len < 80 ? path->len : 80),
			   path->len ? (const char *)path->data : "");
	if (form == DROVER_XSDATA_RELATIVE && path_is_absolute(path))
		return say(s, "an absolute path in the relative form");
	if (form == DROVER_XSDATA_ABSOLUTE && !path_is_absolute(path) && !path_is_special(path))
		return say(s, "a relative path in the absolute form");
	if (form == DROVER_XSDATA_BINARY && d->type == DROVER_XSDATA_NODE &&
	    !path_is_absolute(path) && !path_is_special(path))
		return say(s, "a node with a relative path");
	return 0;
}

static int check(const struct drover_xsdata *d, enum drover_xsdata_form form,
		 const struct saying *s)
{
	int r = d->type == DROVER_XSDATA_TXN ? 0 : check_path(d, form, s);

	if (r)
		return r;
	if (d->type == DROVER_XSDATA_NODE) {
		if (!d->n_perms)
			return say(s, "a node without permissions");
		if (d->value.len > VALUE_LEN_MAX)
			return say(s, "a value of %zu octets, at most %u", d->value.len,
				   VALUE_LEN_MAX);
		return 0;
	}
	if (d->type == DROVER_XSDATA_WATCH) {
		if (d->token.len > XENSTORE_PAYLOAD_MAX)
			return say(s, "a token of %zu octets, at most %u", d->token.len,
				   XENSTORE_PAYLOAD_MAX);
		if (d->token.len && memchr(d->token.data, 0, d->token.len))
			return say(s, "a NUL in a token");
		return 0;
	}
	if (!d->n_txns)
		return say(s, "no transaction");
	for (uint32_t i = 0; i < d->n_txns; i++)
		if (!d->tx_id[i])
			return say(s, "a transaction 0");
	return 0;
}

/* ---- reading ---- */

struct in {
	const uint8_t *at;
	size_t left;
	bool big;
	struct saying say;
};

/* A string up to its NUL, which must be there. */
static int in_string(struct in *in, struct drover_octets *ret, const char *what)
{
	const uint8_t *nul = in->left ? memchr(in->at, 0, in->left) : NULL;

	if (!nul)
		return say(&in->say, "no NUL behind the %s", what);
	*ret = (struct drover_octets){ .data = in->at, .len = (size_t)(nul - in->at) };
	in->left -= ret->len + 1;
	in->at = nul + 1;
	return 0;
}

static int in_decimal(struct in *in, uint32_t most, const char *what, uint32_t *ret)
{
	struct drover_octets word;
	uint64_t v = 0;
	int r = in_string(in, &word, what);

	if (r)
		return r;
	for (size_t i = 0; i < word.len && v <= most; i++) {
		unsigned int digit = ((const uint8_t *)word.data)[i] - (unsigned int)'0';

		v = digit > 9 ? UINT64_MAX >> 8 : 10 * v + digit;
	}
	if (!word.len || v > most)
		return say(&in->say, "the %s is not a number up to %" PRIu32, what, most);
	*ret = (uint32_t)v;
	return 0;
}

static int in_perm_word(struct in *in, struct drover_perm *ret)
{
	uint32_t domid;
	uint8_t letter = in->left ? *in->at : 0;
	int r;

	if (!is_letter(letter))
		return say(&in->say, "a permission starts with 0x%02x, not with n, r, w or b",
			   letter);
	in->at++;
	in->left--;
	r = in_decimal(in, UINT16_MAX, "domid of a permission", &domid);
	if (!r)
		*ret = (struct drover_perm){ .letter = letter, .domid = (uint16_t)domid };
	return r;
}

/* <path>|<value>|<perm>|+ */
static int in_node_relative(struct in *in, struct drover_xsdata *d)
{
	int r = in_string(in, &d->path, "path");

	if (!r)
		r = in_string(in, &d->value, "value");
	while (!r && in->left) {
		if (d->n_perms == DROVER_XSDATA_PERMS)
			return say(&in->say, "more than %u permissions", DROVER_XSDATA_PERMS);
		r = in_perm_word(in, &d->perm[d->n_perms++]);
	}
	return r;
}

/* <path>|<perm-count>|<perm>|+<value|>, whose value may hold NULs itself */
static int in_node_absolute(struct in *in, struct drover_xsdata *d)
{
	int r = in_string(in, &d->path, "path");

	if (!r)
		r = in_decimal(in, DROVER_XSDATA_PERMS, "number of permissions", &d->n_perms);
	for (uint32_t i = 0; !r && i < d->n_perms; i++)
		r = in_perm_word(in, &d->perm[i]);
	if (r)
		return r;
	if (!in->left || in->at[in->left - 1])
		return say(&in->say, "no NUL behind the value");
	d->value = (struct drover_octets){ .data = in->at, .len = in->left - 1 };
	in->left = 0;
	return 0;
}

static int in_txns(struct in *in, struct drover_xsdata *d)
{
	int r = in_decimal(in, DROVER_XSDATA_TXNS, "number of transactions", &d->n_txns);

	for (uint32_t i = 0; !r && i < d->n_txns; i++)
		r = in_decimal(in, UINT32_MAX, "id of a transaction", &d->tx_id[i]);
	return r;
}

static int in_words(struct in *in, enum drover_xsdata_form form, struct drover_xsdata *d)
{
	int r;

	switch (d->type) {
	case DROVER_XSDATA_NODE:
		return form == DROVER_XSDATA_RELATIVE ? in_node_relative(in, d)
						      : in_node_absolute(in, d);
	case DROVER_XSDATA_WATCH:
		r = in_string(in, &d->path, "path");
		return r ? r : in_string(in, &d->token, "token");
	default:
		if (form == DROVER_XSDATA_RELATIVE)
			return say(&in->say, "the relative form has no transactions");
		return in_txns(in, d);
	}
}

static int in_u32(struct in *in, uint32_t *ret, const char *what)
{
	if (in->left < 4)
		return say(&in->say, "it ends before the %s", what);
	*ret = get32(in->at, in->big);
	in->at += 4;
	in->left -= 4;
	return 0;
}

/* A length and as many octets, padded to 4. */
static int in_octets(struct in *in, struct drover_octets *ret, const char *what)
{
	uint32_t len = 0;
	size_t padded;
	int r = in_u32(in, &len, what);

	if (r)
		return r;
	padded = ((size_t)len + 3) & ~(size_t)3;
	if (padded > in->left)
		return say(&in->say, "the %s of %" PRIu32 " octets goes on behind its end", what,
			   len);
	*ret = (struct drover_octets){ .data = in->at, .len = len };
	in->at += padded;
	in->left -= padded;
	return 0;
}

static int in_perms(struct in *in, struct drover_xsdata *d)
{
	int r = in_u32(in, &d->n_perms, "number of permissions");

	if (r)
		return r;
	if (d->n_perms > DROVER_XSDATA_PERMS)
		return say(&in->say, "%" PRIu32 " permissions, at most %u", d->n_perms,
			   DROVER_XSDATA_PERMS);
	if (d->n_perms > in->left / 4)
		return say(&in->say, "%" PRIu32 " permissions go on behind its end", d->n_perms);
	for (uint32_t i = 0; i < d->n_perms; i++, in->at += 4, in->left -= 4) {
		if (!is_letter(in->at[0]))
			return say(&in->say, "permission 0x%02x is none of n, r, w and b",
				   in->at[0]);
		d->perm[i].letter = in->at[0];
		d->perm[i].domid = (uint16_t)(in->big ? in->at[2] << 8 | in->at[3]
						      : in->at[3] << 8 | in->at[2]);
	}
	return 0;
}

static int in_binary(struct in *in, struct drover_xsdata *d)
{
	int r;

	if (d->type == DROVER_XSDATA_TXN) {
		d->n_txns = 1;
		return in_u32(in, &d->tx_id[0], "id of the transaction");
	}
	r = in_octets(in, &d->path, "path");
	if (r)
		return r;
	if (d->type == DROVER_XSDATA_WATCH)
		return in_octets(in, &d->token, "token");
	r = in_perms(in, d);
	return r ? r : in_octets(in, &d->value, "value");
}

static int decode_as(enum drover_xsdata_form form, struct in in, struct drover_xsdata *d)
{
	int r;

	d->path = d->value = d->token = (struct drover_octets){ 0 };
	d->n_perms = d->n_txns = 0;
	r = in_u32(&in, &d->type, "kind of data");
	if (r)
		return r;
	if (d->type < DROVER_XSDATA_NODE || d->type > DROVER_XSDATA_TXN)
		return say(&in.say, "data of kind %" PRIu32 " is not known", d->type);
	r = form == DROVER_XSDATA_BINARY ? in_binary(&in, d) : in_words(&in, form, d);
	if (!r && in.left)
		r = say(&in.say, "%zu octets too many", in.left);
	return r ? r : check(d, form, &in.say);
}

/*
 * The form that the octets must have if they are any good. In both forms of strings the first
 * octet is the path's; a length in binary has two octets 0, and of strings only the shortest do.
 */
static enum drover_xsdata_form guess(const struct in *in, bool *ret_sure)
{
	const uint8_t *p = in->at + 4;
	uint32_t len;

	*ret_sure = false;
	if (in->left < 8 || get32(in->at, in->big) == DROVER_XSDATA_TXN)
		return DROVER_XSDATA_BINARY;
	len = get32(p, in->big);
	*ret_sure = p[0] != '@';
	if (len && len < XENSTORE_ABS_PATH_MAX && len <= in->left - 8)
		return DROVER_XSDATA_BINARY;
	return p[0] == '/' ? DROVER_XSDATA_ABSOLUTE : DROVER_XSDATA_RELATIVE;
}

int drover_xsdata_decode(enum drover_xsdata_form *form, bool big_endian, const void *body,
			 size_t body_len, struct drover_xsdata *ret, char *text, size_t len)
{
	struct in in = {
		.at = body,
		.left = body_len,
		.big = big_endian,
		.say = { .text = text, .len = len },
	};
	enum drover_xsdata_form first = *form, other = DROVER_XSDATA_ABSOLUTE;
	bool sure = true;
	int r;

	if (first != DROVER_XSDATA_AUTO)
		return decode_as(first, in, ret);
	first = guess(&in, &sure);
	if (sure) {
		r = decode_as(first, in, ret);
		if (!r)
			*form = first;
		return r;
	}
	/* Whatever reads it: strings are far stricter about their octets than lengths are. */
	if (body_len >= 4 && get32(body, big_endian) != DROVER_XSDATA_TXN)
		other = DROVER_XSDATA_RELATIVE;
	if (!decode_as(other, in, ret))
		return 0;
	return decode_as(DROVER_XSDATA_BINARY, in, ret);
}

/* ---- writing ---- */

struct out {
	uint8_t *at;
	size_t left;
	bool big;
	bool full;
};

static void out_octets(struct out *out, const void *data, size_t len)
{
	if (len > out->left) {
		out->full = true;
		return;
	}
	if (len)
		memcpy(out->at, data, len);
	out->at += len;
	out->left -= len;
}

static void out_zero(struct out *out, size_t len)
{
	static const uint8_t zero[8];

	out_octets(out, zero, len);
}

static void out_u32(struct out *out, uint32_t v)
{
	uint8_t word[4];

	set32(word, v, out->big);
	out_octets(out, word, sizeof(word));
}

static void out_string(struct out *out, const struct drover_octets *s)
{
	out_octets(out, s->data, s->len);
	out_zero(out, 1);
}

/* Its NUL included. */
static void out_number(struct out *out, const char *letter, uint32_t v)
{
	char word[16];
	int n = snprintf(word, sizeof(word), "%s%" PRIu32, letter, v);

	out_octets(out, word, (size_t)n + 1);
}

static void out_sized(struct out *out, const struct drover_octets *s)
{
	out_u32(out, (uint32_t)s->len);
	out_octets(out, s->data, s->len);
	out_zero(out, -s->len & 3);
}

static void out_perm_words(struct out *out, const struct drover_xsdata *d)
{
	for (uint32_t i = 0; i < d->n_perms; i++)
		out_number(out, (char[]){ (char)d->perm[i].letter, 0 }, d->perm[i].domid);
}

static void out_words(struct out *out, enum drover_xsdata_form form, const struct drover_xsdata *d)
{
	if (d->type == DROVER_XSDATA_TXN) {
		out_number(out, "", d->n_txns);
		for (uint32_t i = 0; i < d->n_txns; i++)
			out_number(out, "", d->tx_id[i]);
		return;
	}
	out_string(out, &d->path);
	if (d->type == DROVER_XSDATA_WATCH) {
		out_string(out, &d->token);
	} else if (form == DROVER_XSDATA_RELATIVE) {
		out_string(out, &d->value);
		out_perm_words(out, d);
	} else {
		out_number(out, "", d->n_perms);
		out_perm_words(out, d);
		out_string(out, &d->value);
	}
}

static void out_binary(struct out *out, const struct drover_xsdata *d)
{
	if (d->type == DROVER_XSDATA_TXN) {
		out_u32(out, d->tx_id[0]);
		return;
	}
	out_sized(out, &d->path);
	if (d->type == DROVER_XSDATA_WATCH) {
		out_sized(out, &d->token);
		return;
	}
	out_u32(out, d->n_perms);
	for (uint32_t i = 0; i < d->n_perms; i++) {
		uint16_t domid = d->perm[i].domid;
		uint8_t low = (uint8_t)domid, high = (uint8_t)(domid >> 8);

		out_octets(out, (uint8_t[]){ d->perm[i].letter, 0 }, 2);
		out_octets(out, (uint8_t[]){ out->big ? high : low, out->big ? low : high }, 2);
	}
	out_sized(out, &d->value);
}

/* What this form has no octets for. */
static int check_form(enum drover_xsdata_form form, const struct drover_xsdata *d,
		      const struct saying *s)
{
	if (d->type < DROVER_XSDATA_NODE || d->type > DROVER_XSDATA_TXN)
		return say(s, "data of kind %" PRIu32 " is not known", d->type);
	if (d->n_perms > DROVER_XSDATA_PERMS || d->n_txns > DROVER_XSDATA_TXNS)
		return say(s, "more permissions or transactions than one record holds");
	if (form == DROVER_XSDATA_RELATIVE && d->type == DROVER_XSDATA_TXN)
		return say(s, "the relative form has no transactions");
	if (form == DROVER_XSDATA_RELATIVE && d->type == DROVER_XSDATA_NODE && d->value.len &&
	    memchr(d->value.data, 0, d->value.len))
		return say(s, "a value with a NUL in the relative form");
	if (form == DROVER_XSDATA_BINARY && d->type == DROVER_XSDATA_TXN && d->n_txns > 1)
		return say(s, "more than one transaction in a record of the binary form");
	return check(d, form, s);
}

int drover_xsdata_encode(enum drover_xsdata_form form, bool big_endian,
			 const struct drover_xsdata *data, void *buf, size_t room, size_t *ret_len,
			 char *text, size_t len)
{
	struct saying s = { .text = text, .len = len };
	struct out out = { .at = buf, .left = room, .big = big_endian };
	uint8_t *start = buf;
	size_t body;
	int r;

	if (form == DROVER_XSDATA_AUTO)
		form = DROVER_XSDATA_BINARY;
	r = check_form(form, data, &s);
	if (r)
		return r;
	out_u32(&out, DROVER_LIBXL_DOMAIN_XENSTORE_DATA);
	out_u32(&out, 0);
	out_u32(&out, data->type);
	if (form == DROVER_XSDATA_BINARY)
		out_binary(&out, data);
	else
		out_words(&out, form, data);
	if (out.full)
		return ENOBUFS;
	body = (size_t)(out.at - start) - RECORD_HEADER_LEN;
	out_zero(&out, -body & 7);
	if (out.full)
		return ENOBUFS;
	set32(start + 4, (uint32_t)body, big_endian);
	*ret_len = (size_t)(out.at - start);
	return 0;
}
