/* SPDX-License-Identifier: MIT */
/*
 * Definitions for tests of command lines: a plain guest, and what it may have besides.
 */
#ifndef DROVER_VMM_QEMU_ARGV_CASES_TEST_H
#define DROVER_VMM_QEMU_ARGV_CASES_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "vmm/qemu/argv.h"

/* What is changed of a plain guest, and what is then found in the line, or in the refusal. */
struct part {
	void (*change)(struct guest_def *def);
	const char *expected; /* somewhere on the line */
};

static inline void set(char **field, const char *value)
{
	free(*field);
	*field = value ? strdup(value) : NULL;
}

static inline struct guest_def *plain(void)
{
	struct guest_def *def = def_new();

	assert_non_null(def);
	def->type = DEF_QEMU;
	def->name = strdup("a");
	def->memory_kib = 65536;
	def->vcpus = def->vcpus_current = 2;
	def->machine = strdup("pc");
	def->features = DEF_ACPI;
	return def;
}

static inline struct def_disk *with_disk(struct guest_def *def, const char *target, const char *bus)
{
	struct def_disk *d;

	def->disks = reallocarray(def->disks, def->n_disks + 1, sizeof(*def->disks));
	assert_non_null(def->disks);
	d = &def->disks[def->n_disks++];
	memset(d, 0, sizeof(*d));
	d->type = strdup("file");
	d->device = strdup("disk");
	d->source = strdup("/img");
	d->target = strdup(target);
	d->bus = strdup(bus);
	return d;
}

static inline struct def_chardev *with_serial(struct guest_def *def, const char *type,
					      const char *source)
{
	def->serials = calloc(1, sizeof(*def->serials));
	def->n_serials = 1;
	def->serials[0].type = strdup(type);
	def->serials[0].source = source ? strdup(source) : NULL;
	return &def->serials[0];
}

static inline struct def_nic *with_nic(struct guest_def *def, const char *type)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 0xff };

	def->nics = calloc(1, sizeof(*def->nics));
	def->n_nics = 1;
	def->nics[0].type = strdup(type);
	memcpy(def->nics[0].mac, mac, sizeof(mac));
	return &def->nics[0];
}

static inline struct def_graphics *with_vnc(struct guest_def *def)
{
	def->graphics = calloc(1, sizeof(*def->graphics));
	def->n_graphics = 1;
	def->graphics[0].type = strdup("vnc");
	def->graphics[0].port = -1;
	return &def->graphics[0];
}

static inline void console_alone(struct guest_def *d)
{
	d->consoles = calloc(1, sizeof(*d->consoles));
	d->n_consoles = 1;
	set(&d->consoles[0].type, "pty");
}

static inline void channel(struct guest_def *d)
{
	d->channels = calloc(1, sizeof(*d->channels));
	d->n_channels = 1;
	set(&d->channels[0].type, "unix");
	d->channels[0].listen = true;
	set(&d->channels[0].target_type, "virtio");
	set(&d->channels[0].target_name, "org.qemu.guest_agent.0,nr=1");
}

#endif
