/* SPDX-License-Identifier: MIT */
/*
 * A guest's part of the store on its way: exported here, prepared and imported there
 * (docs/protocol.md, "A domain that moves"). Invariant: what failed to leave is served as before,
 * what failed to arrive is gone; and nothing arrives but nodes that are the guest's own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"
#include "config/session.h"
#include "hostd/store_blob.h"
#include "hostd/store_seat.h"
#include "hv/sim/sim.h"
#include "image/domain_map.h"
#include "migrate/migrate.h"
#include "wire/wire.h"

/* ---- leaving ---- */

struct tops {
	struct domain_octets paths; /* "0|" and the paths, each with its NUL */
};

static int add_top(void *data, const char *path)
{
	struct tops *t = data;

	return -domain_octets_add(&t->paths, path, strlen(path) + 1);
}

static int add_top_if_there(struct hstore_seat *s, struct tops *t, const char *path)
{
	int r;

	seat_begin(s);
	seat_add(s, XS_GET_PERMS, path, NULL, 0);
	r = seat_send(s);
	if (!r && !seat_reply(s, 0)->err)
		r = add_top(t, path);
	return r;
}

/* All subtrees that are the guest's, but for its home, which is understood. */
static int find_tops(struct hstore_seat *s, const char *uuid, uint16_t domid, struct tops *t)
{
	char path[64];
	int r = add_top(t, "0");

	snprintf(path, sizeof(path), "/vm/%s", uuid);
	if (!r)
		r = add_top_if_there(s, t, path);
	snprintf(path, sizeof(path), "/libxl/%u", domid);
	if (!r)
		r = add_top_if_there(s, t, path);
	snprintf(path, sizeof(path), "/local/domain/0/device-model/%u", domid);
	if (!r)
		r = add_top_if_there(s, t, path);
	if (!r)
		r = guest_each_backend(s, domid, add_top, t);
	return r;
}

static int take_chunk(struct hstore_seat *s, size_t i, struct domain_octets *image,
		      size_t *ret_total)
{
	const struct conf_reply *reply = seat_reply(s, i);
	size_t head;

	if (reply->err)
		return seat_refused(s, "the guest's part cannot be exported", reply->err,
				    reply->err != EAGAIN);
	head = strlen(reply->data) + 1;
	*ret_total = strtoul(reply->data, NULL, 10);
	if (head >= reply->len || *ret_total > MIG_BLOB_MAX)
		return conf_fail(&s->err, head >= reply->len ? -EIO : -EFBIG,
				 "store: an image of %zu octets in chunks of %zu", *ret_total,
				 reply->len);
	return -domain_octets_add(image, reply->data + head, reply->len - head);
}

/* The first chunk tells how long it is and how long chunks are; then all others at once. */
int move_fetch(struct hstore_seat *s, uint16_t domid, const struct domain_octets *paths,
	       struct domain_octets *image)
{
	size_t total, size;
	char text[24];
	int r, n;

	seat_begin(s);
	seat_add_domid(s, WIRE_EXPORT_DOMAIN, domid, paths->data, paths->len);
	r = seat_send(s);
	if (!r)
		r = take_chunk(s, 0, image, &total);
	if (r || image->len >= total)
		return r;
	size = image->len;
	seat_begin(s);
	for (size_t at = size; at < total; at += size) {
		n = snprintf(text, sizeof(text), "%zu", at);
		seat_add_domid(s, WIRE_EXPORT_DOMAIN, domid, text, (size_t)n + 1);
	}
	r = seat_send(s);
	for (size_t i = 0; !r && i < s->batch.n; i++)
		r = take_chunk(s, i, image, &total);
	if (!r && image->len != total)
		r = conf_fail(&s->err, -EIO, "store: %zu octets of an image of %zu", image->len,
			      total);
	return r;
}

/* The ring's page, of which the store has let go. */
static int with_page(struct hstore_seat *s, uint16_t domid, uint8_t *from, const uint8_t *to)
{
	struct sim_guest *g;
	int r = sim_guest_open(s->shared->sim, domid, &g);

	if (r == -EBUSY)
		return conf_fail(&s->err, r, "domain %u: another process speaks as the guest",
				 domid);
	if (r)
		return conf_fail(&s->err, -EIO, "domain %u: its ring: %s", domid, strerror(-r));
	if (from)
		memcpy(from, sim_guest_page(g), HSTORE_PAGE_SIZE);
	else
		memcpy(sim_guest_page(g), to, HSTORE_PAGE_SIZE);
	sim_guest_close(g);
	return 0;
}

