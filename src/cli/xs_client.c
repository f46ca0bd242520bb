/* SPDX-License-Identifier: MIT */
/*
 * The way to the daemon. Invariant: XENSTORED_PATH holds the socket once a connection was tried,
 * since libxenstore looks there.
 */
#include "cli/xs_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/sim_client.h"

#define DEFAULT_SOCKET "/run/xenstored/socket"

void cli_socket_set(const char *path)
{
	if (setenv("XENSTORED_PATH", path, 1))
		cli_must(NULL);
}

const char *cli_socket_path(void)
{
	const char *path = getenv("XENSTORED_PATH"), *rundir = getenv("XENSTORED_RUNDIR");
	static char buf[4096];

	if (path && *path)
		snprintf(buf, sizeof(buf), "%s", path);
	else if (rundir && *rundir)
		snprintf(buf, sizeof(buf), "%s/socket", rundir);
	else
		snprintf(buf, sizeof(buf), "%s", DEFAULT_SOCKET);
	return buf;
}

/* Whether somebody said where the daemon is: then no other one will do. */
static bool socket_was_named(void)
{
	const char *path = getenv("XENSTORED_PATH"), *rundir = getenv("XENSTORED_RUNDIR");

	return (path && *path) || (rundir && *rundir);
}

/* Whether the socket answers: 0, or an errno. libxenstore would go on to try other ways. */
static int socket_probe(void)
{
	struct sim_client *c;
	int r = sim_client_connect(cli_socket_path(), &c);

	if (r)
		return -r;
	sim_client_free(c);
	return 0;
}

static const char *no_socket(int err)
{
	switch (err) {
	case ENOENT:
		return "there is no such socket";
	case ECONNREFUSED:
		return "nobody listens on the socket";
	case EACCES:
		return "not permitted, the socket is for root";
	default:
		return strerror(err);
	}
}

struct xs_handle *cli_open(const char *command)
{
	bool named = socket_was_named();
	int err = socket_probe();
	struct xs_handle *xs = NULL;

	if (!err || !named) {
		cli_socket_set(cli_socket_path());
		xs = xs_open(0);
		if (!xs && !err)
			err = errno;
	}
	if (!xs) {
		const char *name = strerrorname_np(err);

		fprintf(stderr, "drover: %s: no daemon at %s: %s (%s)\n", command,
			cli_socket_path(), no_socket(err), name ? name : "?");
	}
	return xs;
}

int cli_transact(struct xs_handle *xs, cli_transact_fn *fn, void *data)
{
	for (int i = 0; i < CLI_TRIES; i++) {
		xs_transaction_t tx = xs_transaction_start(xs);
		int r;

		if (tx == XBT_NULL)
			return errno;
		r = fn(xs, tx, data);
		if (r) {
			xs_transaction_end(xs, tx, true);
			return r;
		}
		if (xs_transaction_end(xs, tx, false))
			return 0;
		if (errno != EAGAIN)
			return errno;
	}
	return EAGAIN;
}

int cli_control_call(struct xs_handle *xs, const char *command, char **args, size_t n,
		     char **ret_answer)
{
	char data[XENSTORE_PAYLOAD_MAX];
	size_t len = 0;
	char *answer;

	for (size_t i = 0; i < n; i++) {
		size_t size = strlen(args[i]) + 1;

		if (size > sizeof(data) - len)
			return E2BIG;
		memcpy(data + len, args[i], size);
		len += size;
	}
	answer = xs_control_command(xs, command, data, (unsigned int)len);
	if (!answer)
		return errno;
	*ret_answer = answer;
	return 0;
}
