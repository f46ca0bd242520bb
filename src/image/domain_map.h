/* SPDX-License-Identifier: MIT */
/* A domain's image in memory: whose it is, and the same for another domid. */
#ifndef DROVER_IMAGE_DOMAIN_MAP_H
#define DROVER_IMAGE_DOMAIN_MAP_H

#include <drover/image.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct domain_octets {
	uint8_t *data; /* owned */
	size_t len;
	size_t room;
};

/* ENOMEM: as it was. */
int domain_octets_add(struct domain_octets *o, const void *data, size_t len);

/*
 * Judges an image. 0, and whose it is; EINVAL, and why in text, room octets; ENOMEM.
 */
int domain_image_whose(const struct domain_octets *image, uint16_t *ret_domid, char *text,
		       size_t room);

/* Calls fn with each record of it but the end's, borrowed. As domain_image_each_node. */
typedef int domain_image_record_fn(void *data, const struct drover_record *rec);
int domain_image_each(const struct domain_octets *image, domain_image_record_fn *fn, void *data,
		      char *text, size_t room);

/* The same image without nodes, but those of its transactions. As domain_image_map. */
int domain_image_without_nodes(const struct domain_octets *image, struct domain_octets *ret,
			       char *text, size_t room);

/*
 * Calls fn with the path of each node that the image has; what fn returns ends it and is returned.
 * Otherwise as domain_image_whose.
 */
typedef int domain_image_node_fn(void *data, const char *path, size_t len);
int domain_image_each_node(const struct domain_octets *image, domain_image_node_fn *fn, void *data,
			   char *text, size_t room);

struct domain_image_map {
	uint16_t from, to;
	/*
	 * Leave out of the access lists whoever is neither this domain nor domain 0: elsewhere the
	 * number is somebody else's. A node that such a one owns is EINVAL.
	 */
	bool alone;
	FILE *report; /* borrowed: each change, a line; NULL: nobody wants to know */
};

/*
 * An image that was judged, of the domain from, as one of the domain to: access lists, paths that
 * name it (/local/domain/N, /libxl/N, .../backend/TYPE/N, .../device-model/N), values that are
 * such paths, and its number where a node of such a path is called domid, frontend-id or
 * backend-id. 0; EINVAL with text, ENOMEM, ENAMETOOLONG, E2BIG: an access list.
 */
int domain_image_map(const struct domain_octets *image, const struct domain_image_map *map,
		     struct domain_octets *ret, char *text, size_t room);

#endif
