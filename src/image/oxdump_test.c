/* SPDX-License-Identifier: MIT */
/*
 * oxenstored's dump as an image: what 4.17 writes, octet by octet and in pieces, and what is not
 * such a dump, by its rule and line.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drover/image.h"

#include "image/oxdump.h"

#define HEAD "$xenstored-dump-format\nglobal,7\nevtchn-dev,5,1\n"

struct input {
	const char *text;
	size_t len;
	size_t step; /* octets at a time */
};

static int read_input(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	struct input *in = ctx;

	if (len > in->step)
		len = in->step;
	if (len > in->len)
		len = in->len;
	memcpy(buf, in->text, len);
	in->text += len;
	in->len -= len;
	*ret_len = len;
	return 0;
}

static void put(char **at, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(char **at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	*at += vsprintf(*at, fmt, ap);
	va_end(ap);
}

static void put_record(char **at, const struct drover_record *rec)
{
	switch (rec->type) {
	case DROVER_RECORD_GLOBAL:
		put(at, "global %d %d\n", rec->global.socket_fd, rec->global.evtchn_fd);
		return;
	case DROVER_RECORD_CONNECTION:
		if (rec->connection.kind == DROVER_CONN_SOCKET)
			put(at, "%u socket %d\n", rec->connection.conn_id, rec->connection.fd);
		else
			put(at, "%u ring %u %u\n", rec->connection.conn_id, rec->connection.domid,
			    rec->connection.evtchn);
		return;
	case DROVER_RECORD_WATCH:
		put(at, "watch %u %s %s\n", rec->watch.conn_id, (const char *)rec->watch.path.data,
		    (const char *)rec->watch.token.data);
		return;
	case DROVER_RECORD_NODE:
		put(at, "node %s", (const char *)rec->node.path.data);
		for (uint32_t i = 0; i < rec->node.perms.n; i++)
			put(at, " %c%u", drover_perm_at(&rec->node.perms, i).letter,
			    drover_perm_at(&rec->node.perms, i).domid);
		put(at, " %.*s\n", (int)rec->node.value.len, (const char *)rec->node.value.data);
		return;
	default:
		put(at, "end\n");
	}
}

/* The dump as a text of records, or the rule that it broke. */
static const char *told(const char *text, size_t len, size_t step)
{
	static char said[8192];
	struct input in = { text, len, step };
	struct oxdump *o = oxdump_new(read_input, &in);
	const struct drover_reader_options options = { .read = oxdump_read, .ctx = o };
	struct drover_reader *reader;
	struct drover_record rec;
	char *at = said;
	const char *rule;
	uint64_t line;
	int r;

	assert_non_null(o);
	assert_int_equal(drover_reader_new(&options, &reader), 0);
	while (!(r = drover_reader_next(reader, &rec)))
		put_record(&at, &rec);
	rule = oxdump_error(o, &line);
	if (rule)
		snprintf(said, sizeof(said), "%d: %s", (int)line, rule);
	else if (r != ENODATA)
		snprintf(said, sizeof(said), "image: %s", drover_reader_error(reader)->text);
	drover_reader_free(reader);
	oxdump_free(o);
	return said;
}

static const char dump[] = HEAD "dom,0,0,1,2\n"
				"dom,1,1044476,1,3\n"
				"watch,1,646576696365,72656c\n"
				"socket,11\n"
				"watch,-11,2f61,746f6b2c31\n"
				"watch,-11,40696e74726f64756365446f6d61696e,7a\n"
				"socket,12\n"
				"store,2f,6e30,\n"
				"store,2f61,6e30,\n"
				"store,2f612f62,6e30007235,6865\n"
				"store,2f4072656c65617365446f6d61696e,6e30007237,\n";

static const char records[] = "global 7 5\n"
			      "1 ring 0 2\n"
			      "2 ring 1 3\n"
			      "watch 2 device rel\n"
			      "3 socket 11\n"
			      "watch 3 /a tok,1\n"
			      "watch 3 @introduceDomain z\n"
			      "4 socket 12\n"
			      "node / n0 \n"
			      "node /a n0 \n"
			      "node /a/b n0 r5 he\n"
			      "node @releaseDomain n0 r7 \n"
			      "end\n";

static void a_dump_is_an_image(void **state)
{
	(void)state;
	for (size_t step = 1; step < 70; step++)
		assert_string_equal(told(dump, strlen(dump), step), records);
	assert_string_equal(told(dump, strlen(dump), sizeof(dump)), records);
}

/* A prefix that ends with a line may be whole; nothing else is. */
static void a_dump_that_is_cut_is_refused(void **state)
{
	(void)state;
	for (size_t len = 0; len < strlen(dump); len++) {
		const char *said = told(dump, len, 1000);

		if (len && dump[len - 1] == '\n' && len > strlen(HEAD))
			continue;
		if (len == strlen(HEAD))
			assert_string_equal(said, "global 7 5\nend\n");
		else
			assert_non_null(strstr(said, ": "));
	}
}

static void what_is_no_dump_is_refused(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "x\n", "1: not oxenstored's dump" },
		{ "$xenstored-dump-format\n", "1: the dump ends before it" },
		{ "$xenstored-dump-format\nglobal,-1\n", "2: not the listening socket" },
		{ "$xenstored-dump-format\nglobal,7\ndom,0,0,1\n",
		  "3: not the event channel device: an oxenstored that is too old" },
		{ HEAD "dom,1,2,3\n",
		  "4: a domain without its local port: an oxenstored that is too old" },
		{ HEAD "dom,65536,2,3,4\n", "4: not a domain's numbers" },
		{ HEAD "dom,1,x,3,4\n", "4: not a domain's numbers" },
		{ HEAD "dom,1,2,3,4,5\n", "4: too many fields" },
		{ HEAD "socket,\n", "4: not a socket's number" },
		{ HEAD "socket,0\n", "4: not a socket's number" },
		{ HEAD "socket,99999999999999999999\n", "4: not a socket's number" },
		{ HEAD "watch,1,2f,61\n", "4: a watch that is not the last connection's" },
		{ HEAD "socket,11\nwatch,11,2f,61\n",
		  "5: a watch that is not the last connection's" },
		{ HEAD "socket,11\nwatch,-11,2,61\n", "5: not a watch" },
		{ HEAD "socket,11\nwatch,-11,2g,61\n", "5: not a watch" },
		{ HEAD "store,2f,6e30\n", "4: not a node" },
		{ HEAD "store,,6e30,\n", "4: not a node" },
		{ HEAD "store,2f,,\n", "4: a node that nobody owns" },
		{ HEAD "store,2f,6e,\n", "4: not permissions" },
		{ HEAD "store,2f,7830,\n", "4: not permissions" },
		{ HEAD "store,2f,6e3635353336,\n", "4: not permissions" },
		{ HEAD "store,2f,6e3000007235,\n", "4: not permissions" },
		{ HEAD "future,1\n", "4: of no kind that is known" },
		{ HEAD "\n", "4: of no kind that is known" },
		{ HEAD "socket,1", "4: the dump ends within it" },
		{ HEAD "store,2f61,6e30,\n", "image: path: its parent did not come before" },
		{ HEAD "socket,11\nsocket,11\n", "image: socket-fd: came before" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(told(rows[i].text, strlen(rows[i].text), 7), rows[i].want);
}

static void the_head_is_read_alone(void **state)
{
	struct oxdump_head h;

	(void)state;
	assert_true(oxdump_is(dump, strlen(dump)));
	assert_false(oxdump_is(dump, 22));
	assert_true(oxdump_read_head(dump, strlen(HEAD), &h));
	assert_int_equal(h.listen_fd, 7);
	assert_int_equal(h.evtchn_fd, 5);
	assert_int_equal(h.virq, 1);
	assert_false(oxdump_read_head(dump, strlen(HEAD) - 1, &h));
	assert_false(oxdump_read_head("$xenstored-dump-format\nglobal,7\nsocket,1\n", 41, &h));
}

static void a_line_has_a_bound(void **state)
{
	size_t len = strlen(HEAD) + OXDUMP_LINE_MAX + 1;
	char *text = malloc(len);

	(void)state;
	assert_non_null(text);
	memset(text, 'a', len);
	memcpy(text, HEAD, strlen(HEAD));
	assert_string_equal(told(text, len, 65536), "4: it is too long");
	free(text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dump_is_an_image),
		cmocka_unit_test(a_dump_that_is_cut_is_refused),
		cmocka_unit_test(what_is_no_dump_is_refused),
		cmocka_unit_test(the_head_is_read_alone),
		cmocka_unit_test(a_line_has_a_bound),
	};

	return cmocka_run_group_tests_name("image/oxdump", tests, NULL, NULL);
}
