/* SPDX-License-Identifier: MIT */
/*
 * From a definition to libxl's configuration, field by field. The first failure stays, and nothing
 * is set after it.
 */
#include "vmm/xl_config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"
#include "config/schema.h"

/* A configuration that is being made. */
struct making {
	const struct guest_def *def;
	struct json_object *config;
	char *text; /* borrowed, room octets: why it was refused */
	size_t room;
	int r;
};

static void refuse(struct making *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void set(struct making *m, const char *value, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void refuse(struct making *m, const char *fmt, ...)
{
	va_list args;

	if (m->r)
		return;
	va_start(args, fmt);
	(void)vsnprintf(m->text, m->room, fmt, args);
	va_end(args);
	m->r = EINVAL;
}

/* Sets the field at a path; nothing where value is NULL. */
static void set(struct making *m, const char *value, const char *fmt, ...)
{
	struct conf_err why = { "" };
	char path[96];
	va_list args;
	int r;

	if (m->r || !value)
		return;
	va_start(args, fmt);
	(void)vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	r = conf_json_set(schema_domain_config(), m->config, path, value, &why);
	if (r == -EINVAL)
		refuse(m, "libxl's configuration: %s", why.text);
	else if (r)
		m->r = r;
}

static void set_number(struct making *m, uint64_t value, const char *path)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, value);
	set(m, text, "%s", path);
}

static bool is_xen(const struct making *m)
{
	return m->def->type == DEF_XEN;
}

static void make_head(struct making *m)
{
	static const char *const kinds[] = { "hvm", "pv", "pvh" };
	const struct guest_def *def = m->def;
	char uuid[DEF_UUID_TEXT], bits[32];

	def_uuid_print(def->uuid, uuid);
	set(m, kinds[def->os], "c_info.type");
	set(m, kinds[def->os], "b_info.type");
	set(m, def->name, "c_info.name");
	set(m, uuid, "c_info.uuid");
	if (def->features & DEF_HAP)
		set(m, "True", "c_info.hap");
	set_number(m, def->vcpus, "b_info.max_vcpus");
	(void)snprintf(bits, sizeof(bits), "0-%u", def->vcpus_current - 1);
	set(m, bits, "b_info.avail_vcpus");
	set_number(m, def->memory_kib, "b_info.max_memkb");
	set_number(m, def->current_kib, "b_info.target_memkb");
	if (def->clock_offset && !strcmp(def->clock_offset, "localtime"))
		set(m, "True", "b_info.localtime");
	set(m, def->kernel, "b_info.kernel");
	set(m, def->initrd, "b_info.ramdisk");
	set(m, def->cmdline, "b_info.cmdline");
	set(m, def->bootloader, "b_info.bootloader");
}

/* One more string of a list, as conf_json_set reads them. */
static void put_string(FILE *f, const char *text, bool first)
{
	if (!first)
		(void)fputc(',', f);
	for (; *text; text++) {
		if (*text == ',' || *text == '\\')
			(void)fputc('\\', f);
		(void)fputc(*text, f);
	}
}

/* One string for each word between blanks. */
static void make_bootloader_args(struct making *m)
{
	char *copy = m->def->bootloader_args ? strdup(m->def->bootloader_args) : NULL;
	char *list = NULL, *rest = NULL;
	size_t len = 0, n = 0;
	FILE *f = open_memstream(&list, &len);

	for (char *word = copy && f ? strtok_r(copy, " \t\r\n", &rest) : NULL; word;
	     word = strtok_r(NULL, " \t\r\n", &rest))
		put_string(f, word, n++ == 0);
	if (!f || fclose(f) || (m->def->bootloader_args && !copy))
		m->r = m->r ? m->r : -ENOMEM;
	else if (*list)
		set(m, list, "b_info.bootloader_args");
	free(copy);
	free(list);
}

static void make_actions(struct making *m)
{
	static const char *const words[DEF_ACTIONS] = {
		[DEF_DESTROY] = "destroy",
		[DEF_RESTART] = "restart",
		[DEF_PRESERVE] = "preserve",
		[DEF_RENAME_RESTART] = "restart_rename",
	};

	set(m, words[m->def->on_poweroff], "on_poweroff");
	set(m, words[m->def->on_reboot], "on_reboot");
	set(m, words[m->def->on_crash], "on_crash");
}

/* "hd,cdrom" is "cd". */
static void make_boot(struct making *m)
{
	static const struct {
		const char *word;
		char letter;
	} known[] = { { "hd", 'c' }, { "cdrom", 'd' }, { "network", 'n' }, { "fd", 'a' } };
	const char *s = m->def->boot;
	char order[8] = "";
	size_t n = 0;

	while (s && *s && n < sizeof(order) - 1) {
		size_t len = strcspn(s, ",");

		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			if (strlen(known[i].word) == len && !strncmp(s, known[i].word, len))
				order[n++] = known[i].letter;
		s += len + (s[len] == ',');
	}
	order[n] = '\0';
	set(m, n ? order : NULL, "b_info.type.hvm.boot");
}

