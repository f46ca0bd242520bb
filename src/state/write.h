/* SPDX-License-Identifier: MIT */
/* A whole world as an image, all at once, in the order that every reader expects. */
#ifndef DROVER_STATE_WRITE_H
#define DROVER_STATE_WRITE_H

#include "state/checkpoint.h"

struct state_write_options {
	/*
	 * For readers that know the documents' records alone: no depth of watches, no transactions.
	 * state_degrades tells what is lost.
	 */
	bool plain;
	bool plain_watches; /* no depth of watches: version 1 has no record of it */
	bool quotas;	    /* with GLOBAL_QUOTA_DATA and DOMAIN_DATA, which 4.17 does not know */
	bool unique_ids;    /* domains' lives are numbered: version 2 */
	int32_t socket_fd;  /* as the reader will have it; -1: none */
	int32_t evtchn_fd;
	/* The descriptor under which the reader will have a socket. NULL: none has one. */
	int32_t (*fd_of)(void *data, const struct conn *c);
	void *data; /* borrowed */
	struct state_host host;
};

/* Errors of the sink; -ENOMEM. */
int state_write(const struct core *core, const struct state_write_options *opt,
		const struct state_sink *sink);

/*
 * What an image of the core would lose, a sentence each: how many transactions are open and whose,
 * where it is plain; how many watches have a depth, where it is that or says so.
 */
void state_degrades(const struct core *core, const struct state_write_options *opt,
		    void (*tell)(void *data, const char *line), void *data);

#endif
