/* SPDX-License-Identifier: MIT */
/*
 * A guest's operations: parsed whole, then run in order on one connection.
 *
 * Invariant: between begin and commit or abort, every operation that may is in that transaction.
 */
#include "cli/sim_run.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/wire.h"

#define RUN_WORDS_MAX 1024

const char sim_run_usage[] =
	"operations, separated by ';':\n"
	"  read P            the value of a node\n"
	"  write P V         sets it, making the node and its parents\n"
	"  mkdir P           makes an empty node\n"
	"  rm P              removes a node and all below it\n"
	"  ls [P]            names of its children\n"
	"  perms P           who may do what with it\n"
	"  setperms P PERM…  n5 (owner 5, others nothing) r0 w3 b7 …\n"
	"  watch P [COUNT]   watches it, and waits for COUNT events (1; 0: for ever)\n"
	"  events [COUNT]    waits for events of watches that are set already\n"
	"  begin             starts a transaction for what follows\n"
	"  transaction ID    what follows is in that one, begun by an earlier speaker\n"
	"  commit | abort    ends it\n";

struct runner {
	struct sim_client *c; /* borrowed */
	char home[32];
	uint32_t tx_id; /* 0: none */
	uint32_t events;
	struct sim_reply reply;
	char payload[XENSTORE_PAYLOAD_MAX];
	size_t payload_len;
};

struct run_op {
	const char *name;
	uint32_t type;
	int min, max; /* arguments */
	int (*run)(struct runner *r, const struct run_op *op, int argc, char **argv);
};

/* What an error means here, beyond its name. */
static const char *error_words(int err, uint32_t type)
{
	switch (err) {
	case ENOENT:
		return type == XS_TRANSACTION_END ? "no such transaction" : "no such node";
	case EACCES:
		return "not permitted";
	case EPERM:
		return "only the control domain may change an owner";
	case EAGAIN:
		return "conflict: what it had seen was changed meanwhile; nothing was done";
	case ENOSPC:
		return "quota used up; the daemon's log and 'drover top' say which";
	case E2BIG:
		return "too large";
	case EEXIST:
		return "exists already";
	case EINVAL:
		return "not a valid request";
	case EBUSY:
		return "busy, or a transaction is open";
	case ENOSYS:
		return "not known to this daemon";
	default:
		return strerror(err);
	}
}

static void runner_event(void *data, const char *path, const char *token)
{
	struct runner *r = data;

	r->events++;
	printf("event: %s (token %s)\n", path, token);
	fflush(stdout);
}

static bool payload_add(struct runner *r, const char *s, size_t len)
{
	if (len > sizeof(r->payload) - r->payload_len)
		return false;
	memcpy(r->payload + r->payload_len, s, len);
	r->payload_len += len;
	return true;
}

/* Prints octets as a person can read them. */
static void print_value(const char *octets, size_t len)
{
	putchar('"');
	for (size_t i = 0; i < len; i++) {
		unsigned char o = (unsigned char)octets[i];

		if (o == '"' || o == '\\')
			printf("\\%c", o);
		else if (o < 32 || o == 127)
			printf("\\x%02x", o);
		else
			putchar(o);
	}
	putchar('"');
}

static void print_list(const struct sim_reply *reply)
{
	size_t n = 0;

	for (size_t at = 0; at < reply->len; at += strlen(reply->octets + at) + 1, n++)
		printf("%s%s", n ? " " : "", reply->octets + at);
	if (!n)
		printf("(nothing)");
}

/* Sends r->payload. As sim_client_call; what went wrong is said. */
static int run_call(struct runner *r, const struct run_op *op, const char *subject)
{
	int err;

	err = sim_client_call(r->c, op->type, r->tx_id, r->payload, r->payload_len, &r->reply);
	printf("%s%s%s: ", op->name, *subject ? " " : "", subject);
	if (err > 0)
		printf("refused: %s, %s\n", wire_errno_name(err), error_words(err, op->type));
	else if (err == -EPIPE)
		printf("failed: the daemon closed the connection, or the domain is gone\n");
	else if (err == -ETIMEDOUT)
		printf("failed: no reply in time\n");
	else if (err)
		printf("failed: %s\n", strerror(-err));
	return err;
}

/* All operations whose payload is their arguments, each with its NUL. */
static int run_plain(struct runner *r, const struct run_op *op, int argc, char **argv)
{
	const char *path = argc ? argv[0] : r->home;
	int err;

	r->payload_len = 0;
	for (int i = 0; i < argc || !i; i++) {
		const char *s = i ? argv[i] : path;

		/* A value is not terminated. */
		if (!payload_add(r, s, strlen(s) + (op->type != XS_WRITE || !i))) {
			printf("%s %s: refused: too large for one request\n", op->name, path);
			return E2BIG;
		}
	}
	err = run_call(r, op, path);
	if (err)
		return err;
	if (op->type == XS_READ)
		print_value(r->reply.octets, r->reply.len);
	else if (op->type == XS_DIRECTORY || op->type == XS_GET_PERMS)
		print_list(&r->reply);
	else
		printf("done");
	putchar('\n');
	return 0;
}

static int run_begin(struct runner *r, const struct run_op *op, int argc, char **argv)
{
	int err;

	(void)argc;
	(void)argv;
	r->payload_len = 0;
	payload_add(r, "", 1);
	err = run_call(r, op, "");
	if (err)
		return err;
	r->tx_id = (uint32_t)strtoul(r->reply.octets, NULL, 10);
	printf("transaction %u\n", r->tx_id);
	return 0;
}