int move_quiesce(struct hstore_seat *s, uint16_t domid)
{
	int err, r = seat_call_domid(s, WIRE_QUIESCE, domid, &err);

	if (r)
		return r;
	if (err == ENOSYS)
		return conf_fail(&s->err, -EOPNOTSUPP,
				 "store: the xenstored at %s cannot move a guest's watches and "
				 "transactions; only drover-xenstored can",
				 s->shared->socket);
	return err ? seat_refused(s, "the guest's ring is not let go of", err, false) : 0;
}

static int read_config(struct hstore_seat *s, uint16_t domid, char **ret, size_t *ret_len)
{
	struct drover_domain_config *config;
	int r = drover_config_retrieve(s->config, domid, DROVER_VIEW_PERSISTENT,
				       DROVER_RETRIEVE_DEGRADED, &config);

	if (r)
		return conf_fail(&s->err, r, "%s", drover_config_error(s->config));
	r = drover_domain_config_to_json(config, DROVER_CONFIG_LAYOUT_4_17, ret, ret_len);
	drover_domain_config_free(config);
	return r ? conf_no_memory(&s->err) : 0;
}

static int export_quiesced(struct hstore_seat *s, const struct hstore_job *job, uint16_t domid,
			   struct hstore_blob *b, uint8_t page[HSTORE_PAGE_SIZE],
			   struct domain_octets *image)
{
	struct tops t = { .paths = { .len = 0 } };
	bool joined = s->shared->joined, unaware = job->flags & HSTORE_UNAWARE;
	/* What is libxl's stays: it makes the like at the other end. */
	int r = joined ? add_top(&t, "0") : find_tops(s, job->uuid_text, domid, &t);

	if (!r)
		r = move_fetch(s, domid, &t.paths, image);
	free(t.paths.data);
	if (!r && !joined)
		r = with_page(s, domid, page, NULL);
	else if (!r && unaware)
		r = join_export_page(s, domid, page);
	b->page = !joined || unaware ? page : NULL;
	b->image = image->data;
	b->image_len = image->len;
	return r;
}

static int print_blob(struct hstore_seat *s, const struct hstore_blob *b, struct hstore_job *job)
{
	int r = hstore_blob_print(b, &job->blob, &job->blob_len);

	if (r == -EFBIG)
		conf_fail(&s->err, r, "store: the guest's part is larger than %u octets",
			  MIG_BLOB_MAX);
	return r;
}

int job_export(struct hstore_seat *s, struct hstore_job *job)
{
	struct domain_octets image = { .len = 0 };
	uint8_t page[HSTORE_PAGE_SIZE];
	struct hstore_blob b = { .domid = 0 };
	struct hstore_mark m;
	char *json = NULL;
	int r = guest_find(s, job->uuid_text, &m), err;
	bool quiesced = false;

	if (!r)
		r = read_config(s, m.domid, &json, &b.json_len);
	if (!r) {
		r = move_quiesce(s, m.domid);
		quiesced = !r;
	}
	if (quiesced)
		r = export_quiesced(s, job, m.domid, &b, page, &image);
	else if (r == -EOPNOTSUPP && job->flags & HSTORE_UNSAFE)
		r = 0;
	if (!r) {
		memcpy(b.uuid, job->uuid, sizeof(b.uuid));
		b.epoch = m.epoch;
		b.domid = m.domid;
		b.json = json;
		r = print_blob(s, &b, job);
		job->domid = m.domid;
	}
	if (r && quiesced && !conf_client_is_dead(seat_client(s)))
		seat_call_domid(s, WIRE_UNQUIESCE, m.domid, &err);
	if (r == -ENOMEM)
		conf_no_memory(&s->err);
	free(image.data);
	free(json);
	return r;
}

/* ---- arriving ---- */

/* A new domain whose ring is left alone, and its record. */
static int begin_quiesced(struct hstore_seat *s, const char *uuid, uint64_t epoch,
			  struct json_object *config, const uint8_t *page, struct hstore_mark *m)
{
	char *text = NULL;
	size_t len;
	int r = guest_begin(s, uuid, epoch, m);

	if (!r && page)
		r = with_page(s, m->domid, NULL, page);
	if (!r)
		r = move_quiesce(s, m->domid);
	if (!r)
		r = guest_introduce(s, m);
	if (!r && conf_json_print(config, DROVER_CONFIG_LAYOUT_4_17, &text, &len))
		r = conf_no_memory(&s->err);
	/* libxl's files end with the NUL of their text */
	if (!r)
		r = userdata_write(s->config->userdata, m->domid, uuid, USERDATA_RECORD, text,
				   len + 1, true, &s->err);
	free(text);
	return r;
}

