/* SPDX-License-Identifier: MIT */
/*
 * <serial>, <console> and <channel>. The first console of a fully virtualised guest is its first
 * serial line under another name, as libvirt has it: where one of them is given, the other follows.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "hostd/xml_own.h"

#define CHAR_AT(field) offsetof(struct def_chardev, field)

static int open_chardev(struct xml_in *in, const xmlNode *node, struct def_chardev **array,
			size_t *n, void **ret)
{
	void *grown = *array;
	int r = xml_grow(in, node, &grown, n, sizeof(**array), ret);

	*array = grown;
	if (r)
		return r;
	(*array)[*n - 1].port = (unsigned int)*n - 1;
	(*array)[*n - 1].listen = true;
	return 0;
}

static int open_serial(struct xml_in *in, const xmlNode *node, void *parent, void **ret)
{
	struct guest_def *def = parent;

	return open_chardev(in, node, &def->serials, &def->n_serials, ret);
}

static int open_console(struct xml_in *in, const xmlNode *node, void *parent, void **ret)
{
	struct guest_def *def = parent;

	return open_chardev(in, node, &def->consoles, &def->n_consoles, ret);
}

static int open_channel(struct xml_in *in, const xmlNode *node, void *parent, void **ret)
{
	struct guest_def *def = parent;

	return open_chardev(in, node, &def->channels, &def->n_channels, ret);
}

static int close_chardev(struct xml_in *in, const xmlNode *node, void *object)
{
	struct def_chardev *c = object;

	if (!c->type)
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <%s> at line %u: attribute 'type' is missing",
				  (const char *)node->name, xml_line(node));
	c->listen = c->listen && !strcmp(c->type, "unix");
	/* A terminal, as it was when the guest ran. */
	if (!strcmp(c->type, "pty") || !strcmp(c->type, "null")) {
		free(c->source);
		c->source = NULL;
	}
	if (!strcmp(c->type, "file") && !c->source)
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <%s> at line %u: <source> has no 'path'",
				  (const char *)node->name, xml_line(node));
	if (c->target_name && !xml_is_word(c->target_name, 64))
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <%s> at line %u: 'name' of <target> is no name",
				  (const char *)node->name, xml_line(node));
	return 0;
}

/* Where libvirt puts a channel that was given no path: chosen anew whenever the guest starts. */
static bool is_chosen_path(const struct def_chardev *c)
{
	return c->listen && c->source && strstr(c->source, "/libvirt/qemu/channel/");
}

static int close_channel(struct xml_in *in, const xmlNode *node, void *object)
{
	struct def_chardev *c = object;

	if (!c->target_type)
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <channel> at line %u: <target> has no 'type'",
				  xml_line(node));
	if (is_chosen_path(c)) {
		free(c->source);
		c->source = NULL;
	}
	return close_chardev(in, node, object);
}

static int close_source(struct xml_in *in, const xmlNode *node, void *object)
{
	CLEANUP(xml_string) char *mode = xml_attr_copy(node, "mode");
	struct def_chardev *c = object;

	if (!mode)
		return 0;
	if (strcmp(mode, "bind") && strcmp(mode, "connect"))
		return xml_refuse(
			in, XML_ERR_XML_ERROR,
			"value '%.64s' of attribute 'mode' of element <source> at line %u is "
			"not bind or connect",
			mode, xml_line(node));
	c->listen = !strcmp(mode, "bind");
	return 0;
}

static const char *const types[] = { "pty", "file", "unix", "null", NULL };
static const char *const serial_targets[] = { "isa-serial", NULL };
static const char *const console_targets[] = { "serial", "virtio", "xen", NULL };
static const char *const channel_targets[] = { "virtio", "xen", NULL };

static const struct xml_value attrs[] = {
	{ "type", XML_TEXT, .at = CHAR_AT(type), .words = types },
	{ "tty", .kind = XML_PASSED },
	{ 0 },
};
static const struct xml_value source_attrs[] = {
	{ "path", XML_PATH, .at = CHAR_AT(source) },
	{ "append", XML_ON, .at = CHAR_AT(append) },
	{ "mode", .kind = XML_PASSED },
	{ 0 },
};
static const struct xml_value model_attrs[] = {
	{ "name", .kind = XML_ONLY, .words = serial_targets },
	{ 0 },
};
static const struct xml_element target_children[] = {
	{ "model", .attrs = model_attrs, .text = XML_NO_TEXT },
	{ 0 },
};

