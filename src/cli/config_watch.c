/* SPDX-License-Identifier: MIT */
/*
 * `drover config watch`: changes as they happen, a line each: what was known of a domain against
 * what is. Invariant: a line is flushed when it is printed; what changed twice between two looks
 * is told once.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/config_fields.h"
#include "cli/text.h"

/* Changes that are taken together, so that a busy host does not keep one from looking. */
#define WATCH_BATCH 1024

/* How soon a domain that was locked, or kept changing, is looked at again. */
#define WATCH_AGAIN_MS 1000u

/* What is known of a domain. */
struct known {
	uint32_t domid;
	bool told; /* picture is */
	bool here; /* in the store, when it was listed last */
	bool due;  /* something changed since it was looked at */
	struct config_picture picture;
	int err; /* why it is not */
};

struct watching {
	struct config_call call;
	bool all;
	uint32_t domid;	     /* the one that is watched, unless it is all */
	unsigned long count; /* lines to print, 0: no end */
	unsigned long lines;
	struct known *domains; /* owned */
	size_t n;
};

static bool enough(const struct watching *w)
{
	return w->count && w->lines >= w->count;
}

static void time_text(char *text, size_t size)
{
	struct timespec now;
	struct tm tm;
	size_t len;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	len = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, size - len, ".%03ld", now.tv_nsec / 1000000);
}

/* A change: of a domain as a whole (class NULL), of a device or of a field of either. */
struct change {
	uint32_t domid;
	const char *name; /* of the domain; "" */
	const char *class, *id;
	const char *field;
	const char *was, *is; /* NULL: nothing */
	const char *reason;   /* NULL */
};

static void change_object(const struct change *c, const char *when)
{
	struct json_object *o = cli_must(json_object_new_object());
	const char *text;

	config_json_add(o, "time", config_json_text(when));
	config_json_add(o, "domid", cli_must(json_object_new_int64(c->domid)));
	config_json_add(o, "name", config_json_text(c->name));
	config_json_add(o, "class", config_json_text(c->class));
	config_json_add(o, "id", config_json_text(c->id));
	config_json_add(o, "field", config_json_text(c->field));
	config_json_add(o, "was", config_json_text(c->was));
	config_json_add(o, "is", config_json_text(c->is));
	config_json_add(o, "reason", config_json_text(c->reason));
	text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_SPACED |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
	puts(cli_must((void *)(uintptr_t)text));
	json_object_put(o);
}

static void print_escaped(const char *before, const char *text, const char *after)
{
	char *escaped = cli_text_escape(text, strlen(text), false);

	printf("%s%s%s", before, escaped, after);
	free(escaped);
}

/* "TIME 7 pv1 vbd xvdb: half-added -> attached (reason)" */
static void change_line(const struct change *c, const char *when)
{
	printf("%s %" PRIu32, when, c->domid);
	print_escaped(" ", *c->name ? c->name : "-", "");
	if (c->class)
		print_escaped(" ", c->class, "");
	if (c->id)
		print_escaped(" ", c->id, "");
	if (c->field)
		print_escaped(" ", c->field, "");
	print_escaped(": ", c->was ? c->was : "-", "");
	print_escaped(" -> ", c->is ? c->is : "-", "");
	if (c->reason && *c->reason)
		print_escaped(" (", c->reason, ")");
	putchar('\n');
}

static void change_print(struct watching *w, const struct change *c)
{
	char when[48];

	if (enough(w))
		return;
	w->lines++;
	time_text(when, sizeof(when));
	if (w->call.json)
		change_object(c, when);
	else
		change_line(c, when);
	fflush(stdout);
}

/* ---- two pictures ---- */

struct comparing {
	struct watching *w;
	const struct config_picture *was, *is;
	/* Of the fields that are compared now. */
	const struct config_fields *fields_was, *fields_is;
	const char *class, *id;
};

static void field_change(void *data, size_t a, size_t b)
{
	struct comparing *p = data;
	const struct config_field *was = a == CONFIG_NONE ? NULL : &p->fields_was->v[a];
	const struct config_field *is = b == CONFIG_NONE ? NULL : &p->fields_is->v[b];
	/* a pair has one of the two at least */
	const struct config_field *any =
		b == CONFIG_NONE ? &p->fields_was->v[a] : &p->fields_is->v[b];
	struct change c = { .domid = p->is->domid,
			    .name = p->is->name,
			    .class = p->class,
			    .id = p->id,
			    .field = any->path,
			    .was = was ? was->value : NULL,
			    .is = is ? is->value : NULL };

	if (!was || !is || strcmp(was->value, is->value))
		change_print(p->w, &c);
}

