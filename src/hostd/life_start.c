/* SPDX-License-Identifier: MIT */
/*
 * A guest starts, or is found again. Invariant: a process whose definition is not in its directory
 * was never told of to anybody, and is ended when it is found.
 *
 *   store: domain, keys, configuration ─► process ─► definition and id in its directory ─► told
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/defs.h"
#include "hostd/event.h"
#include "hostd/life_own.h"
#include "hostd/save.h"
#include "hostd/store.h"
#include "hostd/xml.h"
#include "rpc/error.h"
#include "vmm/xl_config.h"

static void text_freep(char **p)
{
	free(*p);
}

DEFINE_CLEANUP(struct guest_def *, def_free)

static void failed_end(void *data, struct dom *d, int code, const char *why)
{
	struct life_op *op = data;

	(void)d;
	(void)code;
	(void)why;
	life_op_end(op, op->code, op->why);
}

/* Whatever there is of it is ended before it is told that it could not be started. */
static void start_failed(struct life_op *op, int code, const char *why)
{
	op->code = code;
	snprintf(op->why, sizeof(op->why), "%s", why);
	life_destroy(op->host, op->dom, false, DOM_SHUTOFF_FAILED, failed_end, op);
}

/* Where a port was left to be chosen, and where pty's were asked for, which ones they are. */
static void note_chosen(struct dom *d)
{
	int port = (int)vmm_guest_vnc_port(d->guest);

	if (d->live->n_graphics && port)
		d->live->graphics[0].port = port;
	for (size_t i = 0; i < d->live->n_serials; i++) {
		struct def_chardev *c = &d->live->serials[i];
		const char *path = vmm_guest_pty(d->guest, (unsigned int)i);
		char *copy;

		if (!path || !c->type || strcmp(c->type, "pty") != 0)
			continue;
		copy = strdup(path);
		if (!copy)
			return;
		free(c->source);
		c->source = copy;
	}
}

void life_take_id(struct dom *d)
{
	int domid = d->guest && d->id >= 0 ? vmm_guest_domid(d->guest) : -1;

	if (domid >= 0)
		d->id = domid;
}

static void started(void *data, int err, const char *why)
{
	struct life_op *op = data;
	struct host *h = op->host;
	struct dom *d = op->dom;
	int r = 0;

	d->starting = false;
	if (err) {
		start_failed(op, life_code(err), why);
		return;
	}
	note_chosen(d);
	life_take_id(d);
	life_join(h, d);
	r = life_write_files(d);
	if (r) {
		start_failed(op, life_code(r), "the guest's directory cannot be written");
		return;
	}
	if (op->incoming) {
		life_set_state(h, d, DOM_PAUSED, DOM_PAUSED_MIGRATION);
		life_op_end(op, 0, "");
		return;
	}
	event_lifecycle(h, d, EVENT_STARTED, EVENT_STARTED_BOOTED);
	if (vmm_guest_state(d->guest) == VMM_RUNNING) {
		life_set_state(h, d, DOM_RUNNING, DOM_RUNNING_BOOTED);
	} else {
		life_set_state(h, d, DOM_PAUSED, DOM_PAUSED_USER);
		event_lifecycle(h, d, EVENT_SUSPENDED, EVENT_SUSPENDED_PAUSED);
	}
	life_op_end(op, 0, "");
}

static void start_process(struct life_op *op)
{
	struct dom *d = op->dom;
	unsigned int flags = op->incoming ? VMM_START_INCOMING : op->paused ? VMM_START_PAUSED : 0;
	int r;

	d->starting = true;
	r = vmm_start(op->host->vmm, d->live, flags, op->epoch, op->incoming ? op->migration : NULL,
		      started, op, &d->guest);
	if (r) {
		d->starting = false;
		start_failed(op, life_code(r), vmm_start_why(op->host->vmm));
		return;
	}
	vmm_guest_set_data(d->guest, d);
	/* At once, so that a daemon that is killed now leaves a guest that the next one knows. */
	r = life_write_files(d);
	if (r)
		log_warning("domain %s: a restart would not find it yet", d->name);
}

static void stored(void *data, int err, const char *why, int domid)
{
	struct life_op *op = data;

	if (err) {
		start_failed(op, life_code(err), why);
		return;
	}
	/* Its end waits for the store after us, and would find a process that nobody ends. */
	if (op->dom->ending) {
		start_failed(op, RPC_ERR_OPERATION_ABORTED, "it was ended before it began");
		return;
	}
	op->dom->domid = domid;
	start_process(op);
}

static void start_store(struct life_op *op)
{
	CLEANUP(text_free) char *json = NULL;
	char text[VMM_ERROR_MAX] = "";
	struct host *h = op->host;
	size_t len = 0;
	int r = 0;

	if (!hstore_is_none(h->store)) {
		r = xl_config_print(op->dom->live, &json, &len, text, sizeof(text));
		if (r) {
			start_failed(op, r < 0 ? life_code(r) : RPC_ERR_CONFIG_UNSUPPORTED,
				     r < 0 ? strerror(-r) : text);
			return;
		}
	}
	r = hstore_create(h->store, op->dom->uuid, op->epoch, json ? json : "", len, stored, op);
	if (r)
		start_failed(op, life_code(r), "too many wait for the store");
}

/* From now on it has an id, and is told of as starting. */
static void becomes_active(struct host *h, struct dom *d, struct guest_def *def)
{
	def_free(d->live);
	d->live = def;
	d->id = h->doms.next_id++;
	life_set_state(h, d, DOM_PAUSED, DOM_PAUSED_STARTING_UP);
}

