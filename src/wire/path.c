/* SPDX-License-Identifier: MIT */
/*
 * Path syntax. Invariant: a struct path that path_make filled is absolute, well-formed,
 * NUL-terminated and no longer than XENSTORE_ABS_PATH_MAX - 1 octets.
 */
#include "wire/path.h"

#include "wire/wire.h"

static const bool is_path_char[256] = {
	['-'] = true, ['/'] = true, ['_'] = true, ['@'] = true, ['0'] = true, ['1'] = true,
	['2'] = true, ['3'] = true, ['4'] = true, ['5'] = true, ['6'] = true, ['7'] = true,
	['8'] = true, ['9'] = true, ['a'] = true, ['b'] = true, ['c'] = true, ['d'] = true,
	['e'] = true, ['f'] = true, ['g'] = true, ['h'] = true, ['i'] = true, ['j'] = true,
	['k'] = true, ['l'] = true, ['m'] = true, ['n'] = true, ['o'] = true, ['p'] = true,
	['q'] = true, ['r'] = true, ['s'] = true, ['t'] = true, ['u'] = true, ['v'] = true,
	['w'] = true, ['x'] = true, ['y'] = true, ['z'] = true, ['A'] = true, ['B'] = true,
	['C'] = true, ['D'] = true, ['E'] = true, ['F'] = true, ['G'] = true, ['H'] = true,
	['I'] = true, ['J'] = true, ['K'] = true, ['L'] = true, ['M'] = true, ['N'] = true,
	['O'] = true, ['P'] = true, ['Q'] = true, ['R'] = true, ['S'] = true, ['T'] = true,
	['U'] = true, ['V'] = true, ['W'] = true, ['X'] = true, ['Y'] = true, ['Z'] = true,
};

bool path_is_valid(const char *name, size_t len)
{
	bool slash = false;

	if (!len)
		return false;
	if (len == 1 && name[0] == '/')
		return true;
	for (size_t i = 0; i < len; i++) {
		if (!is_path_char[(unsigned char)name[i]])
			return false;
		if (name[i] == '/' && slash)
			return false;
		slash = name[i] == '/';
	}
	return !slash;
}

int path_make(struct path *ret, const char *prefix, const char *name, size_t len)
{
	size_t prefix_len;

	if (!len)
		return EINVAL;
	if (name[0] == '/') {
		if (len >= XENSTORE_ABS_PATH_MAX || !path_is_valid(name, len))
			return EINVAL;
		memcpy(ret->str, name, len);
		ret->str[len] = '\0';
		ret->len = len;
		return 0;
	}
	if (!prefix || len > XENSTORE_REL_PATH_MAX || !path_is_valid(name, len))
		return EINVAL;
	prefix_len = strlen(prefix);
	if (prefix_len + 1 + len >= XENSTORE_ABS_PATH_MAX)
		return EINVAL;
	memcpy(ret->str, prefix, prefix_len);
	ret->str[prefix_len] = '/';
	memcpy(ret->str + prefix_len + 1, name, len);
	ret->len = prefix_len + 1 + len;
	ret->str[ret->len] = '\0';
	return 0;
}

size_t path_parent_len(const char *path, size_t len)
{
	if (len <= 1)
		return 0;
	while (path[len - 1] != '/')
		len--;
	return len == 1 ? 1 : len - 1;
}

bool path_is_below(const char *path, size_t len, const char *base, size_t base_len)
{
	if (base_len == 1)
		return true;
	return len >= base_len && !memcmp(path, base, base_len) &&
	       (len == base_len || path[base_len] == '/');
}

int path_parse_domid(const char *str, size_t len, uint16_t *ret_domid)
{
	uint32_t v;

	if (wire_parse_number(str, len, 5, &v) || v > UINT16_MAX)
		return EINVAL;
	*ret_domid = (uint16_t)v;
	return 0;
}
