/* SPDX-License-Identifier: MIT */
/*
 * PCI devices: all of a domain are entries of one directory, the backend's, with a number behind
 * each key. Whoever removes one moves those behind it up.
 *
 * Invariant: no more than CLASS_PCI_MAX entries are looked at or written, whatever num_devs says;
 * an entry that lacks its key hides none of the others.
 */
#include "config/class_row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Devices of one domain. */
#define CLASS_PCI_MAX 256

/* What a domain, a bus, a device and a function may be. */
struct bdf {
	unsigned int domain, bus, dev, func;
};

/* "0000:03:00.0" or "03:00.0", in hexadecimal. */
static bool bdf_parse(const char *text, struct bdf *ret)
{
	const char *colon = strchr(text, ':');
	int end = -1;

	if (strspn(text, "0123456789abcdefABCDEF:.") != strlen(text) || strlen(text) > 16)
		return false;
	*ret = (struct bdf){ 0 };
	if (colon && strchr(colon + 1, ':'))
		sscanf(text, "%x:%x:%x.%x%n", &ret->domain, &ret->bus, &ret->dev, &ret->func, &end);
	else
		sscanf(text, "%x:%x.%x%n", &ret->bus, &ret->dev, &ret->func, &end);
	return end == (int)strlen(text) && ret->domain <= INT32_MAX && ret->bus <= 0xff &&
	       ret->dev <= 0x1f && ret->func <= 7;
}

static void bdf_print(const struct bdf *b, char ret[CLASS_ID_MAX])
{
	snprintf(ret, CLASS_ID_MAX, "%04x:%02x:%02x.%x", b->domain, b->bus, b->dev, b->func);
}

int pci_id(struct json_object *entry, char ret[CLASS_ID_MAX], struct conf_err *err)
{
	static const struct {
		const char *field;
		int64_t max;
	} parts[] = { { "domain", INT32_MAX }, { "bus", 0xff }, { "dev", 0x1f }, { "func", 7 } };
	unsigned int v[4];

	for (size_t i = 0; i < 4; i++) {
		int64_t n = class_field_number(entry, parts[i].field, 0);

		if (n < 0 || n > parts[i].max)
			return conf_fail(err, -EINVAL, "pci: %s: %" PRId64 " is too large",
					 parts[i].field, n);
		v[i] = (unsigned int)n;
	}
	if (!v[0] && !v[1] && !v[2] && !v[3])
		return conf_fail(err, -EINVAL, "pci: bus, dev, func: not set");
	bdf_print(&(struct bdf){ v[0], v[1], v[2], v[3] }, ret);
	return 0;
}

int pci_id_of_text(const char *text, char ret[CLASS_ID_MAX], struct conf_err *err)
{
	struct bdf b;

	if (!bdf_parse(text, &b))
		return conf_fail(err, -EINVAL, "pci %s: is no address as 0000:03:00.0", text);
	bdf_print(&b, ret);
	return 0;
}

int pci_devid(struct json_object *entry, uint32_t *ret, struct conf_err *err)
{
	(void)entry;
	(void)err;
	*ret = 0;
	return 0;
}

/* ---- the directory ---- */

static const char *entry_key(const struct conf_dev *dev, const char *name, unsigned int i)
{
	char key[32];

	snprintf(key, sizeof(key), "%s-%u", name, i);
	return conf_values_get(&dev->back, key);
}

/* How many entries to look at; *ret_ok: whether num_devs tells. */
static unsigned int entries(const struct conf_dev *dev, bool *ret_ok)
{
	const char *num = conf_values_get(&dev->back, "num_devs");
	uint64_t n;

	*ret_ok = num && class_number(num, CLASS_PCI_MAX, &n);
	return *ret_ok ? (unsigned int)n : CLASS_PCI_MAX;
}

int pci_store_ids(const struct conf_dev *dev, class_id_fn *fn, void *data)
{
	char id[CLASS_ID_MAX];
	bool ok;
	unsigned int n = entries(dev, &ok);

	for (unsigned int i = 0; i < n; i++) {
		const char *text = entry_key(dev, "dev", i);
		struct bdf b;
		int r;

		if (!text || !bdf_parse(text, &b))
			continue;
		bdf_print(&b, id);
		r = fn(data, id, i);
		if (r)
			return r;
	}
	return 0;
}

