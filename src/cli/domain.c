/* SPDX-License-Identifier: MIT */
/*
 * `drover domain`: one domain's share of the store from one daemon to another. Invariant: an
 * export or import that failed leaves the domain as it was found, but for the export's own
 * UNQUIESCE.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/sim_client.h"
#include "cli/xs_client.h"
#include "image/domain_map.h"
#include "wire/wire.h"

#define TRIES 3 /* of a whole image, where the daemon was replaced meanwhile */

struct session {
	const char *command; /* borrowed: "domain export" */
	struct sim_client *client;
	struct sim_reply reply;
};

static bool connect_to(struct session *s, const char *command)
{
	int r;

	s->command = command;
	r = sim_client_connect(cli_socket_path(), &s->client);
	if (!r)
		return true;
	fprintf(stderr, "drover: %s: no daemon at %s: %s\n", command, cli_socket_path(),
		strerror(-r));
	return false;
}

/* What the daemon answered; 0, or an errno: ENOTCONN where it is gone. */
static int call(struct session *s, uint32_t type, const void *payload, size_t len)
{
	int r = sim_client_call(s->client, type, 0, payload, len, &s->reply);

	if (r == -EPIPE)
		return ENOTCONN;
	return r < 0 ? -r : r;
}

static int call_domain(struct session *s, uint32_t type, uint16_t domid)
{
	char text[8];
	int n = snprintf(text, sizeof(text), "%u", domid);

	return call(s, type, text, (size_t)n + 1);
}

/* Says what was refused, with the daemon's reason where it has one. */
static int refused(struct session *s, uint16_t domid, int err)
{
	const char *name = strerrorname_np(err);
	char text[16];

	snprintf(text, sizeof(text), "%u", domid);
	if (err != ENOSYS && err != ENOTCONN && !call(s, WIRE_WHY, "", 1) && s->reply.octets[0] &&
	    strcmp(s->reply.octets, name ? name : "")) {
		fprintf(stderr, "drover: %s %s: %s (%s)\n", s->command, text, s->reply.octets,
			name ? name : "?");
		return CLI_FAILED;
	}
	return cli_fail(s->command, text, err == ENOENT ? ESRCH : err);
}

static bool domid_of(const char *command, const char *word, uint16_t *ret)
{
	unsigned long v;

	if (!cli_number(command, "DOMID", word, 0x7fef, &v))
		return false;
	*ret = (uint16_t)v;
	return true;
}

/* --- quiesce, unquiesce ------------------------------------------------------------------ */

static int quiesce(int argc, char **argv, const char *command, uint32_t type)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct session s;
	uint16_t domid;
	int r, status;

	if (cli_getopt(argc, argv, "s:h", options, &status) != -1)
		return status;
	if (optind + 1 != argc)
		return cli_usage("domain", "%s which domain?", command + strlen("domain "));
	if (!domid_of("domain", argv[optind], &domid))
		return CLI_USAGE;
	if (!connect_to(&s, command))
		return CLI_FAILED;
	r = call_domain(&s, type, domid);
	status = r ? refused(&s, domid, r) : CLI_OK;
	sim_client_free(s.client);
	return status;
}

static int run_quiesce(int argc, char **argv)
{
	return quiesce(argc, argv, "domain quiesce", WIRE_QUIESCE);
}

static int run_unquiesce(int argc, char **argv)
{
	return quiesce(argc, argv, "domain unquiesce", WIRE_UNQUIESCE);
}

/* --- export ------------------------------------------------------------------------------ */

static void add_octets(struct domain_octets *o, const void *data, size_t len)
{
	cli_must(domain_octets_add(o, data, len) ? NULL : o);
}

/* "domid|0|" and the paths. */
static struct domain_octets first_request(uint16_t domid, char **with, size_t n)
{
	struct domain_octets o = { 0 };
	char text[16];

	add_octets(&o, text, (size_t)snprintf(text, sizeof(text), "%u", domid) + 1);
	add_octets(&o, "0", 2);
	for (size_t i = 0; i < n; i++)
		add_octets(&o, with[i], strlen(with[i]) + 1);
	return o;
}

static int fetch_once(struct session *s, uint16_t domid, const struct domain_octets *first,
		      struct domain_octets *image)
{
	size_t total = 1, head;
	char text[40];
	int r, n;

