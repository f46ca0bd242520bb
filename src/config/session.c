/* SPDX-License-Identifier: MIT */
/*
 * Sessions, and a domain read whole: its files under its locks, its part of the store within.
 *
 * Invariant: a domain that was loaded has record, intents and store of one uuid. Whoever gets an
 * error holds no lock.
 */
#include "config/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/own.h"
#include "config/json.h"

static uint32_t or_default(uint32_t ms, uint32_t standard)
{
	return ms ? ms : standard;
}

static void take_options(struct drover_config *c, const struct drover_config_options *opt)
{
	size_t size = sizeof(c->opt);

	/* a caller built against an older header has a shorter structure */
	if (opt)
		memcpy(&c->opt, opt, opt->size < size ? opt->size : size);
	c->opt.lock_timeout_ms = or_default(c->opt.lock_timeout_ms, DROVER_CONFIG_LOCK_TIMEOUT_MS);
	c->opt.store_timeout_ms =
		or_default(c->opt.store_timeout_ms, DROVER_CONFIG_STORE_TIMEOUT_MS);
	c->opt.backend_timeout_ms =
		or_default(c->opt.backend_timeout_ms, DROVER_CONFIG_BACKEND_TIMEOUT_MS);
	c->opt.script_timeout_ms =
		or_default(c->opt.script_timeout_ms, DROVER_CONFIG_SCRIPT_TIMEOUT_MS);
	if (c->opt.host)
		c->host = *c->opt.host;
}

int drover_config_open(const struct drover_config_options *opt, struct drover_config **ret)
{
	struct drover_config *c = calloc(1, sizeof(*c));
	int r;

	*ret = c;
	if (!c)
		return -ENOMEM;
	c->inotify = -1;
	take_options(c, opt);
	c->store = c->opt.store ? strdup(c->opt.store) : NULL;
	if (c->opt.store && !c->store)
		return conf_no_memory(&c->err);
	r = userdata_open(c->opt.userdata ? c->opt.userdata : USERDATA_DIR, c->opt.lock_timeout_ms,
			  &c->err, &c->userdata);
	if (r)
		return r;
	return conf_client_open(c->store, c->opt.store_timeout_ms, &c->err, &c->client);
}

void drover_config_close(struct drover_config *c)
{
	if (!c)
		return;
	conf_client_close(c->client);
	conf_client_close(c->watching);
	userdata_close(c->userdata);
	if (c->inotify >= 0)
		close(c->inotify);
	free(c->store);
	free(c);
}

const char *drover_config_error(const struct drover_config *c)
{
	return c ? c->err.text : "out of memory";
}

uint64_t drover_config_round_trips(const struct drover_config *c)
{
	return c->client ? conf_client_round_trips(c->client) : 0;
}

int conf_session_begin(struct drover_config *c)
{
	c->err.text[0] = '\0';
	if (!c->client || !c->userdata)
		return conf_fail(&c->err, -EINVAL, "the session was not opened");
	return 0;
}

/* ---- a domain ---- */

static int read_record(struct drover_config *c, struct conf_domain *d, unsigned int flags)
{
	const struct conf_class *k;
	char *text = NULL;
	size_t len;
	int r;

	r = userdata_read(c->userdata, d->domid, d->uuid, USERDATA_RECORD, &c->err, &text, &len);
	if (!r) {
		r = conf_json_read(text, len, &c->err, &d->config);
		/* Toolstacks may leave numbers to libxl, which does not write them back. */
		for (size_t i = 0; !r && (k = class_at(i)); i++)
			r = class_settle(k, d->config, &c->err);
		if (r && r != -ENOMEM)
			r = conf_fail_in(&c->err, -EBADMSG, "domain %" PRIu32 ": record %s",
					 d->domid, d->record_path);
	} else if (r == -ENOENT) {
		r = conf_fail_in(&c->err, -ENODATA, "domain %" PRIu32 " has no record", d->domid);
	}
	free(text);
	if (flags & DROVER_RETRIEVE_DEGRADED && (r == -ENODATA || r == -EBADMSG)) {
		c->err.text[0] = '\0';
		r = 0;
	}
	return r;
}

