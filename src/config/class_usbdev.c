/* SPDX-License-Identifier: MIT */
/*
 * USB devices: each is the value of one port's node of a controller, the device's name on the
 * host's buses.
 *
 * Invariant: ports are read from 1 to CLASS_PORTS_MAX only, whatever the store says.
 */
#include "config/class_row.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/class_usb.h"

/* ---- the host ---- */

void usb_sys_path(const char *below, char *ret)
{
	const char *sys = secure_getenv("DROVER_SYSFS");

	snprintf(ret, USB_PATH_MAX, "%s%s", sys ? sys : "/sys", below);
}

/* A number in a file of a device. */
static bool sys_number(const char *busid, const char *file, unsigned int *ret)
{
	char below[USB_BUSID_MAX + 64], path[USB_PATH_MAX];
	bool ok;
	FILE *f;

	snprintf(below, sizeof(below), "/bus/usb/devices/%.*s/%s", USB_BUSID_MAX - 1, busid, file);
	usb_sys_path(below, path);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fscanf(f, "%u", ret) == 1;
	fclose(f);
	return ok;
}

int usb_address(const char *busid, unsigned int *ret_bus, unsigned int *ret_address)
{
	/* Only what can be a name of a device, never a path. */
	if (!*busid || strlen(busid) >= USB_BUSID_MAX ||
	    strspn(busid, "0123456789-.") != strlen(busid) || *busid == '.')
		return -ENODEV;
	if (!sys_number(busid, "busnum", ret_bus) || !sys_number(busid, "devnum", ret_address))
		return -ENODEV;
	return 0;
}

int usb_busid(unsigned int bus, unsigned int address, char ret[USB_BUSID_MAX])
{
	unsigned int b, a;
	char path[USB_PATH_MAX];
	struct dirent *de;
	DIR *dir;
	int r = -ENODEV;

	usb_sys_path("/bus/usb/devices", path);
	dir = opendir(path);
	if (!dir)
		return -ENODEV;
	while (r && (de = readdir(dir))) {
		if (usb_address(de->d_name, &b, &a) || b != bus || a != address)
			continue;
		snprintf(ret, USB_BUSID_MAX, "%.*s", USB_BUSID_MAX - 1, de->d_name);
		r = 0;
	}
	closedir(dir);
	return r;
}

/* ---- identity: "0:1" is port 1 of controller 0 ---- */

static int place(struct json_object *entry, uint32_t *ctrl, uint32_t *port, struct conf_err *err)
{
	int64_t c = class_field_number(entry, "ctrl", -1), p = class_field_number(entry, "port", 0);

	if (c < 0 || c > INT32_MAX)
		return conf_fail(err, -EINVAL, "usbdev: ctrl: not set");
	if (p < 1 || p > CLASS_PORTS_MAX)
		return conf_fail(err, -EINVAL, "usbdev: port: %" PRId64 " is out of 1 to %d", p,
				 CLASS_PORTS_MAX);
	*ctrl = (uint32_t)c;
	*port = (uint32_t)p;
	return 0;
}

int usbdev_id(struct json_object *entry, char ret[CLASS_ID_MAX], struct conf_err *err)
{
	uint32_t ctrl, port;
	int r = place(entry, &ctrl, &port, err);

	if (!r)
		snprintf(ret, CLASS_ID_MAX, "%" PRIu32 ":%" PRIu32, ctrl, port);
	return r;
}

/* "0:1" in its parts. */
static bool split(const char *text, uint64_t *ctrl, uint64_t *port)
{
	const char *colon = strchr(text, ':');
	char first[16];

	if (!colon || (size_t)(colon - text) >= sizeof(first))
		return false;
	snprintf(first, sizeof(first), "%.*s", (int)(colon - text), text);
	return class_number(first, INT32_MAX, ctrl) &&
	       class_number(colon + 1, CLASS_PORTS_MAX, port) && *port;
}

int usbdev_id_of_text(const char *text, char ret[CLASS_ID_MAX], struct conf_err *err)
{
	uint64_t ctrl, port;

	if (!split(text, &ctrl, &port))
		return conf_fail(err, -EINVAL, "usbdev %s: is identified by CONTROLLER:PORT", text);
	snprintf(ret, CLASS_ID_MAX, "%" PRIu64 ":%" PRIu64, ctrl, port);
	return 0;
}

int usbdev_devid(struct json_object *entry, uint32_t *ret, struct conf_err *err)
{
	uint32_t port;

	return place(entry, ret, &port, err);
}

/* A port's value; a controller's keys are its backend's, or libxl's where it has none. */
static const char *port_value(const struct conf_dev *dev, uint64_t port)
{
	const struct conf_values *v = usbctrl_no_backend(dev) ? &dev->libxl : &dev->back;
	const char *value;
	char key[32];

	snprintf(key, sizeof(key), "port/%" PRIu64, port);
	value = conf_values_get(v, key);
	/* Without a backend's directory libxl's copy is all there is. */
	if (!value && !dev->has_backend)
		value = conf_values_get(&dev->libxl, key);
	return value;
}

int usbdev_store_ids(const struct conf_dev *dev, class_id_fn *fn, void *data)
{
	char id[CLASS_ID_MAX];
	unsigned int index = 0;

	for (uint64_t port = 1; port <= CLASS_PORTS_MAX; port++) {
		const char *busid = port_value(dev, port);
		int r;

		if (!busid || !*busid)
			continue;
		snprintf(id, sizeof(id), "%" PRIu32 ":%" PRIu64, dev->devid, port);
		r = fn(data, id, index++);
		if (r)
			return r;
	}
	return 0;
}

