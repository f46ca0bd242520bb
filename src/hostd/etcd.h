/* SPDX-License-Identifier: MIT */
/*
 * What is said to etcd and what it answers, through its JSON gateway (v3: /v3/kv/put, /v3/kv/txn;
 * keys and values in base64). Pure: text in, text out.
 *
 * A guest's key is <prefix>/owner/<uuid>, its value "<epoch> <host>".
 */
#ifndef DROVER_HOSTD_ETCD_H
#define DROVER_HOSTD_ETCD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migrate/migrate.h"

#define ETCD_VALUE_MAX (MIG_NAME_MAX + 24u)
#define ETCD_KEY_MAX 512u
#define ETCD_ANSWER_MAX 65536u /* octets of an answer */

struct etcd_owner {
	char host[MIG_NAME_MAX];
	uint64_t epoch;
};

/* What is asked: put `to`, or, where compare, put it if the key says `from`. */
struct etcd_request {
	char key[ETCD_KEY_MAX];
	bool compare;
	struct etcd_owner from, to;
};

/* The gateway's path for it: "/v3/kv/txn". Static. */
const char *etcd_request_path(const struct etcd_request *r);
/* Its body, to be freed; NULL: no memory. */
char *etcd_request_body(const struct etcd_request *r);

/*
 * The meaning of an answer of status 200. MIG_ARB_YES, MIG_ARB_IS_TO, MIG_ARB_IS_OTHER (no such
 * key, too); MIG_ARB_UNREACHABLE: it is no answer to this request, and text (room octets) says why.
 */
enum mig_arbiter etcd_answer_read(const struct etcd_request *r, const char *text, size_t len,
				  char *why, size_t room);

#endif
