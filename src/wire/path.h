/* SPDX-License-Identifier: MIT */
/*
 * Paths: the characters and lengths of xenstore.txt, walking them component by component.
 */
#ifndef DROVER_WIRE_PATH_H
#define DROVER_WIRE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/wire.h"

/* An absolute path, NUL-terminated, made from what a client wrote. */
struct path {
	size_t len; /* octets without the NUL; "/" is 1 */
	char str[XENSTORE_ABS_PATH_MAX + 1];
};

/*
 * Whether name, len octets, is a well-formed node name: allowed characters only, no empty
 * component, no trailing slash but in "/", not empty. Absolute or relative.
 */
bool path_is_valid(const char *name, size_t len);

/*
 * name made absolute: as it is where it starts with '/', else below prefix ("/local/domain/5",
 * or NULL: relative paths are refused). EINVAL: malformed, or longer than
 * XENSTORE_ABS_PATH_MAX - 1 (absolute, the NUL counts) or XENSTORE_REL_PATH_MAX (relative).
 */
int path_make(struct path *ret, const char *prefix, const char *name, size_t len);

/* The next component of a path. Start with *pos 0; false at the end. "/" has none. */
static inline bool path_next(const char *path, size_t len, size_t *pos, const char **ret_name,
			     size_t *ret_name_len)
{
	const char *slash;
	size_t at = *pos + 1;

	if (at >= len)
		return false;
	*ret_name = path + at;
	slash = memchr(path + at, '/', len - at);
	*ret_name_len = slash ? (size_t)(slash - (path + at)) : len - at;
	*pos = at + *ret_name_len;
	return true;
}

/* Octets of the parent's path; of "/a" it is 1 ("/"), of "/" 0. */
size_t path_parent_len(const char *path, size_t len);

/* Where the last component starts. */
static inline const char *path_basename(const char *path, size_t len)
{
	size_t p = path_parent_len(path, len);

	return path + (p == 1 ? 1 : p + 1);
}

/* Whether path is base or below it. */
bool path_is_below(const char *path, size_t len, const char *base, size_t base_len);

/*
 * A decimal domid 0 … 65535, len octets with nothing else. EINVAL otherwise.
 */
int path_parse_domid(const char *str, size_t len, uint16_t *ret_domid);

#endif
