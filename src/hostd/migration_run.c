/* SPDX-License-Identifier: MIT */
/*
 * A guest on its way: made ready for, sent, exported, imported. Invariant: each effect is answered
 * by one call to the machine, also where there is no guest any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/life.h"
#include "hostd/migration.h"
#include "hostd/settings.h"
#include "hostd/store.h"
#include "hostd/xml.h"
#include "vmm/xl_config.h"

/* What a callback of store or pool is given: the migration may be over when it comes. */
struct later {
	struct list link; /* of the migration's laters: freed with it at the latest */
	struct host *host;
	struct mig_id id;
};

static struct later *later_new(struct run *r)
{
	struct later *l = calloc(1, sizeof(*l));

	if (!l) {
		hostd_fail(r->host, FAULT(-ENOMEM));
		return NULL;
	}
	l->host = r->host;
	l->id = r->id;
	list_append(&r->host->migration->laters, &l->link);
	return l;
}

/* Accepts NULL. */
static void later_free(struct later *l)
{
	if (!l)
		return;
	list_remove(&l->link);
	free(l);
}

void migration_drop_laters(struct host *h)
{
	struct later *l;

	list_for_each(l, &h->migration->laters, link)
		later_free(l);
}

/* ---- destination: incoming ---- */

/* The source has connected: what comes is the guest's memory. */
static void on_source(void *data, const struct mig_id *id, int fd, const char *why)
{
	struct host *h = data;
	struct run *run = run_find(h, id);
	int r = -ENOTCONN;

	(void)why;
	if (run)
		run->listener = NULL;
	if (run && run->dom && run->dom->guest) {
		vmm_set_domid_wish(run->dom->guest, run->domid ? run->domid : -1);
		r = vmm_receive(run->dom->guest, fd);
	} else {
		close(fd);
	}
	if (r && run)
		migrator_received(h->migrator, id, r, "the guest's process cannot receive");
	hostd_wake(h);
}

static void incoming_listen(struct run *run)
{
	const struct settings *set = run->host->set;
	const struct data_where where = {
		.address = set->migration_address,
		.host = set->migration_address ? set->migration_address : run->host->name,
		.port_min = set->migration_port_min,
		.port_max = set->migration_port_max,
	};
	char text[VMM_ERROR_MAX] = "no memory";
	int r = data_listen(run->host->loop, &where, run->uri_in, &run->id, on_source, run->host,
			    &run->listener, run->uri_out, text, sizeof(text));

	migrator_incoming_ready(run->host->migrator, &run->id, r < 0 ? -r : r, r ? text : "");
}

static void incoming_started(void *data, struct dom *d, int code, const char *why)
{
	struct step *s = data;
	struct run *run = run_find(s->host, &s->id);

	(void)d;
	if (run && code)
		migrator_incoming_ready(s->host->migrator, &s->id, EIO, why);
	else if (run)
		incoming_listen(run);
	hostd_wake(s->host);
	step_end(s);
}

/*
 * What the guest's part of the store can be made of before it stops. If that fails, the import does
 * all of it, or fails itself and says why.
 */
static void prepare_store(struct step *s, const struct guest_def *def)
{
	char text[VMM_ERROR_MAX], *json = NULL;
	size_t len;

	if (hstore_is_none(s->host->store) || xl_config_print(def, &json, &len, text, sizeof(text)))
		return;
	hstore_prepare(s->host->store, s->row.uuid, s->row.epoch + 1, json, len, NULL, NULL);
	free(json);
}

static void incoming_act(struct step *s)
{
	char id[VMM_MIGRATION_ID];
	struct run *run = s->run;

	if (!run || !s->dom) {
		migrator_incoming_ready(s->host->migrator, &s->id, ECANCELED,
					"the guest was removed meanwhile");
		step_end(s);
		return;
	}
	def_uuid_print(s->id.b, id);
	prepare_store(s, run->def);
	life_incoming(s->host, s->dom, TAKE(run->def), s->row.epoch + 1, id, incoming_started, s);
}

