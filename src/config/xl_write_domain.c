/* SPDX-License-Identifier: MIT */
/*
 * The domain's own settings as xl.cfg(5) of Xen 4.17 names them: one table for those that are a
 * value under another name, and a function each for the few that are not. What xl sets itself
 * where a file is silent is said in the file, or noted.
 */
#include "config/xl_write.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/own.h"

enum how {
	TEXT,	 /* a string, or an enumeration by its name */
	DASHED,	 /* an enumeration, with - where the configuration has _ */
	NUMBER,	 /* also of a bool */
	SWITCH,	 /* "True" and "False" as 1 and 0 */
	MIB,	 /* KiB in the configuration */
	STRINGS, /* a list of them */
};

/* Types of domains that xl reads a setting for. */
enum { ON_PV = 1, ON_PVH = 2, ON_HVM = 4, ON_ALL = 7 };

struct setting {
	const char *path, *key;
	enum how how;
	unsigned int types;
};

#define HVM "b_info/type.hvm/"
#define PVH "b_info/type.pvh/"

static const struct setting settings[] = {
	{ "c_info/pool_name", "pool", TEXT, ON_ALL },
	{ "c_info/hap", "hap", SWITCH, ON_ALL },
	{ "c_info/oos", "oos", SWITCH, ON_ALL },
	{ "c_info/driver_domain", "driver_domain", SWITCH, ON_ALL },
	{ "c_info/passthrough", "passthrough", TEXT, ON_ALL },
	{ "c_info/xend_suspend_evtchn_compat", "xend_suspend_evtchn_compat", SWITCH, ON_ALL },
	{ "b_info/target_memkb", "memory", MIB, ON_ALL },
	{ "b_info/max_memkb", "maxmem", MIB, ON_ALL },
	{ "b_info/shadow_memkb", "shadow_memory", MIB, ON_ALL },
	{ "b_info/video_memkb", "videoram", MIB, ON_ALL },
	{ "b_info/sched_params/weight", "cpu_weight", NUMBER, ON_ALL },
	{ "b_info/sched_params/cap", "cap", NUMBER, ON_ALL },
	{ "b_info/sched_params/period", "period", NUMBER, ON_ALL },
	{ "b_info/sched_params/slice", "slice", NUMBER, ON_ALL },
	{ "b_info/sched_params/latency", "latency", NUMBER, ON_ALL },
	{ "b_info/sched_params/extratime", "extratime", NUMBER, ON_ALL },
	{ "b_info/max_grant_frames", "max_grant_frames", NUMBER, ON_ALL },
	{ "b_info/max_maptrack_frames", "max_maptrack_frames", NUMBER, ON_ALL },
	{ "b_info/max_grant_version", "max_grant_version", NUMBER, ON_ALL },
	{ "b_info/event_channels", "max_event_channels", NUMBER, ON_ALL },
	{ "b_info/vmtrace_buf_kb", "vmtrace_buf_kb", NUMBER, ON_ALL },
	{ "b_info/vpmu", "vpmu", SWITCH, ON_ALL },
	{ "b_info/disable_migrate", "nomigrate", SWITCH, ON_ALL },
	{ "b_info/tsc_mode", "tsc_mode", TEXT, ON_ALL },
	{ "b_info/timer_mode", "timer_mode", TEXT, ON_PVH | ON_HVM },
	{ "b_info/rtc_timeoffset", "rtc_timeoffset", NUMBER, ON_ALL },
	{ "b_info/localtime", "localtime", SWITCH, ON_ALL },
	{ "b_info/acpi", "acpi", SWITCH, ON_ALL },
	{ "b_info/apic", "apic", SWITCH, ON_HVM },
	{ "b_info/nested_hvm", "nestedhvm", SWITCH, ON_ALL },
	{ "b_info/altp2m", "altp2m", TEXT, ON_ALL },
	{ "b_info/tee", "tee", TEXT, ON_ALL },
	{ "b_info/arch_arm/gic_version", "gic_version", TEXT, ON_ALL },
	{ "b_info/arch_arm/vuart", "vuart", TEXT, ON_ALL },
	{ "b_info/arch_x86/msr_relaxed", "msr_relaxed", SWITCH, ON_ALL },
	{ "b_info/ramdisk", "ramdisk", TEXT, ON_ALL },
	{ "b_info/cmdline", "cmdline", TEXT, ON_ALL },
	{ "b_info/device_tree", "device_tree", TEXT, ON_ALL },
	{ "b_info/bootloader", "bootloader", TEXT, ON_ALL },
	{ "b_info/bootloader_args", "bootloader_args", STRINGS, ON_ALL },
	{ PVH "pvshim", "pvshim", SWITCH, ON_PVH },
	{ PVH "pvshim_path", "pvshim_path", TEXT, ON_PVH },
	{ PVH "pvshim_cmdline", "pvshim_cmdline", TEXT, ON_PVH },
	{ PVH "pvshim_extra", "pvshim_extra", TEXT, ON_PVH },
	{ HVM "bios", "bios", TEXT, ON_HVM },
	{ HVM "firmware", "firmware_override", TEXT, ON_HVM },
	{ HVM "system_firmware", "bios_path_override", TEXT, ON_HVM },
	{ HVM "smbios_firmware", "smbios_firmware", TEXT, ON_HVM },
	{ HVM "acpi_firmware", "acpi_firmware", TEXT, ON_HVM },
	{ HVM "boot", "boot", TEXT, ON_HVM },
	{ HVM "hdtype", "hdtype", TEXT, ON_HVM },
	{ HVM "pae", "pae", SWITCH, ON_HVM },
	{ HVM "nx", "nx", SWITCH, ON_HVM },
	{ HVM "hpet", "hpet", SWITCH, ON_HVM },
	{ HVM "vpt_align", "vpt_align", SWITCH, ON_HVM },
	{ HVM "acpi_s3", "acpi_s3", SWITCH, ON_HVM },
	{ HVM "acpi_s4", "acpi_s4", SWITCH, ON_HVM },
	{ HVM "acpi_laptop_slate", "acpi_laptop_slate", SWITCH, ON_HVM },
	{ HVM "altp2m", "altp2mhvm", SWITCH, ON_HVM },
	{ HVM "rdm_mem_boundary_memkb", "rdm_mem_boundary", MIB, ON_HVM },
	{ HVM "xen_platform_pci", "xen_platform_pci", SWITCH, ON_HVM },
	{ HVM "vendor_device", "vendor_device", TEXT, ON_HVM },
	{ HVM "vnc/enable", "vnc", SWITCH, ON_HVM },
	{ HVM "vnc/listen", "vnclisten", TEXT, ON_HVM },
	{ HVM "vnc/passwd", "vncpasswd", TEXT, ON_HVM },
	{ HVM "vnc/findunused", "vncunused", SWITCH, ON_HVM },
	{ HVM "keymap", "keymap", TEXT, ON_HVM },
	{ HVM "sdl/enable", "sdl", SWITCH, ON_HVM },
	{ HVM "sdl/opengl", "opengl", SWITCH, ON_HVM },
	{ HVM "sdl/display", "display", TEXT, ON_HVM },
	{ HVM "sdl/xauthority", "xauthority", TEXT, ON_HVM },
	{ HVM "spice/enable", "spice", SWITCH, ON_HVM },
	{ HVM "spice/port", "spiceport", NUMBER, ON_HVM },
	{ HVM "spice/tls_port", "spicetls_port", NUMBER, ON_HVM },
	{ HVM "spice/host", "spicehost", TEXT, ON_HVM },
	{ HVM "spice/disable_ticketing", "spicedisable_ticketing", SWITCH, ON_HVM },
	{ HVM "spice/passwd", "spicepasswd", TEXT, ON_HVM },
	{ HVM "spice/agent_mouse", "spiceagent_mouse", SWITCH, ON_HVM },
	{ HVM "spice/vdagent", "spicevdagent", SWITCH, ON_HVM },
	{ HVM "spice/clipboard_sharing", "spice_clipboard_sharing", SWITCH, ON_HVM },
	{ HVM "spice/usbredirection", "spiceusbredirection", NUMBER, ON_HVM },
	{ HVM "spice/image_compression", "spice_image_compression", TEXT, ON_HVM },
	{ HVM "spice/streaming_video", "spice_streaming_video", TEXT, ON_HVM },
	{ HVM "nographic", "nographic", SWITCH, ON_HVM },
	{ HVM "serial", "serial", TEXT, ON_HVM },
	{ HVM "serial_list", "serial", STRINGS, ON_HVM },
	{ HVM "usb", "usb", SWITCH, ON_HVM },
	{ HVM "usbversion", "usbversion", NUMBER, ON_HVM },
	{ HVM "usbdevice", "usbdevice", TEXT, ON_HVM },
	{ HVM "usbdevice_list", "usbdevice", STRINGS, ON_HVM },
	{ HVM "vkb_device", "vkb_device", SWITCH, ON_HVM },
	{ HVM "soundhw", "soundhw", TEXT, ON_HVM },
	{ "b_info/device_model_version", "device_model_version", DASHED, ON_ALL },
	{ "b_info/device_model", "device_model_override", TEXT, ON_ALL },
	{ "b_info/device_model_stubdomain", "device_model_stubdomain_override", SWITCH, ON_ALL },
	{ "b_info/device_model_ssid_label", "device_model_stubdomain_seclabel", TEXT, ON_ALL },
	{ "b_info/device_model_user", "device_model_user", TEXT, ON_ALL },
	{ "b_info/stubdomain_kernel", "stubdomain_kernel", TEXT, ON_ALL },
	{ "b_info/stubdomain_cmdline", "stubdomain_cmdline", TEXT, ON_ALL },
	{ "b_info/stubdomain_ramdisk", "stubdomain_ramdisk", TEXT, ON_ALL },
	{ "b_info/stubdomain_memkb", "stubdomain_memory", MIB, ON_ALL },
	{ "b_info/dm_restrict", "dm_restrict", SWITCH, ON_ALL },
	{ "b_info/extra", "device_model_args", STRINGS, ON_ALL },
	{ "b_info/extra_pv", "device_model_args_pv", STRINGS, ON_ALL },
	{ "b_info/extra_hvm", "device_model_args_hvm", STRINGS, ON_ALL },
};