	image->len = 0;
	r = call(s, WIRE_EXPORT_DOMAIN, first->data, first->len);
	while (!r) {
		total = strtoul(s->reply.octets, NULL, 10);
		head = strlen(s->reply.octets) + 1;
		if (head >= s->reply.len)
			return EPROTO;
		add_octets(image, s->reply.octets + head, s->reply.len - head);
		if (image->len >= total)
			break;
		n = snprintf(text, sizeof(text), "%u%c%zu", domid, 0, image->len);
		r = call(s, WIRE_EXPORT_DOMAIN, text, (size_t)n + 1);
	}
	return r;
}

static int fetch(struct session *s, uint16_t domid, char **with, size_t n,
		 struct domain_octets *image)
{
	struct domain_octets first = first_request(domid, with, n);
	int r = E2BIG;

	for (int i = 0; first.len <= XENSTORE_PAYLOAD_MAX && i < TRIES; i++) {
		r = fetch_once(s, domid, &first, image);
		if (r != EAGAIN)
			break;
	}
	free(first.data);
	return r;
}

/* All of data, or an errno. */
static int write_all(int fd, const uint8_t *data, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, data, len);
		if (n < 0 && errno != EINTR)
			return errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static bool save(const char *name, const struct domain_octets *image)
{
	bool is_file = name && strcmp(name, "-");
	int fd = is_file ? open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
			 : STDOUT_FILENO;
	int r = fd < 0 ? errno : write_all(fd, image->data, image->len);

	if (is_file && fd >= 0 && close(fd) && !r)
		r = errno;
	if (!r)
		return true;
	fprintf(stderr, "drover: domain export: %s: %s\n", is_file ? name : "standard output",
		strerror(r));
	if (is_file && fd >= 0)
		unlink(name);
	return false;
}

struct export_options {
	char **with; /* owned array of borrowed */
	size_t n_with;
	const char *file;
	bool unquiesce;
	uint16_t domid;
};

static int do_export(const struct export_options *o)
{
	struct domain_octets image = { 0 };
	struct session s;
	int r, status = CLI_OK;

	if (!connect_to(&s, "domain export"))
		return CLI_FAILED;
	r = call_domain(&s, WIRE_QUIESCE, o->domid);
	if (!r) {
		r = fetch(&s, o->domid, o->with, o->n_with, &image);
		if (r)
			status = refused(&s, o->domid, r);
		else if (!save(o->file, &image))
			status = CLI_FAILED;
		if (status || o->unquiesce)
			call_domain(&s, WIRE_UNQUIESCE, o->domid);
	} else {
		status = refused(&s, o->domid, r);
	}
	sim_client_free(s.client);
	free(image.data);
	return status;
}

