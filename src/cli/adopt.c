/* SPDX-License-Identifier: MIT */
/*
 * `drover adopt` and `drover unadopt`: a running host's store handed over, and back. Invariant:
 * nothing is changed before all that can be found out beforehand was found good; and whatever is
 * refused names what it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/adopt.h"
#include "cli/command.h"
#include "cli/xs_client.h"

#define DEFAULT_PROGRAM "/usr/sbin/drover-xenstored"
#define NOTE "adopted" /* below the run directory: the program that was there before */
#define ROOM_SPARE (16u << 20)

struct adopt {
	struct adopt_report report;
	struct adopt_daemon d;
	struct adopt_switch to;
	struct adopt_boot boot;
	struct adopt_tree *tree; /* owned */
	struct xs_handle *xs;	 /* owned */
	const char *program;	 /* as named by the operator, or NULL */
	const char *options;
	bool dry_run;
	char line[XENSTORE_PAYLOAD_MAX]; /* the new command line */
};

static void adopt_fini(struct adopt *a)
{
	adopt_tree_free(a->tree);
	if (a->xs)
		xs_close(a->xs);
	adopt_daemon_fini(&a->d);
}

static int end(struct adopt *a, const char *result)
{
	int status = a->report.refused ? CLI_FAILED : CLI_OK;

	adopt_report_end(&a->report, &a->d, result);
	adopt_fini(a);
	return status;
}

/* ---- what is looked at before ---- */

static void check_rights(struct adopt *a)
{
	if (geteuid())
		adopt_tell(&a->report, ADOPT_REFUSED, "rights", "this takes root");
}

/* To where the daemon itself sees it: it may live in a mount namespace of its own. */
static bool check_file(struct adopt *a, const char *name)
{
	char seen[PATH_MAX + 32];

	if (!realpath(name, a->to.program)) {
		adopt_tell(&a->report, ADOPT_REFUSED, "program", "%s: %s", name, strerror(errno));
		return false;
	}
	snprintf(seen, sizeof(seen), "/proc/%d/root%s", (int)a->d.pid, a->to.program);
	if (access(a->to.program, X_OK) || access(seen, X_OK)) {
		adopt_tell(&a->report, ADOPT_REFUSED, "program", "%s: %s%s", a->to.program,
			   strerror(errno),
			   access(a->to.program, X_OK) ? "" : ", where the daemon looks");
		return false;
	}
	return true;
}

/* The first line that a program said, which is enough. */
static const char *first_line(char *said)
{
	said[strcspn(said, "\n")] = '\0';
	return *said ? said : "it says nothing";
}

/* --help is what every xenstored knows: of a word that C does not know it makes nothing, and
 * starts.
 */
static bool is_ours(struct adopt *a, char said[ADOPT_OUTPUT_MAX])
{
	char *help[] = { a->to.program, "--help", NULL };

	return !adopt_run(help, a->d.env.at, said) && strstr(said, "image versions:");
}

/* Its words, understood by it, with what was there before them. */
static bool check_ours(struct adopt *a)
{
	char said[ADOPT_OUTPUT_MAX], *version[] = { a->to.program, "--version", NULL };
	struct adopt_words words = { 0 };
	const char *line;
	bool fine = false;

	if (!is_ours(a, said) || adopt_run(version, a->d.env.at, said) ||
	    strncmp(said, "drover-xenstored ", strlen("drover-xenstored ")) != 0) {
		adopt_tell(&a->report, ADOPT_REFUSED, "program",
			   "%s is no drover-xenstored that starts here: %s", a->to.program,
			   first_line(said));
		return false;
	}
	adopt_tell(&a->report, ADOPT_FINE, "program", "%s, %s", a->to.program, first_line(said));
	if (!(a->d.kind == ADOPT_OCAML ? adopt_words_after_ocaml : adopt_words_for_ours)(
		    &words, &a->d, a->to.program, a->options))
		adopt_tell(&a->report, ADOPT_REFUSED, "options", "too many");
	else
		fine = true;
	line = fine ? adopt_words_line(&words) : NULL;
	if (line)
		snprintf(a->line, sizeof(a->line), "%s", line);
	else if (fine)
		adopt_tell(&a->report, ADOPT_WARNING, "options",
			   "a word with a space in it: the daemon's own are kept, without more");
	if (fine && !adopt_words_add(&words, "--check"))
		fine = false;
	if (fine && adopt_run(words.at, a->d.env.at, said)) {
		adopt_tell(&a->report, ADOPT_REFUSED, "options", "%s %s: %s", a->to.program,
			   line ? line : "", first_line(said));
		fine = false;
	} else if (fine) {
		adopt_tell(&a->report, ADOPT_FINE, "options", "%s", line ? line : "as they are");
		adopt_tell(&a->report, ADOPT_FINE, "hypervisor", "%s", first_line(said));
	}
	adopt_words_fini(&words);
	a->to.options = line ? a->line : NULL;
	return fine;
}

