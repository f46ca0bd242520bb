/* SPDX-License-Identifier: MIT */
/*
 * Single requests, and directories that do not fit in one answer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/client.h"
#include "wire/wire.h"

/* A directory that changed between its parts is read from its start again so often. */
#define DIRECTORY_TRIES 64

/* Octets of the names of a directory: whoever makes more makes it unreadable for us. */
#define DIRECTORY_OCTETS_MAX (1u << 20)

/* What a refusal of the store is for us. */
static int refused(struct conf_err *err, const char *what, const char *path, int err_no)
{
	int code = err_no == ENOENT || err_no == EACCES || err_no == EAGAIN ? -err_no : -EIO;

	return conf_fail(err, code, "store: %s %s: %s", what, path, wire_errno_name(err_no));
}

/* One request; its answer is in *b. */
static int ask(struct conf_client *c, enum xsd_sockmsg_type type, uint32_t tx, const char *path,
	       const char *tail, struct conf_err *err, struct conf_batch *b)
{
	int r = conf_batch_add(b, type, tx, path, tail, tail ? strlen(tail) + 1 : 0, NULL);

	if (r == -EINVAL)
		return conf_fail(err, r, "store: %s is too long", path);
	if (r)
		return conf_no_memory(err);
	return conf_client_run(c, b, err);
}

int conf_client_begin(struct conf_client *c, struct conf_err *err, uint32_t *ret_tx)
{
	__attribute__((cleanup(conf_batch_fini))) struct conf_batch b = { 0 };
	const struct conf_reply *reply;
	uint32_t tx;
	int r = ask(c, XS_TRANSACTION_START, 0, "", NULL, err, &b);

	if (r)
		return r;
	reply = conf_batch_reply(&b, 0);
	if (reply->err)
		return refused(err, "transaction", "", reply->err);
	if (wire_parse_number(reply->data, strlen(reply->data), 10, &tx) || !tx)
		return conf_fail(err, -ECONNRESET, "store: a transaction without a number");
	*ret_tx = tx;
	return 0;
}

int conf_client_commit(struct conf_client *c, uint32_t tx, struct conf_err *err)
{
	__attribute__((cleanup(conf_batch_fini))) struct conf_batch b = { 0 };
	int r = ask(c, XS_TRANSACTION_END, tx, "T", NULL, err, &b);

	if (r)
		return r;
	switch (conf_batch_reply(&b, 0)->err) {
	case 0:
		return 0;
	case EAGAIN:
		return -EAGAIN;
	default:
		return refused(err, "commit", "", conf_batch_reply(&b, 0)->err);
	}
}

void conf_client_abort(struct conf_client *c, uint32_t tx)
{
	__attribute__((cleanup(conf_batch_fini))) struct conf_batch b = { 0 };

	/* what cannot be aborted ends with the connection */
	(void)ask(c, XS_TRANSACTION_END, tx, "F", NULL, NULL, &b);
}

int conf_client_read(struct conf_client *c, uint32_t tx, const char *path, struct conf_err *err,
		     char **ret, size_t *ret_len)
{
	__attribute__((cleanup(conf_batch_fini))) struct conf_batch b = { 0 };
	const struct conf_reply *reply;
	int r = ask(c, XS_READ, tx, path, NULL, err, &b);

	if (r)
		return r;
	reply = conf_batch_reply(&b, 0);
	if (reply->err)
		return refused(err, "read", path, reply->err);
	*ret = malloc(reply->len + 1);
	if (!*ret)
		return conf_no_memory(err);
	memcpy(*ret, reply->data, reply->len + 1);
	if (ret_len)
		*ret_len = reply->len;
	return 0;
}

