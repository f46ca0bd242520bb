/* SPDX-License-Identifier: MIT */
/*
 * One program in the place of another: the steps of a live update, and waiting for who answers
 * then. Invariant: an update that is refused is forgotten by the daemon, too.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/adopt.h"
#include "cli/command.h"
#include "cli/xs_client.h"
#include "wire/wire.h"

#define TICK_NS 5000000
#define POKE_MS 200
#define OCAML_GRACE_S 5u

DEFINE_CLEANUP(struct sim_client *, sim_client_free)

/* CONTROL live-update and words, separated by NULs. The answer in reply->octets. */
static int step(struct sim_client *c, struct sim_reply *reply, const struct adopt_words *words)
{
	char payload[XENSTORE_PAYLOAD_MAX];
	size_t len = 0;

	for (size_t i = 0; i < words->n; i++) {
		size_t size = strlen(words->at[i]) + 1;

		if (size > sizeof(payload) - len)
			return E2BIG;
		memcpy(payload + len, words->at[i], size);
		len += size;
	}
	return sim_client_call(c, XS_CONTROL, 0, payload, len, reply);
}

/* Told where it is not what is wanted. */
static bool ask(struct adopt_report *r, struct sim_client *c, const struct adopt_words *words,
		const char *want, const char *why)
{
	struct sim_reply reply;
	int err = step(c, &reply, words);

	if (!err && !strcmp(reply.octets, want))
		return true;
	if (!err)
		adopt_tell(r, ADOPT_REFUSED, "update", "the daemon goes on as it was: %s",
			   strcmp(reply.octets, "BUSY") ? reply.octets
							: "another update is under way");
	else if (err > 0)
		adopt_tell(r, ADOPT_REFUSED, "update", "the daemon refuses %s: %s", why,
			   strerror(err));
	else
		adopt_tell(r, ADOPT_REFUSED, "update", "%s: no answer: %s", why, strerror(-err));
	return false;
}

static void words_begin(struct adopt_words *w, const char *letter)
{
	memset(w, 0, sizeof(*w));
	adopt_words_add(w, "live-update");
	adopt_words_add(w, letter);
}

/*
 * The words of the new program: C and ours take a line; oxenstored takes words, and five at most.
 */
static bool ask_options(struct adopt_report *r, struct sim_client *c, enum adopt_kind kind,
			const char *options)
{
	struct adopt_words w;
	char *text;
	bool done;

	if (asprintf(&text, "%s%s", kind == ADOPT_OCAML ? ADOPT_MORE : "", options) < 0)
		text = cli_must(NULL);
	words_begin(&w, "-c");
	adopt_words_add(&w, text);
	done = ask(r, c, &w, "OK", "its command line");
	free(text);
	return done;
}

static bool ask_all(struct adopt_report *r, struct sim_client *c, const struct adopt_daemon *d,
		    const struct adopt_switch *s)
{
	struct adopt_words w;
	struct sim_reply reply;
	char seconds[16];

	words_begin(&w, "-f");
	adopt_words_add(&w, s->program);
	if (!ask(r, c, &w, "OK", "the program"))
		return false;
	if (s->options && !ask_options(r, c, d->kind, s->options))
		return false;
	snprintf(seconds, sizeof(seconds), "%u", s->timeout_s);
	words_begin(&w, "-s");
	adopt_words_add(&w, "-t");
	adopt_words_add(&w, seconds);
	if (s->force)
		adopt_words_add(&w, "-F");
	sim_client_patience(c, (int)(s->timeout_s + ADOPT_GRACE_S) * 1000);
	/* oxenstored begins only then */
	if (ask(r, c, &w, d->kind == ADOPT_OCAML ? "BUSY" : "OK", "the start"))
		return true;
	words_begin(&w, "-a");
	(void)step(c, &reply, &w);
	return false;
}

/* Whether somebody new is answered, by that process. */
static bool answers(const struct adopt_daemon *d)
{
	CLEANUP(sim_client_free) struct sim_client *c = NULL;
	struct sim_reply reply;

	if (kill(d->pid, 0) || sim_client_connect(cli_socket_path(), &c))
		return false;
	sim_client_patience(c, 1000);
	return !sim_client_call(c, XS_READ, 0, "/", 2, &reply);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static void tick(void)
{
	struct timespec t = { .tv_nsec = TICK_NS };

	nanosleep(&t, NULL);
}

static bool ended(struct adopt_report *r, const struct adopt_daemon *d)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", (int)d->pid);
	if (!access(path, F_OK) && !kill(d->pid, 0))
		return false;
	adopt_tell(
		r, ADOPT_REFUSED, "update",
		"process %d has ended, and nobody serves: its log says why; what there was is in "
		"%s, if it is anywhere",
		(int)d->pid, d->rundir);
	return true;
}

/*
 * oxenstored answers before it begins, and nothing when it gives up. What it waits for it names in
 * its log alone.
 */
static bool await_ocaml(struct adopt_report *r, struct sim_client *c, const struct adopt_daemon *d,
			const struct adopt_switch *s)
{
	int64_t end = now_ms() + (int64_t)(s->timeout_s + OCAML_GRACE_S) * 1000, poke = 0;
	struct sim_reply reply;
	struct adopt_words w;
	char exe[PATH_MAX];

	sim_client_patience(c, 1000);
	while (now_ms() < end) {
		if (ended(r, d))
			return false;
		if (adopt_exe(d->pid, exe) && strcmp(exe, d->exe) != 0)
			return true;
		/* it looks at the time only where somebody asks for something */
		if (now_ms() > poke) {
			sim_client_call(c, XS_READ, 0, "/", 2, &reply);
			poke = now_ms() + POKE_MS;
		}
		tick();
	}
	words_begin(&w, "-a");
	(void)step(c, &reply, &w);
	adopt_tell(
		r, ADOPT_REFUSED, "update",
		"oxenstored did not hand over in %u s: it waits for transactions, half requests, "
		"answers that nobody reads, and domains with a target; its log names them",
		s->timeout_s);
	return false;
}

/* Told where it is the former program again, or nobody. */
static bool await(struct adopt_report *r, const struct adopt_daemon *d)
{
	int64_t end = now_ms() + ADOPT_GRACE_S * INT64_C(1000);
	char exe[PATH_MAX] = "";

	while (now_ms() < end) {
		if (ended(r, d))
			return false;
		/* in this order: it may be one program, and answer as another */
		if (answers(d) && adopt_exe(d->pid, exe)) {
			if (strcmp(exe, d->exe) != 0)
				return true;
			adopt_tell(r, ADOPT_REFUSED, "update",
				   "the other program could not take over, and %s goes on; the log "
				   "says why",
				   exe);
			return false;
		}
		tick();
	}
	adopt_tell(r, ADOPT_REFUSED, "update", "%s, process %d, does not answer", exe, (int)d->pid);
	return false;
}

bool adopt_switch_run(struct adopt_report *r, const struct adopt_daemon *d,
		      const struct adopt_switch *s)
{
	CLEANUP(sim_client_free) struct sim_client *c = NULL;
	int err = -sim_client_connect(cli_socket_path(), &c);

	if (err) {
		adopt_tell(r, ADOPT_REFUSED, "update", "%s: %s", cli_socket_path(), strerror(err));
		return false;
	}
	if (!ask_all(r, c, d, s))
		return false;
	if (d->kind == ADOPT_OCAML && !await_ocaml(r, c, d, s))
		return false;
	if (!await(r, d))
		return false;
	adopt_tell(r, ADOPT_FINE, "update", "%s serves, in process %d as before", s->program,
		   (int)d->pid);
	return true;
}