/* The entry of an identity, or -1. */
static int find_entry(const struct conf_dev *dev, const char *id)
{
	char other[CLASS_ID_MAX];
	bool ok;
	unsigned int n = entries(dev, &ok);

	for (unsigned int i = 0; i < n; i++) {
		const char *text = entry_key(dev, "dev", i);
		struct bdf b;

		if (!text || !bdf_parse(text, &b))
			continue;
		bdf_print(&b, other);
		if (!strcmp(other, id))
			return (int)i;
	}
	return -1;
}

int pci_complete(struct json_object *entry, struct json_object *config,
		 const struct conf_snapshot *s, uint64_t rnd, struct conf_err *err)
{
	(void)config;
	(void)s;
	(void)rnd;
	if (class_field(entry, "rdm_policy"))
		return 0;
	return class_field_set_text(entry, "rdm_policy", "strict") ? conf_no_memory(err) : 0;
}

/* ---- to the store ---- */

/* What an entry has besides its address, in the order of writing. */
static const char *const entry_keys[] = { "key", "dev", "vdevfn", "vdev", "name", "opts", "state" };

#define N_ENTRY_KEYS (sizeof(entry_keys) / sizeof(entry_keys[0]))

static int put(const struct class_put *x, struct class_nodes *ret, const char *key, int i,
	       const char *value)
{
	char back[CLASS_PATH_MAX];

	class_path(x, CLASS_BACKEND, back);
	if (i < 0)
		return class_nodes_add(ret, x->where, CLASS_BACKEND, false, value, "%s/%s", back,
				       key);
	return class_nodes_add(ret, x->where, CLASS_BACKEND, false, value, "%s/%s-%d", back, key,
			       i);
}

static int put_number(const struct class_put *x, struct class_nodes *ret, const char *key,
		      const char *fmt, unsigned int value, int i)
{
	char text[32];

	if (!strcmp(fmt, "%x"))
		snprintf(text, sizeof(text), "%x", value);
	else
		snprintf(text, sizeof(text), "%u", value);
	return put(x, ret, key, i, text);
}

/* The directories, with the first device of a domain. */
static int put_directories(const struct class_put *x, struct class_nodes *ret)
{
	char front[CLASS_PATH_MAX], back[CLASS_PATH_MAX], domid[16];
	const struct class_where *w = x->where;
	int r;

	class_path(x, CLASS_FRONTEND, front);
	class_path(x, CLASS_BACKEND, back);
	snprintf(domid, sizeof(domid), "%" PRIu32, w->domid);
	r = class_nodes_add(ret, w, CLASS_BACKEND, false, "", "%s", back);
	r = r ? r : put(x, ret, "frontend", -1, front);
	r = r ? r : put(x, ret, "frontend-id", -1, domid);
	r = r ? r : put(x, ret, "online", -1, "1");
	r = r ? r : put(x, ret, "state", -1, "1");
	r = r ? r : put(x, ret, "domain", -1, w->name ? w->name : "");
	r = r ? r : class_nodes_add(ret, w, CLASS_FRONTEND, false, "", "%s", front);
	r = r ? r : class_nodes_add(ret, w, CLASS_FRONTEND, false, back, "%s/backend", front);
	r = r ? r : class_nodes_add(ret, w, CLASS_FRONTEND, false, "0", "%s/backend-id", front);
	return r ? r : class_nodes_add(ret, w, CLASS_FRONTEND, false, "1", "%s/state", front);
}

