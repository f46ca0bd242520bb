/* SPDX-License-Identifier: MIT */
/*
 * Backend drivers as a toolstack sees them: a new device's state goes from 1 to 2, and on to 4 with
 * its frontend; one that is to close goes from 5 to 6, and its directory is removed where nobody
 * else does it (a driver domain's own toolstack would).
 *
 * Invariant: an answer is given in a transaction that saw the state which it answers, so that
 * a toolstack that changed its mind meanwhile is not overruled, and nothing removed comes back.
 */
#include "cli/sim_backend.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/list.h"
#include "cli/command.h"
#include "cli/sim_client.h"
#include "wire/wire.h"

/* xen/io/xenbus.h */
#define ST_INITIALISING "1"
#define ST_INIT_WAIT "2"
#define ST_INITIALISED "3"
#define ST_CONNECTED "4"
#define ST_CLOSING "5"
#define ST_CLOSED "6"
#define ST_RECONFIGURING "7"
#define ST_RECONFIGURED "8"

#define TRIES 100	      /* of a transaction that others disturb */
#define PCI_DEVICES_MAX 4096u /* state-N that are looked at */
#define TOKEN_BACKENDS "b"    /* of the watch on all backends; a frontend's is its backend */
#define PATH_SIZE (XENSTORE_ABS_PATH_MAX + 1)

/* A backend's directory that is to be looked at. At most one for each directory. */
struct due {
	struct list link;
	int64_t at_ms;
	char dir[]; /* "/local/domain/0/backend/vbd/7/51712" */
};

struct play {
	const struct sim_backend_options *opt;
	struct sim_client *c; /* owned */
	struct list due;      /* owned; earliest first */
	char root[64];	      /* "/local/domain/0/backend" */
	bool scan;	      /* all of it is to be looked at */
	bool over;
	uint32_t tx;
};

/* One device while it is answered. */
struct device {
	const char *dir; /* borrowed */
	char kind[64];
	char state[16], frontend[PATH_SIZE], frontend_state[16];
	bool online;
};

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

/* ---- the store: 0, > 0 what it refused with, < 0 it is gone ---- */

