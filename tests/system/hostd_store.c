/* SPDX-License-Identifier: MIT */
/*
 * hostd-store: one operation, or several, on a guest's part of a store, as drover-hostd does them,
 * for tests that kill it anywhere. Invariant: its exit status is 0 if all succeeded.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "hostd/store.h"
#include "hostd/store_seat.h"

static const char usage[] =
	"usage: hostd-store [--here] SOCKET|none USERDATA SIM|libxl HOST OPERATION...\n"
	"  create UUID EPOCH JSON      prepare UUID EPOCH JSON\n"
	"  export UUID FILE            export-unsafe UUID FILE   export-unaware UUID FILE\n"
	"  join UUID EPOCH DOMID       join-incoming UUID EPOCH DOMID\n"
	"  import UUID EPOCH FILE JSON|-   import-unsafe UUID EPOCH FILE JSON|-\n"
	"  serve UUID EPOCH            destroy UUID     find UUID      sweep UUID,UUID...|-\n"
	"JSON and FILE are names of files. A comma, a word of its own, separates operations,\n"
	"all of which are asked for at once. Prints a line for each as it ends: NUMBER\n"
	"OPERATION DOMID, or NUMBER OPERATION ERRNO WHY. --here: one, by the first thread.\n";

struct op {
	const char *name;
	const char *file; /* of an export */
	unsigned int number;
};

static unsigned int n_left;
static int status;
static struct hstore *store;

static char *file_read(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "re");
	char *data = NULL;
	size_t len = 0, n;

	if (!f) {
		fprintf(stderr, "hostd-store: %s: %s\n", path, strerror(errno));
		exit(2);
	}
	do {
		data = realloc(data, len + 65536);
		if (!data)
			exit(2);
		n = fread(data + len, 1, 65536, f);
		len += n;
	} while (n);
	fclose(f);
	*ret_len = len;
	return data;
}

static void ended(struct op *op, int err, const char *why, int domid)
{
	if (err)
		printf("%u %s %s %s\n", op->number, op->name, strerrorname_np(-err), why);
	else
		printf("%u %s %d\n", op->number, op->name, domid);
	if (err)
		status = 1;
	free(op);
	if (!--n_left)
		hstore_close(store, NULL, NULL);
}

static void done(void *data, int err, const char *why, int domid)
{
	ended(data, err, why, domid);
}

static void exported(void *data, int err, const char *why, const uint8_t *blob, size_t len)
{
	struct op *op = data;
	FILE *f = err ? NULL : fopen(op->file, "we");

	if (f && len && fwrite(blob, len, 1, f) != 1)
		err = -EIO;
	if (f)
		fclose(f);
	ended(op, err, why, (int)len);
}

static int ask(struct op *op, char **argv, int argc)
{
	static const char *const with_json[] = { "create", "prepare" };
	uint8_t uuid[DEF_UUID_SIZE];
	uint64_t epoch = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
	unsigned int flags = strstr(op->name, "-unsafe")    ? HSTORE_UNSAFE
			     : strstr(op->name, "-unaware") ? HSTORE_UNAWARE
							    : 0;
	char *blob = NULL, *json = NULL;
	size_t blob_len = 0, len = 0;
	int r = -EINVAL;

	if (!def_uuid_parse(argv[1], uuid))
		return r;
	if (!strncmp(op->name, "import", 6) && argc == 5) {
		blob = file_read(argv[3], &blob_len);
		json = strcmp(argv[4], "-") != 0 ? file_read(argv[4], &len) : NULL;
		r = hstore_import(store, uuid, epoch, flags, (uint8_t *)blob, blob_len, json, len,
				  done, op);
	} else if (!strncmp(op->name, "export", 6) && argc == 3) {
		op->file = argv[2];
		r = hstore_export(store, uuid, flags, exported, op);
	} else if (!strncmp(op->name, "join", 4) && argc == 4) {
		r = hstore_join(store, uuid, epoch, atoi(argv[3]),
				strstr(op->name, "-incoming") != NULL, done, op);
	} else if (!strcmp(op->name, "serve") && argc == 3) {
		r = hstore_serve(store, uuid, epoch, done, op);
	} else if (!strcmp(op->name, "destroy") && argc == 2) {
		r = hstore_destroy(store, uuid, done, op);
	} else if (!strcmp(op->name, "find") && argc == 2) {
		r = hstore_find(store, uuid, done, op);
	} else if (!strcmp(op->name, with_json[0]) && argc == 4) {
		json = file_read(argv[3], &len);
		r = hstore_create(store, uuid, epoch, json, len, done, op);
	} else if (!strcmp(op->name, with_json[1]) && argc == 4) {
		json = file_read(argv[3], &len);
		r = hstore_prepare(store, uuid, epoch, json, len, done, op);
	}
	free(blob);
	free(json);
	return r;
}