static const char *device_word(const struct config_device *d)
{
	return !d ? NULL : d->judged ? drover_verdict_name(d->verdict) : "there";
}

static void device_change(void *data, size_t a, size_t b)
{
	struct comparing *p = data;
	const struct config_device *was = a == CONFIG_NONE ? NULL : &p->was->devices[a];
	const struct config_device *is = b == CONFIG_NONE ? NULL : &p->is->devices[b];
	/* a pair has one of the two at least */
	const struct config_device *any =
		b == CONFIG_NONE ? &p->was->devices[a] : &p->is->devices[b];
	struct change c = { .domid = p->is->domid,
			    .name = p->is->name,
			    .class = any->class,
			    .id = any->id,
			    .was = device_word(was),
			    .is = device_word(is),
			    .reason = is ? is->reason : NULL };

	if (!was || !is || strcmp(c.was, c.is))
		change_print(p->w, &c);
	if (!was || !is || !was->in_view || !is->in_view)
		return;
	p->fields_was = &was->fields;
	p->fields_is = &is->fields;
	p->class = c.class;
	p->id = c.id;
	config_fields_align(p->fields_was, p->fields_is, field_change, p);
}

static void pictures_compare(struct watching *w, const struct config_picture *was,
			     const struct config_picture *is)
{
	struct comparing p = {
		.w = w, .was = was, .is = is, .fields_was = &was->domain, .fields_is = &is->domain
	};

	config_fields_align(p.fields_was, p.fields_is, field_change, &p);
	config_pictures_align(was, is, device_change, &p);
}

/* ---- domains ---- */

static struct known *known_find(struct watching *w, uint32_t domid)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->domains[i].domid == domid)
			return &w->domains[i];
	return NULL;
}

static struct known *known_add(struct watching *w, uint32_t domid)
{
	w->domains = cli_must(reallocarray(w->domains, w->n + 1, sizeof(*w->domains)));
	w->domains[w->n] = (struct known){ .domid = domid, .here = true, .due = true };
	return &w->domains[w->n++];
}

static void domain_change(struct watching *w, struct known *k, const char *was, const char *is,
			  const char *reason)
{
	change_print(w, &(struct change){ .domid = k->domid,
					  .name = k->told ? k->picture.name : "",
					  .was = was,
					  .is = is,
					  .reason = reason });
}

static void known_remove(struct watching *w, struct known *k)
{
	domain_change(w, k, "there", NULL, NULL);
	if (k->told)
		config_picture_fini(&k->picture);
	*k = w->domains[--w->n];
}

/* Looks at a domain and tells what is new. An exit status where that cannot go on. */
static int domain_look(struct watching *w, struct known *k)
{
	struct drover_domain_config *config;
	struct config_picture now;
	int r = drover_config_retrieve(w->call.c, k->domid, DROVER_VIEW_LIVE, w->call.flags,
				       &config);

	if (r == -ECONNRESET || r == -ENOMEM || r == -ETIMEDOUT)
		return config_fail(&w->call, NULL, r);
	if (r) {
		if (r != k->err)
			domain_change(w, k, k->told ? "there" : NULL, "cannot be told",
				      drover_config_error(w->call.c));
		k->err = r;
		return 0;
	}
	r = config_picture_take(config, &now);
	drover_domain_config_free(config);
	if (r) {
		config_say(NULL, strerror(-r));
		return config_status(r);
	}
	if (k->told) {
		pictures_compare(w, &k->picture, &now);
		config_picture_fini(&k->picture);
	}
	k->picture = now;
	if (!k->told || k->err) {
		k->told = true;
		domain_change(w, k, k->err ? "cannot be told" : NULL, "there", NULL);
	}
	k->err = 0;
	return 0;
}

