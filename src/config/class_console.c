/* SPDX-License-Identifier: MIT */
/*
 * Channels, which are consoles with a name, and frame buffers.
 *
 * Invariant: a console without a name is the domain's own and never a channel of its record.
 */
#include "config/class_row.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define SOCKET "connection.socket"
#define PTY "connection.pty"
#define UNKNOWN "connection.unknown"

/* A variant, which is taken; its key has a dot, so it is no path. */
static int set_variant(struct json_object *entry, const char *key, struct json_object *value)
{
	if (!value)
		return -ENOMEM;
	json_object_object_del(entry, UNKNOWN);
	if (!json_object_object_add(entry, key, value))
		return 0;
	json_object_put(value);
	return -ENOMEM;
}

int channel_put_connection(const struct class_put *x, const struct class_row *row, char **ret)
{
	(void)row;
	if (class_field(x->entry, SOCKET))
		return class_format(ret, "socket");
	if (class_field(x->entry, PTY))
		return class_format(ret, "pty");
	return conf_fail(x->err, -EINVAL, "channel %" PRIu32 ": connection: not set", x->devid);
}

int channel_get_connection(const struct conf_dev *dev, const struct class_row *row,
			   const char *text, struct json_object *entry)
{
	(void)dev;
	(void)row;
	if (!strcmp(text, "pty"))
		return set_variant(entry, PTY, json_object_new_object());
	return strcmp(text, "socket") != 0 ? -EBADMSG : 0;
}

int channel_put_path(const struct class_put *x, const struct class_row *row, char **ret)
{
	const char *path = class_field_text(x->entry, row->field);

	return path ? class_format(ret, "%s", path) : 0;
}

int channel_get_path(const struct conf_dev *dev, const struct class_row *row, const char *text,
		     struct json_object *entry)
{
	struct json_object *socket;

	(void)dev;
	(void)row;
	if (!*text)
		return -EBADMSG;
	socket = json_object_new_object();
	if (!socket || class_field_set_text(socket, "path", text)) {
		json_object_put(socket);
		return -ENOMEM;
	}
	return set_variant(entry, SOCKET, socket);
}

/* Where the device model sends what the guest writes. */
int channel_put_output(const struct class_put *x, const struct class_row *row, char **ret)
{
	(void)row;
	if (class_field(x->entry, SOCKET))
		return class_format(ret, "chardev:libxl-channel%" PRIu32, x->devid);
	return class_format(ret, "pty");
}

int channel_validate(struct json_object *entry, struct conf_err *err)
{
	if (class_field(entry, SOCKET) && !class_field_text(entry, SOCKET ".path"))
		return conf_fail(err, -EINVAL, "channel: " SOCKET ".path: not set");
	if (!class_field(entry, SOCKET) && !class_field(entry, PTY))
		return conf_fail(err, -EINVAL, "channel: connection: not set");
	return 0;
}

const char *channel_implied(struct json_object *config, const struct conf_dev *dev)
{
	(void)config;
	return class_key(dev, "name") ? NULL : "a console of the domain itself";
}

/* ---- frame buffers ---- */

static bool has_vnc(const struct class_put *x)
{
	return class_field_bool(x->entry, "vnc.enable", true);
}

int vfb_put_listen(const struct class_put *x, const struct class_row *row, char **ret)
{
	(void)row;
	return has_vnc(x) ? class_format(ret, "127.0.0.1") : 0;
}

int vfb_put_unused(const struct class_put *x, const struct class_row *row, char **ret)
{
	(void)row;
	return class_format(ret, "%d", has_vnc(x));
}
