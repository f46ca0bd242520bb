/* SPDX-License-Identifier: MIT */
/*
 * Guests of real Xen: a drover-xlguest for each, which uses libxl, so that nothing here does.
 *
 * Invariant: it is the domain's end that is the guest's. A process that ended without saying how
 * the domain did (AGENT_END_FILE) has another one in its place, which goes on.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "vmm/agent.h"
#include "vmm/backend.h"
#include "vmm/xl/xl_files.h"
#include "vmm/xl_config.h"

#define XL_ARGS_MAX 12u
#define XL_QUIT_MS 20000u	  /* for libxl to destroy a domain, until another process tries */
#define XL_AGAIN_MS 100u	  /* until the first process is started in place of another */
#define XL_AGAIN_MAX_MS 10000u	  /* each takes twice as long, up to this */
#define XL_AGAIN_FORGET_MS 30000u /* a process that lived so long has made good for the former */

struct xl_guest {
	struct agent_guest agent; /* first: vmm/agent.c knows this much of it */
	struct vmm_timer again;	  /* another process is to be started */
	uint64_t started_ms, again_ms;
};

static struct xl_guest *priv_of(const struct vmm_guest *g)
{
	return g->priv;
}

static const char *xl_version(const struct vmm *v, unsigned long *ret_number)
{
	(void)v;
	*ret_number = 4017000;
	return "Xen, by libxenlight 4.17";
}

static int xl_check(struct vmm *v, const struct guest_def *def, char *text, size_t room)
{
	char *json = NULL;
	size_t len;
	int r;

	(void)v;
	if (def->type != DEF_XEN) {
		snprintf(text, room, "<domain type='%s'> is none that Xen can run",
			 def_type_name(def->type));
		return -EOPNOTSUPP;
	}
	r = xl_config_print(def, &json, &len, text, room);
	free(json);
	if (r < 0)
		snprintf(text, room, "%s", strerror(-r));
	return r > 0 ? -EOPNOTSUPP : r;
}

static int config_write(struct vmm_guest *g)
{
	char *json = NULL, text[VMM_ERROR_MAX] = "";
	size_t len;
	int r = xl_config_print(g->def, &json, &len, text, sizeof(text));

	if (r > 0) {
		vmm_guest_set_why(g, -EOPNOTSUPP, "%s", text);
		return -EOPNOTSUPP;
	}
	if (r == 0)
		r = vmm_guest_write_file(g, XL_CONFIG_FILE, json, len);
	free(json);
	return r;
}

/* argv: borrowed strings. */
static void arg(char **argv, size_t *n, const char *name, const char *value)
{
	argv[(*n)++] = (char *)(uintptr_t)name;
	if (value)
		argv[(*n)++] = (char *)(uintptr_t)value;
	argv[*n] = NULL;
}

static int spawn(struct vmm_guest *g, const char *flag, const char *other)
{
	const char *program = vmm_options(g->v)->program;
	char uuid[DEF_UUID_TEXT], epoch[24], *argv[XL_ARGS_MAX];
	size_t n = 0;
	int listener, r;

	if (!program)
		program = DROVER_LIBEXECDIR "/drover-xlguest";
	unlinkat(g->dir_fd, AGENT_CTL_FILE, 0); /* a former process's */
	listener = vmm_guest_listen(g, AGENT_CTL_FILE, SOCK_SEQPACKET);
	if (listener < 0)
		return listener;
	def_uuid_print(g->uuid, uuid);
	snprintf(epoch, sizeof(epoch), "%" PRIu64, g->epoch);
	arg(argv, &n, "drover-xlguest", NULL);
	arg(argv, &n, "--name", g->name);
	arg(argv, &n, "--uuid", uuid);
	arg(argv, &n, "--epoch", epoch);
	if (flag)
		arg(argv, &n, flag, NULL);
	if (other)
		arg(argv, &n, other, NULL);
	r = vmm_spawn(g, program, argv, &listener, 1);
	close(listener);
	priv_of(g)->started_ms = vmm_now_ms();
	return r;
}

