/* SPDX-License-Identifier: MIT */
/*
 * `drover image convert`: an image in another layout, version or byte order, or for a certain
 * reader. Invariant: whatever is not the same afterwards is told on stderr; what the target has
 * no place for and is not known here to be harmless to lose ends it with nothing written.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/image.h"
#include "cli/image_lost.h"
#include "cli/image_text.h"
#include "cli/text.h"

/* Who is to read it. */
enum target {
	TARGET_ANY,
	TARGET_UPSTREAM_4_17, /* records 0 to 5, version 1, no open transactions */
	TARGET_UPSTREAM_4_22, /* 0 to 8 of version 2; its watches with a depth are laid out
				 otherwise */
	TARGET_DROVER,
};

static const char *const target_names[] = { "any", "upstream-4.17", "upstream-4.22", "drover",
					    NULL };

struct convert {
	enum target target;
	struct image_how how;
	int layout, version, endian; /* as asked for; -1: as it was */
	struct image_src src;
	struct image_out out;
	struct drover_image_format format; /* of the output */
	struct image_lost lost;
	struct drover_perm *perms; /* owned; a list without its flags */
};

#define LOST(c, ...) image_lost_say(&(c)->lost, drover_reader_index((c)->src.reader), __VA_ARGS__)

static bool is_upstream(const struct convert *c)
{
	return c->target == TARGET_UPSTREAM_4_17 || c->target == TARGET_UPSTREAM_4_22;
}

static bool is_seed(const struct convert *c)
{
	return c->format.layout == DROVER_LAYOUT_SEED;
}

/* ---- record by record; false: it is left out ---- */

static bool fit_global(struct convert *c, struct drover_global *g)
{
	if (is_seed(c) && g->evtchn_fd != -1) {
		LOST(c, "event channel descriptor %d left out", g->evtchn_fd);
		g->evtchn_fd = -1;
	}
	if (!is_seed(c) && g->ro_socket_fd != -1) {
		LOST(c, "read-only socket %d left out", g->ro_socket_fd);
		g->ro_socket_fd = -1;
	}
	return true;
}

static bool fit_connection(struct convert *c, struct drover_connection *k)
{
	if (k->flags & DROVER_CONN_UNIQUE_ID && (is_seed(c) || c->target == TARGET_UPSTREAM_4_17)) {
		LOST(c, "connection %" PRIu32 ": unique id %" PRIu64 " of its domain left out",
		     k->conn_id, k->unique_id);
		k->flags &= (uint16_t)~DROVER_CONN_UNIQUE_ID;
	}
	if (!is_seed(c)) {
		if (k->flags & DROVER_CONN_READ_ONLY)
			LOST(c, "connection %" PRIu32 ": may write from now on", k->conn_id);
		k->flags &= (uint16_t)~DROVER_CONN_READ_ONLY;
		if (k->mfn && k->mfn != UINT64_MAX)
			LOST(c, "connection %" PRIu32 ": frame 0x%" PRIx64 " left out", k->conn_id,
			     k->mfn);
		k->mfn = 0;
		return true;
	}
	if (k->input.len)
		LOST(c, "connection %" PRIu32 ": %zu octets of unread input left out", k->conn_id,
		     k->input.len);
	if (k->resp_len)
		LOST(c,
		     "connection %" PRIu32 ": that %u octets end a message sent in part left out",
		     k->conn_id, k->resp_len);
	k->input.len = 0;
	k->resp_len = 0;
	if (k->kind == DROVER_CONN_RING && !k->mfn)
		k->mfn = UINT64_MAX; /* what stands for "not known" */
	return true;
}

static bool fit_watch(struct convert *c, struct drover_record *rec)
{
	const struct drover_watch *w = &rec->watch;
	char *path;

	if (rec->type == DROVER_RECORD_WATCH ||
	    (!is_upstream(c) && !is_seed(c) && c->format.version > 1))
		return true;
	rec->type = DROVER_RECORD_WATCH;
	if (w->depth == DROVER_DEPTH_ANY)
		return true;
	path = cli_text_escape(w->path.data, w->path.len, false);
	LOST(c, "connection %" PRIu32 ": watch %s: depth %" PRIu32 " becomes any", w->conn_id, path,
	     w->depth);
	free(path);
	return true;
}

