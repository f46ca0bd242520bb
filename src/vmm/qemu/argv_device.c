/* SPDX-License-Identifier: MIT */
/*
 * Disks and nics on the command line. A disk is a node of QEMU's block layer and a device that uses
 * it; its place on its bus follows from its target's letter, so that it is where it was on the
 * other host.
 */
#include <string.h>

#include "vmm/qemu/argv.h"

#define DISK_INDEX_MAX 64u

/* The format that is meant where none is given: what a disk holds is never guessed. */
static const char *disk_format(const struct def_disk *d)
{
	return d->format ? d->format : "raw";
}

static bool disk_is_cdrom(const struct def_disk *d)
{
	return argv_is(d->device, "cdrom");
}

/* "vdc", "hda", "sdb": 2, 0, 1. */
static bool disk_index(const struct def_disk *d, unsigned int *ret)
{
	const char *t = d->target;
	unsigned int n = 0;

	if (!t || strlen(t) < 3 || strlen(t) > 4)
		return false;
	for (t += 2; *t; t++) {
		if (*t < 'a' || *t > 'z')
			return false;
		n = n * 26 + (unsigned int)(*t - 'a') + 1;
	}
	*ret = n - 1;
	return n <= DISK_INDEX_MAX;
}

/* ---- what can be ---- */

static int check_disk_source(const struct def_disk *d, char *text, size_t room)
{
	const char *name = d->target ? d->target : "?";

	if (!argv_is(d->type, "file") && !argv_is(d->type, "block"))
		return argv_refuse(text, room, "<disk type='%s'> '%s' is not supported",
				   d->type ? d->type : "", name);
	if (d->device && strcmp(d->device, "disk") && strcmp(d->device, "cdrom"))
		return argv_refuse(text, room, "<disk device='%s'> '%s' is not supported",
				   d->device, name);
	if (!d->source && !disk_is_cdrom(d))
		return argv_refuse(text, room, "<disk> '%s': <source> is missing", name);
	if (d->driver && strcmp(d->driver, "qemu"))
		return argv_refuse(text, room, "<disk> '%s': <driver name='%s'> is not QEMU's",
				   name, d->driver);
	if (strcmp(disk_format(d), "raw") && strcmp(disk_format(d), "qcow2"))
		return argv_refuse(text, room, "<disk> '%s': <driver type='%s'> is not supported",
				   name, d->format);
	return 0;
}

static int check_disk_cache(const struct def_disk *d, char *text, size_t room)
{
	static const char *const modes[] = { "default",	  "none",	"writethrough",
					     "writeback", "directsync", "unsafe" };

	for (size_t i = 0; d->cache && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(d->cache, modes[i]))
			return 0;
	if (!d->cache)
		return 0;
	return argv_refuse(text, room, "<disk> '%s': <driver cache='%s'> is not supported",
			   d->target, d->cache);
}

/* Units of each bus, of a machine. 0: there is none of the kind. */
static unsigned int bus_units(const struct guest_def *def, const char *bus)
{
	if (argv_is(bus, "virtio"))
		return DISK_INDEX_MAX;
	if (argv_is(bus, "scsi"))
		return ARGV_SCSI_UNITS_MAX;
	if (argv_is(bus, "ide"))
		return argv_is_q35(def) ? 0 : ARGV_IDE_UNITS_MAX;
	if (argv_is(bus, "sata"))
		return ARGV_SATA_PORTS_MAX;
	return 0;
}

