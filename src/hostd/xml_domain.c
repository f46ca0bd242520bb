/* SPDX-License-Identifier: MIT */
/*
 * The table of what is in <domain> but for its devices, and what libvirt fills in where it was not
 * given. Elements that only say what is so anyway are accepted and dropped.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/own.h"
#include "hostd/xml_own.h"

#define DEF_AT(field) offsetof(struct guest_def, field)
#define DEF_KEPT_AT(place) (DEF_AT(kept) + (place) * sizeof(char *))
#define KEPT(element, place)                                                                       \
	{                                                                                          \
		.name = (element), .text = XML_NO_TEXT, .kept = true, .any = true,                 \
		.kept_at = DEF_KEPT_AT(place)                                                      \
	}
#define TEXT(element, field)                                                                       \
	{                                                                                          \
		.name = (element), .text = {.kind = XML_TEXT, .at = DEF_AT(field) }                \
	}
#define PATH(element, field)                                                                       \
	{                                                                                          \
		.name = (element), .text = {.kind = XML_PATH, .at = DEF_AT(field) }                \
	}

/* Memory: a number and its unit, in octets. */
static const struct {
	const char *name;
	uint64_t octets;
} units[] = {
	{ "b", 1 },	     { "bytes", 1 },	    { "KB", 1000 },
	{ "k", 1ull << 10 }, { "KiB", 1ull << 10 }, { "MB", 1000000 },
	{ "M", 1ull << 20 }, { "MiB", 1ull << 20 }, { "GB", 1000000000 },
	{ "G", 1ull << 30 }, { "GiB", 1ull << 30 }, { "TB", 1000000000000 },
	{ "T", 1ull << 40 }, { "TiB", 1ull << 40 }, { "PB", 1000000000000000 },
	{ "P", 1ull << 50 }, { "PiB", 1ull << 50 },
};

static int read_memory(struct xml_in *in, const xmlNode *node, uint64_t *ret_kib)
{
	CLEANUP(xml_string) char *unit = xml_attr_copy(node, "unit");
	CLEANUP(xml_string) char *text = (char *)xmlNodeGetContent(node);
	uint64_t scale = 0, n;

	if (!text)
		return FAULT(-ENOMEM);
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (!strcasecmp(unit ? unit : "KiB", units[i].name))
			scale = units[i].octets;
	if (!scale)
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "unknown unit '%.32s' of element <%s> at line %u", unit,
				  (const char *)node->name, xml_line(node));
	if (!xml_number(text, UINT64_MAX / 1024 / scale, &n))
		return xml_refuse(
			in, XML_ERR_XML_ERROR,
			"value '%.32s' of element <%s> at line %u is not an amount of memory", text,
			(const char *)node->name, xml_line(node));
	*ret_kib = (n * scale + 1023) / 1024;
	return 0;
}

static int close_memory(struct xml_in *in, const xmlNode *node, void *object)
{
	struct guest_def *def = object;
	int r = read_memory(in, node, &def->memory_kib);

	if (r)
		return r;
	if (def->memory_kib < DEF_MEMORY_MIN_KIB)
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <memory> at line %u: a guest has at least %u KiB",
				  xml_line(node), DEF_MEMORY_MIN_KIB);
	return 0;
}

static int close_current(struct xml_in *in, const xmlNode *node, void *object)
{
	return read_memory(in, node, &((struct guest_def *)object)->current_kib);
}

static int close_vcpu(struct xml_in *in, const xmlNode *node, void *object)
{
	struct guest_def *def = object;

	if (!def->vcpus)
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <vcpu> at line %u: a guest has at least one",
				  xml_line(node));
	if (!xmlHasProp((xmlNode *)(uintptr_t)node, BAD_CAST "current"))
		def->vcpus_current = def->vcpus;
	if (!def->vcpus_current || def->vcpus_current > def->vcpus)
		return xml_refuse(
			in, XML_ERR_XML_ERROR,
			"attribute 'current' of element <vcpu> at line %u is not in 1..%u",
			xml_line(node), def->vcpus);
	return 0;
}

