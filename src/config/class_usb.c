/* SPDX-License-Identifier: MIT */
/*
 * USB controllers. One of a device model has no backend: its keys are in libxl's directory
 * alone.
 *
 * Invariant: a controller has a node for each of its ports, from 1 on, and no more than
 * CLASS_PORTS_MAX of them.
 */
#include "config/class_row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/class_usb.h"

bool usbctrl_no_backend(const struct conf_dev *dev)
{
	const char *type = conf_values_get(&dev->libxl, "type");

	return type && !strcmp(type, "devicemodel");
}

/* Where the record leaves it open: of the kernel, where that has a driver for it. */
static const char *type_of(struct json_object *entry, const struct class_where *where)
{
	const char *type = class_field_text(entry, "type");
	char path[USB_PATH_MAX];

	if (type && strcmp(type, "auto") != 0)
		return type;
	if (where && where->domain_type && !strcmp(where->domain_type, "hvm"))
		return "devicemodel";
	usb_sys_path("/bus/usb/drivers/usbback", path);
	return access(path, F_OK) ? "qusb" : "pv";
}

const char *usbctrl_back_kind_of(struct json_object *entry, const struct class_where *where)
{
	const char *type = type_of(entry, where);

	if (!strcmp(type, "devicemodel"))
		return NULL;
	return !strcmp(type, "pv") ? "vusb" : "qusb";
}

int usbctrl_put_type(const struct class_put *x, const struct class_row *row, char **ret)
{
	(void)row;
	return class_format(ret, "%s", type_of(x->entry, x->where));
}

/* A device model's controllers have as many as their models have. */
static int64_t ports_of(struct json_object *entry, const struct class_where *where)
{
	int64_t version = class_field_number(entry, "version", 2);
	int64_t ports = class_field_number(entry, "ports", 0);

	if (ports)
		return ports;
	if (usbctrl_back_kind_of(entry, where))
		return 8;
	return version == 1 ? 2 : version == 2 ? 6 : 8;
}

int usbctrl_put_ports(const struct class_put *x, const struct class_row *row, char **ret)
{
	(void)row;
	return class_format(ret, "%" PRId64, ports_of(x->entry, x->where));
}

int usbctrl_nodes(const struct class_put *x, struct class_nodes *ret)
{
	int64_t ports = ports_of(x->entry, x->where);
	char back[CLASS_PATH_MAX], libxl[CLASS_PATH_MAX];
	int r = 0;

	class_path(x, CLASS_BACKEND, back);
	class_path(x, CLASS_LIBXL, libxl);
	for (int64_t i = 1; !r && i <= ports && i <= CLASS_PORTS_MAX; i++)
		r = class_nodes_add(ret, x->where, CLASS_BACKEND, false, "", "%s/port/%" PRId64,
				    back, i);
	for (int64_t i = 1; !r && i <= ports && i <= CLASS_PORTS_MAX; i++)
		r = class_nodes_add(ret, x->where, CLASS_LIBXL, false, "", "%s/port/%" PRId64,
				    libxl, i);
	return r;
}

int usbctrl_complete(struct json_object *entry, struct json_object *config,
		     const struct conf_snapshot *s, uint64_t rnd, struct conf_err *err)
{
	const struct class_where where = { .domain_type = s ? s->type : NULL };

	(void)config;
	(void)rnd;
	if (class_field_set_text(entry, "type", type_of(entry, &where)) ||
	    class_field_set_number(entry, "version",
				   (uint64_t)class_field_number(entry, "version", 2)) ||
	    class_field_set_number(entry, "ports", (uint64_t)ports_of(entry, &where)))
		return conf_no_memory(err);
	return 0;
}

int usbctrl_validate(struct json_object *entry, struct conf_err *err)
{
	const char *type = class_field_text(entry, "type");
	bool model = type && !strcmp(type, "devicemodel");
	int64_t version = class_field_number(entry, "version", 2);
	int64_t ports = class_field_number(entry, "ports", 0);
	int64_t max = CLASS_PORTS_MAX;

	if (model)
		max = version == 1 ? 2 : version == 2 ? 6 : 15;
	if (version < 1 || version > (model || !type ? 3 : 2))
		return conf_fail(err, -EINVAL, "usbctrl: version: %" PRId64 " is none of USB",
				 version);
	if (ports < 0 || ports > max)
		return conf_fail(err, -EINVAL,
				 "usbctrl: ports: %" PRId64 " is out of 1 to %" PRId64, ports, max);
	return 0;
}

void usbctrl_check(const struct conf_dev *dev, const char *id, char *ret, size_t ret_size)
{
	const char *ports = class_key(dev, "num-ports");
	uint64_t n;

	(void)id;
	if (ports && !class_number(ports, CLASS_PORTS_MAX, &n))
		snprintf(ret, ret_size, "num-ports: %.32s is out of 0 to %d", ports,
			 CLASS_PORTS_MAX);
}
