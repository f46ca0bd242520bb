/* SPDX-License-Identifier: MIT */
/*
 * The daemon's end of a guest whose process is a program of ours: whatever backend it is of, it is
 * greeted, asked and listened to in the same way.
 *
 * Invariant: what a guest is told to be comes from its process alone, by its messages or by the
 * status with which it answers a greeting; after the connection was lost it is greeted again.
 */
#include "vmm/agent.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define AGENT_FIND_MS 2000	  /* so long a guest found again may take to answer */
#define AGENT_GREET_AGAIN_MS 200u /* after its connection was lost */
#define AGENT_LOOK_MS 200u	  /* between two questions for its processor time */

static struct agent_guest *priv_of(const struct vmm_guest *g)
{
	return g->priv;
}

/* Those that were asked over a connection before this one. */
static void calls_end(struct agent_guest *s, int err, const char *why)
{
	for (size_t i = 0; i < AGENT_CALLS_MAX; i++) {
		struct agent_call *c = &s->calls[i];

		if (!c->id || c->waits || (int32_t)(c->id - s->greeted_id) > 0)
			continue;
		c->id = 0;
		vmm_call_end(TAKE(c->call), err, why);
	}
}

static void disconnect(struct agent_guest *s)
{
	vmm_io_remove(&s->io);
	if (s->ctl >= 0)
		close(s->ctl);
	s->ctl = -1;
}

static void ctl_ready(struct vmm_io *io, uint32_t epoll_events);
static void greet_again(struct vmm_timer *t);

static int send_msg(struct agent_guest *s, struct agent_msg *msg, int fd)
{
	msg->version = AGENT_PROTO_VERSION;
	return s->ctl < 0 ? -EAGAIN : agent_msg_send(s->ctl, msg, fd);
}

/* Connects and greets. < 0: it cannot be reached just now. */
static int greet(struct agent_guest *s)
{
	struct agent_msg hello = { .type = AGENT_HELLO };
	int r;

	s->ctl = vmm_guest_connect(s->g, AGENT_CTL_FILE, SOCK_SEQPACKET);
	if (s->ctl < 0)
		return s->ctl;
	s->greeted_id = s->last_id;
	r = vmm_io_add(s->g->v, &s->io, s->ctl, EPOLLIN, ctl_ready);
	if (r == 0)
		r = send_msg(s, &hello, -1);
	if (r < 0)
		disconnect(s);
	return r;
}

/* Either the process has ended, and the front ends all calls, or it will answer a greeting. */
static void connection_lost(struct agent_guest *s)
{
	disconnect(s);
	vmm_timer_set(s->g->v, &s->greet, AGENT_GREET_AGAIN_MS, greet_again);
}

static void greet_again(struct vmm_timer *t)
{
	struct agent_guest *s = CONTAINER_OF(t, struct agent_guest, greet);

	if (greet(s) < 0)
		vmm_timer_set(s->g->v, &s->greet, AGENT_GREET_AGAIN_MS, greet_again);
}

static enum vmm_state state_of(const struct agent_status *st)
{
	static const enum vmm_state states[AGENT_STATES] = {
		[AGENT_STARTING] = VMM_STARTING,
		[AGENT_INCOMING] = VMM_INCOMING,
		[AGENT_PAUSED] = VMM_PAUSED,
		[AGENT_RUNNING] = VMM_RUNNING,
	};

	return states[st->state];
}

static enum vmm_reason reason_of(const struct agent_status *st)
{
	return st->reason < VMM_REASONS ? (enum vmm_reason)st->reason : VMM_FOUND;
}

/* Its process has lost what it knew of the guest, and leaves it as it is until it is destroyed. */
static bool is_unknown(const struct agent_status *st)
{
	return st->state == AGENT_PAUSED && st->reason == VMM_CRASHED;
}

/* Once to each daemon, however many processes find it so. */
static void log_unknown(const struct vmm_guest *g, const struct agent_msg *msg)
{
	if (is_unknown(&msg->status) && g->reason != VMM_CRASHED)
		log_error("guest %s: %s: %s", g->name, g->dir, msg->text);
}

/* What a former daemon left: taken as it is, before anybody was told of the guest. */
static void status_take(struct vmm_guest *g, const struct agent_status *st)
{
	g->state = state_of(st);
	if (is_unknown(st))
		g->reason = VMM_CRASHED;
	g->domid = st->domid;
	g->unaware = st->unaware;
	g->received = st->received;
	g->receiving = st->receiving;
	g->sending = st->sending;
	g->stopped = st->stopped;
}

static const char *why_of(const struct agent_msg *msg, int err)
{
	return !err ? "" : *msg->text ? msg->text : strerror(-err);
}

static void start_end(struct agent_guest *s, const struct agent_status *st)
{
	if (st->state != AGENT_STARTING)
		vmm_call_end(TAKE(s->start), 0, NULL);
}

