/* SPDX-License-Identifier: MIT */
/*
 * A network namespace without anything in it, made once: entering one is quick, making one is not,
 * and a worker starts while clients wait.
 */
#ifndef DROVER_KEEPER_NETNS_H
#define DROVER_KEEPER_NETNS_H

/* Its descriptor; -1: not permitted here. The caller stays in the namespace it was in. */
int netns_open_empty(void);

#endif