static int play_read(struct play *p, char *ret, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int play_write(struct play *p, const char *value, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* "" where there is no such node or its value is too long. */
static int play_read(struct play *p, char *ret, size_t size, const char *fmt, ...)
{
	struct sim_reply reply;
	char path[PATH_SIZE];
	va_list ap;
	int r;

	*ret = '\0';
	va_start(ap, fmt);
	r = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	if (r < 0 || (size_t)r >= sizeof(path))
		return 0;
	r = sim_client_call(p->c, XS_READ, p->tx, path, strlen(path) + 1, &reply);
	if (!r && reply.len < size)
		memcpy(ret, reply.octets, reply.len + 1);
	return r == ENOENT ? 0 : r;
}

static int play_write(struct play *p, const char *value, const char *fmt, ...)
{
	char payload[PATH_SIZE + 512];
	struct sim_reply reply;
	size_t len, value_len = strlen(value);
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vsnprintf(payload, PATH_SIZE, fmt, ap);
	va_end(ap);
	if (r < 0 || r >= (int)PATH_SIZE || value_len > 500)
		return E2BIG;
	len = (size_t)r + 1;
	memcpy(payload + len, value, value_len);
	return sim_client_call(p->c, XS_WRITE, p->tx, payload, len + value_len, &reply);
}

static int play_path(struct play *p, uint32_t type, const char *path)
{
	struct sim_reply reply;

	return sim_client_call(p->c, type, p->tx, path, strlen(path) + 1, &reply);
}

/* type: XS_WATCH or XS_UNWATCH. */
static int play_watch(struct play *p, uint32_t type, const char *path, const char *token)
{
	char payload[2 * PATH_SIZE];
	struct sim_reply reply;
	int n = snprintf(payload, sizeof(payload), "%s%c%s", path, 0, token);

	if ((size_t)n >= sizeof(payload))
		return E2BIG;
	return sim_client_call(p->c, type, 0, payload, (size_t)n + 1, &reply);
}

static int play_begin(struct play *p)
{
	struct sim_reply reply;
	int r = sim_client_call(p->c, XS_TRANSACTION_START, 0, "", 1, &reply);

	p->tx = r ? 0 : (uint32_t)strtoul(reply.octets, NULL, 10);
	return r;
}

static int play_end(struct play *p, bool commit)
{
	struct sim_reply reply;
	int r = sim_client_call(p->c, XS_TRANSACTION_END, p->tx, commit ? "T" : "F", 2, &reply);

	p->tx = 0;
	return r;
}

/* ---- what is to be done ---- */

static void due_free(struct due *d)
{
	if (!d)
		return;
	list_remove(&d->link);
	free(d);
}

static void due_add(struct play *p, const char *dir)
{
	size_t size = strlen(dir) + 1;
	struct due *d;

	list_for_each(d, &p->due, link)
		if (!strcmp(d->dir, dir))
			return;
	d = cli_must(malloc(sizeof(*d) + size));
	d->at_ms = now_ms() + p->opt->delay_ms;
	memcpy(d->dir, dir, size);
	list_init(&d->link);
	list_append(&p->due, &d->link);
}

/* Whether a comma-separated list has a word. */
static bool words_have(const char *words, const char *word, size_t len)
{
	for (; *words; words += strcspn(words, ","), words += *words == ',')
		if (strcspn(words, ",") == len && !memcmp(words, word, len))
			return true;
	return false;
}

/* Of ".../backend/KIND/GUEST/DEVID/...": where the directory of a device of ours ends, or NULL. */
static const char *device_end(const struct play *p, const char *path)
{
	size_t root = strlen(p->root);
	const char *kind = path + root + 1, *guest, *devid;
	char *end;

	if (strncmp(path, p->root, root) || path[root] != '/')
		return NULL;
	guest = strchr(kind, '/');
	devid = guest ? strchr(guest + 1, '/') : NULL;
	if (!devid)
		return NULL;
	if (p->opt->kinds && !words_have(p->opt->kinds, kind, (size_t)(guest - kind)))
		return NULL;
	if (p->opt->of >= 0 && (strtol(guest + 1, &end, 10) != p->opt->of || end != devid))
		return NULL;
	return devid + 1 + strcspn(devid + 1, "/");
}

/*
 * A state that changed is looked at; of what else changes, only directories above devices matter:
 * they come and go, or it is the watch's own first event.
 */
static void on_event(void *data, const char *path, const char *token)
{
	struct play *p = data;
	const char *end = device_end(p, path);
	char dir[PATH_SIZE];

	if (strcmp(token, TOKEN_BACKENDS)) {
		due_add(p, token);
	} else if (!end) {
		p->scan = !strcmp(path, p->root) || p->scan;
	} else if (!*end || !strcmp(end, "/state")) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(end - path), path);
		due_add(p, dir);
	}
}

/* Every device's directory, three levels below the root. */
static int play_scan(struct play *p, const char *path, int depth)
{
	struct sim_reply reply;
	char child[PATH_SIZE];
	int r;

	if (depth == 3) {
		if (device_end(p, path))
			due_add(p, path);
		return 0;
	}
	r = sim_client_call(p->c, XS_DIRECTORY, 0, path, strlen(path) + 1, &reply);
	if (r)
		return r == ENOENT ? 0 : r;
	for (size_t i = 0; i < reply.len && !r; i += strlen(reply.octets + i) + 1) {
		snprintf(child, sizeof(child), "%s/%s", path, reply.octets + i);
		r = play_scan(p, child, depth + 1);
	}
	return r;
}

/* ---- answers ---- */

static int device_load(struct play *p, const char *dir, struct device *d)
{
	const char *kind = dir + strlen(p->root) + 1;
	char online[8];
	int r;

	*d = (struct device){ .dir = dir };
	snprintf(d->kind, sizeof(d->kind), "%.*s", (int)strcspn(kind, "/"), kind);
	r = play_read(p, d->state, sizeof(d->state), "%s/state", dir);
	if (!r)
		r = play_read(p, online, sizeof(online), "%s/online", dir);
	if (!r)
		r = play_read(p, d->frontend, sizeof(d->frontend), "%s/frontend", dir);
	if (!r && *d->frontend)
		r = play_read(p, d->frontend_state, sizeof(d->frontend_state), "%s/state",
			      d->frontend);
	d->online = !r && strcmp(online, "0") != 0;
	return r;
}

