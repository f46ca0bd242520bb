/* SPDX-License-Identifier: MIT */
/*
 * A backend whose guests are shells, and a daemon that counts what it is told: for tests of the
 * front alone.
 */
#ifndef DROVER_VMM_SHELL_TEST_H
#define DROVER_VMM_SHELL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/backend.h"

#define AWAIT_MS 10000u

static char dir[64];
static struct vmm *v;
static struct vmm_guest *guest;		 /* the last that was started or found */
static struct vmm_call *open_call;	 /* that the backend was last asked for */
static const char *script = "sleep 100"; /* what a guest is */
static unsigned int n_found, n_changed, n_gone, n_sent, n_received, n_done, n_released;
static int done_err, sent_err;
static char done_why[VMM_ERROR_MAX];
static enum vmm_reason gone_why;
static bool dies_in_start;

/* ---- the backend ---- */

static const char *fake_version(const struct vmm *vmm, unsigned long *ret_number)
{
	(void)vmm;
	*ret_number = 1;
	return "fake";
}

static int fake_check(struct vmm *vmm, const struct guest_def *def, char *text, size_t room)
{
	(void)vmm;
	(void)def;
	(void)text;
	(void)room;
	return 0;
}

static int fake_start(struct vmm_guest *g, unsigned int flags, struct vmm_call *call)
{
	char *argv[] = { "sh", "-c", (char *)(uintptr_t)script, NULL };
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), r;

	(void)flags;
	if (dies_in_start) {
		close(fd);
		return -EIO;
	}
	r = vmm_spawn(g, "/bin/sh", argv, &fd, 1);
	close(fd);
	open_call = call;
	return r;
}

static int fake_find(struct vmm_guest *g)
{
	g->state = VMM_RUNNING;
	return 0;
}

static enum vmm_reason fake_died(struct vmm_guest *g, int status)
{
	(void)g;
	return status == 0 ? VMM_SHUTDOWN : VMM_CRASHED;
}

static void fake_release(struct vmm_guest *g)
{
	(void)g;
	n_released++;
}

static int fake_ask(struct vmm_guest *g, struct vmm_call *call)
{
	(void)g;
	open_call = call;
	return 0;
}

static int fake_refuse(struct vmm_guest *g, struct vmm_call *call)
{
	(void)g;
	(void)call;
	return -EIO;
}

static void fake_quit(struct vmm_guest *g)
{
	kill(g->pid, SIGTERM);
}

static int fake_send(struct vmm_guest *g, int fd, const struct vmm_send_options *opt,
		     struct vmm_call *call)
{
	(void)g;
	(void)opt;
	close(fd);
	vmm_call_end(call, 0, NULL);
	return 0;
}

static int fake_cancel(struct vmm_guest *g)
{
	(void)g;
	return 0;
}

static int fake_tune(struct vmm_guest *g, const struct vmm_send_options *opt)
{
	(void)g;
	(void)opt;
	return 0;
}

static int fake_receive(struct vmm_guest *g, int fd)
{
	(void)g;
	close(fd);
	return 0;
}

static const struct vmm_backend fake = {
	.name = "fake",
	.version = fake_version,
	.check = fake_check,
	.start = fake_start,
	.find = fake_find,
	.died = fake_died,
	.release = fake_release,
	.pause = fake_ask,
	.resume = fake_ask,
	.shutdown = fake_refuse,
	.quit = fake_quit,
	.send = fake_send,
	.send_cancel = fake_cancel,
	.send_tune = fake_tune,
	.receive = fake_receive,
};

/* ---- what the daemon is told ---- */

static void on_found(void *data, struct vmm_guest *g)
{
	(void)data;
	guest = g;
	n_found++;
}

static void on_changed(void *data, struct vmm_guest *g, enum vmm_state state,
		       enum vmm_reason reason)
{
	(void)data;
	n_changed++;
	if (state != VMM_GONE)
		return;
	n_gone++;
	gone_why = reason;
	guest = NULL;
	vmm_guest_free(g);
}

