/* SPDX-License-Identifier: MIT */
/*
 * What `drover adopt` and `drover unadopt` share: who serves the host, programs that are asked
 * before anything is changed, the tree before and after, and what the next boot starts.
 */
#ifndef DROVER_CLI_ADOPT_H
#define DROVER_CLI_ADOPT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <xenstore.h>

#include "cli/sim_client.h"

#define ADOPT_WORDS_MAX 128u	   /* of a command line, or of an environment */
#define ADOPT_WORD_OCTETS 131072u  /* of either as a whole */
#define ADOPT_TEXT_MAX 1024u	   /* octets of a line that tells of something */
#define ADOPT_FINDINGS_MAX 32u	   /* such lines */
#define ADOPT_EVENTS_MAX 200000u   /* changes by others that are remembered */
#define ADOPT_RUN_MS 20000	   /* that a program has to answer --help and the like */
#define ADOPT_GRACE_S 30u	   /* that a daemon has to load, beyond --timeout */
#define ADOPT_OUTPUT_MAX 8192u	   /* octets of what such a program says */
#define ADOPT_BOOT_FILE_MAX 65536u /* octets of the boot settings */

/* What serves. */
enum adopt_kind {
	ADOPT_C,
	ADOPT_OCAML,
	ADOPT_OURS,
	ADOPT_OTHER,
};

struct adopt_words {
	char *text; /* owned: the words, each with its NUL */
	char *back; /* owned: one of them; NULL: it is not there */
	char *at[ADOPT_WORDS_MAX + 1];
	size_t n;
};

struct adopt_daemon {
	pid_t pid;
	enum adopt_kind kind;
	char exe[PATH_MAX];
	char rundir[PATH_MAX];
	struct adopt_words words; /* its command line */
	struct adopt_words env;
	unsigned long transactions; /* open ones, where it tells (ADOPT_OURS) */
};

#define ADOPT_MORE "--more=" /* of drover-xenstored: a line of words in one */

enum adopt_verdict {
	ADOPT_FINE,
	ADOPT_WARNING,
	ADOPT_REFUSED,
};

struct adopt_finding {
	const char *name; /* static */
	enum adopt_verdict verdict;
	char text[ADOPT_TEXT_MAX];
};

/* What is found out and done, told line by line or, at the end, as one JSON object. */
struct adopt_report {
	const char *command; /* static: "adopt" or "unadopt" */
	bool json;
	struct adopt_finding at[ADOPT_FINDINGS_MAX];
	size_t n;
	size_t refused;
};

