/* SPDX-License-Identifier: MIT */
/*
 * The libxl container: headers and records read one behind the other, the libxc stream inside
 * walked from record to record. Invariant: what the items hold, in their order, is the input
 * octet for octet; no more of it is held than the buffer, however long a record says it is.
 */
#include "drover/libxl_stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than any xenstore record: those are the only ones that are held whole. */
#define LIBXL_BUFFER 262144
/* What libxc itself refuses to receive. */
#define LIBXC_RECORD_MAX (128u << 20)

#define XL_MAGIC "Xen saved domain, xl format\n \0 \r"
#define XL_MAGIC_LEN 32u
#define XL_HEADER_LEN 48u
#define XL_ORDER 0x01020304u
#define XL_CONFIG 1u
#define XL_STREAM_V2 2u

#define STREAM_MAGIC "LibxlFmt"
#define STREAM_HEADER_LEN 16u
#define STREAM_BIG_ENDIAN 1u
#define STREAM_LEGACY 2u

#define LIBXC_HEADER_LEN 24u
#define LIBXC_DOMAIN_LEN 16u
#define LIBXC_IDENT 0x58454e46u
#define LIBXC_TYPE_END 0u
#define LIBXC_TYPE_CHECKPOINT 14u

#define RECORD_HEADER_LEN 8u

enum phase {
	PHASE_START,
	PHASE_XL_DATA, /* left octets of xl's optional data */
	PHASE_STREAM_HEADER,
	PHASE_RECORD,
	PHASE_BODY, /* left octets of a record */
	PHASE_LIBXC_HEADER,
	PHASE_LIBXC, /* left octets of a libxc record, then the next */
	PHASE_PLACE,
	PHASE_END,
};

struct drover_libxl_reader {
	struct drover_libxl_options options;
	enum phase phase;
	uint64_t left;
	uint64_t offset; /* of buf[at] in the input */
	size_t at, have; /* buf[at] up to buf[have] was read and not consumed */
	size_t taken;	 /* octets of the item returned last */
	uint64_t record; /* of those begun; the current one is one less */
	uint32_t type;
	uint32_t body_len;
	bool ended;	/* the input has */
	bool had_libxc; /* a LIBXC_CONTEXT came */
	bool place_told;
	bool libxc_foreign;
	int failed;
	struct drover_libxl_info info;
	struct drover_libxl_error err;
	uint8_t buf[LIBXL_BUFFER];
};

static const char *const type_names[] = {
	[DROVER_LIBXL_END] = "END",
	[DROVER_LIBXL_LIBXC_CONTEXT] = "LIBXC_CONTEXT",
	[DROVER_LIBXL_EMULATOR_XENSTORE_DATA] = "EMULATOR_XENSTORE_DATA",
	[DROVER_LIBXL_EMULATOR_CONTEXT] = "EMULATOR_CONTEXT",
	[DROVER_LIBXL_CHECKPOINT_END] = "CHECKPOINT_END",
	[DROVER_LIBXL_CHECKPOINT_STATE] = "CHECKPOINT_STATE",
	[DROVER_LIBXL_DOMAIN_XENSTORE_DATA] = "DOMAIN_XENSTORE_DATA",
};

const char *drover_libxl_type_name(uint32_t type)
{
	return type < sizeof(type_names) / sizeof(type_names[0]) ? type_names[type] : NULL;
}

int drover_libxl_error_print(const struct drover_libxl_error *err, char *buf, size_t len)
{
	const char *name = drover_libxl_type_name(err->type);
	char kind[48] = "";

	if (err->in_header)
		return snprintf(buf, len, "header at offset 0x%" PRIx64 ": %s", err->offset,
				err->text);
	if (name)
		snprintf(kind, sizeof(kind), " (%s)", name);
	else if (err->type != UINT32_MAX) /* it was read */
		snprintf(kind, sizeof(kind), " (type 0x%" PRIx32 ")", err->type);
	return snprintf(buf, len, "record %" PRIu64 "%s%s at offset 0x%" PRIx64 ": %s", err->record,
			kind, err->in_libxc ? ", libxc stream" : "", err->offset, err->text);
}

