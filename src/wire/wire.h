/* SPDX-License-Identifier: MIT */
/*
 * xenstore messages: a 16-octet header (xen/io/xs_wire.h: struct xsd_sockmsg, in the byte order
 * of the machine) and a payload of at most 4096 octets. Octets in, requests out; no descriptor.
 */
#ifndef DROVER_WIRE_WIRE_H
#define DROVER_WIRE_WIRE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <xen/io/xs_wire.h>

/* Types that libxen-dev 4.17 does not name yet (xenstore.txt of Xen 4.21). */
#define WIRE_GET_FEATURE 23u
#define WIRE_SET_FEATURE 24u
#define WIRE_GET_QUOTA 25u
#define WIRE_SET_QUOTA 26u
#define WIRE_TYPE_COUNT 27u

/* Our own, in a range where other daemons answer ENOSYS: docs/protocol.md. */
#define WIRE_VENDOR_FIRST 0x8001u
#define WIRE_QUIESCE 0x8001u
#define WIRE_UNQUIESCE 0x8002u
#define WIRE_GET_DOMAIN_WATCHES 0x8003u
#define WIRE_ADD_DOMAIN_WATCHES 0x8004u
#define WIRE_START_DOMAIN_TRANSACTION 0x8005u
#define WIRE_EXPORT_DOMAIN 0x8006u
#define WIRE_IMPORT_DOMAIN 0x8007u
#define WIRE_WHY 0x8008u
#define WIRE_GET_DOMAIN_RING 0x8009u
#define WIRE_PUT_DOMAIN_RING 0x800au
#define WIRE_VENDOR_END 0x800bu

#define WIRE_HEADER_SIZE sizeof(struct xsd_sockmsg)

/* One request, borrowed from the connection's input. */
struct wire_msg {
	struct xsd_sockmsg hdr;
	const char *payload; /* hdr.len octets; NULs not guaranteed */
};

/*
 * The first message of buf, len octets.
 * 0: *ret holds it, *ret_size its octets. EAGAIN: more octets are needed. EMSGSIZE: the header
 * states a payload over XENSTORE_PAYLOAD_MAX, the stream is lost.
 */
int wire_parse(const void *buf, size_t len, struct wire_msg *ret, size_t *ret_size);

/*
 * A decimal number, len octets with nothing else, of at most so many digits, 10 or fewer. EINVAL
 * otherwise, or where it is over UINT32_MAX.
 */
int wire_parse_number(const char *str, size_t len, size_t digits, uint32_t *ret);

/* "EINVAL" for EINVAL and so on, for every error of xs_wire.h; "EIO" for what it does not name. */
const char *wire_errno_name(int err);

/* The errno of a name of xs_wire.h, 0 for another word. */
int wire_errno_value(const char *name);

/* "READ" for XS_READ and so on; "?" for a type without a name. */
const char *wire_type_name(uint32_t type);

#endif
