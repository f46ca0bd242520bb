/* SPDX-License-Identifier: MIT */
/*
 * Lines of oxenstored's dump into records of an image.
 * Invariant: at most one line and one record are held; a field is unpacked in place, since it
 * takes half the octets of its digits.
 */
#include "image/oxdump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "image/record.h"

#define FIRST_LINE "$xenstored-dump-format"
#define FIELDS_MAX 5u
#define LINE_ROOM 65536u
#define PERMS_MAX 65535u

struct oxdump {
	int (*read)(void *ctx, void *buf, size_t len, size_t *ret_len);
	void *ctx; /* borrowed */
	char *in;  /* owned: [at, end) was read and not looked at yet */
	size_t room;
	size_t at;
	size_t end;
	bool at_eof;
	unsigned char *out; /* owned: a record, of which [out_at, out_len) is to be given */
	size_t out_room;
	size_t out_at;
	size_t out_len;
	struct drover_perm *perms; /* owned */
	size_t perms_room;
	struct oxdump_head head;
	bool has_listen; /* global came */
	bool has_evtchn; /* evtchn-dev came */
	bool ended;	 /* END was written */
	uint32_t conns;
	int64_t owner; /* of the watches that may come: a domid, or a socket's number below 0 */
	uint64_t line;
	const char *error; /* static; NULL: none */
};

/* A field of a line, without its commas. */
struct field {
	char *at;
	size_t len;
};

static const struct drover_image_format format = {
	.layout = DROVER_LAYOUT_UPSTREAM,
	.version = 1,
	.big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__,
};

DEFINE_CLEANUP(struct oxdump *, oxdump_free)

bool oxdump_is(const void *text, size_t len)
{
	size_t n = strlen(FIRST_LINE "\n");

	return len >= n && !memcmp(text, FIRST_LINE "\n", n);
}

struct oxdump *oxdump_new(int (*read)(void *ctx, void *buf, size_t len, size_t *ret_len), void *ctx)
{
	CLEANUP(oxdump_free) struct oxdump *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->read = read;
	o->ctx = ctx;
	o->owner = INT64_MIN;
	o->room = LINE_ROOM;
	o->in = malloc(o->room);
	o->out_room = LINE_ROOM;
	o->out = malloc(o->out_room);
	if (!o->in || !o->out)
		return NULL;
	drover_image_header_encode(&format, o->out);
	o->out_len = DROVER_IMAGE_HEADER_LEN;
	return TAKE(o);
}

void oxdump_free(struct oxdump *o)
{
	if (!o)
		return;
	free(o->in);
	free(o->out);
	free(o->perms);
	free(o);
}

const char *oxdump_error(const struct oxdump *o, uint64_t *ret_line)
{
	*ret_line = o->line;
	return o->error;
}

static int refuse(struct oxdump *o, const char *rule)
{
	o->error = rule;
	return EINVAL;
}

/* ---- lines ---- */

static int more(struct oxdump *o)
{
	size_t n = 0;
	char *grown;
	int r;

	if (o->at) {
		memmove(o->in, o->in + o->at, o->end - o->at);
		o->end -= o->at;
		o->at = 0;
	}
	if (o->end == o->room) {
		if (o->room >= OXDUMP_LINE_MAX) {
			o->line++;
			return refuse(o, "it is too long");
		}
		grown = realloc(o->in, o->room * 2);
		if (!grown)
			return ENOMEM;
		o->in = grown;
		o->room *= 2;
	}
	r = o->read(o->ctx, o->in + o->end, o->room - o->end, &n);
	o->at_eof = !r && !n;
	o->end += n;
	return r;
}

/* The next line without its newline; ENODATA: there is none. */
static int next_line(struct oxdump *o, struct field *ret)
{
	size_t looked = 0;
	char *newline;
	int r;

	for (;;) {
		newline = memchr(o->in + o->at + looked, '\n', o->end - o->at - looked);
		if (newline)
			break;
		if (o->at_eof && o->at == o->end)
			return ENODATA;
		o->line += o->at_eof;
		if (o->at_eof)
			return refuse(o, "the dump ends within it");
		looked = o->end - o->at;
		r = more(o);
		if (r)
			return r;
	}
	o->line++;
	*ret = (struct field){ o->in + o->at, (size_t)(newline - (o->in + o->at)) };
	o->at += ret->len + 1;
	return 0;
}

/* The fields of a line; 0: too many. */
static size_t split(struct field line, struct field ret[FIELDS_MAX])
{
	size_t n = 0;

	for (;;) {
		char *comma = memchr(line.at, ',', line.len);
		size_t len = comma ? (size_t)(comma - line.at) : line.len;

		if (n == FIELDS_MAX)
			return 0;
		ret[n++] = (struct field){ line.at, len };
		if (!comma)
			return n;
		line = (struct field){ comma + 1, line.len - len - 1 };
	}
}

