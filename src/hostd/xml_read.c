/* SPDX-License-Identifier: MIT */
/*
 * Goes through an element with the table that describes it: attributes, then what is in it, each
 * to its field. Whatever the table does not have is refused, by name and line.
 */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "hostd/xml_own.h"

#define SHOWN_MAX 64 /* octets of a name or value that an error shows */

/* Octets of the character of UTF-8 at s; 0: none, or cut short. */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = *s < 0x80 ? 1 : *s >= 0xf0 ? 4 : *s >= 0xe0 ? 3 : *s >= 0xc2 ? 2 : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/* One line, of whole characters: values are cut where they are long. */
static void text_clean(char *text)
{
	char *to = text;

	for (const char *s = text; *s;) {
		size_t n = utf8_len((const unsigned char *)s);

		if (!n) {
			s++;
			continue;
		}
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*to++ = '?';
		else
			for (size_t i = 0; i < n; i++)
				*to++ = s[i];
		s += n;
	}
	*to = '\0';
}

int xml_refuse(struct xml_in *in, int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(in->err->text, sizeof(in->err->text), fmt, args);
	va_end(args);
	text_clean(in->err->text);
	in->err->code = code;
	return EINVAL;
}

unsigned int xml_line(const xmlNode *node)
{
	long line = xmlGetLineNo(node);

	return line > 0 ? (unsigned int)line : 0;
}

char *xml_attr_copy(const xmlNode *node, const char *name)
{
	return (char *)xmlGetNoNsProp(node, (const xmlChar *)name);
}

int xml_set(char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return FAULT(-ENOMEM);
	free(*field);
	*field = copy;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool xml_number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	while (is_blank(*text))
		text++;
	if (*text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		unsigned int digit = (unsigned int)(*text - '0');

		if (n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	while (is_blank(*text))
		text++;
	if (*text || n > max)
		return false;
	*ret = n;
	return true;
}

/* Where a value stands, for an error: "attribute 'x' of element <y>". */
struct place {
	char text[2 * SHOWN_MAX + 64];
};

static struct place place_of(const struct xml_value *v, const xmlNode *node)
{
	struct place p;

	if (v->name)
		(void)snprintf(p.text, sizeof(p.text),
			       "attribute '%s' of element <%.*s> at line %u", v->name, SHOWN_MAX,
			       (const char *)node->name, xml_line(node));
	else
		(void)snprintf(p.text, sizeof(p.text), "element <%.*s> at line %u", SHOWN_MAX,
			       (const char *)node->name, xml_line(node));
	return p;
}

static int refuse_value(struct xml_in *in, const struct xml_value *v, const xmlNode *node,
			const char *text, const char *expected)
{
	return xml_refuse(in, XML_ERR_XML_ERROR, "value '%.*s' of %s is not %s", SHOWN_MAX, text,
			  place_of(v, node).text, expected);
}

static int word_index(const char *const *words, const char *text)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], text))
			return i;
	return -1;
}

static int refuse_word(struct xml_in *in, const struct xml_value *v, const xmlNode *node,
		       const char *text)
{
	char list[256] = "";
	size_t len = 0;

	for (size_t i = 0; v->words[i] && len < sizeof(list); i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
					v->words[i]);
	return xml_refuse(in, XML_ERR_CONFIG_UNSUPPORTED,
			  "value '%.*s' of %s is not supported (supported: %s)", SHOWN_MAX, text,
			  place_of(v, node).text, list);
}

static int put_number(struct xml_in *in, const struct xml_value *v, const xmlNode *node,
		      const char *text, void *field)
{
	uint64_t max = v->max ? v->max : v->kind == XML_INT ? INT_MAX : UINT_MAX, n;
	bool minus = v->kind == XML_INT && !strcmp(text, "-1");

	if (minus) {
		*(int *)field = -1;
		return 0;
	}
	if (!xml_number(text, max, &n))
		return refuse_value(in, v, node, text, "a number in range");
	if (v->kind == XML_INT)
		*(int *)field = (int)n;
	else
		*(unsigned int *)field = (unsigned int)n;
	return 0;
}

static int put_choice(struct xml_in *in, const struct xml_value *v, const xmlNode *node,
		      const char *text, void *field)
{
	const char *yes = v->kind == XML_YES ? "yes" : "on";
	const char *no = v->kind == XML_YES ? "no" : "off";

	if (strcmp(text, yes) && strcmp(text, no))
		return refuse_value(in, v, node, text,
				    v->kind == XML_YES ? "yes or no" : "on or off");
	*(bool *)field = !strcmp(text, yes);
	return 0;
}

static int put_text(struct xml_in *in, const struct xml_value *v, const xmlNode *node,
		    const char *text, char **field)
{
	if (v->words && word_index(v->words, text) < 0)
		return refuse_word(in, v, node, text);
	if (!*text)
		return 0; /* as if it were not there */
	if (v->kind == XML_PATH && *text != '/')
		return refuse_value(in, v, node, text, "an absolute path");
	if (v->kind == XML_PATH && strpbrk(text, "\n\r"))
		return refuse_value(in, v, node, text, "a path on one line");
	return xml_set(field, text);
}

