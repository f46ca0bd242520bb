/* SPDX-License-Identifier: MIT */
/*
 * Live update. A candidate, started from the new program, loads the journal while the worker
 * serves; only when it has read the last record, and said so, is the worker killed and the
 * candidate told to serve. Invariant: in every phase before UPDATE_SWITCH the worker has, or will
 * get by RESUME, all that it had; whatever goes wrong ends in update_fail.
 *
 * The request that asked for it waits, unconsumed, at the head of its connection's input. Whoever
 * serves it next gives it the verdict, which is the keeper's: no answer is lost with a worker, and
 * none is given twice.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "keeper/adopt.h"
#include "keeper/inside.h"
#include "keeper/versions.h"

#define SWITCH_WAIT_MS 10000u

void update_init(struct update *u)
{
	u->phase = UPDATE_NONE;
	u->candidate = u->former = CHILD_NONE;
	u->probe = 0;
	u->probe_out = -1;
}

static void probe_forget(struct update *u)
{
	if (u->probe_out >= 0)
		close(u->probe_out);
	u->probe_out = -1;
	u->probe = 0;
}

static void set_verdict(struct keeper *k, const char *text)
{
	proto_init(&k->verdict, PROTO_VERDICT, 0, text);
	k->verdict.n_ids = 2;
	k->verdict.id[PROTO_CONN] = k->update.place[PROTO_CONN];
	k->verdict.id[PROTO_POSITION] = k->update.place[PROTO_POSITION];
}

void update_fail(struct keeper *k, const char *fmt, ...)
{
	struct update *u = &k->update;
	bool resume = u->phase == UPDATE_STOPPING || u->phase == UPDATE_CATCH_UP ||
		      u->phase == UPDATE_IMAGE;
	bool switched = u->phase == UPDATE_SWITCH;
	char why[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	log_error("live update to %s: %s", u->file, why);
	if (u->probe > 0) {
		kill(u->probe, SIGKILL);
		while (waitpid(u->probe, NULL, 0) < 0 && errno == EINTR)
			;
	}
	probe_forget(u);
	child_kill(&u->candidate);
	if (u->phase == UPDATE_IMAGE)
		adopt_give_undo(k);
	u->phase = UPDATE_NONE;
	set_verdict(k, why);
	/* the candidate is the worker already: a successor brings the verdict with SERVE */
	if (switched && k->worker.pid)
		kill(k->worker.pid, SIGKILL);
	if (switched || !k->worker.pid || !k->worker.serve_sent)
		return;
	if (resume)
		keeper_send(&k->worker, PROTO_RESUME);
	if (proto_send(k->worker.link, &k->verdict, false) == -EAGAIN)
		kill(k->worker.pid, SIGKILL);
}

void update_begin(struct keeper *k, const struct proto_msg *m)
{
	struct update *u = &k->update;
	size_t file_len = strnlen(m->text, m->text_len);
	uint64_t timeout_ms;
	int r;

	if (m->n_ids < PROTO_PLACE_WORDS || u->phase != UPDATE_NONE || k->ending)
		return; /* a worker asks for one at a time */
	timeout_ms = m->id[PROTO_TIMEOUT] < INT32_MAX ? m->id[PROTO_TIMEOUT] : INT32_MAX;
	memcpy(u->text, m->text, sizeof(u->text));
	u->file = u->text;
	u->args = file_len < m->text_len ? u->text + file_len + 1 : "";
	u->place[PROTO_CONN] = m->id[PROTO_CONN];
	u->place[PROTO_POSITION] = m->id[PROTO_POSITION];
	u->deadline_ms = keeper_now_ms() + timeout_ms;
	u->said_len = 0;
	u->force = m->value;
	u->phase = UPDATE_PROBE;
	log_notice("live update to %s begins", u->file);
	if (access(u->file, X_OK)) {
		update_fail(k, "%s: %s", u->file, strerror(errno));
		return;
	}
	r = child_probe(k, u->file, &u->probe, &u->probe_out);
	if (r)
		update_fail(k, "%s: %s", u->file, strerror(-r));
}

void update_abort(struct keeper *k)
{
	if (k->update.phase != UPDATE_NONE && k->update.phase != UPDATE_SWITCH)
		update_fail(k, "aborted");
}

void update_on_probe_out(struct keeper *k)
{
	struct update *u = &k->update;
	char more[4096];
	ssize_t n;

	if (u->probe_out < 0)
		return;
	for (;;) {
		n = read(u->probe_out, more, sizeof(more));
		if (n <= 0)
			break;
		if ((size_t)n > sizeof(u->said) - 1 - u->said_len)
			n = (ssize_t)(sizeof(u->said) - 1 - u->said_len);
		memcpy(u->said + u->said_len, more, (size_t)n);
		u->said_len += (size_t)n;
	}
	u->said[u->said_len] = '\0';
	if (n < 0 && errno == EAGAIN)
		return;
	close(u->probe_out);
	u->probe_out = -1;
}