/* ---- one setting ---- */

static void write_text(struct xl_writer *w, const char *key, const char *value)
{
	xl_text_add(&w->out, "%s = ", key);
	xl_text_quoted(&w->out, value);
	xl_text_add(&w->out, "\n");
}

static void write_number(struct xl_writer *w, const char *key, int64_t value)
{
	/* A minus is none of a file's characters but in quotes. */
	xl_text_add(&w->out, value < 0 ? "%s = \"%" PRId64 "\"\n" : "%s = %" PRId64 "\n", key,
		    value);
}

static void write_dashed(struct xl_writer *w, const char *key, const char *value)
{
	xl_text_add(&w->out, "%s = \"", key);
	for (; *value; value++)
		xl_text_add(&w->out, "%c", *value == '_' ? '-' : *value);
	xl_text_add(&w->out, "\"\n");
}

static bool write_strings(struct xl_writer *w, const char *key, struct json_object *list)
{
	size_t n = json_object_array_length(list);

	for (size_t i = 0; i < n; i++) {
		if (!json_object_is_type(json_object_array_get_idx(list, i), json_type_string))
			return false;
	}
	xl_text_add(&w->out, "%s = [ ", key);
	for (size_t i = 0; i < n; i++) {
		xl_text_add(&w->out, "%s", i ? ", " : "");
		xl_text_quoted(&w->out, json_object_get_string(json_object_array_get_idx(list, i)));
	}
	xl_text_add(&w->out, " ]\n");
	return true;
}

