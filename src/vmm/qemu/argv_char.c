/* SPDX-License-Identifier: MIT */
/*
 * Serial lines, consoles, channels and the screen on the command line.
 */
#include <string.h>

#include "vmm/qemu/argv.h"

#define VNC_PORT_FIRST 5900
#define VNC_PORTS 100

/* A console of type serial is the first serial line under another name. */
static bool is_alias(const struct guest_def *def, const struct def_chardev *c)
{
	return def->n_serials && (!c->target_type || !strcmp(c->target_type, "serial"));
}

/* A console that is a serial line itself, for there is no other. */
static bool is_serial(const struct guest_def *def, const struct def_chardev *c)
{
	return !def->n_serials && (!c->target_type || !strcmp(c->target_type, "serial"));
}

/* ---- what can be ---- */

static int check_char(const struct def_chardev *c, const char *element, char *text, size_t room)
{
	static const char *const types[] = { "pty", "file", "unix", "null" };
	bool known = false;

	for (size_t i = 0; c->type && i < sizeof(types) / sizeof(types[0]); i++)
		known |= !strcmp(c->type, types[i]);
	if (!known)
		return argv_refuse(text, room, "<%s type='%s'> is not supported", element,
				   c->type ? c->type : "");
	if (!c->source && (!strcmp(c->type, "file") || (!strcmp(c->type, "unix") && !c->listen)))
		return argv_refuse(text, room, "<%s type='%s'>: <source path> is missing", element,
				   c->type);
	return 0;
}

static int check_consoles(const struct guest_def *def, char *text, size_t room)
{
	for (size_t i = 0; i < def->n_consoles; i++) {
		const struct def_chardev *c = &def->consoles[i];
		int r = check_char(c, "console", text, room);

		if (r)
			return r;
		if (c->target_type && strcmp(c->target_type, "serial") &&
		    strcmp(c->target_type, "virtio"))
			return argv_refuse(text, room,
					   "<console>: <target type='%s'> is not "
					   "supported",
					   c->target_type);
		if (is_serial(def, c) && i)
			return argv_refuse(text, room,
					   "<console>: the second one needs a <serial>");
	}
	return 0;
}

int argv_check_chars(const struct guest_def *def, char *text, size_t room)
{
	int r;

	if (def->n_serials > ARGV_SERIALS_MAX)
		return argv_refuse(text, room, "<serial>: more than %u", ARGV_SERIALS_MAX);
	for (size_t i = 0; i < def->n_serials; i++) {
		const struct def_chardev *c = &def->serials[i];

		r = check_char(c, "serial", text, room);
		if (r)
			return r;
		if (c->target_type && strcmp(c->target_type, "isa-serial") &&
		    strcmp(c->target_type, "serial"))
			return argv_refuse(text, room,
					   "<serial>: <target type='%s'> is not "
					   "supported",
					   c->target_type);
	}
	for (size_t i = 0; i < def->n_channels; i++) {
		const struct def_chardev *c = &def->channels[i];

		r = check_char(c, "channel", text, room);
		if (r)
			return r;
		if (!argv_is(c->target_type, "virtio") || !c->target_name)
			return argv_refuse(text, room,
					   "<channel>: <target type='%s' name='%s'> is "
					   "not supported",
					   c->target_type ? c->target_type : "",
					   c->target_name ? c->target_name : "");
	}
	return check_consoles(def, text, room);
}

static const char *video_device(const char *model)
{
	static const char *const models[][2] = {
		{ "vga", "VGA" },	    { "cirrus", "cirrus-vga" },
		{ "virtio", "virtio-vga" }, { "bochs", "bochs-display" },
		{ "vmvga", "vmware-svga" },
	};

	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (!strcmp(model, models[i][0]))
			return models[i][1];
	return NULL;
}

int argv_check_graphics(const struct guest_def *def, char *text, size_t room)
{
	if (def->video_model && strcmp(def->video_model, "none") && !video_device(def->video_model))
		return argv_refuse(text, room, "<video>: <model type='%s'> is not supported",
				   def->video_model);
	if (def->n_graphics > 1)
		return argv_refuse(text, room, "<graphics>: more than one");
	for (size_t i = 0; i < def->n_graphics; i++) {
		const struct def_graphics *g = &def->graphics[i];

		if (!argv_is(g->type, "vnc"))
			return argv_refuse(text, room, "<graphics type='%s'> is not supported",
					   g->type ? g->type : "");
		if (g->port > 0 && g->port < VNC_PORT_FIRST)
			return argv_refuse(text, room, "<graphics port='%d'>: below %d", g->port,
					   VNC_PORT_FIRST);
		if (g->listen && (!*g->listen || g->listen[strspn(g->listen, "0123456789abcdefABCDE"
									     "F.:")]))
			return argv_refuse(text, room, "<graphics listen='%s'>: no address",
					   g->listen);
		if (g->keymap && g->keymap[strspn(g->keymap, "abcdefghijklmnopqrstuvwxyz-")])
			return argv_refuse(text, room, "<graphics keymap='%s'>: no such",
					   g->keymap);
	}
	return 0;
}

