/* SPDX-License-Identifier: MIT */
/*
 * The daemon's end of a simulated hypervisor's event channels: what libxenevtchn is on Xen.
 *
 * A channel that is opened anew begins an epoch. Binding a guest's port that a daemon of an
 * earlier epoch had bound finds that binding again, with its port number, and raises it, so
 * that nothing the dead daemon had collected is lost. Bindings nobody finds again are freed
 * when their domain is gone and the table is full.
 */
#ifndef DROVER_HV_SIM_CHAN_H
#define DROVER_HV_SIM_CHAN_H

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct sim_chan;

/*
 * s is borrowed. resume: this process goes on with the channel of the program that it was
 * before exec; all bound ports are its own.
 */
int sim_chan_open(struct sim *s, bool resume, struct sim_chan **ret_chan);
void sim_chan_close(struct sim_chan *c);

/* hv.h's evtchn_bind. -ESRCH, -EINVAL (no such port, or bound by this daemon), -ENOSPC. */
int sim_chan_bind(struct sim_chan *c, uint16_t domid, uint32_t gport, uint32_t *ret_port);
/* A port raised when a domain shut down, is dying or gone; births: or was created. */
int sim_chan_bind_virq(struct sim_chan *c, bool births, uint32_t *ret_port);
/* -ENOTCONN: not bound. */
int sim_chan_unbind(struct sim_chan *c, uint32_t port);
/* -ENOTCONN: not bound, or that life of the domain is over. */
int sim_chan_notify(struct sim_chan *c, uint32_t port);
/* The next event: 1 and its port, which stays masked; 0: none. */
int sim_chan_next(struct sim_chan *c, uint32_t *ret_port);
int sim_chan_unmask(struct sim_chan *c, uint32_t port);
/*
 * For a caller that takes one event each time the descriptor is readable: makes it readable
 * exactly while there are more.
 */
void sim_chan_settle(struct sim_chan *c);
/* Whether the descriptor was readable though the last sim_chan_next found no event. */
bool sim_chan_woken(struct sim_chan *c);
int sim_chan_fd(struct sim_chan *c);

#endif