void run_incoming(struct run *run, const struct mig_effect *e)
{
	struct host *h = run->host;
	struct dom *d = dom_find_uuid(&h->doms, run->uuid);
	int r = 0;

	/* Prepare looked at names and uuids; what came in between is told now. */
	if (!d && !(e->row->flags & MIG_OFFLINE))
		r = dom_new(&h->doms, run->uuid, run->def->name, &d);
	if (r) {
		migrator_incoming_ready(h->migrator, &run->id, r < 0 ? -r : r,
					"another guest has this name or uuid");
		return;
	}
	run_set_dom(run, d);
	if (e->row->flags & MIG_OFFLINE)
		migrator_incoming_ready(h->migrator, &run->id, 0, "");
	else
		step_begin(run, e->row, incoming_act);
}

/* ---- source: send ---- */

static void send_begun(void *data, int err, const char *why)
{
	struct later *l = data;

	if (err)
		migrator_sent(l->host->migrator, &l->id, err, why);
	hostd_wake(l->host);
	later_free(l);
}

static void send_over(struct run *run, int fd)
{
	struct later *l = later_new(run);
	int r = -ENOTCONN;

	if (l && run->dom && run->dom->guest)
		r = vmm_send(run->dom->guest, fd, &run->send, send_begun, l);
	else
		close(fd);
	if (!r) {
		run->sending = true;
		return;
	}
	later_free(l);
	migrator_sent(run->host->migrator, &run->id, r, "the guest cannot be sent as it is now");
}

static void on_connected(void *data, const struct mig_id *id, int fd, const char *why)
{
	struct host *h = data;
	struct run *run;

	if (!h->migration) { /* the daemon ends: the next one finds the row */
		if (fd >= 0)
			close(fd);
		return;
	}
	run = run_find(h, id);
	if (run)
		run->connecting = false;
	if (!run || run->cancel) {
		if (fd >= 0)
			close(fd);
		migrator_sent(h->migrator, id, -ECANCELED, "cancelled");
	} else if (fd < 0) {
		migrator_sent(h->migrator, id, fd, why);
	} else {
		send_over(run, fd);
	}
	hostd_wake(h);
}

void run_send(struct run *run, const struct mig_effect *e)
{
	char text[VMM_ERROR_MAX] = "no memory";
	int r;

	(void)e;
	r = data_connect(run->host->loop, run->uri, &run->id, on_connected, run->host, text,
			 sizeof(text));
	if (r)
		migrator_sent(run->host->migrator, &run->id, r < 0 ? r : -r, text);
	else
		run->connecting = true;
}

/*
 * Of a guest that was found: its process tells of its sending if there is any, and there is nothing
 * to wait for otherwise.
 */
static void cancel_found(struct run *run)
{
	struct vmm_guest *g = run->dom ? run->dom->guest : NULL;

	if (g && vmm_guest_state(g) == VMM_STARTING)
		return; /* run_answers follows */
	run->cancel = false;
	if (g && !vmm_send_cancel(g))
		run->sending = true;
	else
		migrator_sent(run->host->migrator, &run->id, -ECANCELED, "it was not being sent");
}

void run_send_cancel(struct run *run, const struct mig_effect *e)
{
	(void)e;
	run->cancel = true;
	if (run->connecting)
		return; /* it ends when it would begin */
	if (run->sending && run->dom && run->dom->guest)
		vmm_send_cancel(run->dom->guest);
	else if (run->restored)
		cancel_found(run);
}

void run_answers(struct run *run)
{
	if (run->restored && run->cancel && !run->sending)
		cancel_found(run);
}

/* ---- the guest's part of the store ---- */

static void on_exported(void *data, int err, const char *why, const uint8_t *blob, size_t len)
{
	struct later *l = data;

	migrator_exported(l->host->migrator, &l->id, err, why, blob, len);
	hostd_wake(l->host);
	later_free(l);
}

