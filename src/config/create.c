/* SPDX-License-Identifier: MIT */
/*
 * The keys that libxl writes for a domain that it builds, with the same permissions: the domain's
 * own, then the record, then each device's.
 *
 * Invariant: the record is there before the first device, so that at no instant the store has a
 * device that the record does not know.
 */
#include "config/create.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/own.h"
#include "config/change.h"
#include "config/class.h"
#include "config/client.h"
#include "config/json.h"
#include "config/session.h"
#include "config/userdata.h"

/* Of the ring page and port that every domain has; nobody reads them here. */
#define STORE_PORT "1"
#define STORE_RING_REF "1044476"

/* Virtual CPUs of one domain (libxl.h: HVM_MAX_VCPUS is 128, PV may have more). */
#define CREATE_VCPUS_MAX 8192

/* The domain's keys, to be sent as one batch within a transaction. */
struct domain_keys {
	struct conf_batch batch;
	uint32_t tx, domid;
	char home[64], vm[64], libxl[64];
	int err;
};

/* One node: owner is n, reader r unless it is the owner. */
static void put(struct domain_keys *k, const char *dir, const char *key, const char *value,
		uint32_t owner)
{
	uint32_t other = owner ? 0 : k->domid;
	char path[256], perms[64];
	bool alone = owner || dir == k->libxl;
	int n;

	if (k->err)
		return;
	snprintf(path, sizeof(path), "%s%s%s", dir, *key ? "/" : "", key);
	k->err = conf_batch_add(&k->batch, XS_WRITE, k->tx, path, value, strlen(value), NULL);
	n = snprintf(perms, sizeof(perms), "n%" PRIu32, owner);
	if (!alone)
		n += 1 + snprintf(perms + n + 1, sizeof(perms) - (size_t)n - 1, "r%" PRIu32, other);
	if (!k->err)
		k->err = conf_batch_add(&k->batch, XS_SET_PERMS, k->tx, path, perms, (size_t)n + 1,
					NULL);
}

static void put_number(struct domain_keys *k, const char *dir, const char *key, int64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	put(k, dir, key, text, 0);
}

/* Directories, and what a guest may write. */
static void put_directories(struct domain_keys *k, const char *uuid)
{
	static const char *const readable[] = { "cpu", "memory", "device", "control", "store" };
	static const char *const own[] = {
		"control/shutdown",
		"control/feature-poweroff",
		"control/feature-reboot",
		"control/feature-suspend",
		"control/sysrq",
		"data",
		"drivers",
		"feature",
		"attr",
		"error",
		"device/suspend/event-channel",
	};

	snprintf(k->home, sizeof(k->home), "/local/domain/%" PRIu32, k->domid);
	snprintf(k->vm, sizeof(k->vm), "/vm/%s", uuid);
	snprintf(k->libxl, sizeof(k->libxl), "/libxl/%" PRIu32, k->domid);
	put(k, k->home, "", "", 0);
	put(k, k->vm, "", "", 0);
	put(k, k->libxl, "", "", 0);
	put(k, k->libxl, "device", "", 0);
	for (size_t i = 0; i < ARRAY_LEN(readable); i++)
		put(k, k->home, readable[i], "", 0);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		put(k, k->home, own[i], "", k->domid);
}

static bool bit_is_set(struct json_object *bits, int64_t bit)
{
	size_t n = bits ? json_object_array_length(bits) : 0;

	for (size_t i = 0; i < n; i++)
		if (json_object_get_int64(json_object_array_get_idx(bits, i)) == bit)
			return true;
	return false;
}

static void put_vcpus(struct domain_keys *k, struct json_object *build)
{
	struct json_object *bits = NULL;
	int64_t n = conf_json_int(build, "max_vcpus", 1);
	char key[64];

	json_object_object_get_ex(build, "avail_vcpus", &bits);
	for (int64_t i = 0; i < n && i < CREATE_VCPUS_MAX; i++) {
		snprintf(key, sizeof(key), "cpu/%" PRId64 "/availability", i);
		put(k, k->home, key, (bits ? bit_is_set(bits, i) : !i) ? "online" : "offline", 0);
	}
}

static void put_values(struct domain_keys *k, struct json_object *config, const char *uuid)
{
	struct json_object *create = json_object_object_get(config, "c_info");
	struct json_object *build = json_object_object_get(config, "b_info");
	const char *name = conf_json_string(create, "name");
	const char *type = conf_json_string(create, "type");
	int64_t max = conf_json_int(build, "max_memkb", 0);
	int64_t video = conf_json_int(build, "video_memkb", -1);

	put(k, k->home, "vm", k->vm, 0);
	put(k, k->home, "name", name, 0);
	put(k, k->vm, "uuid", uuid, 0);
	put(k, k->vm, "name", name, 0);
	put(k, k->libxl, "type", type, 0);
	put(k, k->libxl, "dm-version", "qemu_xen", 0);
	put_number(k, k->home, "domid", k->domid);
	put_number(k, k->home, "memory/static-max", max);
	/* Video memory is part of the target in the record, and beside it in the store. */
	put_number(k, k->home, "memory/target",
		   conf_json_int(build, "target_memkb", max) - (video > 0 ? video : 0));
	put_number(k, k->home, "memory/videoram", video > 0 ? video : 0);
	put(k, k->home, "store/port", STORE_PORT, 0);
	put(k, k->home, "store/ring-ref", STORE_RING_REF, 0);
	put_vcpus(k, build);
}

