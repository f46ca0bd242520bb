/* SPDX-License-Identifier: MIT */
/*
 * <devices> of a definition. Of a guest that runs, also what its host chose for it: the path of a
 * pty, the port of a display.
 */
#include <string.h>

#include "hostd/xml_own.h"

static void print_disk(FILE *f, const struct def_disk *d)
{
	(void)fputs("    <disk", f);
	xml_put_attr(f, "type", d->type);
	xml_put_attr(f, "device", d->device);
	(void)fputs(">\n      <driver", f);
	xml_put_attr(f, "name", d->driver);
	xml_put_attr(f, "type", d->format);
	xml_put_attr(f, "cache", d->cache);
	xml_put_attr(f, "io", d->io);
	xml_put_attr(f, "discard", d->discard);
	(void)fputs("/>\n", f);
	if (d->source) {
		(void)fputs("      <source", f);
		xml_put_attr(f, strcmp(d->type, "block") ? "file" : "dev", d->source);
		(void)fputs("/>\n", f);
	}
	(void)fputs("      <target", f);
	xml_put_attr(f, "dev", d->target);
	xml_put_attr(f, "bus", d->bus);
	(void)fputs("/>\n", f);
	if (d->readonly)
		(void)fputs("      <readonly/>\n", f);
	if (d->shareable)
		(void)fputs("      <shareable/>\n", f);
	if (d->boot_order)
		(void)fprintf(f, "      <boot order='%u'/>\n", d->boot_order);
	xml_put_kept(f, 6, d->kept);
	(void)fputs("    </disk>\n", f);
}

/* An element with one attribute; nothing where it has no value. */
static void put_one(FILE *f, const char *element, const char *attr, const char *value)
{
	if (!value)
		return;
	(void)fprintf(f, "      <%s", element);
	xml_put_attr(f, attr, value);
	(void)fputs("/>\n", f);
}

static void print_nic(FILE *f, const struct def_nic *n)
{
	(void)fputs("    <interface", f);
	xml_put_attr(f, "type", n->type);
	(void)fprintf(f, ">\n      <mac address='%02x:%02x:%02x:%02x:%02x:%02x'/>\n", n->mac[0],
		      n->mac[1], n->mac[2], n->mac[3], n->mac[4], n->mac[5]);
	put_one(f, "source", strcmp(n->type, "network") ? "bridge" : "network", n->source);
	put_one(f, "script", "path", n->script);
	put_one(f, "target", "dev", n->target);
	put_one(f, "model", "type", n->model);
	if (n->boot_order)
		(void)fprintf(f, "      <boot order='%u'/>\n", n->boot_order);
	xml_put_kept(f, 6, n->kept);
	(void)fputs("    </interface>\n", f);
}

static void print_char_source(FILE *f, const struct def_chardev *c, bool live)
{
	if (!c->source || (!strcmp(c->type, "pty") && !live))
		return;
	(void)fputs("      <source", f);
	if (!strcmp(c->type, "unix"))
		xml_put_attr(f, "mode", c->listen ? "bind" : "connect");
	xml_put_attr(f, "path", c->source);
	if (c->append)
		xml_put_attr(f, "append", "on");
	(void)fputs("/>\n", f);
}

/* The first serial line under its other name: what was chosen for it is told there alone. */
static const struct def_chardev *behind(const struct guest_def *def, size_t console)
{
	const struct def_chardev *c = &def->consoles[console];

	if (console || !def->n_serials || strcmp(c->target_type, "serial") != 0)
		return c;
	return &def->serials[0];
}

