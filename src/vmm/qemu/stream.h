/* SPDX-License-Identifier: MIT */
/*
 * The connection that a guest's memory goes through. What lies in its buffers when the guest stops
 * has to be read while nobody runs, so that they are kept as small as the way is short.
 */
#ifndef DROVER_VMM_QEMU_STREAM_H
#define DROVER_VMM_QEMU_STREAM_H

#include <stdint.h>

#define STREAM_UNSENT 131072u	   /* octets that wait in the sender's kernel, of TCP */
#define STREAM_WINDOW_MIN 262144u  /* octets that wait in the receiver's */
#define STREAM_WINDOW_MAX 4194304u /* a longer way: as the kernel likes */
#define STREAM_OCTETS_PER_US 2500u /* that a fast network carries: 20 Gbit/s */

/* Octets that a receiver has to have room for at a round trip of so many microseconds; 0: as the
 * kernel likes. */
uint32_t stream_window(uint32_t round_trip_us);

/* Of a connected socket; one that is no TCP stays as it is. Never fails: it is about speed only. */
void stream_tune_sender(int fd);
void stream_tune_receiver(int fd);

#endif
