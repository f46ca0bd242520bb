/* SPDX-License-Identifier: MIT */
/*
 * A domain's configuration: the record that was written when it was created (libxl's JSON, in the
 * userdata directory), merged with what the live store says, and a verdict on every device. What
 * is read and written, and in which order, is in docs/config.md.
 *
 * Caveats first:
 *
 * - Success means a whole answer. What could not be read, or is not understood, is an error; what
 *   is half done is told in the report and never left out in silence.
 * - Nothing that the guest itself may write decides an answer.
 * - Retrieving changes neither the record nor the store. It takes libxl's lock files.
 * - A session (struct drover_config) serves one thread at a time; threads may have one each.
 *   What a call returned does not depend on the session and may outlive it.
 *
 * Functions return 0 or a negative errno. drover_config_error then says what, where and which
 * key, in one line. Every function may return -ENOMEM. These mean the same everywhere:
 *
 *   -EINVAL        an argument, or text given by the caller, is not well formed
 *   -ENOENT        no such domain in the store, or no such device
 *   -ENODATA       the domain has no record
 *   -EBADMSG       the record, or an intent, is damaged
 *   -EPROTO        the store's keys of the domain itself are damaged
 *   -EBUSY         a lock was held until its time-out; the text names the holder
 *   -EEXIST        there already
 *   -ESTALE        the domid names another domain by now
 *   -EAGAIN        the store kept changing: try again
 *   -ECONNREFUSED  no store answers at this address
 *   -ECONNRESET    the store went away meanwhile
 *   -ETIMEDOUT     the store, a backend or a script did not answer in time
 *   -EACCES        the store or a file refuses us
 *   -EIO           a file could not be read or written
 */
#ifndef DROVER_CONFIG_H
#define DROVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- session ---- */

struct drover_config;

/* What only a hypervisor knows. Every function may be NULL: then the store's word serves. */
struct drover_config_host {
	void *data; /* borrowed; given to the functions */
	/*
	 * The domain's uuid, 36 characters and a NUL. 0, -ENOENT: no such domain, or another
	 * negative errno.
	 */
	int (*domain_uuid)(void *data, uint32_t domid, char ret[37]);
	/*
	 * The scheduler's parameters, as "b_info.sched_params" has them: calls put once for each
	 * field ("sched" with a name, the others with a decimal number). 0 or a negative errno.
	 */
	int (*domain_sched)(void *data, uint32_t domid,
			    void (*put)(void *arg, const char *field, const char *value),
			    void *arg);
	/* Gives the PCI device (domain:bus:dev.fn) to the domain, or takes it. 0 or errno < 0. */
	int (*pci_assign)(void *data, uint32_t domid, const char *bdf, bool assign);
};

#define DROVER_CONFIG_LOCK_TIMEOUT_MS 10000
#define DROVER_CONFIG_STORE_TIMEOUT_MS 10000
#define DROVER_CONFIG_BACKEND_TIMEOUT_MS 10000
#define DROVER_CONFIG_SCRIPT_TIMEOUT_MS 40000

struct drover_config_options {
	size_t size;		  /* sizeof(struct drover_config_options) of the caller's header */
	const char *store;	  /* its socket or device; NULL: as libxenstore finds it */
	const char *userdata;	  /* directory; NULL: /var/lib/xen */
	uint32_t lock_timeout_ms; /* for each lock; 0: DROVER_CONFIG_LOCK_TIMEOUT_MS, and so on */
	uint32_t store_timeout_ms;
	uint32_t backend_timeout_ms;
	uint32_t script_timeout_ms;
	bool no_scripts;		       /* hotplug scripts are somebody else's */
	const struct drover_config_host *host; /* borrowed; NULL: no hypervisor is asked */
};

/*
 * Opens a session. opt may be NULL: all defaults. On failure *ret is a session that can do no
 * more than tell drover_config_error and be closed, or NULL: memory is out.
 * -ECONNREFUSED, -EACCES, -EINVAL, -ENOTDIR: userdata is no directory.
 */
int drover_config_open(const struct drover_config_options *opt, struct drover_config **ret);
void drover_config_close(struct drover_config *c);

/*
 * Why the last call failed: one line without a newline, "" after none. Borrowed, until the next.
 * c may be NULL, as drover_config_open leaves it where memory is out.
 */
