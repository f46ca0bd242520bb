/* SPDX-License-Identifier: MIT */
/*
 * `drover config attach`, `detach` and `update`. Invariant: nothing is printed before the change
 * is whole, so that a reader that ends early cuts nothing short.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/config_words.h"
#include "cli/text.h"

DEFINE_CLEANUP(struct drover_device *, drover_device_free)
DEFINE_CLEANUP(struct drover_domain_config *, drover_domain_config_free)

/* DOM CLASS WORD... */
struct changing {
	struct config_call call;
	const char *verb;
	const char *dom, *class;
	char **words;
	int n;
	unsigned int flags;
	uint32_t domid;
};

/* Says which classes there are. */
static int no_class(const char *word)
{
	const char *class;
	size_t len;
	char *text;
	FILE *to = cli_must(open_memstream(&text, &len));

	fputs("no such class of devices; there are", to);
	for (size_t i = 0; (class = drover_class_name(i)); i++)
		fprintf(to, " %s", class);
	fclose(to);
	config_say(word, cli_must(text));
	free(text);
	return CLI_USAGE;
}

/* The operands, which are checked as far as they can be without a store. An exit status. */
static int changing_operands(struct changing *k, int argc, char **argv, const char *what)
{
	if (argc - optind < 3)
		return cli_usage("config", "%s: which domain, class and %s?", k->verb, what);
	k->dom = argv[optind];
	k->class = drover_class_find(argv[optind + 1]);
	if (!k->class)
		return no_class(argv[optind + 1]);
	k->words = argv + optind + 2;
	k->n = argc - optind - 2;
	return 0;
}

static int changing_options(struct changing *k, int argc, char **argv, bool force, int *ret_status)
{
	static const struct option options[] = { { "force", no_argument, NULL, 'f' },
						 CONFIG_OPTIONS };
	int c;

	/* Without --force: the table from its second entry on. */
	while ((c = config_getopt(&k->call, argc, argv, force ? "f" CONFIG_LETTERS : CONFIG_LETTERS,
				  options + (force ? 0 : 1), ret_status)) != -1) {
		if (c != 'f')
			return -1;
		k->flags |= DROVER_CHANGE_FORCE;
	}
	return 0;
}

/* "vbd xvdb attached to domain 7", or as an object. */
static int print_done(struct changing *k, const char *done, const char *id, const char *entry)
{
	struct json_object *o;
	char *text;

	if (!k->call.json) {
		text = cli_text_escape(id, strlen(id), false);
		printf("%s %s %s domain %" PRIu32 "\n", k->class, text, done, k->domid);
		free(text);
		return CLI_OK;
	}
	o = cli_must(json_object_new_object());
	config_json_add(o, "domid", cli_must(json_object_new_int64(k->domid)));
	config_json_add(o, "class", config_json_text(k->class));
	config_json_add(o, "id", config_json_text(id));
	if (entry)
		config_json_add(o, "entry", cli_must(json_tokener_parse(entry)));
	config_json_print(o);
	return CLI_OK;
}

static int print_device(struct changing *k, const char *done, struct drover_device *device)
{
	const char *id = drover_device_id(device);
	char *entry = NULL;

	if (k->call.json && drover_device_to_json(device, &entry))
		cli_must(NULL);
	print_done(k, done, id ? id : "?", entry);
	free(entry);
	return CLI_OK;
}

/* Opens the session and finds the domain. An exit status. */
static int changing_begin(struct changing *k)
{
	int r = config_open(&k->call);

	return r ? r : config_find(&k->call, k->dom, &k->domid);
}

/* A device from the words. An exit status. */
static int changing_device(struct changing *k, struct drover_device **ret)
{
	char *why = NULL;
	int r = config_words_device(k->call.c, k->class, k->words, k->n, ret, &why);

	if (r)
		config_say(NULL, why && *why ? why : strerror(-r));
	free(why);
	return r ? config_status(r) : 0;
}

static int attach_run(struct changing *k)
{
	CLEANUP(drover_device_free) struct drover_device *device = NULL;
	int r = changing_begin(k);

	if (!r)
		r = changing_device(k, &device);
	if (r)
		return r;
	r = drover_config_attach(k->call.c, k->domid, device, k->flags);
	if (r)
		return config_fail(&k->call, NULL, r);
	return print_device(k, "attached to", device);
}

int cli_config_attach(int argc, char **argv)
{
	struct changing k = { .verb = "attach" };
	int status;

	if (changing_options(&k, argc, argv, false, &status))
		return status;
	status = changing_operands(&k, argc, argv, "KEY=VALUE...");
	if (!status)
		status = attach_run(&k);
	config_close(&k.call);
	return status;
}

static int detach_run(struct changing *k)
{
	int r = changing_begin(k);

	if (r)
		return r;
	r = drover_config_detach(k->call.c, k->domid, k->class, k->words[0], k->flags);
	if (r)
		return config_fail(&k->call, NULL, r);
	return print_done(k, "detached from", k->words[0], NULL);
}