static int write_domain(struct drover_config *c, uint32_t domid, struct json_object *config,
			const char *uuid)
{
	struct domain_keys k = { .domid = domid };
	int r;

	for (int i = 0; i < CHANGE_TRIES; i++) {
		r = conf_client_begin(c->client, &c->err, &k.tx);
		if (r)
			break;
		conf_batch_clear(&k.batch);
		put_directories(&k, uuid);
		put_values(&k, config, uuid);
		r = k.err ? conf_no_memory(&c->err) : conf_client_run(c->client, &k.batch, &c->err);
		for (size_t j = 0; !r && j < k.batch.n; j++)
			if (conf_batch_reply(&k.batch, j)->err)
				r = conf_fail(&c->err, -EIO, "domain %" PRIu32 ": its keys: %s",
					      domid, strerror(conf_batch_reply(&k.batch, j)->err));
		if (r) {
			conf_client_abort(c->client, k.tx);
			break;
		}
		r = conf_client_commit(c->client, k.tx, &c->err);
		if (r != -EAGAIN)
			break;
	}
	conf_batch_fini(&k.batch);
	return r;
}

/* ---- what a toolstack chooses ---- */

static int random_octets(struct conf_err *err, void *ret, size_t len)
{
	if (getrandom(ret, len, 0) == (ssize_t)len)
		return 0;
	return conf_fail(err, -EIO, "getrandom: %s", strerror(errno));
}