/* Whole MiB are said; of the rest at least those, and the field is left over. */
static bool write_mib(struct xl_writer *w, const char *key, struct json_object *value)
{
	int64_t kib = json_object_get_int64(value);

	if (!json_object_is_type(value, json_type_int) || kib < 0)
		return false;
	write_number(w, key, kib >> 10);
	return kib % 1024 == 0;
}

static bool write_value(struct xl_writer *w, const struct setting *s, struct json_object *value)
{
	bool string = json_object_is_type(value, json_type_string);

	switch (s->how) {
	case TEXT:
		if (string)
			write_text(w, s->key, json_object_get_string(value));
		return string;
	case DASHED:
		if (string)
			write_dashed(w, s->key, json_object_get_string(value));
		return string;
	case NUMBER:
		write_number(w, s->key, json_object_get_int64(value));
		return true;
	case SWITCH:
		write_number(w, s->key, !strcmp(json_object_get_string(value), "True"));
		return true;
	case MIB:
		return write_mib(w, s->key, value);
	case STRINGS:
		return json_object_is_type(value, json_type_array) &&
		       write_strings(w, s->key, value);
	}
	return false;
}

/* ---- those that are more than a value ---- */

static void write_create(struct xl_writer *w)
{
	const char *label = xl_string_at(w->rest, "c_info/ssid_label");
	const char *exec = xl_string_at(w->rest, "b_info/exec_ssid_label");

	/* "seclabel" is that of the domain while it is made, too, where nothing else says that. */
	if (label)
		write_text(w, "init_seclabel", label);
	if (label && exec)
		write_text(w, "seclabel", exec);
	if (label && exec)
		xl_done(w->rest, "b_info/exec_ssid_label");
	xl_done(w->rest, "c_info/ssid_label");

	/* Both are said in xl.conf, with these defaults, and not in a domain's file. */
	if (xl_is(w->rest, "c_info/run_hotplug_scripts", "True"))
		xl_done(w->rest, "c_info/run_hotplug_scripts");
	else if (!xl_at(w->rest, "c_info/run_hotplug_scripts"))
		xl_note(w, "c_info/run_hotplug_scripts", "not there; xl makes it True");
	if (xl_is(w->rest, "b_info/claim_mode", "True"))
		xl_done(w->rest, "b_info/claim_mode");
	else if (!xl_at(w->rest, "b_info/claim_mode"))
		xl_note(w, "b_info/claim_mode", "not there; xl makes it True");
}

