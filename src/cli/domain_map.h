/* SPDX-License-Identifier: MIT */
/* A domain's image in memory: whose it is, and the same for another domid. */
#ifndef DROVER_CLI_DOMAIN_MAP_H
#define DROVER_CLI_DOMAIN_MAP_H

#include <drover/image.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct domain_octets {
	uint8_t *data; /* owned */
	size_t len;
	size_t room;
};

void domain_octets_add(struct domain_octets *o, const void *data, size_t len);

/*
 * Judges an image. 0, and whose it is; EINVAL, and why in text, room octets; ENOMEM.
 */
int domain_image_whose(const struct domain_octets *image, uint16_t *ret_domid, char *text,
		       size_t room);

/*
 * An image that was judged, of the domain from, as one of the domain to: access lists, paths that
 * name it (/local/domain/N, /libxl/N, .../backend/TYPE/N, .../device-model/N), values that are
 * such paths, and its number where a node of such a path is called domid, frontend-id or
 * backend-id. Each change is told to report, a line. 0; EINVAL with text, ENOMEM.
 */
int domain_image_map(const struct domain_octets *image, uint16_t from, uint16_t to,
		     struct domain_octets *ret, FILE *report, char *text, size_t room);

#endif
