/* SPDX-License-Identifier: MIT */
/*
 * The classes of devices, as one table: what tells a device from others, which nodes are written
 * for it with which permissions, which must be there, what the store gives back, what is lost. A
 * new class is one entry of the table (class_table.c and a file of its own where it is not
 * regular).
 */
#ifndef DROVER_CONFIG_CLASS_H
#define DROVER_CONFIG_CLASS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/err.h"
#include "config/schema.h"
#include "config/snapshot.h"

#define CLASS_ID_MAX 256 /* octets of an identity with its NUL */
#define CLASS_DEVID_NONE UINT32_MAX

/* How a class lies in the store. */
enum class_place {
	CLASS_DIRECTORY,   /* a directory for each device: /libxl/N/device/KIND/DEVID */
	CLASS_ENTRY,	   /* entries of one directory: pci's dev-i, usbdev's port/i of a vusb */
	CLASS_RECORD_ONLY, /* nowhere: dtdev, rdm */
};

/* Where a device is, or is to be. */
struct class_where {
	uint32_t domid;
	uint32_t backend_domid;
	const char *domain_type; /* "pv", "pvh", "hvm" */
	const char *protocol;	 /* of the frontend, "x86_64-abi"; NULL: not written */
	const char *name;	 /* the domain's, which PCI's backend is told; NULL: "" */
};

enum class_side { CLASS_FRONTEND, CLASS_BACKEND, CLASS_LIBXL };

/* A node to be written; in writing order, directories before what is in them. */
struct class_node {
	enum class_side side;
	char *path;	/* owned, absolute */
	char *value;	/* owned */
	uint32_t owner; /* perms: nOWNER, and rREADER unless that is CLASS_DEVID_NONE */
	uint32_t reader;
};
struct class_nodes {
	struct class_node *v; /* owned */
	size_t n, room;
};
void class_nodes_fini(struct class_nodes *nodes);

struct conf_class;

/* The table, in the order of the report; NULL from its end on. */
const struct conf_class *class_at(size_t i);
const struct conf_class *class_find(const char *word); /* a name or another name; NULL */

const char *class_name(const struct conf_class *k); /* "vbd" */
const char *class_list(const struct conf_class *k); /* of the record: "disks" */
const struct schema_type *class_schema(const struct conf_class *k);
enum class_place class_place(const struct conf_class *k);
/* Of the frontend and of libxl's directory: "vbd"; NULL of CLASS_RECORD_ONLY. */
const char *class_kind(const struct conf_class *k);
/* The same of one device: a disk over virtio is of kind "virtio_disk". */
const char *class_kind_of(const struct conf_class *k, struct json_object *entry);
/* Whether a device of libxl's directory is of this class: by its kind, which may be another one. */
bool class_owns(const struct conf_class *k, const struct conf_dev *dev);

/* ---- identity ---- */

/* -EINVAL: what makes the identity is not set, or is malformed; the line names the field. */
int class_id(const struct conf_class *k, struct json_object *entry, char ret[CLASS_ID_MAX],
	     struct conf_err *err);

/*
 * The identity that somebody typed, as class_id has it: "d1p0" is "xvdb", "3:0.0" is
 * "0000:03:00.0". -EINVAL: no device of the class can be it.
 */
int class_id_of_text(const struct conf_class *k, const char *text, char ret[CLASS_ID_MAX],
		     struct conf_err *err);

/*
 * Gives entries of a whole record that have no devid the number that libxl would give them: one
 * more than the largest before. (Toolstacks may leave it to libxl, which does not write it back.)
 */
int class_settle(const struct conf_class *k, struct json_object *config, struct conf_err *err);

/* The number of the directory: 51712 for "xvda"; of CLASS_ENTRY that of the directory it is in. */
int class_devid(const struct conf_class *k, struct json_object *entry, uint32_t *ret,
		struct conf_err *err);

/*
 * The identities in a directory of the store: one, or those of its entries. fn is called with
 * identity and index of each. Malformed ones are passed over; class_check tells about them.
 */
