/* SPDX-License-Identifier: MIT */
/*
 * `drover image extract`: the xenstore data of a libxl stream as a domain's image, and the stream
 * without it. Invariant: guest memory passes by; only xenstore data is held, and is read once more
 * as an image, by the rules of images, before anything gets its name.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/image.h"
#include "cli/text.h"
#include "wire/path.h"

#define EXTRACT_MAX (64u << 20) /* octets of xenstore data */
#define EXTRACT_CONN 1u		/* the id of the domain's connection in the image */

/* One node, watch or transaction. */
struct datum {
	uint32_t type;
	uint32_t tx_id;
	uint32_t n_perms;
	size_t path_len, second_len; /* second: value or token */
	uint64_t record, offset;     /* where it was */
	size_t order;
	char *octets; /* owned: permissions, path, second */
};

struct extract {
	struct drover_image_format format;
	enum drover_xsdata_form form;
	int64_t domid; /* -1: found in the paths */
	struct image_in in;
	struct image_out out, image;
	struct datum *datum; /* owned */
	size_t n, room, octets;
	struct drover_xsdata data;
	uint8_t *whole; /* owned: the image */
	size_t whole_len, whole_room, whole_at;
};

/* ---- collecting ---- */

static bool refuse(const struct extract *x, uint64_t record, uint64_t offset, const char *what)
{
	struct drover_libxl_error err = {
		.record = record,
		.offset = offset,
		.type = DROVER_LIBXL_DOMAIN_XENSTORE_DATA,
	};
	char text[400];

	snprintf(err.text, sizeof(err.text), "%s", what);
	drover_libxl_error_print(&err, text, sizeof(text));
	image_in_fail(&x->in, EINVAL, text);
	return false;
}

static void keep(struct extract *x, const struct drover_libxl_item *item, uint32_t tx_id)
{
	const struct drover_xsdata *d = &x->data;
	const struct drover_octets *second = d->type == DROVER_XSDATA_NODE ? &d->value : &d->token;
	size_t perms = d->n_perms * sizeof(d->perm[0]);
	struct datum *k;

	if (x->n == x->room) {
		x->room = x->room ? 2 * x->room : 256;
		x->datum = cli_must(reallocarray(x->datum, x->room, sizeof(*x->datum)));
	}
	k = &x->datum[x->n];
	*k = (struct datum){
		.type = d->type,
		.tx_id = tx_id,
		.n_perms = d->n_perms,
		.path_len = d->path.len,
		.second_len = second->len,
		.record = item->record,
		.offset = item->offset,
		.order = x->n++,
		.octets = cli_must(malloc(perms + d->path.len + second->len + 1)),
	};
	memcpy(k->octets, d->perm, perms);
	if (d->path.len)
		memcpy(k->octets + perms, d->path.data, d->path.len);
	if (second->len)
		memcpy(k->octets + perms + d->path.len, second->data, second->len);
}

static bool collect(struct extract *x, const struct drover_libxl_item *item, bool big_endian)
{
	char text[200] = "";

	if (drover_xsdata_decode(&x->form, big_endian, item->body.data, item->body.len, &x->data,
				 text, sizeof(text)))
		return refuse(x, item->record, item->offset, text);
	x->octets += item->octets.len;
	if (x->octets > EXTRACT_MAX)
		return refuse(x, item->record, item->offset, "more than 64 MiB of xenstore data");
	if (x->data.type != DROVER_XSDATA_TXN)
		keep(x, item, 0);
	else
		for (uint32_t i = 0; i < x->data.n_txns; i++)
			keep(x, item, x->data.tx_id[i]);
	return true;
}

static bool copy(struct extract *x)
{
	struct drover_libxl_options options = { .read = image_in_read, .ctx = &x->in };
	struct drover_libxl_reader *r;
	struct drover_libxl_item item;
	char text[320] = "";
	bool good = true;
	int err = 0;

	if (drover_libxl_reader_new(&options, &r))
		cli_must(NULL);
	while (good && !(err = drover_libxl_next(r, &item))) {
		if (item.kind == DROVER_LIBXL_ITEM_XENSTORE)
			good = collect(x, &item, drover_libxl_reader_info(r)->big_endian);
		else
			good = !image_out_write(&x->out, item.octets.data, item.octets.len);
	}
	if (err == EINVAL)
		drover_libxl_error_print(drover_libxl_reader_error(r), text, sizeof(text));
	if (err && err != ENODATA)
		image_in_fail(&x->in, err, text);
	drover_libxl_reader_free(r);
	return good && err == ENODATA;
}

