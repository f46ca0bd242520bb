/* SPDX-License-Identifier: MIT */
/*
 * JSON of configurations. In memory a configuration is a json-c object in canonical form: fields
 * that are known have libxl's types and names, those at their defaults are absent, structures are
 * always there, empty lists never, enumerations are in lower case; fields that are not known are
 * kept as they came. Numbers are json_type_int (64 bits, unsigned where they need it).
 */
#ifndef DROVER_CONFIG_JSON_H
#define DROVER_CONFIG_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/own.h"
#include "config/err.h"
#include "config/schema.h"
#include "drover/config.h"

/* Octets of a record, and how deep lists and maps may lie in each other. */
#define CONF_JSON_MAX (16u << 20)
#define CONF_JSON_DEPTH_MAX 32

static inline void conf_json_freep(struct json_object **p)
{
	json_object_put(*p);
}
#define CLEANUP_JSON __attribute__((cleanup(conf_json_freep)))

/*
 * Strict JSON, len octets, one NUL at the end allowed: no comments, no trailing text, no key
 * twice, valid UTF-8. *ret is the caller's. -EINVAL: the line says "line 3, column 7: ...".
 */
int conf_json_parse(const char *text, size_t len, struct conf_err *err, struct json_object **ret);

/*
 * Brings an object to canonical form, in place. -EINVAL names the field ("disks[1].format: ...").
 */
int conf_json_canon(const struct schema_type *type, struct json_object *object,
		    struct conf_err *err);

/* Both, for a whole configuration. */
int conf_json_read(const char *text, size_t len, struct conf_err *err, struct json_object **ret);

/*
 * As libxl of that layout prints it: fields in its order, unknown ones behind the known of their
 * map, in the order they came. *ret is to be freed, with a NUL that *ret_len does not count.
 * Fields that this layout does not know are written all the same: they were in the record.
 * -EILSEQ: a string is not UTF-8, which nobody would read again; canonical ones are.
 */
int conf_json_print(struct json_object *config, enum drover_config_layout layout, char **ret,
		    size_t *ret_len);

/* A device's entry in one line, for intents and reports; to be freed. NULL: memory is out. */
char *conf_json_line(struct json_object *object);

/* A structure of a type with all fields at their defaults; NULL: memory is out. */
struct json_object *conf_json_new(const struct schema_type *type);

/* A copy of its own; NULL: memory is out. */
struct json_object *conf_json_copy(struct json_object *object);

/* Whether two canonical objects say the same, in whatever order. */
bool conf_json_equal(const struct json_object *a, const struct json_object *b);

/*
 * Sets the field at a path ("vnc.enable", "connectors.0.width") from text; "" resets a field to
 * its default, empties a structure and removes a list's entry. Of a union's variant,
 * "type.hostdev.hostbus"; a union's own name has the variant's name as its value: "connection".
 * Structures, variants, and entries just behind a list's end are made on the way. -EINVAL: the
 * value is not set; what was made on the way may be there, and the object is canonical.
 */
int conf_json_set(const struct schema_type *type, struct json_object *object, const char *path,
		  const char *value, struct conf_err *err);

/*
 * The value at a path, as text to be freed; *ret NULL: it is at its default. A field that is at
 * its default has no text. -EINVAL: no such field.
 */
int conf_json_get(const struct schema_type *type, struct json_object *object, const char *path,
		  char **ret);

/*
 * Calls fn for each value in the object that is no structure or list of them, by its path, in the
 * schema's order, then what is not known of each map, as JSON. Ends where fn returns not 0, and
 * returns that.
 */
typedef int conf_json_leaf_fn(void *data, const char *path, const char *value);
int conf_json_each(const struct schema_type *type, struct json_object *object,
		   conf_json_leaf_fn *fn, void *data);

/* The list of a configuration, "disks"; NULL where it is absent. Borrowed. */
struct json_object *conf_json_list(struct json_object *config, const char *list);

/* Appends entry (now the list's) to a list, which is made where there is none. */
int conf_json_list_add(struct json_object *config, const char *list, struct json_object *entry);

/* Removes the entry at i; the list itself with the last one. */
void conf_json_list_del(struct json_object *config, const char *list, size_t i);

/* A number field of a canonical object, or `init` where it is absent. */
int64_t conf_json_int(struct json_object *object, const char *field, int64_t init);

/* Whether all octets are characters of UTF-8: nothing reads JSON that has others. */
bool conf_json_is_utf8(const char *s, size_t len);

/* A string field, or NULL where it is absent. Borrowed. */
const char *conf_json_string(struct json_object *object, const char *field);

#endif
