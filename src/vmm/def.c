/* SPDX-License-Identifier: MIT */
/*
 * A guest's definition in memory: made empty, copied deep, freed. What points to memory is owned by
 * the definition alone, so a copy shares nothing with what it was made from.
 */
#include "vmm/def.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"

static const char *const type_names[DEF_TYPES] = {
	[DEF_QEMU] = "qemu",
	[DEF_KVM] = "kvm",
	[DEF_XEN] = "xen",
	[DEF_TEST] = "test",
};

static const char *const os_names[DEF_OS_TYPES] = {
	[DEF_OS_HVM] = "hvm",
	[DEF_OS_PV] = "xen",
	[DEF_OS_PVH] = "xenpvh",
};

/* Where the strings of a structure are. */
static const size_t def_strings[] = {
	offsetof(struct guest_def, name),	  offsetof(struct guest_def, title),
	offsetof(struct guest_def, description),  offsetof(struct guest_def, arch),
	offsetof(struct guest_def, machine),	  offsetof(struct guest_def, loader),
	offsetof(struct guest_def, kernel),	  offsetof(struct guest_def, initrd),
	offsetof(struct guest_def, cmdline),	  offsetof(struct guest_def, boot),
	offsetof(struct guest_def, cpu_mode),	  offsetof(struct guest_def, cpu_model),
	offsetof(struct guest_def, cpu_features), offsetof(struct guest_def, clock_offset),
	offsetof(struct guest_def, emulator),	  offsetof(struct guest_def, video_model),
	offsetof(struct guest_def, memballoon),	  offsetof(struct guest_def, rng),
	offsetof(struct guest_def, bootloader),	  offsetof(struct guest_def, bootloader_args),
};
static const size_t disk_strings[] = {
	offsetof(struct def_disk, type),   offsetof(struct def_disk, device),
	offsetof(struct def_disk, driver), offsetof(struct def_disk, format),
	offsetof(struct def_disk, cache),  offsetof(struct def_disk, source),
	offsetof(struct def_disk, target), offsetof(struct def_disk, bus),
	offsetof(struct def_disk, io),	   offsetof(struct def_disk, discard),
	offsetof(struct def_disk, kept),
};
static const size_t nic_strings[] = {
	offsetof(struct def_nic, type),	  offsetof(struct def_nic, source),
	offsetof(struct def_nic, script), offsetof(struct def_nic, target),
	offsetof(struct def_nic, model),  offsetof(struct def_nic, kept),
};
static const size_t chardev_strings[] = {
	offsetof(struct def_chardev, type),	   offsetof(struct def_chardev, source),
	offsetof(struct def_chardev, target_type), offsetof(struct def_chardev, target_name),
	offsetof(struct def_chardev, kept),
};
static const size_t graphics_strings[] = {
	offsetof(struct def_graphics, type),
	offsetof(struct def_graphics, listen),
	offsetof(struct def_graphics, keymap),
	offsetof(struct def_graphics, kept),
};

/* A structure of the definition's: its size, and its strings. */
struct shape {
	size_t size;
	const size_t *strings;
	size_t n_strings;
};

#define SHAPE(type, table)                                                                         \
	{                                                                                          \
		sizeof(type), (table), ARRAY_LEN(table)                                            \
	}

static const struct shape def_shape = SHAPE(struct guest_def, def_strings);

static const struct array {
	size_t items, count; /* where the array's pointer and its length are */
	struct shape shape;
} arrays[] = {
	{ offsetof(struct guest_def, disks), offsetof(struct guest_def, n_disks),
	  SHAPE(struct def_disk, disk_strings) },
	{ offsetof(struct guest_def, nics), offsetof(struct guest_def, n_nics),
	  SHAPE(struct def_nic, nic_strings) },
	{ offsetof(struct guest_def, serials), offsetof(struct guest_def, n_serials),
	  SHAPE(struct def_chardev, chardev_strings) },
	{ offsetof(struct guest_def, consoles), offsetof(struct guest_def, n_consoles),
	  SHAPE(struct def_chardev, chardev_strings) },
	{ offsetof(struct guest_def, channels), offsetof(struct guest_def, n_channels),
	  SHAPE(struct def_chardev, chardev_strings) },
	{ offsetof(struct guest_def, graphics), offsetof(struct guest_def, n_graphics),
	  SHAPE(struct def_graphics, graphics_strings) },
};

static void *pointer_get(const void *base, size_t offset)
{
	void *p;

	memcpy(&p, (const char *)base + offset, sizeof(p));
	return p;
}

static void pointer_set(void *base, size_t offset, void *p)
{
	memcpy((char *)base + offset, &p, sizeof(p));
}

static size_t *count_of(const struct guest_def *def, const struct array *a)
{
	return (size_t *)(void *)((char *)(uintptr_t)def + a->count);
}

