/* SPDX-License-Identifier: MIT */
/*
 * The simulated backend: guests that are processes whose memory ticks. Any host can run them, and
 * their logs prove where and when they ran.
 *
 * Invariant: what a guest is told to be comes from its process alone, by its messages or by the
 * status with which it answers a greeting; after the connection was lost it is greeted again.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "vmm/backend.h"
#include "vmm/sim/proto.h"

#define SIM_CALLS_MAX 32u	/* of one guest, not answered yet */
#define SIM_FIND_MS 2000	/* so long a guest found again may take to answer */
#define SIM_GREET_AGAIN_MS 200u /* after its connection was lost */
#define SIM_ARGS_MAX 24u

struct sim_call {
	uint32_t id; /* 0: free */
	struct vmm_call *call;
};

struct sim_guest {
	struct vmm_guest *g; /* borrowed */
	int ctl;	     /* -1: none */
	struct vmm_io io;
	struct vmm_timer greet; /* to be greeted again */
	uint32_t last_id;
	struct vmm_call *start; /* until its first status */
	struct sim_call calls[SIM_CALLS_MAX];
};

static struct sim_guest *priv_of(const struct vmm_guest *g)
{
	return g->priv;
}

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

static void calls_end(struct sim_guest *s, int err, const char *why)
{
	for (size_t i = 0; i < SIM_CALLS_MAX; i++) {
		struct sim_call *c = &s->calls[i];

		if (!c->id)
			continue;
		c->id = 0;
		vmm_call_end(TAKE(c->call), err, why);
	}
}

static void disconnect(struct sim_guest *s)
{
	vmm_io_remove(&s->io);
	if (s->ctl >= 0)
		close(s->ctl);
	s->ctl = -1;
}

static void ctl_ready(struct vmm_io *io, uint32_t epoll_events);
static void greet_again(struct vmm_timer *t);

static int send_msg(struct sim_guest *s, struct sim_msg *msg, int fd)
{
	msg->version = SIM_PROTO_VERSION;
	return s->ctl < 0 ? -EAGAIN : sim_msg_send(s->ctl, msg, fd);
}

/* Connects and greets. < 0: it cannot be reached just now. */
static int greet(struct sim_guest *s)
{
	struct sim_msg hello = { .type = SIM_HELLO };
	int r;

	s->ctl = vmm_guest_connect(s->g, SIM_CTL_FILE, SOCK_SEQPACKET);
	if (s->ctl < 0)
		return s->ctl;
	r = vmm_io_add(s->g->v, &s->io, s->ctl, EPOLLIN, ctl_ready);
	if (r == 0)
		r = send_msg(s, &hello, -1);
	if (r < 0)
		disconnect(s);
	return r;
}

/* Either the process has ended, and the front ends all calls, or it will answer a greeting. */
static void connection_lost(struct sim_guest *s)
{
	disconnect(s);
	vmm_timer_set(s->g->v, &s->greet, SIM_GREET_AGAIN_MS, greet_again);
}

static void greet_again(struct vmm_timer *t)
{
	struct sim_guest *s = CONTAINER_OF(t, struct sim_guest, greet);

	if (greet(s) < 0)
		vmm_timer_set(s->g->v, &s->greet, SIM_GREET_AGAIN_MS, greet_again);
}

static enum vmm_state state_of(const struct sim_status *st)
{
	static const enum vmm_state states[SIM_STATES] = {
		[SIM_INCOMING] = VMM_INCOMING,
		[SIM_PAUSED] = VMM_PAUSED,
		[SIM_RUNNING] = VMM_RUNNING,
	};

	return states[st->state];
}

static enum vmm_reason reason_of(const struct sim_status *st)
{
	return st->reason < VMM_REASONS ? (enum vmm_reason)st->reason : VMM_FOUND;
}

/* What a former daemon left: taken as it is, before anybody was told of the guest. */
static void status_take(struct vmm_guest *g, const struct sim_status *st)
{
	g->state = state_of(st);
	g->received = st->received;
	g->receiving = st->receiving;
	g->sending = st->sending;
	g->stopped = st->stopped;
}

/* The answer to a greeting, of a guest that has been told of: the differences are news. */
static void status_compare(struct sim_guest *s, const struct sim_msg *msg)
{
	const struct sim_status *st = &msg->status;
	struct vmm_guest *g = s->g;

	/* what was asked over a connection that was lost may or may not have been done */
	calls_end(s, -ECONNRESET, "the connection to the guest's process was lost");
	if (st->stopped)
		vmm_guest_stopped(g);
	vmm_guest_enter(g, state_of(st), reason_of(st));
	if (g->sending && !st->sending)
		vmm_guest_sent(g, st->send_err, st->send_err ? strerror(-st->send_err) : "");
	if (g->receiving && !st->receiving)
		vmm_guest_receive_ended(g, st->receive_err,
					st->receive_err ? strerror(-st->receive_err) : "");
	vmm_call_end(TAKE(s->start), 0, NULL);
}