const char *drover_config_error(const struct drover_config *c);

/* How often the session waited for the store's answers so far: once for a batch of requests. */
uint64_t drover_config_round_trips(const struct drover_config *c);

/* ---- which domain ---- */

/* The domid that `who` means: a domid, a name or a uuid. -ENOENT, -EEXIST: two have that name. */
int drover_config_find(struct drover_config *c, const char *who, uint32_t *ret_domid);

/* The domids in the store, ascending, to be freed by the caller with free(). */
int drover_config_domids(struct drover_config *c, uint32_t **ret, size_t *ret_n);

/* ---- a configuration ---- */

struct drover_domain_config;

enum drover_config_view {
	DROVER_VIEW_LIVE,	/* what the domain has now */
	DROVER_VIEW_PERSISTENT, /* what the record says it has, half-done changes decided */
};

/*
 * The domain has no record, or a damaged one: builds from the store what the store has. The
 * configuration is marked (drover_domain_config_degraded).
 */
#define DROVER_RETRIEVE_DEGRADED 1u

/*
 * The configuration of a domain, to be freed by the caller. One transaction of the store, and a
 * number of round trips that does not depend on the number of devices.
 * -ENOENT, -ENODATA, -EBADMSG, -EPROTO, -EBUSY, -EAGAIN and those of the store.
 */
int drover_config_retrieve(struct drover_config *c, uint32_t domid, enum drover_config_view view,
			   unsigned int flags, struct drover_domain_config **ret);

/*
 * Many domains at once: each is its own answer, as of one moment. They are read without
 * transactions, guarded by watches, and without waiting for who changes a medium. Calls fn for each
 * domid in order, with the configuration (now the callee's to free) or NULL and what
 * drover_config_retrieve would have returned (drover_config_error tells about it during the call).
 * fn returns 0 to go on; anything else ends it and is returned. A store that went away ends it.
 */
typedef int drover_config_each_fn(void *data, uint32_t domid, int err,
				  struct drover_domain_config *config);
int drover_config_retrieve_many(struct drover_config *c, const uint32_t *domids, size_t n,
				enum drover_config_view view, unsigned int flags,
				drover_config_each_fn *fn, void *data);

void drover_domain_config_free(struct drover_domain_config *config);

/* UINT32_MAX: it came from text, not from a domain. */
uint32_t drover_domain_config_domid(const struct drover_domain_config *config);
bool drover_domain_config_degraded(const struct drover_domain_config *config);

/*
 * A value by its path in the JSON, "b_info.max_vcpus", as text: numbers in decimal, true and false,
 * enumerations by name, lists joined by commas. Borrowed, until the configuration is freed or
 * asked again; NULL: it is at its default, or there is no such field.
 */
const char *drover_domain_config_get(struct drover_domain_config *config, const char *path);

enum drover_config_layout {
	DROVER_CONFIG_LAYOUT_4_17,   /* libxl 4.17, octet by octet */
	DROVER_CONFIG_LAYOUT_NEWEST, /* libxl since 4.21, which prints by json-c */
};

/*
 * The configuration as JSON, as libxl writes it into a file, without the NUL that ends its
 * files; to be freed with free(). len may be NULL.
 */
int drover_domain_config_to_json(const struct drover_domain_config *config,
				 enum drover_config_layout layout, char **ret, size_t *ret_len);

/*
 * The configuration as a file for `xl create`. *ret_lost, to be freed, too, has a line for each
 * field that such a file cannot say, or is "". Both with free().
 */
int drover_domain_config_to_xl(const struct drover_domain_config *config, char **ret,
			       char **ret_lost);

/*
 * Reads JSON strictly, len octets; one NUL at the end is allowed. Fields that are not known are
 * kept. -EINVAL: c (for the text of the error; may be NULL) says line, column and field.
 */
int drover_domain_config_from_json(struct drover_config *c, const char *text, size_t len,
				   struct drover_domain_config **ret);

/* ---- verdicts ---- */

