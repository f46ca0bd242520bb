/* SPDX-License-Identifier: MIT */
/*
 * A guest's part of the store as octets. Invariant: what was parsed is whole, and has no more in it
 * than the header says; nothing in it is believed beyond that.
 */
#include "hostd/store_blob.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/siphash.h"
#include "hostd/store.h"
#include "migrate/migrate.h"

#define MAGIC "drvguest"
#define HEAD_SIZE 16u /* magic, version, length */
#define SECTION_SIZE 8u
#define SUM_SIZE 8u
#define META_SIZE (DEF_UUID_SIZE + 16u)

/* ---- writing ---- */

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		*p++ = (uint8_t)(v >> shift);
	return p;
}

static uint8_t *put_u64(uint8_t *p, uint64_t v)
{
	return put_u32(put_u32(p, (uint32_t)(v >> 32)), (uint32_t)v);
}

static uint8_t *put_section(uint8_t *p, const char *name, const void *data, size_t len)
{
	memcpy(p, name, 4);
	p = put_u32(p + 4, (uint32_t)len);
	if (len)
		memcpy(p, data, len);
	return p + len;
}

static uint64_t sum_of(const uint8_t *data, size_t len)
{
	static const struct siphash_key zeros;

	return siphash(&zeros, data, len);
}

int hstore_blob_print(const struct hstore_blob *b, uint8_t **ret, size_t *ret_len)
{
	size_t len = HEAD_SIZE + SECTION_SIZE + META_SIZE + SECTION_SIZE + SUM_SIZE;
	uint8_t meta[META_SIZE], *data, *p;

	if (b->json_len > HSTORE_CONFIG_MAX || b->image_len > MIG_BLOB_MAX)
		return -EFBIG;
	len += b->json_len;
	len += b->page ? SECTION_SIZE + HSTORE_PAGE_SIZE : 0;
	len += b->image_len ? SECTION_SIZE + b->image_len : 0;
	if (len > MIG_BLOB_MAX)
		return -EFBIG;
	data = malloc(len);
	if (!data)
		return -ENOMEM;
	memcpy(data, MAGIC, 8);
	p = put_u32(put_u32(data + 8, HSTORE_BLOB_VERSION), (uint32_t)len);
	memcpy(meta, b->uuid, DEF_UUID_SIZE);
	put_u32(put_u32(put_u64(meta + DEF_UUID_SIZE, b->epoch), b->domid), 0);
	p = put_section(p, "meta", meta, sizeof(meta));
	p = put_section(p, "conf", b->json, b->json_len);
	if (b->page)
		p = put_section(p, "page", b->page, HSTORE_PAGE_SIZE);
	if (b->image_len)
		p = put_section(p, "imag", b->image, b->image_len);
	put_u64(p, sum_of(data, len - SUM_SIZE));
	*ret = data;
	*ret_len = len;
	return 0;
}

/* ---- reading ---- */

struct parse {
	const uint8_t *data;
	size_t at, end;
	char *text;
	size_t room;
};

__attribute__((format(printf, 2, 3))) static int broken(struct parse *p, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->text, p->room, fmt, ap);
	va_end(ap);
	return -EBADMSG;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t get_u64(const uint8_t *p)
{
	return (uint64_t)get_u32(p) << 32 | get_u32(p + 4);
}

/* The next section if it has that name: *ret_data NULL if it has another, or there is none. */
static int get_section(struct parse *p, const char *name, const uint8_t **ret_data, size_t *ret_len)
{
	size_t left = p->end - p->at, len;

	*ret_data = NULL;
	*ret_len = 0;
	if (!left)
		return 0;
	if (left < SECTION_SIZE)
		return broken(p, "octet %zu: half a section's head", p->at);
	if (memcmp(p->data + p->at, name, 4) != 0)
		return 0;
	len = get_u32(p->data + p->at + 4);
	if (len > left - SECTION_SIZE)
		return broken(p, "octet %zu: section %s of %zu octets, %zu are left", p->at, name,
			      len, left - SECTION_SIZE);
	*ret_data = p->data + p->at + SECTION_SIZE;
	*ret_len = len;
	p->at += SECTION_SIZE + len;
	return 0;
}

static int parse_head(struct parse *p, size_t len)
{
	uint32_t version;

	if (len < HEAD_SIZE + SUM_SIZE)
		return broken(p, "%zu octets are too few", len);
	if (len > MIG_BLOB_MAX)
		return broken(p, "%zu octets are more than %u", len, MIG_BLOB_MAX);
	if (memcmp(p->data, MAGIC, 8) != 0)
		return broken(p, "it is no guest's part of a store");
	version = get_u32(p->data + 8);
	if (version != HSTORE_BLOB_VERSION)
		return broken(p, "version %u, not %u", version, HSTORE_BLOB_VERSION);
	if (get_u32(p->data + 12) != len)
		return broken(p, "it says %u octets, and has %zu", get_u32(p->data + 12), len);
	if (get_u64(p->data + len - SUM_SIZE) != sum_of(p->data, len - SUM_SIZE))
		return broken(p, "its checksum is wrong");
	p->at = HEAD_SIZE;
	p->end = len - SUM_SIZE;
	return 0;
}

static int parse_meta(struct parse *p, struct hstore_blob *ret)
{
	const uint8_t *meta;
	uint32_t domid, flags;
	size_t len;
	int r = get_section(p, "meta", &meta, &len);

	if (r)
		return r;
	if (!meta || len != META_SIZE)
		return broken(p, "section meta is %s", meta ? "of a wrong size" : "missing");
	memcpy(ret->uuid, meta, DEF_UUID_SIZE);
	ret->epoch = get_u64(meta + DEF_UUID_SIZE);
	domid = get_u32(meta + DEF_UUID_SIZE + 8);
	flags = get_u32(meta + DEF_UUID_SIZE + 12);
	if (!domid || domid > 0x7fef)
		return broken(p, "section meta: %u is no guest's domid", domid);
	if (flags)
		return broken(p, "section meta: unknown flags 0x%x", flags);
	ret->domid = (uint16_t)domid;
	return 0;
}

int hstore_blob_parse(const uint8_t *data, size_t len, struct hstore_blob *ret, char *text,
		      size_t room)
{
	struct parse p = { .data = data, .text = text, .room = room };
	struct hstore_blob b = { .domid = 0 };
	const uint8_t *conf = NULL;
	size_t page_len = 0;
	int r = parse_head(&p, len);

	if (!r)
		r = parse_meta(&p, &b);
	if (!r)
		r = get_section(&p, "conf", &conf, &b.json_len);
	if (!r && (!conf || b.json_len > HSTORE_CONFIG_MAX))
		r = broken(&p, "section conf is %s", conf ? "too long" : "missing");
	if (!r)
		r = get_section(&p, "page", &b.page, &page_len);
	if (!r && b.page && page_len != HSTORE_PAGE_SIZE)
		r = broken(&p, "section page of %zu octets, not %u", page_len, HSTORE_PAGE_SIZE);
	if (!r)
		r = get_section(&p, "imag", &b.image, &b.image_len);
	if (!r && b.image && !b.image_len)
		r = broken(&p, "section imag is empty");
	if (!r && p.at != p.end)
		r = broken(&p, "octet %zu: an unknown section, or one at the wrong place", p.at);
	if (r)
		return r;
	b.json = (const char *)conf;
	*ret = b;
	return 0;
}
