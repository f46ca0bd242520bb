/* SPDX-License-Identifier: MIT */
/*
 * Watches as an index by path: a tree of path components in which each watch hangs at its own
 * path. A change visits the watches of its path's ancestors and, when a subtree goes, those
 * below: the cost follows the matches, not how many watches there are.
 */
#ifndef DROVER_WATCH_WATCH_H
#define DROVER_WATCH_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv/tree.h>

#include "base/list.h"
#include "quota/quota.h"
#include "store/store.h"

#define WATCH_DEPTH_ANY UINT32_MAX
/* Fixed octets that a watch is charged with besides path and token, and for each component. */
#define WATCH_CHARGE 160u
#define WATCH_PLACE_CHARGE 72u

struct watch;
struct watch_place;

RB_HEAD(watch_set, watch);

/* Who holds watches: a connection. The floor above fills in the first members. */
struct watcher {
	/* Queues an event; name as the client wrote the watch's path, absolute or relative. */
	void (*event)(struct watcher *w, const struct watch *watch, const char *path, size_t len);
	struct budget *budget; /* borrowed: who is charged */
	uint16_t domid;
	uint32_t target;      /* PERM_NO_DOMID: none */
	bool privileged;      /* sees everything */
	uint32_t rel_len;     /* octets of its own prefix with the slash, "/local/domain/5/" */
	struct watch_set set; /* owned watches, by path's serial and token */
	size_t n;
};

struct watch {
	RB_ENTRY(watch) by_token; /* in its watcher's set */
	struct watch *next;	  /* borrowed: same place */
	struct watch **at;
	struct watch_place *place; /* borrowed */
	struct watcher *owner;	   /* borrowed */
	uint32_t depth;		   /* WATCH_DEPTH_ANY, or levels below */
	uint16_t token_len;
	bool relative;
	char token[]; /* with a NUL */
};

struct watch_index {
	struct watch_place *root;    /* owned: "/" and all below */
	struct watch_place *special; /* owned: "@introduceDomain" and so on, as children */
	uint64_t next_serial;
	size_t n;	/* watches */
	uint64_t steps; /* places and watches passed by changes: see conn_round */
	/* A watch was set, or is about to go. NULL: nobody wants to know. */
	void (*changed)(void *data, const struct watch *w, bool removed);
	void *data; /* borrowed */
};

/* -ENOMEM. */
int watch_index_init(struct watch_index *ix);
/* All watches must be gone. Accepts a zeroed index. */
void watch_index_fini(struct watch_index *ix);

void watcher_init(struct watcher *w);

/*
 * Sets a watch: path is absolute or starts with '@', len octets; relative: the client wrote it
 * relative to its prefix. Charged to the watcher's budget, which the caller has asked.
 * EEXIST: the watcher has one for this path and token. -ENOMEM.
 */
int watch_add(struct watch_index *ix, struct watcher *w, const char *path, size_t len,
	      const char *token, size_t token_len, uint32_t depth, bool relative,
	      struct watch **ret);

/* Whether the watcher has a watch for this path and token. */
bool watch_exists(struct watch_index *ix, struct watcher *w, const char *path, size_t len,
		  const char *token, size_t token_len);

/* ENOENT: no such watch. */
int watch_remove(struct watch_index *ix, struct watcher *w, const char *path, size_t len,
		 const char *token, size_t token_len);

/* Removes at most max watches of w; true: none is left. */
bool watch_remove_some(struct watch_index *ix, struct watcher *w, size_t max);

/* What a watch of path is charged with, whether or not it shares places with others. */
uint64_t watch_charge(const char *path, size_t len, size_t token_len);

/* The watch's absolute path into buf (XENSTORE_ABS_PATH_MAX + 1 octets); its length. */
size_t watch_path(const struct watch *w, char *buf);

/* The watches of a watcher in a fixed order: the first, and the one after w. NULL: no more. */
const struct watch *watch_first(const struct watcher *w);
const struct watch *watch_next(const struct watch *w);

/*
 * One change of the tree. Access lists are those before and after, NULL where there was or is no
 * node; an event is seen by whom one of the four lets read.
 */
struct change {
	const char *path;
	size_t len;
	const struct node *old_node; /* for a removal: the subtree that went */
	const struct node *new_node;
	const struct perms *old_parent;
	const struct perms *new_parent;
	bool removed; /* watches below fire, too, each with its own path */
	bool exact;   /* only watches on this very path and below: a node removed with its root */
};

void watch_fire(struct watch_index *ix, const struct change *c);

/* Whether any watch could match, so that a change need not be described. */
bool watch_may_fire(const struct watch_index *ix);

/*
 * A special event: name "@introduceDomain" or "@releaseDomain" and the domain it is about. may_see
 * is asked for each unprivileged watcher.
 */
void watch_fire_special(struct watch_index *ix, const char *name, uint16_t domid,
			const struct perms *perms);

#endif
