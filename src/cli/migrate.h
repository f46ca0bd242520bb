/* SPDX-License-Identifier: MIT */
/*
 * The parts of `drover migrate`: the five phases as libvirt's client drives them, how far it is,
 * and who has the guest in the end.
 */
#ifndef DROVER_CLI_MIGRATE_H
#define DROVER_CLI_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "migrate/migrate.h"
#include "rpc/client.h"
#include "rpc/libvirt.h"

#define MOVE_PARAMS_MAX 8u /* parameters of a call */
#define MOVE_TICK_MS 250u  /* between two looks at how far it is */

/* Exit statuses beside CLI_OK and CLI_USAGE. */
enum {
	MOVE_STAYED = 1,    /* the guest is where it was */
	MOVE_UNSETTLED = 3, /* nobody could say in time where it runs */
};

struct move_options {
	const char *guest, *dest; /* a name, uuid or id; a URI */
	const char *connect;	  /* URI of the source */
	uint32_t flags;		  /* enum mig_flag */
	uint64_t bandwidth_mib;	  /* a second; 0: no limit */
	const char *dname, *migrate_uri;
	char *xml;	      /* owned: for the destination; NULL: the source's */
	uint32_t timeout_ms;  /* then it is called off; 0: never */
	uint32_t downtime_ms; /* at most, asked for; 0: the daemon's own */
	uint32_t settle_ms;   /* how long to wait for the truth */
	bool json, quiet;
};

/* What the job's statistics say; 0 where they do not. */
struct move_stats {
	uint64_t elapsed_ms, downtime_ms;
	uint64_t total, processed, remaining; /* octets of memory */
	uint64_t rate_bps, dirty_pages, page_size, iteration;
};

struct move {
	struct move_options o;
	struct rpc_client *src, *dst; /* owned; NULL: not connected */
	struct rpc_dom dom;	      /* name owned */
	char *cookie;		      /* owned */
	size_t cookie_len;
	char *xml, *uri; /* owned: Begin's, Prepare's */
	struct rpc_param param[MOVE_PARAMS_MAX];
	unsigned int n_params;
	uint32_t flags;
	bool is_protected; /* from Begin to Confirm */
	struct mig_id id;
	bool has_id;
	int wake_fd;		/* readable: a signal came */
	unsigned int n_signals; /* so far */
	bool cancelled, timed_out;
	uint64_t begun_ms;
	struct move_stats stats;
	bool shown;	      /* a line of progress is on the screen */
	struct rpc_error err; /* the first that mattered; code 0: none */
};

/* ---- migrate_steps.c ---- */

/* Connects both, finds the guest. 0, or an errno with m->err. */
int move_open(struct move *m);
/* The five phases. 0: the last word was that it moved; else an errno with m->err. */
int move_run(struct move *m);
void move_fini(struct move *m);
/* Parameters by name. */
void move_set_string(struct move *m, const char *name, const char *value);
void move_set_u64(struct move *m, const char *name, uint64_t value);

/* ---- migrate_wait.c ---- */

/*
 * Waits for the answer to a call under way, showing how far the job is, answering keepalive of both
 * ends, and calling it off when a signal comes or the time is over. As rpc_client_wait; EINTR:
 * whoever runs it does not want to wait any longer.
 */
int move_await(struct move *m, struct rpc_client *c, uint32_t serial, xdrproc_t fn, void *ret,
	       size_t ret_size);
/* The job's statistics, of one that has ended with completed; false: they cannot be had. */
bool move_read_stats(struct move *m, struct rpc_client *c, bool completed, struct move_stats *ret);

/* ---- migrate_show.c ---- */

/*
 * "tick  [####----]  52%  31.5 MiB/s  14.2 MiB left  3 s", no longer than width columns; returns
 * its length.
 */
size_t move_line(const char *name, const struct move_stats *s, unsigned int width, char *ret,
		 size_t room);
void move_show(struct move *m);	    /* on a terminal, in place of the line before */
void move_show_end(struct move *m); /* so that what follows begins a line */
/* "31.5 MiB". */
void move_print_size(uint64_t octets, char ret[16]);

/* ---- migrate_truth.c ---- */

/* Where the daemon of this host is reached: $LIBVIRT_DEFAULT_URI, else by whose socket is there. */
const char *move_default_uri(void);

enum move_verdict { MOVE_IS_THERE, MOVE_IS_HERE, MOVE_IS_TWICE, MOVE_IS_NOWHERE, MOVE_IS_UNKNOWN };

struct move_truth {
	enum move_verdict verdict;
	char source[320], destination[320]; /* what each says, in words */
};

/* Asks both daemons, again until they agree or m->o.settle_ms are over. */
void move_find_truth(struct move *m, struct move_truth *ret);

#endif
