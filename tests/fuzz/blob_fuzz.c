/* SPDX-License-Identifier: MIT */
/*
 * Any octets as a guest's part of the store on its way: what is taken lies within what was given,
 * and printed again it is the same octets; what is refused says why. The checksum is put right
 * first, for it keeps nobody out.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "hostd/store_blob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "blob_fuzz: %s\n", what);
	abort();
}

static void put_checksum(uint8_t *octets, size_t size)
{
	static const struct siphash_key zeros;
	uint64_t sum;

	if (size < 8)
		return;
	sum = siphash(&zeros, octets, size - 8);
	for (unsigned int i = 0; i < 8; i++)
		octets[size - 1 - i] = (uint8_t)(sum >> 8 * i);
}

static bool is_within(const void *part, size_t len, const uint8_t *whole, size_t size)
{
	const uint8_t *p = part;

	return !p || (p >= whole && len <= size && (size_t)(p - whole) <= size - len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *octets = malloc(size ? size : 1), *printed = NULL;
	char text[512] = "";
	struct hstore_blob b;
	size_t len = 0;

	if (!octets)
		return 0;
	if (size)
		memcpy(octets, data, size);
	put_checksum(octets, size);
	if (hstore_blob_parse(octets, size, &b, text, sizeof(text))) {
		must(text[0], "refused without a word");
		free(octets);
		return 0;
	}
	must(is_within(b.json, b.json_len, octets, size) &&
		     is_within(b.page, HSTORE_PAGE_SIZE, octets, size) &&
		     is_within(b.image, b.image_len, octets, size),
	     "a part is not in the whole");
	if (!hstore_blob_print(&b, &printed, &len))
		must(len == size && !memcmp(printed, octets, len), "printed it is another one");
	free(printed);
	free(octets);
	return 0;
}