/* ---- what was collected ---- */

static const char *datum_path(const struct datum *k)
{
	return k->octets + k->n_perms * sizeof(struct drover_perm);
}

/* By path, a parent before what is below it; those of one path as they came. */
static int datum_compare(const void *a, const void *b)
{
	const struct datum *x = a, *y = b;
	const unsigned char *p = (const unsigned char *)datum_path(x);
	const unsigned char *q = (const unsigned char *)datum_path(y);
	size_t n = x->path_len < y->path_len ? x->path_len : y->path_len;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == q[i])
			continue;
		if (p[i] == '/' || q[i] == '/')
			return p[i] == '/' ? -1 : 1;
		return p[i] < q[i] ? -1 : 1;
	}
	if (x->path_len != y->path_len)
		return x->path_len < y->path_len ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static int order_compare(const void *a, const void *b)
{
	const struct datum *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

/* Whether each path comes before those below it; the data are sorted by path. */
static bool in_order(const struct extract *x)
{
	size_t *above = cli_must(malloc((x->n + 1) * sizeof(*above))), depth = 0;
	bool good = true;

	for (size_t i = 0; i < x->n && good; i++) {
		const struct datum *k = &x->datum[i];

		if (k->type != DROVER_XSDATA_NODE)
			continue;
		while (depth && !path_is_below(datum_path(k), k->path_len,
					       datum_path(&x->datum[above[depth - 1]]),
					       x->datum[above[depth - 1]].path_len))
			depth--;
		good = !depth || x->datum[above[depth - 1]].order < k->order;
		above[depth++] = i;
	}
	free(above);
	return good;
}

/* Parents first; the data stay as they came where that is so already. */
static void sort(struct extract *x)
{
	if (!x->n)
		return;
	qsort(x->datum, x->n, sizeof(*x->datum), datum_compare);
	if (in_order(x))
		qsort(x->datum, x->n, sizeof(*x->datum), order_compare);
}

/* The N of /local/domain/N, *ret_home: and nothing behind it. -1: another path. */
static int64_t domid_of(const char *path, size_t len, bool *ret_home)
{
	static const char prefix[] = "/local/domain/";
	const char *number = path + sizeof(prefix) - 1, *slash;
	uint16_t domid;

	if (len < sizeof(prefix) || memcmp(path, prefix, sizeof(prefix) - 1))
		return -1;
	len -= sizeof(prefix) - 1;
	slash = memchr(number, '/', len);
	*ret_home = !slash;
	if (path_parse_domid(number, slash ? (size_t)(slash - number) : len, &domid))
		return -1;
	return domid;
}

/*
 * Whose data it is: that domain whose own node is there, else whose nodes are, dom0's aside: the
 * other half of a guest's devices is among them.
 */
static bool find_domid(struct extract *x)
{
	int64_t home = -1, below = -1;
	bool homes = false, belows = false, is_home;

	for (size_t i = 0; i < x->n; i++) {
		const struct datum *k = &x->datum[i];
		int64_t domid = k->type == DROVER_XSDATA_NODE
					? domid_of(datum_path(k), k->path_len, &is_home)
					: -1;

		if (domid < 0)
			continue;
		if (is_home) {
			homes |= home >= 0 && home != domid;
			home = domid;
		}
		if (domid) {
			belows |= below >= 0 && below != domid;
			below = domid;
		}
	}
	x->domid = home >= 0 && !homes ? home : below >= 0 && !belows ? below : -1;
	if (x->domid < 0)
		image_in_fail(&x->in, EINVAL,
			      "does not say whose xenstore data it holds: give --domid");
	return x->domid >= 0;
}

/* ---- the image ---- */

static int whole_write(void *ctx, const void *data, size_t len)
{
	struct extract *x = ctx;

	if (x->whole_room - x->whole_len < len) {
		x->whole_room = 2 * (x->whole_len + len);
		x->whole = cli_must(realloc(x->whole, x->whole_room));
	}
	memcpy(x->whole + x->whole_len, data, len);
	x->whole_len += len;
	return 0;
}

static int whole_read(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	struct extract *x = ctx;
	size_t n = x->whole_len - x->whole_at;

	n = n < len ? n : len;
	memcpy(buf, x->whole + x->whole_at, n);
	x->whole_at += n;
	*ret_len = n;
	return 0;
}

/* The path of a node of the relative form is below the domain's own. */
static struct drover_octets absolute(const struct extract *x, const struct datum *k,
				     char buf[2 * XENSTORE_ABS_PATH_MAX])
{
	const char *path = datum_path(k);
	int n;

	if (x->form != DROVER_XSDATA_RELATIVE || (k->path_len && *path == '@'))
		return (struct drover_octets){ .data = path, .len = k->path_len };
	n = snprintf(buf, 2 * XENSTORE_ABS_PATH_MAX, "/local/domain/%" PRId64 "%s%.*s", x->domid,
		     k->path_len ? "/" : "", (int)k->path_len, path);
	return (struct drover_octets){ .data = buf, .len = (size_t)n };
}

static int put_datum(struct extract *x, const struct datum *k, struct drover_writer *w)
{
	char buf[2 * XENSTORE_ABS_PATH_MAX];
	struct drover_octets second = {
		.data = datum_path(k) + k->path_len,
		.len = k->second_len,
	};
	struct drover_record rec = { 0 };

	if (k->type == DROVER_XSDATA_NODE) {
		rec.type = DROVER_RECORD_NODE;
		rec.node.path = absolute(x, k, buf);
		rec.node.value = second;
		rec.node.perms = (struct drover_list){ .entry = k->octets, .n = k->n_perms };
	} else if (k->type == DROVER_XSDATA_WATCH) {
		rec.type = DROVER_RECORD_WATCH;
		rec.watch = (struct drover_watch){
			.conn_id = EXTRACT_CONN,
			.depth = DROVER_DEPTH_ANY,
			.path = { .data = datum_path(k), .len = k->path_len },
			.token = second,
		};
	} else {
		rec.type = DROVER_RECORD_TXN;
		rec.txn = (struct drover_txn){ .conn_id = EXTRACT_CONN, .tx_id = k->tx_id };
	}
	return drover_writer_put(w, &rec);
}

static int put_connection(const struct extract *x, struct drover_writer *w)
{
	struct drover_record rec = { .type = DROVER_RECORD_CONNECTION };

	rec.connection = (struct drover_connection){
		.conn_id = EXTRACT_CONN,
		.kind = DROVER_CONN_RING,
		.domid = (uint16_t)x->domid,
		.tdomid = DROVER_DOMID_NONE,
		.mfn = x->format.layout == DROVER_LAYOUT_SEED ? UINT64_MAX : 0,
	};
	return drover_writer_put(w, &rec);
}

/* The image in memory. bad: the datum that could not be written. */
static int write_whole(struct extract *x, struct drover_image_error *err, const struct datum **bad)
{
	static const uint32_t kinds[] = { DROVER_XSDATA_WATCH, DROVER_XSDATA_TXN,
					  DROVER_XSDATA_NODE };
	struct drover_writer_options options = {
		.write = whole_write,
		.ctx = x,
		.format = x->format,
	};
	struct drover_writer *w;
	int r;

	if (drover_writer_new(&options, &w))
		cli_must(NULL);
	r = put_connection(x, w);
	*bad = NULL;
	for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++) {
		for (size_t i = 0; i < x->n && !r; i++) {
			if (x->datum[i].type != kinds[kind])
				continue;
			r = put_datum(x, &x->datum[i], w);
			*bad = r ? &x->datum[i] : NULL;
		}
	}
	if (!r)
		r = drover_writer_end(w);
	*err = *drover_writer_error(w);
	drover_writer_free(w);
	return r;
}