/* Locks, record and intents of a domain whose uuid is known. */
int conf_domain_load_files(struct drover_config *c, struct conf_domain *d, bool devices,
			   unsigned int flags)
{
	int r = 0;

	d->record_path = userdata_path(c->userdata, 'd', d->domid, d->uuid, USERDATA_RECORD);
	if (!d->record_path)
		return conf_no_memory(&c->err);
	if (devices)
		r = userdata_lock_take(c->userdata, d->domid, d->uuid, USERDATA_LOCK_DEVICES,
				       &c->err, &d->devices);
	if (!r)
		r = userdata_lock_take(c->userdata, d->domid, d->uuid, USERDATA_LOCK_RECORD,
				       &c->err, &d->record);
	if (!r)
		r = read_record(c, d, flags);
	if (!r)
		r = intents_read(c->userdata, d->domid, d->uuid, &c->err, &d->intents);
	return r;
}

static int check_host(struct drover_config *c, const struct conf_domain *d)
{
	char uuid[37] = "";
	int r;

	if (!c->host.domain_uuid)
		return 0;
	r = c->host.domain_uuid(c->host.data, d->domid, uuid);
	if (r == -ENOENT)
		return conf_fail(&c->err, r,
				 "domain %" PRIu32 ": the hypervisor has no such domain", d->domid);
	if (r)
		return conf_fail(&c->err, r, "domain %" PRIu32 ": the hypervisor: %s", d->domid,
				 strerror(-r));
	if (strcasecmp(uuid, d->uuid) != 0)
		return conf_fail(&c->err, -EPROTO,
				 "store: /local/domain/%" PRIu32
				 "/vm names %s, the hypervisor says %s",
				 d->domid, d->uuid, uuid);
	return 0;
}

void conf_domain_init(struct conf_domain *d, uint32_t domid)
{
	*d = (struct conf_domain){
		.domid = domid,
		.devices = USERDATA_LOCK_INIT,
		.record = USERDATA_LOCK_INIT,
	};
}

int conf_domain_begin(struct drover_config *c, uint32_t domid, struct conf_domain *ret)
{
	conf_domain_init(ret, domid);
	return conf_client_uuid(c->client, domid, &c->err, ret->uuid);
}

int conf_domain_take_store(struct drover_config *c, struct conf_domain *d,
			   struct conf_snapshot *store)
{
	d->store = store;
	if (strcmp(d->store->uuid, d->uuid) != 0)
		return conf_fail(&c->err, -ESTALE,
				 "domain %" PRIu32 " is another domain by now: %s, not %s",
				 d->domid, d->store->uuid, d->uuid);
	return check_host(c, d);
}

/* All but the uuid. */
static int load(struct drover_config *c, struct conf_domain *d, bool devices, unsigned int flags)
{
	struct conf_snapshot *store;
	int r = conf_domain_load_files(c, d, devices, flags);

	if (!r)
		r = conf_snapshot_read(c->client, d->domid, &c->err, &store);
	if (!r)
		r = conf_domain_take_store(c, d, store);
	if (r)
		conf_domain_fini(d);
	return r;
}

int conf_domain_load(struct drover_config *c, uint32_t domid, bool devices, unsigned int flags,
		     struct conf_domain *ret)
{
	int r = conf_domain_begin(c, domid, ret);

	return r ? r : load(c, ret, devices, flags);
}

void conf_domain_unlock(struct conf_domain *d)
{
	userdata_lock_release(&d->record);
	userdata_lock_release(&d->devices);
}

int conf_domain_reload(struct drover_config *c, struct conf_domain *d, bool devices)
{
	struct conf_domain anew;

	conf_domain_init(&anew, d->domid);
	memcpy(anew.uuid, d->uuid, sizeof(anew.uuid));
	conf_domain_fini(d);
	*d = anew;
	return load(c, d, devices, 0);
}

void conf_domain_fini(struct conf_domain *d)
{
	conf_domain_unlock(d);
	conf_snapshot_free(TAKE(d->store));
	json_object_put(TAKE(d->config));
	intents_fini(&d->intents);
	free(TAKE(d->record_path));
}

int conf_domain_store_record(struct drover_config *c, struct conf_domain *d)
{
	char *text = NULL;
	size_t len;
	int r = conf_json_print(d->config, DROVER_CONFIG_LAYOUT_4_17, &text, &len);

	if (r)
		return conf_no_memory(&c->err);
	/* libxl's files end with the NUL of their text */
	r = userdata_write(c->userdata, d->domid, d->uuid, USERDATA_RECORD, text, len + 1, false,
			   &c->err);
	free(text);
	return r;
}