static bool is_word(struct field f, const char *word)
{
	return f.len == strlen(word) && !memcmp(f.at, word, f.len);
}

/* Decimal, at most `most`. */
static bool number(struct field f, uint64_t most, uint64_t *ret)
{
	uint64_t v = 0;

	if (!f.len || f.len > 19)
		return false;
	for (size_t i = 0; i < f.len; i++) {
		if (f.at[i] < '0' || f.at[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(f.at[i] - '0');
	}
	*ret = v;
	return v <= most;
}

/* The same, below 0 with a sign. */
static bool number_signed(struct field f, int64_t *ret)
{
	bool minus = f.len && f.at[0] == '-';
	uint64_t v = 0;

	if (!number((struct field){ f.at + minus, f.len - minus }, INT64_MAX, &v))
		return false;
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return true;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Digits into octets, in their place. */
static bool unpack(struct field *f)
{
	if (f->len % 2)
		return false;
	for (size_t i = 0; i < f->len / 2; i++) {
		int high = digit(f->at[2 * i]), low = digit(f->at[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		f->at[i] = (char)(high << 4 | low);
	}
	f->len /= 2;
	return true;
}

/* ---- the head ---- */

static bool head_listen(const struct field *f, size_t n, struct oxdump_head *h)
{
	uint64_t v;

	if (n < 2 || !is_word(f[0], "global") || !number(f[1], INT32_MAX, &v))
		return false;
	h->listen_fd = (int)v;
	return true;
}

static bool head_evtchn(const struct field *f, size_t n, struct oxdump_head *h)
{
	uint64_t fd, port;

	if (n != 3 || !is_word(f[0], "evtchn-dev") || !number(f[1], INT32_MAX, &fd) ||
	    !number(f[2], UINT32_MAX, &port))
		return false;
	h->evtchn_fd = (int)fd;
	h->virq = (uint32_t)port;
	return true;
}

bool oxdump_read_head(const char *text, size_t len, struct oxdump_head *ret)
{
	struct field f[FIELDS_MAX], line;
	size_t at = strlen(FIRST_LINE "\n");
	const char *end;

	if (!oxdump_is(text, len))
		return false;
	for (unsigned int i = 0; i < 2; i++) {
		end = memchr(text + at, '\n', len - at);
		if (!end)
			return false;
		line.at = (char *)(uintptr_t)(text + at); /* looked at only */
		line.len = (size_t)(end - (text + at));
		at += line.len + 1;
		if (i ? !head_evtchn(f, split(line, f), ret) : !head_listen(f, split(line, f), ret))
			return false;
	}
	return true;
}

/* ---- records ---- */

static int put(struct oxdump *o, const struct drover_record *rec)
{
	size_t need = drover_record_size(&format, rec);
	unsigned char *grown;

	if (need > o->out_room) {
		grown = realloc(o->out, need);
		if (!grown)
			return ENOMEM;
		o->out = grown;
		o->out_room = need;
	}
	o->out_at = 0;
	if (drover_record_encode(&format, rec, o->out, o->out_room, &o->out_len, NULL))
		return refuse(o, "no record can hold it");
	return 0;
}

static int put_head(struct oxdump *o, const struct field *f, size_t n)
{
	struct drover_record rec = { .type = DROVER_RECORD_GLOBAL };

	if (!o->has_listen) {
		o->has_listen = head_listen(f, n, &o->head);
		return o->has_listen ? 0 : refuse(o, "not the listening socket");
	}
	o->has_evtchn = head_evtchn(f, n, &o->head);
	if (!o->has_evtchn)
		return refuse(o, "not the event channel device: an oxenstored that is too old");
	rec.global.socket_fd = o->head.listen_fd;
	rec.global.ro_socket_fd = -1;
	rec.global.evtchn_fd = o->head.evtchn_fd;
	return put(o, &rec);
}

static int put_domain(struct oxdump *o, const struct field *f, size_t n)
{
	struct drover_record rec = { .type = DROVER_RECORD_CONNECTION };
	uint64_t domid, remote, local;
	int64_t gfn;

	if (n == 4)
		return refuse(o, "a domain without its local port: an oxenstored that is too old");
	if (n != 5 || !number(f[1], UINT16_MAX, &domid) || !number_signed(f[2], &gfn) ||
	    !number(f[3], UINT32_MAX, &remote) || !number(f[4], UINT32_MAX, &local))
		return refuse(o, "not a domain's numbers");
	rec.connection.conn_id = ++o->conns;
	rec.connection.kind = DROVER_CONN_RING;
	rec.connection.domid = (uint16_t)domid;
	rec.connection.tdomid = DROVER_DOMID_NONE;
	rec.connection.evtchn = (uint32_t)local;
	rec.connection.fd = -1;
	o->owner = (int64_t)domid;
	return put(o, &rec);
}

static int put_socket(struct oxdump *o, const struct field *f, size_t n)
{
	struct drover_record rec = { .type = DROVER_RECORD_CONNECTION };
	uint64_t fd;

	if (n != 2 || !number(f[1], INT32_MAX, &fd) || !fd)
		return refuse(o, "not a socket's number");
	rec.connection.conn_id = ++o->conns;
	rec.connection.kind = DROVER_CONN_SOCKET;
	rec.connection.tdomid = DROVER_DOMID_NONE;
	rec.connection.fd = (int32_t)fd;
	o->owner = -(int64_t)fd;
	return put(o, &rec);
}

static int put_watch(struct oxdump *o, struct field *f, size_t n)
{
	struct drover_record rec = { .type = DROVER_RECORD_WATCH };
	int64_t owner;

	if (n != 4 || !number_signed(f[1], &owner) || !unpack(&f[2]) || !unpack(&f[3]))
		return refuse(o, "not a watch");
	if (!o->conns || owner != o->owner)
		return refuse(o, "a watch that is not the last connection's");
	rec.watch.conn_id = o->conns;
	rec.watch.depth = DROVER_DEPTH_ANY;
	rec.watch.path = (struct drover_octets){ f[2].at, f[2].len };
	rec.watch.token = (struct drover_octets){ f[3].at, f[3].len };
	return put(o, &rec);
}

/* Entries "n0", with a NUL between each two. */
static int read_perms(struct oxdump *o, struct field f, uint32_t *ret_n)
{
	uint32_t n = 0;

	while (f.len) {
		size_t len = strnlen(f.at, f.len);
		uint64_t domid;

		if (!len || !memchr("nrwb", f.at[0], 4) ||
		    !number((struct field){ f.at + 1, len - 1 }, UINT16_MAX, &domid))
			return refuse(o, "not permissions");
		if (n == o->perms_room) {
			size_t room = o->perms_room ? 2 * o->perms_room : 16;
			struct drover_perm *grown;

			if (room > PERMS_MAX + 1)
				return refuse(o, "too many permissions");
			grown = realloc(o->perms, room * sizeof(*grown));
			if (!grown)
				return ENOMEM;
			o->perms = grown;
			o->perms_room = room;
		}
		o->perms[n++] = (struct drover_perm){ .letter = (uint8_t)f.at[0],
						      .domid = (uint16_t)domid };
		len += len < f.len;
		f = (struct field){ f.at + len, f.len - len };
	}
	*ret_n = n;
	return n ? 0 : refuse(o, "a node that nobody owns");
}

static bool is_special(struct field f)
{
	return is_word(f, "/@introduceDomain") || is_word(f, "/@releaseDomain");
}

static int put_node(struct oxdump *o, struct field *f, size_t n)
{
	struct drover_record rec = { .type = DROVER_RECORD_NODE };
	size_t above;
	int r;

	if (n != 4 || !unpack(&f[1]) || !unpack(&f[2]) || !unpack(&f[3]) || !f[1].len)
		return refuse(o, "not a node");
	r = read_perms(o, f[2], &rec.node.perms.n);
	if (r)
		return r;
	rec.node.perms.entry = o->perms;
	above = is_special(f[1]); /* it has them below its root */
	rec.node.path = (struct drover_octets){ f[1].at + above, f[1].len - above };
	rec.node.value = (struct drover_octets){ f[3].at, f[3].len };
	return put(o, &rec);
}

static int put_line(struct oxdump *o, struct field line)
{
	struct field f[FIELDS_MAX];
	size_t n;

	if (o->line == 1)
		return is_word(line, FIRST_LINE) ? 0 : refuse(o, "not oxenstored's dump");
	n = split(line, f);
	if (!n)
		return refuse(o, "too many fields");
	if (!o->has_evtchn)
		return put_head(o, f, n);
	if (is_word(f[0], "store"))
		return put_node(o, f, n);
	if (is_word(f[0], "watch"))
		return put_watch(o, f, n);
	if (is_word(f[0], "dom"))
		return put_domain(o, f, n);
	if (is_word(f[0], "socket"))
		return put_socket(o, f, n);
	return refuse(o, "of no kind that is known");
}

static int next_record(struct oxdump *o)
{
	const struct drover_record end = { .type = DROVER_RECORD_END };
	struct field line;
	int r = next_line(o, &line);

	if (!r)
		return put_line(o, line);
	if (r != ENODATA)
		return r;
	if (!o->has_evtchn)
		return refuse(o, "the dump ends before it");
	o->ended = true;
	return put(o, &end);
}

int oxdump_read(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	struct oxdump *o = ctx;
	int r;

	*ret_len = 0;
	if (o->error)
		return EINVAL;
	while (o->out_at == o->out_len && !o->ended) {
		r = next_record(o);
		if (r)
			return r;
	}
	if (len > o->out_len - o->out_at)
		len = o->out_len - o->out_at;
	memcpy(buf, o->out + o->out_at, len);
	o->out_at += len;
	*ret_len = len;
	return 0;
}
