/* SPDX-License-Identifier: MIT */
/*
 * systemd's store of descriptors: sockets that come back to a keeper that was killed
 * (sd_notify(3), FDSTORE; FileDescriptorStoreMax= in the unit). Used where the environment has
 * NOTIFY_SOCKET and FDSTORE, not 0; otherwise all of this does nothing.
 */
#ifndef DROVER_KEEPER_FDSTORE_H
#define DROVER_KEEPER_FDSTORE_H

#include <stdint.h>

#include "keeper/clients.h"

/* Adds the clients that were stored. -ENOMEM. */
int fdstore_take(struct clients *c);
/* The stored listening socket, -1: none. The caller's. */
int fdstore_take_listener(void);

void fdstore_put_listener(int fd);
void fdstore_put_client(uint64_t number, int fd);
void fdstore_remove_client(uint64_t number);

#endif
