/* SPDX-License-Identifier: MIT */
/*
 * Heads of saved guests. Numbers are little-endian. Invariant: a head that is accepted tells of
 * parts that are within the file, none of them on the heads; whether they are whole their
 * checksums tell.
 */
#include "hostd/save_head.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/siphash.h"
#include "hostd/xml.h"
#include "migrate/migrate.h"

enum { /* offsets of a head's fields */
       AT_MAGIC = 0,
       AT_VERSION = 8,
       AT_SIZE = 12,
       AT_GENERATION = 16,
       AT_FLAGS = 20,
       AT_UUID = 24,
       AT_ID = 40,
       AT_EPOCH = 56,
       AT_SAVED = 64,
       AT_BACKEND = 72,
       AT_XML = 88, /* parts: where, length, checksum */
       AT_MEMORY = 112,
       AT_STORE = 136,
       AT_UNUSED = 160,
       AT_SUM = 248,
};

enum { FLAG_RUNNING = 1u << 0, FLAGS_KNOWN = FLAG_RUNNING };

static void put(uint8_t *out, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t take(const uint8_t *in, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)in[i] << 8 * i;
	return value;
}

uint64_t save_sum_add(uint64_t sum, const void *chunk, size_t len)
{
	const struct siphash_key key = { sum, len };

	return siphash(&key, chunk, len);
}

uint64_t save_sum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t sum = save_sum_begin();

	for (size_t at = 0; at < len; at += SAVE_CHUNK)
		sum = save_sum_add(sum, p + at, len - at < SAVE_CHUNK ? len - at : SAVE_CHUNK);
	return sum;
}

static void put_part(uint8_t *out, const struct save_part *part)
{
	put(out, part->at, 8);
	put(out + 8, part->len, 8);
	put(out + 16, part->sum, 8);
}

void save_head_print(const struct save_head *h, uint8_t out[SAVE_HEAD_SIZE])
{
	memset(out, 0, SAVE_HEAD_SIZE);
	memcpy(out + AT_MAGIC, SAVE_MAGIC, 8);
	put(out + AT_VERSION, SAVE_VERSION, 4);
	put(out + AT_SIZE, SAVE_HEAD_SIZE, 4);
	put(out + AT_GENERATION, h->generation, 4);
	put(out + AT_FLAGS, h->running ? FLAG_RUNNING : 0, 4);
	memcpy(out + AT_UUID, h->uuid, DEF_UUID_SIZE);
	memcpy(out + AT_ID, h->id, SAVE_ID_SIZE);
	put(out + AT_EPOCH, h->epoch, 8);
	put(out + AT_SAVED, h->saved_s, 8);
	memcpy(out + AT_BACKEND, h->backend, strnlen(h->backend, SAVE_BACKEND_MAX - 1));
	put_part(out + AT_XML, &h->xml);
	put_part(out + AT_MEMORY, &h->memory);
	put_part(out + AT_STORE, &h->store);
	put(out + AT_SUM, save_sum(out, AT_SUM), 8);
}

static int bad(char *text, size_t room, const char *what)
{
	snprintf(text, room, "it is no saved domain: %s", what);
	return EBADMSG;
}

static int take_part(const uint8_t *in, uint64_t file_size, uint64_t min, uint64_t max,
		     const char *name, struct save_part *ret, char *text, size_t room)
{
	ret->at = take(in, 8);
	ret->len = take(in + 8, 8);
	ret->sum = take(in + 16, 8);
	if (ret->len < min || ret->len > max) {
		snprintf(text, room, "its %s has %" PRIu64 " octets", name, ret->len);
		return EBADMSG;
	}
	if (ret->at < SAVE_DATA_AT || ret->at > file_size || ret->len > file_size - ret->at) {
		snprintf(text, room,
			 "its %s is not in the file: %" PRIu64 " octets at %" PRIu64 " of %" PRIu64,
			 name, ret->len, ret->at, file_size);
		return EBADMSG;
	}
	return 0;
}