/* Which datum became the image's record; NULL: none did. */
static const struct datum *datum_of(const struct extract *x, uint64_t record)
{
	static const uint32_t kinds[] = { DROVER_XSDATA_WATCH, DROVER_XSDATA_TXN,
					  DROVER_XSDATA_NODE };
	uint64_t at = 1; /* behind the connection */

	for (size_t kind = 0; kind < ARRAY_LEN(kinds); kind++)
		for (size_t i = 0; i < x->n; i++)
			if (x->datum[i].type == kinds[kind] && at++ == record)
				return &x->datum[i];
	return NULL;
}

static int check_whole(struct extract *x, struct drover_image_error *err, const struct datum **bad)
{
	struct drover_reader_options options = {
		.read = whole_read,
		.ctx = x,
		.layout = x->format.layout,
		.flags = DROVER_READER_DOMAIN,
	};
	struct drover_record rec;
	struct drover_reader *r;
	int e;

	if (drover_reader_new(&options, &r))
		cli_must(NULL);
	do {
		e = drover_reader_next(r, &rec);
	} while (!e);
	*err = *drover_reader_error(r);
	drover_reader_free(r);
	*bad = e == EINVAL ? datum_of(x, err->record) : NULL;
	return e == ENODATA ? 0 : e;
}

static bool put_image(struct extract *x)
{
	struct drover_image_error err;
	const struct datum *bad;
	int r;

	if (!x->n) {
		image_in_fail(&x->in, EINVAL, "no xenstore data in it");
		return false;
	}
	if (x->domid < 0 && !find_domid(x))
		return false;
	sort(x);
	r = write_whole(x, &err, &bad);
	if (!r)
		r = check_whole(x, &err, &bad);
	if (r == EINVAL && bad)
		return refuse(x, bad->record, bad->offset, err.text);
	if (r) {
		image_in_fail(&x->in, r, err.text);
		return false;
	}
	return !image_out_write(&x->image, x->whole, x->whole_len);
}