/* Those that came and those that went. */
static int domains_list(struct watching *w)
{
	uint32_t *domids;
	size_t n;
	int r = drover_config_domids(w->call.c, &domids, &n);

	if (r)
		return config_fail(&w->call, NULL, r);
	for (size_t i = 0; i < w->n; i++)
		w->domains[i].here = false;
	for (size_t i = 0; i < n; i++) {
		struct known *k = known_find(w, domids[i]);

		if (!k && (w->all || domids[i] == w->domid))
			known_add(w, domids[i]);
		else if (k)
			k->here = true;
	}
	free(domids);
	for (size_t i = w->n; i-- > 0;)
		if (!w->domains[i].here)
			known_remove(w, &w->domains[i]);
	return 0;
}

/* Looks at those that are due; the list itself where it changed, or one is not there any more. */
static int domains_look(struct watching *w, bool list)
{
	int status = list ? domains_list(w) : 0;

	for (size_t i = 0; i < w->n && !status; i++) {
		struct known *k = &w->domains[i];

		if (!k->due)
			continue;
		k->due = false;
		status = domain_look(w, k);
		list = list || k->err == -ENOENT || k->err == -EPROTO || k->err == -ESTALE;
	}
	return status || !list ? status : domains_list(w);
}

/* Whether a domain could not be told for a reason that goes without a change of anything. */
static bool again(const struct known *k)
{
	return k->err == -EBUSY || k->err == -EAGAIN;
}

/* How long to wait at most; those that are to be looked at again are due then. */
static uint32_t wait_ms(struct watching *w)
{
	uint32_t ms = UINT32_MAX;

	for (size_t i = 0; i < w->n; i++) {
		w->domains[i].due |= again(&w->domains[i]);
		ms = again(&w->domains[i]) ? WATCH_AGAIN_MS : ms;
	}
	return ms;
}

/*
 * Waits for a change, and takes with it those that are there already: a change of one device is
 * some twenty nodes. 0 or what drover_config_wait returned.
 */
static int changes_wait(struct watching *w, bool *ret_list)
{
	uint32_t domid, timeout_ms = wait_ms(w);
	int r;

	*ret_list = false;
	for (int i = 0; i < WATCH_BATCH; i++) {
		struct known *k;

		r = drover_config_wait(w->call.c, timeout_ms, &domid);
		if (r)
			return i && (r == -ETIMEDOUT || r == -EINTR) ? 0 : r;
		timeout_ms = 0;
		k = domid == UINT32_MAX ? NULL : known_find(w, domid);
		if (k)
			k->due = true;
		else
			*ret_list = true; /* one that is new, or something about any of them */
		for (size_t n = 0; domid == UINT32_MAX && n < w->n; n++)
			w->domains[n].due = true;
	}
	return 0;
}

static int watch_run(struct watching *w)
{
	uint32_t domid;
	bool list = true;
	int status, r = drover_config_wait(w->call.c, 0, &domid);

	if (r && r != -EAGAIN && r != -ETIMEDOUT)
		return config_fail(&w->call, NULL, r);
	status = domains_look(w, list);
	while (!status && !enough(w) && (w->all || w->n)) {
		r = changes_wait(w, &list);
		if (!r)
			status = domains_look(w, list);
		else if (r == -ETIMEDOUT)
			status = domains_look(w, false);
		else if (r != -EAGAIN && r != -EINTR)
			return config_fail(&w->call, NULL, r);
	}
	return status;
}

int cli_config_watch(int argc, char **argv)
{
	static const struct option options[] = { { "count", required_argument, NULL, 'n' },
						 CONFIG_OPTIONS };
	struct watching w = { .all = true };
	int c, status;

	while ((c = config_getopt(&w.call, argc, argv, "n:" CONFIG_LETTERS, options, &status)) !=
	       -1) {
		if (c != 'n')
			return status;
		if (!cli_number("config", "--count", optarg, 1000000000, &w.count))
			return CLI_USAGE;
	}
	if (argc - optind > 1)
		return cli_usage("config", "watch: one domain at most");
	status = config_open(&w.call);
	if (!status && optind < argc) {
		w.all = false;
		status = config_find(&w.call, argv[optind], &w.domid);
	}
	if (!status)
		status = watch_run(&w);
	for (size_t i = 0; i < w.n; i++)
		if (w.domains[i].told)
			config_picture_fini(&w.domains[i].picture);
	free(w.domains);
	config_close(&w.call);
	return status;
}
