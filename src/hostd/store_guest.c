/* SPDX-License-Identifier: MIT */
/*
 * A guest's part of the store as a whole: begun, introduced, gone. Invariant: a domain is only ever
 * ended, and its nodes removed, if its life is the one that this daemon began.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "config/class.h"
#include "config/json.h"
#include "config/session.h"
#include "hostd/store_seat.h"
#include "hv/sim/sim.h"
#include "wire/wire.h"

#define BACKENDS "/local/domain/0/backend"
#define BACKEND_TYPES_MAX 64u
#define DOMIDS 0x7fefu	   /* 1 to this */
#define DOMID_TRIES_MAX 64 /* others create domains, too */

/* ---- which nodes ---- */

static int add_backends(struct hstore_seat *s, const char *types, size_t len, uint16_t domid,
			char (*paths)[96], size_t *ret_n)
{
	size_t n = 0, type_len;
	char type[33];

	seat_begin(s);
	for (size_t at = 0; at < len && n < BACKEND_TYPES_MAX; at += type_len + 1) {
		type_len = strlen(types + at);
		if (type_len >= sizeof(type))
			continue;
		memcpy(type, types + at, type_len + 1);
		snprintf(paths[n], sizeof(paths[n]), BACKENDS "/%s/%u", type, domid);
		seat_add(s, XS_DIRECTORY, paths[n++], NULL, 0);
	}
	*ret_n = n;
	return seat_send(s);
}

int guest_each_backend(struct hstore_seat *s, uint16_t domid, guest_path_fn *fn, void *data)
{
	char paths[BACKEND_TYPES_MAX][96];
	struct conf_err ignored;
	bool is[BACKEND_TYPES_MAX];
	char *types = NULL;
	size_t len, n = 0;
	int r = conf_client_directory(seat_client(s), 0, BACKENDS, &ignored, &types, &len);

	if (r == -ENOENT)
		return 0;
	if (r)
		return conf_fail(&s->err, r, "%s", ignored.text);
	r = add_backends(s, types, len, domid, paths, &n);
	free(types);
	for (size_t i = 0; i < n && !r; i++) /* fn may send requests of its own */
		is[i] = seat_reply(s, i)->err != ENOENT;
	for (size_t i = 0; i < n && !r; i++)
		if (is[i])
			r = fn(data, paths[i]);
	return r;
}

/* Whether /local/domain/N says that it is this guest's: 1; 0: there is none; -1: another's. */
int guest_whose_home(struct hstore_seat *s, uint16_t domid, const char *uuid, int *ret)
{
	const struct conf_reply *reply;
	char path[64], vm[48];
	int r;

	snprintf(path, sizeof(path), "/local/domain/%u/vm", domid);
	snprintf(vm, sizeof(vm), "/vm/%s", uuid);
	seat_begin(s);
	seat_add(s, XS_READ, path, NULL, 0);
	r = seat_send(s);
	if (r)
		return r;
	reply = seat_reply(s, 0);
	*ret = reply->err ? 0 : strcmp(reply->data, vm) == 0 ? 1 : -1;
	return 0;
}

/* ---- the end ---- */

struct removal {
	char *text; /* owned: paths, each with its NUL */
	size_t len;
};

static int note_path(void *data, const char *path)
{
	struct removal *rm = data;
	size_t len = strlen(path) + 1;
	char *p = realloc(rm->text, rm->len + len);

	if (!p)
		return -ENOMEM;
	memcpy(p + rm->len, path, len);
	rm->text = p;
	rm->len += len;
	return 0;
}

static int remove_noted(struct hstore_seat *s, const struct removal *rm)
{
	size_t i = 0;
	int r, err;

	seat_begin(s);
	for (size_t at = 0; at < rm->len; at += strlen(rm->text + at) + 1)
		seat_add(s, XS_RM, rm->text + at, NULL, 0);
	r = seat_send(s);
	for (size_t at = 0; at < rm->len && !r; at += strlen(rm->text + at) + 1) {
		err = seat_reply(s, i++)->err;
		if (err && err != ENOENT)
			r = seat_refused(s, rm->text + at, err, false);
	}
	return r;
}

/*
 * All nodes of a domain whose home names the guest. The home goes last: where there is none, none
 * of the others was made, or all of them are gone, and what has their names is somebody else's.
 */
static int remove_nodes(struct hstore_seat *s, const char *uuid, uint16_t domid)
{
	static const char *const tops[] = { "/local/domain/0/device-model", "/libxl",
					    "/local/domain" };
	struct removal rm = { .text = NULL };
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/vm/%s", uuid);
	r = note_path(&rm, path);
	if (!r)
		r = guest_each_backend(s, domid, note_path, &rm);
	for (size_t i = 0; i < ARRAY_LEN(tops) && !r; i++) {
		snprintf(path, sizeof(path), "%s/%u", tops[i], domid);
		r = note_path(&rm, path);
	}
	if (!r)
		r = remove_noted(s, &rm);
	free(rm.text);
	return r == -ENOMEM ? conf_no_memory(&s->err) : r;
}

/* Whether the domain's life is the one that m tells of. */
static int is_our_life(struct hstore_seat *s, const char *uuid, const struct hstore_mark *m,
		       bool *ret_life, bool *ret_nodes)
{
	struct sim_dominfo info = { .unique = 0 };
	bool exists = sim_domain_info(s->sim, m->domid, &info) == 0;
	int home, r = guest_whose_home(s, m->domid, uuid, &home);

	if (r)
		return r;
	if (m->unique)
		*ret_life = exists && info.unique == m->unique;
	else /* begun, perhaps: nobody else's is neither introduced nor has a home */
		*ret_life = exists && home >= 0 && (home || !info.bound);
	*ret_nodes = home > 0;
	return 0;
}

