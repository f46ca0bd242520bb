/* SPDX-License-Identifier: MIT */
/*
 * Carrying fields between a struct and the octets of a record's body: one description of a record
 * measures it, writes it and reads it. What goes wrong latches; it is judged once, at the end.
 *
 * Everything is inlined into three copies of the descriptions, one for each mode, so that a
 * record is written with plain stores: measuring is what checks, writing cannot fail.
 */
#ifndef DROVER_IMAGE_XFER_H
#define DROVER_IMAGE_XFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "drover/image.h"

/* Where each access is checked, that would take a compiler a minute. */
#if defined(__SANITIZE_ADDRESS__)
#define XFER static inline
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define XFER static inline
#endif
#endif
#ifndef XFER
#define XFER static inline __attribute__((always_inline))
#endif

enum xfer_mode {
	XFER_MEASURE, /* count octets, and check that everything fits its field */
	XFER_WRITE,   /* what was measured, to room enough */
	XFER_READ,
};

struct xfer {
	enum xfer_mode mode;
	bool swap;	    /* the record's byte order is not this machine's */
	unsigned char *out; /* of the body; borrowed */
	const unsigned char *in;
	size_t len; /* of the body, when reading */
	size_t at;
	const char *field; /* the first that broke a rule, NULL: none */
	const char *rule;  /* which */
};