bool drover_libxl_is(const void *head, size_t len)
{
	return (len >= XL_MAGIC_LEN && !memcmp(head, XL_MAGIC, XL_MAGIC_LEN)) ||
	       (len >= 8 && !memcmp(head, STREAM_MAGIC, 8));
}

int drover_libxl_reader_new(const struct drover_libxl_options *options,
			    struct drover_libxl_reader **ret)
{
	struct drover_libxl_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return ENOMEM;
	r->options = *options;
	*ret = r;
	return 0;
}

void drover_libxl_reader_free(struct drover_libxl_reader *reader)
{
	free(reader);
}

const struct drover_libxl_error *drover_libxl_reader_error(const struct drover_libxl_reader *reader)
{
	return &reader->err;
}

const struct drover_libxl_info *drover_libxl_reader_info(const struct drover_libxl_reader *reader)
{
	return &reader->info;
}

static uint32_t get32(const uint8_t *p, bool big)
{
	if (big)
		return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* The rule that octets at `at` of the buffer break. */
static int __attribute__((format(printf, 3, 4)))
broken(struct drover_libxl_reader *r, size_t at, const char *fmt, ...)
{
	va_list ap;

	r->err.offset = r->offset + (at - r->at);
	r->err.in_header = r->phase < PHASE_RECORD;
	r->err.in_libxc = r->phase == PHASE_LIBXC_HEADER || r->phase == PHASE_LIBXC;
	if (!r->err.in_header) {
		r->err.record = r->record - 1;
		r->err.type = r->type;
	}
	va_start(ap, fmt);
	vsnprintf(r->err.text, sizeof(r->err.text), fmt, ap);
	va_end(ap);
	return r->failed = EINVAL;
}

/* Reads on until n octets from buf[from] are there; *ret whether they are. from - at + n fits. */
static int fill(struct drover_libxl_reader *r, size_t *from, size_t n, bool *ret)
{
	int err;

	if (r->have - *from < n && r->at) {
		memmove(r->buf, r->buf + r->at, r->have - r->at);
		r->have -= r->at;
		*from -= r->at;
		r->at = 0;
	}
	while (r->have - *from < n && !r->ended) {
		size_t got = 0;

		err = r->options.read(r->options.ctx, r->buf + r->have, LIBXL_BUFFER - r->have,
				      &got);
		if (err)
			return r->failed = err;
		r->ended = !got;
		r->have += got;
	}
	*ret = r->have - *from >= n;
	return 0;
}

/* n octets at the start of what is unread, or a complaint that the input ends there. */
static int want(struct drover_libxl_reader *r, size_t n, const char *what)
{
	bool there;
	size_t from = r->at;
	int err = fill(r, &from, n, &there);

	if (err || there)
		return err;
	return broken(r, r->at, "the input ends within %s, %zu octets too early", what,
		      n - (r->have - r->at));
}

static void give(struct drover_libxl_reader *r, enum drover_libxl_item_kind kind, size_t n,
		 struct drover_libxl_item *item)
{
	*item = (struct drover_libxl_item){
		.kind = kind,
		.type = r->type,
		.body_len = r->body_len,
		.record = r->record ? r->record - 1 : 0,
		.offset = r->offset,
		.octets = { .data = r->buf + r->at, .len = n },
	};
	r->taken = n;
}

/* Of left octets those that are there, at least one. */
static int some(struct drover_libxl_reader *r, const char *what, size_t *ret)
{
	int err = want(r, 1, what);

	if (err)
		return err;
	*ret = r->have - r->at < r->left ? r->have - r->at : (size_t)r->left;
	r->left -= *ret;
	return 0;
}

static int read_start(struct drover_libxl_reader *r, struct drover_libxl_item *item)
{
	const uint8_t *p;
	uint32_t mandatory;
	bool big;
	int err = want(r, 8, "the header");

	if (err)
		return err;
	p = r->buf + r->at;
	if (!memcmp(p, STREAM_MAGIC, 8)) {
		r->phase = PHASE_STREAM_HEADER;
		return EAGAIN;
	}
	if (memcmp(p, XL_MAGIC, 8))
		return broken(r, r->at, "neither a file of xl save nor a libxl stream");
	err = want(r, XL_HEADER_LEN, "the header of xl save");
	if (err)
		return err;
	p = r->buf + r->at;
	if (memcmp(p, XL_MAGIC, XL_MAGIC_LEN))
		return broken(r, r->at, "not a file of xl save, though it starts like one");
	big = get32(p + 32, true) == XL_ORDER;
	if (get32(p + 32, big) != XL_ORDER)
		return broken(r, r->at + 32, "the mark of the byte order is 0x%" PRIx32,
			      get32(p + 32, false));
	mandatory = get32(p + 36, big);
	if (!(mandatory & XL_STREAM_V2))
		return broken(r, r->at + 36, "a legacy stream of Xen 4.5 or older");
	if (mandatory & ~(XL_CONFIG | XL_STREAM_V2))
		return broken(r, r->at + 36, "mandatory flags 0x%" PRIx32 " are not known",
			      mandatory & ~(XL_CONFIG | XL_STREAM_V2));
	r->info.xl_save = true;
	r->info.config_len = get32(p + 44, big);
	r->left = r->info.config_len;
	r->phase = r->left ? PHASE_XL_DATA : PHASE_STREAM_HEADER;
	give(r, DROVER_LIBXL_ITEM_HEADER, XL_HEADER_LEN, item);
	return 0;
}

static int read_xl_data(struct drover_libxl_reader *r, struct drover_libxl_item *item)
{
	size_t n;
	int err = some(r, "xl's optional data", &n);

	if (err)
		return err;
	if (!r->left)
		r->phase = PHASE_STREAM_HEADER;
	give(r, DROVER_LIBXL_ITEM_HEADER, n, item);
	return 0;
}

static int read_stream_header(struct drover_libxl_reader *r, struct drover_libxl_item *item)
{
	const uint32_t known = STREAM_BIG_ENDIAN | STREAM_LEGACY;
	const uint8_t *p;
	uint32_t flags;
	int err = want(r, STREAM_HEADER_LEN, "the stream's header");

	if (err)
		return err;
	p = r->buf + r->at;
	if (memcmp(p, STREAM_MAGIC, 8))
		return broken(r, r->at, "a libxl stream starts with " STREAM_MAGIC);
	if (get32(p + 8, true) != 2)
		return broken(r, r->at + 8, "version %" PRIu32 ", and only 2 is known",
			      get32(p + 8, true));
	flags = get32(p + 12, true);
	if (flags & ~known)
		return broken(r, r->at + 12, "options 0x%" PRIx32 " are reserved", flags & ~known);
	r->info.big_endian = flags & STREAM_BIG_ENDIAN;
	r->info.legacy = flags & STREAM_LEGACY;
	r->phase = PHASE_RECORD;
	give(r, DROVER_LIBXL_ITEM_HEADER, STREAM_HEADER_LEN, item);
	return 0;
}

/* What can be judged of a record by its header. */
static int check_record(struct drover_libxl_reader *r)
{
	uint32_t len = r->body_len;

	switch (r->type) {
	case DROVER_LIBXL_LIBXC_CONTEXT:
		if (r->had_libxc)
			return broken(r, r->at, "a second one");
		break;
	case DROVER_LIBXL_END:
	case DROVER_LIBXL_CHECKPOINT_END:
		break;
	case DROVER_LIBXL_EMULATOR_XENSTORE_DATA:
	case DROVER_LIBXL_EMULATOR_CONTEXT:
		if (len < 8)
			return broken(r, r->at + 4, "%" PRIu32 " octets, 8 at least", len);
		return 0;
	case DROVER_LIBXL_DOMAIN_XENSTORE_DATA:
		if (!r->had_libxc)
			return broken(r, r->at, "before LIBXC_CONTEXT");
		if (len > DROVER_XSDATA_BODY)
			return broken(r, r->at + 4, "%" PRIu32 " octets, at most %u", len,
				      DROVER_XSDATA_BODY);
		return 0;
	case DROVER_LIBXL_CHECKPOINT_STATE:
		return 0;
	default:
		if (!(r->type & DROVER_LIBXL_OPTIONAL))
			return broken(r, r->at, "mandatory, and its type is not known");
		return 0;
	}
	if (len)
		return broken(r, r->at + 4, "%" PRIu32 " octets, and it has no body", len);
	return 0;
}

static int read_xenstore(struct drover_libxl_reader *r, struct drover_libxl_item *item)
{
	size_t whole = RECORD_HEADER_LEN + ((r->body_len + 7u) & ~7u);
	int err = want(r, whole, "the record");

	if (err)
		return err;
	give(r, DROVER_LIBXL_ITEM_XENSTORE, whole, item);
	item->begins = true;
	item->body = (struct drover_octets){
		.data = r->buf + r->at + RECORD_HEADER_LEN,
		.len = r->body_len,
	};
	return 0;
}

static int read_record(struct drover_libxl_reader *r, struct drover_libxl_item *item)
{
	int err;

	r->record++;
	r->type = UINT32_MAX;
	err = want(r, RECORD_HEADER_LEN, "a record's header, before END");
	if (err)
		return err;
	r->type = get32(r->buf + r->at, r->info.big_endian);
	r->body_len = get32(r->buf + r->at + 4, r->info.big_endian);
	err = check_record(r);
	if (err)
		return err;
	if (r->type == DROVER_LIBXL_DOMAIN_XENSTORE_DATA)
		return read_xenstore(r, item);
	r->left = ((uint64_t)r->body_len + 7) & ~7ull;
	give(r, DROVER_LIBXL_ITEM_RECORD, RECORD_HEADER_LEN, item);
	item->begins = true;
	if (r->left)
		r->phase = PHASE_BODY;
	else if (r->type == DROVER_LIBXL_LIBXC_CONTEXT)
		r->phase = PHASE_LIBXC_HEADER;
	else if (r->type == DROVER_LIBXL_CHECKPOINT_END && r->had_libxc)
		r->phase = PHASE_LIBXC;
	else if (r->type == DROVER_LIBXL_END)
		r->phase = PHASE_END;
	return 0;
}

static int read_body(struct drover_libxl_reader *r, struct drover_libxl_item *item)
{
	size_t n;
	int err = some(r, "the record", &n);

	if (err)
		return err;
	give(r, DROVER_LIBXL_ITEM_RECORD, n, item);
	if (!r->left)
		r->phase = PHASE_RECORD;
	return 0;
}

static int read_libxc_header(struct drover_libxl_reader *r, struct drover_libxl_item *item)
{
	const uint8_t *p;
	uint32_t version, flags;
	int err = want(r, LIBXC_HEADER_LEN + LIBXC_DOMAIN_LEN, "the libxc headers");

	if (err)
		return err;
	p = r->buf + r->at;
	if (get32(p, true) != UINT32_MAX || get32(p + 4, true) != UINT32_MAX ||
	    get32(p + 8, true) != LIBXC_IDENT)
		return broken(r, r->at, "a libxc stream starts with eight 0xff and XENF");
	version = get32(p + 12, true);
	if (version != 2 && version != 3)
		return broken(r, r->at + 12, "version %" PRIu32 ", and only 2 and 3 are known",
			      version);
	flags = get32(p + 16, true) >> 16;
	if (flags & ~1u)
		return broken(r, r->at + 16, "options 0x%" PRIx32 " are reserved", flags & ~1u);
	r->libxc_foreign = flags & 1u;
	r->had_libxc = true;
	r->left = 0;
	r->phase = PHASE_LIBXC;
	give(r, DROVER_LIBXL_ITEM_LIBXC, LIBXC_HEADER_LEN + LIBXC_DOMAIN_LEN, item);
	return 0;
}

/* From one libxc record to the next, as far as the buffer goes: guest memory comes by here. */
static int read_libxc(struct drover_libxl_reader *r, struct drover_libxl_item *item)
{
	size_t pos = r->at, n;
	uint32_t type = UINT32_MAX, len;
	bool there;
	int err;

	for (;;) {
		n = r->have - pos < r->left ? r->have - pos : (size_t)r->left;
		pos += n;
		r->left -= n;
		if (r->left ? pos > r->at : r->have - pos < RECORD_HEADER_LEN && pos > r->at)
			break; /* what is here is given first */
		err = fill(r, &pos, r->left ? 1 : RECORD_HEADER_LEN, &there);
		if (err)
			return err;
		if (!there)
			return broken(r, pos, "the input ends before the libxc stream does");
		if (r->left)
			continue;
		type = get32(r->buf + pos, r->libxc_foreign);
		len = get32(r->buf + pos + 4, r->libxc_foreign);
		if (len > LIBXC_RECORD_MAX)
			return broken(r, pos + 4,
				      "a libxc record of %" PRIu32 " octets, at most %u", len,
				      LIBXC_RECORD_MAX);
		if ((type == LIBXC_TYPE_END || type == LIBXC_TYPE_CHECKPOINT) && len)
			return broken(r, pos + 4, "a libxc record of type %" PRIu32 " has no body",
				      type);
		pos += RECORD_HEADER_LEN;
		r->left = ((uint64_t)len + 7) & ~7ull;
		if (type == LIBXC_TYPE_END || type == LIBXC_TYPE_CHECKPOINT) {
			r->phase = r->place_told ? PHASE_RECORD : PHASE_PLACE;
			break;
		}
	}
	give(r, DROVER_LIBXL_ITEM_LIBXC, pos - r->at, item);
	return 0;
}

static int read_end(struct drover_libxl_reader *r)
{
	size_t from = r->at;
	bool there;
	int err = fill(r, &from, 1, &there);

	if (err)
		return err;
	if (there)
		return broken(r, r->at, "octets behind it");
	return r->failed = ENODATA;
}

static int read_step(struct drover_libxl_reader *r, struct drover_libxl_item *item)
{
	switch (r->phase) {
	case PHASE_START:
		return read_start(r, item);
	case PHASE_XL_DATA:
		return read_xl_data(r, item);
	case PHASE_STREAM_HEADER:
		return read_stream_header(r, item);
	case PHASE_RECORD:
		return read_record(r, item);
	case PHASE_BODY:
		return read_body(r, item);
	case PHASE_LIBXC_HEADER:
		return read_libxc_header(r, item);
	case PHASE_LIBXC:
		return read_libxc(r, item);
	case PHASE_PLACE:
		r->place_told = true;
		r->phase = PHASE_RECORD;
		give(r, DROVER_LIBXL_ITEM_PLACE, 0, item);
		return 0;
	case PHASE_END:
		break;
	}
	return read_end(r);
}

int drover_libxl_next(struct drover_libxl_reader *reader, struct drover_libxl_item *item)
{
	struct drover_libxl_reader *r = reader;
	int err;

	if (r->failed)
		return r->failed;
	r->at += r->taken;
	r->offset += r->taken;
	r->taken = 0;
	do {
		err = read_step(r, item);
	} while (err == EAGAIN && !r->failed);
	return err;
}
