/* SPDX-License-Identifier: MIT */
/*
 * Names of XML, in the order of the enumerations that they stand for.
 */
#include "base/own.h"
#include "hostd/xml_own.h"

static const char *const types[DEF_TYPES + 1] = {
	[DEF_QEMU] = "qemu",
	[DEF_KVM] = "kvm",
	[DEF_XEN] = "xen",
	[DEF_TEST] = "test",
};

static const char *const os_types[DEF_OS_TYPES + 1] = {
	[DEF_OS_HVM] = "hvm",
	[DEF_OS_PV] = "linux",
	[DEF_OS_PVH] = "xenpvh",
};

static const char *const actions[DEF_ACTIONS + 1] = {
	[DEF_DESTROY] = "destroy",
	[DEF_RESTART] = "restart",
	[DEF_PRESERVE] = "preserve",
	[DEF_RENAME_RESTART] = "rename-restart",
};

static const struct {
	const char *name;
	unsigned int bit;
} features[] = {
	{ "acpi", DEF_ACPI }, { "apic", DEF_APIC },	    { "pae", DEF_PAE },
	{ "hap", DEF_HAP },   { "viridian", DEF_VIRIDIAN },
};

const char *const *xml_types(void)
{
	return types;
}

const char *const *xml_os_types(void)
{
	return os_types;
}

const char *const *xml_actions(void)
{
	return actions;
}

const char *xml_feature(size_t i, unsigned int *ret_bit)
{
	if (i >= ARRAY_LEN(features))
		return NULL;
	*ret_bit = features[i].bit;
	return features[i].name;
}
