/* SPDX-License-Identifier: MIT */
/*
 * What is known of each type, entries of lists, the stream's header, and messages.
 * Invariant: an entry is read from octets that need not be aligned, nor of this machine's order.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "image/record.h"
#include "image/xfer.h"

static const struct {
	const char *name;
	uint32_t body_max;
} documented[] = {
	[DROVER_RECORD_END] = { "END", 0 },
	[DROVER_RECORD_GLOBAL] = { "GLOBAL_DATA", IMAGE_RECORD_MAX },
	[DROVER_RECORD_CONNECTION] = { "CONNECTION_DATA", IMAGE_CONNECTION_MAX },
	[DROVER_RECORD_WATCH] = { "WATCH_DATA", IMAGE_RECORD_MAX },
	[DROVER_RECORD_TXN] = { "TRANSACTION_DATA", IMAGE_RECORD_MAX },
	[DROVER_RECORD_NODE] = { "NODE_DATA", IMAGE_RECORD_MAX },
	[DROVER_RECORD_QUOTA] = { "GLOBAL_QUOTA_DATA", IMAGE_RECORD_MAX },
	[DROVER_RECORD_DOMAIN] = { "DOMAIN_DATA", IMAGE_RECORD_MAX },
	[DROVER_RECORD_WATCH_DEPTH] = { "WATCH_DATA_EXTENDED", IMAGE_RECORD_MAX },
};

/* From DROVER_RECORD_STATE on; NULL for a number of no record. */
static const char *const own[] = {
	"DROVER_STATE",	       "DROVER_CONN_STATE",  "DROVER_CONN_GONE",   "DROVER_UNWATCH",
	"DROVER_TXN_STATE",    "DROVER_TXN_END",     "DROVER_TXN_ACCESS",  "DROVER_TXN_BASE_NODE",
	"DROVER_DOMAIN_STATE", "DROVER_DOMAIN_GONE", "DROVER_PERMS_STRIP", "DROVER_COMMIT",
	"DROVER_POLICY",       "DROVER_TXN_CHARGE",  "DROVER_HOST",	   NULL,
	"DROVER_DEATH",
};

const char *drover_record_type_name(uint32_t type)
{
	if (type < ARRAY_LEN(documented))
		return documented[type].name;
	if (type >= DROVER_RECORD_STATE && type - DROVER_RECORD_STATE < ARRAY_LEN(own))
		return own[type - DROVER_RECORD_STATE];
	return NULL;
}

bool drover_record_type_known(uint32_t type)
{
	return drover_record_type_name(type);
}

uint32_t record_body_max(uint32_t type)
{
	if (type < ARRAY_LEN(documented))
		return documented[type].body_max;
	if (type == DROVER_RECORD_COMMIT)
		return IMAGE_COMMIT_MAX;
	return drover_record_type_known(type) ? IMAGE_RECORD_MAX : IMAGE_CONNECTION_MAX;
}

/* ---- entries ---- */

static const unsigned char *entry(const struct drover_list *list, uint32_t i, size_t size)
{
	return (const unsigned char *)list->entry + i * size;
}

struct drover_perm drover_perm_at(const struct drover_list *perms, uint32_t i)
{
	struct drover_perm p;

	memcpy(&p, entry(perms, i, sizeof(p)), sizeof(p));
	if (perms->foreign)
		p.domid = __builtin_bswap16(p.domid);
	if (perms->no_flags)
		p.flags = 0;
	return p;
}

struct drover_limit drover_limit_at(const struct drover_list *limits, uint32_t i)
{
	struct drover_limit l;

	memcpy(&l, entry(limits, i, sizeof(l)), sizeof(l));
	if (limits->foreign) {
		l.hard = __builtin_bswap64(l.hard);
		l.soft = __builtin_bswap64(l.soft);
		l.own = __builtin_bswap32(l.own);
	}
	l.pad = 0;
	return l;
}

