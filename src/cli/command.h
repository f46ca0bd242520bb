/* SPDX-License-Identifier: MIT */
/*
 * The commands that speak to a daemon, and what they share. Like cli_sim they get argv[0] as the
 * command's name and return the exit status: 0 done, 1 refused or failed (said on stderr), 2
 * wrong usage.
 */
#ifndef DROVER_CLI_COMMAND_H
#define DROVER_CLI_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CLI_OK 0
#define CLI_FAILED 1
#define CLI_USAGE 2

/* Runs argv[0] of the table of commands; an unknown one is said. */
int cli_run(int argc, char **argv);

/* A command of a command: of `drover image` and `drover domain`. */
struct cli_part {
	const char *name;
	int (*run)(int argc, char **argv);
};

/*
 * Runs argv[1], one of the n parts of the command `whole`, with argv[0] and what follows; or the
 * help of all. names: what they are called, for who named none.
 */
int cli_run_part(const char *whole, const struct cli_part *parts, size_t n, const char *names,
		 int argc, char **argv);

/* Tells about one command, or with NULL about all; false: there is no such command. */
bool cli_help(FILE *to, const char *name);

int cli_ls(int argc, char **argv);
int cli_read(int argc, char **argv);
int cli_write(int argc, char **argv);
int cli_rm(int argc, char **argv);
int cli_chmod(int argc, char **argv);
int cli_watch(int argc, char **argv);
int cli_stat(int argc, char **argv);
int cli_top(int argc, char **argv);
int cli_metrics(int argc, char **argv);
int cli_control(int argc, char **argv);
int cli_update(int argc, char **argv);

/* A running host's store handed over to ours, and back. */
int cli_adopt(int argc, char **argv);
int cli_unadopt(int argc, char **argv);

int cli_domain(int argc, char **argv);

/* Of domains' configurations: its parts have exit statuses of their own, see cli/config.h. */
int cli_config(int argc, char **argv);

/* A guest from one drover-hostd to another, and what one knows of that: cli/migrate.h. */
int cli_migrate(int argc, char **argv);
int cli_migrations(int argc, char **argv);

/* Of files, without a daemon. */
int cli_image(int argc, char **argv);

/*
 * getopt_long with -s SOCKET and -h taken care of. Returns an option's letter; -1: operands begin
 * at optind; '?': the command is to return *ret_status (0 after -h, else CLI_USAGE).
 */
int cli_getopt(int argc, char **argv, const char *letters, const struct option *options,
	       int *ret_status);

/* A decimal number of at most `most`. False, and said on stderr: it is none. */
bool cli_number(const char *command, const char *what, const char *word, unsigned long most,
		unsigned long *ret);

/* "drover: read: MESSAGE" and how to get help; returns CLI_USAGE. */
int cli_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "drover: read /x: no such node (ENOENT)"; what may be NULL. Returns CLI_FAILED. */
int cli_fail(const char *command, const char *what, int err);

/* p, or the program's end where memory is out. */
void *cli_must(void *p);

#endif
