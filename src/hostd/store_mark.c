/* SPDX-License-Identifier: MIT */
/*
 * The daemon's own node for each guest. Invariant: it is there from before the first until after
 * the last thing that is made for a guest, so that whoever comes after a daemon that was killed
 * knows what there may be.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/store_seat.h"
#include "wire/wire.h"

#define MARKS "/drover/guests/"

static const char *const states[HSTORE_STATES] = {
	[HSTORE_MAKING] = "making",
	[HSTORE_PREPARED] = "prepared",
	[HSTORE_HERE] = "here",
	[HSTORE_ENDING] = "ending",
};

void mark_path(const char *uuid, char ret[64])
{
	snprintf(ret, 64, MARKS "%s", uuid);
}

size_t mark_print(const struct hstore_mark *m, char ret[HSTORE_MARK_MAX])
{
	return (size_t)snprintf(ret, HSTORE_MARK_MAX, "%u %" PRIu64 " %" PRIu64 " %s %s", m->domid,
				m->unique, m->epoch, states[m->state], m->host);
}

/* Digits and a space, behind which *at is put. */
static bool take_number(const char **at, uint64_t *ret)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	errno = 0;
	*ret = strtoull(*at, &end, 10);
	if (errno || *end != ' ')
		return false;
	*at = end + 1;
	return true;
}

int mark_parse(const char *text, size_t len, struct hstore_mark *ret)
{
	struct hstore_mark m = { .state = HSTORE_STATES };
	const char *at = text, *space;
	uint64_t domid;

	if (strlen(text) != len || !take_number(&at, &domid) || !take_number(&at, &m.unique) ||
	    !take_number(&at, &m.epoch))
		return -EBADMSG;
	space = strchr(at, ' ');
	for (size_t i = 0; space && i < HSTORE_STATES; i++)
		if (strlen(states[i]) == (size_t)(space - at) &&
		    !memcmp(states[i], at, (size_t)(space - at)))
			m.state = (enum hstore_state)i;
	if (m.state == HSTORE_STATES || !domid || domid > 0x7fef ||
	    strlen(space + 1) >= sizeof(m.host))
		return -EBADMSG;
	m.domid = (uint16_t)domid;
	memcpy(m.host, space + 1, strlen(space + 1) + 1);
	*ret = m;
	return 0;
}

int mark_read(struct hstore_seat *s, const char *uuid, struct hstore_mark *ret)
{
	const struct conf_reply *reply;
	char path[64];
	int r;

	mark_path(uuid, path);
	seat_begin(s);
	seat_add(s, XS_READ, path, NULL, 0);
	r = seat_send(s);
	if (r)
		return r;
	reply = seat_reply(s, 0);
	if (reply->err == ENOENT)
		return conf_fail(&s->err, -ENOENT, "store: there is no guest %s of this daemon",
				 uuid);
	if (reply->err)
		return seat_refused(s, path, reply->err, false);
	if (mark_parse(reply->data, reply->len, ret))
		return conf_fail(&s->err, -EBADMSG, "store: %s: not what this daemon wrote: %.80s",
				 path, reply->data);
	return 0;
}

int mark_write(struct hstore_seat *s, const char *uuid, const struct hstore_mark *m)
{
	char path[64], text[HSTORE_MARK_MAX];
	size_t len = mark_print(m, text);
	int r;

	mark_path(uuid, path);
	seat_begin(s);
	seat_add(s, XS_WRITE, path, text, len);
	r = seat_send(s);
	if (!r && seat_reply(s, 0)->err)
		r = seat_refused(s, path, seat_reply(s, 0)->err, false);
	return r;
}

int mark_remove(struct hstore_seat *s, const char *uuid)
{
	char path[64];
	int r;

	mark_path(uuid, path);
	seat_begin(s);
	seat_add(s, XS_RM, path, NULL, 0);
	r = seat_send(s);
	if (!r && seat_reply(s, 0)->err && seat_reply(s, 0)->err != ENOENT)
		r = seat_refused(s, path, seat_reply(s, 0)->err, false);
	return r;
}