/* The answer's names behind *buf; *ret_last: it was the last part. EAGAIN: another generation. */
static int take_part(const struct conf_reply *reply, char *gen, size_t gen_size, char **buf,
		     size_t *len, bool *ret_last)
{
	size_t gen_len = strlen(reply->data) + 1;
	const char *names = reply->data + gen_len;
	size_t n;
	char *p;

	if (gen_len > reply->len || gen_len > gen_size)
		return -EIO;
	if (*gen && strcmp(gen, reply->data))
		return EAGAIN;
	memcpy(gen, reply->data, gen_len);
	n = reply->len - gen_len;
	/* an empty name ends the whole */
	*ret_last = n == 0 || (names[n - 1] == '\0' && (n == 1 || names[n - 2] == '\0'));
	if (*ret_last && n)
		n--;
	p = realloc(*buf, *len + n + 1);
	if (!p)
		return -ENOMEM;
	memcpy(p + *len, names, n);
	*buf = p;
	*len += n;
	return 0;
}

/* All parts, while they are of one generation. EAGAIN. */
static int directory_parts(struct conf_client *c, uint32_t tx, const char *path,
			   struct conf_err *err, char **ret, size_t *ret_len)
{
	char gen[32] = "", offset[24];
	char *buf = NULL;
	size_t len = 0;
	bool last = false;
	int r = 0;

	while (!r && !last) {
		__attribute__((cleanup(conf_batch_fini))) struct conf_batch b = { 0 };
		const struct conf_reply *reply;

		snprintf(offset, sizeof(offset), "%zu", len);
		r = ask(c, XS_DIRECTORY_PART, tx, path, offset, err, &b);
		if (r)
			break;
		reply = conf_batch_reply(&b, 0);
		if (reply->err)
			r = refused(err, "list", path, reply->err);
		else
			r = take_part(reply, gen, sizeof(gen), &buf, &len, &last);
		if (!r && len > DIRECTORY_OCTETS_MAX)
			r = conf_fail(err, -EFBIG, "store: list %s: more than %u octets of names",
				      path, DIRECTORY_OCTETS_MAX);
		if (r == -EIO)
			conf_fail(err, r, "store: list %s: a part without a generation", path);
	}
	if (r) {
		free(buf);
		return r;
	}
	*ret = buf;
	*ret_len = len;
	return 0;
}

int conf_client_directory(struct conf_client *c, uint32_t tx, const char *path,
			  struct conf_err *err, char **ret, size_t *ret_len)
{
	__attribute__((cleanup(conf_batch_fini))) struct conf_batch b = { 0 };
	const struct conf_reply *reply;
	int i, r = ask(c, XS_DIRECTORY, tx, path, NULL, err, &b);

	if (r)
		return r;
	reply = conf_batch_reply(&b, 0);
	if (reply->err == E2BIG) {
		r = EAGAIN;
		for (i = 0; r == EAGAIN && i < DIRECTORY_TRIES; i++)
			r = directory_parts(c, tx, path, err, ret, ret_len);
		if (r == EAGAIN)
			return conf_fail(err, -EAGAIN, "store: list %s: it kept changing", path);
		return r == -ENOMEM ? conf_no_memory(err) : r;
	}
	if (reply->err)
		return refused(err, "list", path, reply->err);
	*ret = malloc(reply->len + 1);
	if (!*ret)
		return conf_no_memory(err);
	memcpy(*ret, reply->data, reply->len + 1);
	*ret_len = reply->len;
	return 0;
}

static int watch_request(struct conf_client *c, enum xsd_sockmsg_type type, const char *path,
			 const char *token, struct conf_err *err)
{
	__attribute__((cleanup(conf_batch_fini))) struct conf_batch b = { 0 };
	int r = ask(c, type, 0, path, token, err, &b);

	if (!r && conf_batch_reply(&b, 0)->err)
		r = refused(err, "watch", path, conf_batch_reply(&b, 0)->err);
	return r;
}

int conf_client_watch(struct conf_client *c, const char *path, const char *token,
		      struct conf_err *err)
{
	return watch_request(c, XS_WATCH, path, token, err);
}

int conf_client_unwatch(struct conf_client *c, const char *path, const char *token,
			struct conf_err *err)
{
	return watch_request(c, XS_UNWATCH, path, token, err);
}
