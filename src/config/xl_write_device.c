/* SPDX-License-Identifier: MIT */
/*
 * Lists of devices in a file for `xl create`. xl cuts most of a device's words at commas and knows
 * no quotes in there, so a value with a comma is left over rather than said wrongly.
 */
#include "config/xl_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "config/xl.h"

#define PAIR(path, key)                                                                            \
	{                                                                                          \
		(path), (key)                                                                      \
	}
struct pair {
	const char *path, *key;
};

static void say_strings(struct xl_spec *s, const struct pair *pairs, size_t n, const char *no)
{
	for (size_t i = 0; i < n; i++)
		xl_spec_string(s, pairs[i].path, pairs[i].key, no);
}

static void say_numbers(struct xl_spec *s, const struct pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		xl_spec_number(s, pairs[i].path, pairs[i].key);
}

/* KEY=1 or KEY=0 of "True" and "False". */
static void say_switches(struct xl_spec *s, const struct pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *value = xl_string_at(s->dev, pairs[i].path);

		if (!value)
			continue;
		xl_spec_add(s, "%s=%d", pairs[i].key, strcmp(value, "True") ? 0 : 1);
		xl_done(s->dev, pairs[i].path);
	}
}

/* One word for "True" and another for "False". */
static void say_choice(struct xl_spec *s, const char *field, const char *yes, const char *no)
{
	const char *value = xl_string_at(s->dev, field);

	if (!value)
		return;
	xl_spec_add(s, "%s", strcmp(value, "True") ? no : yes);
	xl_done(s->dev, field);
}

/* ---- disk ---- */

/* A cdrom is removable and not writable; without a target it has no format but "empty". */
static void say_cdrom(struct xl_spec *s)
{
	const char *target = xl_string_at(s->dev, "pdev_path");
	const char *format = xl_string_at(s->dev, "format");

	xl_spec_add(s, "devtype=cdrom");
	if (xl_int_at(s->dev, "is_cdrom", 0) == 1)
		xl_done(s->dev, "is_cdrom");
	if (xl_int_at(s->dev, "removable", 0) == 1)
		xl_done(s->dev, "removable");
	else if (!xl_at(s->dev, "removable"))
		xl_spec_note(s, "removable", "not there; xl makes it 1");
	if ((!target || !*target) && format && !strcmp(format, "empty"))
		xl_done(s->dev, "format");
	else if (target && *target)
		xl_spec_string(s, "format", "format", ",");
}

static void say_disk_mode(struct xl_spec *s, bool cdrom)
{
	int64_t writable = xl_int_at(s->dev, "readwrite", 0);
	bool format = xl_at(s->dev, "format");

	if (cdrom) {
		say_cdrom(s);
	} else {
		xl_spec_add(s, "access=%s", writable ? "rw" : "ro");
		if (writable == 1)
			xl_done(s->dev, "readwrite");
		xl_spec_string(s, "format", "format", ",");
	}
	if (!format)
		xl_spec_note(s, "format", "not there; xl makes it one");
}

/* It takes the rest of the line, but for one comma at its end. */
static void say_disk_target(struct xl_spec *s, bool cdrom)
{
	const char *target = xl_string_at(s->dev, "pdev_path");
	size_t n = target ? strlen(target) : 0;

	if (target && !strchr(target, '\n')) {
		xl_spec_add(s, "target=%s%s", target, n && target[n - 1] == ',' ? "," : "");
		xl_done(s->dev, "pdev_path");
	} else if (!cdrom) {
		xl_spec_add(s, "target=");
		if (!target)
			xl_spec_note(s, "pdev_path", "not there; xl asks for one");
	}
}

static bool say_disk(struct xl_spec *s)
{
	static const struct pair strings[] = {
		PAIR("backend", "backendtype"),	    PAIR("specification", "specification"),
		PAIR("script", "script"),	    PAIR("colo_host", "colo-host"),
		PAIR("colo_export", "colo-export"), PAIR("active_disk", "active-disk"),
		PAIR("hidden_disk", "hidden-disk"),
	};
	bool cdrom = xl_int_at(s->dev, "is_cdrom", 0);

	if (!xl_spec_string(s, "vdev", "vdev", ","))
		return false;
	say_disk_mode(s, cdrom);
	xl_spec_backend(s, ",", false);
	say_strings(s, strings, ARRAY_LEN(strings), ",");
	if (xl_at(s->dev, "direct_io_safe")) {
		xl_spec_add(s, "direct-io-safe");
		xl_done(s->dev, "direct_io_safe");
	}
	say_choice(s, "discard_enable", "discard", "no-discard");
	say_choice(s, "colo_enable", "colo", "no-colo");
	if (xl_int_at(s->dev, "colo_port", 0))
		xl_spec_number(s, "colo_port", "colo-port");
	say_disk_target(s, cdrom);
	return true;
}

