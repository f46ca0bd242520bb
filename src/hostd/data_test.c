/* SPDX-License-Identifier: MIT */
/*
 * Connections for a guest's memory, over a real loop: who knows the id gets through, nobody else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "hostd/data.h"

struct scene {
	uv_loop_t loop;
	struct data_listener *listener;
	struct mig_id id;
	char dir[64], uri[DATA_URI_MAX], text[512];
	int accepted, connected; /* -2: not yet */
	char why[512];
};

static const struct data_where where = { "127.0.0.1", "127.0.0.1", 49300, 49350 };

static void on_accepted(void *data, const struct mig_id *id, int fd, const char *why)
{
	struct scene *s = data;

	assert_memory_equal(id, &s->id, sizeof(*id));
	assert_string_equal(why, "");
	s->accepted = fd;
}

static void on_connected(void *data, const struct mig_id *id, int fd, const char *why)
{
	struct scene *s = data;

	(void)id;
	s->connected = fd;
	snprintf(s->why, sizeof(s->why), "%s", why);
}

static int setup(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	snprintf(s->dir, sizeof(s->dir), "/tmp/drover-data-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	assert_int_equal(uv_loop_init(&s->loop), 0);
	memset(s->id.b, 0x5a, sizeof(s->id.b));
	s->accepted = s->connected = -2;
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;

	uv_run(&s->loop, UV_RUN_DEFAULT); /* ends: no handle may be left */
	assert_int_equal(uv_loop_close(&s->loop), 0);
	if (s->accepted >= 0)
		close(s->accepted);
	if (s->connected >= 0)
		close(s->connected);
	assert_int_equal(rmdir(s->dir), 0); /* a socket that stayed would keep it */
	free(s);
	return 0;
}

static int listen_for(struct scene *s, const char *uri)
{
	return data_listen(&s->loop, &where, uri, &s->id, on_accepted, s, &s->listener, s->uri,
			   s->text, sizeof(s->text));
}

static void run_until(struct scene *s, const int *fd)
{
	while (*fd == -2)
		uv_run(&s->loop, UV_RUN_ONCE);
}

static void pass(struct scene *s)
{
	char got[4] = "";

	assert_int_equal(
		data_connect(&s->loop, s->uri, &s->id, on_connected, s, s->text, sizeof(s->text)),
		0);
	run_until(s, &s->connected);
	assert_true(s->connected >= 0);
	run_until(s, &s->accepted);
	assert_int_equal(write(s->connected, "mem", 3), 3);
	assert_int_equal(read(s->accepted, got, 3), 3);
	assert_string_equal(got, "mem");
}

static void a_source_gets_through_by_tcp(void **state)
{
	struct scene *s = *state;

	assert_int_equal(listen_for(s, NULL), 0);
	assert_non_null(strstr(s->uri, "tcp://127.0.0.1:493"));
	pass(s);
}

static void a_source_gets_through_by_a_socket_file(void **state)
{
	struct scene *s = *state;
	char uri[128];

	snprintf(uri, sizeof(uri), "unix://%s/m", s->dir);
	assert_int_equal(listen_for(s, uri), 0);
	assert_string_equal(s->uri, uri);
	pass(s);
}

/* Whether a thread of ours is in connect(), as far as the system tells. */
static bool connects(void)
{
	char path[300], text[32] = "";
	DIR *dir = opendir("/proc/self/task");
	bool found = !dir;

	for (struct dirent *e; dir && !found && (e = readdir(dir));) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/self/task/%s/syscall", e->d_name);
		f = fopen(path, "re");
		found = f && fgets(text, sizeof(text), f) && atoi(text) == SYS_connect;
		if (f)
			fclose(f);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void a_queue_that_is_full_is_waited_for(void **state)
{
	struct scene *s = *state;
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int full = socket(AF_UNIX, SOCK_STREAM, 0), first = socket(AF_UNIX, SOCK_STREAM, 0), fd;

	snprintf(s->uri, sizeof(s->uri), "unix://%s/m", s->dir);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/m", s->dir);
	assert_int_equal(bind(full, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(full, 0), 0);
	assert_int_equal(connect(first, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(
		data_connect(&s->loop, s->uri, &s->id, on_connected, s, s->text, sizeof(s->text)),
		0);
	while (s->connected == -2 && !connects())
		uv_run(&s->loop, UV_RUN_NOWAIT);
	fd = accept(full, NULL, NULL);
	run_until(s, &s->connected);
	assert_string_equal(s->why, "");
	assert_true(s->connected >= 0);
	assert_int_equal(unlink(sa.sun_path), 0);
	close(fd);
	close(first);
	close(full);
}

static int stranger(const struct scene *s, const void *octets, size_t len)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", s->uri + strlen("unix://"));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(send(fd, octets, len, MSG_NOSIGNAL), (ssize_t)len);
	return fd;
}

static void strangers_are_let_go_and_the_source_gets_through(void **state)
{
	struct scene *s = *state;
	int fds[DATA_PENDING_MAX + 2];
	char uri[128], octet;

	snprintf(uri, sizeof(uri), "unix://%s/m", s->dir);
	assert_int_equal(listen_for(s, uri), 0);
	fds[0] = stranger(s, DATA_MAGIC "................", DATA_HEAD_SIZE);
	while (recv(fds[0], &octet, 1, MSG_DONTWAIT) != 0) /* until it is closed */
		uv_run(&s->loop, UV_RUN_ONCE);
	/* More than there are places, none of which says all: the oldest makes room. */
	for (size_t i = 1; i < DATA_PENDING_MAX + 2; i++) {
		fds[i] = stranger(s, DATA_MAGIC, 8);
		for (int k = 0; k < 4; k++)
			uv_run(&s->loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(s->accepted, -2);
	pass(s);
	for (size_t i = 0; i < DATA_PENDING_MAX + 2; i++)
		close(fds[i]);
}

static void a_closed_listener_leaves_its_port(void **state)
{
	struct scene *s = *state;
	char first[DATA_URI_MAX];

	assert_int_equal(listen_for(s, NULL), 0);
	memcpy(first, s->uri, sizeof(first));
	data_listener_close(s->listener);
	assert_int_equal(listen_for(s, first), 0);
	assert_string_equal(s->uri, first);
	data_listener_close(s->listener);
}

static void what_cannot_be_is_named(void **state)
{
	struct scene *s = *state;
	struct data_listener *other;
	char uri[DATA_URI_MAX];

	assert_int_equal(listen_for(s, "rdma://x"), EINVAL);
	assert_int_equal(listen_for(s, NULL), 0);
	other = s->listener;
	memcpy(uri, s->uri, sizeof(uri));
	assert_int_equal(listen_for(s, uri), EADDRINUSE);
	assert_non_null(strstr(s->text, uri));
	data_listener_close(other);
	assert_int_equal(data_connect(&s->loop, "tcp://h", &s->id, on_connected, s, s->text,
				      sizeof(s->text)),
			 EINVAL);
	assert_non_null(strstr(s->text, "port"));
	/* Nobody listens there any more. */
	assert_int_equal(
		data_connect(&s->loop, uri, &s->id, on_connected, s, s->text, sizeof(s->text)), 0);
	run_until(s, &s->connected);
	assert_int_equal(s->connected, -ECONNREFUSED);
	assert_non_null(strstr(s->why, uri));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_source_gets_through_by_tcp, setup, teardown),
		cmocka_unit_test_setup_teardown(a_source_gets_through_by_a_socket_file, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_queue_that_is_full_is_waited_for, setup,
						teardown),
		cmocka_unit_test_setup_teardown(strangers_are_let_go_and_the_source_gets_through,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_closed_listener_leaves_its_port, setup, teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_is_named, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
