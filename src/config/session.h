/* SPDX-License-Identifier: MIT */
/*
 * What is behind the library's opaque types, and a domain as all its changes begin with it: locked,
 * with its record, its intents and its part of the store.
 */
#ifndef DROVER_CONFIG_SESSION_H
#define DROVER_CONFIG_SESSION_H

#include <json-c/json.h>

#include "config/class.h"
#include "config/client.h"
#include "config/err.h"
#include "config/intent.h"
#include "config/snapshot.h"
#include "config/userdata.h"
#include "drover/config.h"

struct drover_config {
	struct conf_err err;
	struct conf_client *client;	  /* owned; NULL: the opening failed */
	char *store;			  /* owned: the socket; NULL: as libxenstore finds it */
	struct conf_client *watching;	  /* owned: of drover_config_wait, once it was called */
	int inotify;			  /* of drover_config_wait, or -1 */
	struct userdata *userdata;	  /* owned */
	struct drover_config_options opt; /* with the defaults filled in; strings not used */
	struct drover_config_host host;
};

struct conf_report_item {
	struct drover_report_item item; /* its strings are below */
	char id[CLASS_ID_MAX];
	char *reason, *path; /* owned */
};

struct drover_device {
	const struct conf_class *k;
	struct json_object *entry; /* owned: a reference */
	char id[CLASS_ID_MAX];
	char *text; /* owned: what was last answered */
};

struct drover_domain_config {
	struct json_object *json; /* owned, canonical */
	uint32_t domid;
	bool degraded;
	struct conf_report_item *report; /* owned */
	size_t n_report;
	struct drover_device **devices; /* owned: those that were asked for */
	size_t n_devices;
	char *text; /* owned: what was last answered */
};

/* Forgets the last error. -EINVAL: the session was not opened. Every public function begins so. */
int conf_session_begin(struct drover_config *c);

/* ---- a domain ---- */

struct conf_domain {
	uint32_t domid;
	char uuid[37];
	struct userdata_lock devices, record; /* held, or not */
	struct conf_snapshot *store;	      /* owned */
	struct json_object *config; /* owned: the record, canonical; NULL: none (degraded) */
	struct intents intents;
	char *record_path; /* owned */
};

/*
 * The domain, locked: both locks, or the record's alone (devices false), then record, intents and
 * store, that agree on the uuid. flags: DROVER_RETRIEVE_DEGRADED. What drover_config_retrieve
 * returns; on failure nothing is locked.
 */
int conf_domain_load(struct drover_config *c, uint32_t domid, bool devices, unsigned int flags,
		     struct conf_domain *ret);

/* A domain of which nothing was read yet. */
void conf_domain_init(struct conf_domain *d, uint32_t domid);

/* The same in two steps: which uuid the domid has, with nothing locked; then the rest. */
int conf_domain_begin(struct drover_config *c, uint32_t domid, struct conf_domain *ret);
int conf_domain_load_files(struct drover_config *c, struct conf_domain *d, bool devices,
			   unsigned int flags);
/* store: what was read meanwhile, now the domain's. -ESTALE, -EPROTO. */
int conf_domain_take_store(struct drover_config *c, struct conf_domain *d,
			   struct conf_snapshot *store);

/* Lets the locks go; what was read stays. */
void conf_domain_unlock(struct conf_domain *d);

/* Locks again and reads anew. -ESTALE: the domid is another domain's by now. */
int conf_domain_reload(struct drover_config *c, struct conf_domain *d, bool devices);
void conf_domain_fini(struct conf_domain *d);

/* Writes d->config as the record. Lock held. */
int conf_domain_store_record(struct drover_config *c, struct conf_domain *d);

/* ---- what is so of each device ---- */

struct conf_judged {
	const struct conf_class *k;
	char id[CLASS_ID_MAX];
	struct json_object *entry;   /* borrowed: the record's; NULL */
	size_t index;		     /* of it in its list */
	const struct conf_dev *dev;  /* borrowed; NULL: not in the store */
	const struct intent *intent; /* borrowed; NULL */
	enum drover_verdict verdict;
	char reason[256];
	char *path;			/* owned */
	struct json_object *live;	/* owned: its entry in the live view; NULL: not in it */
	struct json_object *persistent; /* owned */
};
struct conf_judgement {
	struct conf_judged
		*v; /* owned: in the order of the table, the record's before the store's */
	size_t n;
};

/*
 * Judges every device that record, store or an intent names: docs/config.md has the table. Pure:
 * changes nothing. -EBADMSG: an entry of the record has no identity.
 */
int conf_judge(const struct conf_domain *d, struct conf_err *err, struct conf_judgement *ret);
void conf_judgement_fini(struct conf_judgement *j);

/*
 * The view of a domain with its report: values of the domain, then devices. host may be NULL.
 */
int conf_merge(const struct conf_domain *d, enum drover_config_view view,
	       const struct drover_config_host *host, struct conf_err *err,
	       struct drover_domain_config **ret);

/*
 * The record's values of the domain (name, memory, vcpus) brought to what the store says, in
 * place. *ret_changed: how many.
 */
int conf_merge_values(const struct conf_domain *d, struct json_object *config, size_t *ret_changed,
		      struct conf_err *err);

/* The uuid of a domain as /local/domain/N/vm has it. -ENOENT, -EPROTO. */
int conf_client_uuid(struct conf_client *c, uint32_t domid, struct conf_err *err, char ret[37]);

/* The same from the answers about /local/domain/N and its vm. */
int conf_take_uuid(struct conf_err *err, uint32_t domid, const struct conf_reply *here,
		   const struct conf_reply *vm, char ret[37]);

/* The uuid in a value of .../vm, in lower case. -EPROTO. */
int conf_parse_vm(struct conf_err *err, uint32_t domid, const char *vm, size_t len, char ret[37]);

/* The state of a backend in words: "4, Connected". */
const char *conf_state_name(const char *state);

#endif
