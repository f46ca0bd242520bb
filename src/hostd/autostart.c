/* SPDX-License-Identifier: MIT */
/*
 * Guests that are started with the host. Invariant: the mark is there before the first of them is
 * started, so that a daemon that dies over one of them does not start it again and again.
 */
#include "hostd/autostart.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hostd/defs.h"
#include "hostd/life.h"
#include "hostd/settings.h"

#define MARK "autostarted"

static void started(void *data, struct dom *d, int code, const char *why)
{
	struct host *h = data;

	if (code)
		log_error("domain %s: cannot be started with the host: %s", d->name, why);
	else
		log_notice("domain %s: started with the host", d->name);
	dom_release(h, d);
}

static void granted(void *data, struct dom *d, int code, const char *why)
{
	char text[VMM_ERROR_MAX] = "";
	struct host *h = data;
	struct guest_def *def;
	bool may;

	if (code) {
		log_error("domain %s: cannot be started with the host: %s", d->name, why);
		return;
	}
	/* Who gave it away and then lost its power does not know that it is gone, but the journal.
	 */
	may = !h->hooks->may || !h->hooks->may(h, d, HOSTD_START, text, sizeof(text));
	if (!may)
		log_error("domain %s: is not started with the host: %s", d->name, text);
	def = may && d->persistent && !d->removed && !dom_is_active(d) ? def_copy(d->persistent)
								       : NULL;
	if (def)
		life_start(h, d, def, false, started, h);
	else
		dom_release(h, d);
}

void autostart_all(struct host *h)
{
	char *text = NULL;
	size_t len;
	int r = defs_file_read(h->set->run_dir, MARK, &text, &len);

	free(text);
	if (!r || defs_file_write(h->set->run_dir, MARK, "", 0))
		return;
	for (size_t i = 0; i < h->doms.n; i++)
		if (h->doms.by_uuid[i]->autostart && !dom_is_active(h->doms.by_uuid[i]))
			dom_take(h, h->doms.by_uuid[i], "autostart", granted, h);
}
