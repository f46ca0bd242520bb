/* SPDX-License-Identifier: MIT */
/*
 * Network interfaces and TPMs: addresses and uuids, which are made up where they are left out,
 * and hotplug scripts, which are named by a path or by a name in Xen's directory of scripts.
 *
 * Invariant: what is written has a mac, a uuid; nothing is made up while writing.
 */
#include "config/class_row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/json.h"

#define SCRIPT_DIR "/etc/xen/scripts"
#define MTU_DEFAULT 1500

int class_script_path(const char *script, char **ret)
{
	return script[0] == '/' ? class_format(ret, "%s", script)
				: class_format(ret, SCRIPT_DIR "/%s", script);
}

bool nic_has_mtu(const struct class_put *x)
{
	return class_field_number(x->entry, "mtu", MTU_DEFAULT) != MTU_DEFAULT;
}

int nic_put_script(const struct class_put *x, const struct class_row *row, char **ret)
{
	const char *script = class_field_text(x->entry, row->field);

	return class_script_path(script ? script : "vif-bridge", ret);
}

int nic_get_script(const struct conf_dev *dev, const struct class_row *row, const char *text,
		   struct json_object *entry)
{
	(void)dev;
	if (!*text)
		return -EBADMSG;
	return strcmp(text, SCRIPT_DIR "/vif-bridge") != 0
		       ? class_field_set_text(entry, row->field, text)
		       : 0;
}

/* Six octets in hexadecimal, in lower case into ret, which holds 18 octets. */
static bool mac_parse(const char *text, char *ret)
{
	if (strlen(text) != 17)
		return false;
	for (size_t i = 0; i < 17; i++) {
		char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];

		if (i % 3 == 2 ? c != ':' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		ret[i] = c;
	}
	ret[17] = '\0';
	return true;
}

int nic_put_mac(const struct class_put *x, const struct class_row *row, char **ret)
{
	const char *mac = class_field_text(x->entry, row->field);
	char text[18];

	if (!mac || !mac_parse(mac, text))
		return conf_fail(x->err, -EINVAL, "vif %" PRIu32 ": mac: %s", x->devid,
				 mac ? mac : "not set");
	return class_format(ret, "%s", text);
}

int nic_get_mac(const struct conf_dev *dev, const struct class_row *row, const char *text,
		struct json_object *entry)
{
	char mac[18];

	(void)dev;
	return mac_parse(text, mac) ? class_field_set_text(entry, row->field, mac) : -EBADMSG;
}

/* "BYTES,USECS": so much in so long. */
int nic_put_rate(const struct class_put *x, const struct class_row *row, char **ret)
{
	int64_t usecs = class_field_number(x->entry, "rate_interval_usecs", 0);

	if (usecs <= 0)
		return 0;
	return class_format(ret, "%" PRIu64 ",%" PRId64,
			    (uint64_t)class_field_number(x->entry, row->field, 0), usecs);
}

int nic_get_rate(const struct conf_dev *dev, const struct class_row *row, const char *text,
		 struct json_object *entry)
{
	const char *comma = strchr(text, ',');
	uint64_t bytes, usecs;
	char first[24];

	(void)dev;
	if (!comma || (size_t)(comma - text) >= sizeof(first))
		return -EBADMSG;
	snprintf(first, sizeof(first), "%.*s", (int)(comma - text), text);
	if (!class_number(first, UINT64_MAX, &bytes) ||
	    !class_number(comma + 1, UINT32_MAX, &usecs))
		return -EBADMSG;
	if (usecs && class_field_set_number(entry, "rate_interval_usecs", usecs))
		return -ENOMEM;
	return bytes ? class_field_set_number(entry, row->field, bytes) : 0;
}

/* Another nic of the list with this mac. */
static struct json_object *find_mac(struct json_object *config, struct json_object *entry,
				    const char *mac)
{
	struct json_object *list = config ? conf_json_list(config, "nics") : NULL;
	size_t n = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *other = json_object_array_get_idx(list, i);
		const char *theirs = class_field_text(other, "mac");

		if (other != entry && theirs && !strcasecmp(theirs, mac))
			return other;
	}
	return NULL;
}