int job_prepare(struct hstore_seat *s, struct hstore_job *job)
{
	CLEANUP_JSON struct json_object *config = NULL;
	struct hstore_mark m = { .domid = 0 };
	int r;

	if (s->shared->joined)
		return 0;
	r = guest_config(s, job->uuid_text, job->json, job->json_len, &config);
	if (!r)
		r = guest_clear(s, job->uuid_text, job->epoch, NULL);
	if (r)
		return r;
	r = begin_quiesced(s, job->uuid_text, job->epoch, config, NULL, &m);
	m.state = HSTORE_PREPARED;
	if (!r)
		r = mark_write(s, job->uuid_text, &m);
	if (r && m.domid)
		guest_undo(s, job->uuid_text, &m, r);
	/* A store that cannot: the guest may come without its image, which import decides. */
	job->domid = r ? -1 : m.domid;
	return r == -EOPNOTSUPP ? 0 : r;
}

/* Whether a node of the image may be made: in the guest's own subtrees alone. */
struct own {
	const char *top[4];
	char backend[16]; /* "/<domid>" behind a type of backend */
	char *text;
	size_t room;
};

static bool is_below(const char *path, size_t len, const char *top)
{
	size_t n = strlen(top);

	return len >= n && !memcmp(path, top, n) && (len == n || path[n] == '/');
}

static int check_node(void *data, const char *path, size_t len)
{
	static const char backends[] = "/local/domain/0/backend/";
	const struct own *own = data;
	size_t at = strlen(backends);

	for (size_t i = 0; i < ARRAY_LEN(own->top); i++)
		if (is_below(path, len, own->top[i]))
			return 0;
	if (len > at && !memcmp(path, backends, at)) {
		while (at < len && path[at] != '/')
			at++;
		if (is_below(path + at, len - at, own->backend))
			return 0;
	}
	snprintf(own->text, own->room, "%.*s is not the guest's", (int)len, path);
	return EINVAL;
}

static int check_nodes(const struct domain_octets *image, const char *uuid, uint16_t domid,
		       char *text, size_t room)
{
	char home[40], vm[48], libxl[40], model[64];
	struct own own = { .top = { home, vm, libxl, model }, .text = text, .room = room };

	snprintf(home, sizeof(home), "/local/domain/%u", domid);
	snprintf(vm, sizeof(vm), "/vm/%s", uuid);
	snprintf(libxl, sizeof(libxl), "/libxl/%u", domid);
	snprintf(model, sizeof(model), "/local/domain/0/device-model/%u", domid);
	snprintf(own.backend, sizeof(own.backend), "/%u", domid);
	return domain_image_each_node(image, check_node, &own, text, room);
}

/* The image of the blob as that of another domain. */
int move_map(struct hstore_seat *s, const struct hstore_job *job, const struct hstore_blob *b,
	     uint16_t domid, struct domain_octets *ret)
{
	struct domain_octets image = { .data = (uint8_t *)(uintptr_t)b->image,
				       .len = b->image_len };
	struct domain_image_map map = { .from = b->domid, .to = domid, .alone = true };
	char text[300] = "";
	uint16_t whose = 0;
	int r = domain_image_whose(&image, &whose, text, sizeof(text));

	if (!r && whose != b->domid) {
		snprintf(text, sizeof(text), "it is of domain %u, not %u", whose, b->domid);
		r = EINVAL;
	}
	if (!r)
		r = check_nodes(&image, job->uuid_text, b->domid, text, sizeof(text));
	if (!r)
		r = domain_image_map(&image, &map, ret, text, sizeof(text));
	if (r == ENOMEM)
		return conf_no_memory(&s->err);
	if (r)
		return conf_fail(&s->err, -EBADMSG, "the guest's image: %s",
				 text[0] ? text : strerror(r));
	return 0;
}

int move_give(struct hstore_seat *s, uint16_t domid, const struct domain_octets *image)
{
	char tail[XENSTORE_PAYLOAD_MAX];
	size_t head, n;
	int r, err = 0;

	seat_begin(s);
	for (size_t at = 0; at < image->len; at += n) {
		head = (size_t)snprintf(tail, sizeof(tail), "%zu%c%zu", at, 0, image->len) + 1;
		n = image->len - at < HSTORE_CHUNK_SIZE ? image->len - at : HSTORE_CHUNK_SIZE;
		memcpy(tail + head, image->data + at, n);
		seat_add_domid(s, WIRE_IMPORT_DOMAIN, domid, tail, head + n);
	}
	r = seat_send(s);
	for (size_t i = 0; !r && !err && i < s->batch.n; i++)
		err = seat_reply(s, i)->err;
	if (r || !err)
		return r;
	r = seat_refused(s, "the guest's part cannot be imported", err, true);
	return r != -EIO ? r : err == EEXIST ? -EEXIST : err == EINVAL ? -EBADMSG : r;
}