static int ask_sweep(struct op *op, char *list)
{
	uint8_t known[64][DEF_UUID_SIZE];
	size_t n = 0;

	for (char *word = strtok(list, ","); word && n < ARRAY_LEN(known); word = strtok(NULL, ","))
		n += def_uuid_parse(word, known[n]);
	return hstore_sweep(store, (const uint8_t(*)[DEF_UUID_SIZE])known, n, done, op);
}

static void ask_all(int argc, char **argv)
{
	unsigned int number = 0;
	int n;

	for (int i = 0; i < argc; i += n + 1) {
		struct op *op = calloc(1, sizeof(*op));
		int r;

		for (n = 0; i + n < argc && strcmp(argv[i + n], ",") != 0; n++)
			;
		if (!op || n < 2) {
			fputs(usage, stderr);
			exit(2);
		}
		op->name = argv[i];
		op->number = ++number;
		n_left++;
		r = strcmp(op->name, "sweep") != 0 ? ask(op, argv + i, n)
						   : ask_sweep(op, argv[i + 1]);
		if (r)
			ended(op, r, "not asked for", -1);
	}
}

/* One operation without threads, so that whoever counts system calls sees all of them. */
static int do_here(int argc, char **argv)
{
	static const char *const names[HSTORE_JOBS] = {
		[HSTORE_CREATE] = "create",   [HSTORE_JOIN] = "join",
		[HSTORE_DESTROY] = "destroy", [HSTORE_EXPORT] = "export",
		[HSTORE_PREPARE] = "prepare", [HSTORE_IMPORT] = "import",
		[HSTORE_SERVE] = "serve",     [HSTORE_FIND] = "find",
		[HSTORE_SWEEP] = "sweep",
	};
	struct hstore_shared shared = {
		.socket = argv[1], .userdata = argv[2], .sim = argv[3], .timeout_ms = 3000
	};
	struct hstore_seat seat = { .shared = &shared };
	struct hstore_job job = { .type = HSTORE_JOBS };
	FILE *f;

	if (argc < 7 || (strcmp(argv[6], "-") != 0 && !def_uuid_parse(argv[6], job.uuid)))
		return 2;
	snprintf(shared.host, sizeof(shared.host), "%s", argv[4]);
	for (int i = 0; i < HSTORE_JOBS; i++)
		if (!strcmp(names[i], argv[5]))
			job.type = (enum hstore_job_type)i;
	def_uuid_print(job.uuid, job.uuid_text);
	job.epoch = argc > 7 ? strtoull(argv[7], NULL, 10) : 0;
	if (job.type == HSTORE_CREATE || job.type == HSTORE_PREPARE)
		job.json = file_read(argv[8], &job.json_len);
	if (job.type == HSTORE_IMPORT)
		job.blob = (uint8_t *)file_read(argv[8], &job.blob_len);
	hstore_seat_run(&seat, &job);
	hstore_seat_fini(&seat);
	f = job.type == HSTORE_EXPORT && !job.err ? fopen(argv[7], "we") : NULL;
	if (f) {
		fwrite(job.blob, job.blob_len, 1, f);
		fclose(f);
	}
	printf("%s %d %s\n", argv[5], job.err ? job.err : job.domid, job.why);
	free(job.json);
	free(job.blob);
	return job.err ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct hstore_options opt = { .timeout_ms = 3000 };
	char text[256];
	int r;

	if (argc > 1 && !strcmp(argv[1], "--here"))
		return do_here(argc - 1, argv + 1);

	if (argc < 6) {
		fputs(usage, stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	opt.socket = strcmp(argv[1], "none") != 0 ? argv[1] : NULL;
	opt.userdata = argv[2];
	opt.joined = !strcmp(argv[3], "libxl");
	opt.sim = argv[3];
	opt.host = argv[4];
	r = hstore_open(&opt, uv_default_loop(), &store, text, sizeof(text));
	if (r) {
		fprintf(stderr, "hostd-store: %s\n", text);
		return 2;
	}
	ask_all(argc - 5, argv + 5);
	uv_run(uv_default_loop(), UV_RUN_DEFAULT);
	uv_loop_close(uv_default_loop());
	return status;
}