static int run_export(int argc, char **argv)
{
	static const struct option options[] = {
		{ "with", required_argument, NULL, 'w' },
		{ "output", required_argument, NULL, 'o' },
		{ "unquiesce", no_argument, NULL, 'u' },
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct export_options o = { .with = cli_must(calloc((size_t)argc, sizeof(char *))) };
	int c, status = CLI_USAGE;

	while ((c = cli_getopt(argc, argv, "o:s:h", options, &status)) != -1) {
		if (c == 'w')
			o.with[o.n_with++] = optarg;
		else if (c == 'o')
			o.file = optarg;
		else if (c == 'u')
			o.unquiesce = true;
		else
			break;
	}
	if (c == -1 && optind + 1 != argc)
		status = cli_usage("domain", "export which domain?");
	else if (c == -1 && domid_of("domain", argv[optind], &o.domid))
		status = do_export(&o);
	free(o.with);
	return status;
}

/* --- import ------------------------------------------------------------------------------ */

static bool load(const char *name, struct domain_octets *image)
{
	bool is_file = strcmp(name, "-");
	int fd = is_file ? open(name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO, r;
	uint8_t buf[65536];
	ssize_t n = 0;

	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		add_octets(image, buf, (size_t)n);
	r = fd < 0 || n < 0 ? errno : 0;
	if (is_file && fd >= 0)
		close(fd);
	if (r)
		fprintf(stderr, "drover: domain import: %s: %s\n",
			is_file ? name : "standard input", strerror(r));
	return !r;
}

static int give_once(struct session *s, uint16_t domid, const struct domain_octets *image)
{
	char text[XENSTORE_PAYLOAD_MAX];
	size_t at = 0, n, head;
	int r = 0;

	while (!r && at < image->len) {
		head = (size_t)snprintf(text, sizeof(text), "%u%c%zu%c%zu", domid, 0, at, 0,
					image->len) +
		       1;
		n = image->len - at;
		if (n > sizeof(text) - head)
			n = sizeof(text) - head;
		memcpy(text + head, image->data + at, n);
		r = call(s, WIRE_IMPORT_DOMAIN, text, head + n);
		at += n;
	}
	return r;
}

struct import_options {
	const char *file;
	const char *introduce; /* "GFN:PORT"; NULL: introduced already */
	bool unquiesce;
	bool has_domid;
	uint16_t domid;
};

/* QUIESCE and INTRODUCE, so that nothing is read before the image is there. */
static int introduce(struct session *s, const struct import_options *o)
{
	const char *colon = strchr(o->introduce, ':');
	char text[64];
	int n, r;

	n = snprintf(text, sizeof(text), "%u%c%.*s%c%s", o->domid, 0, (int)(colon - o->introduce),
		     o->introduce, 0, colon + 1);
	if (n >= (int)sizeof(text))
		return EINVAL;
	r = call_domain(s, WIRE_QUIESCE, o->domid);
	return r ? r : call(s, XS_INTRODUCE, text, (size_t)n + 1);
}

static int give(const struct import_options *o, const struct domain_octets *image)
{
	int r = 0, status = CLI_OK;
	struct session s;

	if (!connect_to(&s, "domain import"))
		return CLI_FAILED;
	if (o->introduce)
		r = introduce(&s, o);
	if (r) {
		status = refused(&s, o->domid, r);
		sim_client_free(s.client);
		return status;
	}
	for (int i = 0; i < TRIES; i++) {
		r = give_once(&s, o->domid, image);
		if (r != EAGAIN)
			break;
	}
	if (r)
		status = refused(&s, o->domid, r);
	if (r && o->introduce)
		call_domain(&s, XS_RELEASE, o->domid);
	if (!r && (o->unquiesce || o->introduce)) {
		r = call_domain(&s, WIRE_UNQUIESCE, o->domid);
		status = r ? refused(&s, o->domid, r) : CLI_OK;
	}
	sim_client_free(s.client);
	return status;
}

static int bad_image(const struct import_options *o, int err, const char *text)
{
	fprintf(stderr, "drover: domain import: %s: %s\n",
		strcmp(o->file, "-") ? o->file : "standard input",
		err == EINVAL ? text : strerror(err));
	return CLI_FAILED;
}

static int do_import(struct import_options *o)
{
	struct domain_octets image = { 0 }, mapped = { 0 };
	char text[300] = "";
	uint16_t whose;
	int r, status;

	if (!load(o->file, &image)) {
		free(image.data);
		return CLI_FAILED;
	}
	r = domain_image_whose(&image, &whose, text, sizeof(text));
	if (!r && !o->has_domid)
		o->domid = whose;
	if (!r && o->domid != whose) {
		struct domain_image_map map = { .from = whose, .to = o->domid, .report = stdout };

		r = domain_image_map(&image, &map, &mapped, text, sizeof(text));
	}
	status = r ? bad_image(o, r, text) : give(o, mapped.data ? &mapped : &image);
	free(image.data);
	free(mapped.data);
	return status;
}

static int run_import(int argc, char **argv)
{
	static const struct option options[] = {
		{ "as", required_argument, NULL, 'a' },
		{ "introduce", required_argument, NULL, 'i' },
		{ "unquiesce", no_argument, NULL, 'u' },
		{ "help", no_argument, NULL, 'h' },
		{ "socket", required_argument, NULL, 's' },
		{ 0 },
	};
	struct import_options o = { .file = "-" };
	int c, status = CLI_USAGE;

	while ((c = cli_getopt(argc, argv, "s:h", options, &status)) != -1) {
		if (c == 'a' && !domid_of("domain", optarg, &o.domid))
			return CLI_USAGE;
		if (c == 'i' && !strchr(optarg, ':'))
			return cli_usage("domain", "--introduce: '%s' is not GFN:PORT", optarg);
		o.has_domid |= c == 'a';
		o.unquiesce |= c == 'u';
		if (c == 'i')
			o.introduce = optarg;
		if (c == '?')
			return status;
	}
	if (argc - optind > 1)
		return cli_usage("domain", "import one image at a time");
	if (optind < argc)
		o.file = argv[optind];
	return do_import(&o);
}

/* --- all --------------------------------------------------------------------------------- */

static const struct cli_part parts[] = {
	{ "export", run_export },
	{ "import", run_import },
	{ "quiesce", run_quiesce },
	{ "unquiesce", run_unquiesce },
};

int cli_domain(int argc, char **argv)
{
	return cli_run_part("domain", parts, ARRAY_LEN(parts),
			    "export, import, quiesce or unquiesce", argc, argv);
}
