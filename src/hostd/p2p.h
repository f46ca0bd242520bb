/* SPDX-License-Identifier: MIT */
/*
 * A migration from peer to peer: the source's daemon does what a client would do at the
 * destination, Prepare and Finish, over a connection of its own that lasts as long. What the
 * client asked for is one call, Perform.
 */
#ifndef DROVER_HOSTD_P2P_H
#define DROVER_HOSTD_P2P_H

#include "hostd/migration_args.h"

#define P2P_CONNECT_MS 15000u /* until the destination's daemon is reached */
#define P2P_PREPARE_MS 60000u /* until it has prepared */
#define P2P_FINISH_MS 30000u  /* until it has told how it ended; the guest's fate is settled */
#define P2P_MAX MIG_JOBS_MAX  /* each is a migration under way */

/* The call is Perform's; it is answered when all is over. */
void p2p_start(struct call *c, struct dom *d, const struct migration_args *a, const char *dconnuri);

/* Whether a MIG_DO_REPLY is to such a call: then it is taken care of. */
bool p2p_performed(struct host *h, const struct mig_effect *e);

/* A client's connection is gone: what it asked for ends, as far as it still may. */
void p2p_caller_closed(struct host *h, uint64_t caller);

/* The daemon ends: connections are closed. */
void p2p_drop_all(struct host *h);

#endif
