/* SPDX-License-Identifier: MIT */
/*
 * Golden images: what real daemons wrote, and our own of each layout, version and byte order.
 * Each is read whole; then cut at every octet and with every bit flipped, where it must be
 * refused with a message or prove harmless: what was accepted is written and read again, and is
 * the same. Of a large one some of the cuts and bits, by a seed, are tried.
 *
 *     golden-test FOLDER [--seed N]
 *     golden-test FOLDER --write      makes our own images anew
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "base/siphash.h"
#include "image/sample_test.h"
#include "image/stream_test.h"

#define WHOLE_MAX 8192	  /* octets of an image of which every bit is tried */
#define SOME_OF_LARGE 400 /* cuts, and bits, of a larger one */
#define PATH_ROOM 512

static int number, failures;

static void result(bool ok, const char *name, const char *what, const char *why)
{
	printf("%sok %d - %s: %s\n", ok ? "" : "not ", ++number, name, what);
	if (!ok)
		printf("# %s\n", why);
	failures += !ok;
}

/* ---- our own ---- */

static const struct drover_perm perms_root[] = { { 'n', 0, 0 } };
static const struct drover_perm perms_home[] = { { 'n', 0, 7 }, { 'r', 0, 0 } };
static const struct drover_perm perms_stale[] = { { 'n', 0, 0 }, { 'b', DROVER_PERM_STALE, 8 } };

