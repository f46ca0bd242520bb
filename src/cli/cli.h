/* SPDX-License-Identifier: MIT */
/*
 * The commands of `drover`, each with its own arguments: argv[0] is the command's name. They
 * return the exit status: 0 done, 1 refused or failed (said on stderr), 2 wrong usage.
 */
#ifndef DROVER_CLI_CLI_H
#define DROVER_CLI_CLI_H

/* drover sim: the simulated hypervisor's toolstack, and its guests. */
int cli_sim(int argc, char **argv);

#endif