struct drover_policy_limit drover_policy_limit_at(const struct drover_list *limits, uint32_t i)
{
	struct drover_policy_limit l;

	memcpy(&l, entry(limits, i, sizeof(l)), sizeof(l));
	if (limits->foreign) {
		l.hard = __builtin_bswap64(l.hard);
		l.soft = __builtin_bswap64(l.soft);
	}
	return l;
}

struct drover_word drover_word_at(const struct drover_list *words, uint32_t i)
{
	struct drover_word w;

	memcpy(&w, entry(words, i, sizeof(w)), sizeof(w));
	if (words->foreign) {
		w.id = __builtin_bswap64(w.id);
		w.slot = __builtin_bswap32(w.slot);
		w.io_word = __builtin_bswap64(w.io_word);
	}
	w.pad = 0;
	return w;
}

uint32_t drover_u32_at(const struct drover_list *values, uint32_t i)
{
	uint32_t v;

	memcpy(&v, entry(values, i, sizeof(v)), sizeof(v));
	return values->foreign ? __builtin_bswap32(v) : v;
}

bool drover_name_next(const struct drover_octets *names, size_t *pos, const char **ret_name,
		      size_t *ret_len)
{
	const char *at = (const char *)names->data + *pos, *nul;

	nul = *pos < names->len ? memchr(at, 0, names->len - *pos) : NULL;
	if (!nul)
		return false;
	*ret_name = at;
	*ret_len = (size_t)(nul - at);
	*pos += *ret_len + 1;
	return true;
}

/* ---- the stream's header ---- */

static const char ident[8] = { 'x', 'e', 'n', 's', 't', 'o', 'r', 'e' };
#define HEADER_BIG_ENDIAN 1u

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void drover_image_header_encode(const struct drover_image_format *format, void *buf)
{
	unsigned char *out = buf;

	memset(out, 0, DROVER_IMAGE_HEADER_LEN);
	memcpy(out, ident, sizeof(ident));
	out[11] = (unsigned char)format->version;
	out[15] = format->big_endian ? HEADER_BIG_ENDIAN : 0;
}

int drover_image_header_decode(const void *buf, struct drover_image_format *format,
			       struct drover_image_error *err)
{
	const unsigned char *in = buf;
	uint32_t version = be32(in + 8), flags = be32(in + 12);
	const char *field = NULL, *rule = NULL;

	if (memcmp(in, ident, sizeof(ident))) {
		field = "ident";
		rule = "not \"xenstore\"";
	} else if (version < 1 || version > 2) {
		field = "version";
		rule = "neither 1 nor 2";
	} else if (flags & ~HEADER_BIG_ENDIAN) {
		field = "flags";
		rule = "reserved ones are set";
	}
	if (field) {
		image_error_set(err, DROVER_RECORD_NONE, field, rule);
		if (err)
			err->in_header = true;
		return EINVAL;
	}
	format->version = version;
	format->big_endian = flags & HEADER_BIG_ENDIAN;
	return 0;
}

/* ---- messages ---- */

void image_error_set(struct drover_image_error *err, uint32_t type, const char *field,
		     const char *rule)
{
	if (!err)
		return;
	memset(err, 0, sizeof(*err));
	err->type = type;
	(void)snprintf(err->text, sizeof(err->text), "%s: %s", field, rule);
}

int drover_image_error_print(const struct drover_image_error *err, char *buf, size_t len)
{
	const char *name = drover_record_type_name(err->type);
	char number[48] = "";

	if (err->in_header)
		return snprintf(buf, len, "header: %s", err->text);
	if (name)
		(void)snprintf(number, sizeof(number), " (%s)", name);
	else if (err->type != DROVER_RECORD_NONE)
		(void)snprintf(number, sizeof(number), " (type 0x%" PRIx32 ")", err->type);
	return snprintf(buf, len, "record %" PRIu64 "%s at offset 0x%" PRIx64 ": %s", err->record,
			number, err->offset, err->text);
}
