/* SPDX-License-Identifier: MIT */
/*
 * Changes that cannot come to their end: the domain is gone, or whoever made them gives up.
 */
#include <errno.h>
#include <string.h>

#include "config/change.h"

/* The frontend went with the domain: where there is one again, it is another domain's. */
static int remove_leftovers(struct drover_config *c, const struct conf_domain *d,
			    const struct change_place *p)
{
	__attribute__((cleanup(keys_fini))) struct keys keys = { .anyway = true };
	int r = keys_add(&keys, KEYS_EXPECT, p->front, NULL, 0, 0, &c->err);

	if (!r && p->back)
		r = keys_add(&keys, KEYS_CLEAN, p->back, NULL, 0, 0, &c->err);
	if (!r && p->libxl)
		r = keys_add(&keys, KEYS_CLEAN, p->libxl, NULL, 0, 0, &c->err);
	if (!r)
		r = keys_commit(c, d, &keys);
	return r == -EAGAIN ? 0 : r;
}

int change_gone(struct drover_config *c, struct conf_domain *d, const struct conf_class *k,
		const char *id, const struct change_place *p, bool keys)
{
	struct conf_domain anew;
	int r;

	/* what d holds may still be looked at; its files are read anew, under a lock of their own
	 */
	conf_domain_unlock(d);
	conf_domain_init(&anew, d->domid);
	memcpy(anew.uuid, d->uuid, sizeof(anew.uuid));
	r = conf_domain_load_files(c, &anew, false, DROVER_RETRIEVE_DEGRADED);
	if (!r && keys && p->front && class_place(k) == CLASS_DIRECTORY)
		r = remove_leftovers(c, &anew, p);
	if (!r && anew.config && change_entry_del(anew.config, k, id))
		r = conf_domain_store_record(c, &anew);
	if (!r)
		r = intents_drop(c->userdata, anew.domid, anew.uuid, class_name(k), id, &c->err);
	conf_domain_fini(&anew);
	return r;
}

void change_give_up(struct drover_config *c, struct conf_domain *d, const struct conf_class *k,
		    const char *id)
{
	struct conf_err was = c->err;
	struct conf_domain anew;
	int r = 0;

	/* what d holds may still be looked at: only the lock is wanted */
	conf_domain_init(&anew, d->domid);
	memcpy(anew.uuid, d->uuid, sizeof(anew.uuid));
	if (d->record.fd < 0)
		r = conf_domain_load_files(c, &anew, false, DROVER_RETRIEVE_DEGRADED);
	if (!r)
		intents_disown(c->userdata, d->domid, d->uuid, class_name(k), id, NULL);
	conf_domain_fini(&anew);
	c->err = was;
}