static bool may_start(struct dom *d, const char **ret_why)
{
	*ret_why = d->removed	? "domain is gone"
		   : d->ending	? "domain is still being ended"
		   : d->id >= 0 ? "domain is already running"
				: NULL;
	return !*ret_why;
}

void life_start(struct host *h, struct dom *d, struct guest_def *def, bool paused,
		life_done_fn *done, void *data)
{
	CLEANUP(def_free) struct guest_def *own = def;
	char text[VMM_ERROR_MAX] = "";
	const char *why = text;
	struct life_op *op;
	uint64_t epoch = 1;
	int code = 0, r;

	if (!may_start(d, &why))
		code = RPC_ERR_OPERATION_INVALID;
	if (!code && h->hooks->epoch)
		code = h->hooks->epoch(h, d->uuid, &epoch, text, sizeof(text));
	if (!code) {
		r = vmm_check(h->vmm, own, text, sizeof(text));
		code = life_code(r == -EINVAL ? -EOPNOTSUPP : r);
	}
	if (code) {
		done(data, d, code, why ? why : text);
		return;
	}
	op = life_op_new(h, d, done, data);
	if (!op)
		return;
	op->paused = paused;
	op->epoch = epoch;
	becomes_active(h, d, TAKE(own));
	start_store(op);
}

void life_incoming(struct host *h, struct dom *d, struct guest_def *def, uint64_t epoch,
		   const char *migration_id, life_done_fn *done, void *data)
{
	CLEANUP(def_free) struct guest_def *own = def;
	char text[VMM_ERROR_MAX] = "";
	const char *why;
	struct life_op *op;
	int code = 0, r;

	if (!may_start(d, &why))
		code = RPC_ERR_OPERATION_INVALID;
	if (!code) {
		r = vmm_check(h->vmm, own, text, sizeof(text));
		code = life_code(r == -EINVAL ? -EOPNOTSUPP : r);
	}
	if (code) {
		done(data, d, code, why ? why : text);
		return;
	}
	op = life_op_new(h, d, done, data);
	if (!op)
		return;
	op->incoming = true;
	op->epoch = epoch;
	snprintf(op->migration, sizeof(op->migration), "%s", migration_id);
	becomes_active(h, d, TAKE(own));
	d->incoming = true;
	start_process(op);
}

/* ---- found again ---- */

static struct guest_def *read_def(const struct vmm_guest *guest)
{
	CLEANUP(text_free) char *text = NULL;
	struct guest_def *def = NULL;
	struct xml_error err;
	size_t len;

	if (defs_file_read(vmm_guest_dir(guest), LIFE_DEF_FILE, &text, &len))
		return NULL;
	if (xml_parse(text, len, NULL, NULL, &def, &err))
		return NULL;
	if (memcmp(def->uuid, vmm_guest_uuid(guest), DEF_UUID_SIZE) != 0) {
		def_free(def);
		return NULL;
	}
	return def;
}

static int read_id(const struct vmm_guest *guest)
{
	CLEANUP(text_free) char *text = NULL;
	size_t len;
	char *end;
	long id;

	if (defs_file_read(vmm_guest_dir(guest), LIFE_ID_FILE, &text, &len))
		return -1;
	id = strtol(text, &end, 10);
	return end != text && id > 0 && id < 1000000000 ? (int)id : -1;
}

/* The guest as it was before: the same id where nobody else has it. */
static void take_back(struct host *h, struct dom *d, struct guest_def *def, struct vmm_guest *guest)
{
	int id = read_id(guest);

	d->live = def;
	d->found = true;
	d->guest = guest;
	d->incoming = *vmm_guest_migration_id(guest) != '\0';
	if (id < 0 || dom_find_id(&h->doms, id))
		id = h->doms.next_id;
	d->id = id;
	if (id >= h->doms.next_id)
		h->doms.next_id = id + 1;
	if (vmm_guest_state(guest) == VMM_RUNNING)
		life_set_state(h, d, DOM_RUNNING, DOM_RUNNING_BOOTED);
	else
		life_set_state(h, d, DOM_PAUSED,
			       d->incoming || vmm_guest_reason(guest) == VMM_MIGRATING
				       ? DOM_PAUSED_MIGRATION
			       : vmm_guest_reason(guest) == VMM_CRASHED ? DOM_PAUSED_CRASHED
									: DOM_PAUSED_USER);
	vmm_guest_set_data(guest, d);
	life_take_id(d);
	life_join(h, d);
}

void life_found(void *data, struct vmm_guest *guest)
{
	CLEANUP(def_free) struct guest_def *def = read_def(guest);
	struct host *h = data;
	struct dom *d = dom_find_uuid(&h->doms, vmm_guest_uuid(guest));
	char uuid[DEF_UUID_TEXT];
	int r = 0;

	def_uuid_print(vmm_guest_uuid(guest), uuid);
	if (!def && d && d->persistent)
		def = def_copy(d->persistent);
	if (!def) {
		log_warning("guest %s: its start was not finished; it is ended", uuid);
		vmm_destroy(guest, false, NULL, NULL);
		return;
	}
	if (!d)
		r = dom_new(&h->doms, def->uuid, def->name, &d);
	if (r) {
		log_error("guest %s runs, and is not served: another one has its name, %s", uuid,
			  def->name);
		return;
	}
	take_back(h, d, TAKE(def), guest);
	log_notice("domain %s: found, process %d", d->name, vmm_guest_pid(guest));
	save_found(h, d);
	if (h->hooks->found)
		h->hooks->found(h, d);
}
