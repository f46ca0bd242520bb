/* SPDX-License-Identifier: MIT */
/*
 * A document of domain XML becomes a definition, or is refused as a whole. libxml2 reads it with
 * neither network nor files nor document types, so that nothing outside of the text counts, and
 * entities cannot multiply.
 */
#include "hostd/xml.h"

#include <errno.h>
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/fault.h"
#include "base/own.h"
#include "hostd/xml_own.h"

DEFINE_CLEANUP(xmlParserCtxt *, xmlFreeParserCtxt)
DEFINE_CLEANUP(xmlDoc *, xmlFreeDoc)
DEFINE_CLEANUP(struct guest_def *, def_free)

static void system_random(void *data, void *buf, size_t len)
{
	(void)data;
	while (getrandom(buf, len, 0) != (ssize_t)len)
		continue;
}

/* Seen before any of it is read. */
static void no_doctype(void *data, const xmlChar *name, const xmlChar *id, const xmlChar *uri)
{
	xmlParserCtxt *ctxt = data;

	(void)name;
	(void)id;
	(void)uri;
	ctxt->hasExternalSubset = 1;
	xmlStopParser(ctxt);
}

static int refuse_document(struct xml_in *in, const xmlParserCtxt *ctxt)
{
	const char *why = ctxt->lastError.message;

	if (ctxt->errNo == XML_ERR_NO_MEMORY)
		return FAULT(-ENOMEM);
	return xml_refuse(in, XML_ERR_XML_DETAIL, "line %d: %.*s", ctxt->lastError.line,
			  why ? (int)strcspn(why, "\n") : 0, why ? why : "");
}

static int read_document(struct xml_in *in, const char *text, size_t len, xmlDoc **ret)
{
	const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING |
			    XML_PARSE_NOCDATA | XML_PARSE_BIG_LINES;
	CLEANUP(xmlFreeParserCtxt) xmlParserCtxt *ctxt = xmlNewParserCtxt();
	CLEANUP(xmlFreeDoc) xmlDoc *doc = NULL;

	if (!ctxt)
		return FAULT(-ENOMEM);
	ctxt->sax->internalSubset = no_doctype;
	doc = xmlCtxtReadMemory(ctxt, text, (int)len, NULL, "UTF-8", options);
	if (ctxt->hasExternalSubset)
		return xml_refuse(in, XML_ERR_XML_DETAIL,
				  "a document type declaration is not supported");
	if (!doc)
		return refuse_document(in, ctxt);
	*ret = TAKE(doc);
	return 0;
}

static int read_domain(struct xml_in *in, const xmlDoc *doc)
{
	const xmlNode *root = xmlDocGetRootElement((xmlDoc *)(uintptr_t)doc);
	int r;

	if (!root || root->ns || strcmp((const char *)root->name, "domain") != 0)
		return xml_refuse(in, XML_ERR_XML_ERROR, "the root element is not <domain>");
	if (!xmlHasProp((xmlNode *)(uintptr_t)root, BAD_CAST "type"))
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "attribute 'type' of element <domain> is missing");
	r = xml_read_element(in, xml_domain(), root, in->def);
	if (!r)
		r = xml_finish_domain(in);
	return r ? r : xml_finish_devices(in);
}

int xml_parse(const char *text, size_t len, xml_random_fn *random, void *random_data,
	      struct guest_def **ret, struct xml_error *err)
{
	CLEANUP(def_free) struct guest_def *def = def_new();
	CLEANUP(xmlFreeDoc) xmlDoc *doc = NULL;
	struct xml_in in = { .def = def,
			     .err = err,
			     .random = random ? random : system_random,
			     .random_data = random_data };
	int r;

	if (!def)
		return -ENOMEM;
	if (len > XML_SIZE_MAX)
		return xml_refuse(&in, XML_ERR_XML_ERROR, "the document is larger than %u octets",
				  XML_SIZE_MAX);
	r = xml_check_text(&in, text, len);
	if (!r)
		r = read_document(&in, text, len, &doc);
	if (!r)
		r = read_domain(&in, doc);
	if (!r)
		*ret = TAKE(def);
	return r;
}