/* What a state is answered with; NULL: with nothing. */
static const char *device_answer(const struct play *p, const struct device *d)
{
	const char *s = d->state, *f = d->frontend_state;

	if (!strcmp(s, ST_INITIALISING))
		return p->opt->refuse ? ST_CLOSING : ST_INIT_WAIT;
	if (!strcmp(s, ST_CLOSING))
		return ST_CLOSED;
	if (!strcmp(s, ST_RECONFIGURING))
		return ST_RECONFIGURED;
	if (!strcmp(s, ST_RECONFIGURED))
		return ST_CONNECTED;
	/* Toolstacks wait for pci's 4 before the next device, whatever the guest does. */
	if (!strcmp(s, ST_INIT_WAIT) && (p->opt->frontends || !strcmp(f, ST_INITIALISED) ||
					 !strcmp(f, ST_CONNECTED) || !strcmp(d->kind, "pci")))
		return ST_CONNECTED;
	return NULL;
}

/* pci: each of its devices has a state, too: 1 becomes 3, 5 becomes 6. */
static int answer_pci(struct play *p, const struct device *d)
{
	unsigned long n;
	char word[16];
	int r = play_read(p, word, sizeof(word), "%s/num_devs", d->dir);

	n = strtoul(word, NULL, 10);
	for (unsigned int i = 0; !r && i < n && i < PCI_DEVICES_MAX; i++) {
		const char *next = NULL;

		r = play_read(p, word, sizeof(word), "%s/state-%u", d->dir, i);
		if (!strcmp(word, ST_INITIALISING))
			next = ST_INITIALISED;
		else if (!strcmp(word, ST_CLOSING))
			next = ST_CLOSED;
		if (!r && next)
			r = play_write(p, next, "%s/state-%u", d->dir, i);
	}
	return r;
}

/* The guest's side, which follows the backend: 4 with it, 6 with it. */
static int answer_frontend(struct play *p, const struct device *d, const char *next)
{
	bool follows = !strcmp(next, ST_CONNECTED) || !strcmp(next, ST_CLOSED);

	if (!p->opt->frontends || !follows || !*d->frontend_state)
		return 0;
	return play_write(p, next, "%s/state", d->frontend);
}

/* Where a driver says why it gave up: "/local/domain/0/error/backend/vbd/7/51712/error". */
static int answer_refusal(struct play *p, const struct device *d)
{
	if (strcmp(d->state, ST_INITIALISING) != 0 || !p->opt->refuse)
		return 0;
	return play_write(p, p->opt->refuse, "/local/domain/%u/error/backend%s/error",
			  p->opt->domid, d->dir + strlen(p->root));
}

/* Within a transaction. *ret_done: what was done, as a word; NULL: nothing was to be done. */
static int answer_in(struct play *p, struct device *d, const char **ret_done)
{
	const char *next = device_answer(p, d);
	int r;

	*ret_done = next;
	if (!next) {
		if (strcmp(d->state, ST_CLOSED) != 0 || d->online || !p->opt->domid)
			return 0;
		*ret_done = "removed";
		return play_path(p, XS_RM, d->dir);
	}
	r = answer_refusal(p, d);
	if (!r && !strcmp(d->kind, "pci"))
		r = answer_pci(p, d);
	if (!r)
		r = answer_frontend(p, d, next);
	if (!r)
		r = play_write(p, next, "%s/state", d->dir);
	return r;
}

/* In state 2, the frontend's state is another reason to look; once closed, it is none any more. */
static int answer_watch(struct play *p, const struct device *d, const char *done)
{
	const char *state = done ? done : d->state;
	char path[PATH_SIZE + 8];
	int r = 0;

	snprintf(path, sizeof(path), "%s/state", d->frontend);
	if (*d->frontend && !strcmp(state, ST_INIT_WAIT))
		r = play_watch(p, XS_WATCH, path, d->dir);
	else if (*d->frontend && !strcmp(state, ST_CLOSED))
		r = play_watch(p, XS_UNWATCH, path, d->dir);
	return r == EEXIST || r == ENOENT ? 0 : r;
}