static void write_identity(struct xl_writer *w)
{
	static const struct setting names[] = {
		{ "c_info/name", "name", TEXT, ON_ALL },
		{ "c_info/type", "type", TEXT, ON_ALL },
		{ "c_info/uuid", "uuid", TEXT, ON_ALL },
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct json_object *value = xl_at(w->rest, names[i].path);

		if (value && write_value(w, &names[i], value))
			xl_done(w->rest, names[i].path);
		else if (!value)
			xl_note(w, names[i].path, "not there; xl %s",
				i == 0 ? "asks for it" : "chooses one");
	}
}

static void write_kernel(struct xl_writer *w)
{
	const char *kernel = xl_string_at(w->rest, "b_info/kernel");
	const char *slash = kernel ? strrchr(kernel, '/') : NULL;

	/* xl takes a guest's own kernel of this name for a mistake. */
	if (kernel && !strcmp(w->type, "hvm") && !strcmp(slash ? slash + 1 : kernel, "hvmloader"))
		return;
	if (kernel) {
		write_text(w, "kernel", kernel);
		xl_done(w->rest, "b_info/kernel");
	} else if (strcmp(w->type, "hvm") && !xl_at(w->rest, "b_info/bootloader")) {
		xl_note(w, "b_info/kernel", "not there; xl asks for it, or for a bootloader");
	}
}

static void write_actions(struct xl_writer *w)
{
	static const char *const events[] = { "on_poweroff", "on_reboot", "on_watchdog", "on_crash",
					      "on_soft_reset" };

	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		const char *action = xl_string_at(w->rest, events[i]);

		/* xl's own defaults are not those of the record. */
		if (!action)
			action = "destroy";
		if (!strcmp(action, "restart_rename"))
			action = "rename-restart";
		write_dashed(w, events[i], action);
		xl_done(w->rest, events[i]);
	}
}

/* xl makes a PV domain with PCI devices see the host's memory map, whatever the file says. */
static void write_host_map(struct xl_writer *w)
{
	static const char path[] = "b_info/type.pv/e820_host";
	bool pci = xl_at(w->rest, "pcidevs"), on = xl_is(w->rest, path, "True");

	if (strcmp(w->type, "pv"))
		return;
	if (!xl_at(w->rest, path)) {
		if (pci)
			xl_note(w, path, "not there; xl makes it True");
	} else if (on || !pci) {
		write_number(w, "e820_host", on);
		xl_done(w->rest, path);
	}
}

static void write_viridian(struct xl_writer *w)
{
	static const char *const names[] = {
		"base",
		"freq",
		"time_ref_count",
		"reference_tsc",
		"hcall_remote_tlb_flush",
		"apic_assist",
		"crash_ctl",
		"synic",
		"stimer",
		"hcall_ipi",
		"ex_processor_masks",
		"no_vp_limit",
		"cpu_hotplug",
	};
	static const char *const paths[] = { HVM "viridian_enable", HVM "viridian_disable" };
	const char *before = "viridian = [ ";

	if (!xl_at(w->rest, paths[0]) && !xl_at(w->rest, paths[1])) {
		if (xl_at(w->rest, HVM "viridian"))
			write_number(w, "viridian", xl_is(w->rest, HVM "viridian", "True"));
		xl_done(w->rest, HVM "viridian");
		return;
	}
	if (xl_is(w->rest, HVM "viridian", "True")) {
		xl_text_add(&w->out, "%s\"defaults\"", before);
		xl_done(w->rest, HVM "viridian");
		before = ", ";
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct json_object *bits = xl_at(w->rest, paths[i]);
		size_t n = bits ? json_object_array_length(bits) : 0, known = 0;

		for (size_t j = 0; j < n; j++) {
			int64_t bit = json_object_get_int64(json_object_array_get_idx(bits, j));

			if (bit < 0 || bit >= (int64_t)ARRAY_LEN(names))
				continue;
			xl_text_add(&w->out, "%s\"%s%s\"", before, i ? "!" : "", names[bit]);
			before = ", ";
			known++;
		}
		if (known == n)
			xl_done(w->rest, paths[i]);
	}
	xl_text_add(&w->out, "%s]\n", *before == ',' ? " " : before);
}

