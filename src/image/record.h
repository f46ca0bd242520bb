/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the image library tell each other about a record.
 */
#ifndef DROVER_IMAGE_RECORD_H
#define DROVER_IMAGE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drover/image.h"

/* Octets of a body; what no type may pass. */
#define IMAGE_RECORD_MAX (1u << 20)
#define IMAGE_COMMIT_MAX (1u << 24)
#define IMAGE_CONNECTION_MAX (1u << 26) /* and of a type that is not known */

/* Most octets that the body of a record may have. */
uint32_t record_body_max(uint32_t type);

/* The type that the record's header at buf states. */
uint32_t record_type(const struct drover_image_format *format, const void *buf);

/* Fills *err, which may be NULL, with the record's type and "field: rule"; its place is 0. */
void image_error_set(struct drover_image_error *err, uint32_t type, const char *field,
		     const char *rule);

/*
 * What can be judged of a record's content alone, once its fields are read: ids, paths, letters.
 * EINVAL: err says what, and may be NULL.
 */
int record_check(const struct drover_record *rec, struct drover_image_error *err);

#endif
