/* SPDX-License-Identifier: MIT */
/*
 * Shared parts of the fuzz targets. Invariant: the same input makes the same calls.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "oracle.h"

static const char *const words[] = {
	"/",
	"/a",
	"/a/b",
	"/a/b/c",
	"/local/domain/1",
	"/local/domain/1/x",
	"x",
	"x/y",
	"@releaseDomain",
	"@introduceDomain",
	"@releaseDomain/1",
	"@x",
	"0",
	"1",
	"2",
	"3",
	"65535",
	"32757",
	"n0",
	"r1",
	"b2",
	"w3",
	"n1",
	"T",
	"F",
	"tok",
	"",
	"nodes",
	"check",
	"quota",
	"stats",
	"set",
	"watches",
	"//",
	"/a/",
	"0/",
};

static void silence(void *data, enum log_level level, const char *line)
{
	(void)data;
	(void)level;
	(void)line;
}

struct world *fuzz_world(bool oracle)
{
	const struct world_options opt = { .priv_domid = PERM_NO_DOMID, .no_oracle = !oracle };
	struct world *w;

	log_set_sink(silence, NULL);
	w = world_new(&opt);
	if (!w)
		abort();
	w->violations = 1; /* connections may end at any time */
	w->policy.limits.hard[QUOTA_NODES] = 12;
	w->policy.limits.hard[QUOTA_WATCHES] = 6;
	w->policy.limits.hard[QUOTA_TRANSACTIONS] = 3;
	w->policy.limits.hard[QUOTA_TRANSACTION_NODES] = 12;
	w->policy.limits.hard[QUOTA_MEMORY] = 16384;
	return w;
}

void fuzz_end(struct world *w, size_t size)
{
	unsigned int bad;

	world_run(w);
	if (!(size % 8))
		oracle_compare(w->oracle);
	bad = size % 8 ? 0 : core_check(w->core);
	if (bad) {
		fprintf(stderr, "the core's charges contradict its objects: %u\n", bad);
		abort();
	}
	if (world_free(w)) {
		fprintf(stderr, "the world found a failure\n");
		abort();
	}
}

static size_t add_word(struct fuzz_input *in, char *payload, size_t len)
{
	const char *word = words[fuzz_octet(in) % (sizeof(words) / sizeof(words[0]))];
	size_t n = strlen(word) + 1;

	if (len + n > XENSTORE_PAYLOAD_MAX)
		return len;
	memcpy(payload + len, word, n);
	return len + n;
}

void fuzz_request(struct fuzz_input *in, struct peer *p)
{
	static const uint32_t odd[] = { 999, 0x8001, 0xffffffff, 20 };
	char payload[XENSTORE_PAYLOAD_MAX];
	uint8_t type = fuzz_octet(in), how = fuzz_octet(in);
	const uint8_t *raw;
	size_t len = 0, n;

	for (unsigned int i = 0; i < (how & 3u); i++)
		len = add_word(in, payload, len);
	if (how & 4u) {
		n = fuzz_take(in, fuzz_octet(in), &raw);
		if (len + n <= sizeof(payload)) {
			memcpy(payload + len, raw, n);
			len += n;
		}
	} else if (how & 8u && len) {
		len--; /* the last NUL is missing */
	}
	peer_send(p, type < 240 ? type % 28u : odd[type % 4u], how >> 4 & 3u, payload, len);
}
