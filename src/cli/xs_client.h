/* SPDX-License-Identifier: MIT */
/*
 * A connection to a xenstored through libxenstore, and what it takes to use it well: which
 * socket, transactions that are tried again, reasons for failures.
 */
#ifndef DROVER_CLI_XS_CLIENT_H
#define DROVER_CLI_XS_CLIENT_H

#include <stdio.h>
#include <xenstore.h>

/* The socket from now on, in place of what the environment says (-s). */
void cli_socket_set(const char *path);

/* $XENSTORED_PATH, else socket in $XENSTORED_RUNDIR, else in /run/xenstored. Static storage. */
const char *cli_socket_path(void);

/*
 * A connection, to be closed by xs_close; NULL: there is none, and command has said so. Without
 * a socket named by anybody, a guest's own way to its store serves (/dev/xen/xenbus).
 */
struct xs_handle *cli_open(const char *command);

/* What is done in a transaction: 0, or an errno, which ends it without a commit. */
typedef int cli_transact_fn(struct xs_handle *xs, xs_transaction_t tx, void *data);

/*
 * Runs fn in a transaction and commits; again, from the start, where that lost against others,
 * CLI_TRIES times at most. 0, what fn returned, or the errno of the start or the commit (EAGAIN:
 * it lost every time).
 */
#define CLI_TRIES 100
int cli_transact(struct xs_handle *xs, cli_transact_fn *fn, void *data);

/*
 * A CONTROL command with n arguments: *ret_answer is to be freed by the caller. 0 or an errno.
 */
int cli_control_call(struct xs_handle *xs, const char *command, char **args, size_t n,
		     char **ret_answer);

#endif
