/* SPDX-License-Identifier: MIT */
/*
 * <graphics>: a port that was chosen when a guest started is dropped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "hostd/xml_own.h"

#define GRAPHICS_AT(field) offsetof(struct def_graphics, field)

static int open_graphics(struct xml_in *in, const xmlNode *node, void *parent, void **ret)
{
	struct guest_def *def = parent;
	void *array = def->graphics;
	int r = xml_grow(in, node, &array, &def->n_graphics, sizeof(*def->graphics), ret);

	def->graphics = array;
	if (!r)
		def->graphics[def->n_graphics - 1].port = -1;
	return r;
}

static int close_graphics(struct xml_in *in, const xmlNode *node, void *object)
{
	struct def_graphics *g = object;

	if (!g->type)
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <graphics> at line %u: attribute 'type' is missing",
				  xml_line(node));
	if (g->listen && !xml_is_word(g->listen, 64) && !strchr(g->listen, ':'))
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <graphics> at line %u: 'listen' is no address",
				  xml_line(node));
	/* A port that was chosen is chosen anew at the next start. */
	if (g->autoport || g->port < 0)
		g->port = -1;
	g->autoport = g->port < 0;
	return 0;
}

static const char *const graphics_types[] = { "vnc", "spice", NULL };
static const char *const word_address[] = { "address", NULL };

static const struct xml_value graphics_attrs[] = {
	{ "type", XML_TEXT, .at = GRAPHICS_AT(type), .words = graphics_types },
	{ "port", XML_INT, .at = GRAPHICS_AT(port), .max = 65535 },
	{ "autoport", XML_YES, .at = GRAPHICS_AT(autoport) },
	{ "listen", XML_TEXT, .at = GRAPHICS_AT(listen) },
	{ "keymap", XML_TEXT, .at = GRAPHICS_AT(keymap) },
	{ 0 },
};
static const struct xml_value listen_attrs[] = {
	{ "type", .kind = XML_ONLY, .words = word_address },
	{ "address", XML_TEXT, .at = GRAPHICS_AT(listen) },
	{ 0 },
};
static const struct xml_element graphics_children[] = {
	{ "listen", .attrs = listen_attrs, .text = XML_NO_TEXT },
	{ .name = "image",
	  .text = XML_NO_TEXT,
	  .kept = true,
	  .any = true,
	  .kept_at = GRAPHICS_AT(kept) },
	{ 0 },
};

static const struct xml_element graphics = {
	"graphics",	     .attrs = graphics_attrs, .children = graphics_children,
	.text = XML_NO_TEXT, .open = open_graphics,   .close = close_graphics,
};

const struct xml_element *xml_graphics(void)
{
	return &graphics;
}