static int take_backend(const uint8_t *in, char ret[SAVE_BACKEND_MAX], char *text, size_t room)
{
	size_t len = strnlen((const char *)in, SAVE_BACKEND_MAX);

	if (!len || len == SAVE_BACKEND_MAX)
		return bad(text, room, "its backend has no name");
	for (size_t i = 0; i < SAVE_BACKEND_MAX; i++)
		if (i < len ? in[i] < 'a' || in[i] > 'z' : in[i])
			return bad(text, room, "its backend's name");
	memcpy(ret, in, SAVE_BACKEND_MAX);
	return 0;
}

/* Numbers and names, of octets whose checksum is right. */
static int take_fields(const uint8_t *in, struct save_head *ret, char *text, size_t room)
{
	uint64_t flags = take(in + AT_FLAGS, 4);

	if (take(in + AT_SIZE, 4) != SAVE_HEAD_SIZE)
		return bad(text, room, "its head's size");
	if (flags & ~(uint64_t)FLAGS_KNOWN)
		return bad(text, room, "flags that are not known");
	for (size_t i = AT_UNUSED; i < AT_SUM; i++)
		if (in[i])
			return bad(text, room, "its head has more than is known");
	ret->generation = (uint32_t)take(in + AT_GENERATION, 4);
	ret->running = flags & FLAG_RUNNING;
	ret->epoch = take(in + AT_EPOCH, 8);
	ret->saved_s = take(in + AT_SAVED, 8);
	memcpy(ret->uuid, in + AT_UUID, DEF_UUID_SIZE);
	memcpy(ret->id, in + AT_ID, SAVE_ID_SIZE);
	if (!ret->generation)
		return bad(text, room, "its head's generation");
	if (ret->epoch >= MIG_EPOCH_MAX)
		return bad(text, room, "its epoch");
	return take_backend(in + AT_BACKEND, ret->backend, text, room);
}

int save_head_parse(const uint8_t in[SAVE_HEAD_SIZE], uint64_t file_size, struct save_head *ret,
		    char *text, size_t room)
{
	struct save_head h = { 0 };
	int r;

	if (memcmp(in + AT_MAGIC, SAVE_MAGIC, 8) != 0)
		return bad(text, room, "its head is missing");
	if (take(in + AT_VERSION, 4) != SAVE_VERSION) {
		snprintf(text, room,
			 "it is a saved domain of version %u, of which nothing is known",
			 (unsigned int)take(in + AT_VERSION, 4));
		return EBADMSG;
	}
	if (take(in + AT_SUM, 8) != save_sum(in, AT_SUM))
		return bad(text, room, "its head is damaged");
	r = take_fields(in, &h, text, room);
	if (!r)
		r = take_part(in + AT_XML, file_size, 1, XML_SIZE_MAX, "definition", &h.xml, text,
			      room);
	if (!r)
		r = take_part(in + AT_MEMORY, file_size, 1, UINT64_MAX, "memory", &h.memory, text,
			      room);
	if (!r)
		r = take_part(in + AT_STORE, file_size, 0, MIG_BLOB_MAX, "part of the store",
			      &h.store, text, room);
	if (!r)
		*ret = h;
	return r;
}

int save_heads_parse(const uint8_t in[SAVE_DATA_AT], uint64_t file_size, struct save_head *ret,
		     char *text, size_t room)
{
	struct save_head h;
	bool found = false;
	int r = 0;

	for (size_t i = 0; i < SAVE_HEADS; i++) {
		/* The first place's reason is told: that of a file that was never changed. */
		char other[200];
		int one = save_head_parse(in + i * SAVE_HEAD_STEP, file_size, &h, i ? other : text,
					  i ? sizeof(other) : room);

		if (!one && save_head_place(h.generation) != i * SAVE_HEAD_STEP)
			one = bad(i ? other : text, i ? sizeof(other) : room,
				  "its head is in the wrong place");
		if (!one && (!found || h.generation > ret->generation)) {
			*ret = h;
			found = true;
		}
		r = r ? r : one;
	}
	return found ? 0 : r;
}
