/* SPDX-License-Identifier: MIT */
/*
 * libvirt's domain XML: read strictly into a definition, and printed in libvirt's order and
 * layout. What is not understood is refused by its name and line, never passed over: a guest that
 * was accepted has all that its XML asked for, but for the elements that are kept (vmm/def.h).
 */
#ifndef DROVER_HOSTD_XML_H
#define DROVER_HOSTD_XML_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/def.h"

#define XML_SIZE_MAX (4u << 20) /* octets of a document */
#define XML_DEPTH_MAX 64u	/* elements in each other */
#define XML_ERROR_MAX 512u	/* octets of an error's text */

/* Why XML was refused: libvirt's code (VIR_ERR_*), and one line naming element, attribute, line. */
struct xml_error {
	int code;
	char text[XML_ERROR_MAX];
};

enum {					/* libvirt's codes that are answered here */
       XML_ERR_XML_ERROR = 27,		/* values and elements that make no sense */
       XML_ERR_XML_DETAIL = 35,		/* not well formed */
       XML_ERR_CONFIG_UNSUPPORTED = 67, /* sound, but not for this daemon */
};

/* Octets at random, for a uuid and macs that are not given. */
typedef void xml_random_fn(void *data, void *buf, size_t len);

/*
 * Reads <domain>. random may be NULL: then the system's randomness serves. *ret is the caller's
 * (def_free). The id attribute of a domain that runs is passed over. > 0: EINVAL, err says why.
 * < 0: -ENOMEM.
 */
int xml_parse(const char *text, size_t len, xml_random_fn *random, void *random_data,
	      struct guest_def **ret, struct xml_error *err);

enum {				 /* of xml_print, with libvirt's values (VIR_DOMAIN_XML_*) */
       XML_SECURE = 1u << 0,	 /* nothing is secret here: accepted, and changes nothing */
       XML_INACTIVE = 1u << 1,	 /* what it was defined as: no pty, no port chosen */
       XML_UPDATE_CPU = 1u << 2, /* changes nothing */
       XML_MIGRATABLE = 1u << 3, /* for another host: as XML_INACTIVE, with the ports asked for */
};

/*
 * Prints a definition, as `virsh dumpxml` shows it. id >= 0: of a domain that runs, and then
 * without XML_INACTIVE what was chosen when it started (a pty's path, a port) is shown. What is
 * printed is read back as the same definition. *ret is to be freed. -ENOMEM.
 */
int xml_print(const struct guest_def *def, int id, unsigned int flags, char **ret);

/*
 * Whether dst, the XML given for the destination of a migration, is the same machine as src as
 * far as the guest can see: uuid, memory, vcpus, machine, disks' targets, macs and so on. Names
 * are not compared, nor paths on a host. > 0: EINVAL, err names what differs.
 */
int xml_check_abi(const struct guest_def *src, const struct guest_def *dst, struct xml_error *err);

#endif
