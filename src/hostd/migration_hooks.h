/* SPDX-License-Identifier: MIT */
/* What the rest of the daemon is to ask migrations, and the other way round: migration_hooks.c. */
#ifndef DROVER_HOSTD_MIGRATION_HOOKS_H
#define DROVER_HOSTD_MIGRATION_HOOKS_H

#include "hostd/host.h"

const struct hostd_hooks *migration_hooks(void);

/* hooks->round: journal, effects, and what they led to, until there is nothing more. */
int migration_round(struct host *h);

/* After a restart: guests that were being received for a migration nobody knows of are ended. */
void migration_sweep(struct host *h);

#endif
