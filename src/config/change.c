/* SPDX-License-Identifier: MIT */
/*
 * Where a device lies, its entry in the record, and its hotplug script.
 */
#include "config/change.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"
#include "config/script.h"

static inline void text_freep(char **p)
{
	free(*p);
}
#define CLEANUP_TEXT __attribute__((cleanup(text_freep)))

/* ---- entries ---- */

struct json_object *change_entry(struct json_object *config, const struct conf_class *k,
				 const char *id, size_t *ret_i)
{
	struct json_object *list = conf_json_list(config, class_list(k));
	size_t n = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		char other[CLASS_ID_MAX];

		if (class_id(k, entry, other, NULL) || strcmp(other, id) != 0)
			continue;
		if (ret_i)
			*ret_i = i;
		return entry;
	}
	return NULL;
}

int change_entry_put(struct json_object *config, const struct conf_class *k, const char *id,
		     struct json_object *entry, struct conf_err *err)
{
	size_t i;
	int r;

	json_object_get(entry);
	if (change_entry(config, k, id, &i))
		r = json_object_array_put_idx(conf_json_list(config, class_list(k)), i, entry);
	else
		r = conf_json_list_add(config, class_list(k), entry);
	if (!r)
		return 0;
	json_object_put(entry);
	return conf_no_memory(err);
}

/* Nothing can be on a controller that is gone. */
static void del_usbdevs(struct json_object *config, int64_t ctrl)
{
	const char *list = class_list(class_find("usbdev"));
	struct json_object *all = conf_json_list(config, list);
	size_t i = all ? json_object_array_length(all) : 0;

	while (i--)
		if (conf_json_int(json_object_array_get_idx(all, i), "ctrl", -1) == ctrl)
			conf_json_list_del(config, list, i);
}

bool change_entry_del(struct json_object *config, const struct conf_class *k, const char *id)
{
	struct json_object *entry;
	size_t i;

	entry = change_entry(config, k, id, &i);
	if (!entry)
		return false;
	if (strcmp(class_name(k), "usbctrl") == 0)
		del_usbdevs(config, conf_json_int(entry, "devid", -1));
	conf_json_list_del(config, class_list(k), i);
	return true;
}

const struct conf_judged *change_find(const struct conf_judgement *j, const struct conf_class *k,
				      const char *id)
{
	for (size_t i = 0; i < j->n; i++)
		if (j->v[i].k == k && strcmp(j->v[i].id, id) == 0)
			return &j->v[i];
	return NULL;
}

/* ---- domains by name ---- */

int change_own_domid(struct drover_config *c, uint32_t *ret)
{
	CLEANUP_TEXT char *value = NULL;
	int r = conf_client_read(c->client, 0, "domid", NULL, &value, NULL);
	unsigned long n;
	char *end;

	*ret = 0;
	if (r)
		return r == -ENOENT || r == -EINVAL || r == -EACCES ? 0 : r;
	n = strtoul(value, &end, 10);
	if (end != value && !*end && n < UINT32_MAX)
		*ret = (uint32_t)n;
	return 0;
}

/* By a name, as libxl does: whoever has it. */
static int domid_of_name(struct drover_config *c, const char *name, uint32_t *ret)
{
	int r = drover_config_find(c, name, ret);

	if (r == -ENOENT)
		return conf_fail(&c->err, r, "backend_domname: there is no domain \"%s\"", name);
	return r ? conf_fail_in(&c->err, r, "backend_domname") : 0;
}

static int backend_domid(struct drover_config *c, struct json_object *entry, uint32_t *ret)
{
	const char *name = conf_json_string(entry, "backend_domname");
	CLEANUP_TEXT char *value = NULL;
	char path[64];
	int r;

	*ret = (uint32_t)conf_json_int(entry, "backend_domid", 0);
	if (name && *name) {
		char *end;
		unsigned long n = strtoul(name, &end, 10);

		if (name[0] < '0' || name[0] > '9' || *end || n >= UINT32_MAX)
			return domid_of_name(c, name, ret);
		*ret = (uint32_t)n;
	}
	snprintf(path, sizeof(path), "/local/domain/%" PRIu32, *ret);
	r = conf_client_read(c->client, 0, path, &c->err, &value, NULL);
	if (r == -ENOENT && *ret)
		return conf_fail(&c->err, r, "backend: there is no domain %" PRIu32, *ret);
	return r == -ENOENT ? 0 : r;
}

/* ---- places ---- */

