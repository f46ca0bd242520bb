/* SPDX-License-Identifier: MIT */
/*
 * A device's fields from xl's own words for it. xl has such words for disks and nics alone.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "config/class.h"
#include "config/session.h"
#include "config/xl.h"

/* The octets of the character at s, or 0: none of UTF-8. */
static size_t utf8_len(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = *s < 0x80 ? 1 : *s < 0xc0 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;
	uint32_t code = len == 1 ? *s : *s & (0x7fu >> len);

	if (*s >= 0xf8)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (len > 1 && (code < least[len] || code > 0x10ffff || (code & 0xfffff800) == 0xd800))
		return 0;
	return len;
}

int xl_check_text(const char *what, const char *words, struct conf_err *err)
{
	for (const char *p = words; *p;) {
		size_t len = utf8_len((const unsigned char *)p);

		if (!len)
			return conf_fail(err, -EINVAL, "%s, column %zu: not in UTF-8", what,
					 (size_t)(p - words) + 1);
		p += len;
	}
	return 0;
}

int drover_device_set_xl(struct drover_config *c, struct drover_device *device, const char *words)
{
	const char *name = class_name(device->k);
	struct conf_err *err = c ? &c->err : NULL;

	if (!strcmp(name, "vbd"))
		return xl_disk_parse(words, device->entry, err);
	if (!strcmp(name, "vif"))
		return xl_nic_parse(words, device->entry, err);
	return conf_fail(err, -EOPNOTSUPP, "xl has no words for a %s: say KEY=VALUE", name);
}
