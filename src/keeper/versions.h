/* SPDX-License-Identifier: MIT */
/* What another program can take over from us, by what its --help says. */
#ifndef DROVER_KEEPER_VERSIONS_H
#define DROVER_KEEPER_VERSIONS_H

#include <stdbool.h>

/* It reads our journal, and its keeper speaks as ours does. */
bool versions_same_journal(const char *said);

/* The highest version of images, with our own records, that both know; 0: there is none. */
unsigned int versions_image(const char *said);

#endif
