/* SPDX-License-Identifier: MIT */
/*
 * Which domains there are, and which one a word means.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/session.h"
#include "wire/path.h"
#include "wire/wire.h"

int conf_parse_vm(struct conf_err *err, uint32_t domid, const char *vm, size_t len, char ret[37])
{
	size_t i;
	bool ok;

	/* domain 0 is made by the hypervisor, with a nil uuid, and not every host writes its vm */
	if (!vm && domid == 0)
		vm = "/vm/00000000-0000-0000-0000-000000000000", len = 40;
	if (!vm)
		return conf_fail(err, -EPROTO,
				 "store: no /local/domain/%" PRIu32
				 "/vm: the domain's uuid is not told",
				 domid);
	ok = len == 40 && strlen(vm) == len && !strncmp(vm, "/vm/", 4);
	for (i = 0; ok && i < 36; i++) {
		char c = vm[4 + i];

		if (i == 8 || i == 13 || i == 18 || i == 23)
			ok = c == '-';
		else
			ok = isxdigit((unsigned char)c);
		ret[i] = (char)tolower((unsigned char)c);
	}
	ret[36] = '\0';
	if (!ok)
		return conf_fail(err, -EPROTO,
				 "store: /local/domain/%" PRIu32 "/vm: no path of a uuid: %.80s",
				 domid, vm);
	return 0;
}

int conf_take_uuid(struct conf_err *err, uint32_t domid, const struct conf_reply *here,
		   const struct conf_reply *vm, char ret[37])
{
	if (here->err == ENOENT)
		return conf_fail(err, -ENOENT, "domain %" PRIu32 " is not in the store", domid);
	if (here->err || (vm->err && vm->err != ENOENT))
		return conf_fail(err, here->err == EACCES || vm->err == EACCES ? -EACCES : -EIO,
				 "store: read /local/domain/%" PRIu32 "/vm: %s", domid,
				 wire_errno_name(here->err ? here->err : vm->err));
	return conf_parse_vm(err, domid, vm->err ? NULL : vm->data, vm->len, ret);
}

int conf_client_uuid(struct conf_client *c, uint32_t domid, struct conf_err *err, char ret[37])
{
	__attribute__((cleanup(conf_batch_fini))) struct conf_batch b = { 0 };
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/local/domain/%" PRIu32, domid);
	r = conf_batch_add(&b, XS_READ, 0, path, NULL, 0, NULL);
	snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/vm", domid);
	if (!r)
		r = conf_batch_add(&b, XS_READ, 0, path, NULL, 0, NULL);
	if (r)
		return conf_no_memory(err);
	r = conf_client_run(c, &b, err);
	if (r)
		return r;
	return conf_take_uuid(err, domid, conf_batch_reply(&b, 0), conf_batch_reply(&b, 1), ret);
}

static int domid_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int list_domids(struct drover_config *c, uint32_t **ret, size_t *ret_n)
{
	char *names;
	size_t len, at, n = 0, room = 0;
	int r = conf_client_directory(c->client, 0, "/local/domain", &c->err, &names, &len);

	*ret = NULL;
	*ret_n = 0;
	if (r == -ENOENT) {
		/* an empty store: told as what it is */
		return conf_fail(&c->err, r, "the store has no /local/domain: it knows no domain");
	}
	if (r)
		return r;
	for (at = 0; at < len; at += strlen(names + at) + 1)
		room++;
	*ret = calloc(room ? room : 1, sizeof(**ret));
	if (!*ret) {
		free(names);
		return conf_no_memory(&c->err);
	}
	for (at = 0; at < len; at += strlen(names + at) + 1) {
		uint16_t domid;

		if (!path_parse_domid(names + at, strlen(names + at), &domid))
			(*ret)[n++] = domid;
	}
	free(names);
	qsort(*ret, n, sizeof(**ret), domid_cmp);
	*ret_n = n;
	return 0;
}

int drover_config_domids(struct drover_config *c, uint32_t **ret, size_t *ret_n)
{
	int r = conf_session_begin(c);

	return r ? r : list_domids(c, ret, ret_n);
}

/* Compares a node of every domain with a word; *ret_n: how many had it, *ret one of them. */
static int find_by(struct drover_config *c, const uint32_t *domids, size_t n, const char *node,
		   const char *prefix, const char *who, uint32_t *ret, size_t *ret_n)
{
	__attribute__((cleanup(conf_batch_fini))) struct conf_batch b = { 0 };
	size_t i, prefix_len = strlen(prefix);
	char path[64];
	int r = 0;

	*ret_n = 0;
	for (i = 0; !r && i < n; i++) {
		snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/%s", domids[i], node);
		r = conf_batch_add(&b, XS_READ, 0, path, NULL, 0, NULL);
	}
	if (r)
		return conf_no_memory(&c->err);
	r = conf_client_run(c->client, &b, &c->err);
	for (i = 0; !r && i < n; i++) {
		const struct conf_reply *a = conf_batch_reply(&b, i);

		if (a->err || strlen(a->data) != a->len)
			continue;
		if (*prefix ? !strncmp(a->data, prefix, prefix_len) &&
				      !strcasecmp(a->data + prefix_len, who)
			    : !strcmp(a->data, who)) {
			*ret = domids[i];
			(*ret_n)++;
		}
	}
	return r;
}

static bool looks_like_uuid(const char *who)
{
	return strlen(who) == 36 && strspn(who, "0123456789abcdefABCDEF-") == 36;
}

int drover_config_find(struct drover_config *c, const char *who, uint32_t *ret_domid)
{
	bool uuid = looks_like_uuid(who);
	uint32_t *domids, found = 0;
	size_t n, n_found;
	uint16_t domid;
	int r = conf_session_begin(c);

	if (r)
		return r;
	if (!path_parse_domid(who, strlen(who), &domid)) {
		char unused[37];

		r = conf_client_uuid(c->client, domid, &c->err, unused);
		if (r && r != -EPROTO)
			return r;
		c->err.text[0] = '\0';
		*ret_domid = domid;
		return 0;
	}
	r = list_domids(c, &domids, &n);
	if (r)
		return r;
	r = find_by(c, domids, n, uuid ? "vm" : "name", uuid ? "/vm/" : "", who, &found, &n_found);
	free(domids);
	if (r)
		return r;
	if (!n_found)
		return conf_fail(&c->err, -ENOENT, "no domain of the store has the %s %s",
				 uuid ? "uuid" : "name", who);
	if (n_found > 1)
		return conf_fail(&c->err, -EEXIST,
				 "%zu domains have the %s %s: name one by its domid", n_found,
				 uuid ? "uuid" : "name", who);
	*ret_domid = found;
	return 0;
}
