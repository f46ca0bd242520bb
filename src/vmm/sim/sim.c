/* SPDX-License-Identifier: MIT */
/*
 * The simulated backend: guests that are processes whose memory ticks. Any host can run them, and
 * their logs prove where and when they ran.
 *
 * Invariant: what a guest is told to be comes from its process alone (vmm/agent.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "vmm/agent.h"
#include "vmm/backend.h"

#define SIM_ARGS_MAX 24u

static const char *sim_version(const struct vmm *v, unsigned long *ret_number)
{
	(void)v;
	*ret_number = 1000000;
	return "simulated guests 1.0";
}

static int sim_check(struct vmm *v, const struct guest_def *def, char *text, size_t room)
{
	(void)v;
	if (def->type != DEF_TEST && def->type != DEF_XEN) {
		snprintf(text, room, "<domain type='%s'> is nothing that can be simulated",
			 def_type_name(def->type));
		return -EOPNOTSUPP;
	}
	return 0;
}

static char *ticks_path(const struct vmm_guest *g)
{
	const struct guest_def *def = g->def;
	const char *log_dir = vmm_options(g->v)->log_dir;
	char *path = NULL;

	if (def->n_serials && def->serials[0].type && !strcmp(def->serials[0].type, "file") &&
	    def->serials[0].source)
		return strdup(def->serials[0].source);
	return asprintf(&path, "%s/%s.ticks", log_dir ? log_dir : ".", g->name) < 0 ? NULL : path;
}

/* argv: borrowed strings. */
static void arg(char **argv, size_t *n, const char *name, const char *value)
{
	argv[(*n)++] = (char *)(uintptr_t)name;
	if (value)
		argv[(*n)++] = (char *)(uintptr_t)value;
	argv[*n] = NULL;
}

static int spawn(struct vmm_guest *g, unsigned int flags, int listener)
{
	const char *program = vmm_options(g->v)->program;
	char uuid[DEF_UUID_TEXT], epoch[24], kib[24], *argv[SIM_ARGS_MAX], *log = ticks_path(g);
	size_t n = 0;
	int r;

	if (!log)
		return FAULT(-ENOMEM);
	if (!program)
		program = DROVER_LIBEXECDIR "/drover-simguest";
	def_uuid_print(g->uuid, uuid);
	snprintf(epoch, sizeof(epoch), "%" PRIu64, g->epoch);
	snprintf(kib, sizeof(kib), "%" PRIu64, g->memory_kib);
	arg(argv, &n, "drover-simguest", NULL);
	arg(argv, &n, "--name", g->name);
	arg(argv, &n, "--uuid", uuid);
	arg(argv, &n, "--host", vmm_options(g->v)->host_name);
	arg(argv, &n, "--epoch", epoch);
	arg(argv, &n, "--memory-kib", kib);
	arg(argv, &n, "--log", log);
	arg(argv, &n, "--words", g->def->cmdline ? g->def->cmdline : "");
	if (flags & VMM_START_INCOMING)
		arg(argv, &n, "--incoming", NULL);
	if (flags & VMM_START_PAUSED)
		arg(argv, &n, "--paused", NULL);
	if (g->def->on_reboot == DEF_DESTROY)
		arg(argv, &n, "--no-reboot", NULL);
	r = vmm_spawn(g, program, argv, &listener, 1);
	free(log);
	return r;
}

static int sim_start(struct vmm_guest *g, unsigned int flags, struct vmm_call *call)
{
	int listener, r;

	agent_init(g);
	listener = vmm_guest_listen(g, AGENT_CTL_FILE, SOCK_SEQPACKET);
	if (listener < 0)
		return listener;
	r = spawn(g, flags, listener);
	close(listener);
	if (r == 0)
		agent_start(g, call);
	return r;
}

/* What it wrote down itself, or how it was waited for. */
static enum vmm_reason sim_died(struct vmm_guest *g, int status)
{
	char how[32];

	if (vmm_guest_read_file(g, AGENT_END_FILE, how, sizeof(how)) > 0) {
		if (!strcmp(how, "shutdown"))
			return VMM_SHUTDOWN;
		if (!strcmp(how, "destroyed"))
			return VMM_BY_USER;
		vmm_guest_set_why(g, -ENOTCONN, "the guest crashed");
		return VMM_CRASHED;
	}
	if (status != -1 && WIFSIGNALED(status))
		vmm_guest_set_why(g, -ENOTCONN, "the guest's process was ended by signal %d",
				  WTERMSIG(status));
	else if (status != -1)
		vmm_guest_set_why(g, -ENOTCONN, "the guest's process ended with status %d",
				  WEXITSTATUS(status));
	return VMM_CRASHED;
}

const struct vmm_backend *sim_backend(void)
{
	static const struct vmm_backend backend = {
		.name = "sim",
		.can = VMM_CAN_LIVE | VMM_CAN_AUTO_CONVERGE | VMM_CAN_BANDWIDTH | VMM_CAN_DOWNTIME |
		       VMM_CAN_CANCEL | VMM_CAN_REBOOT,
		.guest_size = sizeof(struct agent_guest),
		.version = sim_version,
		.check = sim_check,
		.start = sim_start,
		.find = agent_find,
		.died = sim_died,
		.release = agent_release,
		.pause = agent_pause,
		.resume = agent_resume,
		.shutdown = agent_shutdown,
		.reboot = agent_reboot,
		.quit = agent_quit,
		.send = agent_send,
		.send_cancel = agent_send_cancel,
		.send_tune = agent_send_tune,
		.receive = agent_receive,
	};

	return &backend;
}
