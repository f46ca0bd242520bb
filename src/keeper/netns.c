/* SPDX-License-Identifier: MIT */
/*
 * An empty network namespace. Invariant: the caller is in its own namespace when it is done, or
 * the process ends.
 */
#include "keeper/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

#define NETNS_PATH "/proc/self/ns/net"

int netns_open_empty(void)
{
	int own = open(NETNS_PATH, O_RDONLY | O_CLOEXEC), fd = -1;

	if (own < 0)
		return -1;
	if (!unshare(CLONE_NEWNET)) {
		fd = open(NETNS_PATH, O_RDONLY | O_CLOEXEC);
		if (setns(own, CLONE_NEWNET)) {
			log_error("cannot leave the empty network namespace again");
			abort();
		}
	}
	close(own);
	return fd;
}