static int close_name(struct xml_in *in, const xmlNode *node, void *object)
{
	const char *given = ((struct guest_def *)object)->name;
	const char *name = given ? given : "", *s = name;

	while (*s && (unsigned char)*s >= 0x20 && *s != '/' && *s != 0x7f)
		s++;
	if (*s || !*name || strlen(name) >= DEF_NAME_MAX || name[strspn(name, " ")] == '\0' ||
	    !strcmp(name, ".") || !strcmp(name, ".."))
		return xml_refuse(
			in, XML_ERR_XML_ERROR,
			"value of element <name> at line %u is not a name of 1 to %u octets "
			"without '/' and control characters",
			xml_line(node), DEF_NAME_MAX - 1);
	return 0;
}

static int close_uuid(struct xml_in *in, const xmlNode *node, void *object)
{
	CLEANUP(xml_string) char *text = (char *)xmlNodeGetContent(node);
	const char *start = text;
	size_t len;

	if (!text)
		return FAULT(-ENOMEM);
	start += strspn(start, " \t\r\n");
	len = strcspn(start, " \t\r\n");
	if (start[len + strspn(start + len, " \t\r\n")] == '\0') {
		text[(size_t)(start - text) + len] = '\0';
		in->has_uuid = def_uuid_parse(start, ((struct guest_def *)object)->uuid);
		if (in->has_uuid)
			return 0;
	}
	return xml_refuse(in, XML_ERR_XML_ERROR,
			  "value '%.64s' of element <uuid> at line %u is not a uuid", text,
			  xml_line(node));
}

static int close_os_type(struct xml_in *in, const xmlNode *node, void *object)
{
	CLEANUP(xml_string) char *text = (char *)xmlNodeGetContent(node);
	struct guest_def *def = object;

	if (!text)
		return FAULT(-ENOMEM);
	in->has_os_type = true;
	if (!strcmp(text, "xen")) {
		def->os = DEF_OS_PV;
		return 0;
	}
	for (unsigned int i = 0; xml_os_types()[i]; i++)
		if (!strcmp(text, xml_os_types()[i])) {
			def->os = (enum def_os)i;
			return 0;
		}
	return xml_refuse(in, XML_ERR_CONFIG_UNSUPPORTED,
			  "value '%.64s' of element <type> at line %u is not supported (supported: "
			  "hvm, linux, xen, xenpvh)",
			  text, xml_line(node));
}

static int close_boot(struct xml_in *in, const xmlNode *node, void *object)
{
	CLEANUP(xml_string) char *dev = xml_attr_copy(node, "dev");
	static const char *const known[] = { "hd", "cdrom", "network", "fd" };
	struct guest_def *def = object;
	size_t i = 0;
	char *both;

	while (dev && i < ARRAY_LEN(known) && strcmp(known[i], dev))
		i++;
	if (!dev || i == ARRAY_LEN(known) || (def->boot && strstr(def->boot, dev)))
		return xml_refuse(
			in, XML_ERR_XML_ERROR,
			"element <boot> at line %u: dev is one of hd, cdrom, network, fd, "
			"each once",
			xml_line(node));
	if (!def->boot)
		return xml_set(&def->boot, dev);
	if (asprintf(&both, "%s,%s", def->boot, dev) < 0)
		return FAULT(-ENOMEM);
	free(def->boot);
	def->boot = both;
	return 0;
}

static int close_feature(struct xml_in *in, const xmlNode *node, void *object)
{
	CLEANUP(xml_string) char *state = xml_attr_copy(node, "state");
	struct guest_def *def = object;
	unsigned int bit;

	(void)in;
	for (size_t i = 0; xml_feature(i, &bit); i++)
		if (!strcmp(xml_feature(i, &bit), (const char *)node->name) &&
		    (!state || !strcmp(state, "on")))
			def->features |= bit;
	return 0;
}

/* One more word of the list. */
static int close_cpu_feature(struct xml_in *in, const xmlNode *node, void *object)
{
	CLEANUP(xml_string) char *name = xml_attr_copy(node, "name");
	CLEANUP(xml_string) char *policy = xml_attr_copy(node, "policy");
	bool off = policy && !strcmp(policy, "disable");
	struct guest_def *def = object;
	char *list;

	if (!name || !xml_is_word(name, 64))
		return xml_refuse(
			in, XML_ERR_XML_ERROR,
			"element <feature> at line %u: attribute 'name' is missing, or no "
			"name",
			xml_line(node));
	if (asprintf(&list, "%s%s%s=%s", def->cpu_features ? def->cpu_features : "",
		     def->cpu_features ? "," : "", name, off ? "off" : "on") < 0)
		return FAULT(-ENOMEM);
	free(def->cpu_features);
	def->cpu_features = list;
	return 0;
}