void change_place_fini(struct change_place *p)
{
	free(p->type);
	free(p->name);
	free(p->front);
	free(p->back);
	free(p->libxl);
	free(p->kind);
	memset(p, 0, sizeof(*p));
}

/* "qdisk" of "/local/domain/0/backend/qdisk/7/51712"; NULL: memory is out. */
static char *kind_of_path(const char *back)
{
	const char *p = strstr(back, "/backend/");

	p = p ? p + strlen("/backend/") : "";
	return strndup(p, strcspn(p, "/"));
}

static int place_begin(const struct conf_domain *d, uint32_t backend, struct change_place *p,
		       struct conf_err *err)
{
	const char *type = d->store->type;

	if (!type)
		type = conf_json_string(json_object_object_get(d->config, "c_info"), "type");
	p->type = strdup(type ? type : "pv");
	p->name = strdup(d->store->name ? d->store->name : "");
	if (!p->type || !p->name)
		return conf_no_memory(err);
	p->where.name = p->name;
	p->where.domid = d->domid;
	p->where.backend_domid = backend;
	p->where.domain_type = p->type;
#if defined(__x86_64__)
	/* a guest of another width says so itself, when it starts */
	if (strcmp(p->type, "pv") == 0)
		p->where.protocol = "x86_64-abi";
#endif
	return 0;
}

int change_place_find(struct drover_config *c, const struct conf_domain *d,
		      const struct conf_class *k, struct json_object *entry,
		      struct change_place *ret)
{
	uint32_t backend;
	int r = backend_domid(c, entry, &backend);

	if (!r)
		r = place_begin(d, backend, ret, &c->err);
	if (!r)
		r = class_devid(k, entry, &ret->devid, &c->err);
	if (!r)
		r = class_paths(k, entry, &ret->where, &ret->front, &ret->back, &ret->libxl,
				&c->err);
	if (!r && ret->back) {
		ret->kind = kind_of_path(ret->back);
		if (!ret->kind)
			r = conf_no_memory(&c->err);
	}
	return r;
}

/* The frontend's directory: where libxl's says, if that is one of this domain. */
static char *front_of_dev(const struct conf_domain *d, const struct conf_dev *dev)
{
	const char *front = conf_values_get(&dev->libxl, "frontend");
	char own[64];
	char *path;

	snprintf(own, sizeof(own), "/local/domain/%" PRIu32 "/", d->domid);
	if (front && strncmp(front, own, strlen(own)) == 0 && front[strlen(own)])
		return strdup(front);
	if (asprintf(&path, "%sdevice/%s/%" PRIu32, own, dev->kind, dev->devid) < 0)
		return NULL;
	return path;
}

int change_place_of_dev(struct drover_config *c, const struct conf_domain *d,
			const struct conf_dev *dev, struct change_place *ret)
{
	int r = place_begin(d, dev->backend_domid, ret, &c->err);

	if (r)
		return r;
	ret->devid = dev->devid;
	ret->front = front_of_dev(d, dev);
	if (!ret->front)
		return conf_no_memory(&c->err);
	if (dev->backend && dev->backend_kind) {
		ret->back = strdup(dev->backend);
		ret->kind = strdup(dev->backend_kind);
		if (!ret->back || !ret->kind)
			return conf_no_memory(&c->err);
	}
	if (asprintf(&ret->libxl, "/libxl/%" PRIu32 "/device/%s/%" PRIu32, d->domid, dev->kind,
		     dev->devid) < 0) {
		ret->libxl = NULL;
		return conf_no_memory(&c->err);
	}
	return 0;
}

const struct conf_dev *change_place_dev(const struct conf_snapshot *s, const struct conf_class *k,
					const struct change_place *p)
{
	if (class_place(k) == CLASS_ENTRY)
		return conf_snapshot_find(s, class_kind(k), p->devid);
	for (size_t i = 0; i < s->n_devs; i++)
		if (p->libxl && strcmp(s->devs[i].path, p->libxl) == 0)
			return &s->devs[i];
	return NULL;
}

int change_entry_settle(const struct conf_class *k, const struct conf_dev *dev, const char *id,
			struct json_object *entry, struct conf_err *err, struct json_object **ret)
{
	static const char *const fields[] = { "backend", "specification", "type", "backend_type" };
	CLEANUP_JSON struct json_object *stored = NULL;
	struct json_object *copy = conf_json_copy(entry);
	int r = copy ? 0 : -ENOMEM;

