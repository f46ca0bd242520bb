/* SPDX-License-Identifier: MIT */
/*
 * Who holds a flock, without taking it: /proc/locks names the process that took it. That process
 * may be gone while the lock stays: libxl has a child wait for it, whose end leaves the lock with
 * the parent. Then the open files of all processes are looked through for the one that carries it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/own.h"
#include "config/userdata_priv.h"

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

static inline void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* The number behind "FIELD:\t" in /proc/self/fdinfo/FD, or -1. */
static int mount_id(int fd)
{
	CLEANUP(fclose) FILE *f = NULL;
	char path[64], line[256];
	int id;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "mnt_id: %d", &id) == 1)
			return id;
	return -1;
}

/* On btrfs and others stat names a device of its own for each volume; the kernel's locks do not. */
dev_t userdata_locks_dev(int fd, const struct stat *st)
{
	CLEANUP(fclose) FILE *f = fopen("/proc/self/mountinfo", "re");
	int id = mount_id(fd), at;
	unsigned int maj, min;
	char *line = NULL;
	size_t room = 0;
	dev_t dev = st->st_dev;

	while (id >= 0 && f && getline(&line, &room, f) > 0)
		if (sscanf(line, "%d %*d %u:%u", &at, &maj, &min) == 3 && at == id)
			dev = makedev(maj, min);
	free(line);
	return dev;
}

/* The command line of a process, on one line. */
static void command_of(int pid, char *ret, size_t size)
{
	CLEANUP(fclose) FILE *f = NULL;
	char path[64];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	f = fopen(path, "re");
	if (f)
		n = fread(ret, 1, size - 1, f);
	while (n && !ret[n - 1])
		n--;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)ret[i] < ' ' || ret[i] == 0x7f)
			ret[i] = ' ';
	ret[n] = '\0';
	if (!n)
		snprintf(ret, size, "?");
}

static bool is_there(int pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	return !access(path, F_OK);
}

/* What /proc/locks says: a pid, 0: no such lock, -1: it cannot be read, or names nobody. */
static int holder_by_list(const struct userdata *u, const struct stat *st)
{
	CLEANUP(fclose) FILE *f = fopen("/proc/locks", "re");
	char line[256], type[16];
	unsigned int maj, min;
	uintmax_t ino;
	int pid;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		/* Those who wait have "->" before the type, and do not match. */
		if (sscanf(line, "%*[^:]: %15s %*s %*s %d %x:%x:%ju", type, &pid, &maj, &min,
			   &ino) != 5)
			continue;
		if (!strcmp(type, "FLOCK") && ino == (uintmax_t)st->st_ino &&
		    makedev(maj, min) == u->locks_dev)
			return pid > 0 ? pid : -1;
	}
	return 0;
}

/* Whether the open file FD of a process carries a lock. */
static bool carries_lock(const char *pid, const char *fd)
{
	CLEANUP(fclose) FILE *f = NULL;
	char path[600], line[256];

	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "lock:", 5) && strstr(line, "FLOCK"))
			return true;
	return false;
}

static bool process_carries_lock(const char *pid, const struct stat *st)
{
	CLEANUP(closedir) DIR *dir = NULL;
	char path[600];
	struct dirent *de;
	struct stat at;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && (de = readdir(dir))) {
		if (de->d_name[0] < '0' || de->d_name[0] > '9' ||
		    fstatat(dirfd(dir), de->d_name, &at, 0))
			continue;
		if (at.st_dev == st->st_dev && at.st_ino == st->st_ino &&
		    carries_lock(pid, de->d_name))
			return true;
	}
	return false;
}

static int holder_by_files(const struct stat *st)
{
	CLEANUP(closedir) DIR *dir = opendir("/proc");
	struct dirent *de;

	while (dir && (de = readdir(dir)))
		if (de->d_name[0] >= '1' && de->d_name[0] <= '9' &&
		    process_carries_lock(de->d_name, st))
			return atoi(de->d_name);
	return -1;
}

int userdata_lock_holder(const struct userdata *u, const struct stat *st, char *what,
			 size_t what_size)
{
	int pid = holder_by_list(u, st);

	if (pid < 0 || (pid > 0 && !is_there(pid)))
		pid = holder_by_files(st);
	if (pid > 0)
		command_of(pid, what, what_size);
	return pid;
}