/* ---- nic ---- */

/*
 * The octets of each interval as octets a second, which xl multiplies and cuts back. 0: there is
 * no such number.
 */
static uint64_t rate_per_second(uint64_t octets, uint64_t usecs)
{
	unsigned __int128 rate = ((unsigned __int128)octets * 1000000 + usecs - 1) / usecs;

	if (rate > UINT32_MAX || rate * usecs / 1000000 != octets)
		return 0;
	return (uint64_t)rate;
}

static void say_rate(struct xl_spec *s)
{
	int64_t octets = xl_int_at(s->dev, "rate_bytes_per_interval", 0);
	int64_t usecs = xl_int_at(s->dev, "rate_interval_usecs", 0);
	uint64_t rate;

	if (octets < 0 || usecs <= 0)
		return;
	/* One bit is no octet. */
	rate = octets ? rate_per_second((uint64_t)octets, (uint64_t)usecs) : 1;
	if (!rate)
		return;
	xl_spec_add(s, "rate=%" PRIu64 "%s/s@%" PRId64 "us", rate, octets ? "B" : "b", usecs);
	xl_done(s->dev, "rate_bytes_per_interval");
	xl_done(s->dev, "rate_interval_usecs");
}

static bool say_nic(struct xl_spec *s)
{
	static const struct pair strings[] = {
		PAIR("mac", "mac"),
		PAIR("bridge", "bridge"),
		PAIR("gatewaydev", "gatewaydev"),
		PAIR("ip", "ip"),
		PAIR("script", "script"),
		PAIR("ifname", "vifname"),
		PAIR("model", "model"),
		PAIR("coloft_forwarddev", "forwarddev"),
	};
	const char *type = xl_string_at(s->dev, "nictype");
	const char *key;

	/* xl counts them from 0 unless told. */
	if (xl_int_at(s->dev, "devid", (int64_t)s->number) == (int64_t)s->number)
		xl_spec_devid(s);
	else
		xl_spec_number(s, "devid", "devid");
	say_strings(s, strings, ARRAY_LEN(strings), ",");
	if (type && (!strcmp(type, "vif") || !strcmp(type, "vif_ioemu"))) {
		xl_spec_add(s, "type=%s", !strcmp(type, "vif") ? "vif" : "ioemu");
		xl_done(s->dev, "nictype");
	}
	xl_spec_backend(s, ",", false);
	say_rate(s);
	xl_spec_number(s, "mtu", "mtu");
	say_choice(s, "trusted", "trusted", "untrusted");
	for (size_t i = 0; (key = xl_nic_colo_key(i)); i++)
		xl_spec_string(s, key, key, ",");
	return true;
}

/* ---- pci ---- */

#define PCI_ALL_FUNCTIONS 0xffffffff

/* False: there is no such place, as xl sees it. */
static bool say_pci_place(struct xl_spec *s)
{
	static const struct {
		const char *field;
		int64_t most;
	} parts[] = { { "domain", 0xffff }, { "bus", 0xff }, { "dev", 0x1f }, { "func", 7 } };
	int64_t at[4], slot = xl_int_at(s->dev, "vdevfn", 0);
	int64_t mask = xl_int_at(s->dev, "vfunc_mask", 0);
	char function[24] = "*";

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		at[i] = xl_int_at(s->dev, parts[i].field, 0);
		if (at[i] < 0 || at[i] > parts[i].most)
			return false;
	}
	if (mask != PCI_ALL_FUNCTIONS || at[3])
		snprintf(function, sizeof(function), "%" PRIx64, (uint64_t)at[3]);
	xl_spec_add(s, "%04" PRIx64 ":%02" PRIx64 ":%02" PRIx64 ".%s", (uint64_t)at[0],
		    (uint64_t)at[1], (uint64_t)at[2], function);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		xl_done(s->dev, parts[i].field);
	if (slot && slot % 8 == 0 && slot / 8 < 32) {
		xl_text_add(&s->words, "@%" PRIx64, (uint64_t)slot / 8);
		xl_done(s->dev, "vdevfn");
	}
	if (mask == 1 || (mask == PCI_ALL_FUNCTIONS && !at[3]))
		xl_done(s->dev, "vfunc_mask");
	else if (!mask)
		xl_spec_note(s, "vfunc_mask", "not there; xl makes it 1");
	return true;
}