static inline bool xfer_swaps(bool big_endian)
{
	return big_endian != (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

XFER bool xfer_broken(const struct xfer *x)
{
	return x->field;
}

XFER void xfer_break(struct xfer *x, const char *field, const char *rule)
{
	if (x->field)
		return;
	x->field = field;
	x->rule = rule;
}

/* Whether n octets of the body are left to read. */
XFER bool xfer_has(struct xfer *x, const char *field, size_t n)
{
	if (x->field)
		return false;
	if (n <= x->len - x->at)
		return true;
	xfer_break(x, field, "the record ends within it");
	return false;
}

/* An integer of sizeof(*v) octets. */
#define XFER_INT(name, type, bswap)                                                                \
	XFER void name(struct xfer *x, const char *field, type *v)                                 \
	{                                                                                          \
		type t;                                                                            \
                                                                                                   \
		if (x->mode == XFER_READ) {                                                        \
			if (!xfer_has(x, field, sizeof(t)))                                        \
				return;                                                            \
			memcpy(&t, x->in + x->at, sizeof(t));                                      \
			*v = x->swap ? (type)bswap(t) : t;                                         \
		} else if (x->mode == XFER_WRITE) {                                                \
			t = x->swap ? (type)bswap(*v) : *v;                                        \
			memcpy(x->out + x->at, &t, sizeof(t));                                     \
		}                                                                                  \
		x->at += sizeof(t);                                                                \
	}

XFER_INT(xfer_u16, uint16_t, __builtin_bswap16)
XFER_INT(xfer_u32, uint32_t, __builtin_bswap32)
XFER_INT(xfer_u64, uint64_t, __builtin_bswap64)

XFER void xfer_s32(struct xfer *x, const char *field, int32_t *v)
{
	uint32_t u = (uint32_t)*v;

	xfer_u32(x, field, &u);
	if (x->mode == XFER_READ)
		*v = (int32_t)u;
}

/* n octets that are zero when written and ignored when read. */
XFER void xfer_pad(struct xfer *x, size_t n)
{
	if (x->mode == XFER_READ && !xfer_has(x, "padding", n))
		return;
	if (x->mode == XFER_WRITE)
		memset(x->out + x->at, 0, n);
	x->at += n;
}

/* A length of 16 or 32 bits; its octets follow later. */
XFER void xfer_len16(struct xfer *x, const char *field, struct drover_octets *o)
{
	uint16_t v = (uint16_t)o->len;

	if (x->mode == XFER_MEASURE && o->len > UINT16_MAX)
		xfer_break(x, field, "longer than 65535 octets");
	xfer_u16(x, field, &v);
	if (x->mode == XFER_READ)
		o->len = v;
}

XFER void xfer_len32(struct xfer *x, const char *field, struct drover_octets *o)
{
	uint32_t v = (uint32_t)o->len;

	if (x->mode == XFER_MEASURE && o->len > UINT32_MAX)
		xfer_break(x, field, "longer than 4294967295 octets");
	xfer_u32(x, field, &v);
	if (x->mode == XFER_READ)
		o->len = v;
}

XFER void xfer_octets(struct xfer *x, const char *field, struct drover_octets *o)
{
	if (x->mode == XFER_READ) {
		if (!xfer_has(x, field, o->len))
			return;
		o->data = x->in + x->at;
	} else if (x->mode == XFER_WRITE && o->data) {
		memcpy(x->out + x->at, o->data, o->len);
	}
	x->at += o->len;
}

/* The same for a string: its stated length counts a NUL, o->len does not. */
XFER void xfer_strlen16(struct xfer *x, const char *field, struct drover_octets *o)
{
	uint16_t v = (uint16_t)(o->len + 1);

	if (x->mode == XFER_MEASURE && o->len >= UINT16_MAX)
		xfer_break(x, field, "longer than 65534 octets");
	xfer_u16(x, field, &v);
	if (x->mode != XFER_READ)
		return;
	if (!v)
		xfer_break(x, field, "its length does not count a NUL");
	o->len = (size_t)v - 1;
}

XFER void xfer_string(struct xfer *x, const char *field, struct drover_octets *o)
{
	if (x->mode == XFER_READ) {
		if (!xfer_has(x, field, o->len + 1))
			return;
		o->data = x->in + x->at;
		if (memchr(o->data, 0, o->len + 1) != x->in + x->at + o->len)
			xfer_break(x, field, "no NUL exactly at its end");
	} else if (x->mode == XFER_WRITE) {
		if (o->data)
			memcpy(x->out + x->at, o->data, o->len);
		x->out[x->at + o->len] = 0;
	}
	x->at += o->len + 1;
}

/* n strings, a NUL behind each. */
XFER void xfer_names(struct xfer *x, const char *field, struct drover_octets *o, uint32_t n)
{
	const unsigned char *from, *p, *end;

	if (x->mode == XFER_WRITE) {
		xfer_octets(x, field, o);
		return;
	}
	if (xfer_broken(x))
		return;
	if (x->mode == XFER_MEASURE && !o->data) {
		if (n)
			xfer_break(x, field, "fewer of them than values");
		return;
	}
	from = x->mode == XFER_READ ? x->in + x->at : o->data;
	end = x->mode == XFER_READ ? x->in + x->len : from + o->len;
	for (p = from; n; n--) {
		const unsigned char *nul = p < end ? memchr(p, 0, (size_t)(end - p)) : NULL;

		if (!nul) {
			xfer_break(x, field, "fewer of them than values");
			return;
		}
		p = nul + 1;
	}
	if (x->mode == XFER_READ) {
		o->data = from;
		o->len = (size_t)(p - from);
	} else if (p != end) {
		xfer_break(x, field, "more of them than values");
	}
	x->at += o->len;
}

/* An integer within an entry of a list. */
XFER void put16(unsigned char *out, uint16_t v, bool swap)
{
	v = swap ? __builtin_bswap16(v) : v;
	memcpy(out, &v, sizeof(v));
}

XFER void put32(unsigned char *out, uint32_t v, bool swap)
{
	v = swap ? __builtin_bswap32(v) : v;
	memcpy(out, &v, sizeof(v));
}

XFER void put64(unsigned char *out, uint64_t v, bool swap)
{
	v = swap ? __builtin_bswap64(v) : v;
	memcpy(out, &v, sizeof(v));
}

/* list->n entries of size octets, put by put(out, list, i, swap). */
XFER void xfer_list(struct xfer *x, const char *field, struct drover_list *list, size_t size,
		    void (*put)(unsigned char *out, const struct drover_list *list, uint32_t i,
				bool swap))
{
	if (x->mode == XFER_READ) {
		if (!xfer_has(x, field, list->n * size))
			return;
		list->entry = x->in + x->at;
		list->foreign = x->swap;
	} else if (x->mode == XFER_WRITE) {
		for (uint32_t i = 0; i < list->n; i++)
			put(x->out + x->at + i * size, list, i, x->swap);
	}
	x->at += list->n * size;
}

/* A count of 16 bits. */
XFER void xfer_count16(struct xfer *x, const char *field, struct drover_list *list)
{
	uint16_t v = (uint16_t)list->n;

	if (x->mode == XFER_MEASURE && list->n > UINT16_MAX)
		xfer_break(x, field, "more than 65535");
	xfer_u16(x, field, &v);
	if (x->mode == XFER_READ)
		list->n = v;
}

/* Of a field that this layout or version does not have. */
XFER void xfer_lacks(struct xfer *x, const char *field, bool stated)
{
	if (x->mode == XFER_MEASURE && stated)
		xfer_break(x, field, "this layout or version cannot express it");
}

/* Of a type that this layout or version does not have: it is neither written nor read. */
XFER void xfer_unknown(struct xfer *x, bool unknown)
{
	if (unknown)
		xfer_break(x, "type", "not one of this layout and version");
}

#endif
