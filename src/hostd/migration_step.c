/* SPDX-License-Identifier: MIT */
/*
 * Steps of a migration that change a guest. Invariant: a step's act is called exactly once, with
 * the guest taken, or with none where there is none any more; whatever act began, step_end is
 * called once after it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "hostd/migration.h"

static void ask(struct step *s, struct dom *d);

static void on_granted(void *data, struct dom *d, int code, const char *why)
{
	struct step *s = data;

	if (code) {
		/* It has to be done, however long another call takes with the guest. */
		log_warning("domain %s: a migration waits for it: %s", d->name, why);
		ask(s, d);
		return;
	}
	s->dom = d;
	s->run = run_find(s->host, &s->id);
	s->act(s);
}

static void ask(struct step *s, struct dom *d)
{
	dom_take(s->host, d, "migration", on_granted, s);
}

void step_begin(struct run *r, const struct mig_row *row, void (*act)(struct step *s))
{
	struct step *s = calloc(1, sizeof(*s));

	if (!s) {
		hostd_fail(r->host, FAULT(-ENOMEM));
		return;
	}
	s->host = r->host;
	s->id = r->id;
	s->run = r;
	s->row = *row;
	s->act = act;
	if (r->dom && !r->dom->removed)
		ask(s, r->dom);
	else
		act(s);
}

void step_end(struct step *s)
{
	if (s->dom)
		dom_release(s->host, s->dom);
	free(s);
}
