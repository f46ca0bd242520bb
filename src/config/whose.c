/* SPDX-License-Identifier: MIT */
/*
 * Paths of the store by the domain whose configuration they are part of. In doubt it is anybody's.
 */
#include "config/whose.h"

#include <stdbool.h>
#include <string.h>

#include "wire/path.h"

/* A component as a domid. */
static bool take_domid(const char *at, uint32_t *ret)
{
	uint16_t domid;

	if (path_parse_domid(at, strcspn(at, "/"), &domid))
		return false;
	*ret = domid;
	return true;
}

/* What lies behind the next slash; "" at the end. */
static const char *next(const char *at)
{
	at += strcspn(at, "/");
	return *at ? at + 1 : at;
}

static bool begins(const char *at, const char *word)
{
	size_t n = strlen(word);

	return !strncmp(at, word, n) && (at[n] == '/' || !at[n]);
}

enum whose whose_node(const char *path, uint32_t *ret_domid)
{
	const char *at;

	if (!strncmp(path, "/libxl/", 7))
		return take_domid(path + 7, ret_domid) ? WHOSE_ONE : WHOSE_NOBODY;
	if (strncmp(path, "/local/domain/", 14) != 0 || !take_domid(path + 14, ret_domid))
		return WHOSE_ANY;
	at = next(path + 14);
	if (!*at)
		return WHOSE_ANY; /* a domain came or went, maybe with backends of others */
	if (begins(at, "backend")) {
		/* backend/KIND/N: another domain's */
		at = next(next(at));
		if (!*at)
			return WHOSE_ANY;
		return take_domid(at, ret_domid) ? WHOSE_ONE : WHOSE_NOBODY;
	}
	if (begins(at, "vm") || begins(at, "name") || begins(at, "memory") || begins(at, "cpu"))
		return WHOSE_ONE;
	return WHOSE_NOBODY;
}
