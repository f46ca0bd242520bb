/* SPDX-License-Identifier: MIT */
/*
 * `drover image dump` and `verify`, of images and of libxl streams. Invariant: one record is held
 * at a time, and what is shown of a broken file is what came before the rule it breaks.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/image.h"
#include "cli/image_text.h"

struct dump {
	const char *command;
	struct image_how how;
	enum drover_xsdata_form form;
	bool json;
	bool show; /* dump; verify only counts */
	uint64_t shown;
	uint64_t nodes, watches, transactions, connections, xenstore;
};

/* ---- lines ---- */

static void line_begin(struct dump *d, struct image_text *t, uint64_t record, uint64_t offset,
		       const char *type)
{
	if (!d->json) {
		t->to = stdout;
		if (!d->shown++)
			puts("  RECORD      OFFSET  TYPE                    WHAT");
		printf("%8" PRIu64 "  %10" PRIu64 "  %-22s ", record, offset, type);
		return;
	}
	t->object = cli_must(json_object_new_object());
	image_text_number(t, "record", record);
	image_text_number(t, "offset", offset);
	image_text_word(t, "type", type);
}

static void line_end(struct dump *d, struct image_text *t)
{
	const char *text;

	if (!d->json) {
		putchar('\n');
		return;
	}
	text = json_object_to_json_string_ext(t->object, JSON_C_TO_STRING_SPACED |
								 JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		cli_must(NULL);
	printf("%s\n  %s", d->shown++ ? "," : "", text);
	json_object_put(t->object);
}

/* "key": "word", of a JSON object that is printed piece by piece. */
static void json_head(const char *key, const char *word)
{
	printf("\"%s\": \"%s\", ", key, word);
}

/* ---- images ---- */

static void image_head(struct dump *d, const struct image_src *src)
{
	char buf[64];

	if (!d->show)
		return;
	if (!d->json) {
		printf("image of a %s: %s\n", src->domain ? "domain" : "store",
		       image_format_text(&src->format, buf));
		return;
	}
	fputs("{ ", stdout);
	json_head("kind", "image");
	json_head("scope", src->domain ? "domain" : "store");
	json_head("layout", src->format.layout == DROVER_LAYOUT_SEED ? "seed" : "upstream");
	json_head("endian", src->format.big_endian ? "big" : "little");
	printf("\"version\": %u, \"records\": [", src->format.version);
}

static void image_count(struct dump *d, const struct drover_record *rec)
{
	switch (rec->type) {
	case DROVER_RECORD_NODE:
		d->nodes += !rec->node.conn_id && !rec->node.tx_id;
		break;
	case DROVER_RECORD_CONNECTION:
		d->connections++;
		break;
	case DROVER_RECORD_WATCH:
	case DROVER_RECORD_WATCH_DEPTH:
		d->watches++;
		break;
	case DROVER_RECORD_TXN:
		d->transactions++;
		break;
	default:
		break;
	}
}

static void image_line(struct dump *d, const struct image_src *src, const struct drover_record *rec)
{
	struct image_text t = { 0 };
	char buf[16];

	line_begin(d, &t, drover_reader_index(src->reader), drover_reader_offset(src->reader),
		   image_text_type(rec->type, buf));
	image_text_record(&t, rec);
	line_end(d, &t);
}

static bool dump_image(struct dump *d, const struct image_in *in)
{
	struct image_src src;
	struct drover_record rec;
	uint64_t records = 0;
	char buf[64];

	if (!image_src_start(&src, in, &d->how))
		return false;
	image_head(d, &src);
	for (; image_src_next(&src, &rec); records++) {
		image_count(d, &rec);
		if (d->show)
			image_line(d, &src, &rec);
	}
	if (d->show && d->json)
		puts(" ] }");
	if (!d->show && !src.failed)
		printf("%s: good: image of a %s, %s: %" PRIu64 " records, %" PRIu64
		       " nodes, %" PRIu64 " connections, %" PRIu64 " watches, %" PRIu64
		       " transactions\n",
		       src.in.name, src.domain ? "domain" : "store",
		       image_format_text(&src.format, buf), records, d->nodes, d->connections,
		       d->watches, d->transactions);
	image_src_close(&src);
	return !src.failed;
}

/* ---- libxl streams ---- */

static void stream_head(struct dump *d, const struct drover_libxl_info *info)
{
	if (!d->show)
		return;
	if (!d->json) {
		printf("%s, %s-endian%s\n",
		       info->xl_save ? "file of xl save with a libxl stream" : "libxl stream",
		       info->big_endian ? "big" : "little",
		       info->legacy ? ", converted from a legacy one" : "");
		return;
	}
	fputs("{ ", stdout);
	json_head("kind", info->xl_save ? "xl-save" : "libxl");
	json_head("endian", info->big_endian ? "big" : "little");
	printf("\"config_octets\": %" PRIu32 ", \"records\": [", info->config_len);
}

static void stream_line(struct dump *d, const struct drover_libxl_item *item,
			const struct drover_xsdata *data)
{
	struct image_text t = { 0 };
	const char *name = drover_libxl_type_name(item->type);
	char number[16];

	snprintf(number, sizeof(number), "0x%" PRIx32, item->type);
	line_begin(d, &t, item->record, item->offset, name ? name : number);
	image_text_number(&t, "octets", item->body_len);
	if (data)
		image_text_xsdata(&t, data);
	line_end(d, &t);
}

/* Whether the xenstore data of a stream is good; what is not is said. */
static bool stream_data(struct dump *d, const struct image_in *in, bool big_endian,
			const struct drover_libxl_item *item, struct drover_xsdata *data)
{
	struct drover_libxl_error err = {
		.record = item->record,
		.offset = item->offset,
		.type = item->type,
	};
	char text[320];

	if (drover_xsdata_decode(&d->form, big_endian, item->body.data, item->body.len, data,
				 err.text, sizeof(err.text))) {
		drover_libxl_error_print(&err, text, sizeof(text));
		image_in_fail(in, EINVAL, text);
		return false;
	}
	d->xenstore++;
	d->nodes += data->type == DROVER_XSDATA_NODE;
	d->watches += data->type == DROVER_XSDATA_WATCH;
	d->transactions += data->type == DROVER_XSDATA_TXN ? data->n_txns : 0;
	return true;
}

/* Reads to the end; *ret_records is how many records there were. */
static bool stream_read(struct dump *d, const struct image_in *in, struct drover_libxl_reader *r,
			struct drover_xsdata *data, uint64_t *ret_records)
{
	const struct drover_libxl_info *info = drover_libxl_reader_info(r);
	struct drover_libxl_item item;
	char text[320] = "";
	int err;

	*ret_records = 0;
	while (!(err = drover_libxl_next(r, &item))) {
		bool xenstore = item.kind == DROVER_LIBXL_ITEM_XENSTORE;

		if (!item.begins)
			continue;
		if (!*ret_records)
			stream_head(d, info);
		(*ret_records)++;
		if (xenstore && !stream_data(d, in, info->big_endian, &item, data))
			return false;
		if (d->show)
			stream_line(d, &item, xenstore ? data : NULL);
	}
	if (err == ENODATA)
		return true;
	if (err == EINVAL)
		drover_libxl_error_print(drover_libxl_reader_error(r), text, sizeof(text));
	image_in_fail(in, err, text);
	return false;
}

static bool dump_stream(struct dump *d, struct image_in *in)
{
	struct drover_libxl_options options = { .read = image_in_read, .ctx = in };
	struct drover_xsdata *data = cli_must(malloc(sizeof(*data)));
	struct drover_libxl_reader *r;
	uint64_t records;
	bool good;

	if (drover_libxl_reader_new(&options, &r))
		cli_must(NULL);
	good = stream_read(d, in, r, data, &records);
	if (d->show && d->json && records)
		puts(" ] }");
	if (!d->show && good)
		printf("%s: good: %s: %" PRIu64 " records, %" PRIu64
		       " of them xenstore data%s%s%s: "
		       "%" PRIu64 " nodes, %" PRIu64 " watches, %" PRIu64 " transactions\n",
		       in->name,
		       drover_libxl_reader_info(r)->xl_save ? "file of xl save" : "libxl stream",
		       records, d->xenstore, d->xenstore ? " (" : "",
		       d->xenstore ? drover_xsdata_form_name(d->form) : "", d->xenstore ? ")" : "",
		       d->nodes, d->watches, d->transactions);
	drover_libxl_reader_free(r);
	free(data);
	image_in_close(in);
	return good;
}

static bool dump_file(const struct dump *options, const char *name)
{
	struct dump d = *options;
	struct image_in in;

	if (!image_in_open(&in, d.command, name))
		return false;
	return drover_libxl_is(in.head, in.head_len) ? dump_stream(&d, &in) : dump_image(&d, &in);
}

/* ---- commands ---- */

/* Options of both; false: *ret_status is the exit status. */
static bool dump_options(struct dump *d, int argc, char **argv, int *ret_status)
{
	static const char *const forms[] = { "auto", "relative", "absolute", "binary", NULL };
	static const struct option options[] = {
		IMAGE_HOW_OPTIONS,
		{ "layout", required_argument, NULL, 'L' },
		{ "form", required_argument, NULL, 'F' },
		{ "loose", no_argument, NULL, 'l' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	int c, n;

	while ((c = cli_getopt(argc, argv, IMAGE_HOW_LETTERS, options, ret_status)) != -1) {
		if (c == '?')
			return false;
		*ret_status = CLI_USAGE;
		if (c == 'j' && !d->show) {
			cli_usage("image", "verify: --json is for dump");
			return false;
		}
		if (c == 'j') {
			d->json = true;
		} else if (c == 'l') {
			d->how.loose = true;
		} else if (c == 'F') {
			n = image_word("form", optarg, forms);
			if (n < 0)
				return false;
			d->form = (enum drover_xsdata_form)n;
		} else if (!image_how_option(&d->how, c, optarg)) {
			return false;
		}
	}
	return true;
}

int cli_image_dump(int argc, char **argv)
{
	struct dump d = { .command = "dump", .show = true };
	int status;

	if (!dump_options(&d, argc, argv, &status))
		return status;
	if (argc - optind != 1)
		return cli_usage("image", "dump: one FILE, or - for standard input");
	return dump_file(&d, argv[optind]) ? CLI_OK : CLI_FAILED;
}

int cli_image_verify(int argc, char **argv)
{
	struct dump d = { .command = "verify" };
	int status;

	if (!dump_options(&d, argc, argv, &status))
		return status;
	if (argc == optind)
		return cli_usage("image", "verify: which FILE?");
	status = CLI_OK;
	for (int i = optind; i < argc; i++)
		if (!dump_file(&d, argv[i]))
			status = CLI_FAILED;
	return status;
}