static const struct xml_value serial_target_attrs[] = {
	{ "type", XML_TEXT, .at = CHAR_AT(target_type), .words = serial_targets },
	{ "port", XML_UINT, .at = CHAR_AT(port), .max = DEF_DEVICES_MAX },
	{ 0 },
};
static const struct xml_value console_target_attrs[] = {
	{ "type", XML_TEXT, .at = CHAR_AT(target_type), .words = console_targets },
	{ "port", XML_UINT, .at = CHAR_AT(port), .max = DEF_DEVICES_MAX },
	{ 0 },
};
static const struct xml_value channel_target_attrs[] = {
	{ "type", XML_TEXT, .at = CHAR_AT(target_type), .words = channel_targets },
	{ "name", XML_TEXT, .at = CHAR_AT(target_name) },
	{ "state", .kind = XML_PASSED },
	{ 0 },
};

#define PARTS(target_attrs)                                                                        \
	{ "source", .attrs = source_attrs, .text = XML_NO_TEXT, .close = close_source },           \
		{ "target", .attrs = (target_attrs), .children = target_children,                  \
		  .text = XML_NO_TEXT },                                                           \
		XML_PLACE(CHAR_AT(kept))

static const struct xml_element serial_children[] = { PARTS(serial_target_attrs), { 0 } };
static const struct xml_element console_children[] = { PARTS(console_target_attrs), { 0 } };
static const struct xml_element channel_children[] = { PARTS(channel_target_attrs), { 0 } };

static const struct xml_element serial = {
	"serial",
	.attrs = attrs,
	.children = serial_children,
	.text = XML_NO_TEXT,
	.open = open_serial,
	.close = close_chardev,
};
static const struct xml_element console = {
	"console",	     .attrs = attrs,	   .children = console_children,
	.text = XML_NO_TEXT, .open = open_console, .close = close_chardev,
};
static const struct xml_element channel = {
	"channel",	     .attrs = attrs,	   .children = channel_children,
	.text = XML_NO_TEXT, .open = open_channel, .close = close_channel,
};

const struct xml_element *xml_serial(void)
{
	return &serial;
}

const struct xml_element *xml_console(void)
{
	return &console;
}

const struct xml_element *xml_channel(void)
{
	return &channel;
}

static int set_or_none(char **field, const char *text)
{
	free(*field);
	*field = NULL;
	return text ? xml_set(field, text) : 0;
}

/* One line's other end, told of another. */
static int copy_end(struct def_chardev *to, const struct def_chardev *from)
{
	int r = set_or_none(&to->type, from->type);

	if (!r)
		r = set_or_none(&to->source, from->source);
	to->append = from->append;
	to->listen = from->listen;
	return r;
}

static int add(struct def_chardev **array, size_t *n, const struct def_chardev *from,
	       const char *target_type)
{
	struct def_chardev *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return FAULT(-ENOMEM);
	*array = c;
	*n = 1;
	r = copy_end(c, from);
	return r ? r : xml_set(&c->target_type, target_type);
}

int xml_finish_chardevs(struct xml_in *in)
{
	struct guest_def *def = in->def;
	bool hvm = def->os == DEF_OS_HVM;
	int r = 0;

	for (size_t i = 0; !r && i < def->n_serials; i++)
		if (!def->serials[i].target_type)
			r = xml_set(&def->serials[i].target_type, "isa-serial");
	for (size_t i = 0; !r && i < def->n_consoles; i++)
		if (!def->consoles[i].target_type)
			r = xml_set(&def->consoles[i].target_type, !hvm	    ? "xen"
								   : i == 0 ? "serial"
									    : "virtio");
	if (r || !hvm)
		return r;
	if (def->n_serials && !def->n_consoles)
		return add(&def->consoles, &def->n_consoles, &def->serials[0], "serial");
	if (!def->n_consoles || strcmp(def->consoles[0].target_type, "serial") != 0)
		return 0;
	if (!def->n_serials)
		return add(&def->serials, &def->n_serials, &def->consoles[0], "isa-serial");
	return copy_end(&def->consoles[0], &def->serials[0]);
}
