/* SPDX-License-Identifier: MIT */
/*
 * Xen, asked over libxenctrl: the one who knows uuids and scheduling for certain. A store that was
 * named may be any host's, so then the hypervisor of this one is no judge of it.
 */
#include "cli/config_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/xs_client.h"
#include "drover/config.h"
#include "hv/xen/info.h"

#define HOST_DEVICE "/dev/xen/privcmd"
#define HOST_STORE "/run/xenstored/socket"

static struct xen_info *info;

static int uuid(void *data, uint32_t domid, char ret[37])
{
	return xen_info_uuid(data, domid, ret);
}

static int sched(void *data, uint32_t domid,
		 void (*put)(void *arg, const char *field, const char *value), void *arg)
{
	return xen_info_sched(data, domid, put, arg);
}

static struct drover_config_host host = { .domain_uuid = uuid, .domain_sched = sched };

const struct drover_config_host *cli_config_host(const char *command)
{
	const char *word = getenv("DROVER_HV");
	int r;

	if (word && !strcmp(word, "none"))
		return NULL;
	if (!word &&
	    (access(HOST_DEVICE, R_OK | W_OK) || strcmp(cli_socket_path(), HOST_STORE) != 0))
		return NULL;
	r = xen_info_open(&info);
	if (r) {
		fprintf(stderr, "drover: %s: the hypervisor cannot be asked: %s\n", command,
			strerror(-r));
		return NULL;
	}
	host.data = info;
	return &host;
}

void cli_config_host_close(void)
{
	xen_info_close(info);
	info = NULL;
}