static bool fit_txn(struct convert *c, const struct drover_txn *t)
{
	if (!is_upstream(c))
		return true;
	LOST(c, "connection %" PRIu32 ": open transaction %" PRIu32 " left out", t->conn_id,
	     t->tx_id);
	return false;
}

static bool fit_node(struct convert *c, struct drover_node *n)
{
	bool stale = false;

	if (is_upstream(c) && (n->conn_id || n->tx_id)) {
		c->lost.pending++;
		return false;
	}
	if (!is_seed(c))
		return true;
	for (uint32_t i = 0; i < n->perms.n; i++)
		stale |= drover_perm_at(&n->perms, i).flags & DROVER_PERM_STALE;
	if (!stale)
		return true;
	c->perms = cli_must(reallocarray(c->perms, n->perms.n, sizeof(*c->perms)));
	for (uint32_t i = 0; i < n->perms.n; i++) {
		c->perms[i] = drover_perm_at(&n->perms, i);
		if (c->perms[i].flags)
			LOST(c, "permission of domain %u, which is gone, is as any other",
			     c->perms[i].domid);
		c->perms[i].flags = 0;
	}
	n->perms = (struct drover_list){ .entry = c->perms, .n = n->perms.n };
	return true;
}

static bool fit_quotas(struct convert *c, struct drover_record *rec)
{
	if (is_seed(c) || c->target == TARGET_UPSTREAM_4_17) {
		image_lost_type(&c->lost, rec->type);
		return false;
	}
	if (rec->type == DROVER_RECORD_DOMAIN && c->format.version < 2 && rec->domain.features) {
		LOST(c, "domain %u: features 0x%" PRIx32 " left out", rec->domain.domid,
		     rec->domain.features);
		rec->domain.features = 0;
	}
	return true;
}

/*
 * Drover's own are of no use to others. Bodies that are not known cannot be turned, nor would C
 * xenstored know where they end.
 */
static bool fit_other(struct convert *c, const struct drover_record *rec)
{
	bool same = c->format.big_endian == c->src.format.big_endian &&
		    c->format.layout == c->src.format.layout;

	if (!is_upstream(c) && (same || drover_record_type_known(rec->type)))
		return true;
	image_lost_type(&c->lost, rec->type);
	return false;
}

static bool fit(struct convert *c, struct drover_record *rec)
{
	switch (rec->type) {
	case DROVER_RECORD_GLOBAL:
		return fit_global(c, &rec->global);
	case DROVER_RECORD_CONNECTION:
		return fit_connection(c, &rec->connection);
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
		return fit_watch(c, rec);
	case DROVER_RECORD_TXN:
		return fit_txn(c, &rec->txn);
	case DROVER_RECORD_NODE:
		return fit_node(c, &rec->node);
	case DROVER_RECORD_QUOTA:
	case DROVER_RECORD_DOMAIN:
		return fit_quotas(c, rec);
	default:
		return fit_other(c, rec);
	}
}

/* ---- the whole ---- */

static void writer_fail(const struct convert *c, struct drover_writer *w)
{
	char text[320];
	struct drover_image_error err = *drover_writer_error(w);

	/* Where it was is of more use than where it would have been. */
	err.record = drover_reader_index(c->src.reader);
	err.offset = drover_reader_offset(c->src.reader);
	drover_image_error_print(&err, text, sizeof(text));
	fprintf(stderr, "drover: image convert: %s: cannot be written so: %s\n", c->src.in.name,
		text);
}