/* That C and its like write their images there, and ours its journal. */
static void check_rundir(struct adopt *a)
{
	char path[PATH_MAX + 64];
	struct flock other = { .l_type = F_WRLCK };
	uint64_t octets, need, room;
	struct statvfs fs;
	size_t nodes;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/root%s", (int)a->d.pid, a->d.rundir);
	if (access(path, W_OK) || statvfs(path, &fs)) {
		adopt_tell(&a->report, ADOPT_REFUSED, "run directory", "%s: %s", a->d.rundir,
			   strerror(errno));
		return;
	}
	adopt_tree_size(a->tree, &nodes, &octets);
	need = ROOM_SPARE + 4 * (octets + 128 * nodes);
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (room < need)
		adopt_tell(&a->report, ADOPT_REFUSED, "run directory",
			   "%s: %" PRIu64 " MiB free, %" PRIu64 " MiB are needed", a->d.rundir,
			   room >> 20, need >> 20);
	snprintf(path, sizeof(path), "%s/journal/lock", a->d.rundir);
	fd = a->d.kind == ADOPT_OURS ? -1 : open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && !fcntl(fd, F_GETLK, &other) && other.l_type != F_UNLCK)
		adopt_tell(&a->report, ADOPT_REFUSED, "run directory",
			   "%s/journal: process %d has it", a->d.rundir, (int)other.l_pid);
	else if (room >= need)
		adopt_tell(&a->report, ADOPT_FINE, "run directory",
			   "%s, %zu nodes, %" PRIu64 " MiB free", a->d.rundir, nodes, room >> 20);
	if (fd >= 0)
		close(fd);
}

/* While one program reads what the other has written, both are there. */
static void check_memory(struct adopt *a)
{
	uint64_t held = adopt_status_kib(a->d.pid, "VmRSS"), free_kib = 0;
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %" SCNu64, &free_kib) == 1)
			break;
	if (f)
		fclose(f);
	if (free_kib && free_kib < 2 * held + (ROOM_SPARE >> 10))
		adopt_tell(&a->report, ADOPT_REFUSED, "memory",
			   "%" PRIu64 " MiB available; the daemon has %" PRIu64
			   " MiB, and twice that is needed",
			   free_kib >> 10, held >> 10);
	else
		adopt_tell(&a->report, ADOPT_FINE, "memory", "%" PRIu64 " MiB available",
			   free_kib >> 10);
}

/* What a unit or a shell gave the daemon, its successor has, too. */
static void check_limits(struct adopt *a)
{
	char path[64], line[256];
	unsigned long soft, hard = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/limits", (int)a->d.pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Max open files %lu %lu", &soft, &hard) == 2)
			break;
	if (f)
		fclose(f);
	if (hard && hard < 1024)
		adopt_tell(&a->report, ADOPT_WARNING, "open files",
			   "%lu at most: so many clients at most, too", hard);
	if (adopt_status_kib(a->d.pid, "Seccomp"))
		adopt_tell(&a->report, ADOPT_WARNING, "sandbox",
			   "the daemon has a filter of system calls, which stays on its successor");
}

static bool take_tree(struct adopt *a)
{
	int err;

	a->xs = cli_open(a->report.command);
	err = a->xs ? adopt_tree_take(a->xs, &a->tree) : ENOTCONN;
	if (err)
		adopt_tell(&a->report, ADOPT_REFUSED, "tree", "cannot be read: %s", strerror(err));
	return !err;
}

static bool check_all(struct adopt *a, bool (*check_program)(struct adopt *))
{
	check_rights(a);
	if (!take_tree(a))
		return false;
	check_program(a);
	check_rundir(a);
	check_memory(a);
	check_limits(a);
	return !a->report.refused;
}

/* ---- the note of what was there before ---- */

static void note_path(const struct adopt *a, char ret[PATH_MAX + 16])
{
	snprintf(ret, PATH_MAX + 16, "%s/" NOTE, a->d.rundir);
}

static void note_write(const struct adopt *a)
{
	char path[PATH_MAX + 16];
	FILE *f;

	note_path(a, path);
	unlink(path);
	f = fopen(path, "wxe");
	if (f)
		fprintf(f, "%s\n", a->d.exe);
	if (!f || fclose(f))
		fprintf(stderr, "drover: adopt: %s: %s\n", path, strerror(errno));
}