enum drover_verdict {
	DROVER_ATTACHED,     /* in record and store, its backend has it */
	DROVER_RECORD_ONLY,  /* of a class that the store never holds */
	DROVER_IMPLIED,	     /* in the store, as another field of the record says */
	DROVER_EJECTED,	     /* a removable disk without a medium */
	DROVER_CHANGED,	     /* the store has other values than the record; live has the store's */
	DROVER_STORE_ONLY,   /* not in the record; in live, as far as the store tells */
	DROVER_ADDING,	     /* somebody alive is attaching it: not in live */
	DROVER_REMOVING,     /* somebody alive is detaching it: not in live */
	DROVER_HALF_ADDED,   /* nobody is, and its backend never took it: not in live */
	DROVER_DETACHING,    /* asked to go and not gone: not in live */
	DROVER_DAMAGED,	     /* keys are missing or wrong: the record's entry is kept */
	DROVER_MISSING,	     /* in the record, gone from the store: in persistent alone */
	DROVER_BACKEND_GONE, /* the domain of its backend is gone: kept */
	DROVER_ROLLED_BACK,  /* of a change cut short that did nothing yet: as before it */
	DROVER_VERDICTS,
};

/* "attached", "half-added" and so on. */
const char *drover_verdict_name(enum drover_verdict verdict);

/* Whether it calls for a repair. */
bool drover_verdict_is_fault(enum drover_verdict verdict);

/* All strings borrowed from the configuration. */
struct drover_report_item {
	const char *class_name; /* "vbd", or "domain" for a value of the domain itself */
	const char *id;		/* "xvda", "0", "0000:03:00.0"; of a domain's value its JSON path */
	enum drover_verdict verdict;
	const char *reason; /* in words: "backend is in state 1 (Initialising)" */
	const char *path;   /* of the store, or the record's file */
	bool in_live, in_persistent;
};

/* One for each device of either view, and for each value of the domain that differs. */
size_t drover_domain_config_report_len(const struct drover_domain_config *config);
const struct drover_report_item *
drover_domain_config_report(const struct drover_domain_config *config, size_t i);

/* ---- devices ---- */

struct drover_device;

/* The classes: "vbd", "vif" and so on; NULL from the end of the table on. */
const char *drover_class_name(size_t i);

/* The class that a word means, "disk" for "vbd", too; NULL: none. */
const char *drover_class_find(const char *word);

/* The list of a configuration's JSON that holds the devices of a class: "disks"; NULL: no class. */
const char *drover_class_list(const char *class_name);

/* Devices of a class in a configuration. Borrowed from it. class as drover_class_name says. */
size_t drover_domain_config_devices(const struct drover_domain_config *config,
				    const char *class_name);
struct drover_device *drover_domain_config_device(struct drover_domain_config *config,
						  const char *class_name, size_t i);

/* A device of one's own, with all fields at their defaults. -EINVAL: no such class. */
int drover_device_new(const char *class_name, struct drover_device **ret);
void drover_device_free(struct drover_device *device);

const char *drover_device_class(const struct drover_device *device);

/* What tells it from others of its class; NULL: what makes it is not set. Borrowed. */
const char *drover_device_id(struct drover_device *device);

/* A field, as drover_domain_config_get. */
const char *drover_device_get(struct drover_device *device, const char *path);

/*
 * Sets a field from text. -EINVAL: no such field, or no value of it; c (may be NULL) says which.
 * "connectors.0.width": the first of a list; one past the end makes another.
 */
int drover_device_set(struct drover_config *c, struct drover_device *device, const char *path,
		      const char *value);

/*
 * Sets fields from xl's own words for a disk ("phy:/dev/vg/x,xvdb,w") or a nic
 * ("mac=00:16:3e:00:00:01,bridge=br0"). -EINVAL, -EOPNOTSUPP: xl has none for this class.
 */
int drover_device_set_xl(struct drover_config *c, struct drover_device *device, const char *words);

/* Calls fn for each field that is not at its default, in libxl's order. */
void drover_device_each(struct drover_device *device,
			void (*fn)(void *data, const char *path, const char *value), void *data);

/* The device as it is in a configuration's JSON, in one line; to be freed with free(). */
int drover_device_to_json(const struct drover_device *device, char **ret);

/* ---- changes ---- */

/* Fails where libxl would go on: an intent is made durable before anything else is touched. */
#define DROVER_CHANGE_FORCE 1u /* detach: does not ask the backend */