	if (!r && class_from_store(k, dev, id, NULL, &stored) == -ENOMEM)
		r = -ENOMEM;
	for (size_t i = 0; i < ARRAY_LEN(fields) && !r && stored; i++) {
		struct json_object *value = json_object_object_get(stored, fields[i]);

		if (!value || json_object_object_get(copy, fields[i]))
			continue;
		if (json_object_object_add(copy, fields[i], json_object_get(value)))
			r = -ENOMEM;
	}
	/* where that is not to be had of a damaged one, the kind of the directory tells */
	if (!r && dev->backend_kind && !json_object_object_get(copy, "backend")) {
		if (strcmp(dev->backend_kind, "vbd") == 0)
			r = conf_json_set(class_schema(k), copy, "backend", "phy", err);
		else if (strcmp(dev->backend_kind, "qdisk") == 0)
			r = conf_json_set(class_schema(k), copy, "backend", "qdisk", err);
	}
	if (r) {
		json_object_put(copy);
		return conf_no_memory(err);
	}
	*ret = copy;
	return 0;
}

int change_check_host(struct drover_config *c, const struct conf_class *k)
{
	if (strcmp(class_name(k), "pci") != 0 || !c->host.domain_uuid || c->host.pci_assign)
		return 0;
	return conf_fail(&c->err, -EOPNOTSUPP,
			 "pci: the hypervisor's side of it is not ours to do: use xl pci-attach "
			 "and xl pci-detach");
}

/* ---- scripts ---- */

/* What libxl tells a script beside its argument. */
static int script_env_make(struct script_env *env, const struct change_place *p, const char *script,
			   const struct conf_values *back, bool ioemu, struct conf_err *err)
{
	const char *gateway = conf_values_get(back, "gatewaydev");
	int r = script_env_add(env, err, "script=%s", script);

	if (!r)
		r = script_env_add(env, err, "XENBUS_TYPE=%s", p->kind);
	if (!r)
		r = script_env_add(env, err, "XENBUS_PATH=backend/%s/%" PRIu32 "/%" PRIu32, p->kind,
				   p->where.domid, p->devid);
	if (!r)
		r = script_env_add(env, err, "XENBUS_BASE_PATH=backend");
	if (r || strcmp(p->kind, "vif") != 0)
		return r;
	r = script_env_add(env, err, "netdev=%s", gateway ? gateway : "");
	if (!r && ioemu)
		r = script_env_add(env, err, "INTERFACE=vif%" PRIu32 ".%" PRIu32 "-emu",
				   p->where.domid, p->devid);
	if (!r)
		r = script_env_add(env, err, "vif=vif%" PRIu32 ".%" PRIu32, p->where.domid,
				   p->devid);
	return r;
}

/* Once, or for a nic that is emulated, too, again for its other interface. */
static int script_runs(struct drover_config *c, const struct conf_class *k,
		       const struct change_place *p, const char *script,
		       const struct conf_values *back, bool add)
{
	const char *type = conf_values_get(back, "type");
	bool vif = strcmp(p->kind, "vif") == 0;
	bool ioemu = vif && type && strcmp(type, "vif_ioemu") == 0;
	const char *argv[] = { script, class_script_arg(k, add), vif ? "type_if=vif" : NULL, NULL };
	const char *again[] = { script, add ? "add" : "remove", "type_if=tap", NULL };
	__attribute__((cleanup(script_env_fini))) struct script_env env = { .n = 0 };
	int r = script_env_make(&env, p, script, back, ioemu, &c->err);

	if (!r)
		r = script_run(argv, &env, c->opt.script_timeout_ms, &c->err);
	if (!r && ioemu)
		r = script_run(again, &env, c->opt.script_timeout_ms, &c->err);
	return r;
}

int change_script(struct drover_config *c, const struct conf_class *k, const struct change_place *p,
		  const struct conf_values *back, bool add, bool dry)
{
	const char *script = conf_values_get(back, "script");
	uint32_t own;
	int r;

	/* a qdisk has the key, too, and no script is run for it */
	if (c->opt.no_scripts || !script || !*script || !class_script_arg(k, add) || !p->kind ||
	    (strcmp(p->kind, "vbd") != 0 && strcmp(p->kind, "vif") != 0))
		return 0;
	r = change_own_domid(c, &own);
	if (r || own != p->where.backend_domid)
		return r;
	if (dry)
		return script_check(script, &c->err);
	return script_runs(c, k, p, script, back, add);
}
