/* SPDX-License-Identifier: MIT */
/*
 * Any octets as the head of a saved guest's file, its checksum made right so that the rest is
 * looked at: what is taken tells of parts within the file, and printed again it is the same
 * octets; what is refused says why.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/save_file.h"

#define AT_SUM (SAVE_HEAD_SIZE - 8u)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "saved_fuzz: %s\n", what);
	abort();
}

static void check(const struct save_head *h, uint64_t file_size)
{
	const struct save_part *parts[] = { &h->xml, &h->memory, &h->store };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		must(parts[i]->at >= SAVE_DATA_AT && parts[i]->at <= file_size &&
			     parts[i]->len <= file_size - parts[i]->at,
		     "a part is not in the file");
	must(h->backend[0] && memchr(h->backend, '\0', SAVE_BACKEND_MAX), "the backend");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t octets[SAVE_HEAD_SIZE] = { 0 }, printed[SAVE_HEAD_SIZE];
	char text[200] = "";
	struct save_head h;
	uint64_t file_size = 0, sum;

	if (size < sizeof(file_size))
		return 0;
	memcpy(&file_size, data, sizeof(file_size));
	data += sizeof(file_size);
	size -= sizeof(file_size);
	memcpy(octets, data, size < AT_SUM ? size : AT_SUM);
	sum = save_sum(octets, AT_SUM);
	for (size_t i = 0; i < 8; i++)
		octets[AT_SUM + i] = (uint8_t)(sum >> 8 * i);
	if (save_head_parse(octets, file_size, &h, text, sizeof(text))) {
		must(text[0], "refused without a word");
		return 0;
	}
	check(&h, file_size);
	save_head_print(&h, printed);
	must(!memcmp(printed, octets, sizeof(printed)), "printed it is another one");
	return 0;
}