static int check_disk_place(const struct guest_def *def, size_t at, char *text, size_t room)
{
	const struct def_disk *d = &def->disks[at];
	unsigned int index, units = bus_units(def, d->bus);

	if (!units)
		return argv_refuse(text, room, "<target dev='%s' bus='%s'>: no such bus in '%s'",
				   d->target ? d->target : "", d->bus ? d->bus : "",
				   def->machine ? def->machine : "pc");
	if (!disk_index(d, &index))
		return argv_refuse(text, room, "<target dev='%s'>: no such place",
				   d->target ? d->target : "");
	if (index >= units)
		return argv_refuse(text, room, "<target dev='%s' bus='%s'>: has %u places",
				   d->target, d->bus, units);
	if (argv_is(d->bus, "virtio") && disk_is_cdrom(d))
		return argv_refuse(text, room, "<disk device='cdrom'> '%s': not on bus 'virtio'",
				   d->target);
	if (d->readonly && !disk_is_cdrom(d) && (argv_is(d->bus, "ide") || argv_is(d->bus, "sata")))
		return argv_refuse(text, room, "<readonly> of disk '%s': not on bus '%s'",
				   d->target, d->bus);
	for (size_t i = 0; i < at; i++) {
		unsigned int other;

		if (argv_is(def->disks[i].bus, d->bus) && disk_index(&def->disks[i], &other) &&
		    other == index)
			return argv_refuse(text, room, "<target dev='%s'>: twice", d->target);
	}
	return 0;
}

int argv_check_disks(const struct guest_def *def, char *text, size_t room)
{
	for (size_t i = 0; i < def->n_disks; i++) {
		int r = check_disk_source(&def->disks[i], text, room);

		if (!r)
			r = check_disk_cache(&def->disks[i], text, room);
		if (!r)
			r = check_disk_place(def, i, text, room);
		if (r)
			return r;
	}
	return 0;
}

static const char *nic_device(const struct def_nic *nic)
{
	static const char *const models[][2] = {
		{ "virtio", "virtio-net-pci" }, { "e1000", "e1000" },	{ "e1000e", "e1000e" },
		{ "rtl8139", "rtl8139" },	{ "pcnet", "pcnet" },	{ "ne2k_pci", "ne2k_pci" },
		{ "vmxnet3", "vmxnet3" },	{ "i82551", "i82551" },
	};

	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (!strcmp(nic->model ? nic->model : "rtl8139", models[i][0]))
			return models[i][1];
	return NULL;
}

bool argv_nic_has_tap(const struct def_nic *nic)
{
	return argv_is(nic->type, "bridge") || argv_is(nic->type, "ethernet");
}

int argv_check_nics(const struct guest_def *def, char *text, size_t room)
{
	unsigned int taps = 0;

	for (size_t i = 0; i < def->n_nics; i++) {
		const struct def_nic *nic = &def->nics[i];

		if (!argv_nic_has_tap(nic) && !argv_is(nic->type, "user"))
			return argv_refuse(text, room, "<interface type='%s'> is not supported",
					   nic->type ? nic->type : "");
		if (argv_is(nic->type, "bridge") && !nic->source)
			return argv_refuse(text, room,
					   "<interface type='bridge'>: <source bridge> "
					   "is missing");
		if (nic->script)
			return argv_refuse(text, room,
					   "<interface>: <script path='%s'> is not "
					   "supported for QEMU",
					   nic->script);
		if (!nic_device(nic))
			return argv_refuse(text, room,
					   "<interface>: <model type='%s'> is not supported",
					   nic->model);
		taps += argv_nic_has_tap(nic);
	}
	if (taps > ARGV_TAPS_MAX)
		return argv_refuse(text, room, "<interface type='bridge'>: more than %u",
				   ARGV_TAPS_MAX);
	return 0;
}

/* ---- words ---- */

static void put_cache(struct words *w, const struct def_disk *d)
{
	bool direct = argv_is(d->cache, "none") || argv_is(d->cache, "directsync");

	if (d->cache && strcmp(d->cache, "default"))
		words_put(w, ",cache.direct=%s,cache.no-flush=%s", direct ? "on" : "off",
			  argv_is(d->cache, "unsafe") ? "on" : "off");
}

static void put_node(struct words *w, const struct def_disk *d, size_t at)
{
	bool readonly = d->readonly || disk_is_cdrom(d);

	words_add(w, "-blockdev");
	words_begin(w);
	words_put(w, "driver=%s,node-name=disk%zu,read-only=%s,discard=%s", disk_format(d), at,
		  readonly ? "on" : "off", argv_is(d->discard, "unmap") ? "unmap" : "ignore");
	put_cache(w, d);
	words_put(w, ",file.driver=%s", argv_is(d->type, "block") ? "host_device" : "file");
	words_value(w, "file.filename", d->source);
	put_cache(w, d);
	if (argv_is(d->io, "native") &&
	    (argv_is(d->cache, "none") || argv_is(d->cache, "directsync")))
		words_put(w, ",file.aio=native");
	words_close(w);
}