static int run_end(struct runner *r, const struct run_op *op, int argc, char **argv)
{
	int err;

	(void)argc;
	(void)argv;
	r->payload_len = 0;
	payload_add(r, op->name[0] == 'c' ? "T" : "F", 2);
	err = run_call(r, op, "");
	r->tx_id = 0;
	if (!err)
		printf("done\n");
	return err;
}

static uint32_t number_or(int argc, char **argv, int at, uint32_t otherwise)
{
	return argc > at ? (uint32_t)strtoul(argv[at], NULL, 10) : otherwise;
}

static int run_transaction(struct runner *r, const struct run_op *op, int argc, char **argv)
{
	r->tx_id = number_or(argc, argv, 0, 0);
	printf("%s %u: what follows is in it\n", op->name, r->tx_id);
	return 0;
}

/* Until there were so many more than before; 0: for ever. */
static int wait_events(struct runner *r, const char *what, uint32_t before, uint32_t count)
{
	int err;

	fflush(stdout);
	while (!count || r->events - before < count) {
		err = sim_client_wait_event(r->c, -1);
		if (err) {
			printf("%s: failed: %s\n", what, strerror(-err));
			return err;
		}
	}
	return 0;
}

static int run_events(struct runner *r, const struct run_op *op, int argc, char **argv)
{
	return wait_events(r, op->name, r->events, number_or(argc, argv, 0, 1));
}

static int run_watch(struct runner *r, const struct run_op *op, int argc, char **argv)
{
	const char *path = argv[0], *token = argv[0];
	uint32_t before = r->events;
	int err;

	r->payload_len = 0;
	if (!payload_add(r, path, strlen(path) + 1) || !payload_add(r, token, strlen(token) + 1)) {
		printf("watch: refused: too large for one request\n");
		return E2BIG;
	}
	err = run_call(r, op, argv[0]);
	if (err)
		return err;
	printf("watching\n");
	return wait_events(r, argv[0], before, number_or(argc, argv, 1, 1));
}

static const struct run_op ops[] = {
	{ "read", XS_READ, 1, 1, run_plain },
	{ "write", XS_WRITE, 2, 2, run_plain },
	{ "mkdir", XS_MKDIR, 1, 1, run_plain },
	{ "rm", XS_RM, 1, 1, run_plain },
	{ "ls", XS_DIRECTORY, 0, 1, run_plain },
	{ "perms", XS_GET_PERMS, 1, 1, run_plain },
	{ "setperms", XS_SET_PERMS, 2, RUN_WORDS_MAX, run_plain },
	{ "watch", XS_WATCH, 1, 2, run_watch },
	{ "events", XS_WATCH_EVENT, 0, 1, run_events },
	{ "begin", XS_TRANSACTION_START, 0, 0, run_begin },
	{ "transaction", XS_TRANSACTION_START, 1, 1, run_transaction },
	{ "commit", XS_TRANSACTION_END, 0, 0, run_end },
	{ "abort", XS_TRANSACTION_END, 0, 0, run_end },
};

/* The operation of words[0, n), NULL where it is none; said on stderr. */
static const struct run_op *op_find(int n, char **words)
{
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (strcmp(ops[i].name, words[0]))
			continue;
		if (n - 1 >= ops[i].min && n - 1 <= ops[i].max)
			return &ops[i];
		fprintf(stderr, "drover sim run: %s: %d arguments\n%s", words[0], n - 1,
			sim_run_usage);
		return NULL;
	}
	fprintf(stderr, "drover sim run: %s: no such operation\n%s", words[0], sim_run_usage);
	return NULL;
}

/* The words of text up to ";" and the rest; "double quotes" hold spaces. Cuts text up. */
static int words_split(char *text, char **words)
{
	int n = 0;

	while (n < RUN_WORDS_MAX - 1) {
		text += strspn(text, " \t\n");
		if (!*text)
			break;
		if (*text == '"') {
			words[n++] = ++text;
			text += strcspn(text, "\"");
		} else if (*text == ';') {
			static char separator[] = ";";

			words[n++] = separator;
			text++;
			continue;
		} else {
			char *end = text + strcspn(text, " \t\n;");

			words[n++] = text;
			text = end;
			if (*text == ';' && n < RUN_WORDS_MAX - 1) {
				static char separator[] = ";";

				words[n++] = separator;
			}
		}
		if (*text)
			*text++ = '\0';
	}
	return n;
}

/* How many words from argv on make one operation. */
static int op_words(int argc, char **argv)
{
	int n = 0;

	while (n < argc && strcmp(argv[n], ";"))
		n++;
	return n;
}

int sim_run_script(struct sim_client *c, uint16_t domid, int argc, char **argv)
{
	struct runner r = { .c = c };
	char *words[RUN_WORDS_MAX];
	int n, failed = 0;

	if (argc == 1 && strpbrk(argv[0], " ;")) {
		argc = words_split(argv[0], words);
		argv = words;
	}
	for (int at = 0; at < argc; at += n + 1) {
		n = op_words(argc - at, argv + at);
		if (n && !op_find(n, argv + at))
			return 2;
	}
	snprintf(r.home, sizeof(r.home), "/local/domain/%u", domid);
	sim_client_on_event(c, runner_event, &r);
	for (int at = 0; at < argc; at += n + 1) {
		const struct run_op *op;

		n = op_words(argc - at, argv + at);
		if (!n)
			continue;
		op = op_find(n, argv + at);
		if (op->run(&r, op, n - 1, argv + at + 1))
			failed = 1;
		fflush(stdout);
	}
	sim_client_on_event(c, NULL, NULL);
	return failed;
}
