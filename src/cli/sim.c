/* SPDX-License-Identifier: MIT */
/*
 * `drover sim`: what a toolstack does with domains, on a simulated hypervisor.
 *
 * Invariant: a command that fails says what was done and what was not.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/sim_backend.h"
#include "cli/sim_client.h"
#include "cli/sim_config.h"
#include "cli/sim_run.h"
#include "hv/hv.h"
#include "hv/sim/sim.h"
#include "wire/wire.h"

#define SIM_DIR "/run/drover/sim"
#define SOCKET_PATH "/run/xenstored/socket"

struct sim_args {
	const char *dir;
	char socket[256];
	const char *from; /* another host, to take a domain's page from */
	bool no_introduce;
	bool as_left;
	const char *config, *userdata; /* of create */
	struct sim_backend_options backend;
	int argc; /* operands: the command, its arguments */
	char **argv;
	int script_argc; /* after -- */
	char **script;
};

static int usage(FILE *to)
{
	fprintf(to,
		"usage: drover sim [--dir DIR] [--socket PATH] COMMAND\n"
		"  create [DOMID] [--no-introduce]  a new domain, made known to the daemon, with\n"
		"                                   /local/domain/DOMID as its own\n"
		"  create DOMID --from DIR          the same domain of another host, with its\n"
		"                                   ring, not introduced\n"
		"  create DOMID --config FILE [--userdata DIR]\n"
		"                                   a new domain with the keys and the record in\n"
		"                                   DIR (/var/lib/xen) that libxl would give it;\n"
		"                                   FILE: its configuration as JSON\n"
		"  list                             all domains\n"
		"  introduce DOMID | release DOMID  to the daemon\n"
		"  shutdown DOMID | resume DOMID    as the guest would\n"
		"  destroy DOMID                    ends it\n"
		"  run DOMID [--as-left] -- OP…     speaks as that guest, over its ring: anew, or\n"
		"                                   on from where its last speaker stopped\n"
		"%s"
		"  backend DOMID [OPTION]…          plays that domain's backend drivers, until\n"
		"                                   SIGTERM, SIGINT or the end of a pipe as stdin\n"
		"    --of GUEST, --kinds vbd,vif      for those devices alone\n"
		"    --delay MS                       waits so long before each answer\n"
		"    --refuse TEXT                    refuses new devices, with this reason\n"
		"    --frontends                      plays the guests' side, too\n"
		"DIR: $DROVER_SIM_DIR, else %s, the daemon's --hv=sim:DIR.\n"
		"PATH: $XENSTORED_PATH, else %s.\n",
		sim_run_usage, SIM_DIR, SOCKET_PATH);
	return to == stdout ? 0 : 2;
}

static int fail(const char *what, int r)
{
	fprintf(stderr, "drover sim: %s: %s\n", what, strerror(r < 0 ? -r : r));
	return 1;
}

/* A domid, -1 where the word is none. */
static int32_t domid_parse(const char *word)
{
	unsigned long domid;
	char *end;

	errno = 0;
	domid = strtoul(word, &end, 10);
	if (errno || *end || end == word || *word == '-' || domid >= HV_DOMID_FIRST_RESERVED) {
		fprintf(stderr, "drover sim: %s: not a domid (0 to %u)\n", word,
			HV_DOMID_FIRST_RESERVED - 1u);
		return -1;
	}
	return (int32_t)domid;
}

static int toolstack_connect(const struct sim_args *args, struct sim_client **ret)
{
	int r = sim_client_connect(args->socket, ret);

	if (r)
		fprintf(stderr, "drover sim: no daemon at %s: %s\n", args->socket, strerror(-r));
	return r;
}

/* One request whose payload is `text`, len octets; what was refused is said. */
static int request(struct sim_client *c, const char *what, uint32_t type, uint32_t tx_id,
		   const char *text, size_t len)
{
	struct sim_reply reply;
	int r = sim_client_call(c, type, tx_id, text, len, &reply);

	if (r > 0)
		fprintf(stderr, "drover sim: %s refused: %s\n", what, wire_errno_name(r));
	else if (r)
		fail(what, r);
	return r;
}