static void call_done(struct sim_guest *s, const struct sim_msg *msg)
{
	for (size_t i = 0; i < SIM_CALLS_MAX; i++) {
		struct sim_call *c = &s->calls[i];

		if (!c->id || c->id != msg->id)
			continue;
		c->id = 0;
		vmm_call_end(TAKE(c->call), msg->err, msg->text);
		return;
	}
}

static void tell_progress(struct vmm_guest *g, const struct sim_progress *from)
{
	const struct vmm_progress p = {
		.memory_total = from->memory_total,
		.memory_remaining = from->memory_remaining,
		.memory_processed = from->memory_processed,
		.pages_constant = from->pages_constant,
		.pages_normal = from->pages_normal,
		.rate_bps = from->rate_bps,
		.dirty_rate_pages = from->dirty_rate_pages,
		.page_size = 4096,
		.iteration = from->iteration,
		.elapsed_ms = from->elapsed_ms,
		.setup_ms = from->setup_ms,
		.downtime_ms = from->downtime_ms,
		.throttle_percent = from->throttle_percent,
	};

	vmm_guest_progress(g, &p);
}

static void msg_take(struct sim_guest *s, const struct sim_msg *msg)
{
	struct vmm_guest *g = s->g;

	switch (msg->type) {
	case SIM_DONE:
		call_done(s, msg);
		return;
	case SIM_IS:
		status_compare(s, msg);
		return;
	case SIM_CHANGED:
		vmm_guest_enter(g, state_of(&msg->status), reason_of(&msg->status));
		return;
	case SIM_PROGRESS:
		tell_progress(g, &msg->progress);
		return;
	case SIM_STOPPED:
		vmm_guest_stopped(g);
		return;
	case SIM_SENT:
		vmm_guest_sent(g, msg->err, msg->text);
		return;
	case SIM_RECEIVED:
		vmm_guest_receive_ended(g, msg->err, msg->text);
		return;
	case SIM_ITERATION:
		vmm_guest_iteration(g, msg->status.iteration);
		return;
	default:
		return;
	}
}

/* One message for a round: a guest that talks much keeps nobody waiting. */
static void ctl_ready(struct vmm_io *io, uint32_t epoll_events)
{
	struct sim_guest *s = CONTAINER_OF(io, struct sim_guest, io);
	struct sim_msg msg;
	int fd = -1, r = sim_msg_receive(s->ctl, &msg, &fd);

	(void)epoll_events;
	if (fd >= 0)
		close(fd);
	if (r == -EAGAIN)
		return;
	if (r == 0 && msg.status.state >= SIM_STATES)
		r = -EPROTO;
	if (r == -EPROTO)
		log_error("guest %s: its process says what is not understood", s->g->name);
	if (r < 0)
		connection_lost(s);
	else
		msg_take(s, &msg);
}

static void priv_init(struct vmm_guest *g)
{
	struct sim_guest *s = priv_of(g);

	s->g = g;
	s->ctl = s->io.fd = -1;
	vmm_timer_init(&s->greet);
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
	r = vmm_spawn(g, program, argv, &listener, 1);
	free(log);
	return r;
}

static int sim_start(struct vmm_guest *g, unsigned int flags, struct vmm_call *call)
{
	struct sim_guest *s = priv_of(g);
	int listener, r;

	priv_init(g);
	listener = vmm_guest_listen(g, SIM_CTL_FILE, SOCK_SEQPACKET);
	if (listener < 0)
		return listener;
	r = spawn(g, flags, listener);
	close(listener);
	if (r < 0)
		return r;
	s->start = call;
	/* the socket has been listening since before the process was there */
	if (greet(s) < 0)
		vmm_timer_set(g->v, &s->greet, SIM_GREET_AGAIN_MS, greet_again);
	return 0;
}

static int sim_find(struct vmm_guest *g)
{
	struct sim_guest *s = priv_of(g);
	uint64_t until = vmm_now_ms() + SIM_FIND_MS;
	struct sim_msg msg = { 0 };
	struct pollfd p;
	int fd = -1, r;

	priv_init(g);
	r = greet(s);
	while (r == 0 && vmm_now_ms() < until) {
		p = (struct pollfd){ .fd = s->ctl, .events = POLLIN };
		poll(&p, 1, (int)(until - vmm_now_ms()));
		r = sim_msg_receive(s->ctl, &msg, &fd);
		if (fd >= 0)
			close(fd);
		if (r == 0 && msg.type == SIM_IS && msg.status.state < SIM_STATES) {
			status_take(g, &msg.status);
			return 0;
		}
		r = r == -EAGAIN ? 0 : r;
	}
	log_warning("guest %s: its process does not answer yet", g->name);
	connection_lost(s);
	return 0;
}

