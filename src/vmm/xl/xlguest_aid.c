/* SPDX-License-Identifier: MIT */
/*
 * A PVH guest that has told Xen of no way to interrupt it has no drivers that would answer when it
 * is asked to suspend itself, and libxl, which suspends such an HVM guest by itself, waits for the
 * answer of this one. So it is answered here, in the guest's place: the request is taken away and
 * the domain is suspended, as the guest would have done it (docs: xen/include/public/sched.h,
 * xenstore-paths: control/shutdown).
 *
 * Invariant: only while it is being sent, and only what says "suspend" is answered.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenctrl.h>
#include <xenstore.h>

#include "vmm/xl/xlguest.h"

static void path_of(const struct xlguest *g, char ret[64])
{
	snprintf(ret, 64, "/local/domain/%d/control/shutdown", g->record.domid);
}

void xlguest_aid_begin(struct xlguest *g)
{
	char path[64];

	if (!g->status.unaware || g->config.c_info.type != LIBXL_DOMAIN_TYPE_PVH)
		return;
	path_of(g, path);
	g->aid = xs_open(0);
	if (!g->aid || !xs_watch(g->aid, path, "")) {
		fprintf(stderr, "drover-xlguest: %s cannot be watched: the guest may not stop\n",
			path);
		xlguest_aid_end(g);
	}
}

void xlguest_aid_end(struct xlguest *g)
{
	if (g->aid)
		xs_close(g->aid);
	g->aid = NULL;
}

int xlguest_aid_fd(const struct xlguest *g)
{
	return g->aid ? xs_fileno(g->aid) : -1;
}

static void suspend(struct xlguest *g)
{
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);

	if (!xch || xc_domain_shutdown(xch, (uint32_t)g->record.domid, SHUTDOWN_suspend) < 0)
		perror("drover-xlguest: the guest does not stop");
	if (xch)
		xc_interface_close(xch);
}

void xlguest_aid_ready(struct xlguest *g)
{
	char **event = xs_check_watch(g->aid), path[64], *word;
	unsigned int len;

	if (!event)
		return;
	free(event);
	path_of(g, path);
	word = xs_read(g->aid, XBT_NULL, path, &len);
	if (word && !strcmp(word, "suspend") && xs_write(g->aid, XBT_NULL, path, "", 0))
		suspend(g);
	free(word);
}