/* The name that it has here, where that is another. */
static int rename_nodes(struct hstore_seat *s, const char *uuid, uint16_t domid,
			struct json_object *config)
{
	const char *name = conf_json_string(json_object_object_get(config, "c_info"), "name");
	char home[64], vm[64];
	int r = 0;

	if (!name)
		return 0;
	snprintf(home, sizeof(home), "/local/domain/%u/name", domid);
	snprintf(vm, sizeof(vm), "/vm/%s/name", uuid);
	seat_begin(s);
	seat_add(s, XS_READ, home, NULL, 0);
	seat_add(s, XS_READ, vm, NULL, 0);
	r = seat_send(s);
	if (r)
		return r;
	const bool differs[] = { !seat_reply(s, 0)->err && strcmp(seat_reply(s, 0)->data, name),
				 !seat_reply(s, 1)->err && strcmp(seat_reply(s, 1)->data, name) };
	seat_begin(s);
	if (differs[0])
		seat_add(s, XS_WRITE, home, name, strlen(name));
	if (differs[1])
		seat_add(s, XS_WRITE, vm, name, strlen(name));
	r = seat_send(s);
	for (size_t i = 0; !r && i < s->batch.n; i++)
		if (seat_reply(s, i)->err)
			r = seat_refused(s, "its name", seat_reply(s, i)->err, false);
	return r;
}

static int import_image(struct hstore_seat *s, struct hstore_job *job, const struct hstore_blob *b,
			struct json_object *config)
{
	struct domain_octets mapped = { .len = 0 };
	struct hstore_mark m;
	int r = guest_clear(s, job->uuid_text, job->epoch, &m);

	if (r)
		return r;
	if (!m.domid) /* what is wrong with the image is found before anything is made */
		r = move_map(s, job, b, b->domid, &mapped);
	free(TAKE(mapped.data));
	mapped = (struct domain_octets){ .len = 0 };
	if (!r && !m.domid)
		r = begin_quiesced(s, job->uuid_text, job->epoch, config, b->page, &m);
	else if (!r)
		r = with_page(s, m.domid, NULL, b->page);
	if (!r)
		r = move_map(s, job, b, m.domid, &mapped);
	/* From now on it is no more one that only waits for its image. */
	m.state = HSTORE_MAKING;
	if (!r)
		r = mark_write(s, job->uuid_text, &m);
	if (!r)
		r = move_give(s, m.domid, &mapped);
	if (!r)
		r = rename_nodes(s, job->uuid_text, m.domid, config);
	m.state = HSTORE_HERE;
	if (!r)
		r = mark_write(s, job->uuid_text, &m);
	free(mapped.data);
	if (r && m.domid)
		return guest_undo(s, job->uuid_text, &m, r);
	job->domid = m.domid;
	return r;
}

int job_import(struct hstore_seat *s, struct hstore_job *job)
{
	CLEANUP_JSON struct json_object *config = NULL;
	struct hstore_blob b;
	char text[200];
	int r = hstore_blob_parse(job->blob, job->blob_len, &b, text, sizeof(text));

	if (r)
		return conf_fail(&s->err, r, "the guest's part of the store: %s", text);
	if (memcmp(b.uuid, job->uuid, sizeof(b.uuid)) != 0)
		return conf_fail(&s->err, -EBADMSG,
				 "the guest's part of the store is another guest's");
	if (s->shared->joined)
		return join_import(s, job, &b);
	r = guest_config(s, job->uuid_text, job->json ? job->json : b.json,
			 job->json ? job->json_len : b.json_len, &config);
	if (r)
		return r == -EINVAL && !job->json ? -EBADMSG : r;
	if (b.image_len && !b.page)
		return conf_fail(&s->err, -EBADMSG,
				 "the guest's part of the store has no page of its ring");
	if (b.image_len)
		return import_image(s, job, &b, config);
	if (!(job->flags & HSTORE_UNSAFE))
		return conf_fail(&s->err, -EOPNOTSUPP,
				 "the guest's watches and transactions did not come along");
	r = guest_clear(s, job->uuid_text, job->epoch, NULL);
	return r ? r : guest_make(s, job->uuid_text, job->epoch, config, &job->domid);
}
