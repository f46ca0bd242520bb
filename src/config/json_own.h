/* SPDX-License-Identifier: MIT */
/*
 * What the parts of json.h share: values that are no structure or list of them, and the names of
 * union variants.
 */
#ifndef DROVER_CONFIG_JSON_OWN_H
#define DROVER_CONFIG_JSON_OWN_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/err.h"
#include "config/schema.h"

/* Octets of "type.hostdev" with its NUL, and of a line that says what a value is not. */
#define JSON_KEY_MAX 64
#define JSON_WHY_MAX 160

/* The highest bit of a bitmap: vcpus, cpus and nodes are far fewer. */
#define JSON_BIT_MAX 65535

/* The key that a field is under in a map: "type.pv" of a union's variant, its name of others. */
const char *json_key(const struct schema_field *field, char room[JSON_KEY_MAX]);

/* Whether a value is given by fields of its own: a structure, also as a union's variant. */
bool json_is_struct(const struct schema_field *field);

/*
 * The canonical form of a value that is no structure, as a new reference. *ret NULL: the value is
 * the default of `field`; field NULL: there is no default, it is an entry of a list. -EINVAL: why
 * says what it should be.
 */
int json_leaf_canon(const struct schema_type *type, const struct schema_field *field,
		    struct json_object *value, struct json_object **ret, char why[JSON_WHY_MAX]);

/* As json_leaf_canon, of any value; the line of err says why. */
int json_value_canon(const struct schema_type *type, const struct schema_field *field,
		     struct json_object *value, struct json_object **ret, struct conf_err *err);

/* Whether a structure has a field of this key. */
bool json_knows(const struct schema_type *type, const char *key);

/* The value that text means, not canonical yet, as a new reference. -EINVAL: why. */
int json_leaf_from_text(const struct schema_type *type, const char *text, struct json_object **ret,
			char why[JSON_WHY_MAX]);

/* A canonical value as text, to be freed; NULL: memory is out. */
char *json_leaf_text(const struct schema_type *type, struct json_object *value);

/* The text that a number was read from, which is no whole number of 64 bits. Borrowed. */
const char *json_number_text(struct json_object *number);

/* Sorts a bitmap's list of numbers and drops what is there twice. */
int json_bitmap_sort(struct json_object *list);

#endif