static bool say_pci(struct xl_spec *s)
{
	static const struct pair numbers[] = {
		PAIR("msitranslate", "msitranslate"),
		PAIR("power_mgmt", "power_mgmt"),
		PAIR("permissive", "permissive"),
		PAIR("seize", "seize"),
	};
	int64_t slot = xl_int_at(s->dev, "vdevfn", 0);

	/* xl wants a place or a name, and not both. */
	if (xl_spec_string(s, "name", "name", ",")) {
		if (slot && slot % 8 == 0 && slot / 8 < 32) {
			xl_spec_add(s, "vslot=%" PRIx64, (uint64_t)slot / 8);
			xl_done(s->dev, "vdevfn");
		}
	} else if (!say_pci_place(s)) {
		return false;
	}
	say_numbers(s, numbers, ARRAY_LEN(numbers));
	/* xl takes the domain's policy, which it sets by chance, and of pv and pvh reads nowhere.
	 */
	if (!xl_spec_string(s, "rdm_policy", "rdm_policy", ",") &&
	    (strcmp(s->w->type, "hvm") ||
	     xl_is(s->w->whole, "b_info/type.hvm/rdm/strategy", "host")))
		xl_spec_note(s, "rdm_policy", "not there; xl makes it one");
	return true;
}

/* ---- the others ---- */

static bool say_tree_node(struct xl_spec *s)
{
	const char *path = xl_string_at(s->dev, "path");

	if (!path)
		return false;
	xl_spec_add(s, "%s", path);
	xl_done(s->dev, "path");
	return true;
}

static bool say_p9(struct xl_spec *s)
{
	static const struct pair strings[] = {
		PAIR("tag", "tag"),
		PAIR("path", "path"),
		PAIR("security_model", "security_model"),
	};
	struct json_object *whole = json_object_array_get_idx(xl_at(s->w->whole, "p9s"), s->index);

	for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
		const char *value = xl_string_at(s->dev, strings[i].path);

		if (!value || strchr(value, ','))
			return false;
	}
	say_strings(s, strings, ARRAY_LEN(strings), ",");
	/* xl gives these no number; and one without a backend has that of the one before. */
	xl_spec_backend(s, ",", s->w->p9_backend);
	s->w->p9_backend |= xl_at(whole, "backend_domname") || xl_at(whole, "backend_domid");
	return true;
}

static bool say_vtpm(struct xl_spec *s)
{
	xl_spec_devid(s);
	xl_spec_backend(s, ",", true);
	xl_spec_string(s, "uuid", "uuid", ",");
	return true;
}

static bool say_connectors(struct xl_spec *s)
{
	struct json_object *list = xl_at(s->dev, "connectors");
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	struct xl_text words = { 0 };
	bool ok = n > 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *one = json_object_array_get_idx(list, i);
		const char *id = xl_string_at(one, "unique_id");

		ok = ok && id && *id && !strpbrk(id, ",;:");
		xl_text_add(&words, "%s%s:%" PRId64 "x%" PRId64, i ? ";" : "", id ? id : "",
			    xl_int_at(one, "width", 0), xl_int_at(one, "height", 0));
	}
	if (ok) {
		xl_spec_add(s, "connectors=%s", words.v ? words.v : "");
		xl_done(s->dev, "connectors");
	}
	xl_text_end(&words, s->w);
	return ok;
}

static bool say_vdispl(struct xl_spec *s)
{
	if (!say_connectors(s))
		return false;
	xl_spec_devid(s);
	xl_spec_backend(s, ",", false);
	xl_spec_number(s, "be_alloc", "be-alloc");
	return true;
}

static bool say_pvcalls(struct xl_spec *s)
{
	xl_spec_devid(s);
	xl_spec_backend(s, ",", false);
	return true;
}

/* xl cuts blanks off these values, and all behind a second equal sign; it refuses empty ones. */
#define CHANNEL_NOT ",= \t\n\v\f\r"

static bool is_channel_text(struct xl_spec *s, const char *path)
{
	const char *value = xl_string_at(s->dev, path);

	return value && *value && !strpbrk(value, CHANNEL_NOT);
}

static bool say_channel(struct xl_spec *s)
{
	bool socket = xl_at(s->dev, "connection.socket");

	if (socket ? !is_channel_text(s, "connection.socket/path")
		   : !xl_at(s->dev, "connection.pty"))
		return false;
	xl_spec_add(s, "connection=%s", socket ? "socket" : "pty");
	xl_spec_string(s, "connection.socket/path", "path", CHANNEL_NOT);
	xl_spec_devid(s);
	if (is_channel_text(s, "name"))
		xl_spec_string(s, "name", "name", CHANNEL_NOT);
	if (!xl_at(s->dev, "backend_domname") || is_channel_text(s, "backend_domname"))
		xl_spec_backend(s, CHANNEL_NOT, false);
	return true;
}

static bool say_vfb(struct xl_spec *s)
{
	static const struct pair switches[] = {
		PAIR("vnc/enable", "vnc"),
		PAIR("vnc/findunused", "vncunused"),
		PAIR("sdl/enable", "sdl"),
		PAIR("sdl/opengl", "opengl"),
	};
	static const struct pair strings[] = {
		PAIR("vnc/listen", "vnclisten"),
		PAIR("vnc/passwd", "vncpasswd"),
		PAIR("keymap", "keymap"),
		PAIR("sdl/display", "display"),
		PAIR("sdl/xauthority", "xauthority"),
	};

	xl_spec_devid(s);
	say_switches(s, switches, ARRAY_LEN(switches));
	say_strings(s, strings, ARRAY_LEN(strings), ",");
	xl_spec_number(s, "vnc/display", "vncdisplay");
	return true;
}

