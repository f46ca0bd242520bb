/* SPDX-License-Identifier: MIT */
/*
 * The store's ring, as octets (Xen's docs/misc/xenstore-ring.txt). It is the guest that waits: each
 * function returns when it is done, or when it is too late.
 */
#ifndef GUEST_RING_H
#define GUEST_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns false if there was no room for all of it until until_ns (UINT64_MAX: for ever). */
bool ring_write(const void *data, size_t len, uint64_t until_ns);

/* Returns false if it did not come until until_ns; what of it came is gone. */
bool ring_read(void *data, size_t len, uint64_t until_ns);

/* What there is to be read, without reading it; 0 also where the indices make no sense. */
size_t ring_waiting(void);

/* What could be written at once; 0 also where the indices make no sense. */
size_t ring_room(void);

/* Asks for a new connection over the same ring; returns false if until_ns came before. */
bool ring_reconnect(uint64_t until_ns);

#endif
