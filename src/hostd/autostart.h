/* SPDX-License-Identifier: MIT */
/*
 * Guests that are started with the host.
 */
#ifndef DROVER_HOSTD_AUTOSTART_H
#define DROVER_HOSTD_AUTOSTART_H

#include "hostd/host.h"

/*
 * Starts those that are to be, once after each start of the machine: a mark in the run directory,
 * which does not outlive it, says that it was done.
 */
void autostart_all(struct host *h);

#endif
