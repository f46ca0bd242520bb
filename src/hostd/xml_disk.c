/* SPDX-License-Identifier: MIT */
/*
 * <disk>: what is in it, and what libvirt fills in.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "hostd/xml_own.h"

#define DISK_AT(field) offsetof(struct def_disk, field)

static int open_disk(struct xml_in *in, const xmlNode *node, void *parent, void **ret)
{
	struct guest_def *def = parent;
	void *array = def->disks;
	int r = xml_grow(in, node, &array, &def->n_disks, sizeof(*def->disks), ret);

	def->disks = array;
	return r;
}

static const char *bus_of(const char *target)
{
	static const struct {
		const char *prefix, *bus;
	} known[] = {
		{ "hd", "ide" },  { "sd", "scsi" }, { "vd", "virtio" },
		{ "xvd", "xen" }, { "fd", "fdc" },  { "ubd", "uml" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (!strncmp(target, known[i].prefix, strlen(known[i].prefix)))
			return known[i].bus;
	return NULL;
}

static int close_disk(struct xml_in *in, const xmlNode *node, void *object)
{
	struct def_disk *disk = object;
	const char *bus;
	int r = 0;

	if (!disk->target || !xml_is_word(disk->target, 16))
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <disk> at line %u: <target> has no name in 'dev'",
				  xml_line(node));
	for (const struct def_disk *d = in->def->disks; d != disk; d++)
		if (!strcmp(d->target, disk->target))
			return xml_refuse(in, XML_ERR_XML_ERROR,
					  "element <disk> at line %u: there is another with target "
					  "'%s'",
					  xml_line(node), disk->target);
	if (!disk->type)
		r = xml_set(&disk->type, "file");
	if (!r && !disk->device)
		r = xml_set(&disk->device, "disk");
	if (r)
		return r;
	if (!disk->source && strcmp(disk->device, "cdrom"))
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <disk> at line %u: <source> has no '%s'", xml_line(node),
				  strcmp(disk->type, "block") ? "file" : "dev");
	disk->readonly = disk->readonly || !strcmp(disk->device, "cdrom");
	bus = disk->bus ? disk->bus : bus_of(disk->target);
	if (!bus)
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <disk> at line %u: no 'bus' is known for target '%s'",
				  xml_line(node), disk->target);
	return disk->bus ? 0 : xml_set(&disk->bus, bus);
}

/* "file" of a file and "dev" of a block device; an empty drive has neither. */
static int close_disk_source(struct xml_in *in, const xmlNode *node, void *object)
{
	struct def_disk *disk = object;
	CLEANUP(xml_string) char *type = xml_attr_copy(node->parent, "type");
	CLEANUP(xml_string) char *file = xml_attr_copy(node, "file");
	CLEANUP(xml_string) char *dev = xml_attr_copy(node, "dev");
	bool block = type && !strcmp(type, "block");
	const char *path = block ? dev : file, *other = block ? file : dev;

	if (other)
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <source> at line %u: a disk of type '%s' has '%s'",
				  xml_line(node), block ? "block" : "file", block ? "dev" : "file");
	if (!path || !*path)
		return 0;
	if (*path != '/' || strpbrk(path, "\n\r"))
		return xml_refuse(
			in, XML_ERR_XML_ERROR,
			"value '%.64s' of attribute '%s' of element <source> at line %u is "
			"not an absolute path",
			path, block ? "dev" : "file", xml_line(node));
	return xml_set(&disk->source, path);
}

static const char *const disk_types[] = { "file", "block", NULL };
static const char *const disk_devices[] = { "disk", "cdrom", NULL };
static const char *const drivers[] = { "qemu", "phy", "file", "tap", NULL };
static const char *const formats[] = { "raw", "qcow2", "qcow", "qed", "vmdk",
				       "vpc", "vhdx",  "vdi",  NULL };
static const char *const caches[] = { "default", "none", "writethrough", "writeback", "directsync",
				      "unsafe",	 NULL };
static const char *const ios[] = { "threads", "native", "io_uring", NULL };
static const char *const discards[] = { "unmap", "ignore", NULL };
static const char *const buses[] = { "ide", "sata", "scsi", "virtio", "xen", "fdc", "usb", NULL };
static const char *const word_closed[] = { "closed", NULL };

static const struct xml_value disk_attrs[] = {
	{ "type", XML_TEXT, .at = DISK_AT(type), .words = disk_types },
	{ "device", XML_TEXT, .at = DISK_AT(device), .words = disk_devices },
	{ 0 },
};
static const struct xml_value driver_attrs[] = {
	{ "name", XML_TEXT, .at = DISK_AT(driver), .words = drivers },
	{ "type", XML_TEXT, .at = DISK_AT(format), .words = formats },
	{ "cache", XML_TEXT, .at = DISK_AT(cache), .words = caches },
	{ "io", XML_TEXT, .at = DISK_AT(io), .words = ios },
	{ "discard", XML_TEXT, .at = DISK_AT(discard), .words = discards },
	{ 0 },
};
static const struct xml_value disk_source_attrs[] = {
	{ "file", .kind = XML_PASSED },
	{ "dev", .kind = XML_PASSED },
	{ "index", .kind = XML_PASSED },
	{ 0 },
};
static const struct xml_value disk_target_attrs[] = {
	{ "dev", XML_TEXT, .at = DISK_AT(target) },
	{ "bus", XML_TEXT, .at = DISK_AT(bus), .words = buses },
	{ "tray", .kind = XML_ONLY, .words = word_closed },
	{ 0 },
};
static const struct xml_value disk_boot_attrs[] = {
	{ "order", XML_UINT, .at = DISK_AT(boot_order), .max = 2 * DEF_DEVICES_MAX },
	{ 0 },
};
static const struct xml_element disk_children[] = {
	{ "driver", .attrs = driver_attrs, .text = XML_NO_TEXT },
	{ "source", .attrs = disk_source_attrs, .text = XML_NO_TEXT, .close = close_disk_source },
	{ "backingStore", .text = XML_NO_TEXT }, /* an empty one: there is none below */
	{ "target", .attrs = disk_target_attrs, .text = XML_NO_TEXT },
	{ "readonly", .text = { .kind = XML_PRESENT, .at = DISK_AT(readonly) } },
	{ "shareable", .text = { .kind = XML_PRESENT, .at = DISK_AT(shareable) } },
	{ "boot", .attrs = disk_boot_attrs, .text = XML_NO_TEXT },
	XML_PLACE(DISK_AT(kept)),
	{ 0 },
};

static const struct xml_element disk = {
	"disk",
	.attrs = disk_attrs,
	.children = disk_children,
	.text = XML_NO_TEXT,
	.open = open_disk,
	.close = close_disk,
};

const struct xml_element *xml_disk(void)
{
	return &disk;
}