static bool note_read(const struct adopt *a, char ret[PATH_MAX])
{
	char path[PATH_MAX + 16];
	FILE *f;

	note_path(a, path);
	f = fopen(path, "re");
	if (!f)
		return false;
	ret[0] = '\0';
	if (fgets(ret, PATH_MAX, f))
		ret[strcspn(ret, "\n")] = '\0';
	fclose(f);
	return *ret == '/';
}

/* ---- adopt ---- */

static bool switch_and_compare(struct adopt *a)
{
	int err;

	if (!adopt_switch_run(&a->report, &a->d, &a->to))
		return false;
	err = adopt_tree_compare(a->tree, &a->report);
	if (err)
		adopt_tell(&a->report, ADOPT_REFUSED, "tree", "cannot be read afterwards: %s",
			   strerror(err));
	return !a->report.refused;
}

/* Whom it can follow. */
static bool check_kind(struct adopt *a)
{
	if (a->d.kind == ADOPT_OCAML && a->to.force) {
		adopt_tell(&a->report, ADOPT_REFUSED, "force",
			   "oxenstored begins a forced update again and again, and never ends it");
		return false;
	}
	if (a->d.kind != ADOPT_OTHER)
		return true;
	adopt_tell(&a->report, ADOPT_REFUSED, "daemon", "%s hands over to nobody",
		   adopt_kind_name(a->d.kind));
	return false;
}

static int adopt(struct adopt *a)
{
	const char *program = a->program ? a->program : DEFAULT_PROGRAM;
	bool served;

	if (!adopt_daemon_find(&a->report, &a->d) || !check_kind(a))
		return end(a, "refused");
	served = a->d.kind == ADOPT_OURS;
	if (!check_file(a, served && !a->program ? a->d.exe : program))
		return end(a, "refused");
	if (!served && !check_all(a, check_ours))
		return end(a, "refused");
	adopt_boot_check(&a->report, &a->boot, a->to.program);
	if (a->report.refused)
		return end(a, "refused");
	if (a->dry_run)
		return end(a, served ? "adopted" : "possible");
	if (!served && !switch_and_compare(a))
		return end(a, a->tree && a->report.refused ? "failed" : "refused");
	if (!served)
		note_write(a);
	adopt_boot_set(&a->report, &a->boot, a->to.program);
	return end(a, a->report.refused ? "failed" : "adopted");
}

/* ---- unadopt ---- */

/* A program of the running Xen's version, or the only one there is. */
static bool find_program(const struct adopt *a, char ret[PATH_MAX])
{
	static const char *const others[] = { "/usr/lib/xen-4.17/bin/xenstored",
					      "/usr/local/sbin/xenstored", "/usr/sbin/xenstored" };
	unsigned int version[2] = { 0 };
	static const char *const files[] = { "/sys/hypervisor/version/major",
					     "/sys/hypervisor/version/minor" };

	if (note_read(a, ret))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		FILE *f = fopen(files[i], "re");

		if (f && fscanf(f, "%u", &version[i]) != 1)
			version[i] = 0;
		if (f)
			fclose(f);
	}
	snprintf(ret, PATH_MAX, "/usr/lib/xen-%u.%u/bin/xenstored", version[0], version[1]);
	if (!access(ret, X_OK))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		snprintf(ret, PATH_MAX, "%s", others[i]);
		if (!access(ret, X_OK))
			return true;
	}
	return false;
}

static bool check_theirs(struct adopt *a)
{
	char said[ADOPT_OUTPUT_MAX], *help[] = { a->to.program, "--help", NULL };
	struct adopt_words words = { 0 };
	const char *line;
	bool fine;

	(void)adopt_run(help, a->d.env.at, said);
	if (strstr(said, "--reraise-top-level")) {
		adopt_tell(&a->report, ADOPT_REFUSED, "program",
			   "%s is oxenstored: nothing is handed over to it, since half a request "
			   "and unsent answers have no place in what it reads; --to names a C "
			   "xenstored",
			   a->to.program);
		return false;
	}
	if (strstr(said, "image versions:") || !strstr(said, "--no-domain-init")) {
		adopt_tell(&a->report, ADOPT_REFUSED, "program", "%s is no C xenstored: %s",
			   a->to.program, first_line(said));
		return false;
	}
	adopt_tell(&a->report, ADOPT_FINE, "program", "%s", a->to.program);
	fine = adopt_words_for_c(&words, &a->d, a->to.program, a->options);
	line = fine ? adopt_words_line(&words) : NULL;
	/* C passes over a word that it does not know, with a line about it */
	fine = fine && line && adopt_words_add(&words, "--help") &&
	       !adopt_run(words.at, a->d.env.at, said) && !strstr(said, ": unrecognized option") &&
	       !strstr(said, ": invalid option");
	if (fine) {
		snprintf(a->line, sizeof(a->line), "%s", line);
		a->to.options = a->line;
		adopt_tell(&a->report, ADOPT_FINE, "options", "%s", a->line);
	} else {
		adopt_tell(&a->report, ADOPT_REFUSED, "options", "%s: %s", line ? line : "",
			   line ? first_line(said) : "too many, or a space in one");
	}
	adopt_words_fini(&words);
	if (a->d.transactions)
		adopt_tell(&a->report, ADOPT_WARNING, "transactions",
			   "%lu are open: it is waited %u s for them to end", a->d.transactions,
			   a->to.timeout_s);
	return fine;
}