/* INTRODUCE, and a home that the domain owns. */
static int domain_introduce(const struct sim_args *args, uint16_t domid)
{
	struct sim_client *c;
	char text[128];
	int r, n;

	r = toolstack_connect(args, &c);
	if (r)
		return r;
	n = snprintf(text, sizeof(text), "%u%c%u%c%u", domid, 0, SIM_XS_GFN, 0, SIM_XS_PORT);
	r = request(c, "INTRODUCE", XS_INTRODUCE, 0, text, (size_t)n + 1);
	if (!r) {
		n = snprintf(text, sizeof(text), "/local/domain/%u", domid);
		r = request(c, "making its home", XS_MKDIR, 0, text, (size_t)n + 1);
	}
	if (!r) {
		n = snprintf(text, sizeof(text), "/local/domain/%u%cn%u", domid, 0, domid);
		r = request(c, "giving it its home", XS_SET_PERMS, 0, text, (size_t)n + 1);
	}
	sim_client_free(c);
	return r;
}

/* The ring page, as the domain with that id has it on another host, where nobody speaks as it. */
static int copy_page(const struct sim_args *args, uint16_t domid)
{
	struct sim_guest *from, *to;
	int r;

	r = sim_guest_open(args->from, domid, &from);
	if (r)
		return r;
	r = sim_guest_open(args->dir, domid, &to);
	if (!r) {
		memcpy(sim_guest_page(to), sim_guest_page(from),
		       sizeof(struct xenstore_domain_interface));
		sim_guest_close(to);
	}
	sim_guest_close(from);
	return r;
}

/* What follows the creation of a domain: the daemon hears of it, it gets its keys. */
static int make_known(const struct sim_args *args, struct sim *s, uint16_t domid)
{
	if (!args->no_introduce && domain_introduce(args, domid)) {
		printf("domain %u: created, not introduced; 'drover sim introduce' tries again\n",
		       domid);
		return 1;
	}
	if (args->config && sim_config_create(args->socket, args->userdata, domid, args->config)) {
		sim_domain_destroy(s, domid);
		return 1;
	}
	if (args->config)
		printf("domain %u: created, %sintroduced, has keys and record\n", domid,
		       args->no_introduce ? "not " : "");
	else if (args->no_introduce)
		printf("domain %u: created, not introduced\n", domid);
	else
		printf("domain %u: created, introduced, owns /local/domain/%u\n", domid, domid);
	return 0;
}

static int cmd_create(const struct sim_args *args, struct sim *s)
{
	int32_t want = args->argc > 1 ? domid_parse(args->argv[1]) : 0;
	uint16_t domid;
	int r;

	if (want < 0 || (args->argc > 1 && !want))
		return want ? 2 : fail("domain 0", EEXIST);
	if ((args->from || args->config) && !want)
		return usage(stderr);
	r = sim_domain_create(s, (uint16_t)want, &domid);
	if (r == -EEXIST)
		fprintf(stderr, "drover sim: domain %d exists already\n", want);
	else if (r)
		fail("create", r);
	if (r)
		return 1;
	if (args->from) {
		r = copy_page(args, domid);
		if (r) {
			sim_domain_destroy(s, domid);
			return fail(args->from, r);
		}
	}
	if (args->from) {
		printf("domain %u: created, not introduced\n", domid);
		return 0;
	}
	return make_known(args, s, domid);
}

static int cmd_list(const struct sim_args *args, struct sim *s)
{
	struct sim_dominfo d;

	(void)args;
	printf("%5s  %-9s  %s\n", "DOMID", "STATE", "INTRODUCED");
	for (uint32_t from = 0; sim_domain_next(s, from, &d); from = d.domid + 1u)
		printf("%5u  %-9s  %s\n", d.domid,
		       d.dying	    ? "dying"
		       : d.shutdown ? "shut down"
				    : "running",
		       d.bound ? "yes" : "no");
	return 0;
}

