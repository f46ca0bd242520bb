/* SPDX-License-Identifier: MIT */
/*
 * Random requests. Invariant: few short paths and few domids, so that what is done collides.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "gen.h"
#include "oracle.h"

static const char *const paths[] = {
	"/a",	 "/a/b",   "/a/b/c", "/a/b/d/e",      "/a/f",  "/s",   "/s/x", "/s/x/y",
	"/s/y",	 "/s/z/1", "/s/z/2", "/local/domain", "/tool", "/",    "x",    "x/y",
	"x/y/z", "y",	   "y/1",    "y/2",	      "/s/x",  "/s/y", "x",    "/a/b",
};
static const char *const bad[] = { "",
				   "//",
				   "/a/",
				   "/a//b",
				   "/a$",
				   "@x",
				   "@introduceDomain",
				   "@releaseDomain",
				   "@releaseDomain/2",
				   "/a/\\",
				   "." };
static const char *const special[] = { "@introduceDomain", "@releaseDomain",	 "@releaseDomain/1",
				       "@releaseDomain/3", "@introduceDomain/2", "@foo" };
static const char *const quota_names[] = {
	"nodes",     "watches",	    "transactions", "transaction-nodes", "node-permissions",
	"node-size", "outstanding", "memory",	    "path-max",		 "none"
};

struct out {
	char buf[8192];
	size_t len;
};

static uint32_t below(struct gen *g, uint32_t n)
{
	return prng_below(&g->prng, n);
}

static void add(struct out *o, const char *str)
{
	size_t n = strlen(str) + 1;

	memcpy(o->buf + o->len, str, n);
	o->len += n;
}

static void add_number(struct out *o, uint32_t n)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", n);
	add(o, text);
}

static void add_path(struct gen *g, struct out *o)
{
	char text[4200];
	uint32_t n;

	switch (below(g, 24)) {
	case 0:
		add(o, bad[below(g, ARRAY_LEN(bad))]);
		return;
	case 1:
	case 2:
	case 3:
		snprintf(text, sizeof(text), "/local/domain/%u", below(g, GEN_GUESTS + 1));
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		snprintf(text, sizeof(text), "/local/domain/%u/%s", below(g, GEN_GUESTS + 1),
			 paths[14 + below(g, 6)]);
		break;
	case 8:
		if (below(g, 4)) {
			add(o, paths[below(g, ARRAY_LEN(paths))]);
			return;
		}
		n = 1 + below(g, below(g, 2) ? 60 : 3200);
		text[0] = below(g, 2) ? '/' : 'q';
		memset(text + 1, 'q', n);
		text[n + 1] = '\0';
		break;
	default:
		add(o, paths[below(g, ARRAY_LEN(paths))]);
		return;
	}
	add(o, text);
}

static void add_value(struct gen *g, struct out *o)
{
	size_t n = below(g, 3);

	if (!below(g, 20))
		n = below(g, 700);
	if (!below(g, 60))
		n = below(g, 4096 - (uint32_t)(o->len < 4096 ? o->len : 4095));
	if (o->len + n > XENSTORE_PAYLOAD_MAX)
		n = 0;
	for (size_t i = 0; i < n; i++)
		o->buf[o->len++] = (char)('0' + below(g, n < 4 ? 2 : 10));
}

static void add_domid(struct gen *g, struct out *o)
{
	static const uint32_t odd[] = { 0, 60, 63, 64, 1000, 32752, 32757, 65535, 65536 };

	if (!below(g, 20))
		add_number(o, odd[below(g, ARRAY_LEN(odd))]);
	else if (!below(g, 100))
		add(o, below(g, 2) ? "x1" : "");
	else
		add_number(o, 1 + below(g, GEN_GUESTS));
}

static void add_list(struct gen *g, struct out *o, const struct peer *p)
{
	uint32_t n = 1 + below(g, 4);
	char text[16];

	for (uint32_t i = 0; i < n; i++) {
		uint32_t domid = below(g, GEN_GUESTS + 2);

		if (!i && p->is_ring && below(g, 4))
			domid = p->domid;
		if (domid > GEN_GUESTS)
			domid = below(g, 2) ? PERM_DOMID_ANY : 40;
		snprintf(text, sizeof(text), "%c%u", "nrwb"[below(g, 4)], domid);
		if (!below(g, 60))
			text[0] = 'q';
		add(o, text);
	}
}

static void add_token(struct gen *g, struct out *o)
{
	static const char *const tokens[] = { "t", "u", "v", "" };
	char text[4096];
	size_t n;

	if (below(g, 40)) {
		add(o, tokens[below(g, ARRAY_LEN(tokens))]);
		return;
	}
	n = 1 + below(g, 4000);
	if (o->len + n + 8 > XENSTORE_PAYLOAD_MAX)
		n = 1;
	memset(text, 'T', n);
	text[n] = '\0';
	add(o, text);
}

static void add_watch(struct gen *g, struct out *o, bool with_depth)
{
	static const char *const depths[] = { "0", "1", "2", "7", "x", "", "99999999999" };

	if (!below(g, 4))
		add(o, special[below(g, ARRAY_LEN(special))]);
	else
		add_path(g, o);
	add_token(g, o);
	if (with_depth && !below(g, 3))
		add(o, depths[below(g, ARRAY_LEN(depths))]);
}

static void add_quota(struct gen *g, struct out *o, bool set)
{
	static const uint32_t low[] = { 0, 1, 3, 6, 12, 40 };
	const char *name = quota_names[below(g, ARRAY_LEN(quota_names))];

	if (below(g, 3))
		add_domid(g, o);
	add(o, name);
	if (!set)
		return;
	if (!strcmp(name, "memory"))
		add_number(o, 1000 + below(g, 20000));
	else if (!strcmp(name, "path-max"))
		add_number(o, 20 + below(g, 2000));
	else if (!strcmp(name, "node-size"))
		add_number(o, below(g, 2000));
	else
		add_number(o, g->quotas ? low[below(g, ARRAY_LEN(low))] : 1000);
}

static uint32_t toolstack_type(struct gen *g)
{
	static const uint32_t types[] = { XS_INTRODUCE,
					  XS_INTRODUCE,
					  XS_RELEASE,
					  XS_IS_DOMAIN_INTRODUCED,
					  XS_RESUME,
					  XS_SET_TARGET,
					  WIRE_GET_FEATURE,
					  WIRE_SET_FEATURE,
					  WIRE_GET_QUOTA,
					  WIRE_SET_QUOTA,
					  XS_CONTROL,
					  20,
					  15,
					  27 };

	return types[below(g, ARRAY_LEN(types))];
}

static uint32_t any_type(struct gen *g, const struct peer *p)
{
	static const uint32_t types[] = { XS_WRITE,
					  XS_WRITE,
					  XS_WRITE,
					  XS_MKDIR,
					  XS_RM,
					  XS_RM,
					  XS_READ,
					  XS_READ,
					  XS_DIRECTORY,
					  XS_DIRECTORY_PART,
					  XS_GET_PERMS,
					  XS_SET_PERMS,
					  XS_SET_PERMS,
					  XS_WATCH,
					  XS_WATCH,
					  XS_UNWATCH,
					  XS_TRANSACTION_START,
					  XS_TRANSACTION_START,
					  XS_TRANSACTION_END,
					  XS_TRANSACTION_END,
					  XS_TRANSACTION_END,
					  XS_GET_DOMAIN_PATH };

	if (!below(g, p->is_ring ? 60 : 6))
		return toolstack_type(g);
	if (!below(g, 150))
		return XS_RESET_WATCHES;
	return types[below(g, ARRAY_LEN(types))];
}

static void add_introduce(struct gen *g, struct out *o)
{
	add_domid(g, o);
	add_number(o, 1000 + (below(g, 6) ? 0 : below(g, 2) * 9999999));
	add_number(o, below(g, 5) ? WORLD_GUEST_PORT : below(g, 70));
}

static void add_arguments(struct gen *g, struct out *o, const struct peer *p, uint32_t type)
{
	switch (type) {
	case XS_WRITE:
		add_path(g, o);
		add_value(g, o);
		break;
	case XS_SET_PERMS:
		if (below(g, 10))
			add_path(g, o);
		else
			add(o, special[below(g, 2)]);
		add_list(g, o, p);
		break;
	case XS_WATCH:
	case XS_UNWATCH:
		add_watch(g, o, type == XS_WATCH);
		break;
	case XS_DIRECTORY_PART:
		add_path(g, o);
		add_number(o, below(g, 3) ? 0 : below(g, 30));
		break;
	case XS_TRANSACTION_START:
	case XS_RESET_WATCHES:
		add(o, "");
		break;
	case XS_TRANSACTION_END:
		add(o, below(g, 30) ? below(g, 4) ? "T" : "F" : "X");
		break;
	case XS_INTRODUCE:
		add_introduce(g, o);
		break;
	case XS_SET_TARGET:
		add_domid(g, o);
		add_domid(g, o);
		break;
	case WIRE_SET_FEATURE:
		add_domid(g, o);
		add_number(o, below(g, 17));
		break;
	case WIRE_GET_QUOTA:
	case WIRE_SET_QUOTA:
		add_quota(g, o, type == WIRE_SET_QUOTA);
		break;
	case XS_RELEASE:
	case XS_IS_DOMAIN_INTRODUCED:
	case XS_RESUME:
	case XS_GET_DOMAIN_PATH:
	case WIRE_GET_FEATURE:
		add_domid(g, o);
		break;
	default:
		add_path(g, o);
	}
}

void gen_request(struct gen *g, struct peer *p)
{
	uint32_t type = any_type(g, p), tx = 0;
	struct out o = { .len = 0 };

	if (type == XS_TRANSACTION_END || below(g, 2))
		tx = oracle_txn(g->w->oracle, peer_conn(p), below(g, 8));
	if (type == XS_TRANSACTION_START && below(g, 20))
		tx = 0;
	if (!below(g, 200))
		tx = 1 + below(g, 40);
	add_arguments(g, &o, p, type);
	/* the end missing, something behind it, nothing at all, zeros */
	switch (below(g, 200)) {
	case 0:
		o.len -= o.len > 0;
		break;
	case 1:
		add(&o, "more");
		break;
	case 2:
		o.len = 0;
		break;
	case 3:
		o.buf[below(g, (uint32_t)o.len + 1)] = '\0';
		break;
	default:
		break;
	}
	if (o.len > XENSTORE_PAYLOAD_MAX)
		o.len = XENSTORE_PAYLOAD_MAX;
	peer_send(p, type, tx, o.buf, o.len);
}