/* What it wrote down itself, or how it was waited for. */
static enum vmm_reason sim_died(struct vmm_guest *g, int status)
{
	char how[32];

	if (vmm_guest_read_file(g, SIM_END_FILE, how, sizeof(how)) > 0) {
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

static void sim_release(struct vmm_guest *g)
{
	struct sim_guest *s = priv_of(g);

	if (!s->g)
		return;
	disconnect(s);
	vmm_timer_stop(&s->greet);
	/* the calls themselves are the front's, who knows why the guest has ended */
	memset(s->calls, 0, sizeof(s->calls));
	s->start = NULL;
}

/* Sends a message that is answered. call may be NULL. */
static int ask(struct vmm_guest *g, struct sim_msg *msg, int fd, struct vmm_call *call)
{
	struct sim_guest *s = priv_of(g);
	int r;

	for (size_t i = 0; i < SIM_CALLS_MAX; i++) {
		struct sim_call *c = &s->calls[i];

		if (c->id)
			continue;
		if (++s->last_id == 0)
			s->last_id = 1;
		msg->id = s->last_id;
		r = send_msg(s, msg, fd);
		if (r == 0) {
			c->id = msg->id;
			c->call = call;
		}
		return r;
	}
	return -EAGAIN;
}

static int sim_ask(struct vmm_guest *g, enum sim_msg_type type, struct vmm_call *call)
{
	struct sim_msg msg = { .type = type, .epoch = g->epoch };

	return ask(g, &msg, -1, call);
}

static int sim_pause(struct vmm_guest *g, struct vmm_call *call)
{
	return sim_ask(g, SIM_PAUSE, call);
}

static int sim_resume(struct vmm_guest *g, struct vmm_call *call)
{
	return sim_ask(g, SIM_RESUME, call);
}

static int sim_shutdown(struct vmm_guest *g, struct vmm_call *call)
{
	return sim_ask(g, SIM_SHUTDOWN, call);
}

static int sim_reboot(struct vmm_guest *g, struct vmm_call *call)
{
	return sim_ask(g, SIM_REBOOT, call);
}

static void sim_quit(struct vmm_guest *g)
{
	sim_ask(g, SIM_QUIT, NULL);
}

static void options_of(struct sim_msg *msg, const struct vmm_send_options *opt)
{
	msg->options.bandwidth_bps = opt->bandwidth_bps;
	msg->options.downtime_ms = opt->downtime_ms;
	msg->options.live = opt->live;
	msg->options.auto_converge = opt->auto_converge;
}

static int sim_send(struct vmm_guest *g, int fd, const struct vmm_send_options *opt,
		    struct vmm_call *call)
{
	struct sim_msg msg = { .type = SIM_SEND };
	int r;

	options_of(&msg, opt);
	r = ask(g, &msg, fd, call);
	close(fd);
	return r;
}

static int sim_send_cancel(struct vmm_guest *g)
{
	return sim_ask(g, SIM_CANCEL, NULL);
}

static int sim_send_tune(struct vmm_guest *g, const struct vmm_send_options *opt)
{
	struct sim_msg msg = { .type = SIM_TUNE };

	options_of(&msg, opt);
	return ask(g, &msg, -1, NULL);
}

static int sim_receive(struct vmm_guest *g, int fd)
{
	struct sim_msg msg = { .type = SIM_RECEIVE };
	int r = ask(g, &msg, fd, NULL);

	close(fd);
	return r;
}

const struct vmm_backend *sim_backend(void)
{
	static const struct vmm_backend backend = {
		.name = "sim",
		.can = VMM_CAN_LIVE | VMM_CAN_AUTO_CONVERGE | VMM_CAN_BANDWIDTH | VMM_CAN_DOWNTIME |
		       VMM_CAN_CANCEL | VMM_CAN_REBOOT,
		.guest_size = sizeof(struct sim_guest),
		.version = sim_version,
		.check = sim_check,
		.start = sim_start,
		.find = sim_find,
		.died = sim_died,
		.release = sim_release,
		.pause = sim_pause,
		.resume = sim_resume,
		.shutdown = sim_shutdown,
		.reboot = sim_reboot,
		.quit = sim_quit,
		.send = sim_send,
		.send_cancel = sim_send_cancel,
		.send_tune = sim_send_tune,
		.receive = sim_receive,
	};

	return &backend;
}