/* What was asked while there was no connection. */
static void calls_send(struct agent_guest *s)
{
	for (size_t i = 0; i < AGENT_CALLS_MAX; i++) {
		struct agent_call *c = &s->calls[i];
		struct agent_msg msg = { .type = c->what.type,
					 .id = c->id,
					 .epoch = c->what.epoch };
		int r;

		if (!c->id || !c->waits)
			continue;
		c->waits = false;
		r = send_msg(s, &msg, -1);
		if (r < 0) {
			c->id = 0;
			vmm_call_end(TAKE(c->call), r, strerror(-r));
		}
	}
}

/* The answer to a greeting, of a guest that has been told of: the differences are news. */
static void status_compare(struct agent_guest *s, const struct agent_msg *msg)
{
	const struct agent_status *st = &msg->status;
	struct vmm_guest *g = s->g;

	/* what was asked over a connection that was lost may or may not have been done */
	calls_end(s, -ECONNRESET, "the connection to the guest's process was lost");
	if (st->stopped)
		vmm_guest_stopped(g);
	log_unknown(g, msg);
	vmm_guest_enter(g, state_of(st), reason_of(st));
	if (g->sending && !st->sending)
		vmm_guest_sent(g, st->send_err, why_of(msg, st->send_err));
	if (g->receiving && !st->receiving)
		vmm_guest_receive_ended(g, st->receive_err, why_of(msg, st->receive_err));
	start_end(s, st);
	/* the process that was asked before is not there any more */
	if (g->destroying)
		agent_quit(g);
	calls_send(s);
}

static void call_done(struct agent_guest *s, const struct agent_msg *msg)
{
	for (size_t i = 0; i < AGENT_CALLS_MAX; i++) {
		struct agent_call *c = &s->calls[i];

		if (!c->id || c->id != msg->id)
			continue;
		c->id = 0;
		vmm_call_end(TAKE(c->call), msg->err, msg->text);
		return;
	}
}

static void tell_progress(struct vmm_guest *g, const struct agent_progress *from)
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

static void msg_take(struct agent_guest *s, const struct agent_msg *msg)
{
	struct vmm_guest *g = s->g;

	g->domid = msg->status.domid;
	s->cpu_ns = msg->status.cpu_ns;
	g->unaware = msg->status.unaware;
	switch (msg->type) {
	case AGENT_DONE:
		call_done(s, msg);
		return;
	case AGENT_IS:
		status_compare(s, msg);
		return;
	case AGENT_CHANGED:
		vmm_guest_enter(g, state_of(&msg->status), reason_of(&msg->status));
		start_end(s, &msg->status);
		return;
	case AGENT_PROGRESS:
		tell_progress(g, &msg->progress);
		return;
	case AGENT_STOPPED:
		vmm_guest_stopped(g);
		return;
	case AGENT_SENT:
		vmm_guest_sent(g, msg->err, msg->text);
		return;
	case AGENT_RECEIVED:
		vmm_guest_receive_ended(g, msg->err, msg->text);
		return;
	case AGENT_ITERATION:
		vmm_guest_iteration(g, msg->status.iteration);
		return;
	default:
		return;
	}
}

/* One message for a round: a guest that talks much keeps nobody waiting. */
static void ctl_ready(struct vmm_io *io, uint32_t epoll_events)
{
	struct agent_guest *s = CONTAINER_OF(io, struct agent_guest, io);
	struct agent_msg msg;
	int fd = -1, r = agent_msg_receive(s->ctl, &msg, &fd);

	(void)epoll_events;
	if (fd >= 0)
		close(fd);
	if (r == -EAGAIN)
		return;
	if (r == 0 && msg.status.state >= AGENT_STATES)
		r = -EPROTO;
	if (r == -EPROTO)
		log_error("guest %s: its process says what is not understood", s->g->name);
	if (r < 0)
		connection_lost(s);
	else
		msg_take(s, &msg);
}

void agent_lost(struct vmm_guest *g)
{
	struct agent_guest *s = priv_of(g);
	struct pollfd p = { .fd = s->ctl, .events = POLLIN };

	for (unsigned int n = 0; n < AGENT_PENDING_MAX && s->ctl >= 0 && poll(&p, 1, 0) > 0; n++)
		ctl_ready(&s->io, 0);
	if (s->ctl >= 0)
		connection_lost(s);
}

void agent_init(struct vmm_guest *g)
{
	struct agent_guest *s = priv_of(g);

	s->g = g;
	s->ctl = s->io.fd = -1;
	vmm_timer_init(&s->greet);
}

void agent_start(struct vmm_guest *g, struct vmm_call *call)
{
	struct agent_guest *s = priv_of(g);

	s->start = call;
	/* the socket has been listening since before the process was there */
	if (greet(s) < 0)
		vmm_timer_set(g->v, &s->greet, AGENT_GREET_AGAIN_MS, greet_again);
}

