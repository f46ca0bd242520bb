/* SPDX-License-Identifier: MIT */
/*
 * Receiving a guest's memory. Invariant: the guest is paused, and can be resumed, only once the
 * stream has come to its proper end; before that it is of no use to anybody.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/sim/simguest.h"
#include "vmm/vmm.h"

int simguest_receive_begin(struct simguest *g, int fd)
{
	if (fd < 0)
		return -EBADF;
	if (g->status.state != AGENT_INCOMING || g->receive_fd >= 0 || g->status.received ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
		close(fd);
		return -EINVAL;
	}
	memset(&g->reader, 0, sizeof(g->reader));
	memcpy(g->reader.uuid, g->uuid, sizeof(g->uuid));
	g->reader.pages = g->pages;
	g->reader.memory = g->memory;
	g->receive_fd = fd;
	g->status.receiving = 1;
	return 0;
}

static void receive_end(struct simguest *g, int err, const char *text)
{
	close(g->receive_fd);
	g->receive_fd = -1;
	g->status.receiving = 0;
	if (err == 0 && g->reader.ticks != simguest_cpu(g)->ticks) {
		err = -EBADMSG;
		text = "stream, its end: the processor's state is not that of the memory";
	}
	if (err == 0) {
		g->status.received = 1;
		simguest_received_all(g);
		simguest_log(g, "RECEIVED");
		simguest_enter(g, AGENT_PAUSED, VMM_MIGRATING);
	}
	g->status.receive_err = err;
	simguest_tell(g, AGENT_RECEIVED, 0, err, text);
}

void simguest_receive_some(struct simguest *g)
{
	uint8_t buf[SIMGUEST_RECEIVE_CHUNK];
	char text[SIM_STREAM_TEXT_MAX] = "";
	ssize_t n = read(g->receive_fd, buf, sizeof(buf));
	size_t taken;
	int r = 0;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		r = -errno;
		snprintf(text, sizeof(text), "stream, octet %llu: %s",
			 (unsigned long long)g->reader.at, strerror(-r));
	} else if (n == 0) {
		r = sim_reader_close(&g->reader, text);
	} else {
		r = sim_reader_feed(&g->reader, buf, (size_t)n, &taken, text);
	}
	if (r < 0 || g->reader.ended)
		receive_end(g, r, text);
}
