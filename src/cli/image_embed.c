/* SPDX-License-Identifier: MIT */
/*
 * `drover image embed`: a domain's image as xenstore data of a libxl stream. Invariant: the
 * stream's own octets pass unchanged; what the form of the data has no words for is told.
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
#include "cli/text.h"
#include "wire/path.h"

#define HOME_FMT "/local/domain/%" PRIu32

struct embed {
	const char *image; /* borrowed; the file's name */
	struct image_how how;
	enum drover_xsdata_form form;
	int64_t domid; /* -1: not known yet */
	bool has_connection;
	bool big_endian;
	struct image_src src;
	struct image_out out;
	struct image_lost lost;
	struct drover_xsdata data;
	char path[XENSTORE_ABS_PATH_MAX + XENSTORE_REL_PATH_MAX];
	uint8_t record[DROVER_XSDATA_BODY + 16];
};

static bool refuse(const struct embed *e, const char *what)
{
	fprintf(stderr, "drover: image embed: %s: record %" PRIu64 " at offset 0x%" PRIx64 ": %s\n",
		e->src.in.name, drover_reader_index(e->src.reader),
		drover_reader_offset(e->src.reader), what);
	return false;
}

#define LOST(e, ...) image_lost_say(&(e)->lost, drover_reader_index((e)->src.reader), __VA_ARGS__)

/* Writes e->data; what cannot be said is told and left out. */
static bool put_data(struct embed *e)
{
	char text[200] = "";
	char *path;
	size_t len;
	int r = drover_xsdata_encode(e->form, e->big_endian, &e->data, e->record, sizeof(e->record),
				     &len, text, sizeof(text));

	if (!r)
		return !image_out_write(&e->out, e->record, len);
	if (r != EINVAL)
		return refuse(e, strerror(r));
	if (e->data.type == DROVER_XSDATA_TXN) {
		LOST(e, "transaction %" PRIu32 " left out: %s", e->data.tx_id[0], text);
		return true;
	}
	path = cli_text_escape(e->data.path.data, e->data.path.len, false);
	LOST(e, "%s left out: %s", path, text);
	free(path);
	return true;
}

/*
 * The path as the form has it: below the domain's own, or absolute. *ret_other: whether a watch
 * on it now tells its events by another name. False: the domain is not known.
 */
static bool fit_path(struct embed *e, const struct drover_octets *path, bool *ret_other)
{
	const char *p = path->data;
	char home[24];
	size_t len;

	e->data.path = *path;
	*ret_other = false;
	if (e->form == DROVER_XSDATA_BINARY || *p == '@' ||
	    (*p == '/') == (e->form == DROVER_XSDATA_ABSOLUTE))
		return true;
	if (e->domid < 0)
		return e->form == DROVER_XSDATA_RELATIVE && *p != '/';
	len = (size_t)snprintf(home, sizeof(home), HOME_FMT, (uint32_t)e->domid);
	if (e->form == DROVER_XSDATA_ABSOLUTE) {
		*ret_other = true;
		len = (size_t)snprintf(e->path, sizeof(e->path), "%s/%.*s", home, (int)path->len,
				       p);
		e->data.path = (struct drover_octets){ .data = e->path, .len = len };
	} else if (path_is_below(p, path->len, home, len)) {
		*ret_other = true;
		len += path->len > len; /* the slash */
		e->data.path = (struct drover_octets){ .data = p + len, .len = path->len - len };
	}
	return true;
}

static bool put_node(struct embed *e, const struct drover_node *n)
{
	bool other;

	if (n->conn_id || n->tx_id) {
		e->lost.pending++;
		return true;
	}
	if (!fit_path(e, &n->path, &other))
		return refuse(e, "whose domain this is, is not known before it: give --domid");
	if (n->perms.n > DROVER_XSDATA_PERMS)
		return refuse(e, "more permissions than xenstore data holds");
	e->data.type = DROVER_XSDATA_NODE;
	e->data.value = n->value;
	e->data.n_perms = n->perms.n;
	for (uint32_t i = 0; i < n->perms.n; i++) {
		e->data.perm[i] = drover_perm_at(&n->perms, i);
		if (e->data.perm[i].flags & DROVER_PERM_STALE)
			LOST(e, "permission of domain %u, which is gone, is as any other",
			     e->data.perm[i].domid);
	}
	return put_data(e);
}

static bool put_watch(struct embed *e, const struct drover_watch *w)
{
	char *path = cli_text_escape(w->path.data, w->path.len, false);
	bool other;

	if (w->depth != DROVER_DEPTH_ANY)
		LOST(e, "watch %s: depth %" PRIu32 " becomes any", path, w->depth);
	if (!fit_path(e, &w->path, &other)) {
		free(path);
		return refuse(e, "whose domain this is, is not known before it: give --domid");
	}
	if (other)
		LOST(e, "watch %s: its events name the %s path", path,
		     e->form == DROVER_XSDATA_ABSOLUTE ? "absolute" : "relative");
	free(path);
	e->data.type = DROVER_XSDATA_WATCH;
	e->data.token = w->token;
	return put_data(e);
}

static bool put_txn(struct embed *e, const struct drover_txn *t)
{
	e->data.type = DROVER_XSDATA_TXN;
	e->data.path.len = 0;
	e->data.n_txns = 1;
	e->data.tx_id[0] = t->tx_id;
	return put_data(e);
}

