/* SPDX-License-Identifier: MIT */
/*
 * Waiting for changes that may concern a domain's configuration: watches on the store, on a
 * connection of their own, and inotify on the userdata directory.
 *
 * Invariant: an event that cannot be understood, or that was dropped, is told as a change of the
 * list of domains, so that whoever listens looks at all of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "config/session.h"
#include "config/whose.h"

#define ALL_DOMAINS UINT32_MAX

/* Events that concern nobody, passed over between two looks at the clock. */
#define WAIT_EVENTS_MAX 1024

/* userdata-d.N.UUID.NAME of a name that matters. */
static bool whose_file(const char *name, uint32_t *ret)
{
	const char *dot = strrchr(name, '.');
	char *end;
	unsigned long domid;

	if (strncmp(name, "userdata-d.", 11) != 0 || !dot)
		return false;
	if (strcmp(dot + 1, USERDATA_RECORD) != 0 && strcmp(dot + 1, USERDATA_INTENTS) != 0)
		return false;
	domid = strtoul(name + 11, &end, 10);
	if (*end != '.' || domid > UINT16_MAX)
		return false;
	*ret = (uint32_t)domid;
	return true;
}

/* What was begun is as if it never was: the next call begins anew. */
static void end(struct drover_config *c)
{
	conf_client_close(c->watching);
	c->watching = NULL;
	if (c->inotify >= 0)
		close(c->inotify);
	c->inotify = -1;
}

static int begin(struct drover_config *c)
{
	static const char *const paths[] = { "/local/domain", "/libxl", "@introduceDomain",
					     "@releaseDomain" };
	size_t i;
	int r;

	c->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (c->inotify < 0 ||
	    inotify_add_watch(c->inotify, userdata_dir(c->userdata), IN_MOVED_TO | IN_DELETE) < 0) {
		r = conf_fail(&c->err, errno == EACCES ? -EACCES : -EIO, "watch %s: %s",
			      userdata_dir(c->userdata), strerror(errno));
		end(c);
		return r;
	}
	r = conf_client_open(c->store, c->opt.store_timeout_ms, &c->err, &c->watching);
	for (i = 0; !r && i < sizeof(paths) / sizeof(paths[0]); i++) {
		r = conf_client_watch(c->watching, paths[i], "drover", &c->err);
		/* special nodes are not everybody's to watch; the others tell, too */
		if (r == -EACCES && paths[i][0] == '@')
			r = 0;
	}
	if (r) {
		end(c);
		return r;
	}
	return conf_fail(&c->err, -EAGAIN, "watching begins");
}

/* All that the directory told; the last one's domid, or all of them where they are several. */
static bool take_files(struct drover_config *c, uint32_t *ret)
{
	_Alignas(struct inotify_event) char buf[4096];
	const struct inotify_event *e;
	bool any = false;
	uint32_t domid;
	ssize_t n, at;

	while ((n = read(c->inotify, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
			e = (const void *)(buf + at);
			if (e->mask & IN_Q_OVERFLOW)
				domid = ALL_DOMAINS;
			else if (!e->len || !whose_file(e->name, &domid))
				continue;
			*ret = any && *ret != domid ? ALL_DOMAINS : domid;
			any = true;
		}
	}
	return any;
}

/*
 * An event of the store that is there already. -ETIMEDOUT: none that matters, or so many that do
 * not that it is time to look at the clock.
 */
static int take_nodes(struct drover_config *c, uint32_t *ret)
{
	enum whose whose = WHOSE_NOBODY;
	char *path, *token;
	size_t n;
	int r;

	for (n = 0; whose == WHOSE_NOBODY && n < WAIT_EVENTS_MAX; n++) {
		r = conf_client_event(c->watching, 0, &c->err, &path, &token);
		if (r)
			return r;
		whose = whose_node(path, ret);
		free(path);
		free(token);
	}
	if (whose == WHOSE_ANY)
		*ret = ALL_DOMAINS;
	return whose == WHOSE_NOBODY ? -ETIMEDOUT : 0;
}

int drover_config_wait(struct drover_config *c, uint32_t timeout_ms, uint32_t *ret_domid)
{
	uint64_t deadline = conf_now_ms() + timeout_ms;
	int r = conf_session_begin(c);

	if (r)
		return r;
	if (!c->watching)
		return begin(c);
	for (;;) {
		struct pollfd p[2] = {
			{ .fd = conf_client_fd(c->watching), .events = POLLIN },
			{ .fd = c->inotify, .events = POLLIN },
		};
		uint64_t now, left;

		r = take_nodes(c, ret_domid);
		if (r != -ETIMEDOUT)
			return r;
		if (take_files(c, ret_domid))
			return 0;
		now = conf_now_ms();
		left = timeout_ms == UINT32_MAX ? INT32_MAX : deadline > now ? deadline - now : 0;
		if (!left)
			return conf_fail(&c->err, -ETIMEDOUT, "nothing changed in time");
		if (poll(p, 2, left > INT32_MAX ? INT32_MAX : (int)left) < 0 && errno == EINTR)
			return conf_fail(&c->err, -EINTR, "interrupted");
	}
}