/* ---- to the store ---- */

/* A free port of a controller in the store; 0: none. */
static uint64_t free_port(const struct conf_dev *dev)
{
	const char *ports = class_key(dev, "num-ports");
	uint64_t n;

	if (!ports || !class_number(ports, CLASS_PORTS_MAX, &n))
		return 0;
	for (uint64_t port = 1; port <= n; port++) {
		const char *busid = port_value(dev, port);

		if (busid && !*busid)
			return port;
	}
	return 0;
}

int usbdev_complete(struct json_object *entry, struct json_object *config,
		    const struct conf_snapshot *s, uint64_t rnd, struct conf_err *err)
{
	int64_t ctrl = class_field_number(entry, "ctrl", -1);
	uint64_t port = 0;

	(void)config;
	(void)rnd;
	if (class_field_number(entry, "port", 0)) {
		if (ctrl < 0)
			return conf_fail(err, -EINVAL, "usbdev: port: set, and ctrl is not");
		return 0;
	}
	for (size_t i = 0; s && !port && i < s->n_devs; i++) {
		const struct conf_dev *dev = &s->devs[i];

		if (strcmp(dev->kind, "vusb") != 0 || (ctrl >= 0 && dev->devid != ctrl))
			continue;
		port = free_port(dev);
		if (port && (class_field_set_number(entry, "ctrl", dev->devid) ||
			     class_field_set_number(entry, "port", port)))
			return conf_no_memory(err);
	}
	return port ? 0
		    : conf_fail(err, -EINVAL,
				"usbdev: port: no controller has a free one; attach a usbctrl");
}

int usbdev_validate(struct json_object *entry, struct conf_err *err)
{
	int64_t bus = class_field_number(entry, "type.hostdev.hostbus", 0);
	int64_t address = class_field_number(entry, "type.hostdev.hostaddr", 0);

	if (bus < 1 || bus > UINT8_MAX)
		return conf_fail(err, -EINVAL, "usbdev: type.hostdev.hostbus: not set");
	if (address < 1 || address > UINT8_MAX)
		return conf_fail(err, -EINVAL, "usbdev: type.hostdev.hostaddr: not set");
	return 0;
}

int usbdev_entry_nodes(const struct class_put *x, const struct conf_dev *dev, bool add,
		       struct class_nodes *ret, struct class_nodes *ret_remove)
{
	unsigned int bus = (unsigned int)class_field_number(x->entry, "type.hostdev.hostbus", 0);
	unsigned int address =
		(unsigned int)class_field_number(x->entry, "type.hostdev.hostaddr", 0);
	char busid[USB_BUSID_MAX] = "";
	uint32_t ctrl, port;
	const char *base;
	int r = place(x->entry, &ctrl, &port, x->err);

	(void)ret_remove;
	if (r)
		return r;
	if (!dev || dev->devid != ctrl)
		return conf_fail(x->err, -EINVAL,
				 "usbdev: ctrl: the domain has no controller %" PRIu32, ctrl);
	if (add && !port_value(dev, port))
		return conf_fail(x->err, -EINVAL,
				 "usbdev: port: controller %" PRIu32 " has no port %" PRIu32, ctrl,
				 port);
	if (add && usb_busid(bus, address, busid))
		return conf_fail(x->err, -EINVAL,
				 "usbdev: type.hostdev: the host has no USB device %u:%u", bus,
				 address);
	base = usbctrl_no_backend(dev) ? dev->path : dev->backend;
	if (!base)
		return conf_fail(x->err, -EBADMSG, "%s/backend: missing", dev->path);
	return class_nodes_add(ret, x->where, usbctrl_no_backend(dev) ? CLASS_LIBXL : CLASS_BACKEND,
			       false, busid, "%s/port/%" PRIu32, base, port);
}

/* ---- from the store ---- */

/* How many ports there are is the controller's own, and checked there. */
void usbdev_check(const struct conf_dev *dev, const char *id, char *ret, size_t ret_size)
{
	const char *ports = class_key(dev, "num-ports"), *busid;
	uint64_t ctrl, port, n;

	if (!id || !split(id, &ctrl, &port))
		return;
	busid = port_value(dev, port);
	if (!busid)
		snprintf(ret, ret_size, "port/%" PRIu64 ": missing", port);
	else if (*busid && ports && class_number(ports, CLASS_PORTS_MAX, &n) && port > n)
		snprintf(ret, ret_size, "port/%" PRIu64 ": the controller has %" PRIu64 " ports",
			 port, n);
}

int usbdev_from_store(const struct conf_dev *dev, const char *id, struct json_object *entry)
{
	uint64_t ctrl, port;
	unsigned int bus, address;
	struct json_object *hostdev;
	const char *busid;

	if (!split(id, &ctrl, &port))
		return -EBADMSG;
	busid = port_value(dev, port);
	if (!busid || !*busid)
		return -EBADMSG;
	hostdev = json_object_new_object();
	if (!hostdev || json_object_object_add(entry, "type.hostdev", hostdev)) {
		json_object_put(hostdev);
		return -ENOMEM;
	}
	if (class_field_set_number(entry, "ctrl", ctrl) ||
	    class_field_set_number(entry, "port", port))
		return -ENOMEM;
	/* A device that is plugged out leaves its port named; its address is gone. */
	if (usb_address(busid, &bus, &address))
		return 0;
	return class_field_set_number(hostdev, "hostbus", bus) ||
			       class_field_set_number(hostdev, "hostaddr", address)
		       ? -ENOMEM
		       : 0;
}
