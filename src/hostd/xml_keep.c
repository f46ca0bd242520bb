/* SPDX-License-Identifier: MIT */
/*
 * Elements that are kept as text, to be printed again where they stood: one form for each, so that
 * what is printed and read again is the same text. Blanks between elements are the printer's;
 * text's own line ends are numbers, so that lines can be indented. Comments are dropped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "hostd/xml_own.h"

static void put_name(FILE *f, const xmlNs *ns, const xmlChar *name)
{
	if (ns && ns->prefix)
		(void)fprintf(f, "%s:", (const char *)ns->prefix);
	(void)fputs((const char *)name, f);
}

static void put_ns(FILE *f, const xmlNs *ns)
{
	(void)fprintf(f, " xmlns%s%s=\"", ns->prefix ? ":" : "",
		      ns->prefix ? (const char *)ns->prefix : "");
	xml_put_escaped(f, ns->href ? (const char *)ns->href : "", true);
	(void)fputc('"', f);
}

static bool declares(const xmlNode *from, const xmlNode *to, const xmlNs *ns)
{
	for (const xmlNode *n = from; n != to; n = n->parent)
		for (const xmlNs *d = n->nsDef; d; d = d->next)
			if (xmlStrEqual(d->prefix, ns->prefix))
				return true;
	return false;
}

/* Prefixes that were declared above what is kept are declared in it from now on. */
static void put_outer_ns(FILE *f, const xmlNode *node)
{
	for (const xmlNode *n = node->parent; n && n->type == XML_ELEMENT_NODE; n = n->parent)
		for (const xmlNs *ns = n->nsDef; ns; ns = ns->next)
			if (ns->prefix && !declares(node, n, ns))
				put_ns(f, ns);
}

/* Text in an element, line ends as numbers. */
static void put_text(FILE *f, const char *text)
{
	for (; *text; text++) {
		char one[2] = { *text, '\0' };

		if (*text == '\n')
			(void)fputs("&#10;", f);
		else
			xml_put_escaped(f, one, false);
	}
}

static int put_attrs(FILE *f, const xmlNode *node)
{
	for (const xmlAttr *a = node->properties; a; a = a->next) {
		char *value = (char *)xmlNodeListGetString(node->doc, a->children, 1);

		(void)fputc(' ', f);
		put_name(f, a->ns, a->name);
		(void)fputs("='", f);
		xml_put_escaped(f, value ? value : "", true);
		(void)fputc('\'', f);
		xmlFree(value);
	}
	return 0;
}

/* Text beside elements: then its blanks are a part of it. */
static bool is_mixed(const xmlNode *node)
{
	bool text = false, elements = false;

	for (const xmlNode *n = node->children; n; n = n->next) {
		elements = elements || n->type == XML_ELEMENT_NODE;
		text = text || (n->type == XML_TEXT_NODE && !xmlIsBlankNode(n));
	}
	return text || !elements;
}

/* An <alias> of a device was chosen when the guest started. */
static bool is_dropped(const struct xml_in *in, const xmlNode *node)
{
	return !in->keeps_all && node->type == XML_ELEMENT_NODE && !node->ns &&
	       !strcmp((const char *)node->name, "alias");
}

static int put_node(struct xml_in *in, FILE *f, const xmlNode *node, unsigned int depth,
		    bool indent);

static int put_children(struct xml_in *in, FILE *f, const xmlNode *node, unsigned int depth,
			bool indent)
{
	bool mixed = !indent || is_mixed(node);

	if (!mixed)
		(void)fputc('\n', f);
	for (const xmlNode *n = node->children; n; n = n->next) {
		int r = 0;

		if (is_dropped(in, n))
			continue;
		if (n->type == XML_ELEMENT_NODE)
			r = put_node(in, f, n, depth + 1, !mixed);
		else if (n->type == XML_TEXT_NODE && mixed && n->content)
			put_text(f, (const char *)n->content);
		else if (n->type == XML_ENTITY_REF_NODE)
			r = xml_refuse(in, XML_ERR_XML_ERROR, "unknown entity at line %u",
				       xml_line(node));
		if (r)
			return r;
	}
	if (!mixed)
		(void)fprintf(f, "%*s", (int)(2 * depth), "");
	return 0;
}

/* Nothing but blanks with a line end among them are somebody's layout. */
static bool has_content(const struct xml_in *in, const xmlNode *node)
{
	bool blanks = false, layout = false;

	for (const xmlNode *n = node->children; n; n = n->next) {
		const char *text = n->type == XML_TEXT_NODE ? (const char *)n->content : NULL;

		if (is_dropped(in, n))
			continue;
		if (n->type == XML_ELEMENT_NODE || n->type == XML_ENTITY_REF_NODE ||
		    (text && !xmlIsBlankNode(n)))
			return true;
		blanks = blanks || (text && *text);
		layout = layout || (text && strchr(text, '\n'));
	}
	return blanks && !layout;
}

static int put_node(struct xml_in *in, FILE *f, const xmlNode *node, unsigned int depth,
		    bool indent)
{
	int r;

	if (depth >= XML_DEPTH_MAX)
		return xml_refuse(in, XML_ERR_XML_ERROR, "elements lie too deep at line %u",
				  xml_line(node));
	(void)fprintf(f, "%*s<", indent ? (int)(2 * depth) : 0, "");
	put_name(f, node->ns, node->name);
	if (depth == 0 && xmlStrEqual(node->name, BAD_CAST "metadata"))
		put_outer_ns(f, node);
	for (const xmlNs *ns = node->nsDef; ns; ns = ns->next)
		put_ns(f, ns);
	r = put_attrs(f, node);
	if (r)
		return r;
	if (!has_content(in, node)) {
		(void)fputs("/>", f);
	} else {
		(void)fputc('>', f);
		r = put_children(in, f, node, depth, indent);
		(void)fputs("</", f);
		put_name(f, node->ns, node->name);
		(void)fputc('>', f);
	}
	if (indent)
		(void)fputc('\n', f);
	return r;
}

/* Takes more, which is freed. */
static int append(char **field, char *more, size_t len)
{
	size_t had = *field ? strlen(*field) : 0;
	char *both = realloc(*field, had + len + 1);

	if (both) {
		memcpy(both + had, more, len);
		both[had + len] = '\0';
		*field = both;
	}
	free(more);
	return both ? 0 : FAULT(-ENOMEM);
}

int xml_keep(struct xml_in *in, const xmlNode *node, char **field)
{
	char *kept = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&kept, &len);
	int r;

	if (!f)
		return FAULT(-ENOMEM);
	in->keeps_all = !strcmp((const char *)node->name, "metadata");
	r = put_node(in, f, node, 0, true);
	if (fclose(f) && !r)
		r = FAULT(-ENOMEM);
	if (!r)
		return append(field, kept, len);
	free(kept);
	return r;
}

int xml_keep_attr(char **field, const char *name, const char *value)
{
	char *kept = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&kept, &len);

	if (!f)
		return FAULT(-ENOMEM);
	xml_put_attr(f, name, value);
	if (!fclose(f))
		return append(field, kept, len);
	free(kept);
	return FAULT(-ENOMEM);
}