/* One device, again where others disturbed it. */
static int answer(struct play *p, const char *dir)
{
	const char *done = NULL;
	struct device d = { 0 };
	int r = EAGAIN;

	for (int i = 0; i < TRIES && r == EAGAIN; i++) {
		int end;

		r = play_begin(p);
		if (r)
			return r;
		r = device_load(p, dir, &d);
		if (!r && *d.state)
			r = answer_in(p, &d, &done);
		if (r < 0)
			return r;
		end = play_end(p, !r && done);
		r = r ? r : end;
	}
	if (!r && done) {
		printf("%s: %s -> %s\n", dir, d.state, done);
		fflush(stdout);
	}
	if (!r)
		r = answer_watch(p, &d, done);
	if (r > 0)
		fprintf(stderr, "drover sim: %s: refused: %s\n", dir, wire_errno_name(r));
	return r < 0 ? r : 0;
}

/* ---- the loop ---- */

/* All that is due; *ret_wait_ms: until the next, -1: nothing is planned. */
static int play_due(struct play *p, int *ret_wait_ms)
{
	struct due *d;
	int r = 0;

	*ret_wait_ms = -1;
	while (!r && p->scan) {
		p->scan = false;
		r = play_scan(p, p->root, 0);
	}
	while (!r && (d = list_first(&p->due, struct due, link))) {
		int64_t left = d->at_ms - now_ms();
		char dir[PATH_SIZE];

		if (left > 0) {
			*ret_wait_ms = (int)left;
			break;
		}
		snprintf(dir, sizeof(dir), "%s", d->dir);
		due_free(d);
		r = answer(p, dir);
	}
	return r;
}

/* A pipe's end means that whoever started us is gone; /dev/null has no end to wait for. */
static bool stdin_tells(void)
{
	struct stat st;

	return !fstat(STDIN_FILENO, &st) && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

static void play_wait(struct play *p, int signals, int wait_ms)
{
	struct pollfd fds[] = {
		{ .fd = sim_client_fd(p->c), .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
		{ .fd = stdin_tells() ? STDIN_FILENO : -1, .events = POLLIN },
	};
	char gone[256];

	if (poll(fds, ARRAY_LEN(fds), wait_ms) < 0)
		return;
	p->over = fds[1].revents;
	if (fds[2].revents && read(STDIN_FILENO, gone, sizeof(gone)) <= 0)
		p->over = true;
}

static int play(struct play *p, int signals)
{
	int r, wait_ms;

	snprintf(p->root, sizeof(p->root), "/local/domain/%u/backend", p->opt->domid);
	sim_client_on_event(p->c, on_event, p);
	r = play_watch(p, XS_WATCH, p->root, TOKEN_BACKENDS);
	if (r)
		return r;
	puts("ready");
	fflush(stdout);
	while (!p->over) {
		r = play_due(p, &wait_ms);
		while (!r)
			r = sim_client_wait_event(p->c, 0);
		if (r != -ETIMEDOUT)
			return r;
		/* Events may have come while answers were awaited: they are due now. */
		if (p->scan || (!list_is_empty(&p->due) && wait_ms < 0))
			wait_ms = 0;
		play_wait(p, signals, wait_ms);
	}
	return 0;
}

int sim_backend_run(const struct sim_backend_options *opt)
{
	struct play p = { .opt = opt };
	struct due *d;
	sigset_t set;
	int r, signals;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	list_init(&p.due);
	r = signals < 0 ? -errno : sim_client_connect(opt->socket, &p.c);
	if (r) {
		fprintf(stderr, "drover sim: no daemon at %s: %s\n", opt->socket, strerror(-r));
	} else {
		r = play(&p, signals);
		if (r)
			fprintf(stderr, "drover sim: backend: %s\n", strerror(r < 0 ? -r : r));
	}
	list_for_each(d, &p.due, link)
		due_free(d);
	sim_client_free(p.c);
	if (signals >= 0)
		close(signals);
	return r ? CLI_FAILED : CLI_OK;
}
