/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor behind `drover config`, where there is one.
 */
#ifndef DROVER_CLI_CONFIG_HOST_H
#define DROVER_CLI_CONFIG_HOST_H

struct drover_config_host;

/*
 * What to ask, until cli_config_host_close; NULL: there is no hypervisor, or it may not be asked.
 * $DROVER_HV decides: "xen" or "none"; without it, whether there is /dev/xen/privcmd and no other
 * store than the host's own is named (-s, $XENSTORED_PATH).
 */
const struct drover_config_host *cli_config_host(const char *command);
void cli_config_host_close(void);

#endif
