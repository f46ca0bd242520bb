/* SPDX-License-Identifier: MIT */
/*
 * Records as text and as JSON. Invariant: both say the same, since a record is described once;
 * what has no value in a record is left out of both.
 */
#include "cli/image_text.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/text.h"

static struct json_object *json_text(const char *s, size_t len)
{
	return cli_must(json_object_new_string_len(s, (int)len));
}

void image_text_number(struct image_text *t, const char *name, uint64_t value)
{
	if (t->object)
		json_object_object_add(t->object, name, cli_must(json_object_new_uint64(value)));
	else
		fprintf(t->to, " %s=%" PRIu64, name, value);
}

static void add_signed(struct image_text *t, const char *name, int64_t value)
{
	if (t->object)
		json_object_object_add(t->object, name, cli_must(json_object_new_int64(value)));
	else
		fprintf(t->to, " %s=%" PRId64, name, value);
}

void image_text_word(struct image_text *t, const char *name, const char *word)
{
	if (t->object)
		json_object_object_add(t->object, name, json_text(word, strlen(word)));
	else
		fprintf(t->to, " %s=%s", name, word);
}

/* Text of a path in a table: as it is, since a valid one has no space in it. */
static void add_path(struct image_text *t, const struct drover_octets *path)
{
	char *text;

	if (t->object) {
		image_text_octets(t, "path", path);
		return;
	}
	text = cli_text_escape(path->data, path->len, false);
	fprintf(t->to, " %s", *text ? text : "."); /* a domain's own, in relative data */
	free(text);
}

void image_text_octets(struct image_text *t, const char *name, const struct drover_octets *octets)
{
	char key[40], *text;

	if (!t->object) {
		text = cli_text_escape(octets->data, octets->len, true);
		fprintf(t->to, " %s=%s", name, text);
		free(text);
		return;
	}
	if (cli_text_is_utf8(octets->data, octets->len)) {
		json_object_object_add(t->object, name,
				       json_text(octets->len ? octets->data : "", octets->len));
		return;
	}
	snprintf(key, sizeof(key), "%s_base64", name);
	text = cli_text_base64(octets->data, octets->len);
	json_object_object_add(t->object, key, json_text(text, strlen(text)));
	free(text);
}

static void add_flag(struct image_text *t, const char *name, bool is)
{
	if (!is)
		return;
	if (t->object)
		json_object_object_add(t->object, name, cli_must(json_object_new_boolean(true)));
	else
		fprintf(t->to, " %s", name);
}

static void add_some(struct image_text *t, const char *name, uint64_t value)
{
	if (value)
		image_text_number(t, name, value);
}

static void add_perms(struct image_text *t, const struct drover_list *perms)
{
	char *text = image_text_perms(perms);

	image_text_word(t, "perms", text);
	free(text);
}

char *image_text_perms(const struct drover_list *perms)
{
	size_t room = (size_t)perms->n * 9 + 1, len = 0;
	char *text = cli_must(malloc(room));

	*text = 0;
	for (uint32_t i = 0; i < perms->n; i++) {
		struct drover_perm p = drover_perm_at(perms, i);

		len += (size_t)snprintf(text + len, room - len, "%s%c%u%s", i ? "," : "", p.letter,
					p.domid, p.flags & DROVER_PERM_STALE ? "?" : "");
	}
	return text;
}

/* Names and values of quotas, from *pos and *i on. */
static void add_quotas(struct image_text *t, const char *name, uint32_t n,
		       const struct drover_list *values, const struct drover_octets *names,
		       size_t *pos, uint32_t *i)
{
	struct image_text part = { .to = t->to };
	const char *word;
	size_t len;

	if (t->object)
		part.object = cli_must(json_object_new_object());
	else if (n)
		fprintf(t->to, " %s:", name);
	for (; n && drover_name_next(names, pos, &word, &len); n--, (*i)++) {
		char *key = cli_text_escape(word, len, false);

		image_text_number(&part, key, drover_u32_at(values, *i));
		free(key);
	}
	if (part.object)
		json_object_object_add(t->object, name, part.object);
}

