/* SPDX-License-Identifier: MIT */
/*
 * What an entry of the table of classes is made of: the keys of a device, one row each, and
 * hooks for what no row can say. Only the files of the classes include this.
 */
#ifndef DROVER_CONFIG_CLASS_ROW_H
#define DROVER_CONFIG_CLASS_ROW_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/class.h"

/* ---- rows ---- */

enum row_form {
	ROW_TEXT,    /* a string as it is */
	ROW_NUMBER,  /* a number that is not negative, in decimal */
	ROW_FLAG,    /* a number that is 0 or 1 */
	ROW_BOOL,    /* true, false: "1", "0" */
	ROW_DEFBOOL, /* "True", "False": "1", "0" */
	ROW_WORD,    /* a name of an enumeration */
	ROW_DEVID,   /* the number of the directory; no field */
	ROW_FIXED,   /* `init` itself; no field */
	ROW_HOOK,    /* as put and get say */
};

enum row_side {
	ROW_FRONT = 1,	  /* in the frontend's directory */
	ROW_FRONT_RO = 2, /* there, and the guest may read it and no more */
	ROW_BACK = 4,	  /* in the backend's directory, with a copy in libxl's */
};

enum row_flag {
	ROW_MUST = 1,	 /* a device without this key is damaged */
	ROW_DECIDES = 2, /* where it differs from the record, the store is right */
	ROW_LIVE = 4,	 /* may be changed while the device is attached */
	ROW_ABOVE = 8,	 /* with ROW_MUST: enough where the backend has it; libxl looks there */
};

struct class_row;

/* What is written, and where. */
struct class_put {
	const struct conf_class *k;
	struct json_object *entry;	 /* borrowed */
	const struct class_where *where; /* borrowed */
	uint32_t devid;
	struct conf_err *err;
};

/* *ret: the value, the caller's, or NULL: the key is not written. */
typedef int row_put_fn(const struct class_put *x, const struct class_row *row, char **ret);

/*
 * Sets the fields that text, the key's value in the store, means (dev for what depends on other
 * keys). -EBADMSG: malformed; writes no line.
 */
typedef int row_get_fn(const struct conf_dev *dev, const struct class_row *row, const char *text,
		       struct json_object *entry);

struct class_row {
	const char *key;
	const char *field; /* "mac", "vnc.enable"; NULL: none */
	unsigned int sides, flags;
	enum row_form form;
	const char
		*init; /* what an absent field is written as; NULL: then the key is not written */
	bool (*when)(const struct class_put *x); /* NULL: always written */
	row_put_fn *put; /* ROW_HOOK; of another form: what an absent field is written as */
	row_get_fn *get; /* ROW_HOOK; NULL: gives nothing back */
};

/* ---- a class ---- */

struct conf_class {
	const char *name, *list;
	const char *other[5]; /* other names, up to a NULL */
	enum class_place place;
	const char *kind;	/* NULL: in no store */
	const char *back_kind;	/* NULL: as kind */
	const char *script_add; /* first arguments of its script; NULL: it has none */
	const char *script_remove;
	const char *lost;
	const char *needs[4];	      /* fields without which there is no such device */
	const struct class_row *rows; /* up to one without a key */

	/* For what is irregular; NULL: as all others. */
	bool (*owns)(const struct conf_dev *dev);
	bool (*no_backend)(const struct conf_dev *dev); /* lies in libxl's directory alone */
	int (*id)(struct json_object *entry, char ret[CLASS_ID_MAX], struct conf_err *err);
	int (*id_of_text)(const char *text, char ret[CLASS_ID_MAX], struct conf_err *err);
	int (*devid)(struct json_object *entry, uint32_t *ret, struct conf_err *err);
	int (*store_ids)(const struct conf_dev *dev, class_id_fn *fn, void *data);
	const char *(*kind_of)(struct json_object *entry, const struct class_where *where);
	/* NULL as answer: it has no backend. */
	const char *(*back_kind_of)(struct json_object *entry, const struct class_where *where);
	int (*complete)(struct json_object *entry, struct json_object *config,
			const struct conf_snapshot *s, uint64_t rnd, struct conf_err *err);
	int (*validate)(struct json_object *entry, struct conf_err *err);
	int (*nodes)(const struct class_put *x, struct class_nodes *ret); /* behind the rows' */
	int (*entry_nodes)(const struct class_put *x, const struct conf_dev *dev, bool add,
			   struct class_nodes *ret, struct class_nodes *ret_remove);
	/* What the rows cannot find; "" where nothing is. */
	void (*check)(const struct conf_dev *dev, const char *id, char *ret, size_t ret_size);
	/* Behind the rows. -EBADMSG: too little to tell (no line). */
	int (*from_store)(const struct conf_dev *dev, const char *id, struct json_object *entry);
	const char *(*implied)(struct json_object *config, const struct conf_dev *dev);
};

