/* SPDX-License-Identifier: MIT */
/*
 * Records made and removed, for toolstacks.
 *
 * Invariant: a record that is written is one that every other function of this library can work
 * with: of the right domain, each device with an identity, none twice.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"
#include "config/session.h"

/* ---- making one ---- */

static int check_list(struct drover_config *c, struct json_object *config,
		      const struct conf_class *k)
{
	struct json_object *list = conf_json_list(config, class_list(k));
	size_t n = list ? json_object_array_length(list) : 0;
	char(*ids)[CLASS_ID_MAX] = n ? calloc(n, sizeof(*ids)) : NULL;
	int r = n && !ids ? conf_no_memory(&c->err) : 0;

	for (size_t i = 0; i < n && !r; i++) {
		r = class_id(k, json_object_array_get_idx(list, i), ids[i], &c->err);
		if (r)
			r = conf_fail_in(&c->err, -EINVAL, "%s[%zu]", class_list(k), i);
		for (size_t at = 0; at < i && !r; at++)
			if (strcmp(ids[at], ids[i]) == 0)
				r = conf_fail(&c->err, -EINVAL, "%s[%zu]: %s is there twice",
					      class_list(k), i, ids[i]);
	}
	free(ids);
	return r;
}

static int check_record(struct drover_config *c, const struct conf_domain *d,
			struct json_object *config)
{
	const char *uuid = conf_json_string(json_object_object_get(config, "c_info"), "uuid");
	const struct conf_class *k;
	int r = 0;

	if (!uuid || strcasecmp(uuid, d->uuid) != 0)
		return conf_fail(&c->err, -EINVAL,
				 "c_info.uuid is %s, that of domain %" PRIu32 " is %s",
				 uuid ? uuid : "not set", d->domid, d->uuid);
	for (size_t i = 0; !r && (k = class_at(i)); i++) {
		/* numbers that its maker left out are given as libxl gives them */
		r = class_settle(k, config, &c->err);
		if (!r)
			r = check_list(c, config, k);
	}
	return r;
}

static int write_record(struct drover_config *c, struct conf_domain *d, struct json_object *config)
{
	char *text = NULL;
	size_t len;
	int r = conf_json_print(config, DROVER_CONFIG_LAYOUT_4_17, &text, &len);

	if (r)
		return conf_no_memory(&c->err);
	r = userdata_lock_take(c->userdata, d->domid, d->uuid, USERDATA_LOCK_RECORD, &c->err,
			       &d->record);
	/* libxl's files end with the NUL of their text */
	if (!r)
		r = userdata_write(c->userdata, d->domid, d->uuid, USERDATA_RECORD, text, len + 1,
				   true, &c->err);
	free(text);
	return r;
}

int drover_config_record_create(struct drover_config *c, uint32_t domid,
				const struct drover_domain_config *config)
{
	CLEANUP_JSON struct json_object *json = NULL;
	struct conf_domain d;
	int r = conf_session_begin(c);

	if (r)
		return r;
	json = conf_json_copy(config->json);
	if (!json)
		return conf_no_memory(&c->err);
	r = conf_domain_begin(c, domid, &d);
	if (!r)
		r = check_record(c, &d, json);
	if (!r)
		r = write_record(c, &d, json);
	conf_domain_fini(&d);
	return r;
}

/* ---- removing it ---- */

/* Only what can be a uuid becomes part of a file's name. */
static int check_uuid(struct drover_config *c, const char *uuid, char ret[37])
{
	size_t i;

	for (i = 0; i < 36 && uuid[i]; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? uuid[i] != '-' : !strchr("0123456789abcdefABCDEF", uuid[i]))
			break;
		ret[i] = uuid[i] >= 'A' && uuid[i] <= 'F' ? (char)(uuid[i] + 'a' - 'A') : uuid[i];
	}
	if (i < 36 || uuid[i])
		return conf_fail(&c->err, -EINVAL, "\"%.60s\" is no uuid", uuid);
	ret[36] = '\0';
	return 0;
}

int drover_config_record_destroy(struct drover_config *c, uint32_t domid, const char *uuid)
{
	struct userdata_lock lock = USERDATA_LOCK_INIT;
	char lower[37];
	int r = conf_session_begin(c);

	if (!r)
		r = check_uuid(c, uuid, lower);
	if (!r)
		r = userdata_lock_take(c->userdata, domid, lower, USERDATA_LOCK_RECORD, &c->err,
				       &lock);
	if (!r)
		r = userdata_remove_all(c->userdata, domid, lower, &c->err);
	userdata_lock_release(&lock);
	return r;
}
