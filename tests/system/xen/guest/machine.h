/* SPDX-License-Identifier: MIT */
/*
 * The virtual machine as Xen gives it to a PVH guest with one processor: hypercalls, time, events
 * by upcalls, the console, an end. Facts: Xen's public headers.
 */
#ifndef GUEST_MACHINE_H
#define GUEST_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/sched.h>
#include <xen/io/xs_wire.h>

#define BARRIER() __asm__ volatile("mfence" : : : "memory")

/* From the start info at that physical address. The machine crashes, saying why, where it cannot.
 */
void machine_init(uint32_t start_info_paddr);

/*
 * From now on the guest is one that knows that it is a guest: events are upcalls, and Xen's tools
 * ask it to suspend itself. Without that it looks for events by polling, and is suspended and goes
 * on in another domain without being told.
 */
void machine_take_upcalls(void);
bool machine_is_aware(void);

const char *machine_command_line(void);

/*
 * By the processor's clock, at the rate that Xen told at first. It goes on while the guest waits or
 * is paused; from when it is suspended until it goes on in another domain it stands still.
 */
uint64_t machine_now_ns(void);

struct xenstore_domain_interface *machine_store_ring(void);
void machine_store_notify(void);

/*
 * Gives the processor away until the store's event came, since the last wait ended, or it is that
 * late (UINT64_MAX: the event only).
 */
void machine_wait(uint64_t until_ns);

/* Upcalls taken, over all. */
uint32_t machine_upcalls(void);

/* A line to the console; what has no room there is lost. */
void machine_say(const char *line);

/* SHUTDOWN_poweroff and so on; does not return. */
_Noreturn void machine_end(unsigned int reason);

/* Of an aware guest. Returns whether it goes on where it was, and not in a domain made anew. */
bool machine_suspend(void);

#endif
