/* SPDX-License-Identifier: MIT */
/*
 * Sockets that are listened on. Invariant: a path that a living daemon listens on is never taken
 * from it; one that is left over from a dead one is.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/front_own.h"
#include "hostd/settings.h"
#include "rpc/dial.h"
#include "rpc/tls.h"
#include "rpc/uri.h"

#define TEXT_SIZE 512u /* octets of an error's text */

static struct listener *listener_new(struct front *f, int fd)
{
	struct listener *l;

	if (f->n_listeners >= FRONT_LISTENERS_MAX) {
		log_error("more than %u sockets to listen on", FRONT_LISTENERS_MAX);
		close(fd);
		return NULL;
	}
	l = &f->listeners[f->n_listeners++];
	l->front = f;
	l->fd = fd;
	return l;
}

static int say(const char *address, int err)
{
	log_error("%s: cannot be listened on: %s", address, strerror(err));
	return -err;
}

/* Whether somebody answers there. */
static bool is_served(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool served;

	if (fd < 0)
		return true;
	served = !connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	close(fd);
	return served;
}

static int make_parents(const char *path)
{
	char copy[RPC_SOCKET_MAX + 1];

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *p = copy + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		if (mkdir(copy, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return 0;
}

/* Who may connect: before anybody can, since it does not listen yet. */
static int guard(const struct settings *s, const char *path, bool read_only)
{
	mode_t mode = read_only ? 0666 : (mode_t)s->unix_mode;

	if (s->unix_group) {
		const struct group *g = getgrnam(s->unix_group);

		if (!g) {
			log_error("unix_group: there is no group %s", s->unix_group);
			return -EINVAL;
		}
		if (chown(path, (uid_t)-1, g->gr_gid))
			return say(path, errno);
	}
	return chmod(path, mode) ? say(path, errno) : 0;
}

static int bind_unix(int fd, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(addr.sun_path))
		return say(path, ENAMETOOLONG);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (!bind(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return 0;
	if (errno != EADDRINUSE)
		return say(path, errno);
	if (is_served(&addr))
		return say(path, EADDRINUSE);
	if (unlink(path) || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)))
		return say(path, errno);
	return 0;
}

static int listen_unix(struct front *f, const char *path, bool read_only)
{
	int r = make_parents(path);
	struct listener *l;
	struct stat st;
	int fd;

	if (r)
		return say(path, -r);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return say(path, errno);
	l = listener_new(f, fd);
	if (!l)
		return -ENOSPC;
	l->local = true;
	l->read_only = read_only;
	r = bind_unix(fd, path);
	if (r)
		return r;
	l->path = strdup(path);
	if (!l->path)
		return FAULT(-ENOMEM);
	if (stat(path, &st))
		return say(path, errno);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	r = guard(f->host->set, path, read_only);
	if (!r && listen(fd, FRONT_BACKLOG))
		r = say(path, errno);
	return r;
}

static int listen_one(struct front *f, const char *address, const struct rpc_dial *d, size_t i,
		      bool tls)
{
	const struct sockaddr *addr = (const struct sockaddr *)&d->to[i].addr;
	struct listener *l;
	int on = 1;
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return say(address, errno);
	l = listener_new(f, fd);
	if (!l)
		return -ENOSPC;
	l->tls = tls;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    (addr->sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on))) ||
	    bind(fd, addr, d->to[i].len) || listen(fd, FRONT_BACKLOG))
		return say(address, errno);
	return 0;
}

static int load_tls(struct front *f)
{
	const struct settings *s = f->host->set;
	struct rpc_tls_files files = {
		.server = true,
		.ca = s->tls_ca,
		.crl = s->tls_crl,
		.cert = s->tls_cert,
		.key = s->tls_key,
		.allowed = (const char *const *)s->tls_allowed.v,
		.n_allowed = s->tls_allowed.n,
	};
	char text[TEXT_SIZE];
	int r;

	if (f->tls)
		return 0;
	r = rpc_tls_cred_load(&files, &f->tls, text, sizeof(text));
	if (r)
		log_error("TLS: %s", text);
	return -r;
}

static int listen_ip(struct front *f, const char *address)
{
	struct rpc_dial d = { 0 };
	char text[TEXT_SIZE];
	struct rpc_uri u;
	int r = rpc_address_parse(address, &u, text, sizeof(text));

	if (!r)
		r = rpc_dial_resolve(&u, &d, text, sizeof(text));
	if (r) {
		log_error("%s: %s", address, text);
		return -EINVAL;
	}
	if (u.transport == RPC_TLS)
		r = load_tls(f);
	for (size_t i = 0; !r && i < d.n; i++)
		r = listen_one(f, address, &d, i, u.transport == RPC_TLS);
	return r;
}