static void text_connection(struct image_text *t, const struct drover_connection *c)
{
	image_text_number(t, "conn", c->conn_id);
	if (c->kind == DROVER_CONN_RING) {
		image_text_word(t, "kind", "ring");
		image_text_number(t, "domid", c->domid);
		if (c->tdomid != DROVER_DOMID_NONE)
			image_text_number(t, "target", c->tdomid);
		image_text_number(t, "port", c->evtchn);
		add_some(t, "mfn", c->mfn);
		if (c->flags & DROVER_CONN_UNIQUE_ID)
			image_text_number(t, "unique_id", c->unique_id);
	} else {
		image_text_word(t, "kind", "socket");
		add_signed(t, "fd", c->fd);
		add_flag(t, "read_only", c->flags & DROVER_CONN_READ_ONLY);
	}
	if (c->input.len)
		image_text_octets(t, "input", &c->input);
	if (c->output.len)
		image_text_octets(t, "output", &c->output);
	add_some(t, "partly_sent", c->resp_len);
}

static void text_watch(struct image_text *t, const struct drover_watch *w)
{
	image_text_number(t, "conn", w->conn_id);
	add_path(t, &w->path);
	image_text_octets(t, "token", &w->token);
	if (w->depth != DROVER_DEPTH_ANY)
		image_text_number(t, "depth", w->depth);
}

static void text_node(struct image_text *t, const struct drover_node *n)
{
	if (n->conn_id || n->tx_id) {
		image_text_number(t, "conn", n->conn_id);
		image_text_number(t, "tx", n->tx_id);
	}
	add_path(t, &n->path);
	if (!n->access && !n->perms.n && (n->conn_id || n->tx_id)) {
		add_flag(t, "deleted", true);
		return;
	}
	add_flag(t, "read", n->access & DROVER_ACCESS_READ);
	add_flag(t, "written", n->access & DROVER_ACCESS_WRITTEN);
	add_perms(t, &n->perms);
	image_text_octets(t, "value", &n->value);
}

static void text_quota(struct image_text *t, const struct drover_quota *q)
{
	size_t pos = 0;
	uint32_t i = 0;

	add_quotas(t, "domain", q->n_dom, &q->values, &q->names, &pos, &i);
	add_quotas(t, "global", q->n_glob, &q->values, &q->names, &pos, &i);
}

static void text_domain(struct image_text *t, const struct drover_domain *d)
{
	size_t pos = 0;
	uint32_t i = 0;

	image_text_number(t, "domid", d->domid);
	image_text_number(t, "features", d->features);
	add_quotas(t, "quota", d->values.n, &d->values, &d->names, &pos, &i);
}

/* Records of the transactions of Drover's own. */
static void text_txn(struct image_text *t, const struct drover_record *rec)
{
	/* They all begin with these two. */
	image_text_number(t, "conn", rec->txn.conn_id);
	image_text_number(t, "tx", rec->txn.tx_id);
	switch (rec->type) {
	case DROVER_RECORD_TXN_STATE:
		add_flag(t, "doomed", rec->txn_state.flags & DROVER_TXN_DOOMED);
		add_flag(t, "wrote", rec->txn_state.flags & DROVER_TXN_WROTE);
		add_flag(t, "chained", rec->txn_state.flags & DROVER_TXN_CHAINED);
		image_text_number(t, "charge", rec->txn_state.charge);
		break;
	case DROVER_RECORD_TXN_ACCESS:
		add_path(t, &rec->txn_access.path);
		image_text_number(t, "saw", rec->txn_access.saw);
		image_text_number(t, "wrote", rec->txn_access.wrote);
		break;
	case DROVER_RECORD_TXN_CHARGE:
		image_text_number(t, "octets", rec->txn_charge.octets);
		break;
	default:
		break;
	}
}

static void text_conn_state(struct image_text *t, const struct drover_conn_state *c)
{
	image_text_number(t, "conn", c->conn_id);
	image_text_number(t, "domid", c->domid);
	image_text_number(t, "next_tx", c->next_tx);
	add_some(t, "peer", c->peer_id);
	add_flag(t, "failed", c->flags & DROVER_CONN_STATE_FAILED);
	add_flag(t, "privileged", c->flags & DROVER_CONN_STATE_PRIVILEGED);
	add_flag(t, "quiesced", c->flags & DROVER_CONN_STATE_QUIESCED);
}

static void text_domain_state(struct image_text *t, const struct drover_domain_state *d)
{
	image_text_number(t, "domid", d->domid);
	add_flag(t, "introduced", d->flags & DROVER_DOMAIN_INTRODUCED);
	add_flag(t, "shutdown", d->flags & DROVER_DOMAIN_SHUTDOWN);
	if (d->target != DROVER_TARGET_NONE)
		image_text_number(t, "target", d->target);
	image_text_number(t, "unique_id", d->unique);
	image_text_number(t, "gfn", d->gfn);
	image_text_number(t, "remote_port", d->remote_port);
	image_text_number(t, "local_port", d->local_port);
	image_text_number(t, "features", d->features);
	image_text_number(t, "limits", d->limits.n);
}