static int unadopt(struct adopt *a)
{
	char found[PATH_MAX + 16];

	if (a->boot.only) {
		adopt_boot_set(&a->report, &a->boot, NULL);
		return end(a, "restored");
	}
	if (!adopt_daemon_find(&a->report, &a->d))
		return end(a, "refused");
	if (a->d.kind == ADOPT_C || a->d.kind == ADOPT_OCAML) {
		if (!a->dry_run)
			adopt_boot_set(&a->report, &a->boot, NULL);
		return end(a, a->report.refused ? "failed" : "given back");
	}
	if (a->d.kind != ADOPT_OURS) {
		adopt_tell(&a->report, ADOPT_REFUSED, "daemon", "it is not ours to give back");
		return end(a, "refused");
	}
	if (!a->program && !find_program(a, found)) {
		adopt_tell(&a->report, ADOPT_REFUSED, "program", "no C xenstored is found: --to");
		return end(a, "refused");
	}
	if (!check_file(a, a->program ? a->program : found) || !check_all(a, check_theirs))
		return end(a, "refused");
	adopt_boot_check(&a->report, &a->boot, NULL);
	if (a->report.refused)
		return end(a, "refused");
	if (a->dry_run)
		return end(a, "possible");
	if (!switch_and_compare(a))
		return end(a, "failed");
	note_path(a, found);
	unlink(found);
	adopt_boot_set(&a->report, &a->boot, NULL);
	return end(a, a->report.refused ? "failed" : "given back");
}

static bool read_option(struct adopt *a, int c)
{
	unsigned long number;

	switch (c) {
	case 'n':
		a->dry_run = true;
		return true;
	case 't':
		if (!cli_number(a->report.command, "--timeout", optarg, 3600, &number))
			return false;
		a->to.timeout_s = (unsigned int)number;
		return true;
	case 'F':
		a->to.force = true;
		return true;
	case 'p':
		a->program = optarg;
		return true;
	case 'c':
		a->options = optarg;
		return true;
	case 'B':
		a->boot.none = true;
		return true;
	case 'b':
		a->boot.file = optarg;
		return true;
	case 'o':
		a->boot.only = true;
		return true;
	default:
		a->report.json = true;
		return true;
	}
}

static int run(struct adopt *a, int argc, char **argv, const struct option *options,
	       int (*command)(struct adopt *))
{
	int c, status;

	a->to.timeout_s = 60;
	while ((c = cli_getopt(argc, argv, "nt:Fs:h", options, &status)) != -1) {
		if (c == '?')
			return status;
		if (!read_option(a, c))
			return CLI_USAGE;
	}
	if (argc > optind)
		return cli_usage(argv[0], "'%s' is not expected", argv[optind]);
	return command(a);
}

int cli_adopt(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dry-run", no_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 't' },
		{ "force", no_argument, NULL, 'F' },
		{ "program", required_argument, NULL, 'p' },
		{ "options", required_argument, NULL, 'c' },
		{ "no-boot", no_argument, NULL, 'B' },
		{ "boot-file", required_argument, NULL, 'b' },
		{ "json", no_argument, NULL, 'j' },
		{ "socket", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct adopt a = { .report = { .command = "adopt" } };

	return run(&a, argc, argv, options, adopt);
}

int cli_unadopt(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dry-run", no_argument, NULL, 'n' },
		{ "timeout", required_argument, NULL, 't' },
		{ "force", no_argument, NULL, 'F' },
		{ "to", required_argument, NULL, 'p' },
		{ "options", required_argument, NULL, 'c' },
		{ "no-boot", no_argument, NULL, 'B' },
		{ "boot-file", required_argument, NULL, 'b' },
		{ "boot-only", no_argument, NULL, 'o' },
		{ "json", no_argument, NULL, 'j' },
		{ "socket", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct adopt a = { .report = { .command = "unadopt" } };

	return run(&a, argc, argv, options, unadopt);
}
