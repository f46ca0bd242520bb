/* SPDX-License-Identifier: MIT */
/*
 * The keeper's loop. Invariant: nothing in it waits but poll; what a worker must be told and does
 * not fit yet is derived from the table of clients (child.told), so there is no queue.
 */
#include "keeper/keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "keeper/adopt.h"
#include "keeper/fdstore.h"
#include "keeper/files.h"
#include "keeper/inside.h"
#include "keeper/netns.h"

#define ACCEPT_PER_ROUND 64u
#define SPARE_FDS 36u /* what a process has open besides clients, at most */
#define MESSAGES_PER_ROUND 64u
#define ACCEPT_RETRY_MS 100u
#define RESTART_FIRST_MS 10u
#define RESTART_MAX_MS 1000u
#define END_WAIT_MS 10000u

uint64_t keeper_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void keeper_end(struct keeper *k, int result)
{
	k->result = result;
	k->done = true;
}

void keeper_send(struct child *c, enum proto_type type)
{
	struct proto_msg m;
	int r;

	proto_init(&m, type, 0, NULL);
	r = proto_send(c->link, &m, false);
	/* a link that has no room for a word, or no reader, is a worker's that does not go on */
	if (r == -EAGAIN)
		kill(c->pid, SIGKILL);
}

/* A worker that was told to stop must not learn of clients: it would make them part of its state.
 */
static bool is_stopped(const struct keeper *k)
{
	return k->update.phase == UPDATE_STOPPING || k->update.phase == UPDATE_CATCH_UP ||
	       k->update.phase == UPDATE_IMAGE;
}

void keeper_feed(struct keeper *k, struct child *c)
{
	struct proto_msg m;

	if (is_stopped(k))
		return;
	while (clients_next(&k->clients, c->told)) {
		uint64_t last = clients_tell(&k->clients, c->told, &m);

		if (proto_send(c->link, &m, false))
			return;
		c->told = last;
	}
	if (c->serve_sent)
		return;
	m = k->verdict;
	m.type = PROTO_SERVE;
	if (!proto_send(c->link, &m, false))
		c->serve_sent = true;
}

/* Whether there is something that did not fit. */
static bool is_hungry(const struct keeper *k, const struct child *c)
{
	return !is_stopped(k) && (!c->serve_sent || clients_next(&k->clients, c->told));
}

static void start_worker(struct keeper *k)
{
	int r = child_fork(k);

	if (r) {
		log_error("cannot start a worker: %s", strerror(-r));
		k->restart_at_ms = keeper_now_ms() + RESTART_MAX_MS;
		return;
	}
	keeper_feed(k, &k->worker);
}