static void text_own(struct image_text *t, const struct drover_record *rec)
{
	switch (rec->type) {
	case DROVER_RECORD_STATE:
		image_text_number(t, "journal_version", rec->state.journal_version);
		image_text_number(t, "generation", rec->state.store_gen);
		image_text_number(t, "deaths", rec->state.deaths);
		image_text_number(t, "started_ms", rec->state.started_ms);
		break;
	case DROVER_RECORD_CONN_STATE:
		text_conn_state(t, &rec->conn_state);
		break;
	case DROVER_RECORD_CONN_GONE:
		image_text_number(t, "conn", rec->conn_gone.conn_id);
		break;
	case DROVER_RECORD_DOMAIN_STATE:
		text_domain_state(t, &rec->domain_state);
		break;
	case DROVER_RECORD_DOMAIN_GONE:
	case DROVER_RECORD_PERMS_STRIP:
		image_text_number(t, "domid", rec->domain_gone.domid);
		break;
	case DROVER_RECORD_COMMIT:
		image_text_number(t, "seq", rec->commit.seq);
		image_text_number(t, "words", rec->commit.words.n);
		break;
	case DROVER_RECORD_POLICY:
		image_text_number(t, "limits", rec->policy.limits.n);
		break;
	case DROVER_RECORD_HOST:
		image_text_octets(t, "trace", &rec->host.path);
		add_flag(t, "on", rec->host.flags & DROVER_HOST_TRACE);
		break;
	case DROVER_RECORD_DEATH:
		image_text_number(t, "domid", rec->death.domid);
		image_text_number(t, "count", rec->death.count);
		break;
	default:
		image_text_number(t, "octets", rec->raw.len);
		break;
	}
}

void image_text_record(struct image_text *t, const struct drover_record *rec)
{
	switch (rec->type) {
	case DROVER_RECORD_END:
		break;
	case DROVER_RECORD_GLOBAL:
		add_signed(t, "socket", rec->global.socket_fd);
		if (rec->global.ro_socket_fd >= 0)
			add_signed(t, "ro_socket", rec->global.ro_socket_fd);
		if (rec->global.evtchn_fd >= 0)
			add_signed(t, "evtchn", rec->global.evtchn_fd);
		break;
	case DROVER_RECORD_CONNECTION:
		text_connection(t, &rec->connection);
		break;
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
	case DROVER_RECORD_UNWATCH:
		text_watch(t, &rec->watch);
		break;
	case DROVER_RECORD_TXN:
	case DROVER_RECORD_TXN_END:
	case DROVER_RECORD_TXN_STATE:
	case DROVER_RECORD_TXN_ACCESS:
	case DROVER_RECORD_TXN_CHARGE:
		text_txn(t, rec);
		break;
	case DROVER_RECORD_NODE:
	case DROVER_RECORD_TXN_BASE_NODE:
		text_node(t, &rec->node);
		break;
	case DROVER_RECORD_QUOTA:
		text_quota(t, &rec->quota);
		break;
	case DROVER_RECORD_DOMAIN:
		text_domain(t, &rec->domain);
		break;
	default:
		text_own(t, rec);
		break;
	}
}

void image_text_xsdata(struct image_text *t, const struct drover_xsdata *data)
{
	struct drover_list perms = { .entry = data->perm, .n = data->n_perms };

	switch (data->type) {
	case DROVER_XSDATA_NODE:
		image_text_word(t, "data", "node");
		add_path(t, &data->path);
		add_perms(t, &perms);
		image_text_octets(t, "value", &data->value);
		break;
	case DROVER_XSDATA_WATCH:
		image_text_word(t, "data", "watch");
		add_path(t, &data->path);
		image_text_octets(t, "token", &data->token);
		break;
	default:
		image_text_word(t, "data", "transaction");
		for (uint32_t i = 0; i < data->n_txns && !t->object; i++)
			image_text_number(t, "tx", data->tx_id[i]);
		if (t->object) {
			struct json_object *ids = cli_must(json_object_new_array());

			for (uint32_t i = 0; i < data->n_txns; i++)
				json_object_array_add(
					ids, cli_must(json_object_new_int64(data->tx_id[i])));
			json_object_object_add(t->object, "tx", ids);
		}
		break;
	}
}

const char *image_text_type(uint32_t type, char buf[16])
{
	const char *name = drover_record_type_name(type);

	if (name)
		return name;
	snprintf(buf, 16, "0x%" PRIx32, type);
	return buf;
}
