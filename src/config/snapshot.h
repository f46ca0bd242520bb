/* SPDX-License-Identifier: MIT */
/*
 * What the store says of domains, each read in one transaction. Nothing in here was writable by
 * the guest: frontends are not read.
 */
#ifndef DROVER_CONFIG_SNAPSHOT_H
#define DROVER_CONFIG_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/client.h"
#include "config/err.h"

/* Nodes of one directory, read as deep as CONF_DEPTH_MAX, and of one device at most. */
#define CONF_DEPTH_MAX 6
#define CONF_DEVICE_NODES_MAX 4096

/* Nodes below a directory: keys are paths from there ("state", "port/1"), sorted. */
struct conf_value {
	char *key;   /* owned, and the value behind it in the same piece of memory */
	char *value; /* len octets and a NUL */
	size_t len;
};
struct conf_values {
	struct conf_value *v;
	size_t n, room;
};

/* The value of a key, or NULL. Values with a NUL within count as not there. */
const char *conf_values_get(const struct conf_values *values, const char *key);
int conf_values_put(struct conf_values *values, const char *key, const char *value, size_t len);
void conf_values_sort(struct conf_values *values); /* after the last put, before the first get */
void conf_values_fini(struct conf_values *values);

/* A directory below /libxl/N/device, and its backend's. */
struct conf_dev {
	char *kind; /* "vbd"; "pci" comes from the backend alone */
	uint32_t devid;
	char *path;		  /* /libxl/N/device/KIND/DEVID; of pci the backend's */
	struct conf_values libxl; /* empty for pci */
	char *backend;		  /* path, as libxl's directory says; NULL: it says none */
	char *backend_kind; /* "qdisk"; NULL: backend is no path of a backend of this domain */
	uint32_t backend_domid;
	bool backend_domain; /* /local/domain/B is there */
	bool has_backend;    /* its directory is there */
	struct conf_values back;
	bool overflow; /* more than CONF_DEVICE_NODES_MAX nodes: not all were read */
};

/* All owned. */
struct conf_snapshot {
	uint32_t domid;
	char uuid[37];		   /* from "vm" */
	char *name;		   /* NULL: no such node */
	char *type;		   /* /libxl/N/type; NULL */
	struct conf_values domain; /* memory/target, memory/static-max, memory/videoram,
				      cpu/I/availability */
	struct conf_dev *devs;	   /* by kind, then devid */
	size_t n_devs;
};

/*
 * Reads n domains, a few at a time; rets[i] and errs[i] (0 or a negative errno, with why[i] of
 * the caller's) are each one's own. Returns a negative errno only where the store went away.
 * -ENOENT: no such domain; -EPROTO: its uuid is not told; -EAGAIN: it kept changing.
 */
int conf_snapshot_read_many(struct conf_client *c, const uint32_t *domids, size_t n,
			    struct conf_snapshot **rets, int *errs, struct conf_err *why);
/*
 * The same without transactions, which cost every store more than all the reading: watches guard
 * it. An event comes before the answers to what was asked after the change, so a domain of which
 * none came meanwhile was read at one moment; others are read anew, and in a transaction where that
 * happens again, or where the client's events come in no such order. idle (may be NULL) is called
 * while the store is answering.
 */
typedef void conf_snapshot_idle_fn(void *data);
int conf_snapshot_list(struct conf_client *c, const uint32_t *domids, size_t n,
		       conf_snapshot_idle_fn *idle, void *data, struct conf_snapshot **rets,
		       int *errs, struct conf_err *why);
int conf_snapshot_read(struct conf_client *c, uint32_t domid, struct conf_err *err,
		       struct conf_snapshot **ret);
void conf_snapshot_free(struct conf_snapshot *s);

/* The device of a kind and number, or NULL. */
const struct conf_dev *conf_snapshot_find(const struct conf_snapshot *s, const char *kind,
					  uint32_t devid);

#endif
