/* SPDX-License-Identifier: MIT */
/*
 * live-update. Invariant: a request is begun once: asked again it finds itself awaited or decided,
 * also by a process that has only been told of the decision.
 */
#include "control/update.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "op/op.h"

static int say(char *reply, size_t room, const char *text)
{
	snprintf(reply, room, "%s", text);
	return 0;
}

static bool is_it(const struct control_update *u, const struct conn *c, uint64_t position)
{
	return u->conn == c->id && u->position == position;
}

static int set(char *to, size_t room, const char *from)
{
	size_t len = strlen(from);

	if (len >= room)
		return E2BIG;
	memcpy(to, from, len + 1);
	return 0;
}

/* -s [-t SECONDS] [-F] */
static int parse_start(const char *const *arg, size_t n, uint64_t *ret_timeout_ms, bool *ret_force)
{
	unsigned long seconds = CONTROL_UPDATE_TIMEOUT_S;
	char *end;

	*ret_force = false;
	for (size_t i = 1; i < n; i++) {
		if (!strcmp(arg[i], "-F")) {
			*ret_force = true;
			continue;
		}
		if (strcmp(arg[i], "-t") || ++i == n)
			return EINVAL;
		errno = 0;
		seconds = strtoul(arg[i], &end, 10);
		if (!*arg[i] || *end || errno || *arg[i] == '-')
			return EINVAL;
	}
	if (seconds > UINT32_MAX)
		seconds = UINT32_MAX;
	*ret_timeout_ms = (uint64_t)seconds * 1000;
	return 0;
}

static int start(struct control_update *u, struct conn *c, const char *const *arg, size_t n,
		 char *reply, size_t room)
{
	uint64_t position = c->in_pos, timeout_ms;
	int r;

	if (u->decided && is_it(u, c, position))
		return say(reply, room, u->verdict);
	if (u->awaited)
		return is_it(u, c, position) ? OP_WAIT : say(reply, room, "BUSY");
	r = parse_start(arg, n, &timeout_ms, &u->force);
	if (r)
		return r;
	if (!*u->file)
		return say(reply, room, "live-update: no file was named: -f FILE");
	r = u->begin(u->data, c->id, position, u->file, u->args, timeout_ms);
	if (r)
		return r;
	u->awaited = true;
	u->decided = false;
	u->conn = c->id;
	u->position = position;
	return OP_WAIT;
}

int control_update_call(struct control_update *u, struct conn *c, const char *const *arg, size_t n,
			char *reply, size_t room)
{
	if (!n)
		return EINVAL;
	if (!strcmp(arg[0], "-s"))
		return start(u, c, arg, n, reply, room);
	if (!strcmp(arg[0], "-a") && n == 1) {
		u->file[0] = u->args[0] = '\0';
		if (u->awaited)
			u->abort(u->data);
		return 0;
	}
	if (n != 2)
		return EINVAL;
	if (!strcmp(arg[0], "-f")) {
		u->args[0] = '\0'; /* of an update that nobody finished */
		return set(u->file, sizeof(u->file), arg[1]);
	}
	if (!strcmp(arg[0], "-c"))
		return set(u->args, sizeof(u->args), arg[1]);
	return EINVAL;
}

bool control_update_is_awaited(const struct control_update *u, const struct conn *c)
{
	return u->awaited && u->conn == c->id;
}

void control_update_forget(struct control_update *u)
{
	u->awaited = false;
}

bool control_update_decide(struct control_update *u, struct core *core, uint64_t conn,
			   uint64_t position, const char *verdict)
{
	struct conn *c;

	/* of an update whose requester has gone: the next one may have begun since */
	if (u->awaited && (u->conn != conn || u->position != position))
		return false;
	if (u->awaited)
		u->file[0] = u->args[0] = '\0';
	u->awaited = false;
	u->decided = true;
	u->conn = conn;
	u->position = position;
	snprintf(u->verdict, sizeof(u->verdict), "%s", verdict);
	if (!core)
		return true; /* it will find the verdict when it is served first */
	list_for_each(c, &core->conns.all, all)
		if (c->id == conn)
			c->contender.wake(&c->contender);
	return true;
}