static int put_value(struct xml_in *in, const struct xml_value *v, const xmlNode *node,
		     const char *text, void *object)
{
	void *field = (char *)object + v->at;
	int i;

	switch (v->kind) {
	case XML_TEXT:
	case XML_PATH:
		return put_text(in, v, node, text, field);
	case XML_UINT:
	case XML_INT:
		return put_number(in, v, node, text, field);
	case XML_YES:
	case XML_ON:
		return put_choice(in, v, node, text, field);
	case XML_WORD:
	case XML_ONLY:
		i = word_index(v->words, text);
		if (i < 0)
			return refuse_word(in, v, node, text);
		if (v->kind == XML_WORD)
			*(unsigned int *)field = (unsigned int)i;
		return 0;
	case XML_KEPT:
		if (v->words && word_index(v->words, text) < 0)
			return refuse_word(in, v, node, text);
		return xml_keep_attr(field, v->name, text);
	case XML_PRESENT:
	case XML_PASSED:
	case XML_NOTHING:
		break;
	}
	return 0;
}

static int read_attr(struct xml_in *in, const struct xml_element *desc, const xmlNode *node,
		     const xmlAttr *attr, void *object)
{
	CLEANUP(xml_string) char *text = NULL;
	const struct xml_value *v = desc->attrs;

	while (v && v->name && (attr->ns || strcmp(v->name, (const char *)attr->name)))
		v++;
	if (!v || !v->name)
		return xml_refuse(in, XML_ERR_CONFIG_UNSUPPORTED,
				  "unsupported attribute '%.*s' of element <%.*s> at line %u",
				  SHOWN_MAX, (const char *)attr->name, SHOWN_MAX,
				  (const char *)node->name, xml_line(node));
	text = xml_attr_copy(node, v->name);
	if (!text)
		return FAULT(-ENOMEM);
	return put_value(in, v, node, text, object);
}

static int read_attrs(struct xml_in *in, const struct xml_element *desc, const xmlNode *node,
		      void *object)
{
	if (desc->any)
		return 0;
	for (const xmlAttr *a = node->properties; a; a = a->next) {
		int r = read_attr(in, desc, node, a, object);

		if (r)
			return r;
	}
	return 0;
}

static bool came_before(const xmlNode *node)
{
	for (const xmlNode *n = node->prev; n; n = n->prev)
		if (n->type == XML_ELEMENT_NODE && !n->ns &&
		    !strcmp((const char *)n->name, (const char *)node->name))
			return true;
	return false;
}

static int read_child(struct xml_in *in, const struct xml_element *desc, const xmlNode *node,
		      void *object)
{
	const char *prefix = node->ns ? (const char *)node->ns->prefix : NULL;
	const struct xml_element *child = desc->children;

	while (child && child->name && (node->ns || strcmp(child->name, (const char *)node->name)))
		child++;
	if (!child || !child->name)
		return xml_refuse(in, XML_ERR_CONFIG_UNSUPPORTED,
				  "unsupported element <%.*s%s%.*s> in <%s> at line %u", SHOWN_MAX,
				  prefix ? prefix : "", prefix ? ":" : "", SHOWN_MAX,
				  (const char *)node->name, desc->name, xml_line(node));
	if (!child->many && came_before(node))
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <%s> at line %u: there may be only one in <%s>",
				  child->name, xml_line(node), desc->name);
	if (child->passed)
		return 0;
	return xml_read_element(in, child->all_of ? child->all_of() : child, node, object);
}

static bool has_text(const xmlNode *node)
{
	for (const char *s = (const char *)node->content; s && *s; s++)
		if (!is_blank(*s))
			return true;
	return false;
}

static int read_children(struct xml_in *in, const struct xml_element *desc, const xmlNode *node,
			 void *object)
{
	unsigned int n_elements = 0;
	bool takes_text = desc->text.kind != XML_NOTHING && desc->text.kind != XML_PRESENT;

	for (const xmlNode *n = node->children; n; n = n->next) {
		int r = 0;

		if (n->type == XML_ELEMENT_NODE && ++n_elements > XML_CHILDREN_MAX)
			r = xml_refuse(in, XML_ERR_CONFIG_UNSUPPORTED,
				       "more than %u elements in <%s> at line %u", XML_CHILDREN_MAX,
				       desc->name, xml_line(n));
		else if (n->type == XML_ELEMENT_NODE)
			r = read_child(in, desc, n, object);
		else if ((n->type == XML_TEXT_NODE || n->type == XML_CDATA_SECTION_NODE) &&
			 !takes_text && has_text(n))
			r = xml_refuse(in, XML_ERR_XML_ERROR, "unexpected text in <%s> at line %u",
				       desc->name, xml_line(node));
		else if (n->type == XML_ENTITY_REF_NODE)
			r = xml_refuse(in, XML_ERR_XML_ERROR, "unknown entity in <%s> at line %u",
				       desc->name, xml_line(node));
		if (r)
			return r;
	}
	return 0;
}

static int read_text(struct xml_in *in, const struct xml_element *desc, const xmlNode *node,
		     void *object)
{
	CLEANUP(xml_string) char *text = NULL;

	if (desc->text.kind == XML_PRESENT) {
		*(bool *)((char *)object + desc->text.at) = true;
		return 0;
	}
	if (desc->text.kind == XML_NOTHING)
		return 0;
	text = (char *)xmlNodeGetContent(node);
	if (!text)
		return FAULT(-ENOMEM);
	return put_value(in, &desc->text, node, text, object);
}

int xml_read_element(struct xml_in *in, const struct xml_element *desc, const xmlNode *node,
		     void *parent)
{
	void *object = parent;
	int r = desc->open ? desc->open(in, node, parent, &object) : 0;

	if (!r)
		r = read_attrs(in, desc, node, object);
	if (!r && !desc->any)
		r = read_children(in, desc, node, object);
	if (!r && !desc->any)
		r = read_text(in, desc, node, object);
	if (!r && desc->close)
		r = desc->close(in, node, object);
	if (!r && desc->kept)
		r = xml_keep(in, node, (char **)(void *)((char *)parent + desc->kept_at));
	return r;
}
