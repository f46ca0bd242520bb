/* SPDX-License-Identifier: MIT */
/*
 * Hotplug scripts: programs that connect a device's backend to the rest of its host. They are run
 * as libxl runs them, but with a limit, and the last line they said is kept for who asks why.
 */
#ifndef DROVER_CONFIG_SCRIPT_H
#define DROVER_CONFIG_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "config/err.h"

/* Octets kept of the last line of a script's output. */
#define SCRIPT_LINE_MAX 256
/* Variables that one script is given. */
#define SCRIPT_VARS_MAX 8

/* Variables for a script beside those that we have ourselves: "NAME=VALUE", owned. */
struct script_env {
	char *v[SCRIPT_VARS_MAX];
	size_t n;
};

/* Adds a variable. -ENOMEM. */
int script_env_add(struct script_env *env, struct conf_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void script_env_fini(struct script_env *env);

/* Whether it could be run. -ENOENT: there is no such file; -EACCES: it is no program. */
int script_check(const char *path, struct conf_err *err);

/*
 * Runs argv (NULL at its end; argv[0] is its path) in a process group of its own, without input,
 * and waits for its end: timeout_ms at most, then the group is killed. The directory is the
 * caller's. What it says goes into the error.
 * -ETIMEDOUT; -EREMOTEIO: it failed, or was killed; -ENOENT, -EACCES, -EAGAIN: it cannot be
 * started; -ECHILD: its end was lost, because this process ignores SIGCHLD.
 */
int script_run(const char *const *argv, const struct script_env *env, uint32_t timeout_ms,
	       struct conf_err *err);

#endif
