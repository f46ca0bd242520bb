/* SPDX-License-Identifier: MIT */
/*
 * Who serves a host. Invariant: what a daemon is, is decided by what it answers; its name only
 * where two answer alike.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/adopt.h"
#include "cli/command.h"
#include "cli/xs_client.h"
#include "wire/wire.h"

DEFINE_CLEANUP(struct sim_client *, sim_client_free)

const char *adopt_kind_name(enum adopt_kind kind)
{
	static const char *const names[] = {
		[ADOPT_C] = "C xenstored",
		[ADOPT_OCAML] = "oxenstored",
		[ADOPT_OURS] = "drover-xenstored",
		[ADOPT_OTHER] = "a daemon that is not known",
	};

	return names[kind];
}

bool adopt_exe(pid_t pid, char ret[PATH_MAX])
{
	static const char gone[] = " (deleted)";
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	n = readlink(link, ret, PATH_MAX - 1);
	if (n <= 0)
		return false;
	ret[n] = '\0';
	if ((size_t)n > strlen(gone) && !strcmp(ret + n - strlen(gone), gone))
		ret[(size_t)n - strlen(gone)] = '\0';
	return true;
}

const char *adopt_env(const struct adopt_daemon *d, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < d->env.n; i++)
		if (!strncmp(d->env.at[i], name, len) && d->env.at[i][len] == '=' &&
		    d->env.at[i][len + 1])
			return d->env.at[i] + len + 1;
	return NULL;
}

uint64_t adopt_status_kib(pid_t pid, const char *field)
{
	char path[64], line[256];
	size_t len = strlen(field);
	uint64_t kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, field, len) && line[len] == ':')
			kib = strtoull(line + len + 1, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static bool words_of(pid_t pid, const char *file, bool line, struct adopt_words *ret)
{
	char path[64], *text = cli_must(malloc(ADOPT_WORD_OCTETS));
	size_t len;
	bool done;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "re");
	len = f ? fread(text, 1, ADOPT_WORD_OCTETS, f) : 0;
	done = f && len < ADOPT_WORD_OCTETS &&
	       (line ? adopt_words_split_line(ret, text, len) : adopt_words_split(ret, text, len));
	if (f)
		fclose(f);
	free(text);
	return done;
}

/* The answer to a CONTROL command of one word; an empty one where it is refused. */
static void ask(struct sim_client *c, const char *word, struct sim_reply *ret)
{
	char payload[32];
	size_t len = (size_t)snprintf(payload, sizeof(payload), "%s", word) + 1;

	if (sim_client_call(c, XS_CONTROL, 0, payload, len, ret)) {
		ret->octets[0] = '\0';
		ret->len = 0;
	}
}

static enum adopt_kind kind_of(struct sim_client *c, struct adopt_daemon *d)
{
	const char *name = strrchr(d->exe, '/'), *at;
	struct sim_reply reply;

	ask(c, "stats", &reply);
	if (!strncmp(reply.octets, "daemon nodes=", strlen("daemon nodes="))) {
		at = strstr(reply.octets, "transactions=");
		d->transactions = at ? strtoul(at + strlen("transactions="), NULL, 10) : 0;
		return ADOPT_OURS;
	}
	ask(c, "help", &reply);
	if (strstr(reply.octets, "live-update") && strstr(reply.octets, "memreport"))
		return ADOPT_C;
	if (!strcmp(reply.octets, "OK") && name && !strcmp(name, "/oxenstored"))
		return ADOPT_OCAML;
	return ADOPT_OTHER;
}

/*
 * The kernel says who called listen, which is not who serves where a daemon listened first and
 * forked then, as oxenstored does. The number in one of its pid files is believed where that
 * process has a name of the family.
 */
static pid_t pid_from_files(void)
{
	static const char *const files[] = { "/run/xenstore.pid", "/run/xenstored.pid",
					     "/run/xenstored/xenstored.pid",
					     "/run/xen/xenstored.pid" };
	char exe[PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		FILE *f = fopen(files[i], "re");
		int pid = 0;

		if (f && fscanf(f, "%d", &pid) != 1)
			pid = 0;
		if (f)
			fclose(f);
		if (pid > 0 && adopt_exe(pid, exe) && strstr(exe, "xenstored"))
			return pid;
	}
	return 0;
}

bool adopt_daemon_find(struct adopt_report *r, struct adopt_daemon *ret)
{
	CLEANUP(sim_client_free) struct sim_client *c = NULL;
	const char *rundir;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = -sim_client_connect(cli_socket_path(), &c);
	if (err) {
		adopt_tell(
			r, ADOPT_REFUSED, "daemon", "nobody answers at %s: %s%s", cli_socket_path(),
			strerror(err),
			access("/dev/xen/xenbus", F_OK)
				? ""
				: "; the store may be a domain of its own, which is not adopted");
		return false;
	}
	ret->pid = sim_client_peer(c);
	if (ret->pid <= 0 || !adopt_exe(ret->pid, ret->exe)) {
		ret->pid = pid_from_files();
		if (ret->pid <= 0 || !adopt_exe(ret->pid, ret->exe)) {
			adopt_tell(r, ADOPT_REFUSED, "daemon",
				   "%s: who serves there cannot be seen from here%s",
				   cli_socket_path(), geteuid() ? ": not root" : "");
			return false;
		}
	}
	if (!words_of(ret->pid, "cmdline", true, &ret->words) ||
	    !words_of(ret->pid, "environ", false, &ret->env)) {
		adopt_tell(r, ADOPT_REFUSED, "daemon", "process %d: its words cannot be read",
			   (int)ret->pid);
		return false;
	}
	rundir = adopt_env(ret, "XENSTORED_RUNDIR");
	snprintf(ret->rundir, sizeof(ret->rundir), "%s", rundir ? rundir : "/run/xenstored");
	ret->kind = kind_of(c, ret);
	adopt_tell(r, ADOPT_FINE, "daemon", "%s, process %d, %s", adopt_kind_name(ret->kind),
		   (int)ret->pid, ret->exe);
	return true;
}

void adopt_daemon_fini(struct adopt_daemon *d)
{
	adopt_words_fini(&d->words);
	adopt_words_fini(&d->env);
}
