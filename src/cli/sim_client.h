/* SPDX-License-Identifier: MIT */
/*
 * A xenstore client for `drover sim`: as the toolstack over the daemon's socket, or as a guest
 * over its simulated ring. One request at a time.
 */
#ifndef DROVER_CLI_SIM_CLIENT_H
#define DROVER_CLI_SIM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sim_client;

/* Called for each watch event, whenever it is met. */
typedef void sim_event_fn(void *data, const char *path, const char *token);

struct sim_reply {
	char octets[4097]; /* terminated; lists hold NULs within */
	size_t len;
};

/* path: the daemon's socket. -errno. */
int sim_client_connect(const char *path, struct sim_client **ret_client);
/*
 * dir: the simulated hypervisor's. as_left: the ring goes on where its last speaker stopped, with
 * its watches and transactions; else it begins anew. -ENOENT, -EBUSY, other -errno; -ENOTCONN: not
 * introduced.
 */
int sim_client_guest(const char *dir, uint16_t domid, bool as_left, struct sim_client **ret_client);
/* The process that listens on the socket; 0: not known. */
pid_t sim_client_peer(const struct sim_client *c);
/* To poll, where it is a socket; what was read already waits for sim_client_wait_event. */
int sim_client_fd(const struct sim_client *c);
void sim_client_free(struct sim_client *c);
void sim_client_on_event(struct sim_client *c, sim_event_fn *fn, void *data);

/*
 * Sends a request of len octets and waits for its reply. 0; > 0: the errno that the daemon
 * answered; < 0: -ETIMEDOUT, -EPIPE (closed, or the domain is gone), -EPROTO.
 */
int sim_client_call(struct sim_client *c, uint32_t type, uint32_t tx_id, const void *payload,
		    size_t len, struct sim_reply *ret_reply);
/* How long sim_client_call waits for a reply on a socket, in place of 30 s. */
void sim_client_patience(struct sim_client *c, int timeout_ms);
/* Waits for one event, which goes to on_event. 0 or as above; timeout_ms -1: for ever. */
int sim_client_wait_event(struct sim_client *c, int timeout_ms);

#endif