/* ---- words ---- */

static void put_char(struct words *w, const struct def_chardev *c, const char *kind, size_t at)
{
	words_add(w, "-chardev");
	words_begin(w);
	words_put(w, "%s,id=char%s%zu", !strcmp(c->type, "unix") ? "socket" : c->type, kind, at);
	if (!strcmp(c->type, "file")) {
		words_value(w, "path", c->source);
		words_put(w, ",append=%s", c->append ? "on" : "off");
	} else if (!strcmp(c->type, "unix")) {
		/* Without a path it is in the guest's directory, where the emulator is started. */
		if (c->source)
			words_value(w, "path", c->source);
		else
			words_put(w, ",path=%s%zu.sock", kind, at);
		if (c->listen)
			words_put(w, ",server=on,wait=off");
		else
			words_put(w, ",server=off,reconnect=1");
	}
	words_close(w);
}

static void put_serial(struct words *w, const struct def_chardev *c, size_t at)
{
	put_char(w, c, "serial", at);
	words_add(w, "-device");
	words_begin(w);
	words_put(w, "isa-serial,chardev=charserial%zu,id=serial%zu,index=%zu", at, at, at);
	words_close(w);
}

static void put_port(struct words *w, const struct def_chardev *c, const char *kind, size_t at)
{
	put_char(w, c, kind, at);
	words_add(w, "-device");
	words_begin(w);
	if (c->target_name) {
		words_put(w, "virtserialport,chardev=char%s%zu,id=%s%zu", kind, at, kind, at);
		words_value(w, "name", c->target_name);
	} else {
		words_put(w, "virtconsole,chardev=char%s%zu,id=%s%zu", kind, at, kind, at);
	}
	words_close(w);
}

static bool has_ports(const struct guest_def *def)
{
	if (def->n_channels)
		return true;
	for (size_t i = 0; i < def->n_consoles; i++)
		if (argv_is(def->consoles[i].target_type, "virtio"))
			return true;
	return false;
}

void argv_put_chars(struct words *w, const struct guest_def *def)
{
	for (size_t i = 0; i < def->n_serials; i++)
		put_serial(w, &def->serials[i], i);
	if (has_ports(def)) {
		words_add(w, "-device");
		words_add(w, "virtio-serial-pci,id=ports0");
	}
	for (size_t i = 0; i < def->n_consoles; i++) {
		const struct def_chardev *c = &def->consoles[i];

		if (is_alias(def, c))
			continue;
		if (is_serial(def, c))
			put_serial(w, c, 0);
		else
			put_port(w, c, "console", i);
	}
	for (size_t i = 0; i < def->n_channels; i++)
		put_port(w, &def->channels[i], "channel", i);
}

void argv_put_graphics(struct words *w, const struct guest_def *def)
{
	const struct def_graphics *g = def->n_graphics ? &def->graphics[0] : NULL;
	const char *video = def->video_model ? def->video_model : g ? "vga" : "none";
	const char *listen = g && g->listen ? g->listen : "127.0.0.1";
	bool six = strchr(listen, ':');

	if (strcmp(video, "none")) {
		words_add(w, "-device");
		words_begin(w);
		words_put(w, "%s,id=video0", video_device(video));
		words_close(w);
	}
	words_add(w, "-display");
	words_add(w, "none");
	if (!g)
		return;
	words_add(w, "-vnc");
	words_begin(w);
	words_put(w, "%s%s%s:%d", six ? "[" : "", listen, six ? "]" : "",
		  g->port > 0 ? g->port - VNC_PORT_FIRST : 0);
	if (g->port <= 0 || g->autoport)
		words_put(w, ",to=%d", VNC_PORTS - 1);
	words_close(w);
	if (g->keymap) {
		words_add(w, "-k");
		words_add(w, g->keymap);
	}
}