int cli_config_detach(int argc, char **argv)
{
	struct changing k = { .verb = "detach" };
	int status;

	if (changing_options(&k, argc, argv, true, &status))
		return status;
	status = changing_operands(&k, argc, argv, "device");
	if (!status && k.n > 1)
		status = cli_usage("config", "detach: one device");
	if (!status)
		status = detach_run(&k);
	config_close(&k.call);
	return status;
}

/* ---- update ---- */

/* Why the device is not among those of the live view, from the report. */
static int update_missing(struct changing *k, struct drover_domain_config *config, const char *id)
{
	size_t n = drover_domain_config_report_len(config);
	char *text;

	for (size_t i = 0; i < n; i++) {
		const struct drover_report_item *item = drover_domain_config_report(config, i);

		if (strcmp(item->class_name, k->class) || strcmp(item->id, id))
			continue;
		if (asprintf(&text, "%s %s of domain %" PRIu32 " is %s: %s", k->class, id, k->domid,
			     drover_verdict_name(item->verdict), item->reason) < 0)
			cli_must(NULL);
		config_say(NULL, text);
		free(text);
		return CONFIG_REFUSED;
	}
	if (asprintf(&text, "domain %" PRIu32 " has no %s %s", k->domid, k->class, id) < 0)
		cli_must(NULL);
	config_say(NULL, text);
	free(text);
	return CONFIG_REFUSED;
}

static struct drover_device *update_find(struct changing *k, struct drover_domain_config *config,
					 const char *id)
{
	size_t n = drover_domain_config_devices(config, k->class);

	for (size_t i = 0; i < n; i++) {
		struct drover_device *d = drover_domain_config_device(config, k->class, i);
		const char *its = d ? drover_device_id(d) : NULL;

		if (its && !strcmp(its, id))
			return d;
	}
	return NULL;
}

/* The words as fields over those that the device has now. *ret is the configuration's. */
static int update_fields(struct changing *k, struct drover_domain_config *config, const char *id,
			 char **words, int n, struct drover_device **ret)
{
	struct drover_device *device = update_find(k, config, id);
	const char *word, *its;
	int r;

	if (!device)
		return update_missing(k, config, id);
	r = config_words_fields(k->call.c, device, words, n, &word);
	if (!r) {
		its = drover_device_id(device);
		if (!its || strcmp(its, id))
			return cli_usage("config",
					 "update: with these fields it would not be %s %s",
					 k->class, id);
		*ret = device;
		return 0;
	}
	if (strchr(word, '='))
		return config_fail(&k->call, NULL, r);
	config_say(word, "no KEY=VALUE");
	return CLI_USAGE;
}

/*
 * The device as it is to be: of "ID KEY=VALUE..." and of fields alone, which must name it, what it
 * has now with the fields changed; of xl's words, what they say and nothing else.
 */
static int update_device(struct changing *k, struct drover_domain_config *config,
			 struct drover_device **ret_own, struct drover_device **ret)
{
	bool fields = true, named = !strchr(k->words[0], '=') && !strchr(k->words[0], ',');
	const char *id;
	int r;

	if (named && k->n == 1)
		return cli_usage("config", "update: which KEY=VALUE of %s?", k->words[0]);
	if (named)
		return update_fields(k, config, k->words[0], k->words + 1, k->n - 1, ret);
	r = changing_device(k, ret_own);
	if (r)
		return r;
	for (int i = 0; i < k->n; i++)
		fields = fields && config_word_is_field(k->words[i]);
	*ret = *ret_own;
	if (!fields)
		return 0;
	id = drover_device_id(*ret_own);
	if (!id)
		return cli_usage("config", "update: none of the fields says which device");
	return update_fields(k, config, id, k->words, k->n, ret);
}

static int update_run(struct changing *k)
{
	CLEANUP(drover_domain_config_free) struct drover_domain_config *config = NULL;
	CLEANUP(drover_device_free) struct drover_device *own = NULL;
	struct drover_device *device = NULL;
	int r = changing_begin(k);

	if (r)
		return r;
	r = drover_config_retrieve(k->call.c, k->domid, DROVER_VIEW_LIVE, k->call.flags, &config);
	if (r)
		return config_fail(&k->call, NULL, r);
	r = update_device(k, config, &own, &device);
	if (r)
		return r;
	r = drover_config_update(k->call.c, k->domid, device, k->flags);
	if (r)
		return config_fail(&k->call, NULL, r);
	return print_device(k, "updated in", device);
}

int cli_config_update(int argc, char **argv)
{
	struct changing k = { .verb = "update" };
	int status;

	if (changing_options(&k, argc, argv, false, &status))
		return status;
	status = changing_operands(&k, argc, argv, "KEY=VALUE...");
	if (!status)
		status = update_run(&k);
	config_close(&k.call);
	return status;
}