/* ---- fields of an entry (class_field.c) ---- */

/* The value at a path of names, "vnc.enable"; NULL where it is absent. Borrowed. */
struct json_object *class_field(struct json_object *entry, const char *path);

/* A string, NULL where it is absent or empty or no string. Borrowed. */
const char *class_field_text(struct json_object *entry, const char *path);
/* A number, or init where it is absent. */
int64_t class_field_number(struct json_object *entry, const char *path, int64_t init);
/* A number, a bool or a defbool; init where it is absent. */
bool class_field_bool(struct json_object *entry, const char *path, bool init);

/* Sets a field, in structures that are made where they lack; value is taken. -ENOMEM. */
int class_field_set(struct json_object *entry, const char *path, struct json_object *value);
int class_field_set_text(struct json_object *entry, const char *path, const char *value);
int class_field_set_number(struct json_object *entry, const char *path, uint64_t value);
int class_field_set_bool(struct json_object *entry, const char *path, bool value);
int class_field_set_defbool(struct json_object *entry, const char *path, bool value);

/* A decimal number, without sign, space or leading zero, up to max. */
bool class_number(const char *text, uint64_t max, uint64_t *ret);

/* A value; *ret is the caller's. -ENOMEM. */
int class_format(char **ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- rows (class_field.c) ---- */

/* The row's value for the store; *ret NULL: the key is not written. */
int class_row_put(const struct class_put *x, const struct class_row *row, char **ret);

/* Its fields from the store's value; -EBADMSG: malformed (no line). */
int class_row_get(const struct conf_class *k, const struct conf_dev *dev,
		  const struct class_row *row, const char *text, struct json_object *entry);

/* The key's value: of libxl's copy, or else the backend's; NULL. Borrowed. */
const char *class_key(const struct conf_dev *dev, const char *key);

/* ---- nodes (class_nodes.c) ---- */

/*
 * Appends a node; value is copied. The side decides who owns and who reads it; ro: of the
 * frontend, the backend's domain owns it. -ENOMEM.
 */
int class_nodes_add(struct class_nodes *nodes, const struct class_where *where,
		    enum class_side side, bool ro, const char *value, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

/* The directory of one side of a device, into ret, which holds CLASS_PATH_MAX octets. */
#define CLASS_PATH_MAX 256
void class_path(const struct class_put *x, enum class_side side, char *ret);

/* ---- what the irregular need: hooks, as above ---- */

/* class_disk.c */
bool disk_is_virtio(const struct class_put *x);
bool disk_is_colo(const struct class_put *x);
bool disk_owns(const struct conf_dev *dev);
const char *disk_kind_of(struct json_object *entry, const struct class_where *where);
const char *disk_back_kind_of(struct json_object *entry, const struct class_where *where);
int disk_id(struct json_object *entry, char ret[CLASS_ID_MAX], struct conf_err *err);
int disk_id_of_text(const char *text, char ret[CLASS_ID_MAX], struct conf_err *err);
int disk_devid(struct json_object *entry, uint32_t *ret, struct conf_err *err);
int disk_store_ids(const struct conf_dev *dev, class_id_fn *fn, void *data);
int disk_validate(struct json_object *entry, struct conf_err *err);
void disk_check(const struct conf_dev *dev, const char *id, char *ret, size_t ret_size);
row_put_fn disk_put_params, disk_put_script, disk_put_type, disk_put_mode, disk_put_device_type,
	disk_put_discard, disk_put_protocol;
row_get_fn disk_get_params, disk_get_script, disk_get_type, disk_get_mode, disk_get_device_type,
	disk_get_discard, disk_get_colo;

/* class_nic.c. A script is written as a path: a bare name is in Xen's directory of scripts. */
int class_script_path(const char *script, char **ret);
bool nic_has_mtu(const struct class_put *x);
row_put_fn nic_put_script, nic_put_mac, nic_put_rate, vtpm_put_uuid;
row_get_fn nic_get_script, nic_get_mac, nic_get_rate, vtpm_get_uuid;
int nic_complete(struct json_object *entry, struct json_object *config,
		 const struct conf_snapshot *s, uint64_t rnd, struct conf_err *err);
int nic_validate(struct json_object *entry, struct conf_err *err);
int vtpm_complete(struct json_object *entry, struct json_object *config,
		  const struct conf_snapshot *s, uint64_t rnd, struct conf_err *err);

/* class_usb.c */
bool usbctrl_no_backend(const struct conf_dev *dev);
const char *usbctrl_back_kind_of(struct json_object *entry, const struct class_where *where);
row_put_fn usbctrl_put_type, usbctrl_put_ports;
int usbctrl_nodes(const struct class_put *x, struct class_nodes *ret);
int usbctrl_complete(struct json_object *entry, struct json_object *config,
		     const struct conf_snapshot *s, uint64_t rnd, struct conf_err *err);
int usbctrl_validate(struct json_object *entry, struct conf_err *err);
void usbctrl_check(const struct conf_dev *dev, const char *id, char *ret, size_t ret_size);

/* class_usbdev.c */
int usbdev_id(struct json_object *entry, char ret[CLASS_ID_MAX], struct conf_err *err);
int usbdev_id_of_text(const char *text, char ret[CLASS_ID_MAX], struct conf_err *err);
int usbdev_devid(struct json_object *entry, uint32_t *ret, struct conf_err *err);
int usbdev_store_ids(const struct conf_dev *dev, class_id_fn *fn, void *data);
int usbdev_complete(struct json_object *entry, struct json_object *config,
		    const struct conf_snapshot *s, uint64_t rnd, struct conf_err *err);
int usbdev_validate(struct json_object *entry, struct conf_err *err);
int usbdev_entry_nodes(const struct class_put *x, const struct conf_dev *dev, bool add,
		       struct class_nodes *ret, struct class_nodes *ret_remove);
void usbdev_check(const struct conf_dev *dev, const char *id, char *ret, size_t ret_size);
int usbdev_from_store(const struct conf_dev *dev, const char *id, struct json_object *entry);

/* class_pci.c */
int pci_id(struct json_object *entry, char ret[CLASS_ID_MAX], struct conf_err *err);
int pci_id_of_text(const char *text, char ret[CLASS_ID_MAX], struct conf_err *err);
int pci_devid(struct json_object *entry, uint32_t *ret, struct conf_err *err);
int pci_store_ids(const struct conf_dev *dev, class_id_fn *fn, void *data);
int pci_complete(struct json_object *entry, struct json_object *config,
		 const struct conf_snapshot *s, uint64_t rnd, struct conf_err *err);
int pci_entry_nodes(const struct class_put *x, const struct conf_dev *dev, bool add,
		    struct class_nodes *ret, struct class_nodes *ret_remove);
void pci_check(const struct conf_dev *dev, const char *id, char *ret, size_t ret_size);
int pci_from_store(const struct conf_dev *dev, const char *id, struct json_object *entry);

/* class_console.c: channels and frame buffers */
row_put_fn channel_put_connection, channel_put_path, channel_put_output;
row_get_fn channel_get_connection, channel_get_path;
int channel_validate(struct json_object *entry, struct conf_err *err);
const char *channel_implied(struct json_object *config, const struct conf_dev *dev);
row_put_fn vfb_put_listen, vfb_put_unused;

/* class_media.c: vkb, 9pfs, vdispl, vsnd, virtio */
bool vkb_has_touch(const struct class_put *x);
const char *vkb_back_kind_of(struct json_object *entry, const struct class_where *where);
int vkb_from_store(const struct conf_dev *dev, const char *id, struct json_object *entry);
const char *vkb_implied(struct json_object *config, const struct conf_dev *dev);
bool p9_is_daemon(const struct class_put *x);
const char *p9_back_kind_of(struct json_object *entry, const struct class_where *where);
int p9_from_store(const struct conf_dev *dev, const char *id, struct json_object *entry);
row_put_fn virtio_put_grant_usage;
int vdispl_nodes(const struct class_put *x, struct class_nodes *ret);
int vsnd_nodes(const struct class_put *x, struct class_nodes *ret);
int media_validate(struct json_object *entry, struct conf_err *err);

/* class_id.c: classes in the record alone */
int dtdev_id(struct json_object *entry, char ret[CLASS_ID_MAX], struct conf_err *err);
int rdm_id(struct json_object *entry, char ret[CLASS_ID_MAX], struct conf_err *err);
int class_id_as_is(const char *text, char ret[CLASS_ID_MAX], struct conf_err *err);

#endif