static int listen_address(struct front *f, const char *address)
{
	if (!strncmp(address, "unix://", 7))
		return listen_unix(f, address + 7, false);
	if (!strncmp(address, "unix-ro://", 10))
		return listen_unix(f, address + 10, true);
	return listen_ip(f, address);
}

/* Where libvirt's clients look for the daemon that serves such guests. */
static int listen_libvirt(struct front *f)
{
	const char *driver = !strcmp(f->host->set->backend, "qemu") ? "qemu" : "xen";
	char path[128];
	int r;

	snprintf(path, sizeof(path), "/run/libvirt/virt%sd-sock", driver);
	r = listen_unix(f, path, false);
	snprintf(path, sizeof(path), "/run/libvirt/virt%sd-sock-ro", driver);
	if (!r)
		r = listen_unix(f, path, true);
	return r;
}

int front_open(struct host *h)
{
	struct front *f = calloc(1, sizeof(*f));
	int r = 0;

	if (!f)
		return FAULT(-ENOMEM);
	f->host = h;
	list_init(&f->callers);
	list_init(&f->dirty);
	uv_timer_init(h->loop, &f->tick);
	uv_timer_init(h->loop, &f->pause);
	f->tick.data = f->pause.data = f;
	f->handles = 2;
	h->front = f;
	for (size_t i = 0; !r && i < h->set->listen.n; i++)
		r = listen_address(f, h->set->listen.v[i]);
	if (!r && h->set->libvirt_sockets)
		r = listen_libvirt(f);
	return r;
}

static void accept_more(uv_poll_t *poll, int status, int events);

static void stop_accepting(struct front *f)
{
	for (size_t i = 0; i < f->n_listeners; i++)
		if (f->listeners[i].polled)
			uv_poll_stop(&f->listeners[i].poll);
}

static void accept_again(uv_timer_t *timer)
{
	struct front *f = timer->data;

	for (size_t i = 0; i < f->n_listeners; i++)
		uv_poll_start(&f->listeners[i].poll, UV_READABLE, accept_more);
}

static void accept_more(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;
	struct front *f = l->front;

	(void)status;
	(void)events;
	for (unsigned int i = 0; i < FRONT_BACKLOG; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
			log_warning("no connection can be accepted now: %s", strerror(errno));
			stop_accepting(f);
			uv_timer_start(&f->pause, accept_again, FRONT_PAUSE_MS, 0);
		}
		if (fd < 0)
			return;
		if (f->n_callers >= f->host->set->max_clients) {
			log_warning("a connection is refused: there are %zu", f->n_callers);
			close(fd);
			continue;
		}
		front_caller_new(f, l, fd);
	}
}

void front_serve(struct host *h)
{
	struct front *f = h->front;

	for (size_t i = 0; i < f->n_listeners; i++) {
		struct listener *l = &f->listeners[i];

		l->poll.data = l;
		if (uv_poll_init(h->loop, &l->poll, l->fd)) {
			hostd_fail(h, FAULT(-EIO));
			return;
		}
		l->polled = true;
		f->handles++;
		uv_poll_start(&l->poll, UV_READABLE, accept_more);
	}
	f->serving = true;
}

static void handle_closed(uv_handle_t *handle)
{
	struct front *f = handle->data;

	if (--f->handles)
		return;
	rpc_tls_cred_free(f->tls);
	free(f);
}

static void listener_closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;

	handle->data = l->front;
	handle_closed(handle);
}

static void unlisten(struct listener *l)
{
	struct stat st;

	/* A socket that somebody else has put there meanwhile is not ours to remove. */
	if (l->path && !stat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	free(TAKE(l->path));
	if (l->polled)
		uv_poll_stop(&l->poll);
	close(l->fd);
	if (l->polled)
		uv_close((uv_handle_t *)&l->poll, listener_closed);
}

void front_close(struct host *h)
{
	struct front *f = TAKE(h->front);

	if (!f)
		return;
	h->front = f; /* what callers leave needs it */
	front_callers_close(f);
	h->front = NULL;
	for (size_t i = 0; i < f->n_listeners; i++)
		unlisten(&f->listeners[i]);
	uv_close((uv_handle_t *)&f->tick, handle_closed);
	uv_close((uv_handle_t *)&f->pause, handle_closed);
}