/* A client, or -1 with errno. The worker must have a descriptor for it, too. */
static int accept_one(struct keeper *k)
{
	struct rlimit rl;

	if (!getrlimit(RLIMIT_NOFILE, &rl) &&
	    k->clients.n - k->clients.closed + SPARE_FDS >= rl.rlim_cur) {
		errno = EMFILE;
		return -1;
	}
	return accept4(k->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void accept_clients(struct keeper *k)
{
	uint64_t number = clients_last(&k->clients);
	int fd;

	for (unsigned int i = 0; i < ACCEPT_PER_ROUND; i++) {
		fd = accept_one(k);
		if (fd < 0) {
			if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
				break;
			/* they wait in the backlog instead of spinning the loop */
			if (!k->out_of_fds)
				log_error("connections wait: accept: %s", strerror(errno));
			k->out_of_fds = true;
			k->accept_at_ms = keeper_now_ms() + ACCEPT_RETRY_MS;
			break;
		}
		k->out_of_fds = false;
		if (clients_add(&k->clients, ++number, fd))
			break;
		fdstore_put_client(number, fd);
	}
	if (k->worker.pid && k->worker.serve_sent)
		keeper_feed(k, &k->worker);
}

static void on_serving(struct keeper *k)
{
	k->worker.serving = true;
	k->quick = 0;
	adopt_done(k);
	update_on_serving(k);
	if (k->was_ready)
		return;
	k->was_ready = true;
	k->o->ready(k->o->data);
}

static void on_worker_message(struct keeper *k, const struct proto_msg *m)
{
	switch (m->type) {
	case PROTO_SERVING:
		on_serving(k);
		break;
	case PROTO_CLOSED:
		for (uint32_t i = 0; i < m->n_ids; i++) {
			clients_close(&k->clients, m->id[i]);
			fdstore_remove_client(m->id[i]);
		}
		break;
	case PROTO_LOG:
		log_write(m->value > LOG_LEVEL_INFO ? LOG_LEVEL_INFO : m->value, "%s", m->text);
		break;
	case PROTO_UPDATE:
		update_begin(k, m);
		break;
	case PROTO_ABORT:
		update_abort(k);
		break;
	case PROTO_STOPPED:
		update_on_stopped(k);
		break;
	case PROTO_CALMED:
		adopt_calmed(k);
		break;
	case PROTO_FAILED:
		update_fail(k, "%s", m->text);
		break;
	default:
		log_error("worker %d: message %u is not known", (int)k->worker.pid, m->type);
	}
}

/* What a child has said, at most so much of it. */
static void read_link(struct keeper *k, bool is_candidate)
{
	struct child *c = is_candidate ? &k->update.candidate : &k->worker;
	pid_t pid = c->pid;
	struct proto_msg m;
	int r = 0;

	/* what is said may end the child, or make another of it */
	for (unsigned int i = 0; i < MESSAGES_PER_ROUND && c->pid == pid && !r; i++) {
		r = proto_recv(c->link, &m, false);
		if (r)
			break;
		while (m.n_fds)
			close(m.fd[--m.n_fds]);
		if (is_candidate)
			update_on_candidate(k, &m);
		else
			on_worker_message(k, &m);
	}
	if (!r || r == -EAGAIN || c->pid != pid)
		return;
	if (r != -EPIPE)
		log_error("process %d does not keep to the protocol", (int)pid);
	kill(pid, SIGKILL); /* who does not listen any more is dead, or as good as */
}

static void read_call(struct child *c)
{
	struct proto_msg m;
	int fd, r;

	r = proto_recv(c->call, &m, false);
	if (r && r != -EAGAIN)
		kill(c->pid, SIGKILL); /* or what is left of this end would be ready for ever */
	if (r)
		return;
	while (m.n_fds)
		close(m.fd[--m.n_fds]);
	if (m.type != PROTO_OPEN)
		return;
	fd = files_open_for_worker(m.value, m.text);
	proto_init(&m, PROTO_FILE, fd < 0 ? (uint32_t)-fd : 0, NULL);
	if (fd >= 0)
		m.fd[m.n_fds++] = fd;
	proto_send(c->call, &m, false); /* one question at a time: there is room */
	if (fd >= 0)
		close(fd);
}

static void tell_death(struct keeper *k, int status)
{
	const char *how = WIFSIGNALED(status) ? "signal" : "exit status";
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);

	log_error("worker %d ended by %s %d%s%s (death %llu)", (int)k->worker.pid, how, number,
		  WIFSIGNALED(status) ? ": " : "", WIFSIGNALED(status) ? strsignal(number) : "",
		  (unsigned long long)k->seat.deaths);
}

/* Whether a worker that ended so shall have a successor. */
static bool shall_go_on(struct keeper *k, int status)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	bool asked = WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;

	if (k->ending) {
		keeper_end(k, code == 0 || asked ? 0 : -EIO);
		return false;
	}
	k->seat.deaths++;
	tell_death(k, status);
	if (k->update.phase == UPDATE_SWITCH)
		return true; /* another may do better */
	if (code == SEAT_STATUS_LOST)
		log_error("what %s/journal holds cannot be recovered: the daemon ends; "
			  "--discard-state starts empty",
			  k->o->rundir);
	/* what another daemon left is there still: a second worker reads it again */
	if (!k->was_ready && k->seat.image >= 0 && code < 0 && k->quick < ADOPT_TRIES)
		return true;
	if (!k->was_ready || code == SEAT_STATUS_LOST || k->o->no_journal) {
		keeper_end(k, k->was_ready ? -EIO : -ECHILD);
		return false;
	}
	return true;
}

static void on_worker_end(struct keeper *k)
{
	bool served = k->worker.serving;
	int status = 0;
	pid_t pid = waitpid(k->worker.pid, &status, WNOHANG);

	/*
	 * It may have ended while this process was another program: a script's interpreter reaps
	 * whatever it finds.
	 */
	if (pid < 0 && errno == ECHILD)
		status = SIGKILL;
	else if (pid != k->worker.pid)
		return;
	if (shall_go_on(k, status)) {
		uint64_t pause = 0;

		if (!served && ++k->quick > 1)
			pause = k->quick < 8 ? RESTART_FIRST_MS << (k->quick - 2) : RESTART_MAX_MS;
		k->restart_at_ms =
			keeper_now_ms() + (pause < RESTART_MAX_MS ? pause : RESTART_MAX_MS);
	}
	child_forget(&k->worker);
	if (!k->done)
		update_on_worker_end(k);
}

