/* SPDX-License-Identifier: MIT */
/*
 * `drover sim backend`: plays the backend drivers of a domain, against any store.
 */
#ifndef DROVER_CLI_SIM_BACKEND_H
#define DROVER_CLI_SIM_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

/* How they are played. Strings are borrowed. */
struct sim_backend_options {
	const char *socket; /* of the daemon */
	uint32_t domid;	    /* whose backends */
	int64_t of;	    /* those for this guest alone; -1: for all */
	const char *kinds;  /* "vbd,vif": those alone; NULL: all */
	const char *refuse; /* new devices are refused with this text; NULL: they are taken */
	uint32_t delay_ms;  /* before each answer */
	bool frontends;	    /* the guests' side is played, too */
};

/*
 * Plays until SIGTERM, SIGINT, or the end of a standard input that is a pipe. Prints "ready" once
 * it watches, then a line for each answer. Returns the exit status; what failed is said.
 */
int sim_backend_run(const struct sim_backend_options *opt);

#endif
