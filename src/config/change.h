/* SPDX-License-Identifier: MIT */
/*
 * What all changes of a device share: where it lies, its keys written or removed in one
 * transaction, and the wait for its backend. For the files of this floor alone.
 */
#ifndef DROVER_CONFIG_CHANGE_H
#define DROVER_CONFIG_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/class.h"
#include "config/session.h"

/* How often a transaction is tried that others win against. */
#define CHANGE_TRIES 64

/* ---- where a device is ---- */

struct change_place {
	struct class_where where; /* domain_type and name are borrowed from type and name */
	char *type, *name;
	char *front, *back, *libxl; /* its directories; NULL where the class has none. Owned */
	char *kind;		    /* of the backend: "qdisk"; NULL without a backend. Owned */
	uint32_t devid;
};
void change_place_fini(struct change_place *p);

/*
 * Where an entry of the record is, or is to be: its backend's domain by name or number (-ENOENT:
 * there is none of this name), its directories.
 */
int change_place_find(struct drover_config *c, const struct conf_domain *d,
		      const struct conf_class *k, struct json_object *entry,
		      struct change_place *ret);

/* Where a device of the store is. */
int change_place_of_dev(struct drover_config *c, const struct conf_domain *d,
			const struct conf_dev *dev, struct change_place *ret);

/* The directory of a place in a domain's store, or NULL. */
const struct conf_dev *change_place_dev(const struct conf_snapshot *s, const struct conf_class *k,
					const struct change_place *p);

/*
 * A copy of an entry that says which kind of backend it has, as the store says it of dev, where
 * the entry leaves that to whoever attaches it.
 */
int change_entry_settle(const struct conf_class *k, const struct conf_dev *dev, const char *id,
			struct json_object *entry, struct conf_err *err, struct json_object **ret);

/* Our own domain's id, as the store says; 0 where it does not. */
int change_own_domid(struct drover_config *c, uint32_t *ret);

/* The device of a class and identity among those judged, or NULL. */
const struct conf_judged *change_find(const struct conf_judgement *j, const struct conf_class *k,
				      const char *id);

/* The entry of a class and identity in a configuration; borrowed; NULL. */
struct json_object *change_entry(struct json_object *config, const struct conf_class *k,
				 const char *id, size_t *ret_i);

/* Puts entry (a reference is taken) into its list, in place of the one of this identity. */
int change_entry_put(struct json_object *config, const struct conf_class *k, const char *id,
		     struct json_object *entry, struct conf_err *err);

/*
 * Takes the entry out of its list; with a USB controller also the devices that are on it, as
 * libxl does. Whether there was one.
 */
bool change_entry_del(struct json_object *config, const struct conf_class *k, const char *id);

/* ---- its keys ---- */

enum keys_op {
	KEYS_ABSENT, /* -EEXIST, naming it: it is there */
	KEYS_EXPECT, /* -EAGAIN: it has another value; value NULL: it is there */
	KEYS_REMOVE, /* with all below it */
	KEYS_CLEAN,  /* the same, and the directories above it that this leaves empty */
	KEYS_WRITE,
};
struct keys_step {
	enum keys_op op;
	char *path;  /* owned */
	char *value; /* owned; NULL */
	uint32_t owner, reader;
};

/* Steps of one transaction, in their order; zeroed before the first. */
struct keys {
	struct keys_step *v; /* owned */
	size_t n, room;
	bool anyway; /* also when the domain is gone, or another has its domid */
};
void keys_fini(struct keys *keys);

/* -ENOMEM. owner CLASS_DEVID_NONE: with the permissions that it has or inherits. */
int keys_add(struct keys *keys, enum keys_op op, const char *path, const char *value,
	     uint32_t owner, uint32_t reader, struct conf_err *err);
int keys_add_nodes(struct keys *keys, const struct class_nodes *nodes, struct conf_err *err);

/*
 * Does all steps in one transaction, in which the domain is still the one that d names, or
 * nothing. -ESTALE, -ENOENT: it is not. -EAGAIN: what is expected is not so, or others were
 * faster CHANGE_TRIES times. -EEXIST.
 */
int keys_commit(struct drover_config *c, const struct conf_domain *d, const struct keys *keys);

/* Removes the directories of a place, and those above them that this leaves empty. */
int keys_remove_place(struct drover_config *c, const struct conf_domain *d,
		      const struct change_place *p, bool anyway);

/*
 * Writes (add), or removes, what a device of CLASS_ENTRY has in the directory that it shares, as
 * the directory is now: the store is read again where it is not as d has it. Lock held. entry: the
 * device. 0 also where what is to be removed is not there.
 */
int change_entry_keys(struct drover_config *c, const struct conf_domain *d,
		      const struct conf_class *k, struct json_object *entry, bool add);

/* Tells pci's backend to let one of its devices go. -EAGAIN: dev is not as it was. */
int change_entry_ask(struct drover_config *c, const struct conf_domain *d,
		     const struct conf_class *k, const struct conf_dev *dev, const char *id);

/*
 * Tells the backend of a device that it is to let it go: online=0, and state 5 unless it is
 * closed already. 0 also where it has no directory.
 */
int change_ask_to_go(struct drover_config *c, const struct conf_domain *d, const char *back);

/*
 * What is left of a device in a domain that is gone: its entry and intent, if its files are still
 * there, and with keys what of its directories the domain did not take with it. Those stay if
 * another domain has the number by now, and such a device, too. Of d only
 * number and uuid count; its locks are let go.
 */
int change_gone(struct drover_config *c, struct conf_domain *d, const struct conf_class *k,
		const char *id, const struct change_place *p, bool keys);

/* Marks the intent as given up: whoever looks next is told that nobody is at it any more. */
void change_give_up(struct drover_config *c, struct conf_domain *d, const struct conf_class *k,
		    const char *id);

/* ---- its backend ---- */

enum await {
	AWAIT_CONNECT, /* state 2, 3, 4 or 8 (after a reconfiguration) */
	AWAIT_CLOSE,   /* state 6, or its directory gone */
	AWAIT_GONE,    /* its directory gone */
};

#define AWAIT_PENDING 1

struct awaited {
	enum await what;
	const char *back; /* borrowed: its directory */
	uint32_t backend_domid;
	/*
	 * AWAIT_PENDING; 0: it is so; -ETIMEDOUT; -EREMOTEIO: the backend said no; -ENOENT: the
	 * backend's domain is gone.
	 */
	int result;
	bool gone;	     /* its directory was not there when it was looked at last */
	struct conf_err err; /* why */
};

/*
 * Waits until each has its result, at most until deadline_ms. The domain's end ends it:
 * -ENOENT, -ESTALE. Otherwise 0, whatever the results are, or what the store failed with.
 */
int change_await(struct drover_config *c, uint32_t domid, const char *uuid, struct awaited *v,
		 size_t n, uint64_t deadline_ms);

/* -EOPNOTSUPP: there is a hypervisor, and nobody who would tell it of a pci device. */
int change_check_host(struct drover_config *c, const struct conf_class *k);

/* ---- its script ---- */

/*
 * Runs the hotplug script of a device as libxl would, if it has one, its backend is in our own
 * domain and scripts are ours to run. back: what the backend's directory has.
 * Of dry: only whether it could be run.
 */
int change_script(struct drover_config *c, const struct conf_class *k, const struct change_place *p,
		  const struct conf_values *back, bool add, bool dry);

#endif