static int close_seclabel(struct xml_in *in, const xmlNode *node, void *object)
{
	CLEANUP(xml_string) char *type = xml_attr_copy(node, "type");

	if (type && !strcmp(type, "none"))
		return xml_keep(in, node, &((struct guest_def *)object)->kept[DEF_KEPT_SECLABEL]);
	/* What its host is to choose: nothing, here. */
	if (type && !strcmp(type, "dynamic"))
		return 0;
	return xml_refuse(in, XML_ERR_CONFIG_UNSUPPORTED,
			  "element <seclabel> at line %u: only types 'none' and 'dynamic' are "
			  "supported",
			  xml_line(node));
}

static const char *const word_static[] = { "static", NULL };
static const char *const word_no[] = { "no", NULL };
static const char *const word_rom[] = { "rom", NULL };
static const char *const word_raw[] = { "raw", NULL };
static const char *const word_yes_no[] = { "yes", "no", NULL };
static const char *const word_on_off[] = { "on", "off", NULL };
static const char *const clock_offsets[] = { "utc", "localtime", "variable", NULL };
static const char *const clock_adjustments[] = { "0", "reset", NULL };
static const char *const word_utc[] = { "utc", NULL };
static const char *const arches[] = { "x86_64", "i686", NULL };
static const char *const policies[] = { "require", "disable", NULL };
static const char *const cpu_modes[] = { "custom", "host-model", "host-passthrough", "maximum",
					 NULL };

static const struct xml_value unit_attrs[] = { { "unit", .kind = XML_PASSED }, { 0 } };
static const struct xml_value vcpu_attrs[] = {
	{ "placement", .kind = XML_ONLY, .words = word_static },
	{ "current", XML_UINT, .at = DEF_AT(vcpus_current), .max = DEF_VCPUS_MAX },
	{ 0 },
};

static const struct xml_value os_type_attrs[] = {
	{ "arch", XML_TEXT, .at = DEF_AT(arch), .words = arches },
	{ "machine", XML_TEXT, .at = DEF_AT(machine) },
	{ 0 },
};
static const struct xml_value loader_attrs[] = {
	{ "readonly", .kind = XML_ONLY, .words = word_yes_no },
	{ "type", .kind = XML_ONLY, .words = word_rom },
	{ "secure", .kind = XML_ONLY, .words = word_no },
	{ "format", .kind = XML_ONLY, .words = word_raw },
	{ 0 },
};
static const struct xml_value boot_attrs[] = { { "dev", .kind = XML_PASSED }, { 0 } };
static const struct xml_value bootmenu_attrs[] = { { "enable", .kind = XML_ONLY, .words = word_no },
						   { 0 } };
static const struct xml_element os_children[] = {
	{ "type", .attrs = os_type_attrs, .text = { .kind = XML_PASSED }, .close = close_os_type },
	{ "loader", .attrs = loader_attrs, .text = { .kind = XML_PATH, .at = DEF_AT(loader) } },
	PATH("kernel", kernel),
	PATH("initrd", initrd),
	TEXT("cmdline", cmdline),
	{ "boot", .attrs = boot_attrs, .text = XML_NO_TEXT, .many = true, .close = close_boot },
	{ "bootmenu", .attrs = bootmenu_attrs, .text = XML_NO_TEXT },
	{ 0 },
};

static const struct xml_value state_attrs[] = { { "state", .kind = XML_ONLY, .words = word_on_off },
						{ 0 } };
static const struct xml_element feature_children[] = {
	{ "acpi", .text = XML_NO_TEXT, .close = close_feature },
	{ "apic", .text = XML_NO_TEXT, .close = close_feature },
	{ "pae", .text = XML_NO_TEXT, .close = close_feature },
	{ "hap", .attrs = state_attrs, .text = XML_NO_TEXT, .close = close_feature },
	{ "viridian", .text = XML_NO_TEXT, .close = close_feature },
	{ "vmport", .attrs = state_attrs, .text = XML_NO_TEXT, .kept = true,
	  .kept_at = DEF_KEPT_AT(DEF_KEPT_FEATURES) },
	{ 0 },
};

