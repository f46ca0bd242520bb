/* SPDX-License-Identifier: MIT */
/*
 * Steps of a migration that change a guest. Invariant: a step's act is called exactly once, with
 * the guest taken, or with none where there is none any more, unless the daemon ends before;
 * whatever act began, step_end is called once after it, unless the daemon ends before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "hostd/migration.h"

static void step_free(struct step *s)
{
	list_remove(&s->link);
	free(s);
}

static void on_granted(void *data, struct dom *d, int code, const char *why)
{
	struct step *s = data;

	(void)why;
	if (code) { /* the daemon ends: the next one finds in the journal what has to be done */
		step_free(s);
		return;
	}
	s->dom = d;
	s->run = run_find(s->host, &s->id);
	s->act(s);
}

void step_begin(struct run *r, const struct mig_row *row, void (*act)(struct step *s))
{
	struct step *s = calloc(1, sizeof(*s));

	if (!s) {
		hostd_fail(r->host, FAULT(-ENOMEM));
		return;
	}
	list_init(&s->link);
	list_append(&r->host->migration->steps, &s->link);
	s->host = r->host;
	s->id = r->id;
	s->run = r;
	s->row = *row;
	s->act = act;
	if (r->dom && !r->dom->removed)
		dom_take_surely(r->host, r->dom, "migration", on_granted, s);
	else
		act(s);
}

void step_end(struct step *s)
{
	if (s->dom)
		dom_release(s->host, s->dom);
	step_free(s);
}

void step_drop_all(struct host *h)
{
	struct step *s;

	list_for_each(s, &h->migration->steps, link)
		step_free(s);
}