typedef int class_id_fn(void *data, const char *id, unsigned int index);
int class_store_ids(const struct conf_class *k, const struct conf_dev *dev, class_id_fn *fn,
		    void *data);

/* Fills in what may be left out by who attaches: a free devid of the lists, a mac (from rnd). */
int class_complete(const struct conf_class *k, struct json_object *entry,
		   struct json_object *config, const struct conf_snapshot *s, uint64_t rnd,
		   struct conf_err *err);

/* Refuses what no such device can be: "disk without a pdev_path", "mac twice". -EINVAL. */
int class_validate(const struct conf_class *k, struct json_object *entry, struct conf_err *err);

/* ---- to the store ---- */

/*
 * The nodes that attaching writes; whatever is left in frontend and backend is to be removed
 * first. CLASS_ENTRY: see class_entry_nodes. -EOPNOTSUPP: lines say; -EINVAL: no such device.
 */
int class_nodes(const struct conf_class *k, struct json_object *entry,
		const struct class_where *where, struct conf_err *err, struct class_nodes *ret);

/* Its three directories; each to be freed; NULL where the class has none. */
int class_paths(const struct conf_class *k, struct json_object *entry,
		const struct class_where *where, char **ret_front, char **ret_back,
		char **ret_libxl, struct conf_err *err);

/*
 * CLASS_ENTRY: what adding or removing writes, given the directory as it is (NULL: none yet).
 * Paths in *ret_remove (each with its NUL, to be freed) are removed, then nodes written.
 */
int class_entry_nodes(const struct conf_class *k, struct json_object *entry,
		      const struct class_where *where, const struct conf_dev *dev, bool add,
		      struct conf_err *err, struct class_nodes *ret, char **ret_remove,
		      size_t *ret_remove_len);

/*
 * The nodes of the backend and of libxl that an update changes; none where the record alone has
 * the fields. -EOPNOTSUPP names a field that cannot change while the device is attached.
 */
int class_update_nodes(const struct conf_class *k, struct json_object *old,
		       struct json_object *entry, const struct class_where *where,
		       struct conf_err *err, struct class_nodes *ret);

/* Whether the class has a hotplug script in the backend ("script"), and its first argument. */
const char *class_script_arg(const struct conf_class *k, bool add); /* NULL: none */

/* ---- from the store ---- */

/*
 * What is wrong with a device's keys: missing ones, malformed ones. "" where nothing is; else
 * ret says it in words. Looks at libxl's directory and the backend's; not at states.
 *
 * CLASS_ENTRY: what is wrong with other entries of the directory, or with their number, does not
 * damage one that is there; of an id that it does not list, what may have been it ("dev-1:
 * missing"). "": of the directory as a whole.
 */
void class_check(const struct conf_class *k, const struct conf_dev *dev, const char *id, char *ret,
		 size_t ret_size);

/*
 * What the store gives back of a device: an entry for the record, the caller's. -EBADMSG: too
 * little to tell.
 */
int class_from_store(const struct conf_class *k, const struct conf_dev *dev, const char *id,
		     struct conf_err *err, struct json_object **ret);

/*
 * Lays what the store has otherwise over an entry, for keys that the store alone decides when
 * they differ (a disk's params, a nic's bridge). *ret_changed names the fields, joined by ", ";
 * "" where all agree.
 */
int class_overlay(const struct conf_class *k, const struct conf_dev *dev, const char *id,
		  struct json_object *entry, char *ret_changed, size_t ret_size,
		  struct conf_err *err);

/* A removable disk whose "params" is empty. */
bool class_is_ejected(const struct conf_class *k, const struct conf_dev *dev);

/* Why a device that the record does not list is there all the same, or NULL: hvm's vkb, say. */
const char *class_implied(const struct conf_class *k, struct json_object *config,
			  const struct conf_dev *dev);

/* What class_from_store cannot give back, in words: "format"; "" for nothing. For docs and show. */
const char *class_lost(const struct conf_class *k);

#endif
