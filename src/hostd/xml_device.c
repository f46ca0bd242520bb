/* SPDX-License-Identifier: MIT */
/*
 * The table of what is in <devices>, and the devices of which a guest has at most one. What the
 * host chose for a guest that runs (an alias) is dropped.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "hostd/xml_own.h"

#define DEF_AT(field) offsetof(struct guest_def, field)
#define DEF_KEPT_AT(place) (DEF_AT(kept) + (place) * sizeof(char *))

int xml_grow(struct xml_in *in, const xmlNode *node, void **array, size_t *n, size_t size,
	     void **ret)
{
	void *more;

	if (*n >= DEF_DEVICES_MAX)
		return xml_refuse(in, XML_ERR_CONFIG_UNSUPPORTED,
				  "element <%s> at line %u: more than %u of them",
				  (const char *)node->name, xml_line(node), DEF_DEVICES_MAX);
	more = realloc(*array, (*n + 1) * size);
	if (!more)
		return FAULT(-ENOMEM);
	*array = more;
	*ret = (char *)more + *n * size;
	memset(*ret, 0, size);
	(*n)++;
	return 0;
}

bool xml_is_word(const char *s, size_t max)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	return n && n <= max && !s[n];
}

static int close_controller(struct xml_in *in, const xmlNode *node, void *object)
{
	static const char *const known[] = { "usb",	      "pci",	"ide", "sata",
					     "virtio-serial", "xenbus", "fdc", "scsi" };
	CLEANUP(xml_string) char *type = xml_attr_copy(node, "type");

	(void)object;
	for (size_t i = 0; type && i < ARRAY_LEN(known); i++)
		if (!strcmp(type, known[i]))
			return 0;
	return xml_refuse(in, XML_ERR_CONFIG_UNSUPPORTED,
			  "value '%.64s' of attribute 'type' of element <controller> at line %u is "
			  "not supported",
			  type ? type : "", xml_line(node));
}

static int close_video(struct xml_in *in, const xmlNode *node, void *object)
{
	return ((struct guest_def *)object)->video_model
		       ? 0
		       : xml_refuse(in, XML_ERR_XML_ERROR,
				    "element <video> at line %u: <model> has no 'type'",
				    xml_line(node));
}

static int close_memballoon(struct xml_in *in, const xmlNode *node, void *object)
{
	return ((struct guest_def *)object)->memballoon
		       ? 0
		       : xml_refuse(in, XML_ERR_XML_ERROR,
				    "element <memballoon> at line %u: attribute 'model' is missing",
				    xml_line(node));
}

static int close_rng(struct xml_in *in, const xmlNode *node, void *object)
{
	return ((struct guest_def *)object)->rng
		       ? 0
		       : xml_refuse(in, XML_ERR_XML_ERROR,
				    "element <rng> at line %u: <backend> has no path",
				    xml_line(node));
}

static const char *const input_types[] = { "mouse", "keyboard", "tablet", NULL };
static const char *const input_buses[] = { "ps2", "usb", "xen", "virtio", NULL };
static const char *const video_models[] = { "vga", "cirrus", "virtio", "qxl", "vmvga",
					    "xen", "bochs",  "none",   NULL };
static const char *const balloons[] = { "none", "virtio", "xen", NULL };
static const char *const word_virtio[] = { "virtio", NULL };
static const char *const word_random[] = { "random", NULL };
static const char *const word_none[] = { "none", NULL };

static const struct xml_value input_attrs[] = {
	{ "type", .kind = XML_ONLY, .words = input_types },
	{ "bus", .kind = XML_ONLY, .words = input_buses },
	{ 0 },
};
static const struct xml_element input_children[] = {
	{ "address", .text = XML_NO_TEXT, .passed = true },
	{ "alias", .text = XML_NO_TEXT, .passed = true },
	{ 0 },
};

static const struct xml_value video_model_attrs[] = {
	{ "type", XML_TEXT, .at = DEF_AT(video_model), .words = video_models },
	{ "ram", XML_KEPT, .at = DEF_KEPT_AT(DEF_KEPT_VIDEO_MODEL) },
	{ "vram", XML_KEPT, .at = DEF_KEPT_AT(DEF_KEPT_VIDEO_MODEL) },
	{ "vgamem", XML_KEPT, .at = DEF_KEPT_AT(DEF_KEPT_VIDEO_MODEL) },
	{ "heads", XML_KEPT, .at = DEF_KEPT_AT(DEF_KEPT_VIDEO_MODEL) },
	{ "primary", XML_KEPT, .at = DEF_KEPT_AT(DEF_KEPT_VIDEO_MODEL) },
	{ 0 },
};
static const struct xml_element video_children[] = {
	{ "model", .attrs = video_model_attrs, .text = XML_NO_TEXT },
	XML_PLACE(DEF_KEPT_AT(DEF_KEPT_VIDEO)),
	{ 0 },
};

static const struct xml_value balloon_attrs[] = {
	{ "model", XML_TEXT, .at = DEF_AT(memballoon), .words = balloons },
	{ 0 },
};
static const struct xml_element balloon_children[] = {
	{ .name = "stats",
	  .text = XML_NO_TEXT,
	  .kept = true,
	  .any = true,
	  .kept_at = DEF_KEPT_AT(DEF_KEPT_MEMBALLOON) },
	XML_PLACE(DEF_KEPT_AT(DEF_KEPT_MEMBALLOON)),
	{ 0 },
};

static const struct xml_value rng_attrs[] = { { "model", .kind = XML_ONLY, .words = word_virtio },
					      { 0 } };
static const struct xml_value backend_attrs[] = {
	{ "model", .kind = XML_ONLY, .words = word_random }, { 0 }
};
static const struct xml_element rng_children[] = {
	{ "backend", .attrs = backend_attrs, .text = { .kind = XML_PATH, .at = DEF_AT(rng) } },
	XML_PLACE(DEF_KEPT_AT(DEF_KEPT_RNG)),
	{ 0 },
};

static const struct xml_value audio_attrs[] = {
	{ "id", .kind = XML_PASSED },
	{ "type", .kind = XML_ONLY, .words = word_none },
	{ 0 },
};

static const struct xml_element devices_children[] = {
	{ "emulator", .text = { .kind = XML_PATH, .at = DEF_AT(emulator) } },
	{ "disk", .many = true, .all_of = xml_disk },
	{ .name = "controller",
	  .text = XML_NO_TEXT,
	  .many = true,
	  .kept = true,
	  .any = true,
	  .kept_at = DEF_KEPT_AT(DEF_KEPT_CONTROLLERS),
	  .close = close_controller },
	{ "interface", .many = true, .all_of = xml_nic },
	{ "serial", .many = true, .all_of = xml_serial },
	{ "console", .many = true, .all_of = xml_console },
	{ "channel", .many = true, .all_of = xml_channel },
	{ "input", .attrs = input_attrs, .children = input_children, .text = XML_NO_TEXT,
	  .many = true, .kept = true, .kept_at = DEF_KEPT_AT(DEF_KEPT_INPUTS) },
	{ "graphics", .many = true, .all_of = xml_graphics },
	{ "audio", .attrs = audio_attrs, .text = XML_NO_TEXT, .many = true, .kept = true,
	  .kept_at = DEF_KEPT_AT(DEF_KEPT_AUDIO) },
	{ "video", .children = video_children, .text = XML_NO_TEXT, .close = close_video },
	{ "memballoon", .attrs = balloon_attrs, .children = balloon_children, .text = XML_NO_TEXT,
	  .close = close_memballoon },
	{ "rng", .attrs = rng_attrs, .children = rng_children, .text = XML_NO_TEXT,
	  .close = close_rng },
	{ 0 },
};

static const struct xml_element devices = { "devices", .children = devices_children,
					    .text = XML_NO_TEXT };

const struct xml_element *xml_devices(void)
{
	return &devices;
}

/* One sequence for disks and interfaces, each number once. */
static int check_boot_order(struct xml_in *in)
{
	const struct guest_def *def = in->def;
	bool seen[2 * DEF_DEVICES_MAX + 1] = { false };

	for (size_t i = 0; i < def->n_disks + def->n_nics; i++) {
		unsigned int order = i < def->n_disks ? def->disks[i].boot_order
						      : def->nics[i - def->n_disks].boot_order;

		if (order && seen[order])
			return xml_refuse(
				in, XML_ERR_XML_ERROR,
				"attribute 'order' of element <boot>: two devices have %u", order);
		seen[order] = true;
	}
	return 0;
}

static int finish_disk(const struct guest_def *def, struct def_disk *disk)
{
	bool phy = def->type == DEF_XEN && !strcmp(disk->type, "block");
	int r = disk->driver ? 0 : xml_set(&disk->driver, phy ? "phy" : "qemu");

	return r || disk->format ? r : xml_set(&disk->format, "raw");
}

int xml_finish_devices(struct xml_in *in)
{
	struct guest_def *def = in->def;
	int r = check_boot_order(in);

	for (size_t i = 0; !r && i < def->n_disks; i++)
		r = finish_disk(def, &def->disks[i]);
	return r ? r : xml_finish_chardevs(in);
}
