/* SPDX-License-Identifier: MIT */
/*
 * What a domain of a kind may have here, as `virsh domcapabilities` shows it. Invariant: what a
 * client asks for is compared, never printed but in a refusal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/capabilities.h"
#include "hostd/settings.h"
#include "rpc/error.h"
#include "vmm/def.h"

#define VALUES_MAX 6u /* of one list, and its end */

/* A kind of domain; lists end with NULL. The first of a backend is what is told unasked. */
struct kind {
	const char *backend, *type, *machine, *other; /* other: a name of the machine besides */
	const char *emulator;
	const char *devices[VALUES_MAX], *buses[VALUES_MAX], *graphics[VALUES_MAX],
		*videos[VALUES_MAX], *consoles[VALUES_MAX];
};

#define QEMU "/usr/bin/qemu-system-x86_64"
#define PV_DISKS .devices = { "disk", "cdrom" }, .buses = { "xen" }

static const struct kind kinds[] = {
	{ "xl", "xen", "xenpvh", NULL, NULL, PV_DISKS, .consoles = { "xen" } },
	{ "xl", "xen", "xenpv", "xen", NULL, PV_DISKS, .graphics = { "vnc" }, .videos = { "xen" },
	  .consoles = { "xen" } },
	{ "xl", "xen", "xenfv", "hvm", NULL, .devices = { "disk", "cdrom", "floppy" },
	  .buses = { "ide", "xen", "scsi" }, .graphics = { "vnc" }, .videos = { "vga", "cirrus" },
	  .consoles = { "xen", "serial" } },
	{ "qemu", "qemu", "pc", "q35", QEMU, .devices = { "disk", "cdrom", "floppy" },
	  .buses = { "ide", "virtio", "scsi", "sata" }, .graphics = { "vnc" },
	  .videos = { "vga", "cirrus", "virtio" }, .consoles = { "serial", "virtio" } },
	{ "qemu", "kvm", "pc", "q35", QEMU, .devices = { "disk", "cdrom", "floppy" },
	  .buses = { "ide", "virtio", "scsi", "sata" }, .graphics = { "vnc" },
	  .videos = { "vga", "cirrus", "virtio" }, .consoles = { "serial", "virtio" } },
	{ "sim", "test", "sim", NULL, NULL, PV_DISKS, .consoles = { "xen" } },
	{ "sim", "xen", "xenpvh", NULL, NULL, PV_DISKS, .consoles = { "xen" } },
	{ "sim", "xen", "xenpv", "xen", NULL, PV_DISKS, .consoles = { "xen" } },
	{ "sim", "xen", "xenfv", "hvm", NULL, PV_DISKS, .consoles = { "xen" } },
};

static bool fits(const struct host *h, const struct kind *k, const struct domcaps_ask *ask)
{
	return !strcmp(k->backend, h->set->backend) &&
	       (!ask->type || !strcmp(ask->type, k->type)) &&
	       (!ask->machine || !strcmp(ask->machine, k->machine) ||
		(k->other && !strcmp(ask->machine, k->other)));
}

static void put_list(FILE *f, const char *name, const char *const *values)
{
	fprintf(f, "      <enum name='%s'>\n", name);
	for (; *values; values++)
		fprintf(f, "        <value>%s</value>\n", *values);
	fprintf(f, "      </enum>\n");
}

static void put_device(FILE *f, const char *element, const char *name, const char *const *values)
{
	if (!*values) {
		fprintf(f, "    <%s supported='no'/>\n", element);
		return;
	}
	fprintf(f, "    <%s supported='yes'>\n", element);
	put_list(f, name, values);
	fprintf(f, "    </%s>\n", element);
}

static void put(FILE *f, const struct host *h, const struct kind *k)
{
	const char *program = k->emulator && h->set->program ? h->set->program : k->emulator;

	fprintf(f, "<domainCapabilities>\n");
	if (program)
		fprintf(f, "  <path>%s</path>\n", program);
	fprintf(f,
		"  <domain>%s</domain>\n  <machine>%s</machine>\n  <arch>%s</arch>\n"
		"  <vcpu max='%u'/>\n  <os supported='yes'>\n    <loader supported='no'/>\n"
		"  </os>\n  <cpu>\n    <mode name='host-passthrough' supported='%s'/>\n"
		"    <mode name='custom' supported='no'/>\n  </cpu>\n  <devices>\n",
		k->type, k->machine, capabilities_arch(), DEF_VCPUS_MAX,
		k->emulator ? "yes" : "no");
	fprintf(f, "    <disk supported='yes'>\n");
	put_list(f, "diskDevice", k->devices);
	put_list(f, "bus", k->buses);
	fprintf(f, "    </disk>\n");
	put_device(f, "graphics", "type", k->graphics);
	put_device(f, "video", "modelType", k->videos);
	put_device(f, "console", "targetType", k->consoles);
	fprintf(f, "    <hostdev supported='no'/>\n  </devices>\n"
		   "  <features>\n    <gic supported='no'/>\n  </features>\n"
		   "</domainCapabilities>\n");
}

int domcaps_print(const struct host *h, const struct domcaps_ask *ask, char **ret, char *text,
		  size_t room)
{
	const struct kind *k = NULL;
	size_t len;
	FILE *f;

	if (ask->arch && strcmp(ask->arch, capabilities_arch()) != 0) {
		snprintf(text, room, "arch '%.32s' is not this host's", ask->arch);
		return RPC_ERR_INVALID_ARG;
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds) && !k; i++)
		if (fits(h, &kinds[i], ask))
			k = &kinds[i];
	if (!k) {
		snprintf(text, room,
			 "there are no domains of type '%.32s' and machine '%.32s' here",
			 ask->type ? ask->type : "any", ask->machine ? ask->machine : "any");
		return RPC_ERR_INVALID_ARG;
	}
	*ret = NULL;
	f = open_memstream(ret, &len);
	if (!f)
		return RPC_ERR_NO_MEMORY;
	put(f, h, k);
	if (!fclose(f))
		return 0;
	free(*ret);
	return RPC_ERR_NO_MEMORY;
}
