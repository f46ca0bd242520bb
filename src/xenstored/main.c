/* SPDX-License-Identifier: MIT */
/*
 * drover-xenstored: puts options, hypervisor, log and loop together.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "hv/hv.h"
#include "xenstored/daemon.h"
#include "xenstored/options.h"
#include "xenstored/server.h"

#define SIM_DIR_DEFAULT "/run/drover/sim"

static int open_hv(const struct options *o, struct hv **ret)
{
	bool xen = o->hv == HV_XEN || (o->hv == HV_AUTO && hv_xen_is_present());
	const char *dir = o->sim_dir ? o->sim_dir : SIM_DIR_DEFAULT;
	int r = xen ? hv_xen_open(NULL, ret) : hv_sim_open(dir, ret);

	if (r && xen)
		log_error("cannot reach the Xen hypervisor: %s", strerror(-r));
	else if (r)
		log_error("cannot open the simulated hypervisor in %s: %s", dir, strerror(-r));
	return r;
}

static void report_refusal(void *data, const char *line)
{
	(void)data;
	log_warning("%s", line);
}

/* A connection is a descriptor: as many as the system lets us have. */
static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl))
		log_warning("limit of open files stays: %s", strerror(errno));
}

static int serve(struct options *o, struct trace *trace)
{
	struct core_options core = {
		.policy = &o->policy,
		.event_timeout_ms = o->event_timeout_ms,
		.priv_domid = o->priv_domid,
		.keep_orphans = o->keep_orphans,
		.dom0_ring = !o->no_domain_init,
		.dom0_port = o->event_port,
	};
	struct server *server;
	struct hv *hv;
	int fd, r;

	if (getrandom(&core.key, sizeof(core.key), 0) != sizeof(core.key))
		return -errno;
	o->policy.report = report_refusal;
	r = open_hv(o, &hv);
	if (r)
		return r;
	r = daemon_listen(&fd);
	if (!r)
		r = server_new(&core, hv, trace, fd, &server);
	if (r) {
		hv_free(hv);
		return r;
	}
	if (o->output_pid)
		printf("%d\n", (int)getpid());
	fflush(stdout);
	if (!o->no_fork)
		trace_to_syslog(trace);
	daemon_ready();
	log_info("serving, hypervisor %s", hv->ops->name);
	r = server_run(server);
	daemon_unlisten();
	server_free(server);
	hv_free(hv);
	return r;
}

static int start(struct options *o)
{
	struct trace *trace = trace_new(o->verbose);
	int r = 0;

	if (!trace)
		return -ENOMEM;
	if (o->trace_file) {
		r = -trace_open(trace, o->trace_file);
		if (r)
			log_error("trace file %s: %s", o->trace_file, strerror(-r));
		trace_enable(trace, o->trace_io);
	}
	if (!r && o->pid_file)
		r = daemon_write_pid(o->pid_file);
	if (!r)
		r = serve(o, trace);
	trace_free(trace);
	return r;
}

int main(int argc, char **argv)
{
	struct options o;

	if (options_parse(&o, argc, argv))
		return 2;
	if (o.help) {
		options_usage(argv[0]);
		return EXIT_SUCCESS;
	}
	if (o.version) {
		printf("drover-xenstored %s\n", DROVER_VERSION);
		return EXIT_SUCCESS;
	}
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	if (!o.no_fork && daemon_fork()) {
		perror("drover-xenstored: fork");
		return EXIT_FAILURE;
	}
	return start(&o) ? EXIT_FAILURE : EXIT_SUCCESS;
}
