/* SPDX-License-Identifier: MIT */
/*
 * From an image that another daemon has left, with its descriptors, to a core that serves; see
 * docs/decisions/0011-adoption.md.
 */
#ifndef DROVER_RECOVER_ADOPT_H
#define DROVER_RECOVER_ADOPT_H

#include "recover/recover.h"

/*
 * Reads the image at fd, in the layout of upstream, whole; then connections get their transports:
 * sockets by the number of their descriptor in the image, rings by the port that is bound still.
 * Last, all of it is written to j, which is fresh. opt, hv and sockets as for recover_take_over;
 * opt's area and counters are j's. The core is the caller's, and fd stays so. *host: what this
 * process is set to, replaced by what the image says of that.
 *
 * EINVAL: the image is refused, logged with record and offset; nobody has noticed. -ENOMEM, or an
 * error of fd or of j.
 */
int adopt_image(int fd, const struct core_options *opt, struct journal *j, struct hv *hv,
		const struct recover_sockets *sockets, struct load_host *host, struct core **ret);

#endif