/* The command line of the new program: the one asked for, or the running one's. */
static char **command_line(struct keeper *k)
{
	struct update *u = &k->update;
	char **argv = calloc(CHILD_ARGS_MAX + 1, sizeof(*argv));
	char *rest = (char *)(uintptr_t)u->args, *word;
	size_t n = 0;

	if (!argv)
		return NULL;
	argv[n++] = u->text;
	if (*u->args) {
		while (n < CHILD_ARGS_MAX && (word = strtok_r(rest, " \t", &rest)))
			argv[n++] = word;
	} else {
		for (char **from = k->o->argv + 1; *from && n < CHILD_ARGS_MAX; from++)
			argv[n++] = *from;
	}
	return argv;
}

/* A program that knows another journal, or none: it gets a whole image, if it is a xenstored. */
static void update_by_image(struct keeper *k)
{
	struct update *u = &k->update;

	u->image_version = versions_image(u->said);
	/* there is no way back from one: an option that every xenstored of this family tells of */
	if (!u->image_version && !strstr(u->said, "--no-domain-init")) {
		update_fail(k, "%s is no xenstored, by what its --help says", u->file);
		return;
	}
	free(u->argv);
	u->argv = command_line(k);
	if (!u->argv)
		update_fail(k, "no memory");
	else if (u->image_version)
		adopt_give(k);
	else
		adopt_calm(k);
}

void update_on_probe_end(struct keeper *k)
{
	struct update *u = &k->update;
	int status = 0, r;

	if (u->probe <= 0 || waitpid(u->probe, &status, WNOHANG) != u->probe)
		return;
	update_on_probe_out(k);
	probe_forget(u);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		u->said[strcspn(u->said, "\n")] = '\0';
		update_fail(k, "%s cannot be run: %s", u->file, u->said);
		return;
	}
	if (!versions_same_journal(u->said)) {
		update_by_image(k);
		return;
	}
	free(u->argv);
	u->argv = command_line(k);
	r = u->argv ? child_exec(k, u->file, u->argv, &u->candidate) : -ENOMEM;
	if (r)
		update_fail(k, "%s: %s", u->file, strerror(-r));
	else
		u->phase = UPDATE_LOADING;
}

/* All is loaded and nothing is lost from here on, whoever dies. */
static void switch_over(struct keeper *k)
{
	struct update *u = &k->update;

	/* it never runs again from here; that its memory is gone need not be waited for */
	child_rank(k->worker.pid, NULL);
	kill(k->worker.pid, SIGKILL);
	child_kill(&u->former);
	u->former = k->worker;
	k->worker = u->candidate;
	u->candidate = CHILD_NONE;
	k->worker.told = 0;
	k->worker.serve_sent = false;
	u->phase = UPDATE_SWITCH;
	u->deadline_ms = keeper_now_ms() + SWITCH_WAIT_MS;
	set_verdict(k, "OK");
	keeper_feed(k, &k->worker);
}

void update_on_candidate(struct keeper *k, const struct proto_msg *m)
{
	struct update *u = &k->update;

	if (m->type == PROTO_LOADED && u->phase == UPDATE_LOADING) {
		u->phase = UPDATE_STOPPING;
		child_rank(u->candidate.pid, &k->rank); /* clients wait for it from here on */
		keeper_send(&k->worker, PROTO_STOP);
	} else if (m->type == PROTO_READY && u->phase == UPDATE_CATCH_UP) {
		switch_over(k);
	} else if (m->type == PROTO_FAILED) {
		update_fail(k, "%s", m->text);
	} else if (m->type == PROTO_LOG) {
		log_write(m->value > LOG_LEVEL_INFO ? LOG_LEVEL_INFO : m->value, "%s", m->text);
	}
}

void update_on_candidate_end(struct keeper *k)
{
	int status = 0;

	if (waitpid(k->update.candidate.pid, &status, WNOHANG) != k->update.candidate.pid)
		return;
	k->update.candidate.pid = 0;
	update_fail(k, "%s ended by %s %d while it loaded", k->update.file,
		    WIFSIGNALED(status) ? "signal" : "exit status",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

void update_on_stopped(struct keeper *k)
{
	if (k->update.phase == UPDATE_IMAGE)
		adopt_give_written(k);
	if (k->update.phase != UPDATE_STOPPING)
		return;
	k->update.phase = UPDATE_CATCH_UP;
	keeper_send(&k->update.candidate, PROTO_CATCH_UP);
}

void update_reap_former(struct keeper *k)
{
	if (k->update.former.pid && waitpid(k->update.former.pid, NULL, WNOHANG) > 0)
		child_forget(&k->update.former);
}

void update_on_serving(struct keeper *k)
{
	struct update *u = &k->update;
	int r;

	if (u->phase != UPDATE_SWITCH)
		return;
	u->phase = UPDATE_NONE;
	log_notice("live update to %s: it serves", u->file);
	r = handover_exec(k, u->file, u->argv);
	log_error("live update: the keeper stays as it was: %s: %s", u->file, strerror(-r));
}

void update_on_worker_end(struct keeper *k)
{
	if (k->update.phase == UPDATE_NONE)
		return;
	if (k->update.phase == UPDATE_SWITCH)
		update_fail(k, "%s ended before it served", k->update.file);
	else
		update_fail(k, "the worker ended meanwhile");
}