static int cmd_change(const struct sim_args *args, struct sim *s)
{
	static const struct {
		const char *name;
		int (*change)(struct sim *s, uint16_t domid);
		const char *done;
	} changes[] = {
		{ "shutdown", sim_domain_shutdown, "shut down" },
		{ "resume", sim_domain_resume, "running" },
		{ "destroy", sim_domain_destroy, "destroyed" },
	};
	int32_t domid = domid_parse(args->argv[1]);
	int r = 0;

	if (domid < 0)
		return 2;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		if (strcmp(changes[i].name, args->argv[0]))
			continue;
		r = changes[i].change(s, (uint16_t)domid);
		if (r == -ENOENT)
			fprintf(stderr, "drover sim: domain %d does not exist\n", domid);
		else if (r)
			fail(args->argv[0], r);
		else
			printf("domain %d: %s\n", domid, changes[i].done);
		break;
	}
	return r ? 1 : 0;
}

static int cmd_introduce(const struct sim_args *args, struct sim *s)
{
	int32_t domid = domid_parse(args->argv[1]);

	(void)s;
	if (domid < 0)
		return 2;
	if (domain_introduce(args, (uint16_t)domid))
		return 1;
	printf("domain %d: introduced, owns /local/domain/%d\n", domid, domid);
	return 0;
}

static int cmd_release(const struct sim_args *args, struct sim *s)
{
	int32_t domid = domid_parse(args->argv[1]);
	struct sim_client *c;
	char text[16];
	int r, n;

	(void)s;
	if (domid < 0)
		return 2;
	r = toolstack_connect(args, &c);
	if (r)
		return 1;
	n = snprintf(text, sizeof(text), "%d", domid);
	r = request(c, "RELEASE", XS_RELEASE, 0, text, (size_t)n + 1);
	sim_client_free(c);
	if (!r)
		printf("domain %d: released\n", domid);
	return r ? 1 : 0;
}

static int cmd_run(const struct sim_args *args, struct sim *s)
{
	int32_t domid = domid_parse(args->argv[1]);
	struct sim_client *c;
	int r;

	(void)s;
	if (domid < 0 || !args->script_argc)
		return domid < 0 ? 2 : usage(stderr);
	r = sim_client_guest(args->dir, (uint16_t)domid, args->as_left, &c);
	if (r == -ENOENT)
		fprintf(stderr, "drover sim: domain %d does not exist\n", domid);
	else if (r == -ENOTCONN)
		fprintf(stderr, "drover sim: domain %d is not introduced to a daemon\n", domid);
	else if (r == -EBUSY)
		fprintf(stderr, "drover sim: another program speaks as domain %d\n", domid);
	else if (r)
		fail("ring", r);
	if (r)
		return 1;
	r = sim_run_script(c, (uint16_t)domid, args->script_argc, args->script);
	sim_client_free(c);
	return r;
}

/* Needs a daemon, and no simulated hypervisor. */
static int cmd_backend(const struct sim_args *args, struct sim *s)
{
	struct sim_backend_options opt = args->backend;
	int32_t domid = domid_parse(args->argv[1]);

	(void)s;
	if (domid < 0)
		return 2;
	opt.socket = args->socket;
	opt.domid = (uint32_t)domid;
	return sim_backend_run(&opt);
}

static const struct {
	const char *name;
	int min, max; /* arguments */
	int (*run)(const struct sim_args *args, struct sim *s);
	bool alone; /* without a simulated hypervisor */
} commands[] = {
	{ "create", 0, 1, cmd_create, false },	     { "list", 0, 0, cmd_list, false },
	{ "introduce", 1, 1, cmd_introduce, false }, { "release", 1, 1, cmd_release, false },
	{ "shutdown", 1, 1, cmd_change, false },     { "resume", 1, 1, cmd_change, false },
	{ "destroy", 1, 1, cmd_change, false },	     { "run", 1, 1, cmd_run, false },
	{ "backend", 1, 1, cmd_backend, true },
};

