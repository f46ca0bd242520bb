/* SPDX-License-Identifier: MIT */
/*
 * What the files of the front share, and backends do not see.
 */
#ifndef DROVER_VMM_INNER_H
#define DROVER_VMM_INNER_H

#include "vmm/backend.h"

#define VMM_EVENTS_PER_ROUND 64	  /* descriptors looked at in one vmm_dispatch */
#define VMM_GUEST_FILE_MAX 1024u  /* octets of <dir>/guest */
#define VMM_PROCESS_FILE_MAX 128u /* octets of <dir>/process */
#define VMM_BOOT_ID_MAX 64u

struct epoll_event;

struct vmm {
	const struct vmm_backend *be;
	void *priv;		/* owned */
	struct vmm_options opt; /* strings owned */
	const struct vmm_events *events;
	void *data;
	struct list guests;
	size_t n_guests;
	char boot_id[VMM_BOOT_ID_MAX];
	char start_why[VMM_ERROR_MAX]; /* of the last vmm_start that was refused at once */

	int epoll, wake; /* wake: an eventfd, readable while something is deferred */
	struct vmm_io wake_io;
	struct list timers;	   /* unordered */
	struct list ended;	   /* calls whose callback is due */
	struct epoll_event *round; /* what vmm_dispatch is working through; NULL: not in it */
	int n_round;
};

enum call_kind { CALL_START, CALL_SIMPLE, CALL_DESTROY };

struct vmm_call {
	struct list link; /* guest's calls, or vmm.ended */
	struct vmm *v;
	enum call_kind kind;
	vmm_done_fn *done;
	void *data;
	int err;
	char *why; /* owned; NULL: none was given, or no memory for it */
};

/* loop.c */
int loop_init(struct vmm *v);
void loop_fini(struct vmm *v);
void loop_wake(struct vmm *v);

/* guest_event.c */
struct vmm_call *call_new(struct vmm_guest *g, enum call_kind kind, vmm_done_fn *done, void *data);
void call_drop(struct vmm_call *call); /* without its callback */
/* The process has ended: open calls, the backend, the state. */
void guest_ended(struct vmm_guest *g, int status);

/* guest_dir.c */
/* A guest with its lists set up, on no list; NULL: no memory. */
struct vmm_guest *guest_new(struct vmm *v, const uint8_t uuid[DEF_UUID_SIZE]);
/* Closes and frees; its process and its directory stay. Accepts NULL. */
void guest_forget(struct vmm_guest *g);
int guest_dir_make(struct vmm_guest *g);  /* -EEXIST, or the system's error */
int guest_dir_write(struct vmm_guest *g); /* <dir>/guest, from its fields */
void guest_dir_remove(struct vmm_guest *g);
/* Reads every guest of this backend into found(), each with its directory open. */
int guest_dir_scan(struct vmm *v, int (*found)(struct vmm *v, struct vmm_guest *g));

/* spawn.c */
/* 1: alive, its pidfd is held; 0: ended, or never was; < 0: the system's error. */
int process_find(struct vmm_guest *g);
/* Watches the pidfd. */
int process_watch(struct vmm_guest *g);
int process_boot_id(char ret[VMM_BOOT_ID_MAX]);
void process_kill(struct vmm_guest *g); /* SIGKILL; harmless where it has ended */

#endif