static void print_chardev(FILE *f, const char *element, const struct def_chardev *c,
			  const struct def_chardev *end, bool live)
{
	bool pty = !strcmp(end->type, "pty") && live;

	(void)fprintf(f, "    <%s", element);
	xml_put_attr(f, "type", end->type);
	if (pty && !strcmp(element, "console"))
		xml_put_attr(f, "tty", end->source);
	(void)fputs(">\n", f);
	print_char_source(f, end, live);
	(void)fputs("      <target", f);
	xml_put_attr(f, "type", c->target_type);
	if (!strcmp(element, "channel"))
		xml_put_attr(f, "name", c->target_name);
	else
		(void)fprintf(f, " port='%u'", c->port);
	if (!strcmp(element, "serial") && c->target_type)
		(void)fprintf(f, ">\n        <model name='%s'/>\n      </target>\n",
			      c->target_type);
	else
		(void)fputs("/>\n", f);
	xml_put_kept(f, 6, c->kept);
	(void)fprintf(f, "    </%s>\n", element);
}

static void print_graphics(FILE *f, const struct def_graphics *g, bool live)
{
	(void)fputs("    <graphics", f);
	xml_put_attr(f, "type", g->type);
	(void)fprintf(f, " port='%d'", g->autoport && !live ? -1 : g->port);
	xml_put_attr(f, "autoport", g->autoport ? "yes" : "no");
	xml_put_attr(f, "listen", g->listen);
	xml_put_attr(f, "keymap", g->keymap);
	(void)fputs(">\n      <listen type='address'", f);
	xml_put_attr(f, "address", g->listen);
	(void)fputs("/>\n", f);
	xml_put_kept(f, 6, g->kept);
	(void)fputs("    </graphics>\n", f);
}

/* "    <element>", or "    <element .../>" where nothing follows in it. */
static void print_around(FILE *f, const char *element, const char *kept)
{
	if (!kept) {
		(void)fputs("/>\n", f);
		return;
	}
	(void)fputs(">\n", f);
	xml_put_kept(f, 6, kept);
	(void)fprintf(f, "    </%s>\n", element);
}

static void print_single(FILE *f, const struct guest_def *def)
{
	const char *attrs = def->kept[DEF_KEPT_VIDEO_MODEL];

	if (def->video_model) {
		(void)fputs("    <video>\n      <model", f);
		xml_put_attr(f, "type", def->video_model);
		(void)fprintf(f, "%s/>\n", attrs ? attrs : "");
		xml_put_kept(f, 6, def->kept[DEF_KEPT_VIDEO]);
		(void)fputs("    </video>\n", f);
	}
	if (def->memballoon) {
		(void)fputs("    <memballoon", f);
		xml_put_attr(f, "model", def->memballoon);
		print_around(f, "memballoon", def->kept[DEF_KEPT_MEMBALLOON]);
	}
	if (def->rng) {
		(void)fputs("    <rng model='virtio'>\n      <backend model='random'>", f);
		xml_put_escaped(f, def->rng, false);
		(void)fputs("</backend>\n", f);
		xml_put_kept(f, 6, def->kept[DEF_KEPT_RNG]);
		(void)fputs("    </rng>\n", f);
	}
}

void xml_print_devices(FILE *f, const struct guest_def *def, bool live)
{
	(void)fputs("  <devices>\n", f);
	xml_put_leaf(f, 4, "emulator", def->emulator);
	for (size_t i = 0; i < def->n_disks; i++)
		print_disk(f, &def->disks[i]);
	xml_put_kept(f, 4, def->kept[DEF_KEPT_CONTROLLERS]);
	for (size_t i = 0; i < def->n_nics; i++)
		print_nic(f, &def->nics[i]);
	for (size_t i = 0; i < def->n_serials; i++)
		print_chardev(f, "serial", &def->serials[i], &def->serials[i], live);
	for (size_t i = 0; i < def->n_consoles; i++)
		print_chardev(f, "console", &def->consoles[i], behind(def, i), live);
	for (size_t i = 0; i < def->n_channels; i++)
		print_chardev(f, "channel", &def->channels[i], &def->channels[i], live);
	xml_put_kept(f, 4, def->kept[DEF_KEPT_INPUTS]);
	for (size_t i = 0; i < def->n_graphics; i++)
		print_graphics(f, &def->graphics[i], live);
	xml_put_kept(f, 4, def->kept[DEF_KEPT_AUDIO]);
	print_single(f, def);
	(void)fputs("  </devices>\n", f);
}
