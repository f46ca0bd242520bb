/* SPDX-License-Identifier: MIT */
/*
 * The line that tells of a failure. What comes from a store or a file may be in it, so what is
 * not printable is shown as \xNN: the line stays one line, on any terminal.
 */
#include "config/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void put_printable(struct conf_err *err, const char *text)
{
	size_t at = 0;

	for (; *text && at + 5 < sizeof(err->text); text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c != 0x7f)
			err->text[at++] = *text;
		else
			at += (size_t)snprintf(err->text + at, sizeof(err->text) - at, "\\x%02x",
					       c);
	}
	err->text[at] = '\0';
}

int(conf_fail)(struct conf_err *err, int code, const char *fmt, ...)
{
	char text[CONF_ERR_MAX];
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put_printable(err, text);
	return code;
}

int(conf_fail_in)(struct conf_err *err, int code, const char *fmt, ...)
{
	char where[CONF_ERR_MAX], was[CONF_ERR_MAX];
	va_list ap;

	if (!err)
		return code;
	va_start(ap, fmt);
	vsnprintf(where, sizeof(where), fmt, ap);
	va_end(ap);
	memcpy(was, err->text, sizeof(was));
	return conf_fail(err, code, "%.400s: %.600s", where, was);
}

int(conf_no_memory)(struct conf_err *err)
{
	return conf_fail(err, -ENOMEM, "out of memory");
}
