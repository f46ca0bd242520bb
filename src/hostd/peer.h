/* SPDX-License-Identifier: MIT */
/*
 * Links to other daemons: one to each address that a migration under way names, kept up while one
 * does, and the calls of the migrator over them, repeated until they are answered. What peers call
 * here comes by the dispatch of all calls (peer_procs).
 */
#ifndef DROVER_HOSTD_PEER_H
#define DROVER_HOSTD_PEER_H

#include "hostd/call.h"
#include "hostd/host.h"
#include "migrate/migrate.h"
#include "rpc/tls.h"

struct peers;

#define PEER_LATER_MS 100u	/* until a call that was answered "later" is repeated */
#define PEER_REDIAL_MIN_MS 100u /* between two tries to connect, doubled each time */
#define PEER_REDIAL_MAX_MS 2000u
#define PEER_KEEPALIVE_MS 2000u	    /* of silence, until a link is asked whether it is there */
#define PEER_KEEPALIVE_COUNT 3u	    /* times, before it counts as cut */
#define PEER_LINKS_MAX MIG_JOBS_MAX /* a link belongs to a migration under way */

/* What peers may call. */
extern const struct proc peer_procs[];

/*
 * TLS certificates are read here if there are any. > 0: EINVAL and the like with text (room
 * octets); < 0: -ENOMEM.
 */
int peers_open(struct host *h, struct peers **ret, char *text, size_t room);
/* Closes all links. The loop has to run once more for their handles. Accepts NULL. */
void peers_close(struct peers *p);
/* Certificates with which this host calls others; strings are the settings'. */
void peers_tls_files(const struct settings *s, struct rpc_tls_files *ret);

/* The fingerprint of our own certificate; "": there is none. */
const char *peers_fingerprint(const struct peers *p);

/*
 * The migration's peer matters from now on: a link to it is kept, and migrator_peer_reach told.
 * Done again: nothing.
 */
void peers_follow(struct peers *p, const struct mig_row *row);
/* It does not any more; its calls are forgotten. */
void peers_unfollow(struct peers *p, const struct mig_id *id);

/* A MIG_DO_CALL and a MIG_DO_CALL_CANCEL. */
void peers_call(struct peers *p, const struct mig_row *row, const struct mig_msg *msg);
void peers_cancel(struct peers *p, const struct mig_id *id, enum mig_msg_type type);

/* Ends a round: what was queued leaves. */
void peers_flush(struct peers *p);

#endif