static int put_entry(const struct class_put *x, struct class_nodes *ret, const char *id, int i)
{
	unsigned int vdevfn = (unsigned int)class_field_number(x->entry, "vdevfn", 0);
	const char *policy = class_field_text(x->entry, "rdm_policy");
	const char *name = class_field_text(x->entry, "name");
	char opts[128];
	int r;

	snprintf(opts, sizeof(opts), "msitranslate=%d,power_mgmt=%d,permissive=%d,rdm_policy=%.32s",
		 class_field_bool(x->entry, "msitranslate", false),
		 class_field_bool(x->entry, "power_mgmt", false),
		 class_field_bool(x->entry, "permissive", false),
		 policy && strcmp(policy, "invalid") != 0 ? policy : "strict");
	r = put(x, ret, "key", i, id);
	r = r ? r : put(x, ret, "dev", i, id);
	if (!r && vdevfn)
		r = put_number(x, ret, "vdevfn", "%x", vdevfn, i);
	if (!r && name)
		r = put(x, ret, "name", i, name);
	r = r ? r : put(x, ret, "opts", i, opts);
	return r ? r : put(x, ret, "state", i, "1");
}

/*
 * Where libxl notes which domain has a device: it gives none away that is noted there. It has the
 * address with a dash for each of its separators.
 */
static int put_note(const struct class_put *x, struct class_nodes *ret, const char *id)
{
	char name[CLASS_ID_MAX], domid[16];

	snprintf(name, sizeof(name), "%s", id);
	for (char *p = name; *p; p++)
		if (*p == ':' || *p == '.')
			*p = '-';
	snprintf(domid, sizeof(domid), "%" PRIu32, x->where->domid);
	return class_nodes_add(ret, x->where, CLASS_LIBXL, false, domid, "/libxl/pci/%s/domid",
			       name);
}

static int add_nodes(const struct class_put *x, const struct conf_dev *dev, const char *id,
		     struct class_nodes *ret)
{
	unsigned int n = 0;
	bool ok = true;
	int r = 0;

	if (dev)
		n = entries(dev, &ok);
	if (!ok || n >= CLASS_PCI_MAX)
		return conf_fail(x->err, -EBADMSG, "%s/num_devs: malformed, or %d already",
				 dev->path, CLASS_PCI_MAX);
	if (dev && find_entry(dev, id) >= 0)
		return conf_fail(x->err, -EEXIST, "%s/dev-%d: is %s already", dev->path,
				 find_entry(dev, id), id);
	r = put_note(x, ret, id);
	if (!r && !dev)
		r = put_directories(x, ret);
	r = r ? r : put_entry(x, ret, id, (int)n);
	r = r ? r : put_number(x, ret, "num_devs", "%u", n + 1, -1);
	/* The backend looks at the directory again. */
	return !r && n ? put(x, ret, "state", -1, "7") : r;
}

/* One key of entry i + 1 becomes that of entry i; gone where the one behind has none. */
static int move_key(const struct class_put *x, const struct conf_dev *dev, const char *key,
		    unsigned int i, bool last, struct class_nodes *ret,
		    struct class_nodes *ret_remove)
{
	const char *value = last ? NULL : entry_key(dev, key, i + 1);

	if (value)
		return put(x, ret, key, (int)i, value);
	return entry_key(dev, key, i) ? put(x, ret_remove, key, (int)i, "") : 0;
}

static int remove_nodes(const struct class_put *x, const struct conf_dev *dev, const char *id,
			struct class_nodes *ret, struct class_nodes *ret_remove)
{
	char front[CLASS_PATH_MAX], back[CLASS_PATH_MAX];
	int at = dev ? find_entry(dev, id) : -1, r = 0;
	bool ok = true;
	unsigned int n = dev ? entries(dev, &ok) : 0;

	if (at < 0)
		return conf_fail(x->err, -ENOENT, "pci %s: the domain's directory does not have it",
				 id);
	r = put_note(x, ret_remove, id);
	/* Not as many as the directory has entries: what is behind stays where it is. */
	if (!ok)
		n = (unsigned int)at + 1;
	if (ok && n == 1) {
		class_path(x, CLASS_BACKEND, back);
		class_path(x, CLASS_FRONTEND, front);
		if (!r)
			r = class_nodes_add(ret_remove, x->where, CLASS_BACKEND, false, "", "%s",
					    back);
		return r ? r
			 : class_nodes_add(ret_remove, x->where, CLASS_FRONTEND, false, "", "%s",
					   front);
	}
	for (unsigned int i = (unsigned int)at; !r && i < n; i++)
		for (size_t k = 0; !r && k < N_ENTRY_KEYS; k++)
			r = move_key(x, dev, entry_keys[k], i, i + 1 == n, ret, ret_remove);
	return r || !ok ? r : put_number(x, ret, "num_devs", "%u", n - 1, -1);
}