int guest_wipe(struct hstore_seat *s, const char *uuid, struct hstore_mark *m)
{
	bool life, nodes;
	int r, err;

	if (s->shared->joined)
		return mark_remove(s, uuid);
	m->state = HSTORE_ENDING;
	r = mark_write(s, uuid, m);
	if (!r)
		r = is_our_life(s, uuid, m, &life, &nodes);
	/* A refused RELEASE is one of a domain that was not introduced. */
	if (!r && life)
		r = seat_call_domid(s, XS_RELEASE, m->domid, &err);
	if (!r && nodes)
		r = remove_nodes(s, uuid, m->domid);
	if (r)
		return r;
	if (life) {
		r = sim_domain_destroy(s->sim, m->domid);
		if (r && r != -ENOENT)
			return conf_fail(&s->err, -EIO, "domain %u: cannot be ended: %s", m->domid,
					 strerror(-r));
	}
	r = userdata_remove_all(s->config->userdata, m->domid, uuid, &s->err);
	return r ? r : mark_remove(s, uuid);
}

/* ---- the beginning ---- */

int guest_clear(struct hstore_seat *s, const char *uuid, uint64_t epoch, struct hstore_mark *keep)
{
	struct hstore_mark m;
	int r = mark_read(s, uuid, &m);

	if (keep)
		keep->domid = 0;
	if (r == -ENOENT)
		return 0;
	if (r)
		return r;
	if (strcmp(m.host, s->shared->host) != 0)
		return conf_fail(&s->err, -EEXIST, "store: guest %s is host %s's, as domain %u",
				 uuid, m.host, m.domid);
	if (m.epoch > epoch)
		return conf_fail(&s->err, -ESTALE,
				 "store: guest %s is of epoch %" PRIu64 ", not %" PRIu64, uuid,
				 m.epoch, epoch);
	if (keep && m.state == HSTORE_PREPARED && m.epoch == epoch) {
		*keep = m;
		return 0;
	}
	return guest_wipe(s, uuid, &m);
}

/* The next free number, rising before one is used again, as Xen's do. */
static uint16_t next_domid(struct hstore_seat *s)
{
	struct sim_dominfo info;
	uint32_t domid = 0;

	if (!atomic_load(&s->shared->next_domid)) {
		uint32_t last = 1;

		for (uint32_t from = 1; sim_domain_next(s->sim, from, &info); from = last)
			last = info.domid + 1u;
		atomic_compare_exchange_strong(&s->shared->next_domid, &domid, last);
	}
	for (uint32_t i = 0; i < DOMIDS; i++) {
		domid = (atomic_fetch_add(&s->shared->next_domid, 1) - 1) % DOMIDS + 1;
		if (sim_domain_info(s->sim, (uint16_t)domid, &info) == -ENOENT)
			return (uint16_t)domid;
	}
	return 0;
}

int guest_begin(struct hstore_seat *s, const char *uuid, uint64_t epoch, struct hstore_mark *ret)
{
	struct hstore_mark m = { .epoch = epoch, .state = HSTORE_MAKING };
	struct sim_dominfo info;
	int r = -EEXIST;

	snprintf(m.host, sizeof(m.host), "%s", s->shared->host);
	for (int i = 0; r == -EEXIST && i < DOMID_TRIES_MAX; i++) {
		m.domid = next_domid(s);
		if (!m.domid)
			return conf_fail(&s->err, -EIO, "there is no free domid");
		r = mark_write(s, uuid, &m);
		if (r)
			return r;
		r = sim_domain_create(s->sim, m.domid, NULL);
	}
	if (!r)
		r = sim_domain_info(s->sim, m.domid, &info);
	if (r)
		return conf_fail(&s->err, -EIO, "domain %u: cannot be created: %s", m.domid,
				 strerror(-r));
	m.unique = info.unique;
	*ret = m;
	return mark_write(s, uuid, &m);
}

int guest_introduce(struct hstore_seat *s, const struct hstore_mark *m)
{
	char tail[32], what[40];
	int n = snprintf(tail, sizeof(tail), "%u%c%u", SIM_XS_GFN, 0, SIM_XS_PORT), r;

	seat_begin(s);
	seat_add_domid(s, XS_INTRODUCE, m->domid, tail, (size_t)n + 1);
	r = seat_send(s);
	snprintf(what, sizeof(what), "domain %u cannot be introduced", m->domid);
	if (!r && seat_reply(s, 0)->err)
		r = seat_refused(s, what, seat_reply(s, 0)->err, false);
	return r;
}

int guest_config(struct hstore_seat *s, const char *uuid, const char *json, size_t len,
		 struct json_object **ret)
{
	CLEANUP_JSON struct json_object *config = NULL;
	const struct conf_class *k;
	const char *whose;
	int r;

	if (len > HSTORE_CONFIG_MAX)
		return conf_fail(&s->err, -EINVAL, "configuration: %zu octets are more than %u",
				 len, HSTORE_CONFIG_MAX);
	r = conf_json_read(json, len, &s->err, &config);
	if (r)
		return conf_fail_in(&s->err, r, "configuration");
	whose = conf_json_string(json_object_object_get(config, "c_info"), "uuid");
	if (!whose)
		r = conf_json_set(schema_domain_config(), config, "c_info.uuid", uuid, &s->err);
	else if (strcasecmp(whose, uuid) != 0)
		r = conf_fail(&s->err, -EINVAL, "configuration: c_info.uuid is %.40s, not %s",
			      whose, uuid);
	for (size_t i = 0; !r && (k = class_at(i)); i++)
		r = class_settle(k, config, &s->err);
	if (!r)
		*ret = TAKE(config);
	return r;
}