/* A small host: every type that an image may hold, in the order of the documents. */
static const struct sample world[] = {
	{ IN_V1,
	  { .type = DROVER_RECORD_GLOBAL,
	    .global = { .socket_fd = 5, .ro_socket_fd = -1, .evtchn_fd = 6 } } },
	{ IN_V1,
	  { .type = DROVER_RECORD_QUOTA,
	    .quota = { 2, 1, LIST(sample_values), { "nodes\0watches\0soft\0", 19 } } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_STATE, .state = { 1, 0, 9, 1000, 3, 1700000000000, { 0, 0 } } } },
	{ IN_V1,
	  { .type = DROVER_RECORD_CONNECTION,
	    .connection = { .conn_id = 1,
			    .domid = 7,
			    .tdomid = DROVER_DOMID_NONE,
			    .evtchn = 11,
			    .flags = DROVER_CONN_UNIQUE_ID,
			    .unique_id = 77,
			    .input = STR("\2\0\0"),
			    .output = STR("the rest of one, and another"),
			    .resp_len = 15 } } },
	{ IN_SEED | IN_V1,
	  { .type = DROVER_RECORD_CONNECTION,
	    .connection = { .conn_id = 2,
			    .kind = DROVER_CONN_SOCKET,
			    .fd = 8,
			    .output = STR("OK") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_WATCH,
	    .watch = { .conn_id = 2, .path = STR("/local/domain"), .token = STR("t") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_WATCH,
	    .watch = { .conn_id = 2, .path = STR("@releaseDomain"), .token = STR("") } } },
	{ 0,
	  { .type = DROVER_RECORD_WATCH_DEPTH,
	    .watch = { .conn_id = 2, .depth = 1, .path = STR("/"), .token = STR("deep") } } },
	{ ANYWHERE, { .type = DROVER_RECORD_TXN, .txn = { 2, 4 } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_TXN_STATE,
	    .txn_state = { .conn_id = 2, .tx_id = 4, .flags = DROVER_TXN_WROTE } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_NODE, .node = { .perms = LIST(perms_root), .path = STR("/") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_NODE,
	    .node = { .perms = LIST(perms_root), .path = STR("/local") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_NODE,
	    .node = { .perms = LIST(perms_home),
		      .path = STR("/local/name"),
		      .value = STR("a\0value") } } },
	{ IN_V1,
	  { .type = DROVER_RECORD_NODE,
	    .node = { .perms = LIST(perms_stale), .path = STR("/stale"), .value = STR("1") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_NODE,
	    .node = { .perms = LIST(perms_root), .path = STR("@releaseDomain") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_NODE,
	    .node = { .conn_id = 2,
		      .tx_id = 4,
		      .access = DROVER_ACCESS_READ | DROVER_ACCESS_WRITTEN,
		      .perms = LIST(perms_home),
		      .path = STR("/local/name"),
		      .value = STR("new") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_NODE,
	    .node = { .conn_id = 2, .tx_id = 4, .path = STR("/stale") } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_TXN_ACCESS, .txn_access = { 2, 4, 1, 0, STR("/local/none") } } },
	{ IN_V1,
	  { .type = DROVER_RECORD_DOMAIN,
	    .domain = { 7, 0, { .entry = sample_values, .n = 1 }, { "nodes", 6 } } } },
	{ ANYWHERE,
	  { .type = DROVER_RECORD_DOMAIN_STATE,
	    .domain_state = { .domid = 7,
			      .flags = DROVER_DOMAIN_INTRODUCED,
			      .target = DROVER_TARGET_NONE,
			      .limits = LIST(sample_limits) } } },
	{ ANYWHERE, { .type = 0x7fffffff, .raw = STR("of a later time") } },
};

static int write_world(struct stream *s, const struct drover_image_format *f)
{
	const struct drover_writer_options options = { stream_write, s, *f };
	struct drover_writer *w;
	int r = drover_writer_new(&options, &w);

	if (r)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(world) && !r; i++)
		if (sample_fits(&world[i], f))
			r = drover_writer_put(w, &world[i].rec);
	if (!r)
		r = drover_writer_end(w);
	drover_writer_free(w);
	return r;
}

static void own_name(char *buf, const char *folder, const struct drover_image_format *f)
{
	(void)snprintf(buf, PATH_ROOM, "%s/%s-%u-%s.img", folder,
		       f->layout == DROVER_LAYOUT_SEED ? "seed" : "upstream", f->version,
		       f->big_endian ? "big" : "little");
}

/* ---- what is done to each ---- */

static bool load(const char *path, struct stream *s)
{
	FILE *f = fopen(path, "rbe");
	unsigned char buf[4096];
	size_t n;

	memset(s, 0, sizeof(*s));
	if (!f)
		return false;
	while ((n = fread(buf, 1, sizeof(buf), f)))
		if (stream_write(s, buf, n))
			break;
	return !fclose(f) && s->len;
}

static int save(const char *path, const struct stream *s)
{
	FILE *f = fopen(path, "wbe");
	bool ok = f && fwrite(s->data, 1, s->len, f) == s->len;

	if (f && fclose(f))
		ok = false;
	return ok ? 0 : -1;
}

/*
 * Reads in, writes every record to out in out_format (its own where NULL), and the octets of the
 * records, described, to *ret_hash. 0 or what the reader or the writer said.
 */
static int copy(struct stream *in, enum drover_image_layout layout, struct stream *out,
		uint64_t *ret_hash, struct drover_image_error *err)
{
	static const struct siphash_key key = { 3, 4 };
	static struct text t;
	struct drover_reader *r = stream_reader(in, layout, 0);
	struct drover_writer_options options = { stream_write, out, { 0 } };
	struct drover_writer *w = NULL;
	struct drover_record rec;
	uint64_t hash = 0;
	int e;

	e = r ? drover_reader_format(r, &options.format) : ENOMEM;
	if (!e)
		e = drover_writer_new(&options, &w);
	while (!e) {
		e = drover_reader_next(r, &rec);
		if (e || rec.type == DROVER_RECORD_END)
			continue;
		describe(&t, &rec);
		hash = hash * 31 + siphash(&key, t.str, t.len);
		e = drover_writer_put(w, &rec);
		if (e == EINVAL)
			e = EPROTO; /* not the reader's: what was read must be expressible */
	}
	if (e == ENODATA)
		e = drover_writer_end(w);
	if (e == EINVAL)
		*err = *drover_reader_error(r);
	drover_writer_free(w);
	drover_reader_free(r);
	*ret_hash = hash;
	return e;
}

/* A damaged image: refused with a message, or the same once written and read again. */
static bool harmless(struct stream *in, enum drover_image_layout layout, bool *ret_refused)
{
	struct stream once = { 0 }, twice = { 0 };
	struct drover_image_error err = { .text = "" };
	uint64_t hash, again = 0;
	bool ok;
	int e;

	e = copy(in, layout, &once, &hash, &err);
	*ret_refused = e;
	if (e)
		ok = e == EINVAL && err.text[0];
	else
		ok = !copy(&once, layout, &twice, &again, &err) && again == hash &&
		     twice.len == once.len && !memcmp(twice.data, once.data, once.len);
	stream_fini(&once);
	stream_fini(&twice);
	return ok;
}

static void cut_everywhere(const char *name, struct stream *s, enum drover_image_layout layout,
			   struct prng *p)
{
	size_t tries = s->len <= WHOLE_MAX ? s->len : SOME_OF_LARGE;
	char why[64] = "";

	for (size_t i = 0; i < tries && !why[0]; i++) {
		size_t len = s->len <= WHOLE_MAX ? i : prng_below(p, (uint32_t)s->len);
		struct stream cut = { .data = malloc(len + 1), .len = len };
		bool refused;

		memcpy(cut.data, s->data, len);
		if (!harmless(&cut, layout, &refused) || !refused)
			(void)snprintf(why, sizeof(why), "accepted at %zu octets", len);
		stream_fini(&cut);
	}
	result(!why[0], name, "cut short it is refused", why);
}

static void flip_every_bit(const char *name, struct stream *s, enum drover_image_layout layout,
			   struct prng *p)
{
	size_t bits = s->len * 8, tries = s->len <= WHOLE_MAX ? bits : SOME_OF_LARGE;
	size_t refusals = 0;
	char what[96], why[64] = "";

	for (size_t i = 0; i < tries && !why[0]; i++) {
		size_t bit = s->len <= WHOLE_MAX ? i : prng_below(p, (uint32_t)bits);
		bool refused;

		s->data[bit / 8] ^= (unsigned char)(1u << bit % 8);
		if (!harmless(s, layout, &refused))
			(void)snprintf(why, sizeof(why), "octet %zu, bit %zu", bit / 8, bit % 8);
		refusals += refused;
		s->data[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	(void)snprintf(what, sizeof(what),
		       "of %zu bits flipped %zu are refused, the others harmless", tries, refusals);
	result(!why[0] && refusals, name, what, why);
}

static void try_image(const char *name, struct stream *s, enum drover_image_layout layout,
		      struct prng *p)
{
	struct drover_image_error err = { .text = "" };
	struct stream once = { 0 };
	uint64_t hash;
	char why[256] = "";
	int e = copy(s, layout, &once, &hash, &err);

	if (e == EINVAL)
		(void)drover_image_error_print(&err, why, sizeof(why));
	else if (e)
		(void)snprintf(why, sizeof(why), "%s", strerror(e));
	result(!e, name, "read whole", why);
	result(once.data && once.len == s->len && !memcmp(once.data, s->data, s->len), name,
	       "written again it is the same, octet by octet", "it differs");
	stream_fini(&once);
	cut_everywhere(name, s, layout, p);
	flip_every_bit(name, s, layout, p);
}

static const char *const foreign[] = { "c-4.17-fresh", "c-4.17-host", "c-4.17-partial",
				       "c-4.17-many" };

static int write_own(const char *folder)
{
	char path[PATH_ROOM];
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(sample_formats) && !r; i++) {
		struct stream s = { 0 };

		own_name(path, folder, &sample_formats[i]);
		r = write_world(&s, &sample_formats[i]) || save(path, &s);
		stream_fini(&s);
	}
	return r;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	char path[PATH_ROOM];
	struct prng p;

	if (argc < 2)
		return 2;
	if (argc > 2 && !strcmp(argv[2], "--write"))
		return write_own(argv[1]);
	prng_init(&p, seed);
	printf("# replay: golden-test %s --seed %" PRIu64 "\n", argv[1], seed);
	for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
		struct stream s;

		(void)snprintf(path, sizeof(path), "%s/%s.img", argv[1], foreign[i]);
		if (load(path, &s))
			try_image(foreign[i], &s, DROVER_LAYOUT_UPSTREAM, &p);
		else
			result(false, foreign[i], "is there", path);
		stream_fini(&s);
	}
	for (size_t i = 0; i < ARRAY_LEN(sample_formats); i++) {
		const struct drover_image_format *f = &sample_formats[i];
		struct stream s, now = { 0 };

		own_name(path, argv[1], f);
		if (load(path, &s) && !write_world(&now, f)) {
			result(now.len == s.len && !memcmp(now.data, s.data, s.len), path,
			       "is what is written today", "it differs");
			try_image(path, &s, f->layout, &p);
		} else {
			result(false, path, "is there", path);
		}
		stream_fini(&s);
		stream_fini(&now);
	}
	printf("1..%d\n", number);
	return failures ? 1 : 0;
}
