/* SPDX-License-Identifier: MIT */
/* An image on its way into a core: between domain_import.c and domain_plan.c. */
#ifndef DROVER_STATE_DOMAIN_PLAN_H
#define DROVER_STATE_DOMAIN_PLAN_H

#include "state/domain_image.h"

struct domain_plan {
	struct core *core; /* borrowed, as the rest unless it says otherwise */
	uint16_t domid;
	const uint8_t *image;
	size_t len;
	char *why;
	struct drover_image_format format;
	uint32_t conn_id;	   /* as records name its connection; 0: it has none */
	struct drover_octets *top; /* owned: paths of the subtrees, in the image */
	size_t n_tops;
	struct domain *d;  /* NULL: not known yet */
	struct conn *conn; /* gets what the image's connection had; NULL: that had none */
};

/*
 * Judges the image and everything that could stand in its way, changing nothing. Errors as
 * domain_image_import.
 */
int domain_plan_check(struct domain_plan *p);
void domain_plan_fini(struct domain_plan *p);

/* Calls fn for each record of an image that was judged, until it fails. */
int domain_plan_each(struct domain_plan *p,
		     int (*fn)(struct domain_plan *p, const struct drover_record *rec, void *data),
		     void *data);

/* Whether path is in a subtree that comes along. */
bool domain_plan_has(const struct domain_plan *p, const char *path, size_t len);

/* The list of a record that was judged; *ret is the caller's reference. -ENOMEM. */
int domain_plan_perms(struct domain_plan *p, const struct drover_list *list, struct perms **ret);

#endif
