/* SPDX-License-Identifier: MIT */
/*
 * Buffers of a guest's way: small on a short one, as the kernel likes on a long one, and no harm to
 * what is no TCP.
 */
#include "vmm/qemu/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void a_window_follows_the_length_of_the_way(void **state)
{
	(void)state;
	assert_int_equal(stream_window(20), STREAM_WINDOW_MIN);
	assert_int_equal(stream_window(1000), 1000 * STREAM_OCTETS_PER_US);
	assert_int_equal(stream_window(20000), 0);
	assert_int_equal(stream_window(UINT32_MAX), 0);
}

static int buffer_of(int fd)
{
	int n = 0;
	socklen_t len = sizeof(n);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, &len), 0);
	return n;
}

static void a_tcp_connection_in_this_host_keeps_little_in_its_buffers(void **state)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), c, a;
	static char data[65536];
	size_t sent = 0;
	ssize_t n;

	(void)state;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(s, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(s, 1), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&sin, &len), 0);
	c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(c, (struct sockaddr *)&sin, sizeof(sin)), 0);
	a = accept4(s, NULL, NULL, SOCK_CLOEXEC);
	assert_true(a >= 0);
	stream_tune_sender(c);
	stream_tune_receiver(a);
	/* Nobody reads: what goes in is what would have to be read while the guest stands still. */
	while ((n = send(c, data, sizeof(data), MSG_DONTWAIT)) > 0)
		sent += (size_t)n;
	assert_true(sent <= 3 * STREAM_WINDOW_MIN + STREAM_UNSENT + sizeof(data));
	close(a);
	close(c);
	close(s);
}

static void another_socket_stays_as_it_is(void **state)
{
	int sv[2], before;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	before = buffer_of(sv[1]);
	stream_tune_sender(sv[0]);
	stream_tune_receiver(sv[1]);
	assert_int_equal(buffer_of(sv[1]), before);
	close(sv[0]);
	close(sv[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_follows_the_length_of_the_way),
		cmocka_unit_test(a_tcp_connection_in_this_host_keeps_little_in_its_buffers),
		cmocka_unit_test(another_socket_stays_as_it_is),
	};

	return cmocka_run_group_tests_name("vmm/qemu stream", tests, NULL, NULL);
}