void adopt_tell(struct adopt_report *r, enum adopt_verdict verdict, const char *name,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The JSON object, if it was asked for. result: one word for what became of it all. */
void adopt_report_end(const struct adopt_report *r, const struct adopt_daemon *d,
		      const char *result);

/* ---- adopt_host.c: who serves ---- */

const char *adopt_kind_name(enum adopt_kind kind);
/*
 * Who listens on the socket that cli_socket_path names, and what it is by what it answers. Told
 * where it cannot be found out; the caller frees *ret in any case.
 */
bool adopt_daemon_find(struct adopt_report *r, struct adopt_daemon *ret);
void adopt_daemon_fini(struct adopt_daemon *d);
/* The program that pid runs, without what the kernel says of a file that is gone. */
bool adopt_exe(pid_t pid, char ret[PATH_MAX]);
/* A variable of the daemon's environment, NULL: not set or empty. */
const char *adopt_env(const struct adopt_daemon *d, const char *name);
/* A field of /proc/PID/status in KiB; 0: not known. */
uint64_t adopt_status_kib(pid_t pid, const char *field);

/* ---- adopt_run.c: programs that are asked ---- */

/*
 * Runs argv with env for at most ADOPT_RUN_MS and keeps the first ADOPT_OUTPUT_MAX octets that it
 * says. Its exit status; -1: it could not be run, was killed or took too long, which said tells.
 */
int adopt_run(char *const *argv, char *const *env, char said[ADOPT_OUTPUT_MAX]);

/* ---- adopt_words.c: command lines ---- */

/* Splits text (not owned) at NULs, len octets in all. False: too many words, or no memory. */
bool adopt_words_split(struct adopt_words *ret, const char *text, size_t len);
/* The same of a command line, in which a word may be such a line. */
bool adopt_words_split_line(struct adopt_words *ret, char *text, size_t len);
/* Appends a word. False: too many. */
bool adopt_words_add(struct adopt_words *w, const char *word);
void adopt_words_fini(struct adopt_words *w);
/*
 * The command line for ours in the place of `from`, NULL for none: its words, --hv=xen where none
 * names the hypervisor, and those of `more`, which are separated by spaces. ret->at[0] is program.
 * False: too many.
 */
bool adopt_words_for_ours(struct adopt_words *ret, const struct adopt_daemon *from,
			  const char *program, const char *more);
/*
 * What oxenstored is to add to its own words: its settings, where ours does not have as much, and
 * those of `more`.
 */
bool adopt_words_after_ocaml(struct adopt_words *ret, const struct adopt_daemon *from,
			     const char *program, const char *more);
/* The same for C xenstored: without what is ours alone. */
bool adopt_words_for_c(struct adopt_words *ret, const struct adopt_daemon *from,
		       const char *program, const char *more);
/* Words from the second on, joined by spaces: NULL where one has a space itself. Static storage. */
const char *adopt_words_line(const struct adopt_words *w);

/* ---- adopt_tree.c: before and after ---- */

struct adopt_tree;

/*
 * Watches all, then reads the tree and which domains there are, over a connection that is kept.
 * 0 or an errno; *ret is the caller's by adopt_tree_free.
 */
int adopt_tree_take(struct xs_handle *xs, struct adopt_tree **ret);
/*
 * Reads again and compares: what differs and nobody changed is told as lost. Also whether the
 * watches, which were set before, fire. 0; an errno: it could not be read.
 */
int adopt_tree_compare(struct adopt_tree *t, struct adopt_report *r);
/* Nodes, and octets of paths and values. */
void adopt_tree_size(const struct adopt_tree *t, size_t *ret_nodes, uint64_t *ret_octets);
void adopt_tree_free(struct adopt_tree *t);

/* ---- adopt_boot.c: the next boot ---- */

/*
 * The text of a file of boot settings with XENSTORED=program, the former setting kept in a
 * comment; program NULL: as it was before that. Owned by the caller; NULL: no memory.
 */
char *adopt_boot_edit(const char *text, const char *program);
/* What XENSTORED= shall be in file; has_starter: the script of our package is installed. */
const char *adopt_boot_program(const char *file, const char *program, bool has_starter);
/* What XENSTORED_ARGS says in text; false: nothing. */
bool adopt_boot_args(const char *text, char ret[ADOPT_TEXT_MAX]);

struct adopt_boot {
	const char *file; /* as named by the operator, or NULL: the first that exists */
	bool only;	  /* nothing but this */
	bool none;	  /* leave it */
};

/* That it could be done: told, and nothing changed. */
void adopt_boot_check(struct adopt_report *r, const struct adopt_boot *b, const char *program);
/* Does it; program NULL: as before adoption. Told. */
void adopt_boot_set(struct adopt_report *r, const struct adopt_boot *b, const char *program);

/* ---- adopt_switch.c: one program in the place of another ---- */

struct adopt_switch {
	char program[PATH_MAX];
	const char *options; /* words for it; NULL: those of the daemon that runs */
	unsigned int timeout_s;
	bool force; /* lose open transactions when the time is over */
};

/* Asks the daemon to become that program and waits until that answers. Told; false: it did not. */
bool adopt_switch_run(struct adopt_report *r, const struct adopt_daemon *d,
		      const struct adopt_switch *s);

#endif