static void on_signals(struct keeper *k)
{
	struct signalfd_siginfo si;

	while (read(k->signals, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD) {
			k->child_ended = true;
			continue;
		}
		if (si.ssi_signo == SIGHUP) {
			if (k->worker.pid)
				kill(k->worker.pid, SIGHUP);
			continue;
		}
		if (k->ending)
			continue;
		log_notice("ends on signal %u", si.ssi_signo);
		if (k->update.phase != UPDATE_NONE && k->update.phase != UPDATE_SWITCH)
			update_fail(k, "the daemon ends");
		k->ending = true;
		k->end_at_ms = keeper_now_ms() + END_WAIT_MS;
		if (k->worker.pid)
			kill(k->worker.pid, SIGTERM);
		else
			keeper_end(k, 0);
	}
}

/* What the poll looks at, in the order in which it is acted upon. */
enum seen {
	SEEN_SIGNALS,
	SEEN_WORKER_CALL,
	SEEN_WORKER_LINK,
	SEEN_CANDIDATE_CALL,
	SEEN_CANDIDATE_LINK,
	SEEN_PROBE_OUT,
	SEEN_LISTEN,
	SEEN_COUNT,
};

static void look(const struct keeper *k, struct pollfd p[SEEN_COUNT])
{
	const struct child *w = &k->worker, *c = &k->update.candidate;
	int listen = k->accept_at_ms || k->ending ? -1 : k->listen;

	p[SEEN_SIGNALS] = (struct pollfd){ k->signals, POLLIN, 0 };
	p[SEEN_WORKER_CALL] = (struct pollfd){ w->call, POLLIN, 0 };
	p[SEEN_WORKER_LINK] = (struct pollfd){ w->link, POLLIN, 0 };
	if (w->pid && is_hungry(k, w))
		p[SEEN_WORKER_LINK].events |= POLLOUT;
	p[SEEN_CANDIDATE_CALL] = (struct pollfd){ c->call, POLLIN, 0 };
	p[SEEN_CANDIDATE_LINK] = (struct pollfd){ c->link, POLLIN, 0 };
	p[SEEN_PROBE_OUT] = (struct pollfd){ k->update.probe_out, POLLIN, 0 };
	p[SEEN_LISTEN] = (struct pollfd){ listen, POLLIN, 0 };
	/* a dead child's ends are ready for ever: its end is what counts then */
	for (unsigned int i = 0; i < SEEN_COUNT; i++)
		if (p[i].fd < 0)
			p[i].events = 0;
}

/* For how long there is nothing to do by the clock; -1: for ever. */
static int patience_ms(const struct keeper *k)
{
	uint64_t now = keeper_now_ms(), at = UINT64_MAX;
	const uint64_t due[] = {
		k->worker.pid ? 0 : k->restart_at_ms,
		k->accept_at_ms,
		k->ending ? k->end_at_ms : 0,
		k->update.phase == UPDATE_NONE ? 0 : k->update.deadline_ms,
	};

	for (size_t i = 0; i < ARRAY_LEN(due); i++)
		if (due[i] && due[i] < at)
			at = due[i];
	if (k->child_ended)
		return 0;
	if (at == UINT64_MAX)
		return -1;
	return at > now ? (int)(at - now) : 0;
}

static void on_clock(struct keeper *k)
{
	uint64_t now = keeper_now_ms();

	if (k->accept_at_ms && now >= k->accept_at_ms) {
		k->accept_at_ms = 0;
		accept_clients(k);
	}
	if (k->ending && now >= k->end_at_ms && k->worker.pid) {
		log_error("worker %d does not end: killed", (int)k->worker.pid);
		kill(k->worker.pid, SIGKILL);
		k->end_at_ms = now + END_WAIT_MS;
	}
	if (k->update.phase != UPDATE_NONE && now >= k->update.deadline_ms)
		update_fail(k, "no answer in time");
	if (!k->worker.pid && !k->ending && now >= k->restart_at_ms)
		start_worker(k);
}

/* Each of our processes that has ended, after its last words. */
static void reap(struct keeper *k)
{
	if (k->worker.pid) {
		read_link(k, false);
		if (k->worker.pid)
			on_worker_end(k);
	}
	if (!k->done && k->update.candidate.pid) {
		read_link(k, true);
		if (k->update.candidate.pid)
			update_on_candidate_end(k);
	}
	update_on_probe_end(k);
	update_reap_former(k);
}

