/* SPDX-License-Identifier: MIT */
/*
 * `drover sim run`: operations of a guest, said in words.
 */
#ifndef DROVER_CLI_SIM_RUN_H
#define DROVER_CLI_SIM_RUN_H

#include <stdint.h>

#include "cli/sim_client.h"

/*
 * Runs the operations in argv, separated by ";" (or one argument that holds them all), over c
 * as domid, and prints what comes back. 0: all done; 1: something was refused; 2: not an
 * operation; nothing is run before all are known.
 */
int sim_run_script(struct sim_client *c, uint16_t domid, int argc, char **argv);

/* The operations, for the usage text. */
extern const char sim_run_usage[];

#endif