int nic_complete(struct json_object *entry, struct json_object *config,
		 const struct conf_snapshot *s, uint64_t rnd, struct conf_err *err)
{
	const char *mac = class_field_text(entry, "mac");
	struct json_object *other;
	char made[18];

	(void)s;
	if (!mac) {
		/* In the range that belongs to Xen; the next one where somebody has it. */
		do {
			snprintf(made, sizeof(made), "00:16:3e:%02x:%02x:%02x",
				 (unsigned int)(rnd >> 16 & 0x7f), (unsigned int)(rnd >> 8 & 0xff),
				 (unsigned int)(rnd & 0xff));
			rnd++;
		} while (find_mac(config, entry, made));
		if (class_field_set_text(entry, "mac", made))
			return conf_no_memory(err);
		mac = made;
	}
	other = find_mac(config, entry, mac);
	if (other)
		return conf_fail(err, -EINVAL, "vif: mac: %s is that of vif %" PRId64, mac,
				 class_field_number(other, "devid", -1));
	/* What is attached to a domain that runs is never emulated. */
	if (!class_field(entry, "nictype") && class_field_set_text(entry, "nictype", "vif"))
		return conf_no_memory(err);
	return 0;
}

int nic_validate(struct json_object *entry, struct conf_err *err)
{
	const char *mac = class_field_text(entry, "mac");
	int64_t mtu = class_field_number(entry, "mtu", MTU_DEFAULT);
	char text[18];

	if (mac && !mac_parse(mac, text))
		return conf_fail(err, -EINVAL, "vif: mac: %s is none", mac);
	if (mac && strtoul((char[]){ mac[0], mac[1], '\0' }, NULL, 16) & 1)
		return conf_fail(err, -EINVAL, "vif: mac: %s is that of a group", mac);
	if (mtu < 68 || mtu > 65535)
		return conf_fail(err, -EINVAL, "vif: mtu: %" PRId64 " is out of 68 to 65535", mtu);
	return 0;
}

/* ---- TPMs ---- */

static bool uuid_parse(const char *text)
{
	if (strlen(text) != 36)
		return false;
	for (size_t i = 0; i < 36; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23
			    ? text[i] != '-'
			    : !strchr("0123456789abcdefABCDEF", text[i]))
			return false;
	return true;
}

int vtpm_put_uuid(const struct class_put *x, const struct class_row *row, char **ret)
{
	const char *uuid = class_field_text(x->entry, row->field);

	if (!uuid || !uuid_parse(uuid))
		return conf_fail(x->err, -EINVAL, "vtpm %" PRIu32 ": uuid: %s", x->devid,
				 uuid ? uuid : "not set");
	return class_format(ret, "%s", uuid);
}

int vtpm_get_uuid(const struct conf_dev *dev, const struct class_row *row, const char *text,
		  struct json_object *entry)
{
	(void)dev;
	return uuid_parse(text) ? class_field_set_text(entry, row->field, text) : -EBADMSG;
}

int vtpm_complete(struct json_object *entry, struct json_object *config,
		  const struct conf_snapshot *s, uint64_t rnd, struct conf_err *err)
{
	/* A second half from the first: one drawn number is all that the caller gives. */
	uint64_t more = (rnd ^ rnd >> 31) * 0x9e3779b97f4a7c15u;
	char uuid[37];

	(void)config;
	(void)s;
	if (class_field(entry, "uuid"))
		return 0;
	snprintf(uuid, sizeof(uuid), "%08x-%04x-4%03x-%04x-%012" PRIx64, (unsigned int)(rnd >> 32),
		 (unsigned int)(rnd >> 16 & 0xffff), (unsigned int)(rnd & 0xfff),
		 (unsigned int)(more >> 48 & 0x3fff) | 0x8000u, more & 0xffffffffffffu);
	return class_field_set_text(entry, "uuid", uuid) ? conf_no_memory(err) : 0;
}