static const struct xml_value cpu_attrs[] = {
	{ "mode", XML_TEXT, .at = DEF_AT(cpu_mode), .words = cpu_modes },
	{ "match", XML_KEPT, .at = DEF_KEPT_AT(DEF_KEPT_CPU) },
	{ "check", XML_KEPT, .at = DEF_KEPT_AT(DEF_KEPT_CPU) },
	{ "migratable", XML_KEPT, .at = DEF_KEPT_AT(DEF_KEPT_CPU) },
	{ 0 },
};
static const struct xml_value cpu_model_attrs[] = {
	{ "fallback", XML_KEPT, .at = DEF_KEPT_AT(DEF_KEPT_CPU_MODEL) },
	{ 0 },
};
static const struct xml_value cpu_feature_attrs[] = {
	{ "name", .kind = XML_PASSED },
	{ "policy", .kind = XML_ONLY, .words = policies },
	{ 0 },
};
static const struct xml_element cpu_children[] = {
	{ "feature", .attrs = cpu_feature_attrs, .text = XML_NO_TEXT, .many = true,
	  .close = close_cpu_feature },
	{ "model", .attrs = cpu_model_attrs,
	  .text = { .kind = XML_TEXT, .at = DEF_AT(cpu_model) } },
	{ 0 },
};

static const struct xml_value clock_attrs[] = {
	{ "offset", XML_TEXT, .at = DEF_AT(clock_offset), .words = clock_offsets },
	{ "adjustment", .kind = XML_ONLY, .words = clock_adjustments },
	{ "basis", .kind = XML_ONLY, .words = word_utc },
	{ 0 },
};
static const struct xml_element clock_children[] = {
	{ .name = "timer",
	  .text = XML_NO_TEXT,
	  .many = true,
	  .kept = true,
	  .any = true,
	  .kept_at = DEF_KEPT_AT(DEF_KEPT_CLOCK) },
	{ 0 },
};

#define ACTION(element, field)                                                                     \
	{                                                                                          \
		.name = (element), .text = {                                                       \
			.kind = XML_WORD,                                                          \
			.at = DEF_AT(field),                                                       \
			.words = actions_of_guests                                                 \
		}                                                                                  \
	}
static const char *const actions_of_guests[] = { "destroy", "restart", "preserve", "rename-restart",
						 NULL };

static const char *const types_of_guests[] = { "qemu", "kvm", "xen", "test", NULL };
static const struct xml_value seclabel_attrs[] = {
	{ "type", .kind = XML_PASSED },
	{ "model", .kind = XML_PASSED },
	{ "relabel", .kind = XML_PASSED },
	{ 0 },
};
static const struct xml_element seclabel_children[] = {
	{ "label", .text = { .kind = XML_PASSED } },
	{ "imagelabel", .text = { .kind = XML_PASSED } },
	{ 0 },
};

static const struct xml_element domain_children[] = {
	{ "name", .text = { .kind = XML_TEXT, .at = DEF_AT(name) }, .close = close_name },
	{ "uuid", .text = { .kind = XML_PASSED }, .close = close_uuid },
	TEXT("title", title),
	TEXT("description", description),
	KEPT("metadata", DEF_KEPT_METADATA),
	{ "memory", .attrs = unit_attrs, .text = { .kind = XML_PASSED }, .close = close_memory },
	{ "currentMemory", .attrs = unit_attrs, .text = { .kind = XML_PASSED },
	  .close = close_current },
	{ "vcpu", .attrs = vcpu_attrs,
	  .text = { .kind = XML_UINT, .at = DEF_AT(vcpus), .max = DEF_VCPUS_MAX },
	  .close = close_vcpu },
	KEPT("resource", DEF_KEPT_RESOURCE),
	TEXT("bootloader", bootloader),
	TEXT("bootloader_args", bootloader_args),
	{ "os", .children = os_children, .text = XML_NO_TEXT },
	{ "features", .children = feature_children, .text = XML_NO_TEXT },
	{ "cpu", .attrs = cpu_attrs, .children = cpu_children, .text = XML_NO_TEXT },
	{ "clock", .attrs = clock_attrs, .children = clock_children, .text = XML_NO_TEXT },
	ACTION("on_poweroff", on_poweroff),
	ACTION("on_reboot", on_reboot),
	ACTION("on_crash", on_crash),
	KEPT("pm", DEF_KEPT_PM),
	{ "devices", .all_of = xml_devices },
	{ "seclabel", .attrs = seclabel_attrs, .children = seclabel_children, .text = XML_NO_TEXT,
	  .many = true, .close = close_seclabel },
	{ 0 },
};

