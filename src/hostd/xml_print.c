/* SPDX-License-Identifier: MIT */
/*
 * A definition as XML, in the order and layout of libvirt's own: what a user edits and compares.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "hostd/xml_own.h"

static void put_kept(FILE *f, unsigned int indent, const struct guest_def *def, enum def_kept place)
{
	xml_put_kept(f, indent, def->kept[place]);
}

static void print_head(FILE *f, const struct guest_def *def, int id)
{
	char uuid[DEF_UUID_TEXT];

	def_uuid_print(def->uuid, uuid);
	(void)fprintf(f, "<domain type='%s'", xml_types()[def->type]);
	if (id >= 0)
		(void)fprintf(f, " id='%d'", id);
	(void)fputs(">\n", f);
	xml_put_leaf(f, 2, "name", def->name);
	xml_put_leaf(f, 2, "uuid", uuid);
	xml_put_leaf(f, 2, "title", def->title);
	xml_put_leaf(f, 2, "description", def->description);
	put_kept(f, 2, def, DEF_KEPT_METADATA);
	(void)fprintf(f, "  <memory unit='KiB'>%" PRIu64 "</memory>\n", def->memory_kib);
	(void)fprintf(f, "  <currentMemory unit='KiB'>%" PRIu64 "</currentMemory>\n",
		      def->current_kib);
	(void)fputs("  <vcpu placement='static'", f);
	if (def->vcpus_current != def->vcpus)
		(void)fprintf(f, " current='%u'", def->vcpus_current);
	(void)fprintf(f, ">%u</vcpu>\n", def->vcpus);
	put_kept(f, 2, def, DEF_KEPT_RESOURCE);
	xml_put_leaf(f, 2, "bootloader", def->bootloader);
	xml_put_leaf(f, 2, "bootloader_args", def->bootloader_args);
}

static void print_os(FILE *f, const struct guest_def *def)
{
	const char *boot = def->boot;

	(void)fputs("  <os>\n    <type", f);
	xml_put_attr(f, "arch", def->arch);
	xml_put_attr(f, "machine", def->machine);
	(void)fprintf(f, ">%s</type>\n", xml_os_types()[def->os]);
	xml_put_leaf(f, 4, "loader", def->loader);
	xml_put_leaf(f, 4, "kernel", def->kernel);
	xml_put_leaf(f, 4, "initrd", def->initrd);
	xml_put_leaf(f, 4, "cmdline", def->cmdline);
	while (boot && *boot) {
		int len = (int)strcspn(boot, ",");

		(void)fprintf(f, "    <boot dev='%.*s'/>\n", len, boot);
		boot += len + (boot[len] == ',');
	}
	(void)fputs("  </os>\n", f);
}

static void print_features(FILE *f, const struct guest_def *def)
{
	const char *name;
	unsigned int bit;

	if (!def->features && !def->kept[DEF_KEPT_FEATURES])
		return;
	(void)fputs("  <features>\n", f);
	for (size_t i = 0; (name = xml_feature(i, &bit)); i++)
		if (def->features & bit)
			(void)fprintf(f, "    <%s/>\n", name);
	put_kept(f, 4, def, DEF_KEPT_FEATURES);
	(void)fputs("  </features>\n", f);
}

/* "hypervisor=on,svm=off" */
static void print_cpu_features(FILE *f, const char *list)
{
	while (list && *list) {
		int name = (int)strcspn(list, "="), all = (int)strcspn(list, ",");

		(void)fprintf(f, "    <feature policy='%s' name='%.*s'/>\n",
			      all - name == 3 ? "require" : "disable", name, list);
		list += all + (list[all] == ',');
	}
}

static void print_cpu(FILE *f, const struct guest_def *def)
{
	const char *attrs = def->kept[DEF_KEPT_CPU];
	const char *model_attrs = def->kept[DEF_KEPT_CPU_MODEL];
	const char *features = def->cpu_features;

	if (!def->cpu_mode && !attrs && !model_attrs)
		return;
	(void)fputs("  <cpu", f);
	xml_put_attr(f, "mode", def->cpu_mode);
	(void)fputs(attrs ? attrs : "", f);
	if (!def->cpu_model && !model_attrs && !features) {
		(void)fputs("/>\n", f);
		return;
	}
	(void)fputs(">\n", f);
	if (def->cpu_model || model_attrs)
		(void)fprintf(f, "    <model%s%s", model_attrs ? model_attrs : "",
			      def->cpu_model ? ">" : "/>\n");
	if (def->cpu_model) {
		xml_put_escaped(f, def->cpu_model, false);
		(void)fputs("</model>\n", f);
	}
	print_cpu_features(f, features);
	(void)fputs("  </cpu>\n", f);
}

static void print_clock(FILE *f, const struct guest_def *def)
{
	(void)fputs("  <clock", f);
	xml_put_attr(f, "offset", def->clock_offset ? def->clock_offset : "utc");
	if (!def->kept[DEF_KEPT_CLOCK]) {
		(void)fputs("/>\n", f);
		return;
	}
	(void)fputs(">\n", f);
	put_kept(f, 4, def, DEF_KEPT_CLOCK);
	(void)fputs("  </clock>\n", f);
}

static void print(FILE *f, const struct guest_def *def, int id, bool live)
{
	print_head(f, def, id);
	print_os(f, def);
	print_features(f, def);
	print_cpu(f, def);
	print_clock(f, def);
	xml_put_leaf(f, 2, "on_poweroff", xml_actions()[def->on_poweroff]);
	xml_put_leaf(f, 2, "on_reboot", xml_actions()[def->on_reboot]);
	xml_put_leaf(f, 2, "on_crash", xml_actions()[def->on_crash]);
	put_kept(f, 2, def, DEF_KEPT_PM);
	xml_print_devices(f, def, live);
	put_kept(f, 2, def, DEF_KEPT_SECLABEL);
	(void)fputs("</domain>\n", f);
}

int xml_print(const struct guest_def *def, int id, unsigned int flags, char **ret)
{
	bool live = id >= 0 && !(flags & (XML_INACTIVE | XML_MIGRATABLE));
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return FAULT(-ENOMEM);
	print(f, def, flags & XML_INACTIVE ? -1 : id, live);
	if (ferror(f) | fclose(f)) {
		free(text);
		return FAULT(-ENOMEM);
	}
	*ret = text;
	return 0;
}