void run_export(struct run *run, const struct mig_effect *e)
{
	unsigned int flags = e->row->flags & MIG_UNSAFE ? HSTORE_UNSAFE : 0;
	struct later *l = later_new(run);
	int r;

	if (run->dom && run->dom->guest && vmm_guest_is_unaware(run->dom->guest))
		flags |= HSTORE_UNAWARE;
	r = l ? hstore_export(run->host->store, run->uuid, flags, on_exported, l) : -ENOMEM;

	if (!r)
		return;
	later_free(l);
	migrator_exported(run->host->migrator, &run->id, r, "too many wait for the store", NULL, 0);
}

static void on_imported(void *data, int err, const char *why, int domid)
{
	struct later *l = data;
	struct run *run = run_find(l->host, &l->id);

	if (run && run->dom && !err)
		run->dom->domid = domid;
	migrator_imported(l->host->migrator, &l->id, err, why);
	hostd_wake(l->host);
	later_free(l);
}

static void text_freep(char **p)
{
	free(*p);
}

/* What run_import was called with, where libxl's domain is not there yet. */
struct run_held {
	struct mig_row row;
	size_t len;
	uint8_t blob[];
};

void run_held_free(struct run_held *held)
{
	free(held);
}

/* The configuration is that of the XML that was prepared: another name, other files. */
static void import(struct run *run, const struct mig_row *row, const uint8_t *blob, size_t blob_len)
{
	unsigned int flags = row->flags & MIG_UNSAFE ? HSTORE_UNSAFE : 0;
	CLEANUP(text_free) char *json = NULL;
	struct later *l = later_new(run);
	char text[VMM_ERROR_MAX] = "no memory";
	size_t len = 0;
	int r = l ? 0 : -ENOMEM;

	if (!r && run->dom && run->dom->live && !hstore_is_none(run->host->store))
		r = xl_config_print(run->dom->live, &json, &len, text, sizeof(text));
	if (!r)
		r = hstore_import(run->host->store, run->uuid, row->epoch + 1, flags, blob,
				  blob_len, json, len, on_imported, l);
	if (!r)
		return;
	later_free(l);
	migrator_imported(run->host->migrator, &run->id, r < 0 ? r : -EINVAL, text);
}

static bool is_joined(const struct run *run)
{
	return run->joined || !hstore_is_joined(run->host->store);
}

void run_import(struct run *run, const struct mig_effect *e)
{
	struct run_held *held;

	if (is_joined(run)) {
		import(run, e->row, e->blob, e->blob_len);
		return;
	}
	held = malloc(sizeof(*held) + e->blob_len);
	if (!held) {
		hostd_fail(run->host, FAULT(-ENOMEM));
		return;
	}
	held->row = *e->row;
	held->len = e->blob_len;
	if (e->blob_len)
		memcpy(held->blob, e->blob, e->blob_len);
	run_held_free(run->held);
	run->held = held;
}

/* Once the guest's memory is here, and the store knows its domain. */
static void received(struct run *run, int err, const char *why)
{
	struct run_held *held = TAKE(run->held);

	migrator_received(run->host->migrator, &run->id, err, why);
	if (held && err)
		migrator_imported(run->host->migrator, &run->id, err, why);
	else if (held)
		import(run, &held->row, held->blob, held->len);
	run_held_free(held);
}

static void on_joined(void *data, int err, const char *why, int domid)
{
	struct later *l = data;
	struct run *run = run_find(l->host, &l->id);

	if (run && run->dom && !err)
		run->dom->domid = domid;
	if (run) {
		run->joined = !err;
		received(run, err, why);
	}
	hostd_wake(l->host);
	later_free(l);
}

void run_received(struct run *run, int err, const char *why)
{
	const struct mig_row *row = migrator_find(run->host->migrator, &run->id);
	struct later *l;
	int r;

	if (err || is_joined(run) || !row || !run->dom || !run->dom->guest) {
		received(run, err, why);
		return;
	}
	l = later_new(run);
	r = l ? hstore_join(run->host->store, run->uuid, row->epoch + 1,
			    vmm_guest_domid(run->dom->guest), true, on_joined, l)
	      : -ENOMEM;
	if (!r)
		return;
	later_free(l);
	received(run, r, "too many wait for the store");
}
