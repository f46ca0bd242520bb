/* SPDX-License-Identifier: MIT */
/*
 * One device of each class, for config_step.c. The domain has a disk xvda, a nic 0 and a USB
 * controller 1 already.
 */
#include <string.h>

#include "tests/stress/config_world.h"

static const struct crash_device devices[] = {
	{ "vbd",
	  { "vdev=xvdq", "pdev_path=/dev/vg0/q", "format=raw", "removable=1" },
	  "pdev_path=/dev/vg0/q2" },
	{ "vif", { "devid=5", "mac=00:16:3e:00:00:05", "bridge=xenbr0" }, "bridge=xenbr1" },
	{ "vtpm", { "devid=2", "uuid=9a1b2c3d-0d4e-4f5a-9b6c-7d8e9f0a1b2c" }, NULL },
	{ "usbctrl", { "devid=3", "type=qusb", "version=2", "ports=4" }, NULL },
	{ "usbdev",
	  { "ctrl=1", "port=2", "type.hostdev.hostbus=1", "type.hostdev.hostaddr=4" },
	  NULL },
	{ "pci", { "domain=0", "bus=3", "dev=0", "func=0" }, NULL },
	{ "vfb", { "devid=3", "vnc.enable=True", "vnc.passwd=a" }, "vnc.passwd=b" },
	{ "vkb", { "devid=3", "backend_type=linux", "unique_id=K" }, NULL },
	{ "channel", { "devid=3", "name=org.example", "connection.socket.path=/run/s" }, NULL },
	{ "9pfs", { "devid=3", "tag=t", "path=/srv/p", "security_model=none" }, NULL },
	{ "pvcalls", { "devid=3" }, NULL },
	{ "vdispl",
	  { "devid=3", "be_alloc=true", "connectors.0.unique_id=1", "connectors.0.width=640",
	    "connectors.0.height=480" },
	  NULL },
	{ "vsnd",
	  { "devid=3", "short_name=s", "long_name=l", "pcms.0.name=p",
	    "pcms.0.streams.0.unique_id=1", "pcms.0.streams.0.type=p" },
	  NULL },
	{ "virtio",
	  { "devid=3", "type=virtio,device22", "transport=mmio", "irq=33", "base=33554432" },
	  NULL },
};

const struct crash_device *crash_device_at(size_t i)
{
	return i < sizeof(devices) / sizeof(devices[0]) ? &devices[i] : NULL;
}

const struct crash_device *crash_device_find(const char *class)
{
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		if (!strcmp(devices[i].class, class))
			return &devices[i];
	return NULL;
}

static int set(struct drover_config *c, struct drover_device *d, const char *field)
{
	const char *value = strchr(field, '=');
	char path[128];

	if (!value || (size_t)(value - field) >= sizeof(path))
		return -1;
	memcpy(path, field, (size_t)(value - field));
	path[value - field] = '\0';
	return drover_device_set(c, d, path, value + 1);
}

int crash_device_make(struct drover_config *c, const struct crash_device *from, const char *script,
		      struct drover_device **ret)
{
	struct drover_device *d = NULL;
	int r = drover_device_new(from->class, &d);

	for (size_t i = 0; !r && i < CRASH_FIELDS_MAX && from->fields[i]; i++)
		r = set(c, d, from->fields[i]);
	if (!r && script)
		r = drover_device_set(c, d, "script", script);
	if (r) {
		drover_device_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

int crash_device_update(struct drover_config *c, const struct crash_device *of,
			struct drover_device *d)
{
	return set(c, d, of->update);
}
