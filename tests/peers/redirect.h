/* SPDX-License-Identifier: MIT */
/*
 * What the two halves of the shim share.
 */
#ifndef DROVER_PEERS_REDIRECT_H
#define DROVER_PEERS_REDIRECT_H

/* DROVER_SIM_DIR, NULL where unset: then nothing is redirected. */
const char *shim_dir(void);

#endif
