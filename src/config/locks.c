/* SPDX-License-Identifier: MIT */
/*
 * What lies in the userdata directory between changes: lock files, then intents. Invariant: none
 * of them is taken, so that looking keeps nobody waiting.
 */
#include "config/intent.h"
#include "config/session.h"

int drover_config_locks(struct drover_config *c, drover_lock_fn *fn, void *data)
{
	int r = conf_session_begin(c);

	if (!r)
		r = userdata_lock_each(c->userdata, fn, data);
	if (!r)
		r = intents_each(c->userdata, fn, data);
	return r;
}
