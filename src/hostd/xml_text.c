/* SPDX-License-Identifier: MIT */
/*
 * A look at a document before the parser has it: the parser compares all attributes of an element
 * with each other, so that there must not be many.
 */
#include <string.h>

#include "hostd/xml_own.h"

/* What a '<' begins that is no element, and how it ends. */
static const struct {
	const char *start, *end;
} passages[] = {
	{ "<!--", "-->" },
	{ "<![CDATA[", "]]>" },
	{ "<?", "?>" },
};

/* Behind the passage that begins here; NULL: none does, or it has no end. */
static const char *passage_end(const char *s, size_t left)
{
	for (size_t i = 0; i < sizeof(passages) / sizeof(passages[0]); i++) {
		size_t start = strlen(passages[i].start), end = strlen(passages[i].end);
		const char *e;

		if (left < start || memcmp(s, passages[i].start, start) != 0)
			continue;
		e = memmem(s + start, left - start, passages[i].end, end);
		return e ? e + end : NULL;
	}
	return NULL;
}

int xml_check_text(struct xml_in *in, const char *text, size_t len)
{
	const char *end = text + len;
	unsigned int n_attrs = 0;
	bool in_tag = false;
	char quote = '\0';

	for (const char *s = text; s < end; s++) {
		const char *behind =
			!in_tag && *s == '<' ? passage_end(s, (size_t)(end - s)) : NULL;

		if (behind) {
			s = behind - 1;
		} else if (quote) {
			quote = *s == quote ? '\0' : quote;
		} else if (!in_tag) {
			in_tag = *s == '<';
			n_attrs = 0;
		} else if (*s == '>') {
			in_tag = false;
		} else if (*s == '\'' || *s == '"') {
			quote = *s;
		} else if (*s == '=' && ++n_attrs > XML_ATTRS_MAX) {
			return xml_refuse(in, XML_ERR_XML_ERROR,
					  "an element has more than %u attributes", XML_ATTRS_MAX);
		}
	}
	return 0;
}
