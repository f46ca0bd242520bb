/* SPDX-License-Identifier: MIT */
/*
 * The daemon as a whole, for main.c.
 */
#ifndef DROVER_HOSTD_HOSTD_H
#define DROVER_HOSTD_HOSTD_H

#include "hostd/host.h"

struct hostd;
struct settings;

/* What is opened when guests and definitions are known, before anybody is served. */
struct hostd_parts {
	int (*open)(struct host *h);   /* < 0: logged; nothing is served */
	void (*close)(struct host *h); /* also after an open that failed; may be NULL, as open */
};

/*
 * set is borrowed until hostd_close. < 0: logged; *ret is to be closed all the same, where it is
 * not NULL.
 */
int hostd_open(const struct settings *set, const struct hostd_parts *parts, struct hostd **ret);
/* Serves until hostd_stop. < 0: it could not go on. */
int hostd_run(struct hostd *d);
void hostd_stop(struct hostd *d);
/* Guests go on. */
void hostd_close(struct hostd *d, const struct hostd_parts *parts);
struct host *hostd_host(struct hostd *d);
struct uv_loop_s *hostd_loop(struct hostd *d);

#endif