static bool say_usbctrl(struct xl_spec *s)
{
	static const struct pair numbers[] = { PAIR("version", "version"), PAIR("ports", "ports") };

	xl_spec_devid(s);
	xl_spec_string(s, "type", "type", ",");
	say_numbers(s, numbers, ARRAY_LEN(numbers));
	return true;
}

static bool say_usbdev(struct xl_spec *s)
{
	static const struct pair numbers[] = {
		PAIR("type.hostdev/hostbus", "hostbus"),
		PAIR("type.hostdev/hostaddr", "hostaddr"),
		PAIR("ctrl", "controller"),
		PAIR("port", "port"),
	};

	if (xl_at(s->dev, "type.hostdev"))
		xl_spec_add(s, "type=hostdev");
	say_numbers(s, numbers, ARRAY_LEN(numbers));
	return true;
}

/* ---- keyboards ---- */

static bool say_vkb(struct xl_spec *s)
{
	static const struct pair numbers[] = {
		PAIR("feature_disable_keyboard", "feature-disable-keyboard"),
		PAIR("feature_disable_pointer", "feature-disable-pointer"),
		PAIR("feature_abs_pointer", "feature-abs-pointer"),
		PAIR("feature_raw_pointer", "feature-raw-pointer"),
		PAIR("feature_multi_touch", "feature-multi-touch"),
		PAIR("width", "width"),
		PAIR("height", "height"),
		PAIR("multi_touch_width", "multi-touch-width"),
		PAIR("multi_touch_height", "multi-touch-height"),
		PAIR("multi_touch_num_contacts", "multi-touch-num-contacts"),
	};
	bool touch = xl_at(s->dev, "multi_touch_width") || xl_at(s->dev, "multi_touch_height") ||
		     xl_at(s->dev, "multi_touch_num_contacts");

	/* xl asks for the backend's type, and for a size where there is touch. */
	if (!xl_at(s->dev, "backend_type") || (xl_at(s->dev, "feature_multi_touch") && !touch))
		return false;
	if (touch && !xl_at(s->dev, "feature_multi_touch"))
		xl_spec_note(s, "feature_multi_touch", "not there; xl makes it 1");
	xl_spec_string(s, "backend_type", "backend-type", ",");
	xl_spec_devid(s);
	xl_spec_backend(s, ",", false);
	xl_spec_string(s, "unique_id", "unique-id", ",");
	say_numbers(s, numbers, ARRAY_LEN(numbers));
	return true;
}

/* The first of them come with the framebuffers, one with each, and have nothing but a number. */
static void write_vkbs(struct xl_writer *w, size_t n_vfbs)
{
	struct json_object *list = xl_at(w->rest, "vkbs");
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
	char path[32];

	for (size_t i = 0; i < n_vfbs; i++) {
		struct json_object *dev = i < n ? json_object_array_get_idx(list, i) : NULL;

		if (dev && xl_int_at(dev, "devid", -1) == (int64_t)i) {
			xl_done(dev, "devid");
		} else {
			snprintf(path, sizeof(path), "vkbs/%zu/devid", i);
			xl_note(w, path, "not so; xl makes it %zu, for the vfb", i);
		}
	}
	xl_write_list_from(w, "vkbs", "vkb", n_vfbs, say_vkb);
}

void xl_write_devices(struct xl_writer *w)
{
	struct json_object *vfbs = xl_at(w->rest, "vfbs");

	xl_write_list(w, "disks", "disk", say_disk);
	xl_write_list(w, "nics", "vif", say_nic);
	xl_write_list(w, "vtpms", "vtpm", say_vtpm);
	xl_write_list(w, "vfbs", "vfb", say_vfb);
	write_vkbs(w,
		   json_object_is_type(vfbs, json_type_array) ? json_object_array_length(vfbs) : 0);
	xl_write_list(w, "pcidevs", "pci", say_pci);
	xl_write_list(w, "usbctrls", "usbctrl", say_usbctrl);
	xl_write_list(w, "usbdevs", "usbdev", say_usbdev);
	xl_write_list(w, "dtdevs", "dtdev", say_tree_node);
	xl_write_list(w, "channels", "channel", say_channel);
	xl_write_list(w, "p9s", "p9", say_p9);
	xl_write_list(w, "pvcallsifs", "pvcalls", say_pvcalls);
	xl_write_list(w, "vdispls", "vdispl", say_vdispl);
}