static int xl_start(struct vmm_guest *g, unsigned int flags, struct vmm_call *call)
{
	int r;

	agent_init(g);
	vmm_timer_init(&priv_of(g)->again);
	r = config_write(g);
	r = r ? r
	      : spawn(g, flags & VMM_START_INCOMING ? "--incoming" : NULL,
		      flags & VMM_START_PAUSED ? "--paused" : NULL);
	if (r == 0)
		agent_start(g, call);
	return r;
}

static int xl_find(struct vmm_guest *g)
{
	vmm_timer_init(&priv_of(g)->again);
	return agent_find(g);
}

/* ---- the end of a process ---- */

static bool end_read(struct vmm_guest *g, char *how, size_t room)
{
	return vmm_guest_read_file(g, AGENT_END_FILE, how, room) > 0;
}

static void again_due(struct vmm_timer *t)
{
	struct xl_guest *x = CONTAINER_OF(t, struct xl_guest, again);
	struct vmm_guest *g = x->agent.g;
	int r = spawn(g, "--again", NULL);

	if (r == 0) {
		log_notice("guest %s: process %d goes on with its domain", g->name, (int)g->pid);
		return;
	}
	vmm_guest_clear_why(g);
	x->again_ms = XL_AGAIN_MAX_MS;
	vmm_timer_set(g->v, t, x->again_ms, again_due);
}

static bool xl_outlives(struct vmm_guest *g, int status)
{
	struct xl_guest *x = priv_of(g);
	uint64_t now = vmm_now_ms();
	char how[AGENT_TEXT_MAX + 32];

	(void)status;
	if (end_read(g, how, sizeof(how)))
		return false;
	if (!x->again_ms || now - x->started_ms > XL_AGAIN_FORGET_MS)
		x->again_ms = XL_AGAIN_MS;
	else if (x->again_ms < XL_AGAIN_MAX_MS)
		x->again_ms *= 2;
	log_warning("guest %s: its process ended, its domain did not", g->name);
	agent_lost(g);
	vmm_timer_set(g->v, &x->again, x->again_ms, again_due);
	return true;
}

static int xl_revive(struct vmm_guest *g)
{
	char how[AGENT_TEXT_MAX + 32];

	if (end_read(g, how, sizeof(how)))
		return -ENOENT;
	return spawn(g, "--again", NULL);
}

/* "shutdown", or "failed" and why on the next line. */
static enum vmm_reason xl_died(struct vmm_guest *g, int status)
{
	char how[AGENT_TEXT_MAX + 32], *why;

	(void)status;
	if (!end_read(g, how, sizeof(how))) {
		vmm_guest_set_why(g, -ENOTCONN, "the guest's process has ended");
		return VMM_CRASHED;
	}
	why = strchr(how, '\n');
	if (why)
		*why++ = '\0';
	if (!strcmp(how, "shutdown"))
		return VMM_SHUTDOWN;
	if (!strcmp(how, "destroyed"))
		return VMM_BY_USER;
	vmm_guest_set_why(g, -EIO, "%s", why && *why ? why : "the guest crashed");
	return VMM_CRASHED;
}

static void xl_release(struct vmm_guest *g)
{
	if (priv_of(g)->agent.g)
		vmm_timer_stop(&priv_of(g)->again);
	agent_release(g);
}

const struct vmm_backend *xl_backend(void)
{
	static const struct vmm_backend backend = {
		.name = "xl",
		.can = VMM_CAN_LIVE | VMM_CAN_BANDWIDTH | VMM_CAN_CANCEL | VMM_CAN_REBOOT |
		       VMM_OWNS_STORE,
		.guest_size = sizeof(struct xl_guest),
		.quit_ms = XL_QUIT_MS,
		.version = xl_version,
		.check = xl_check,
		.start = xl_start,
		.find = xl_find,
		.outlives = xl_outlives,
		.revive = xl_revive,
		.died = xl_died,
		.release = xl_release,
		.pause = agent_pause,
		.resume = agent_resume,
		.shutdown = agent_shutdown,
		.reboot = agent_reboot,
		.quit = agent_quit,
		.send = agent_send,
		.send_cancel = agent_send_cancel,
		.send_tune = agent_send_tune,
		.receive = agent_receive,
		.cpu_ns = agent_cpu_ns,
	};

	return &backend;
}
