/* SPDX-License-Identifier: MIT */
/*
 * Pieces of printed XML. What is printed is read back as the same text: a line end in an attribute
 * is written as a number, since a reader would make a blank of it.
 */
#include <string.h>

#include "hostd/xml_own.h"

void xml_put_escaped(FILE *f, const char *text, bool in_attr)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			(void)fputs("&amp;", f);
			break;
		case '<':
			(void)fputs("&lt;", f);
			break;
		case '>':
			(void)fputs("&gt;", f);
			break;
		case '\'':
			(void)fputs("&apos;", f);
			break;
		case '"':
			(void)fputs("&quot;", f);
			break;
		case '\r':
		case '\n':
		case '\t':
			if (in_attr || *text == '\r')
				(void)fprintf(f, "&#%d;", *text);
			else
				(void)fputc(*text, f);
			break;
		default:
			(void)fputc(*text, f);
		}
	}
}

void xml_put_attr(FILE *f, const char *name, const char *value)
{
	if (!value)
		return;
	(void)fprintf(f, " %s='", name);
	xml_put_escaped(f, value, true);
	(void)fputc('\'', f);
}

void xml_put_leaf(FILE *f, unsigned int indent, const char *name, const char *text)
{
	if (!text)
		return;
	(void)fprintf(f, "%*s<%s>", (int)indent, "", name);
	xml_put_escaped(f, text, false);
	(void)fprintf(f, "</%s>\n", name);
}

void xml_put_kept(FILE *f, unsigned int indent, const char *kept)
{
	while (kept && *kept) {
		size_t len = strcspn(kept, "\n");

		(void)fprintf(f, "%*s%.*s\n", (int)indent, "", (int)len, kept);
		kept += len + (kept[len] == '\n');
	}
}