/* A serial line's other end, as QEMU has it on its command line; to be freed. */
static char *serial_text(const struct def_chardev *c)
{
	bool has_path = !strcmp(c->type, "file") || !strcmp(c->type, "unix");
	char *text;

	if (asprintf(&text, "%s%s%s%s", c->type, has_path ? ":" : "",
		     has_path && c->source ? c->source : "",
		     c->listen && has_path ? ",server,nowait" : "") < 0)
		return NULL;
	return text;
}

static void make_serials(struct making *m)
{
	const struct guest_def *def = m->def;
	char *list = NULL, *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&list, &len);
	bool ok = f != NULL;

	for (size_t i = 0; i < def->n_serials && ok; i++) {
		free(text);
		text = serial_text(&def->serials[i]);
		ok = text != NULL;
		if (ok)
			put_string(f, text, i == 0);
	}
	if ((f && fclose(f)) || !ok)
		m->r = m->r ? m->r : -ENOMEM;
	else if (def->n_serials == 1)
		set(m, text, "b_info.type.hvm.serial");
	else if (def->n_serials)
		set(m, list, "b_info.type.hvm.serial_list");
	free(text);
	free(list);
}

static void make_vnc(struct making *m, const char *at, const struct def_graphics *g)
{
	char display[16];

	set(m, "True", "%s.vnc.enable", at);
	set(m, g->listen, "%s.vnc.listen", at);
	set(m, g->autoport ? "True" : "False", "%s.vnc.findunused", at);
	if (g->autoport || g->port < 5900)
		return;
	(void)snprintf(display, sizeof(display), "%d", g->port - 5900);
	set(m, display, "%s.vnc.display", at);
}

static void make_spice(struct making *m, const struct def_graphics *g)
{
	char port[16];

	set(m, "True", "b_info.type.hvm.spice.enable");
	set(m, g->listen, "b_info.type.hvm.spice.host");
	(void)snprintf(port, sizeof(port), "%d", g->port);
	set(m, g->autoport ? NULL : port, "b_info.type.hvm.spice.port");
}

static void make_display(struct making *m)
{
	static const struct {
		const char *model, *kind;
	} known[] = {
		{ "cirrus", "cirrus" },
		{ "vga", "std" },
		{ "qxl", "qxl" },
		{ "none", "none" },
	};
	const struct guest_def *def = m->def;
	const char *kind = NULL;

	for (size_t i = 0; def->video_model && i < ARRAY_LEN(known); i++)
		if (!strcmp(def->video_model, known[i].model))
			kind = known[i].kind;
	if (def->video_model && !kind && is_xen(m) && strcmp(def->video_model, "xen") != 0)
		refuse(m, "element <video>: model '%s' is not possible with Xen", def->video_model);
	set(m, kind, "b_info.type.hvm.vga.kind");
	if (!def->n_graphics)
		set(m, "True", "b_info.type.hvm.nographic");
	for (size_t i = 0; i < def->n_graphics; i++) {
		set(m, def->graphics[i].keymap, "b_info.type.hvm.keymap");
		if (!strcmp(def->graphics[i].type, "vnc"))
			make_vnc(m, "b_info.type.hvm", &def->graphics[i]);
		else
			make_spice(m, &def->graphics[i]);
	}
}

static void make_hvm(struct making *m)
{
	const struct guest_def *def = m->def;

	set(m, "qemu_xen", "b_info.device_model_version");
	set(m, is_xen(m) ? def->emulator : NULL, "b_info.device_model");
	set(m, is_xen(m) ? def->loader : NULL, "b_info.type.hvm.firmware");
	set(m, def->features & DEF_ACPI ? "True" : "False", "b_info.acpi");
	set(m, def->features & DEF_APIC ? "True" : "False", "b_info.apic");
	set(m, def->features & DEF_PAE ? "True" : "False", "b_info.type.hvm.pae");
	if (def->features & DEF_VIRIDIAN)
		set(m, "True", "b_info.type.hvm.viridian");
	make_boot(m);
	make_serials(m);
	make_display(m);
}

/* A frame buffer and its keyboard and mouse. */
static void make_frame_buffer(struct making *m)
{
	const struct guest_def *def = m->def;

	for (size_t i = 0; i < def->n_graphics && !m->r; i++) {
		char at[32];

		if (strcmp(def->graphics[i].type, "vnc") != 0)
			refuse(m, "element <graphics>: type '%s' is not possible with this guest",
			       def->graphics[i].type);
		(void)snprintf(at, sizeof(at), "vfbs.%zu", i);
		make_vnc(m, at, &def->graphics[i]);
		set(m, def->graphics[i].keymap, "%s.keymap", at);
		(void)snprintf(at, sizeof(at), "%zu", i);
		set(m, at, "vfbs.%zu.devid", i);
		set(m, at, "vkbs.%zu.devid", i);
	}
}

