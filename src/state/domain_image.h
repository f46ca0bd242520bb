/* SPDX-License-Identifier: MIT */
/*
 * One domain's image: what a daemon knows of a domain that moves to another one. It holds, in
 * this order, DOMAIN_STATE; its ring's connection with unread input and unsent output, and its
 * watches; the nodes of its own directory and of paths that the caller names, each parent before
 * its children; and its open transactions. See docs/protocol.md, "A domain that moves".
 */
#ifndef DROVER_STATE_DOMAIN_IMAGE_H
#define DROVER_STATE_DOMAIN_IMAGE_H

#include "drover/image.h"

#include "op/core.h"

#define DOMAIN_IMAGE_TOPS_MAX 1024u /* subtrees of one image */

/*
 * The image of domid, *ret to be freed by the caller. A transaction goes on elsewhere if all that
 * it touched is in the image, nothing that it saw has changed and nothing that it wrote has lost
 * its parent; else it is said to end in EAGAIN. The cost is that of what is in the image.
 *
 * ENOENT: no such domain, or no node at a path. EBUSY: it has a ring that is not quiesced. EINVAL:
 * a path is "/", or there are more than DOMAIN_IMAGE_TOPS_MAX. -ENOMEM. why, CORE_WHY_MAX octets,
 * says which, or is left as it is.
 */
int domain_image_export(struct core *core, uint16_t domid, const struct path *paths, size_t n,
			uint8_t **ret, size_t *ret_len, char *why);

/*
 * Applies the image of domid, all or nothing. Its nodes fire as any that are created; its watches
 * are silent meanwhile, and fire once afterwards where they watch what did not come along.
 *
 * EINVAL: no good image, or one of another domain, or of more than one. ENOENT: the domain, or one
 * that is to own a node, does not exist, or has no ring and the image says that it had. EBUSY: it
 * is not quiesced. EEXIST: it has watches, transactions or messages, or nodes where the image has
 * some, or a node of the image exists. EIO: its ring is broken. -ENOMEM. why as above.
 */
int domain_image_import(struct core *core, uint16_t domid, const uint8_t *image, size_t len,
			char *why);

#endif
