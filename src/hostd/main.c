/* SPDX-License-Identifier: MIT */
/*
 * drover-hostd: the daemon of a host's guests.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "base/log.h"
#include "hostd/hostd.h"
#include "hostd/migration.h"
#include "hostd/settings.h"

struct program {
	struct settings set;
	struct hostd *hostd;
	uv_signal_t term, interrupt;
	bool signals;
};

static const struct hostd_parts parts = { .open = migration_open, .close = migration_close };

/*
 * Threads that look names up, connect, and wait for the destinations of migrations from peer to
 * peer: hosts that do not answer shall not keep others waiting. They are there from the first such
 * wait on, and cost little but their place: more than a host moves guests at once.
 */
#define POOL_THREADS "128"

/* A connection is a descriptor, a guest is some: as many as the system lets us have. */
static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl))
		log_warning("limit of open files stays: %s", strerror(errno));
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct program *p = handle->data;

	log_notice("signal %d: ends; guests go on", number);
	hostd_stop(p->hostd);
}

static void catch_signals(struct program *p)
{
	uv_signal_init(hostd_loop(p->hostd), &p->term);
	uv_signal_init(hostd_loop(p->hostd), &p->interrupt);
	p->term.data = p->interrupt.data = p;
	uv_signal_start(&p->term, on_signal, SIGTERM);
	uv_signal_start(&p->interrupt, on_signal, SIGINT);
	p->signals = true;
}

static int write_pid(const char *path)
{
	FILE *f = fopen(path, "we");

	if (f && fprintf(f, "%d\n", (int)getpid()) > 0 && !fclose(f))
		return 0;
	log_error("%s: %s", path, strerror(errno));
	return -EIO;
}

static void say_ready(const struct program *p)
{
	printf("drover-hostd: ready, %zu domains\n", hostd_host(p->hostd)->doms.n);
	fflush(stdout);
#ifdef HAVE_SYSTEMD
	sd_notify(0, "READY=1");
#endif
}

static int serve(struct program *p)
{
	int r = hostd_open(&p->set, &parts, &p->hostd);

	if (!r && p->set.pid_file)
		r = write_pid(p->set.pid_file);
	if (!r) {
		catch_signals(p);
		say_ready(p);
		r = hostd_run(p->hostd);
	}
	if (p->signals) {
		uv_close((uv_handle_t *)&p->term, NULL);
		uv_close((uv_handle_t *)&p->interrupt, NULL);
	}
	if (p->hostd)
		hostd_close(p->hostd, &parts);
	if (p->set.pid_file)
		unlink(p->set.pid_file);
	return r;
}

int main(int argc, char **argv)
{
	struct program p = { 0 };
	int status = 0;

	(void)argc;
	if (settings_read(&p.set, argv)) {
		settings_fini(&p.set);
		return 2;
	}
	if (p.set.help) {
		settings_usage(argv[0]);
	} else if (p.set.version) {
		printf("drover-hostd " DROVER_VERSION "\n");
	} else {
		signal(SIGPIPE, SIG_IGN);
		raise_limits();
		setenv("UV_THREADPOOL_SIZE", POOL_THREADS, 0);
		status = serve(&p) ? 1 : 0;
	}
	settings_fini(&p.set);
	return status;
}
