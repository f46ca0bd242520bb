/* SPDX-License-Identifier: MIT */
/*
 * From C xenstored or oxenstored, and to C. Invariant: until exec the journal is as it was, and
 * whoever serves next goes on from it; a client's socket has the same number in the image and here.
 */
#include "keeper/adopt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "image/oxdump.h"
#include "keeper/inside.h"

#define HIDDEN_AREA "journal/area.given"
#define CALM_GRACE_MS 10000u
#define DUMP_HEAD_LEN 256
#define IMAGE_HEAD_LEN 32 /* the stream's header, and GLOBAL_DATA with its own */

static void image_path(const struct keeper *k, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/" ADOPT_IMAGE, k->o->rundir);
}

static void former_path(const struct keeper *k, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/%s", k->o->rundir,
		 k->o->former == KEEPER_FORMER_OCAML ? ADOPT_DUMP : ADOPT_IMAGE);
}

static uint32_t get_u32(const uint8_t *at, bool big_endian)
{
	return big_endian ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 |
				    at[3]
			  : (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 |
				    at[0];
}

/* Octets that the other daemon's own code wrote, and no guest. */
static int read_head(int fd, int *ret_listen, int *ret_evtchn)
{
	static const uint8_t ident[] = { 'x', 'e', 'n', 's', 't', 'o', 'r', 'e' };
	uint8_t head[IMAGE_HEAD_LEN];
	bool big_endian;

	if (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    memcmp(head, ident, sizeof(ident)) != 0)
		return -EPROTO;
	big_endian = get_u32(head + 12, true) & 1u;
	if (get_u32(head + 16, big_endian) != 1 || get_u32(head + 20, big_endian) != 8)
		return -EPROTO;
	*ret_listen = (int)get_u32(head + 24, big_endian);
	*ret_evtchn = (int)get_u32(head + 28, big_endian);
	return 0;
}

/* The same of oxenstored, whose device tells of changed domains by the port that it says. */
static int read_dump_head(int fd, int *ret_listen, struct hv_kept *ret_kept)
{
	char text[DUMP_HEAD_LEN];
	struct oxdump_head head;
	ssize_t n = pread(fd, text, sizeof(text), 0);

	if (n <= 0 || !oxdump_read_head(text, (size_t)n, &head))
		return -EPROTO;
	*ret_listen = head.listen_fd;
	*ret_kept = (struct hv_kept){ .evtchn_fd = head.evtchn_fd, .virq = head.virq };
	return 0;
}

static int option_of(int fd, int option)
{
	socklen_t len = sizeof(int);
	int v;

	return getsockopt(fd, SOL_SOCKET, option, &v, &len) ? -1 : v;
}

/* A stream socket of the unix domain that listens, or does not. */
static bool is_stream(int fd, bool listens)
{
	return option_of(fd, SO_DOMAIN) == AF_UNIX && option_of(fd, SO_TYPE) == SOCK_STREAM &&
	       option_of(fd, SO_ACCEPTCONN) == (listens ? 1 : 0);
}

static bool same_name(int a, int b)
{
	struct sockaddr_un x = { 0 }, y = { 0 };
	socklen_t x_len = sizeof(x), y_len = sizeof(y);

	return !getsockname(a, (struct sockaddr *)&x, &x_len) &&
	       !getsockname(b, (struct sockaddr *)&y, &y_len) && x_len == y_len &&
	       !memcmp(&x, &y, x_len);
}

static int set_own(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	return 0;
}

static int highest_fd(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	int highest = -1;

	while (dir && (e = readdir(dir)))
		highest = atoi(e->d_name) > highest ? atoi(e->d_name) : highest;
	if (dir)
		closedir(dir);
	return highest;
}

/* All of them, each under its descriptor's number, by which the image speaks of it. */
static int take_clients(struct keeper *k)
{
	int r = 0, highest = highest_fd();

	for (int fd = STDERR_FILENO + 1; !r && fd <= highest; fd++) {
		if (fd == k->listen || !is_stream(fd, false) || !same_name(fd, k->listen))
			continue;
		r = set_own(fd);
		if (!r)
			r = clients_add(&k->clients, (uint64_t)fd, fd);
	}
	return r;
}

/* Listening socket and device, by number. */
static int take_head(struct keeper *k)
{
	int evtchn = -1, r;

	if (k->o->former == KEEPER_FORMER_OCAML) {
		r = read_dump_head(k->seat.image, &k->listen, &k->seat.hv);
		return r || k->o->xen ? r : -ENOTSUP;
	}
	r = read_head(k->seat.image, &k->listen, &evtchn);
	if (!r && k->o->xen)
		r = hv_xen_keep_given(evtchn, &k->seat.hv);
	return r;
}

int adopt_take(struct keeper *k)
{
	char path[PATH_MAX];
	int r;

	former_path(k, path);
	k->seat.image = open(path, O_RDONLY | O_CLOEXEC);
	r = k->seat.image < 0 ? -errno : take_head(k);
	if (!r && !is_stream(k->listen, true))
		r = -EPROTO;
	if (!r)
		r = set_own(k->listen);
	if (!r)
		r = take_clients(k);
	if (!r && k->o->xen)
		r = set_own(k->seat.hv.evtchn_fd);
	if (r)
		log_error("cannot take over what %s says: %s", path,
			  r == -EPROTO ? "not an image with its descriptors" : strerror(-r));
	else
		log_notice("takes over from another daemon: %s", path);
	return r;
}

void adopt_done(struct keeper *k)
{
	char path[PATH_MAX];

	if (k->seat.image < 0)
		return;
	close(k->seat.image);
	k->seat.image = -1;
	former_path(k, path);
	unlink(path);
	/* of ours, from before the other daemon */
	snprintf(path, sizeof(path), "%s/" HIDDEN_AREA, k->o->rundir);
	unlink(path);
}

/* ---- the other way ---- */

/* Whether C knows a word of our command line. */
static bool is_known_to_c(const char *word)
{
	static const char *const ours[] = { "--hv=",	    "--discard-state", "--no-journal",
					    "--no-sandbox", "--live-update",   "-U",
					    "--back=" };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (!strncmp(word, ours[i], strlen(ours[i])))
			return false;
	return true;
}

/* And oxenstored, which put its own first. */
static bool is_known_to_ocaml(const char *word)
{
	static const char *const theirs[] = { "--live",		 "--restart",
					      "--no-fork",	 "--no-domain-init",
					      "--no-access-log", "--reraise-top-level" };

	for (size_t i = 0; i < ARRAY_LEN(theirs); i++)
		if (!strcmp(word, theirs[i]))
			return true;
	return false;
}

/* argv, for `to` without what it does not know, with -U; its words are argv's. NULL: no memory. */
static char **words_with_update(char **argv, enum keeper_former to)
{
	static char update[] = "-U";
	size_t n = 0, all = 0;
	char **ret;

	while (argv[all])
		all++;
	ret = calloc(all + 2, sizeof(ret[0]));
	if (!ret)
		return NULL;
	for (size_t i = 0; i < all; i++) {
		if (to == KEEPER_FORMER_OCAML && i && !strcmp(argv[i], "--config-file") &&
		    argv[i + 1]) {
			ret[n++] = argv[i++];
			ret[n++] = argv[i];
		} else if (to == KEEPER_FORMER_C && i && !strcmp(argv[i], "--hv") && argv[i + 1]) {
			i++;
		} else if (!i || to == KEEPER_FORMER_NONE ||
			   (to == KEEPER_FORMER_C ? is_known_to_c : is_known_to_ocaml)(argv[i])) {
			ret[n++] = argv[i];
		}
	}
	if (to != KEEPER_FORMER_OCAML)
		ret[n] = update;
	return ret;
}

/* Nobody shall take the journal for the state of what comes after the other daemon. */
static void hide_journal(const struct keeper *k, bool hide)
{
	char area[PATH_MAX], hidden[PATH_MAX];

	snprintf(area, sizeof(area), "%s/journal/area", k->o->rundir);
	snprintf(hidden, sizeof(hidden), "%s/" HIDDEN_AREA, k->o->rundir);
	if (rename(hide ? area : hidden, hide ? hidden : area) && errno != ENOENT)
		log_error("%s: %s", area, strerror(errno));
}

/* What the worker is told of them. */
static int table_fd(const struct keeper *k)
{
	int fd = memfd_create("drover-clients", MFD_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < k->clients.n; i++) {
		struct proto_image_client row = { .number = k->clients.at[i].number,
						  .fd = k->clients.at[i].fd };

		if (row.fd < 0 || write(fd, &row, sizeof(row)) == (ssize_t)sizeof(row))
			continue;
		close(fd);
		fd = -1;
	}
	return fd;
}

void adopt_calm(struct keeper *k)
{
	struct update *u = &k->update;
	uint64_t now = keeper_now_ms();
	struct proto_msg m;

	if (k->seat.hv.evtchn_fd < 0) {
		update_fail(k, "%s knows no journal of this version, and takes no simulated host",
			    u->file);
		return;
	}
	proto_init(&m, PROTO_CALM, u->force, NULL);
	m.id[m.n_ids++] = now < u->deadline_ms ? u->deadline_ms - now : 0;
	u->phase = UPDATE_CALM;
	/* the worker looks at that time; this one is for a worker that does not */
	u->deadline_ms += CALM_GRACE_MS;
	if (proto_send(k->worker.link, &m, false))
		update_fail(k, "the worker does not listen");
}

void adopt_calmed(struct keeper *k)
{
	if (k->update.phase == UPDATE_CALM)
		adopt_give(k);
}

void adopt_give(struct keeper *k)
{
	struct update *u = &k->update;
	struct proto_msg m;
	char path[PATH_MAX];
	int image, table, r;

	image_path(k, path);
	unlink(path);
	image = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	table = table_fd(k);
	proto_init(&m, PROTO_IMAGE, 0, NULL);
	m.id[PROTO_IMAGE_LISTEN] = (uint64_t)k->listen;
	m.id[PROTO_IMAGE_EVTCHN] = (uint64_t)k->seat.hv.evtchn_fd;
	m.id[PROTO_IMAGE_VERSION] = u->image_version;
	m.id[PROTO_IMAGE_CONN] = u->place[PROTO_CONN];
	m.n_ids = PROTO_IMAGE_WORDS;
	m.fd[0] = image;
	m.fd[1] = table;
	m.n_fds = 2;
	u->phase = UPDATE_IMAGE;
	r = image < 0 || table < 0 ? -EIO : proto_send(k->worker.link, &m, false);
	if (image >= 0)
		close(image);
	if (table >= 0)
		close(table);
	if (r)
		update_fail(k, "%s: cannot be written", path);
}

/*
 * As C xenstored opens its descriptors itself, or as ours are. It takes EAGAIN for the end of a
 * connection.
 */
static void set_foreign(int fd, bool foreign)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return; /* there is no such device */
	fcntl(fd, F_SETFL, foreign ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
	fcntl(fd, F_SETFD, foreign ? 0 : FD_CLOEXEC);
}

static void set_all_foreign(struct keeper *k, bool foreign)
{
	set_foreign(k->listen, foreign);
	set_foreign(k->seat.hv.evtchn_fd, foreign);
	for (size_t i = 0; i < k->clients.n; i++)
		if (k->clients.at[i].fd >= 0)
			set_foreign(k->clients.at[i].fd, foreign);
}

/* The other program expects no signals held back. Returns where it cannot be run; errno. */
static void become(const char *file, char **argv)
{
	sigset_t none, mine;
	int err;

	sigemptyset(&none);
	fflush(NULL);
	sigprocmask(SIG_SETMASK, &none, &mine);
	execv(file, argv);
	err = errno;
	sigprocmask(SIG_SETMASK, &mine, NULL);
	errno = err;
}

void adopt_give_written(struct keeper *k)
{
	struct update *u = &k->update;
	char **argv =
		words_with_update(u->argv, u->image_version ? KEEPER_FORMER_NONE : KEEPER_FORMER_C);

	if (!argv) {
		update_fail(k, "no memory");
		return;
	}
	log_notice("%s takes over with an image", u->file);
	/* from here on the image is what counts, and the worker would only change things */
	child_kill(&k->worker);
	if (k->o->xen)
		hv_xen_give(&k->seat.hv);
	set_all_foreign(k, true);
	hide_journal(k, true);
	become(u->file, argv);
	update_fail(k, "%s: %s", u->file, strerror(errno));
	hide_journal(k, false);
	set_all_foreign(k, false);
	free(argv);
}

void adopt_give_undo(struct keeper *k)
{
	char path[PATH_MAX];

	image_path(k, path);
	unlink(path);
}

void adopt_back(struct keeper *k)
{
	enum keeper_former former = k->o->former;
	char path[PATH_MAX], **argv;

	former_path(k, path);
	if (!k->o->back || k->was_ready || access(path, R_OK))
		return;
	argv = words_with_update(k->o->former_argv, former);
	if (!argv)
		return;
	log_error("%s goes on with what it left", k->o->back);
	argv[0] = (char *)(uintptr_t)k->o->back; /* execv's words are not const */
	/* C asks anew to be told of changed domains; the other has its port in what it left */
	if (former == KEEPER_FORMER_C && k->seat.hv.evtchn_fd >= 0)
		hv_xen_give(&k->seat.hv);
	set_all_foreign(k, true);
	hide_journal(k, true);
	become(k->o->back, argv);
	log_error("%s: %s", k->o->back, strerror(errno));
	free(argv);
}
