/* SPDX-License-Identifier: MIT */
/*
 * Whether somebody is still at a change. The answer "dead" lets others tear down what he built, so
 * it is given only where he cannot be alive: another boot, no such process, or a later one with
 * his pid. Where nothing can be seen, he counts as alive for as long as a change can take.
 */
#include "config/intent_owner.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Fields of /proc/PID/stat, counted from the state, which is the third. */
#define STAT_THREADS 17
#define STAT_START 19

bool intent_owner_parse(const char *stat, uint64_t *ret_start_ticks, bool *ret_dead)
{
	/* The command may have spaces and parentheses in it: it ends with the last one. */
	const char *p = strrchr(stat, ')');
	char state, *end;
	unsigned long long threads = 0, n = 0;

	if (!p || p[1] != ' ' || !p[2] || p[3] != ' ')
		return false;
	state = p[2];
	p += 3;
	for (int field = 1; field <= STAT_START; field++) {
		errno = 0;
		n = strtoull(p, &end, 10);
		if (end == p || errno)
			return false;
		p = end;
		if (field == STAT_THREADS)
			threads = n;
	}
	*ret_start_ticks = n;
	*ret_dead = (state == 'Z' || state == 'X') && threads <= 1;
	return true;
}

/* A small file of /proc as text. False: it cannot be read. */
static bool read_line(const char *path, char *ret, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return false;
	n = fread(ret, 1, size - 1, f);
	fclose(f);
	ret[n] = '\0';
	return n > 0;
}

static bool boot_id(char ret[37])
{
	char line[64];

	if (!read_line("/proc/sys/kernel/random/boot_id", line, sizeof(line)) || strlen(line) < 36)
		return false;
	memcpy(ret, line, 36);
	ret[36] = '\0';
	return true;
}

static uint64_t pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) ? 0 : (uint64_t)st.st_ino;
}

int intent_owner_self(struct intent *i, struct conf_err *err)
{
	char line[1024];
	bool dead;

	if (!read_line("/proc/self/stat", line, sizeof(line)) ||
	    !intent_owner_parse(line, &i->start_ticks, &dead))
		return conf_fail(err, -EIO, "/proc/self/stat: does not tell when we started");
	if (!boot_id(i->boot_id))
		return conf_fail(err, -EIO, "/proc/sys/kernel/random/boot_id: cannot be read");
	i->pid = getpid();
	i->pid_ns = pid_namespace();
	return 0;
}

/* Of somebody who cannot be looked up. A clock that was set back makes none immortal. */
static bool is_recent(const struct intent *i)
{
	int64_t age_s = (int64_t)time(NULL) - i->time_s;

	return age_s < INTENT_FOREIGN_MAX_S && age_s > -INTENT_FOREIGN_MAX_S;
}

bool intent_owner_alive(const struct intent *i)
{
	char path[64], line[1024], boot[37];
	uint64_t start_ticks;
	bool dead;

	if (i->pid <= 0)
		return false;
	if (boot_id(boot) && strcmp(boot, i->boot_id))
		return false;
	if (i->pid_ns != pid_namespace())
		return is_recent(i);
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)i->pid);
	if (read_line(path, line, sizeof(line)) && intent_owner_parse(line, &start_ticks, &dead))
		return start_ticks == i->start_ticks && !dead;
	/* Hidden from us, or gone. */
	return (!kill(i->pid, 0) || errno == EPERM) && is_recent(i);
}
