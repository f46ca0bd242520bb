/* SPDX-License-Identifier: MIT */
/*
 * What is said to etcd and what it answers, through its JSON gateway (v3: /v3/kv/range, /v3/kv/txn;
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

/*
 * What is asked: `to` where the key says `from`; or, without compare, `to` whatever it says. The
 * latter is asked in two steps, and the second one counts only if nobody wrote in between: a copy
 * of it that is delivered late, after others have written, changes nothing.
 */
struct etcd_request {
	char key[ETCD_KEY_MAX];
	bool compare;
	struct etcd_owner from, to;
	uint64_t revision; /* without compare: the key's, as etcd_read_answer found it; 0: none */
};

#define ETCD_READ_PATH "/v3/kv/range"
#define ETCD_WRITE_PATH "/v3/kv/txn"

/* Bodies, to be freed; NULL: no memory. */
char *etcd_read_body(const struct etcd_request *r);
char *etcd_request_body(const struct etcd_request *r);

/*
 * The answer to a read: r->revision is set. MIG_ARB_IS_TO: the key says `to` already;
 * MIG_ARB_IS_OTHER: it is to be written; MIG_ARB_UNREACHABLE: as below.
 */
enum mig_arbiter etcd_read_answer(struct etcd_request *r, const char *text, size_t len, char *why,
				  size_t room);

/*
 * The meaning of an answer of status 200. MIG_ARB_YES, MIG_ARB_IS_TO, MIG_ARB_IS_OTHER (no such
 * key, too); MIG_ARB_UNREACHABLE: it is no answer to this request, and text (room octets) says why.
 */
enum mig_arbiter etcd_answer_read(const struct etcd_request *r, const char *text, size_t len,
				  char *why, size_t room);

#endif
