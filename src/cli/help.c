/* SPDX-License-Identifier: MIT */
/*
 * The table of commands and what is told about them. Invariant: a command that can be run has a
 * help text, which names all of its options.
 */
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cli/cli.h"
#include "cli/command.h"

static int run_help(int argc, char **argv)
{
	if (argc > 2)
		return cli_usage("help", "one command at most");
	if (argc == 2 && !strcmp(argv[1], "sim")) {
		char *sim[] = { argv[1], "--help", NULL };

		optind = 1;
		return cli_sim(2, sim);
	}
	if (cli_help(stdout, argc > 1 ? argv[1] : NULL))
		return CLI_OK;
	fprintf(stderr, "drover: '%s' is not a command; 'drover help' lists them\n", argv[1]);
	return CLI_USAGE;
}

static int run_version(int argc, char **argv)
{
	if (argc > 1)
		return cli_usage(argv[0], "'%s' is not expected", argv[1]);
	printf("drover %s\n", DROVER_VERSION);
	return CLI_OK;
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *operands;
	const char *summary;
	const char *options; /* lines for help NAME; NULL: none */
} commands[] = {
	{ "ls", cli_ls, "[-p] [-f] [--json] [--depth N] [--consistent] [PATH]",
	  "the tree at PATH (/), with its values",
	  "  -p, --perms       permissions in front, e.g. n0,r5: owner and everybody else's,\n"
	  "                    then one entry for each other domain\n"
	  "  -f, --full        whole paths, one a line\n"
	  "      --json        nested objects: value (value_base64 where it is no UTF-8),\n"
	  "                    perms, children\n"
	  "      --depth N     N levels below PATH\n"
	  "      --consistent  all of it as it was at one moment\n" },
	{ "read", cli_read, "[-r] [-p] PATH...", "values of nodes",
	  "  -r, --raw    the octets as they are, no newline\n"
	  "  -p, --paths  PATH = in front of each value\n" },
	{ "write", cli_write, "PATH VALUE [PATH VALUE]... | --stdin PATH",
	  "sets values; several are set together or not at all",
	  "  -i, --stdin  the value is standard input\n" },
	{ "rm", cli_rm, "PATH...", "removes nodes and all below them", NULL },
	{ "chmod", cli_chmod, "[-r] PATH PERM...", "sets permissions",
	  "PERM is n (none), r, w or b (both) and a domid. The first names the owner and what\n"
	  "everybody else may, the others what one domain may.\n"
	  "  -r, --recursive  PATH and all below it\n" },
	{ "watch", cli_watch, "[--count N] [--depth N] PATH...",
	  "events as they come: time, path, token",
	  "Each PATH gives an event at once; the token is the PATH itself.\n"
	  "  -n, --count N  ends after N events\n"
	  "      --depth N  only changes N levels below PATH at most; not known to old daemons\n" },
	{ "stat", cli_stat, "[PATH...]",
	  "owner, permissions in words, sizes; without PATH, of the daemon", NULL },
	{ "top", cli_top, "[--once] [--interval S] [--sort COLUMN]",
	  "domains, live: what they hold, ask and are refused",
	  "      --once        one table, with totals in place of rates\n"
	  "  -d, --interval S  seconds between two looks (2)\n"
	  "      --sort COL    domain nodes bytes watches transactions queued refusals\n"
	  "                    requests eagains\n"
	  "Keys: q ends it, s sorts by the next column, space looks at once.\n" },
	{ "metrics", cli_metrics, "[--output FILE]", "the daemon's counters as OpenMetrics text",
	  "  -o, --output FILE  replaces FILE as a whole, for a textfile collector\n" },
	{ "control", cli_control, "COMMAND [ARGUMENT]...",
	  "a CONTROL command of the daemon; 'drover control help' lists them", NULL },
	{ "update", cli_update, "[--timeout S] [--options WORDS] [FILE]",
	  "another program takes the daemon's place, and nobody notices",
	  "FILE: by default the one that runs, as it is on disk now. It is tried first;\n"
	  "whatever it does wrong leaves the daemon as it is.\n"
	  "  -t, --timeout S      seconds for all of it (60)\n"
	  "  -c, --options WORDS  its command line, in one word; default: the running one's\n" },
	{ "adopt", cli_adopt, "[OPTION]...",
	  "drover-xenstored in the place of the xenstored that runs, live",
	  "Looks at who serves and checks all that can be found out before; then asks for it,\n"
	  "compares the tree, and has ours started at the next boot.\n"
	  "  -n, --dry-run        checks only, changes nothing\n"
	  "  -t, --timeout S      how long open transactions may take to end (60)\n"
	  "  -F, --force          those that are open then are lost\n"
	  "      --program FILE   in place of /usr/sbin/drover-xenstored\n"
	  "      --options WORDS  further ones for it\n"
	  "      --no-boot        the next boot is as the last one\n"
	  "      --boot-file FILE where XENSTORED= is: /etc/default/xen, /etc/default/xencommons\n"
	  "                       or /etc/sysconfig/xencommons, whichever comes first\n"
	  "      --json           findings for programs\n" },
	{ "unadopt", cli_unadopt, "[OPTION]...", "C xenstored in the place of ours, live",
	  "  -n, --dry-run        checks only, changes nothing\n"
	  "  -t, --timeout S      how long open transactions may take to end (60)\n"
	  "  -F, --force          those that are open then are lost\n"
	  "      --to FILE        in place of the one that was there before adopt\n"
	  "      --options WORDS  further ones for it\n"
	  "      --no-boot        the next boot is as the last one\n"
	  "      --boot-file FILE as for adopt\n"
	  "      --boot-only      the next boot is as before adopt, and nothing else is done\n"
	  "      --json           findings for programs\n" },
	{ "domain", cli_domain, "COMMAND [OPTION]...",
	  "one domain's share of the store, from one daemon to another",
	  "  quiesce DOMID    finishes its requests, then leaves its ring alone; unquiesce DOMID\n"
	  "  export DOMID     quiesces it and writes its image; it stays quiesced\n"
	  "  import [FILE]    makes of an image what it was made of, all or nothing, for a\n"
	  "                   domain that is quiesced, and introduced\n"
	  "export:\n"
	  "      --with PATH        this subtree, too; may be repeated\n"
	  "  -o, --output FILE      in place of standard output\n"
	  "      --unquiesce        it goes on here\n"
	  "import:\n"
	  "      --as DOMID         for another domid: permissions, paths and values that name\n"
	  "                         it are mapped, and each change is said\n"
	  "      --introduce GFN:PORT\n"
	  "                         quiesces and introduces it first, and sets it going\n"
	  "      --unquiesce        sets it going\n" },
	{ "config", cli_config, "COMMAND [OPTION]... [OPERAND]...",
	  "configurations of domains: the record, the live store, and verdicts on both",
	  "  list [-l] [DOM...]   a row for each domain; -l: all of it, as 'xl list -l' prints it\n"
	  "  show DOM             what it has now; --persistent: what its record says\n"
	  "  diff DOM             the two side by side, where they differ; --full: all\n"
	  "  check [DOM...]       a verdict on each device; --faults: on those that need repair\n"
	  "  repair DOM...|--all  makes the two agree; -n, --dry-run: tells what it would do;\n"
	  "                       --force: what a backend that is gone keeps goes, too\n"
	  "  attach DOM CLASS KEY=VALUE...\n"
	  "                       a device; a disk or nic also in xl's words:\n"
	  "                       phy:/dev/vg/x,xvdb,w\n"
	  "  detach DOM CLASS ID  --force: without asking its backend\n"
	  "  update DOM CLASS ID KEY=VALUE...\n"
	  "  watch [DOM]          changes as they happen; -n, --count N: ends after N lines\n"
	  "  locks                lock files and intents, and who holds them\n"
	  "  record create DOM FILE | destroy DOMID UUID\n"
	  "  canon FILE           a record as libxl would write it\n"
	  "DOM is a domid, a name or a uuid, FILE may be -.\n"
	  "  -d, --userdata DIR   where the records are (/var/lib/xen)\n"
	  "      --json           for programs\n"
	  "      --xl             show: as a file for xl create\n"
	  "      --layout L       show --json, canon: as libxl 4.17 or newest writes it\n"
	  "      --live           show: what it has now, which is the default\n"
	  "      --long           as -l\n"
	  "      --all            check, repair: all domains\n"
	  "      --degraded       a domain whose record is no good: what the store tells\n"
	  "      --no-scripts     hotplug scripts are somebody else's\n"
	  "      --lock-timeout MS, --backend-timeout MS\n"
	  "                       how long to wait for a lock, or for a backend (10000)\n"
	  "Exit status: 0 done, 1 there are faults or differences, 2 the words are wrong,\n"
	  "3 refused: no such domain, a lock that is held, a store or a backend that does\n"
	  "not answer.\n" },
	{ "migrate", cli_migrate, "[OPTION]... GUEST DEST",
	  "a running guest to another daemon, named by its URI",
	  "GUEST is a name, a uuid or an id; DEST and URI are libvirt's: xen:///system,\n"
	  "qemu+tls://host/system, qemu+unix:///system?socket=PATH.\n"
	  "  -c, --connect URI    the source ($LIBVIRT_DEFAULT_URI, else this host)\n"
	  "      --live           while it runs\n"
	  "      --persistent     it is defined there\n"
	  "      --undefinesource and no more here\n"
	  "      --suspend        it stays paused there\n"
	  "      --offline        its definition alone; needs --persistent\n"
	  "      --unsafe         also where something does not come along\n"
	  "      --abort-on-error, --auto-converge, --compressed\n"
	  "                       as virsh has them\n"
	  "      --bandwidth MIB  a second, at most\n"
	  "      --downtime MS    that it may stand still, at most\n"
	  "      --dname NAME     its name there\n"
	  "      --xml FILE       its definition there\n"
	  "      --migrateuri URI where its memory is sent\n"
	  "      --timeout S      then it is called off\n"
	  "      --settle S       how long to ask who has it, where that is not clear (30)\n"
	  "      --json           the outcome for programs\n"
	  "  -q, --quiet          no progress\n"
	  "Ctrl-C calls it off, and waits for what the daemons say.\n"
	  "Exit status: 0 it moved, 1 it stayed, 2 the words are wrong, 3 not settled: see\n"
	  "'drover migrations'.\n" },
	{ "migrations", cli_migrations, "[-c URI] [--open] [--json] [--watch] [ID]",
	  "migrations a daemon knows: phase, peer, what they wait for",
	  "  -c, --connect URI  the daemon ($LIBVIRT_DEFAULT_URI, else this host's)\n"
	  "  -o, --open         those that are not done\n"
	  "      --json         for programs\n"
	  "  -w, --watch        again whenever time has passed\n"
	  "ID: the first digits of one: its timeline.\n" },
	{ "image", cli_image, "COMMAND [OPTION]... FILE...",
	  "images of a store or a domain, and libxl streams: look, check, convert, compare",
	  "  dump FILE                  its records, a line each; --json\n"
	  "  verify FILE...             says whether they are good, or what is not\n"
	  "  convert IN OUT             another --layout upstream|seed, --version 1|2 or --endian\n"
	  "                             little|big, or what a reader needs: --for upstream-4.17,\n"
	  "                             upstream-4.22, drover; --read-layout is that of IN\n"
	  "  diff A B                   what only one of them says; fails if there is anything\n"
	  "  embed LIBXL_IN IMAGE OUT   a domain's image into a libxl stream or a file of xl save\n"
	  "  extract LIBXL_IN [IMAGE_OUT] OUT\n"
	  "                             and out of it again; OUT is without it\n"
	  "FILE may be -, standard input or output.\n"
	  "      --layout L    of images that are read or written: upstream, seed\n"
	  "      --scope S     of images read: store, domain; auto looks at the first record\n"
	  "      --loose       dump, verify: records in any order, and without those they need\n"
	  "      --form F      of the data in a libxl stream: binary, absolute, relative\n"
	  "      --domid N     whose data it is, where it does not say so\n" },
	{ "sim", cli_sim, "COMMAND [ARGUMENT]...", "domains of the simulated hypervisor", NULL },
	{ "help", run_help, "[COMMAND]", "this, or more about a command", NULL },
	{ "version", run_version, "", "which version this is", NULL },
};

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static void help_all(FILE *to)
{
	fputs("usage: drover [-s SOCKET] COMMAND [ARGUMENT]...\n\n", to);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("\nSOCKET: $XENSTORED_PATH, else socket in $XENSTORED_RUNDIR, else in\n"
	      "/run/xenstored. Exit status: 0 done, 1 refused or failed, 2 wrong usage.\n",
	      to);
}

bool cli_help(FILE *to, const char *name)
{
	const struct command *c;

	if (!name) {
		help_all(to);
		return true;
	}
	c = command_find(name);
	if (!c)
		return false;
	fprintf(to, "usage: drover %s%s%s\n%s\n", name, *c->operands ? " " : "", c->operands,
		c->summary);
	if (c->options)
		fprintf(to, "\n%s", c->options);
	return true;
}

int cli_run(int argc, char **argv)
{
	const struct command *c = command_find(argv[0]);

	if (!c) {
		fprintf(stderr, "drover: '%s' is not a command; 'drover help' lists them\n",
			argv[0]);
		return CLI_USAGE;
	}
	optind = 0; /* getopt starts anew, with the command's own argv */
	return c->run(argc, argv);
}
