/* SPDX-License-Identifier: MIT */
/*
 * Values and permissions as text.
 */
#ifndef DROVER_CLI_TEXT_H
#define DROVER_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <xenstore.h>

/*
 * data, len octets, as printable ASCII, to be freed by the caller: \\ \n \r \t, and \xHH for
 * what else does not print. quoted: between double quotes, with \" for a quote.
 */
char *cli_text_escape(const void *data, size_t len, bool quoted);

/* RFC 4648 base64 with padding, to be freed by the caller. */
char *cli_text_base64(const void *data, size_t len);

/* Whether data, len octets, is well-formed UTF-8 (RFC 3629: no surrogates, shortest forms). */
bool cli_text_is_utf8(const void *data, size_t len);

/* "n0,r5,b7" for a list of n entries, to be freed by the caller. */
char *cli_text_perms(const struct xs_permissions *perms, size_t n);

/* "n", "r", "w" or "b" for the bits of an entry, and in words: "reads and writes". */
char cli_text_perm_letter(unsigned int bits);
const char *cli_text_perm_words(unsigned int bits);

/* An entry "b12": letter and domid. False: it is none. */
bool cli_text_perm_parse(const char *word, struct xs_permissions *ret);

#endif