static void args_defaults(struct sim_args *args)
{
	const char *dir = getenv("DROVER_SIM_DIR"), *path = getenv("XENSTORED_PATH");
	const char *rundir = getenv("XENSTORED_RUNDIR");

	args->backend.of = -1;
	args->dir = dir && *dir ? dir : SIM_DIR;
	if (path && *path)
		snprintf(args->socket, sizeof(args->socket), "%s", path);
	else if (rundir && *rundir)
		snprintf(args->socket, sizeof(args->socket), "%s/socket", rundir);
	else
		snprintf(args->socket, sizeof(args->socket), "%s", SOCKET_PATH);
}

/* An option of `backend` at argv[0], with its value at argv[1]. How many words; 0: none of them. */
static int backend_option(struct sim_backend_options *opt, char **argv)
{
	char *end = NULL;
	unsigned long n;

	if (!strcmp(argv[0], "--frontends")) {
		opt->frontends = true;
		return 1;
	}
	if (!argv[1])
		return 0;
	if (!strcmp(argv[0], "--kinds"))
		opt->kinds = argv[1];
	else if (!strcmp(argv[0], "--refuse"))
		opt->refuse = argv[1];
	else if (!strcmp(argv[0], "--of") || !strcmp(argv[0], "--delay")) {
		errno = 0;
		n = strtoul(argv[1], &end, 10);
		if (errno || *end || end == argv[1] || *argv[1] == '-' || n > INT32_MAX)
			return 0;
		if (!strcmp(argv[0], "--of"))
			opt->of = (int64_t)n;
		else
			opt->delay_ms = (uint32_t)n;
	} else
		return 0;
	return 2;
}

/* Options, anywhere before "--", out of argv; 0, or 2 for wrong ones, 1 for help. */
static int args_parse(struct sim_args *args, int argc, char **argv)
{
	args_defaults(args);
	args->argv = argv + 1;
	for (int i = 1; i < argc; i++) {
		int words = backend_option(&args->backend, argv + i);

		if (words) {
			i += words - 1;
			continue;
		}
		if (!strcmp(argv[i], "--")) {
			args->script_argc = argc - i - 1;
			args->script = argv + i + 1;
			break;
		}
		if (!strcmp(argv[i], "--no-introduce"))
			args->no_introduce = true;
		else if (!strcmp(argv[i], "--as-left"))
			args->as_left = true;
		else if (!strcmp(argv[i], "--from") && i + 1 < argc)
			args->from = argv[++i];
		else if (!strcmp(argv[i], "--config") && i + 1 < argc)
			args->config = argv[++i];
		else if (!strcmp(argv[i], "--userdata") && i + 1 < argc)
			args->userdata = argv[++i];
		else if (!strcmp(argv[i], "--dir") && i + 1 < argc)
			args->dir = argv[++i];
		else if (!strcmp(argv[i], "--socket") && i + 1 < argc)
			snprintf(args->socket, sizeof(args->socket), "%s", argv[++i]);
		else if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return 1;
		else if (argv[i][0] == '-')
			return 2;
		else
			args->argv[args->argc++] = argv[i];
	}
	return 0;
}

int cli_sim(int argc, char **argv)
{
	struct sim_args args = { 0 };
	struct sim *s;
	int r;

	r = args_parse(&args, argc, argv);
	if (r || !args.argc)
		return usage(r == 1 ? stdout : stderr);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, args.argv[0]))
			continue;
		if (args.argc - 1 < commands[i].min || args.argc - 1 > commands[i].max)
			return usage(stderr);
		if (commands[i].alone)
			return commands[i].run(&args, NULL);
		r = sim_open(args.dir, &s);
		if (r)
			return fail(args.dir, r);
		r = commands[i].run(&args, s);
		sim_close(s);
		return r;
	}
	return usage(stderr);
}