int pci_entry_nodes(const struct class_put *x, const struct conf_dev *dev, bool add,
		    struct class_nodes *ret, struct class_nodes *ret_remove)
{
	char id[CLASS_ID_MAX];
	int r = pci_id(x->entry, id, x->err);

	if (r)
		return r;
	return add ? add_nodes(x, dev, id, ret) : remove_nodes(x, dev, id, ret, ret_remove);
}

/* ---- from the store ---- */

/* An entry without its key, or with a malformed one: the first. */
static void check_holes(const struct conf_dev *dev, unsigned int n, char *ret, size_t ret_size)
{
	for (unsigned int i = 0; i < n; i++) {
		const char *text = entry_key(dev, "dev", i);
		struct bdf b;

		if (text && bdf_parse(text, &b))
			continue;
		snprintf(ret, ret_size, "dev-%u: %.32s", i, text ? text : "missing");
		return;
	}
}

void pci_check(const struct conf_dev *dev, const char *id, char *ret, size_t ret_size)
{
	const char *num = conf_values_get(&dev->back, "num_devs");
	int at = id ? find_entry(dev, id) : -1;
	bool ok;
	unsigned int n = entries(dev, &ok);

	/* How many there are, and where one is missing, is not the fault of those that are there.
	 */
	if (at >= 0 && !entry_key(dev, "state", (unsigned int)at))
		snprintf(ret, ret_size, "state-%d: missing", at);
	else if (at < 0 && !ok)
		snprintf(ret, ret_size, "num_devs: %.32s", num ? num : "missing");
	else if (at < 0)
		check_holes(dev, n, ret, ret_size);
}

/* "msitranslate=0,power_mgmt=1": names and values that are known. */
static int get_opts(const char *opts, struct json_object *entry)
{
	char *copy = strdup(opts), *save = NULL;
	int r = copy ? 0 : -ENOMEM;

	for (char *p = copy ? strtok_r(copy, ",", &save) : NULL; !r && p;
	     p = strtok_r(NULL, ",", &save)) {
		char *value = strchr(p, '=');

		p += strspn(p, " ");
		if (!value)
			continue;
		*value++ = '\0';
		if (!strcmp(p, "rdm_policy"))
			r = class_field_set_text(entry, p, value);
		else if (!strcmp(value, "1") &&
			 (!strcmp(p, "msitranslate") || !strcmp(p, "power_mgmt") ||
			  !strcmp(p, "permissive")))
			r = class_field_set_bool(entry, p, true);
	}
	free(copy);
	return r;
}

int pci_from_store(const struct conf_dev *dev, const char *id, struct json_object *entry)
{
	const char *vdevfn, *opts, *name;
	int at = find_entry(dev, id), r;
	struct bdf b;

	if (at < 0 || !bdf_parse(id, &b))
		return -EBADMSG;
	r = b.func ? class_field_set_number(entry, "func", b.func) : 0;
	r = r || !b.dev ? r : class_field_set_number(entry, "dev", b.dev);
	r = r || !b.bus ? r : class_field_set_number(entry, "bus", b.bus);
	r = r || !b.domain ? r : class_field_set_number(entry, "domain", b.domain);
	vdevfn = entry_key(dev, "vdevfn", (unsigned int)at);
	if (!r && vdevfn && strspn(vdevfn, "0123456789abcdefABCDEF") == strlen(vdevfn) && *vdevfn &&
	    strlen(vdevfn) <= 8)
		r = class_field_set_number(entry, "vdevfn", strtoul(vdevfn, NULL, 16));
	name = entry_key(dev, "name", (unsigned int)at);
	if (!r && name && *name)
		r = class_field_set_text(entry, "name", name);
	opts = entry_key(dev, "opts", (unsigned int)at);
	return r || !opts ? r : get_opts(opts, entry);
}