static const struct xml_value domain_attrs[] = {
	{ "type", XML_WORD, .at = DEF_AT(type), .words = types_of_guests },
	{ "id", .kind = XML_PASSED },
	{ 0 },
};
static const struct xml_element domain = { "domain", .attrs = domain_attrs,
					   .children = domain_children, .text = XML_NO_TEXT };

const struct xml_element *xml_domain(void)
{
	return &domain;
}

static int need(struct xml_in *in, bool there, const char *what)
{
	return there ? 0
		     : xml_refuse(in, XML_ERR_XML_ERROR, "element <%s> of <domain> is missing",
				  what);
}

static int finish_memory(struct xml_in *in, struct guest_def *def)
{
	if (!def->current_kib)
		def->current_kib = def->memory_kib;
	/* Rounding of a unit may have made it a little more. */
	if (def->current_kib > def->memory_kib && def->current_kib - def->memory_kib < 4096)
		def->current_kib = def->memory_kib;
	if (def->current_kib > def->memory_kib)
		return xml_refuse(in, XML_ERR_XML_ERROR,
				  "element <currentMemory>: %" PRIu64 " KiB are more than the "
				  "%" PRIu64 " KiB of <memory>",
				  def->current_kib, def->memory_kib);
	return 0;
}

static bool has_boot_order(const struct guest_def *def)
{
	for (size_t i = 0; i < def->n_disks; i++)
		if (def->disks[i].boot_order)
			return true;
	for (size_t i = 0; i < def->n_nics; i++)
		if (def->nics[i].boot_order)
			return true;
	return false;
}

static int finish_boot(struct xml_in *in, struct guest_def *def)
{
	if (def->os != DEF_OS_HVM)
		return 0;
	if (!has_boot_order(def))
		return def->boot ? 0 : xml_set(&def->boot, "hd");
	if (def->boot)
		return xml_refuse(
			in, XML_ERR_CONFIG_UNSUPPORTED,
			"element <boot> is given in <os> and in devices: only one of them "
			"is possible");
	return 0;
}

static int finish_machine(struct xml_in *in, struct guest_def *def)
{
	static const char *const xen[] = { "xenfv", "xenpv", "xenpvh" };
	int r = 0;

	if (def->type != DEF_XEN && def->os != DEF_OS_HVM)
		return xml_refuse(
			in, XML_ERR_CONFIG_UNSUPPORTED,
			"element <type>: '%s' is possible with domains of type 'xen' only",
			xml_os_types()[def->os]);
	if (!def->arch)
		r = xml_set(&def->arch, "x86_64");
	if (!r && !def->machine && def->type == DEF_XEN)
		r = xml_set(&def->machine, xen[def->os]);
	if (!r && !def->cpu_mode && (def->cpu_model || def->cpu_features))
		r = xml_set(&def->cpu_mode, "custom");
	if (r || def->emulator || (def->type != DEF_QEMU && def->type != DEF_KVM))
		return r;
	if (asprintf(&def->emulator, "/usr/bin/qemu-system-%s",
		     !strcmp(def->arch, "i686") ? "i386" : def->arch) < 0) {
		def->emulator = NULL;
		return FAULT(-ENOMEM);
	}
	return 0;
}

int xml_finish_domain(struct xml_in *in)
{
	struct guest_def *def = in->def;
	int r = need(in, def->name, "name");

	if (!r)
		r = need(in, def->memory_kib, "memory");
	if (!r)
		r = need(in, in->has_os_type, "os");
	if (!r)
		r = finish_memory(in, def);
	if (!r)
		r = finish_machine(in, def);
	if (!r)
		r = finish_boot(in, def);
	/* Adjusted by nothing, it is plain utc. */
	if (!r && (!def->clock_offset || !strcmp(def->clock_offset, "variable")))
		r = xml_set(&def->clock_offset, "utc");
	if (!r && !in->has_uuid) {
		in->random(in->random_data, def->uuid, sizeof(def->uuid));
		def->uuid[6] = (uint8_t)((def->uuid[6] & 0x0f) | 0x40);
		def->uuid[8] = (uint8_t)((def->uuid[8] & 0x3f) | 0x80);
	}
	return r;
}
