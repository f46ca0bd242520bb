/* SPDX-License-Identifier: MIT */
/*
 * What a guest's part of the store is sent as: one run of octets, which says what it is.
 *
 *   "drvguest" | version, u32 | length of all, u32 | sections | checksum, u64
 *   section: name, 4 octets | length, u32 | its octets
 *
 *   "meta"  version 1: uuid (16 octets) | epoch, u64 | domid, u32 | flags, u32
 *   "conf"  its configuration, libxl's JSON
 *   "page"  its ring's page as it was when it was quiesced, HSTORE_PAGE_SIZE octets
 *   "imag"  its image (docs/image.md); without it keys are to be made from "conf"
 *
 * Numbers are big-endian. Each section comes once, in this order; page and image may be missing.
 * The checksum, SipHash of all that is before it with a key of zeros, is against accidents.
 */
#ifndef DROVER_HOSTD_STORE_BLOB_H
#define DROVER_HOSTD_STORE_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/def.h"

#define HSTORE_BLOB_VERSION 1u
#define HSTORE_PAGE_SIZE 4096u

struct hstore_blob {
	uint8_t uuid[DEF_UUID_SIZE];
	uint64_t epoch;
	uint16_t domid;
	const char *json; /* json_len octets; all three borrowed */
	size_t json_len;
	const uint8_t *page; /* NULL: none */
	const uint8_t *image;
	size_t image_len; /* 0: none */
};

/* *ret is to be freed. -EFBIG: more than MIG_BLOB_MAX; -ENOMEM. */
int hstore_blob_print(const struct hstore_blob *b, uint8_t **ret, size_t *ret_len);

/* ret borrows from data. -EBADMSG: text (room octets) says where and why. */
int hstore_blob_parse(const uint8_t *data, size_t len, struct hstore_blob *ret, char *text,
		      size_t room);

#endif
