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
#include "hostd/save.h"
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

/*
 * What its definition says is of no weight beside what the journal does: a guest that was given
 * away may run where it went, which somebody has to look at; one whose migration is not settled is
 * started once it is known that it stays.
 */
static bool may_start(struct host *h, struct dom *d)
{
	char text[VMM_ERROR_MAX] = "";

	if (h->hooks->is_away && h->hooks->is_away(h, d)) {
		log_error("domain %s: is not started with the host: it has migrated to another one",
			  d->name);
		return false;
	}
	if (!h->hooks->may || !h->hooks->may(h, d, HOSTD_START, text, sizeof(text)))
		return true;
	log_notice("domain %s: is not started with the host yet: %s", d->name, text);
	def_free(d->again);
	d->again = def_copy(d->persistent);
	return false;
}

static void granted(void *data, struct dom *d, int code, const char *why)
{
	struct host *h = data;

	if (code) {
		log_error("domain %s: cannot be started with the host: %s", d->name, why);
		return;
	}
	if (d->persistent && !d->removed && !dom_is_active(d) && may_start(h, d))
		save_start(h, d, false, started, h);
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