static bool copy(struct convert *c)
{
	struct drover_writer_options options = {
		.write = image_out_write,
		.ctx = &c->out,
		.format = c->format,
	};
	struct drover_writer *w;
	struct drover_record rec;
	int r = 0;

	if (drover_writer_new(&options, &w))
		cli_must(NULL);
	while (!r && image_src_next(&c->src, &rec))
		if (fit(c, &rec))
			r = drover_writer_put(w, &rec);
	if (!r && !c->src.failed)
		r = drover_writer_end(w);
	if (r == EINVAL)
		writer_fail(c, w);
	else if (r == ENOMEM)
		cli_must(NULL);
	drover_writer_free(w);
	if (r || c->src.failed)
		return false;
	image_lost_end(&c->lost);
	return true;
}

static void choose_format(struct convert *c)
{
	c->format = c->src.format;
	if (c->target != TARGET_ANY) {
		c->format.layout = DROVER_LAYOUT_UPSTREAM;
		c->format.version = c->target == TARGET_UPSTREAM_4_17 ? 1 : 2;
	}
	if (c->layout >= 0)
		c->format.layout = c->layout ? DROVER_LAYOUT_SEED : DROVER_LAYOUT_UPSTREAM;
	if (c->version >= 0)
		c->format.version = (unsigned int)c->version;
	if (c->endian >= 0)
		c->format.big_endian = c->endian;
}

static int convert_run(struct convert *c, const char *from, const char *to)
{
	bool good = false;

	if (!image_src_open(&c->src, "convert", from, &c->how))
		return CLI_FAILED;
	choose_format(c);
	c->lost.command = "convert";
	if (image_out_open(&c->out, "convert", to)) {
		good = copy(c);
		good = image_out_close(&c->out, good);
	}
	image_src_close(&c->src);
	image_lost_fini(&c->lost);
	free(c->perms);
	return good ? CLI_OK : CLI_FAILED;
}

/* One option; false: it was wrong, which was said. */
static bool convert_option(struct convert *c, int option, const char *arg)
{
	static const char *const layouts[] = { "upstream", "seed", NULL };
	static const char *const versions[] = { "1", "2", NULL };
	static const char *const endians[] = { "little", "big", NULL };
	int n;

	switch (option) {
	case 'l':
		return (c->layout = image_word("layout", arg, layouts)) >= 0;
	case 'v':
		n = image_word("version", arg, versions);
		c->version = n + 1;
		return n >= 0;
	case 'e':
		return (c->endian = image_word("endian", arg, endians)) >= 0;
	case 'f':
		n = image_word("for", arg, target_names);
		c->target = n < 0 ? TARGET_ANY : (enum target)n;
		return n >= 0;
	default:
		return image_how_option(&c->how, option, arg);
	}
}

/* Whether the target reads what was asked for besides. */
static bool target_reads(const struct convert *c)
{
	int most = c->target == TARGET_UPSTREAM_4_17 ? 1 : 2;

	return c->target == TARGET_ANY || (c->layout <= 0 && c->version <= most);
}

int cli_image_convert(int argc, char **argv)
{
	static const struct option options[] = {
		IMAGE_HOW_OPTIONS,
		{ "layout", required_argument, NULL, 'l' },
		{ "version", required_argument, NULL, 'v' },
		{ "endian", required_argument, NULL, 'e' },
		{ "for", required_argument, NULL, 'f' },
		{ 0 },
	};
	struct convert *c = cli_must(calloc(1, sizeof(*c)));
	int option, status;

	c->layout = c->version = c->endian = -1;
	while ((option = cli_getopt(argc, argv, IMAGE_HOW_LETTERS, options, &status)) != -1) {
		if (option != '?' && convert_option(c, option, optarg))
			continue;
		free(c);
		return option == '?' ? status : CLI_USAGE;
	}
	if (argc - optind != 2)
		status = cli_usage("image", "convert: two files, IN and OUT");
	else if (!target_reads(c))
		status = cli_usage("image", "convert: %s does not read that layout or version",
				   target_names[c->target]);
	else
		status = convert_run(c, argv[optind], argv[optind + 1]);
	free(c);
	return status;
}