int agent_find(struct vmm_guest *g)
{
	struct agent_guest *s = priv_of(g);
	uint64_t until = vmm_now_ms() + AGENT_FIND_MS;
	struct agent_msg msg = { 0 };
	struct pollfd p;
	int fd = -1, r;

	agent_init(g);
	r = greet(s);
	while (r == 0 && vmm_now_ms() < until) {
		p = (struct pollfd){ .fd = s->ctl, .events = POLLIN };
		poll(&p, 1, (int)(until - vmm_now_ms()));
		r = agent_msg_receive(s->ctl, &msg, &fd);
		if (fd >= 0)
			close(fd);
		if (r == 0 && msg.type == AGENT_IS && msg.status.state < AGENT_STATES) {
			log_unknown(g, &msg);
			status_take(g, &msg.status);
			return 0;
		}
		r = r == -EAGAIN ? 0 : r;
	}
	log_warning("guest %s: its process does not answer yet", g->name);
	connection_lost(s);
	return 0;
}

void agent_release(struct vmm_guest *g)
{
	struct agent_guest *s = priv_of(g);

	if (!s->g)
		return;
	disconnect(s);
	vmm_timer_stop(&s->greet);
	/* the calls themselves are the front's, who knows why the guest has ended */
	memset(s->calls, 0, sizeof(s->calls));
	s->start = NULL;
}

/* Sends a message that is answered. call may be NULL. */
static int ask(struct vmm_guest *g, struct agent_msg *msg, int fd, struct vmm_call *call)
{
	struct agent_guest *s = priv_of(g);
	int r;

	for (size_t i = 0; i < AGENT_CALLS_MAX; i++) {
		struct agent_call *c = &s->calls[i];

		if (c->id)
			continue;
		if (++s->last_id == 0)
			s->last_id = 1;
		msg->id = s->last_id;
		/* a process that another one takes the place of is asked once that is there */
		c->waits = s->ctl < 0 && call && fd < 0;
		c->what.type = (enum agent_msg_type)msg->type;
		c->what.epoch = msg->epoch;
		r = c->waits ? 0 : send_msg(s, msg, fd);
		if (r == 0) {
			c->id = msg->id;
			c->call = call;
		}
		return r;
	}
	return -EAGAIN;
}

static int ask_simply(struct vmm_guest *g, enum agent_msg_type type, struct vmm_call *call)
{
	struct agent_msg msg = { .type = type, .epoch = g->epoch };

	return ask(g, &msg, -1, call);
}

int agent_pause(struct vmm_guest *g, struct vmm_call *call)
{
	return ask_simply(g, AGENT_PAUSE, call);
}

int agent_resume(struct vmm_guest *g, struct vmm_call *call)
{
	return ask_simply(g, AGENT_RESUME, call);
}

int agent_shutdown(struct vmm_guest *g, struct vmm_call *call)
{
	return ask_simply(g, AGENT_SHUTDOWN, call);
}

int agent_reboot(struct vmm_guest *g, struct vmm_call *call)
{
	return ask_simply(g, AGENT_REBOOT, call);
}

void agent_quit(struct vmm_guest *g)
{
	ask_simply(g, AGENT_QUIT, NULL);
}

static void options_of(struct agent_msg *msg, const struct vmm_send_options *opt)
{
	msg->options.bandwidth_bps = opt->bandwidth_bps;
	msg->options.downtime_ms = opt->downtime_ms;
	msg->options.live = opt->live;
	msg->options.auto_converge = opt->auto_converge;
}

int agent_send(struct vmm_guest *g, int fd, const struct vmm_send_options *opt,
	       struct vmm_call *call)
{
	struct agent_msg msg = { .type = AGENT_SEND };
	int r;

	options_of(&msg, opt);
	r = ask(g, &msg, fd, call);
	close(fd);
	return r;
}

int agent_send_cancel(struct vmm_guest *g)
{
	return ask_simply(g, AGENT_CANCEL, NULL);
}

int agent_send_tune(struct vmm_guest *g, const struct vmm_send_options *opt)
{
	struct agent_msg msg = { .type = AGENT_TUNE };

	options_of(&msg, opt);
	return ask(g, &msg, -1, NULL);
}

int agent_receive(struct vmm_guest *g, int fd)
{
	struct agent_msg msg = { .type = AGENT_RECEIVE, .options.domid = g->domid_wish };
	int r = ask(g, &msg, fd, NULL);

	close(fd);
	return r;
}

/* What is known by now; whoever asks again is told what it is now. */
uint64_t agent_cpu_ns(struct vmm_guest *g)
{
	struct agent_guest *s = priv_of(g);
	uint64_t now = vmm_now_ms();

	if (s->g && s->ctl >= 0 && now - s->look_ms >= AGENT_LOOK_MS) {
		s->look_ms = now;
		ask_simply(g, AGENT_LOOK, NULL);
	}
	return s->cpu_ns;
}
