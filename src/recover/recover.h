/* SPDX-License-Identifier: MIT */
/*
 * From a journal to a core that serves. First everything is read, which changes nothing and can be
 * repeated to catch up with a worker that still writes; then it is taken over.
 */
#ifndef DROVER_RECOVER_RECOVER_H
#define DROVER_RECOVER_RECOVER_H

#include "recover/journal.h"
#include "state/load.h"

struct recover;

/* j is borrowed. opt: of the core to be; its policy is filled from the journal. -ENOMEM. */
int recover_new(struct journal *j, const struct core_options *opt, struct recover **ret);
/* Also the core, unless it was taken. Accepts NULL. */
void recover_free(struct recover *r);

/* Reads up to the last commit. EINVAL: damaged, logged, and in recover_error. -ENOMEM. */
int recover_read(struct recover *r);
const char *recover_error(const struct recover *r);

/* Borrowed: what is read so far, without what the area holds. */
const struct core *recover_core(const struct recover *r);

/* The process's settings as the journal has them. Borrowed. */
const struct load_host *recover_host(const struct recover *r);

/* How the sockets of connections are had again. */
struct recover_sockets {
	/*
	 * The transport of the connection that the journal knows by peer_id; *ret_transport goes
	 * over to the connection c. ENOENT: it is closed meanwhile.
	 */
	int (*find)(void *data, uint64_t peer_id, struct conn *c,
		    const struct transport_ops **ret_ops, void **ret_transport);
	void *data; /* borrowed */
};

/*
 * After the last recover_read, when nobody else uses the journal any more: connections get their
 * unread input, their unsent output and their transports, domains that are gone are buried, and
 * from then on the core's changes go to the journal. The core is the caller's. EINVAL: damaged.
 * -ENOMEM; the hypervisor's error.
 */
int recover_take_over(struct recover *r, struct journal *j, struct hv *hv,
		      const struct recover_sockets *sockets, struct core **ret);

#endif
