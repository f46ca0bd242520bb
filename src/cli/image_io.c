/* SPDX-License-Identifier: MIT */
/*
 * Files of `drover image`. Invariant: a file that is written gets its name when it is whole and
 * on the disk's way; whatever fails before leaves the old file, or none.
 */
#include "cli/image_io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/command.h"

static void say(const char *command, const char *name, const char *what)
{
	fflush(stdout); /* what came before it is seen before it */
	fprintf(stderr, "drover: image %s: %s: %s\n", command, name, what);
}

/* ---- reading ---- */

static int read_fd(int fd, void *buf, size_t len, size_t *ret_len)
{
	ssize_t n;

	do {
		n = read(fd, buf, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	*ret_len = (size_t)n;
	return 0;
}

bool image_in_open(struct image_in *in, const char *command, const char *name)
{
	bool standard = !strcmp(name, "-");
	size_t n = 1;
	int r = 0;

	*in = (struct image_in){
		.command = command,
		.name = standard ? "standard input" : name,
		.fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC),
	};
	if (in->fd < 0)
		r = errno;
	while (!r && n && in->head_len < IMAGE_HEAD_LEN) {
		r = read_fd(in->fd, in->head + in->head_len, IMAGE_HEAD_LEN - in->head_len, &n);
		in->head_len += r ? 0 : n;
	}
	if (!r)
		return true;
	say(command, in->name, strerror(r));
	image_in_close(in);
	return false;
}

void image_in_close(struct image_in *in)
{
	if (in->fd > STDIN_FILENO)
		close(in->fd);
	in->fd = -1;
}

int image_in_read(void *ctx, void *buf, size_t len, size_t *ret_len)
{
	struct image_in *in = ctx;
	size_t n = in->head_len - in->head_at;

	if (!n)
		return read_fd(in->fd, buf, len, ret_len);
	n = n < len ? n : len;
	memcpy(buf, in->head + in->head_at, n);
	in->head_at += n;
	*ret_len = n;
	return 0;
}

void image_in_fail(const struct image_in *in, int err, const char *text)
{
	say(in->command, in->name, err == EINVAL ? text : strerror(err));
}

/* ---- images ---- */

const char *image_format_text(const struct drover_image_format *format, char buf[64])
{
	snprintf(buf, 64, "%s layout, version %u, %s-endian",
		 format->layout == DROVER_LAYOUT_SEED ? "seed" : "upstream", format->version,
		 format->big_endian ? "big" : "little");
	return buf;
}

static uint32_t head_number(const struct image_in *in, size_t at, size_t size)
{
	bool big = in->head[DROVER_IMAGE_HEADER_LEN - 1] & 1u;
	uint32_t v = 0;

	for (size_t i = 0; i < size; i++)
		v |= (uint32_t)in->head[at + i] << 8 * (big ? size - 1 - i : i);
	return v;
}

/* Whether the head's first record is one that only a domain's image opens with, its ring. */
static bool head_is_of_domain(const struct image_in *in)
{
	const size_t record = DROVER_IMAGE_HEADER_LEN, body = record + DROVER_RECORD_HEADER_LEN;

	if (in->head_len < body + 6)
		return false;
	switch (head_number(in, record, 4)) {
	case DROVER_RECORD_CONNECTION:
		return head_number(in, body + 4, 2) == DROVER_CONN_RING;
	case DROVER_RECORD_NODE:
	case DROVER_RECORD_CONN_STATE:
	case DROVER_RECORD_DOMAIN_STATE:
		return true;
	default:
		return false;
	}
}

static void src_fail(struct image_src *src, int err)
{
	char text[320] = "";

	if (err == EINVAL)
		drover_image_error_print(drover_reader_error(src->reader), text, sizeof(text));
	image_in_fail(&src->in, err, text);
	src->failed = true;
}

bool image_src_start(struct image_src *src, const struct image_in *in, const struct image_how *how)
{
	struct drover_reader_options options = {
		.read = image_in_read,
		.ctx = &src->in,
		.layout = how->layout,
	};
	int r;

	*src = (struct image_src){ .in = *in };
	src->domain = how->scope == IMAGE_SCOPE_AUTO ? head_is_of_domain(in)
						     : how->scope == IMAGE_SCOPE_DOMAIN;
	options.flags =
		(src->domain ? DROVER_READER_DOMAIN : 0) | (how->loose ? DROVER_READER_LOOSE : 0);
	if (getrandom(options.hash_key, sizeof(options.hash_key), 0) < 0)
		memset(options.hash_key, 0, sizeof(options.hash_key)); /* slow at worst */
	if (drover_reader_new(&options, &src->reader))
		cli_must(NULL);
	r = drover_reader_format(src->reader, &src->format);
	if (!r)
		return true;
	src_fail(src, r);
	image_src_close(src);
	return false;
}

bool image_src_open(struct image_src *src, const char *command, const char *name,
		    const struct image_how *how)
{
	struct image_in in;

	if (!image_in_open(&in, command, name))
		return false;
	if (!drover_libxl_is(in.head, in.head_len))
		return image_src_start(src, &in, how);
	say(command, in.name, "a libxl stream; 'drover image extract' gets the image out of it");
	image_in_close(&in);
	return false;
}

bool image_src_next(struct image_src *src, struct drover_record *rec)
{
	int r = src->failed ? EINVAL : drover_reader_next(src->reader, rec);

	/* What is behind END is wrong, too. */
	if (!r && rec->type == DROVER_RECORD_END)
		r = drover_reader_next(src->reader, rec);
	if (r && r != ENODATA && !src->failed)
		src_fail(src, r);
	return !r;
}

void image_src_close(struct image_src *src)
{
	drover_reader_free(TAKE(src->reader));
	image_in_close(&src->in);
}

/* ---- writing ---- */

/* Files that are not whole yet: whoever ends the program does not leave them behind. */
static const char *volatile unfinished[2];

static void interrupted(int sig)
{
	for (size_t i = 0; i < ARRAY_LEN(unfinished); i++)
		if (unfinished[i])
			unlink(unfinished[i]);
	raise(sig); /* as it was before: SA_RESETHAND */
}

/* beside is unfinished from now on, or, with NULL in its place, no longer. */
static void unfinished_set(const char *was, const char *is)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM };
	const struct sigaction action = {
		.sa_handler = interrupted,
		.sa_flags = (int)(SA_RESETHAND | SA_NODEFER),
	};
	struct sigaction old;

	for (size_t i = 0; i < ARRAY_LEN(unfinished); i++) {
		if (unfinished[i] == was) {
			unfinished[i] = is;
			break;
		}
	}
	for (size_t i = 0; is && i < ARRAY_LEN(signals); i++)
		if (!sigaction(signals[i], NULL, &old) && old.sa_handler == SIG_DFL)
			sigaction(signals[i], &action, NULL);
}