static void act(struct keeper *k, const struct pollfd p[SEEN_COUNT])
{
	pid_t worker = k->worker.pid, candidate = k->update.candidate.pid;

	if (p[SEEN_SIGNALS].revents)
		on_signals(k);
	if (p[SEEN_WORKER_CALL].revents & POLLIN)
		read_call(&k->worker);
	if (p[SEEN_WORKER_LINK].revents & POLLIN)
		read_link(k, false);
	if (p[SEEN_WORKER_LINK].revents & POLLOUT && k->worker.pid == worker)
		keeper_feed(k, &k->worker);
	if (p[SEEN_CANDIDATE_CALL].revents & POLLIN && k->update.candidate.pid == candidate)
		read_call(&k->update.candidate);
	if (p[SEEN_CANDIDATE_LINK].revents & POLLIN && k->update.candidate.pid == candidate)
		read_link(k, true);
	if (p[SEEN_PROBE_OUT].revents)
		update_on_probe_out(k);
	if (p[SEEN_LISTEN].revents)
		accept_clients(k);
	if (k->child_ended && !k->done) {
		k->child_ended = false;
		reap(k);
	}
}

static int loop(struct keeper *k)
{
	struct pollfd p[SEEN_COUNT];

	while (!k->done) {
		on_clock(k);
		look(k, p);
		if (poll(p, SEEN_COUNT, patience_ms(k)) < 0 && errno != EINTR) {
			log_error("keeper: poll: %s", strerror(errno));
			keeper_end(k, -EIO);
		} else {
			act(k, p);
		}
	}
	child_kill(&k->update.candidate);
	child_kill(&k->update.former);
	free(k->update.argv);
	child_kill(&k->worker);
	return k->result;
}

static int signals_open(struct keeper *k)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	/* a script that this process is for a while may unblock it */
	signal(SIGHUP, SIG_IGN);
	k->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return k->signals < 0 ? -errno : 0;
}

static void keeper_init(struct keeper *k, const struct keeper_options *o)
{
	*k = (struct keeper){
		.o = o,
		.seat = { .link = -1,
			  .call = -1,
			  .lock = -1,
			  .netns = -1,
			  .image = -1,
			  .hv = { .evtchn_fd = -1 } },
		.listen = o->listen_fd,
		.pid_fd = o->pid_fd,
		.signals = -1,
		.worker = CHILD_NONE,
		.restart_at_ms = 1,
	};
	for (size_t i = 0; i < SEAT_JOURNAL_FILES; i++)
		k->seat.journal[i] = -1;
	child_rank_get(&k->rank);
	proto_init(&k->verdict, PROTO_VERDICT, 0, NULL);
	update_init(&k->update);
}

/* Numbers start above those of every earlier keeper of this boot: a journal may name them. */
static int first_number(struct keeper *k)
{
	struct timespec t;

	if (clients_last(&k->clients))
		return 0;
	clock_gettime(CLOCK_BOOTTIME, &t);
	return clients_add(&k->clients, (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec, -1);
}

int keeper_run(const struct keeper_options *o)
{
	struct keeper k;
	int r;

	keeper_init(&k, o);
	r = signals_open(&k);
	if (!r)
		r = files_read_boot_id(&k.seat);
	/* before the journal, which nobody empties for what is not there */
	if (!r && o->former)
		r = adopt_take(&k);
	if (!r && !o->no_journal)
		r = files_open_journal(&k.seat, o->rundir, o->discard || o->former);
	if (!r && o->xen && !o->former) {
		r = hv_xen_keep(&k.seat.hv);
		if (r)
			log_error("cannot reach the Xen hypervisor: %s", strerror(-r));
	}
	if (!r)
		r = fdstore_take(&k.clients);
	if (!r)
		r = first_number(&k);
	if (!r) {
		k.seat.netns = netns_open_empty();
		r = loop(&k);
	}
	if (r && o->former)
		adopt_back(&k);
	clients_fini(&k.clients);
	return r;
}

int keeper_resume(const struct keeper_options *o, int state_fd)
{
	struct keeper k;
	int r;

	keeper_init(&k, o);
	r = signals_open(&k);
	if (!r)
		r = handover_take(&k, state_fd);
	if (!r) {
		k.child_ended = true; /* who ended meanwhile nobody tells of */
		log_notice("keeper goes on as %s", DROVER_VERSION);
		r = loop(&k);
	}
	clients_fini(&k.clients);
	return r;
}
