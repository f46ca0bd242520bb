/* SPDX-License-Identifier: MIT */
/*
 * The arbiter: an etcd cluster that says which host owns a guest when two daemons cannot talk
 * (docs/decisions/0015-handing-over.md, "Cut off"). Asked in the loop's thread pool, an endpoint
 * after the other until one answers.
 */
#ifndef DROVER_HOSTD_ARBITER_H
#define DROVER_HOSTD_ARBITER_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "migrate/migrate.h"

#define ARBITER_ENDPOINTS_MAX 16u

struct arbiter;

struct arbiter_options {
	const char *const *endpoints; /* URLs */
	size_t n_endpoints;
	const char *prefix;			    /* of the keys; NULL: "/drover" */
	const char *ca_file, *cert_file, *key_file; /* NULL: the system's; none */
	uint32_t timeout_ms;			    /* for each endpoint */
};

/* opt's strings are copied. -EINVAL: an endpoint is no http(s) URL, or too many; logged. -ENOMEM.
 */
int arbiter_new(uv_loop_t *loop, const struct arbiter_options *opt, struct arbiter **ret);
/* Requests under way end without their callback. Accepts NULL. */
void arbiter_free(struct arbiter *a);

typedef void arbiter_done_fn(void *data, const struct mig_id *id, enum mig_arbiter result);

/* Asks for the MIG_DO_ARBITER effect e; done on the loop, once. -ENOMEM. */
int arbiter_ask(struct arbiter *a, const struct mig_effect *e, arbiter_done_fn *done, void *data);

#endif
