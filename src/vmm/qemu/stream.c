/* SPDX-License-Identifier: MIT */
/*
 * Buffers of a connection: TCP's, for those of others are small. The kernel lets them grow to
 * megabytes wherever the receiver is slower than the network, which is all that a guest's
 * destination ever is on a short way, and they are of no use there.
 */
#include "vmm/qemu/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <sys/socket.h>

uint32_t stream_window(uint32_t round_trip_us)
{
	uint64_t octets = (uint64_t)round_trip_us * STREAM_OCTETS_PER_US;

	if (octets > STREAM_WINDOW_MAX)
		return 0;
	return octets < STREAM_WINDOW_MIN ? STREAM_WINDOW_MIN : (uint32_t)octets;
}

static bool is_tcp(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 &&
	       protocol == IPPROTO_TCP;
}

void stream_tune_sender(int fd)
{
	int one = 1, unsent = STREAM_UNSENT;

	if (!is_tcp(fd))
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

void stream_tune_receiver(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int window;

	if (!is_tcp(fd) || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 || !info.tcpi_rtt)
		return;
	window = (int)stream_window(info.tcpi_rtt);
	if (window)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
}
