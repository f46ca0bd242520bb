/* SPDX-License-Identifier: MIT */
/*
 * Records as a person reads them, and as JSON: each described once, for both.
 */
#ifndef DROVER_CLI_IMAGE_TEXT_H
#define DROVER_CLI_IMAGE_TEXT_H

#include "drover/image.h"
#include "drover/libxl_stream.h"
#include <stdio.h>

struct json_object;

/* Where a description goes: words on a stream, or members of an object. One of the two. */
struct image_text {
	FILE *to;
	struct json_object *object;
};

/* One member. Octets that are no UTF-8 become "name_base64" in JSON. */
void image_text_number(struct image_text *t, const char *name, uint64_t value);
void image_text_word(struct image_text *t, const char *name, const char *word);
void image_text_octets(struct image_text *t, const char *name, const struct drover_octets *octets);

/* What is in the record, without its type. */
void image_text_record(struct image_text *t, const struct drover_record *rec);
void image_text_xsdata(struct image_text *t, const struct drover_xsdata *data);

/* "NODE_DATA", or "0x1234" in buf. */
const char *image_text_type(uint32_t type, char buf[16]);

/* "n0,r5", an entry that is stale as "r5?"; to be freed by the caller. */
char *image_text_perms(const struct drover_list *perms);

#endif
