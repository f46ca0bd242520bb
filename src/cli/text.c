/* SPDX-License-Identifier: MIT */
/*
 * Text forms. Invariant: what is escaped or encoded can be turned back without loss.
 */
#include "cli/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

static char *escape_octet(char *to, unsigned char c, bool quoted)
{
	static const char plain[] = "\n\r\t\\", letter[] = "nrt\\";
	const char *found = c ? strchr(plain, c) : NULL;

	if (found || (quoted && c == '"')) {
		*to++ = '\\';
		*to++ = found ? letter[found - plain] : '"';
	} else if (c >= ' ' && c <= '~') {
		*to++ = (char)c;
	} else {
		to += sprintf(to, "\\x%02x", c);
	}
	return to;
}

char *cli_text_escape(const void *data, size_t len, bool quoted)
{
	const unsigned char *from = data;
	char *text = cli_must(malloc(4 * len + 3)), *to = text;

	if (quoted)
		*to++ = '"';
	for (size_t i = 0; i < len; i++)
		to = escape_octet(to, from[i], quoted);
	if (quoted)
		*to++ = '"';
	*to = '\0';
	return text;
}

char *cli_text_base64(const void *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *from = data;
	char *text = cli_must(malloc((len + 2) / 3 * 4 + 1)), *to = text;

	for (size_t i = 0; i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)from[i] << 16;

		if (n > 1)
			v |= (uint32_t)from[i + 1] << 8;
		if (n > 2)
			v |= from[i + 2];
		*to++ = digits[v >> 18];
		*to++ = digits[v >> 12 & 63];
		*to++ = n > 1 ? digits[v >> 6 & 63] : '=';
		*to++ = n > 2 ? digits[v & 63] : '=';
	}
	*to = '\0';
	return text;
}

/* Octets of the character at p, of which there are `room`; 0: not well-formed. */
static size_t utf8_char(const unsigned char *p, size_t room)
{
	unsigned char low = 0x80, high = 0xbf; /* of the second octet */
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (n > room)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return n;
}

bool cli_text_is_utf8(const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_char(p + i, len - i);
		if (!n)
			return false;
	}
	return true;
}

char cli_text_perm_letter(unsigned int bits)
{
	return "nrwb"[bits & (XS_PERM_READ | XS_PERM_WRITE)];
}

const char *cli_text_perm_words(unsigned int bits)
{
	static const char *const words[] = { "neither reads nor writes", "reads", "writes",
					     "reads and writes" };

	return words[bits & (XS_PERM_READ | XS_PERM_WRITE)];
}

char *cli_text_perms(const struct xs_permissions *perms, size_t n)
{
	char *text = cli_must(malloc(n * sizeof(",n4294967295") + 1)), *to = text;

	*to = '\0';
	for (size_t i = 0; i < n; i++)
		to += sprintf(to, "%s%c%u", i ? "," : "", cli_text_perm_letter(perms[i].perms),
			      perms[i].id);
	return text;
}

bool cli_text_perm_parse(const char *word, struct xs_permissions *ret)
{
	static const char letters[] = "nrwb";
	const char *found = *word ? strchr(letters, *word) : NULL;
	unsigned long domid;
	char *end;

	if (!found || word[1] < '0' || word[1] > '9')
		return false;
	domid = strtoul(word + 1, &end, 10);
	if (*end || domid > UINT16_MAX)
		return false;
	*ret = (struct xs_permissions){ .id = (unsigned int)domid,
					.perms = (unsigned int)(found - letters) };
	return true;
}
