/* SPDX-License-Identifier: MIT */
/*
 * <interface>: what is in it, and what libvirt fills in. Names that the host chose for a guest
 * that runs (of a tap device) are dropped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "hostd/xml_own.h"

#define NIC_AT(field) offsetof(struct def_nic, field)

static int open_nic(struct xml_in *in, const xmlNode *node, void *parent, void **ret)
{
	struct guest_def *def = parent;
	void *array = def->nics;
	int r = xml_grow(in, node, &array, &def->n_nics, sizeof(*def->nics), ret);

	def->nics = array;
	in->has_mac = false;
	return r;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Six octets in hexadecimal digits with colons. */
static bool mac_parse(const char *s, uint8_t ret[6])
{
	for (int i = 0; i < 6; i++) {
		int high = hex(s[0]), low = high < 0 ? -1 : hex(s[1]);

		if (low < 0 || s[2] != (i < 5 ? ':' : '\0'))
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
		s += 3;
	}
	return true;
}

static int close_mac(struct xml_in *in, const xmlNode *node, void *object)
{
	CLEANUP(xml_string) char *text = xml_attr_copy(node, "address");
	struct def_nic *nic = object;
	uint8_t mac[6];

	if (!text || !mac_parse(text, mac) || mac[0] & 1)
		return xml_refuse(
			in, XML_ERR_XML_ERROR,
			"attribute 'address' of element <mac> at line %u is not the address "
			"of one interface",
			xml_line(node));
	memcpy(nic->mac, mac, sizeof(mac));
	in->has_mac = true;
	return 0;
}

static int close_nic_source(struct xml_in *in, const xmlNode *node, void *object)
{
	CLEANUP(xml_string) char *type = xml_attr_copy(node->parent, "type");
	CLEANUP(xml_string) char *bridge = xml_attr_copy(node, "bridge");
	CLEANUP(xml_string) char *network = xml_attr_copy(node, "network");
	bool net = type && !strcmp(type, "network");
	const char *name = net ? network : bridge;
	struct def_nic *nic = object;

	/* libvirt tells the bridge of a network of a guest that runs. */
	if (!name || !xml_is_word(name, 64) || (!net && network) ||
	    (!net && type && strcmp(type, "bridge")))
		return xml_refuse(
			in, XML_ERR_XML_ERROR,
			"element <source> at line %u: an interface of type 'bridge' has a "
			"name in 'bridge', one of type 'network' in 'network'",
			xml_line(node));
	return xml_set(&nic->source, name);
}

/* What was chosen when the guest was started is not what the next start is to have. */
static bool is_chosen_name(const char *name)
{
	return !strncmp(name, "vnet", 4) || !strncmp(name, "vif", 3);
}

static int close_nic(struct xml_in *in, const xmlNode *node, void *object)
{
	static const uint8_t prefix[][3] = { { 0x52, 0x54, 0x00 }, { 0x00, 0x16, 0x3e } };
	struct def_nic *nic = object;

	if (!nic->type)
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <interface> at line %u: attribute 'type' is missing",
				  xml_line(node));
	if (!nic->source && (!strcmp(nic->type, "bridge") || !strcmp(nic->type, "network")))
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <interface> at line %u: <source> is missing",
				  xml_line(node));
	if (nic->target && (is_chosen_name(nic->target) || !xml_is_word(nic->target, 15))) {
		free(nic->target);
		nic->target = NULL;
	}
	if (nic->model && !xml_is_word(nic->model, 32))
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <interface> at line %u: 'type' of <model> is no model",
				  xml_line(node));
	if (in->has_mac)
		return 0;
	memcpy(nic->mac, prefix[in->def->type == DEF_XEN], 3);
	in->random(in->random_data, nic->mac + 3, 3);
	return 0;
}

static const char *const nic_types[] = { "bridge", "network", "ethernet", "user", NULL };
static const char *const word_up[] = { "up", NULL };

static const struct xml_value nic_attrs[] = {
	{ "type", XML_TEXT, .at = NIC_AT(type), .words = nic_types },
	{ 0 },
};
static const struct xml_value mac_attrs[] = { { "address", .kind = XML_PASSED }, { 0 } };
static const struct xml_value nic_source_attrs[] = {
	{ "bridge", .kind = XML_PASSED },
	{ "network", .kind = XML_PASSED },
	{ "portid", .kind = XML_PASSED },
	{ 0 },
};
static const struct xml_value nic_target_attrs[] = {
	{ "dev", XML_TEXT, .at = NIC_AT(target) },
	{ 0 },
};
static const struct xml_value nic_model_attrs[] = {
	{ "type", XML_TEXT, .at = NIC_AT(model) },
	{ 0 },
};
static const struct xml_value script_attrs[] = {
	{ "path", XML_TEXT, .at = NIC_AT(script) },
	{ 0 },
};
static const struct xml_value link_attrs[] = { { "state", .kind = XML_ONLY, .words = word_up },
					       { 0 } };
static const struct xml_value nic_boot_attrs[] = {
	{ "order", XML_UINT, .at = NIC_AT(boot_order), .max = 2 * DEF_DEVICES_MAX },
	{ 0 },
};
static const struct xml_element nic_children[] = {
	{ "mac", .attrs = mac_attrs, .text = XML_NO_TEXT, .close = close_mac },
	{ "source", .attrs = nic_source_attrs, .text = XML_NO_TEXT, .close = close_nic_source },
	{ "script", .attrs = script_attrs, .text = XML_NO_TEXT },
	{ "target", .attrs = nic_target_attrs, .text = XML_NO_TEXT },
	{ "model", .attrs = nic_model_attrs, .text = XML_NO_TEXT },
	{ "link", .attrs = link_attrs, .text = XML_NO_TEXT },
	{ "boot", .attrs = nic_boot_attrs, .text = XML_NO_TEXT },
	XML_PLACE(NIC_AT(kept)),
	{ 0 },
};

static const struct xml_element nic = {
	"interface",	     .attrs = nic_attrs, .children = nic_children,
	.text = XML_NO_TEXT, .open = open_nic,	 .close = close_nic,
};

const struct xml_element *xml_nic(void)
{
	return &nic;
}