static void on_progress(void *data, struct vmm_guest *g, const struct vmm_progress *p)
{
	(void)data;
	(void)g;
	(void)p;
}

static void on_stopped(void *data, struct vmm_guest *g)
{
	(void)data;
	(void)g;
}

static void on_sent(void *data, struct vmm_guest *g, int err, const char *why)
{
	(void)data;
	(void)why;
	sent_err = err;
	n_sent++;
	/* it is as good as gone: nothing can be asked of it any more */
	if (err == -ENOTCONN)
		assert_int_equal(vmm_resume(g, NULL, NULL), -ENOTCONN);
}

static void on_received(void *data, struct vmm_guest *g, int err, const char *why)
{
	(void)data;
	(void)g;
	(void)err;
	(void)why;
	n_received++;
}

static void on_iteration(void *data, struct vmm_guest *g, unsigned int n)
{
	(void)data;
	(void)g;
	(void)n;
}

static void on_done(void *data, int err, const char *why)
{
	(void)data;
	n_done++;
	done_err = err;
	snprintf(done_why, sizeof(done_why), "%s", why);
}

static void front_open(void)
{
	static const struct vmm_events events = { on_found, on_changed,	 on_progress, on_stopped,
						  on_sent,  on_received, on_iteration };
	char run[96], logs[96];
	const struct vmm_options opt = { .run_dir = run, .log_dir = logs, .host_name = "here" };

	snprintf(run, sizeof(run), "%s/deep/run", dir);
	snprintf(logs, sizeof(logs), "%s/log", dir);
	assert_int_equal(vmm_open_backend(&fake, &opt, &events, NULL, &v), 0);
}

static void front_close(void)
{
	vmm_free(v);
	v = NULL;
	guest = NULL;
}

static void turn(void)
{
	struct pollfd p = { .fd = vmm_fd(v), .events = POLLIN };
	int due = vmm_timeout_ms(v);

	poll(&p, 1, due >= 0 && due < 50 ? due : 50);
	assert_int_equal(vmm_dispatch(v), 0);
}

#define AWAIT(condition)                                                                           \
	do {                                                                                       \
		uint64_t until_ = vmm_now_ms() + AWAIT_MS;                                         \
		while (!(condition)) {                                                             \
			if (vmm_now_ms() > until_)                                                 \
				fail_msg("awaited in vain: %s", #condition);                       \
			turn();                                                                    \
		}                                                                                  \
	} while (0)

static int start_uuid(uint8_t last, unsigned int flags)
{
	struct guest_def *def = def_new();
	int r;

	def->type = DEF_TEST;
	def->name = strdup("shell");
	def->memory_kib = 2048;
	def->uuid[DEF_UUID_SIZE - 1] = last;
	r = vmm_start(v, def, flags, 5, "the-migration", on_done, NULL, &guest);
	def_free(def);
	return r;
}

static void start(void)
{
	assert_int_equal(start_uuid(1, 0), 0);
	assert_int_equal(n_done, 0);
	vmm_guest_enter(guest, VMM_RUNNING, VMM_BOOTED);
	vmm_call_end(TAKE(open_call), 0, NULL);
	assert_int_equal(n_done, 0); /* from vmm_dispatch alone */
	AWAIT(n_done == 1);
	assert_int_equal(done_err, 0);
	n_done = 0;
}

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/drover-front-XXXXXX");
	assert_non_null(mkdtemp(dir));
	n_found = n_changed = n_gone = n_sent = n_received = n_done = n_released = 0;
	script = "sleep 100";
	dies_in_start = false;
	front_open();
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	if (!v)
		front_open();
	if (guest) {
		n_gone = 0;
		assert_int_equal(vmm_destroy(guest, false, NULL, NULL), 0);
		AWAIT(n_gone == 1);
	}
	front_close();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	return 0;
}

static char *file_of(const char *path)
{
	char *text = calloc(1, 65536);
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_true(fread(text, 1, 65535, f) < 65535);
	fclose(f);
	return text;
}

#endif
