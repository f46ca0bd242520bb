/* SPDX-License-Identifier: MIT */
/*
 * `drover sim create --config`: a domain with the keys and the record that a toolstack would have
 * given it.
 */
#ifndef DROVER_CLI_SIM_CONFIG_H
#define DROVER_CLI_SIM_CONFIG_H

#include <stdint.h>

/*
 * file: a configuration as JSON, "-" for standard input. userdata: the directory of the record;
 * NULL: libxl's. Returns the exit status; what failed is said.
 */
int sim_config_create(const char *socket, const char *userdata, uint32_t domid, const char *file);

#endif
