/* SPDX-License-Identifier: MIT */
/*
 * A whole world as C xenstored 4.17 reads it, and what that leaves behind. See
 * docs/decisions/0011-adoption.md.
 */
#ifndef DROVER_STATE_FOREIGN_H
#define DROVER_STATE_FOREIGN_H

#include "state/rec.h"

#define FOREIGN_INPUT_MAX 65535u /* octets of unread input that a record can say */

/* The first len octets of a stream: those of its first request, 0 where that is not whole. */
size_t foreign_request_len(const uint8_t *in, size_t len);

struct foreign_host {
	int32_t socket_fd; /* listening */
	int32_t evtchn_fd;
	/* The descriptor of the socket that its maker numbered so; -1: there is none. */
	int32_t (*fd_of)(void *data, uint64_t peer_id);
	void *data; /* borrowed */
	/* The connection whose first request waits for this image: it is answered "OK". 0: none. */
	uint64_t asked_by;
};

/*
 * Puts all of core to s but END; no transaction, no limit, and watches without their depths. core
 * stands still meanwhile, and no connection but asked_by has a whole request unread. EINVAL: one
 * has, or has more than a record can say, logged. -ENOMEM, or the sink's error.
 */
int foreign_put(struct core *core, const struct foreign_host *host, const struct state_sink *s);

/* Says, a line each, what foreign_put leaves out or weakens. */
void foreign_losses(const struct core *core, void (*say)(void *data, const char *line), void *data);

#endif