static int give_uuid(struct drover_config *c, struct json_object *config)
{
	struct json_object *create = json_object_object_get(config, "c_info");
	unsigned char u[16];
	char text[37];
	int r;

	if (conf_json_string(create, "uuid"))
		return 0;
	r = random_octets(&c->err, u, sizeof(u));
	if (r)
		return r;
	u[6] = (unsigned char)((u[6] & 0x0f) | 0x40); /* RFC 4122: a random one */
	u[8] = (unsigned char)((u[8] & 0x3f) | 0x80);
	for (size_t i = 0, at = 0; i < sizeof(u); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%02x",
				       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
	return conf_json_set(schema_domain_config(), config, "c_info.uuid", text, &c->err);
}

/* Calls fn for every entry of every list of devices. */
typedef int entry_fn(struct drover_config *c, const struct conf_class *k, struct json_object *entry,
		     void *data);
static int each_entry(struct drover_config *c, struct json_object *config, entry_fn *fn, void *data)
{
	const struct conf_class *k;

	for (size_t i = 0; (k = class_at(i)); i++) {
		struct json_object *list = conf_json_list(config, class_list(k));
		size_t n = list ? json_object_array_length(list) : 0;

		for (size_t j = 0; j < n; j++) {
			int r = fn(c, k, json_object_array_get_idx(list, j), data);

			if (r)
				return conf_fail_in(&c->err, r, "%s[%zu]", class_list(k), j);
		}
	}
	return 0;
}

struct choosing {
	struct json_object *config;
	struct conf_snapshot *store;
};

static int choose_entry(struct drover_config *c, const struct conf_class *k,
			struct json_object *entry, void *data)
{
	struct choosing *ch = data;
	uint64_t rnd;
	int r = random_octets(&c->err, &rnd, sizeof(rnd));

	if (!r)
		r = class_complete(k, entry, ch->config, ch->store, rnd, &c->err);
	return r ? r : class_validate(k, entry, &c->err);
}

/* What libxl fills in before it writes the record: devids, macs. */
static int choose(struct drover_config *c, uint32_t domid, struct json_object *config)
{
	struct choosing ch = { .config = config };
	int r = conf_snapshot_read(c->client, domid, &c->err, &ch.store);

	if (!r)
		r = each_entry(c, config, choose_entry, &ch);
	conf_snapshot_free(ch.store);
	return r;
}

/* ---- record and devices ---- */

static int write_record(struct drover_config *c, uint32_t domid, struct json_object *config)
{
	struct drover_domain_config *whole;
	char *text;
	size_t len;
	int r = conf_json_print(config, DROVER_CONFIG_LAYOUT_4_17, &text, &len);

	if (r)
		return conf_no_memory(&c->err);
	r = drover_domain_config_from_json(c, text, len, &whole);
	free(text);
	if (!r) {
		r = drover_config_record_create(c, domid, whole);
		drover_domain_config_free(whole);
	}
	return r;
}

/* A backend that nobody has answered yet is not told to reconfigure: it reads all at its start. */
static void forget_state(struct class_nodes *nodes)
{
	size_t n = 0;

	for (size_t i = 0; i < nodes->n; i++) {
		const char *name = strrchr(nodes->v[i].path, '/');

		if (name && !strcmp(name, "/state")) {
			free(nodes->v[i].path);
			free(nodes->v[i].value);
		} else {
			nodes->v[n++] = nodes->v[i];
		}
	}
	nodes->n = n;
}

static int entry_keys(struct drover_config *c, struct conf_domain *d, const struct conf_class *k,
		      struct json_object *entry, const struct change_place *place,
		      struct keys *keys)
{
	struct class_nodes nodes = { 0 };
	const struct conf_dev *dev = NULL;
	char *remove = NULL;
	size_t remove_len;
	int r;

	if (class_place(k) == CLASS_ENTRY) {
		dev = conf_snapshot_find(d->store, class_kind(k), place->devid);
		r = class_entry_nodes(k, entry, &place->where, dev, true, &c->err, &nodes, &remove,
				      &remove_len);
	} else {
		r = class_nodes(k, entry, &place->where, &c->err, &nodes);
	}
	if (!r && dev)
		forget_state(&nodes);
	if (!r)
		r = keys_add_nodes(keys, &nodes, &c->err);
	free(remove);
	class_nodes_fini(&nodes);
	return r;
}

/* One device's keys. What shares a directory needs to see what came before it. */
static int write_entry(struct drover_config *c, const struct conf_class *k,
		       struct json_object *entry, void *data)
{
	struct conf_domain *d = data;
	struct change_place place = { 0 };
	struct keys keys = { 0 };
	int r;

	if (class_place(k) == CLASS_RECORD_ONLY)
		return 0;
	if (class_place(k) == CLASS_ENTRY) {
		conf_snapshot_free(TAKE(d->store));
		r = conf_snapshot_read(c->client, d->domid, &c->err, &d->store);
		if (r)
			return r;
	}
	r = change_place_find(c, d, k, entry, &place);
	if (r)
		return r;
	r = entry_keys(c, d, k, entry, &place, &keys);
	if (!r)
		r = keys_commit(c, d, &keys);
	keys_fini(&keys);
	change_place_fini(&place);
	return r;
}

static int write_devices(struct drover_config *c, uint32_t domid)
{
	struct conf_domain d = { 0 };
	int r = conf_domain_load(c, domid, true, 0, &d);

	if (r)
		return r;
	r = each_entry(c, d.config, write_entry, &d);
	conf_domain_fini(&d);
	return r;
}

/* Nothing of a domain that could not be made whole is left, but backends' directories. */
static void undo(struct drover_config *c, uint32_t domid, const char *uuid)
{
	struct conf_batch b = { 0 };
	struct conf_err ignored;
	char path[64];

	snprintf(path, sizeof(path), "/local/domain/%" PRIu32, domid);
	conf_batch_add(&b, XS_RM, 0, path, NULL, 0, NULL);
	snprintf(path, sizeof(path), "/libxl/%" PRIu32, domid);
	conf_batch_add(&b, XS_RM, 0, path, NULL, 0, NULL);
	snprintf(path, sizeof(path), "/vm/%s", uuid);
	conf_batch_add(&b, XS_RM, 0, path, NULL, 0, NULL);
	conf_client_run(c->client, &b, &ignored);
	conf_batch_fini(&b);
	userdata_remove_all(c->userdata, domid, uuid, &ignored);
}

static int refuse_record(struct drover_config *c, uint32_t domid, const char *uuid)
{
	char *path = userdata_path(c->userdata, 'd', domid, uuid, USERDATA_RECORD);
	int r = 0;

	if (!path)
		return conf_no_memory(&c->err);
	if (!access(path, F_OK))
		r = conf_fail(&c->err, -EEXIST, "domain %" PRIu32 " has a record already: %s",
			      domid, path);
	free(path);
	return r;
}

int conf_create(struct drover_config *c, uint32_t domid, struct json_object *config)
{

	struct json_object *create = json_object_object_get(config, "c_info");
	int r = conf_session_begin(c);
	const char *uuid;

	if (r)
		return r;
	if (!conf_json_string(create, "name"))
		return conf_fail(&c->err, -EINVAL, "c_info.name: not set");
	if (!conf_json_string(create, "type"))
		return conf_fail(&c->err, -EINVAL, "c_info.type: not set");
	r = give_uuid(c, config);
	if (r)
		return r;
	uuid = conf_json_string(create, "uuid");
	r = refuse_record(c, domid, uuid);
	if (r)
		return r;
	r = write_domain(c, domid, config, uuid);
	if (!r)
		r = choose(c, domid, config);
	if (!r)
		r = write_record(c, domid, config);
	if (!r)
		r = write_devices(c, domid);
	if (r)
		undo(c, domid, uuid);
	return r;
}