static void strings_free(void *base, const struct shape *s)
{
	for (size_t i = 0; i < s->n_strings; i++)
		free(pointer_get(base, s->strings[i]));
}

/* base is a plain copy: its strings are still another's. False: no memory; those left are NULL. */
static bool strings_copy(void *base, const struct shape *s)
{
	bool ok = true;

	for (size_t i = 0; i < s->n_strings; i++) {
		const char *text = pointer_get(base, s->strings[i]);
		char *copy = text && ok ? strdup(text) : NULL;

		ok = ok && (copy || !text);
		pointer_set(base, s->strings[i], copy);
	}
	return ok;
}

struct guest_def *def_new(void)
{
	struct guest_def *def = calloc(1, sizeof(*def));

	if (!def) {
		FAULT(-ENOMEM);
		return NULL;
	}
	def->type = DEF_QEMU;
	def->vcpus = def->vcpus_current = 1;
	def->on_poweroff = DEF_DESTROY;
	def->on_reboot = DEF_RESTART;
	def->on_crash = DEF_DESTROY;
	return def;
}

void def_free(struct guest_def *def)
{
	if (!def)
		return;
	for (size_t i = 0; i < ARRAY_LEN(arrays); i++) {
		char *items = pointer_get(def, arrays[i].items);

		for (size_t n = 0; items && n < *count_of(def, &arrays[i]); n++)
			strings_free(items + n * arrays[i].shape.size, &arrays[i].shape);
		free(items);
	}
	strings_free(def, &def_shape);
	for (size_t i = 0; i < DEF_KEPT_PLACES; i++)
		free(def->kept[i]);
	free(def);
}
DEFINE_CLEANUP(struct guest_def *, def_free)

static bool kept_copy(struct guest_def *copy, const struct guest_def *def)
{
	for (size_t i = 0; i < DEF_KEPT_PLACES; i++) {
		if (!def->kept[i])
			continue;
		copy->kept[i] = strdup(def->kept[i]);
		if (!copy->kept[i])
			return false;
	}
	return true;
}

static bool array_copy(struct guest_def *copy, const struct guest_def *def, const struct array *a)
{
	size_t n = *count_of(def, a);
	const char *from = pointer_get(def, a->items);
	char *to;

	if (n == 0)
		return true;
	to = calloc(n, a->shape.size);
	if (!to)
		return false;
	pointer_set(copy, a->items, to);
	for (size_t i = 0; i < n; i++) {
		char *item = to + i * a->shape.size;

		memcpy(item, from + i * a->shape.size, a->shape.size);
		*count_of(copy, a) = i + 1;
		if (!strings_copy(item, &a->shape))
			return false;
	}
	return true;
}

struct guest_def *def_copy(const struct guest_def *def)
{
	CLEANUP(def_free) struct guest_def *copy = malloc(sizeof(*copy));
	bool ok;

	if (!copy) {
		FAULT(-ENOMEM);
		return NULL;
	}
	*copy = *def;
	for (size_t i = 0; i < ARRAY_LEN(arrays); i++) {
		pointer_set(copy, arrays[i].items, NULL);
		*count_of(copy, &arrays[i]) = 0;
	}
	memset(copy->kept, 0, sizeof(copy->kept));
	ok = strings_copy(copy, &def_shape) && kept_copy(copy, def);
	for (size_t i = 0; ok && i < ARRAY_LEN(arrays); i++)
		ok = array_copy(copy, def, &arrays[i]);
	if (!ok) {
		FAULT(-ENOMEM);
		return NULL;
	}
	return TAKE(copy);
}

void def_uuid_print(const uint8_t uuid[DEF_UUID_SIZE], char ret[DEF_UUID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 0;

	for (size_t i = 0; i < DEF_UUID_SIZE; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			ret[at++] = '-';
		ret[at++] = digits[uuid[i] >> 4];
		ret[at++] = digits[uuid[i] & 15];
	}
	ret[at] = '\0';
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool def_uuid_parse(const char *text, uint8_t ret[DEF_UUID_SIZE])
{
	bool dashed = strnlen(text, DEF_UUID_TEXT) == DEF_UUID_TEXT - 1;
	uint8_t uuid[DEF_UUID_SIZE];

	for (size_t i = 0; i < DEF_UUID_SIZE; i++) {
		int high, low;

		if (dashed && (i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
			return false;
		high = digit_of(text[0]);
		low = high < 0 ? -1 : digit_of(text[1]);
		if (low < 0)
			return false;
		uuid[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	if (*text)
		return false;
	memcpy(ret, uuid, sizeof(uuid));
	return true;
}

const char *def_type_name(enum def_type type)
{
	return (unsigned int)type < DEF_TYPES ? type_names[type] : "?";
}

const char *def_os_name(enum def_os os)
{
	return (unsigned int)os < DEF_OS_TYPES ? os_names[os] : "?";
}
