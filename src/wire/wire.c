/* SPDX-License-Identifier: MIT */
/*
 * Framing and names of xenstore messages. Invariant: no octet beyond len is looked at, and the
 * length of a message is judged before anything is done with it.
 */
#include "wire/wire.h"

#include "base/own.h"

static const char *const type_names[WIRE_TYPE_COUNT] = {
	[XS_CONTROL] = "CONTROL",
	[XS_DIRECTORY] = "DIRECTORY",
	[XS_READ] = "READ",
	[XS_GET_PERMS] = "GET_PERMS",
	[XS_WATCH] = "WATCH",
	[XS_UNWATCH] = "UNWATCH",
	[XS_TRANSACTION_START] = "TRANSACTION_START",
	[XS_TRANSACTION_END] = "TRANSACTION_END",
	[XS_INTRODUCE] = "INTRODUCE",
	[XS_RELEASE] = "RELEASE",
	[XS_GET_DOMAIN_PATH] = "GET_DOMAIN_PATH",
	[XS_WRITE] = "WRITE",
	[XS_MKDIR] = "MKDIR",
	[XS_RM] = "RM",
	[XS_SET_PERMS] = "SET_PERMS",
	[XS_WATCH_EVENT] = "WATCH_EVENT",
	[XS_ERROR] = "ERROR",
	[XS_IS_DOMAIN_INTRODUCED] = "IS_DOMAIN_INTRODUCED",
	[XS_RESUME] = "RESUME",
	[XS_SET_TARGET] = "SET_TARGET",
	[XS_RESET_WATCHES] = "RESET_WATCHES",
	[XS_DIRECTORY_PART] = "DIRECTORY_PART",
	[WIRE_GET_FEATURE] = "GET_FEATURE",
	[WIRE_SET_FEATURE] = "SET_FEATURE",
	[WIRE_GET_QUOTA] = "GET_QUOTA",
	[WIRE_SET_QUOTA] = "SET_QUOTA",
};

static const char *const vendor_names[WIRE_VENDOR_END - WIRE_VENDOR_FIRST] = {
	[WIRE_QUIESCE - WIRE_VENDOR_FIRST] = "QUIESCE",
	[WIRE_UNQUIESCE - WIRE_VENDOR_FIRST] = "UNQUIESCE",
	[WIRE_GET_DOMAIN_WATCHES - WIRE_VENDOR_FIRST] = "GET_DOMAIN_WATCHES",
	[WIRE_ADD_DOMAIN_WATCHES - WIRE_VENDOR_FIRST] = "ADD_DOMAIN_WATCHES",
	[WIRE_START_DOMAIN_TRANSACTION - WIRE_VENDOR_FIRST] = "START_DOMAIN_TRANSACTION",
	[WIRE_EXPORT_DOMAIN - WIRE_VENDOR_FIRST] = "EXPORT_DOMAIN",
	[WIRE_IMPORT_DOMAIN - WIRE_VENDOR_FIRST] = "IMPORT_DOMAIN",
	[WIRE_WHY - WIRE_VENDOR_FIRST] = "WHY",
	[WIRE_GET_DOMAIN_RING - WIRE_VENDOR_FIRST] = "GET_DOMAIN_RING",
	[WIRE_PUT_DOMAIN_RING - WIRE_VENDOR_FIRST] = "PUT_DOMAIN_RING",
};

int wire_parse(const void *buf, size_t len, struct wire_msg *ret, size_t *ret_size)
{
	struct xsd_sockmsg hdr;

	if (len < sizeof(hdr))
		return EAGAIN;
	memcpy(&hdr, buf, sizeof(hdr));
	if (hdr.len > XENSTORE_PAYLOAD_MAX)
		return EMSGSIZE;
	if (len - sizeof(hdr) < hdr.len)
		return EAGAIN;
	ret->hdr = hdr;
	ret->payload = (const char *)buf + sizeof(hdr);
	*ret_size = sizeof(hdr) + hdr.len;
	return 0;
}

int wire_parse_number(const char *str, size_t len, size_t digits, uint32_t *ret)
{
	uint64_t v = 0;

	if (!len || len > digits)
		return EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (str[i] < '0' || str[i] > '9')
			return EINVAL;
		v = v * 10 + (uint64_t)(str[i] - '0');
	}
	if (v > UINT32_MAX)
		return EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

const char *wire_errno_name(int err)
{
	for (size_t i = 0; i < ARRAY_LEN(xsd_errors); i++)
		if (xsd_errors[i].errnum == err)
			return xsd_errors[i].errstring;
	return "EIO";
}

int wire_errno_value(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(xsd_errors); i++)
		if (!strcmp(xsd_errors[i].errstring, name))
			return xsd_errors[i].errnum;
	return 0;
}

const char *wire_type_name(uint32_t type)
{
	if (type >= WIRE_VENDOR_FIRST && type < WIRE_VENDOR_END)
		return vendor_names[type - WIRE_VENDOR_FIRST];
	if (type >= WIRE_TYPE_COUNT || !type_names[type])
		return "?";
	return type_names[type];
}