static void write_graphics(struct xl_writer *w)
{
	const char *vga = xl_string_at(w->rest, HVM "vga/kind");
	const char *listen = xl_string_at(w->rest, HVM "vnc/listen");
	int64_t display = xl_int_at(w->rest, HVM "vnc/display", -1);
	bool igd = xl_is(w->rest, HVM "gfx_passthru_kind", "igd");
	struct json_object *passthru = xl_at(w->rest, HVM "gfx_passthru");

	if (vga && strcmp(vga, "unknown")) {
		write_text(w, "vga", strcmp(vga, "std") ? vga : "stdvga");
		xl_done(w->rest, HVM "vga/kind");
	}
	/* xl refuses a display beside an address that has one. */
	if (display >= 0 && (!listen || !strchr(listen, ':'))) {
		write_number(w, "vncdisplay", display);
		xl_done(w->rest, HVM "vnc/display");
	}
	/* The name of a kind turns it on. */
	if (igd && xl_is(w->rest, HVM "gfx_passthru", "True")) {
		write_text(w, "gfx_passthru", "igd");
		xl_done(w->rest, HVM "gfx_passthru_kind");
		xl_done(w->rest, HVM "gfx_passthru");
	} else if (passthru) {
		write_number(w, "gfx_passthru", xl_is(w->rest, HVM "gfx_passthru", "True"));
		xl_done(w->rest, HVM "gfx_passthru");
	}
}

static void write_hvm(struct xl_writer *w)
{
	const int64_t least = 0x10000000 / 1024, most = 0xf0000000 / 1024;
	int64_t hole = xl_int_at(w->rest, HVM "mmio_hole_memkb", 0);

	write_viridian(w);
	write_graphics(w);
	/* xl refuses other sizes of a hole. */
	if (hole >= least && hole <= most && hole % 1024 == 0) {
		write_number(w, "mmio_hole", hole / 1024);
		xl_done(w->rest, HVM "mmio_hole_memkb");
	}
	if (xl_int_at(w->rest, HVM "mca_caps", 0) == 1) {
		xl_text_add(&w->out, "mca_caps = [ \"lmce\" ]\n");
		xl_done(w->rest, HVM "mca_caps");
	}
	/* A new one each time: so the old one is left over. */
	if (xl_at(w->rest, HVM "ms_vm_genid"))
		write_text(w, "ms_vm_genid", "generate");
	/* 4.17 refuses every policy here, and without one it leaves what happens to be there. */
	if (xl_is(w->rest, HVM "rdm/strategy", "host")) {
		write_text(w, "rdm", "strategy=host");
		xl_done(w->rest, HVM "rdm/strategy");
		if (!xl_at(w->rest, HVM "rdm/policy"))
			xl_note(w, HVM "rdm/policy", "not there; xl makes it any");
	}
}

static unsigned int type_bit(const char *type)
{
	return !strcmp(type, "hvm") ? ON_HVM : !strcmp(type, "pvh") ? ON_PVH : ON_PV;
}

void xl_write_domain(struct xl_writer *w)
{
	write_identity(w);
	write_create(w);
	write_host_map(w);
	write_kernel(w);
	if (!strcmp(w->type, "hvm"))
		write_hvm(w);
	if (!xl_at(w->rest, "b_info/max_memkb") && xl_at(w->rest, "b_info/target_memkb"))
		xl_note(w, "b_info/max_memkb", "not there; xl makes it that of target_memkb");
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const struct setting *s = &settings[i];
		struct json_object *value =
			s->types & type_bit(w->type) ? xl_at(w->rest, s->path) : NULL;

		if (value && write_value(w, s, value))
			xl_done(w->rest, s->path);
	}
	write_actions(w);
}