static const char *disk_format(struct making *m, const struct def_disk *d)
{
	static const struct {
		const char *word, *format;
	} known[] = {
		{ "raw", "raw" }, { "qcow", "qcow" }, { "qcow2", "qcow2" },
		{ "vpc", "vhd" }, { "qed", "qed" },
	};

	if (!d->source)
		return "empty";
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (d->format && !strcmp(known[i].word, d->format))
			return known[i].format;
	if (is_xen(m))
		refuse(m, "element <disk> '%s': format '%s' is not possible with Xen", d->target,
		       d->format ? d->format : "");
	return "raw";
}

static const char *disk_backend(const struct making *m, const struct def_disk *d)
{
	/* a "file" was dom0's loop device in its time, and is QEMU's to libvirt since */
	if (!is_xen(m) || !d->driver || !strcmp(d->driver, "qemu") || !strcmp(d->driver, "file"))
		return "qdisk";
	return strcmp(d->driver, "tap") ? "phy" : "tap";
}

static void make_disk(struct making *m, size_t i)
{
	const struct def_disk *d = &m->def->disks[i];
	bool virtio = !strncmp(d->target, "vd", 2);
	char vdev[32];

	/* QEMU's vda is the first disk that has no emulated twin: Xen's xvda. */
	(void)snprintf(vdev, sizeof(vdev), "%s%s", virtio ? "x" : "", d->target);
	if (virtio && is_xen(m))
		refuse(m, "element <disk> '%s': such a target is not possible with Xen", d->target);
	set(m, d->source, "disks.%zu.pdev_path", i);
	set(m, vdev, "disks.%zu.vdev", i);
	set(m, disk_backend(m, d), "disks.%zu.backend", i);
	set(m, disk_format(m, d), "disks.%zu.format", i);
	set(m, "1", "disks.%zu.removable", i);
	set(m, d->readonly ? "0" : "1", "disks.%zu.readwrite", i);
	if (!strcmp(d->device, "cdrom"))
		set(m, "1", "disks.%zu.is_cdrom", i);
	if (d->discard)
		set(m, strcmp(d->discard, "unmap") ? "False" : "True", "disks.%zu.discard_enable",
		    i);
}

static void make_nic(struct making *m, size_t i)
{
	const struct def_nic *n = &m->def->nics[i];
	bool emulated =
		m->def->os == DEF_OS_HVM && (!n->model || strcmp(n->model, "netfront") != 0);
	char text[32];

	if (is_xen(m) && !strcmp(n->type, "user"))
		refuse(m, "element <interface>: type 'user' is not possible with Xen");
	(void)snprintf(text, sizeof(text), "%zu", i);
	set(m, text, "nics.%zu.devid", i);
	set(m, n->model, "nics.%zu.model", i);
	(void)snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", n->mac[0], n->mac[1],
		       n->mac[2], n->mac[3], n->mac[4], n->mac[5]);
	set(m, text, "nics.%zu.mac", i);
	set(m, n->source, "nics.%zu.bridge", i);
	set(m, n->target, "nics.%zu.ifname", i);
	set(m, n->script, "nics.%zu.script", i);
	set(m, emulated ? "vif_ioemu" : "vif", "nics.%zu.nictype", i);
}

/* Xen's own channels only: another bus's are the backend's. */
static void make_channels(struct making *m)
{
	size_t at = 0;

	for (size_t i = 0; i < m->def->n_channels && !m->r; i++) {
		const struct def_chardev *c = &m->def->channels[i];
		char devid[24];

		if (strcmp(c->target_type, "xen") != 0) {
			if (is_xen(m))
				refuse(m,
				       "element <channel>: target type '%s' is not possible "
				       "with Xen",
				       c->target_type);
			continue;
		}
		(void)snprintf(devid, sizeof(devid), "%zu", at);
		set(m, devid, "channels.%zu.devid", at);
		set(m, c->target_name, "channels.%zu.name", at);
		set(m, strcmp(c->type, "unix") ? "pty" : "socket", "channels.%zu.connection", at);
		if (!strcmp(c->type, "unix"))
			set(m, c->source, "channels.%zu.connection.socket.path", at);
		at++;
	}
}

int xl_config_print(const struct guest_def *def, char **ret_json, size_t *ret_len, char *text,
		    size_t room)
{
	CLEANUP_JSON struct json_object *config = conf_json_new(schema_domain_config());
	struct making m = { .def = def, .config = config, .text = text, .room = room };

	if (!config)
		return -ENOMEM;
	make_head(&m);
	make_bootloader_args(&m);
	make_actions(&m);
	if (def->os == DEF_OS_HVM)
		make_hvm(&m);
	else
		make_frame_buffer(&m);
	for (size_t i = 0; i < def->n_disks && !m.r; i++)
		make_disk(&m, i);
	for (size_t i = 0; i < def->n_nics && !m.r; i++)
		make_nic(&m, i);
	make_channels(&m);
	if (m.r)
		return m.r;
	return conf_json_print(config, DROVER_CONFIG_LAYOUT_4_17, ret_json, ret_len);
}