/*
 * Attaches a device to a living domain and waits until its backend has it. What is missing in its
 * identity (a devid, a mac) is filled in, in `device`. On any failure it is as if it never was,
 * or, where somebody died meanwhile, repair makes it so.
 * -EEXIST; -ETIMEDOUT: the backend or the script did not answer; rolled back. -EREMOTEIO: the
 * script, or the backend, said no; rolled back. -EOPNOTSUPP: such a device comes only with a new
 * domain, or by way of the device model, or the hypervisor's part is nobody's here to do. -ENOENT:
 * also a script or a backend's domain that is not there. -ENODATA, -EBADMSG, -EBUSY, -ESTALE.
 */
int drover_config_attach(struct drover_config *c, uint32_t domid, struct drover_device *device,
			 unsigned int flags);

/*
 * Takes a device away, from store and record; with a USB controller, the devices that are on it.
 * -ENOENT: neither has it. -ETIMEDOUT: its backend does not let it go; it stays "detaching", and
 * DROVER_CHANGE_FORCE or repair ends that. -EBUSY: also where somebody alive is at it. -EREMOTEIO:
 * it is detached, but its script failed. -EOPNOTSUPP: as for attaching.
 */
int drover_config_detach(struct drover_config *c, uint32_t domid, const char *class_name,
			 const char *id, unsigned int flags);

/*
 * Changes fields of an attached device, in store and record. device names it by its identity and
 * has all fields that it is to have. A device model is not told: what it emulates keeps its medium
 * until it looks. -EOPNOTSUPP: a field that can be changed only by detaching and attaching; the
 * text names it. -ENOENT: it is not attached. -EBUSY: also where somebody alive is at it.
 */
int drover_config_update(struct drover_config *c, uint32_t domid, struct drover_device *device,
			 unsigned int flags);

#define DROVER_REPAIR_DRY_RUN 1u /* tells what it would do, and changes nothing */
#define DROVER_REPAIR_FORCE 2u	 /* what a backend that is gone keeps goes, too */

/* One thing done, or to be done. Strings are borrowed for the call. */
struct drover_repair_action {
	const char *class_name, *id;
	enum drover_verdict found;
	const char *action; /* "record: entry removed; store: 3 directories removed" */
	const char *entry;  /* of what was removed from the record, its JSON in one line; or NULL */
};
typedef void drover_repair_fn(void *data, const struct drover_repair_action *action);

/*
 * Makes both views agree: half-done changes whose maker is dead are finished or undone, and what
 * the store no longer has leaves the record. Leaves alone what somebody alive is at. A backend
 * that is silent gets its time before it is given up. A device that cannot be repaired does not
 * keep the others from it: the first of them is the error, once all else is done and told. fn may
 * be NULL.
 */
int drover_config_repair(struct drover_config *c, uint32_t domid, unsigned int flags,
			 drover_repair_fn *fn, void *data);

/* ---- for toolstacks ---- */

/*
 * Writes the record of a domain that is being created. -EEXIST: it has one. -EINVAL: the uuid in
 * the configuration is not the domain's.
 */
int drover_config_record_create(struct drover_config *c, uint32_t domid,
				const struct drover_domain_config *config);

/* Removes all files of a domain that is gone, by its uuid (36 characters). 0 also where none is. */
int drover_config_record_destroy(struct drover_config *c, uint32_t domid, const char *uuid);

/* ---- lock files and intents ---- */

struct drover_lock_info {
	uint32_t domid;
	const char *uuid;
	const char *name; /* of the lock: "domain-userdata-lock", or "drover-intent" */
	const char *path;
	int pid;	  /* of the holder; 0: nobody holds it, -1: somebody who cannot be told */
	const char *what; /* the holder's command; of an intent "attach vbd xvdb, owner dead" */
};
typedef int drover_lock_fn(void *data, const struct drover_lock_info *info);

/* Calls fn for each lock file and each intent in the userdata directory; takes none of them. */
int drover_config_locks(struct drover_config *c, drover_lock_fn *fn, void *data);

/* ---- changes as they happen ---- */

/*
 * Waits at most timeout_ms (UINT32_MAX: without end) until something changed that may concern a
 * domain's configuration, in the store or in the userdata directory, and says whose; UINT32_MAX:
 * the list of domains itself. The first call begins to watch and returns at once with -EAGAIN.
 * -ETIMEDOUT; -EINTR: a signal came.
 */
int drover_config_wait(struct drover_config *c, uint32_t timeout_ms, uint32_t *ret_domid);

#ifdef __cplusplus
}
#endif

#endif