static bool put_connection(struct embed *e, const struct drover_connection *c)
{
	if (c->kind != DROVER_CONN_RING || e->has_connection)
		return refuse(e, "the image of a store, where a domain's is wanted");
	e->has_connection = true;
	if (e->domid < 0)
		e->domid = c->domid;
	if (c->domid != e->domid)
		return refuse(e, "the image of another domain than --domid says");
	if (c->input.len)
		LOST(e, "%zu octets of unread input left out", c->input.len);
	if (c->output.len)
		LOST(e, "%zu octets of unsent output left out", c->output.len);
	if (c->tdomid != DROVER_DOMID_NONE)
		LOST(e, "target domain %u left out", c->tdomid);
	return true;
}

static bool put_record(struct embed *e, const struct drover_record *rec)
{
	switch (rec->type) {
	case DROVER_RECORD_CONNECTION:
		return put_connection(e, &rec->connection);
	case DROVER_RECORD_NODE:
		return put_node(e, &rec->node);
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
		return put_watch(e, &rec->watch);
	case DROVER_RECORD_TXN:
		return put_txn(e, &rec->txn);
	default:
		image_lost_type(&e->lost, rec->type);
		return true;
	}
}

static bool put_image(struct embed *e)
{
	struct drover_record rec;
	bool good = true;

	if (!image_src_open(&e->src, "embed", e->image, &e->how))
		return false;
	while (good && image_src_next(&e->src, &rec))
		good = put_record(e, &rec);
	good = good && !e->src.failed;
	image_src_close(&e->src);
	if (good)
		image_lost_end(&e->lost);
	return good;
}

static bool copy(struct embed *e, const struct image_in *in, struct drover_libxl_reader *r)
{
	struct drover_libxl_item item;
	bool placed = false;
	char text[320] = "";
	int err;

	while (!(err = drover_libxl_next(r, &item))) {
		if (item.kind == DROVER_LIBXL_ITEM_XENSTORE) {
			image_in_fail(in, EINVAL,
				      "has xenstore data already; 'drover image extract' it first");
			return false;
		}
		if (item.kind == DROVER_LIBXL_ITEM_PLACE) {
			placed = true;
			e->big_endian = drover_libxl_reader_info(r)->big_endian;
			if (!put_image(e))
				return false;
		} else if (image_out_write(&e->out, item.octets.data, item.octets.len)) {
			return false;
		}
	}
	if (err == EINVAL)
		drover_libxl_error_print(drover_libxl_reader_error(r), text, sizeof(text));
	if (err != ENODATA)
		image_in_fail(in, err, text);
	else if (!placed)
		image_in_fail(in, EINVAL, "no LIBXC_CONTEXT, behind which xenstore data stands");
	return err == ENODATA && placed;
}

static int embed_run(struct embed *e, const char *from, const char *to)
{
	struct drover_libxl_options options = { .read = image_in_read };
	struct drover_libxl_reader *r;
	struct image_in in;
	bool good = false;

	if (!image_in_open(&in, "embed", from))
		return CLI_FAILED;
	options.ctx = &in;
	if (drover_libxl_reader_new(&options, &r))
		cli_must(NULL);
	if (image_out_open(&e->out, "embed", to)) {
		good = copy(e, &in, r);
		good = image_out_close(&e->out, good);
	}
	drover_libxl_reader_free(r);
	image_in_close(&in);
	return good ? CLI_OK : CLI_FAILED;
}

static bool embed_option(struct embed *e, int option, const char *arg)
{
	static const char *const forms[] = { "binary", "relative", "absolute", NULL };
	static const enum drover_xsdata_form form[] = {
		DROVER_XSDATA_BINARY,
		DROVER_XSDATA_RELATIVE,
		DROVER_XSDATA_ABSOLUTE,
	};
	unsigned long domid;
	int n;

	if (option == 'F') {
		n = image_word("form", arg, forms);
		e->form = form[n < 0 ? 0 : n];
		return n >= 0;
	}
	if (option != 'd')
		return image_how_option(&e->how, option, arg);
	if (!cli_number("image", "--domid", arg, UINT16_MAX, &domid))
		return false;
	e->domid = (int64_t)domid;
	return true;
}

int cli_image_embed(int argc, char **argv)
{
	static const struct option options[] = {
		IMAGE_HOW_OPTIONS,
		{ "layout", required_argument, NULL, 'L' },
		{ "form", required_argument, NULL, 'F' },
		{ "domid", required_argument, NULL, 'd' },
		{ 0 },
	};
	struct embed *e = cli_must(calloc(1, sizeof(*e)));
	int option, status;

	e->form = DROVER_XSDATA_BINARY;
	e->domid = -1;
	e->lost.command = "embed";
	while ((option = cli_getopt(argc, argv, IMAGE_HOW_LETTERS, options, &status)) != -1) {
		if (option != '?' && embed_option(e, option, optarg))
			continue;
		free(e);
		return option == '?' ? status : CLI_USAGE;
	}
	if (argc - optind != 3) {
		status = cli_usage("image", "embed: three files, LIBXL_IN, IMAGE and OUT");
	} else if (!strcmp(argv[optind], "-") && !strcmp(argv[optind + 1], "-")) {
		status = cli_usage("image", "embed: one of LIBXL_IN and IMAGE may be -");
	} else {
		e->image = argv[optind + 1];
		status = embed_run(e, argv[optind], argv[optind + 2]);
	}
	image_lost_fini(&e->lost);
	free(e);
	return status;
}
