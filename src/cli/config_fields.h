/* SPDX-License-Identifier: MIT */
/*
 * A configuration as lists of paths and values, to be shown and compared.
 */
#ifndef DROVER_CLI_CONFIG_FIELDS_H
#define DROVER_CLI_CONFIG_FIELDS_H

#include <drover/config.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

struct config_field {
	char *path, *value; /* owned */
};

/* In libxl's order. Zeroed: empty. */
struct config_fields {
	struct config_field *v; /* owned */
	size_t n, room;
};

void config_fields_add(struct config_fields *f, const char *path, const char *value);
void config_fields_fini(struct config_fields *f);

/*
 * All values in o, by their paths: "b_info.max_vcpus". Lists of plain values are one value, joined
 * by commas; of others, each has its number in the path. prefix "" for the whole. skip (may be
 * NULL) tells which members of the whole are left out.
 */
void config_fields_json(struct config_fields *f, const char *prefix, struct json_object *o,
			bool (*skip)(const char *name));

/*
 * Two lists of names side by side: calls fn once for each name of either, with its place in each;
 * CONFIG_NONE: it is not there. Names that both have come in a's order, those of one alone behind
 * the name they follow there.
 */
#define CONFIG_NONE ((size_t)-1)
typedef void config_align_fn(void *data, size_t a, size_t b);
void config_align(const char *const *a, size_t n_a, const char *const *b, size_t n_b,
		  config_align_fn *fn, void *data);

/* The same of fields, by their paths. */
void config_fields_align(const struct config_fields *a, const struct config_fields *b,
			 config_align_fn *fn, void *data);

/* ---- a view of a domain ---- */

struct config_device {
	char *class, *id, *title;    /* owned: "vbd", "xvda", "vbd xvda" */
	struct config_fields fields; /* empty where it is not in this view */
	bool in_view;
	bool judged; /* the report has it: verdict and reason */
	enum drover_verdict verdict;
	char *reason; /* owned; "" */
};

struct config_picture {
	uint32_t domid;
	char *name, *uuid, *type; /* owned; "" where they are not told */
	bool degraded;
	struct config_fields domain; /* all but devices */
	struct config_device
		*devices; /* owned: those in the view, then those in the report alone */
	size_t n_devices;
};

/* All that a configuration says. 0 or a negative errno of drover_domain_config_to_json. */
int config_picture_take(struct drover_domain_config *config, struct config_picture *ret);
void config_picture_fini(struct config_picture *p);

/* A device in both views or one; see config_align. */
void config_pictures_align(const struct config_picture *a, const struct config_picture *b,
			   config_align_fn *fn, void *data);

#endif