static int extract_run(struct extract *x, const char *from, const char *image, const char *to)
{
	bool good = false;

	if (!image_in_open(&x->in, "extract", from))
		return CLI_FAILED;
	if (image_out_open(&x->out, "extract", to)) {
		good = copy(x);
		if (good && image) {
			good = image_out_open(&x->image, "extract", image);
			if (good)
				good = image_out_close(&x->image, put_image(x));
		}
		good = image_out_close(&x->out, good);
	}
	image_in_close(&x->in);
	return good ? CLI_OK : CLI_FAILED;
}

static bool extract_option(struct extract *x, int option, const char *arg)
{
	static const char *const layouts[] = { "upstream", "seed", NULL };
	static const char *const versions[] = { "1", "2", NULL };
	static const char *const endians[] = { "little", "big", NULL };
	static const char *const forms[] = { "auto", "relative", "absolute", "binary", NULL };
	unsigned long domid;
	int n;

	switch (option) {
	case 'l':
		n = image_word("layout", arg, layouts);
		x->format.layout = n > 0 ? DROVER_LAYOUT_SEED : DROVER_LAYOUT_UPSTREAM;
		return n >= 0;
	case 'v':
		n = image_word("version", arg, versions);
		x->format.version = (unsigned int)n + 1;
		return n >= 0;
	case 'e':
		n = image_word("endian", arg, endians);
		x->format.big_endian = n > 0;
		return n >= 0;
	case 'F':
		n = image_word("form", arg, forms);
		x->form = n < 0 ? DROVER_XSDATA_AUTO : (enum drover_xsdata_form)n;
		return n >= 0;
	default:
		if (!cli_number("image", "--domid", arg, UINT16_MAX, &domid))
			return false;
		x->domid = (int64_t)domid;
		return true;
	}
}

static void extract_free(struct extract *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->datum[i].octets);
	free(x->datum);
	free(x->whole);
	free(x);
}

int cli_image_extract(int argc, char **argv)
{
	static const struct option options[] = {
		{ "layout", required_argument, NULL, 'l' },
		{ "version", required_argument, NULL, 'v' },
		{ "endian", required_argument, NULL, 'e' },
		{ "form", required_argument, NULL, 'F' },
		{ "domid", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct extract *x = cli_must(calloc(1, sizeof(*x)));
	int option, status, n;
	char **files;

	x->domid = -1;
	x->format.version = 2;
	while ((option = cli_getopt(argc, argv, "h", options, &status)) != -1) {
		if (option != '?' && extract_option(x, option, optarg))
			continue;
		extract_free(x);
		return option == '?' ? status : CLI_USAGE;
	}
	n = argc - optind;
	files = argv + optind;
	if (n < 2 || n > 3)
		status = cli_usage("image", "extract: LIBXL_IN, IMAGE_OUT if wanted, and OUT");
	else if (n == 3 && !strcmp(files[1], files[2]))
		status = cli_usage("image", "extract: IMAGE_OUT and OUT are one file");
	else
		status = extract_run(x, files[0], n == 3 ? files[1] : NULL, files[n - 1]);
	extract_free(x);
	return status;
}
