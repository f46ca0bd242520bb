/* SPDX-License-Identifier: MIT */
/*
 * The parts of `drover config`, and what they share. argv[0] is "config", for help. They return
 * an exit status of their own: 0 done; 1 (CLI_FAILED) there are differences or faults, or the
 * output could not be written; 2 (CLI_USAGE) the words are wrong; CONFIG_REFUSED the world is not
 * as it would have to be. After 2 and CONFIG_REFUSED nothing is changed.
 */
#ifndef DROVER_CLI_CONFIG_H
#define DROVER_CLI_CONFIG_H

#include <drover/config.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_REFUSED 3

int cli_config_list(int argc, char **argv);
int cli_config_show(int argc, char **argv);
int cli_config_diff(int argc, char **argv);
int cli_config_check(int argc, char **argv);
int cli_config_repair(int argc, char **argv);
int cli_config_attach(int argc, char **argv);
int cli_config_detach(int argc, char **argv);
int cli_config_update(int argc, char **argv);
int cli_config_watch(int argc, char **argv);
int cli_config_canon(int argc, char **argv);
int cli_config_locks(int argc, char **argv);
int cli_config_record(int argc, char **argv);

/* What a part was called with, and its session. Zeroed, then config_getopt. */
struct config_call {
	struct drover_config_options opt;
	bool json;
	unsigned int flags;	 /* of retrieving: DROVER_RETRIEVE_DEGRADED */
	struct drover_config *c; /* owned */
};

/* Letters and options of all parts, behind a part's own. */
#define CONFIG_LETTERS "s:d:h"
enum {
	CONFIG_OPT_LOCK = 256,
	CONFIG_OPT_BACKEND,
	CONFIG_OPT_SCRIPTS,
	CONFIG_OPT_DEGRADED,
	CONFIG_OPT_JSON,
	CONFIG_OPT_OWN
};
#define CONFIG_OPTIONS                                                                             \
	{ "socket", required_argument, NULL, 's' }, { "userdata", required_argument, NULL, 'd' },  \
		{ "lock-timeout", required_argument, NULL, CONFIG_OPT_LOCK },                      \
		{ "backend-timeout", required_argument, NULL, CONFIG_OPT_BACKEND },                \
		{ "no-scripts", no_argument, NULL, CONFIG_OPT_SCRIPTS },                           \
		{ "degraded", no_argument, NULL, CONFIG_OPT_DEGRADED },                            \
		{ "json", no_argument, NULL, CONFIG_OPT_JSON },                                    \
		{ "help", no_argument, NULL, 'h' },                                                \
	{                                                                                          \
		0                                                                                  \
	}

/* As cli_getopt, for a part's own options; those of all are put into call. */
int config_getopt(struct config_call *call, int argc, char **argv, const char *letters,
		  const struct option *options, int *ret_status);

/* Opens the session. 0, or an exit status, and why was said. */
int config_open(struct config_call *call);
void config_close(struct config_call *call);

/*
 * Says why the last call of the session failed, and `where` (may be NULL) in front; err is what
 * it returned. The exit status.
 */
int config_fail(struct config_call *call, const char *where, int err);

/* The exit status that an error means. */
int config_status(int err);

/* The domid of a domain named by the user. 0, or an exit status, and why was said. */
int config_find(struct config_call *call, const char *word, uint32_t *ret_domid);

/* ---- many domains ---- */

/*
 * The domids that n words name, or of all of the store where n is 0; each once, ascending, to be
 * freed. 0, or an exit status, and why was said.
 */
int config_domids(struct config_call *call, char **words, int n, uint32_t **ret, size_t *ret_n);

/* One of them: its configuration (the callee's) or why there is none, which is borrowed. */
typedef void config_each_fn(void *data, uint32_t domid, int err, const char *why,
			    struct drover_domain_config *config);

/*
 * Retrieves those that the n words name, or all of the store where n is 0. One that went while
 * they were read is passed over; of those that were named, one that is not there, is locked or
 * cannot be read ends it. Returns 0, or an exit status, and why was said.
 */
int config_each(struct config_call *call, char **words, int n, enum drover_config_view view,
		config_each_fn *fn, void *data);

/*
 * Whether it is a fault that there is no configuration: domain 0 was made by nobody and may have
 * none.
 */
bool config_is_fault(uint32_t domid, int err);

/* ---- output ---- */

/* "DOM: WHY", escaped, to stderr. */
void config_say(const char *where, const char *why);

/* A string, escaped where it is no UTF-8; NULL as null. */
struct json_object *config_json_text(const char *text);

/* Adds a member that the object takes over. */
void config_json_add(struct json_object *o, const char *name, struct json_object *member);

/* Prints it, and frees it. */
void config_json_print(struct json_object *o);

/* {"domid":7,"error":"EBADMSG","why":"..."} */
struct json_object *config_json_error(uint32_t domid, int err, const char *why);

#endif