/* What it is, and where it sits. */
static void put_place(struct words *w, const struct guest_def *def, const struct def_disk *d)
{
	const char *kind = disk_is_cdrom(d) ? "cd" : "hd";
	unsigned int index = 0;

	(void)disk_index(d, &index);
	if (argv_is(d->bus, "virtio"))
		words_put(w, "virtio-blk-pci");
	else if (argv_is(d->bus, "scsi"))
		words_put(w, "scsi-%s,bus=scsi0.0,scsi-id=%u", kind, index);
	else if (argv_is(d->bus, "ide"))
		words_put(w, "ide-%s,bus=ide.%u,unit=%u", kind, index / 2, index % 2);
	else
		words_put(w, "ide-%s,bus=%s.%u", kind, argv_is_q35(def) ? "ide" : "sata0", index);
}

static void put_disk(struct words *w, const struct guest_def *def, size_t at, unsigned int boot)
{
	const struct def_disk *d = &def->disks[at];
	bool through = argv_is(d->cache, "writethrough") || argv_is(d->cache, "directsync");

	if (d->source)
		put_node(w, d, at);
	words_add(w, "-device");
	words_begin(w);
	put_place(w, def, d);
	words_put(w, ",id=device%zu", at);
	if (d->source)
		words_put(w, ",drive=disk%zu", at);
	if (!disk_is_cdrom(d))
		words_put(w, ",write-cache=%s,share-rw=%s", through ? "off" : "on",
			  d->shareable ? "on" : "off");
	if (boot)
		words_put(w, ",bootindex=%u", boot);
	words_close(w);
}

/* Controllers that the machine does not bring. */
static void put_controllers(struct words *w, const struct guest_def *def)
{
	bool scsi = false, sata = false;

	for (size_t i = 0; i < def->n_disks; i++) {
		scsi |= argv_is(def->disks[i].bus, "scsi");
		sata |= argv_is(def->disks[i].bus, "sata");
	}
	if (scsi) {
		words_add(w, "-device");
		words_add(w, "virtio-scsi-pci,id=scsi0");
	}
	if (sata && !argv_is_q35(def)) {
		words_add(w, "-device");
		words_add(w, "ahci,id=sata0");
	}
}

void argv_put_disks(struct words *w, const struct guest_def *def)
{
	unsigned int hds = 0, cds = 0;

	put_controllers(w, def);
	for (size_t i = 0; i < def->n_disks; i++) {
		const struct def_disk *d = &def->disks[i];
		bool cd = disk_is_cdrom(d);

		put_disk(w, def, i,
			 argv_boot_index(def, cd ? "cdrom" : "hd", d->boot_order,
					 cd ? cds++ : hds++));
	}
}

void argv_put_nics(struct words *w, const struct guest_def *def)
{
	int fd = ARGV_NIC_FD;

	for (size_t i = 0; i < def->n_nics; i++) {
		const struct def_nic *nic = &def->nics[i];
		unsigned int boot =
			argv_boot_index(def, "network", nic->boot_order, (unsigned int)i);

		words_add(w, "-netdev");
		words_begin(w);
		if (argv_nic_has_tap(nic))
			words_put(w, "tap,id=net%zu,fd=%d", i, fd++);
		else
			words_put(w, "user,id=net%zu", i);
		words_close(w);
		words_add(w, "-device");
		words_begin(w);
		words_put(w, "%s,netdev=net%zu,id=nic%zu,mac=%02x:%02x:%02x:%02x:%02x:%02x",
			  nic_device(nic), i, i, nic->mac[0], nic->mac[1], nic->mac[2], nic->mac[3],
			  nic->mac[4], nic->mac[5]);
		if (boot)
			words_put(w, ",bootindex=%u", boot);
		words_close(w);
	}
}