/* Where it is to be written, and with what mode. 0 or an errno. */
static int out_target(struct image_out *out, const char *name, mode_t *ret_mode)
{
	struct stat st;
	mode_t mask = umask(0);

	umask(mask);
	*ret_mode = 0666 & ~mask;
	if (!stat(name, &st)) {
		if (S_ISDIR(st.st_mode))
			return EISDIR;
		*ret_mode = S_ISREG(st.st_mode) ? st.st_mode & 07777 : 0;
		out->target = realpath(name, NULL); /* what a link stands for, not the link */
		return out->target ? 0 : errno;
	}
	out->target = cli_must(strdup(name));
	return 0;
}

static void out_fail(struct image_out *out, int err)
{
	say(out->command, out->name, strerror(err));
	out->failed = true;
}

bool image_out_open(struct image_out *out, const char *command, const char *name)
{
	mode_t mode = 0;
	int r;

	out->command = command;
	out->name = name;
	out->target = out->beside = NULL;
	out->failed = false;
	out->have = 0;
	out->fd = STDOUT_FILENO;
	if (!strcmp(name, "-")) {
		out->name = "standard output";
		fflush(stdout);
		return true;
	}
	out->fd = -1;
	r = out_target(out, name, &mode);
	if (!r && !mode) {
		out->fd = open(out->target, O_WRONLY | O_CLOEXEC);
	} else if (!r) {
		if (asprintf(&out->beside, "%s.XXXXXX", out->target) < 0)
			out->beside = cli_must(NULL);
		out->fd = mkostemp(out->beside, O_CLOEXEC);
		if (out->fd >= 0)
			unfinished_set(NULL, out->beside);
		if (out->fd >= 0 && fchmod(out->fd, mode))
			r = errno;
	}
	if (!r && out->fd < 0)
		r = errno;
	if (!r)
		return true;
	out_fail(out, r);
	image_out_close(out, false);
	return false;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return errno;
		data += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int out_flush(struct image_out *out)
{
	int r = write_all(out->fd, out->buf, out->have);

	out->have = 0;
	return r;
}

int image_out_write(void *ctx, const void *data, size_t len)
{
	struct image_out *out = ctx;
	int r = 0;

	if (out->failed)
		return EIO;
	if (len > sizeof(out->buf) - out->have)
		r = out_flush(out);
	if (!r && len > sizeof(out->buf)) {
		r = write_all(out->fd, data, len);
	} else if (!r && len) {
		memcpy(out->buf + out->have, data, len);
		out->have += len;
	}
	if (r)
		out_fail(out, r);
	return r;
}

bool image_out_close(struct image_out *out, bool keep)
{
	int r = 0;

	keep = keep && !out->failed;
	if (keep)
		r = out_flush(out);
	if (keep && !r && out->beside && fsync(out->fd))
		r = errno;
	if (out->fd > STDERR_FILENO && close(out->fd) && !r)
		r = errno;
	if (keep && !r && out->beside && rename(out->beside, out->target))
		r = errno;
	if (keep && r)
		out_fail(out, r);
	keep = keep && !r;
	if (!keep && out->beside)
		unlink(out->beside);
	if (out->beside)
		unfinished_set(out->beside, NULL);
	free(TAKE(out->beside));
	free(TAKE(out->target));
	out->fd = -1;
	return keep;
}
