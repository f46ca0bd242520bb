/* SPDX-License-Identifier: MIT */
/*
 * The file half of the shim: paths at which a xenstored expects its socket, its log, its state
 * and the kernel's Xen files lead into $DROVER_SIM_DIR instead.
 *
 *   /run/xenstored, /var/run/xenstored    run/
 *   /run/xen, /var/run/xen                runxen/
 *   /var/log/xen                          log/
 *   /var/lib/xenstored, /var/lib/xen      lib/
 *   /proc/xen/xsd_port                    xsd_port
 *   /proc/xen/capabilities                capabilities
 *   /proc/xen/xsd_kva                     dom/0.ring
 *
 * Invariant: a path not listed reaches the C library unchanged.
 */
#undef _FILE_OFFSET_BITS /* both names of each function are defined here */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "redirect.h"

#define EXPORT __attribute__((visibility("default")))

/* The C library's own function of that name. */
#define NEXT(name) ((__typeof__(&name))next_symbol(#name))

static const struct {
	const char *from;
	const char *to;
} moved[] = {
	{ "/var/run/xenstored", "run" },
	{ "/run/xenstored", "run" },
	{ "/var/run/xen", "runxen" },
	{ "/run/xen", "runxen" },
	{ "/var/log/xen", "log" },
	{ "/var/lib/xenstored", "lib" },
	{ "/var/lib/xen", "lib" },
	{ "/proc/xen/xsd_port", "xsd_port" },
	{ "/proc/xen/capabilities", "capabilities" },
	{ "/proc/xen/xsd_kva", "dom/0.ring" },
};

static void *next_symbol(const char *name)
{
	void *sym = dlsym(RTLD_NEXT, name);

	if (!sym)
		abort();
	return sym;
}

const char *shim_dir(void)
{
	const char *dir = getenv("DROVER_SIM_DIR");

	return dir && *dir ? dir : NULL;
}

/* path itself, or buf, PATH_MAX octets, holding where it leads. */
static const char *redirect(const char *path, char *buf)
{
	const char *dir = shim_dir();

	if (!dir || !path || path[0] != '/')
		return path;
	for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
		size_t len = strlen(moved[i].from);

		if (strncmp(path, moved[i].from, len) || (path[len] && path[len] != '/'))
			continue;
		snprintf(buf, PATH_MAX, "%s/%s%s", dir, moved[i].to, path + len);
		return buf;
	}
	return path;
}

static void file_make(const char *dir, const char *name, const char *text)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

/* What a daemon expects to find. */
__attribute__((constructor)) static void shim_prepare(void)
{
	static const char *const folders[] = { "", "run", "runxen", "log", "lib" };
	const char *dir = shim_dir();
	char path[PATH_MAX];

	if (!dir)
		return;
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);
		if (mkdir(path, 0700) && errno != EEXIST)
			perror(path);
	}
	file_make(dir, "xsd_port", "1"); /* no newline: oxenstored reads a bare number */
	file_make(dir, "capabilities", "control_d\n");
}

#define OPEN(name)                                                                                 \
	EXPORT int name(const char *path, int flags, ...)                                          \
	{                                                                                          \
		char buf[PATH_MAX];                                                                \
		mode_t mode = 0;                                                                   \
		va_list ap;                                                                        \
                                                                                                   \
		if (flags & (O_CREAT | O_TMPFILE)) {                                               \
			va_start(ap, flags);                                                       \
			mode = va_arg(ap, mode_t);                                                 \
			va_end(ap);                                                                \
		}                                                                                  \
		return NEXT(name)(redirect(path, buf), flags, mode);                               \
	}

OPEN(open)
OPEN(open64)

#define ONE_PATH(type, name, params, args)                                                         \
	EXPORT type name params                                                                    \
	{                                                                                          \
		char buf[PATH_MAX];                                                                \
                                                                                                   \
		path = redirect(path, buf);                                                        \
		return NEXT(name) args;                                                            \
	}

ONE_PATH(FILE *, fopen, (const char *path, const char *mode), (path, mode))
ONE_PATH(FILE *, fopen64, (const char *path, const char *mode), (path, mode))
ONE_PATH(int, unlink, (const char *path), (path))
ONE_PATH(int, rmdir, (const char *path), (path))
ONE_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode))
ONE_PATH(int, chmod, (const char *path, mode_t mode), (path, mode))
ONE_PATH(int, chdir, (const char *path), (path))
ONE_PATH(int, access, (const char *path, int mode), (path, mode))
ONE_PATH(int, stat, (const char *path, struct stat *st), (path, st))
ONE_PATH(int, lstat, (const char *path, struct stat *st), (path, st))
ONE_PATH(int, stat64, (const char *path, struct stat64 *st), (path, st))
ONE_PATH(int, lstat64, (const char *path, struct stat64 *st), (path, st))

EXPORT int glob(const char *pattern, int flags, int (*fail)(const char *, int), glob_t *found)
{
	char buf[PATH_MAX];

	return NEXT(glob)(redirect(pattern, buf), flags, fail, found);
}

EXPORT int rename(const char *from, const char *to)
{
	char from_buf[PATH_MAX], to_buf[PATH_MAX];

	return NEXT(rename)(redirect(from, from_buf), redirect(to, to_buf));
}

/* sa itself, or un holding where its path leads. */
static const struct sockaddr *redirect_addr(const struct sockaddr *sa, socklen_t *len,
					    struct sockaddr_un *un)
{
	char buf[PATH_MAX];
	const char *path;

	if (!sa || sa->sa_family != AF_UNIX || *len > sizeof(*un))
		return sa;
	memset(un, 0, sizeof(*un));
	memcpy(un, sa, *len);
	un->sun_path[sizeof(un->sun_path) - 1] = '\0';
	path = redirect(un->sun_path, buf);
	if (path == un->sun_path || strlen(path) >= sizeof(un->sun_path))
		return sa;
	memcpy(un->sun_path, path, strlen(path) + 1);
	*len = sizeof(*un);
	return (const struct sockaddr *)un;
}

EXPORT int bind(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	const struct sockaddr *sa = *(const struct sockaddr *const *)(const void *)&addr;
	struct sockaddr_un un;

	sa = redirect_addr(sa, &len, &un);
	return NEXT(bind)(fd, sa, len);
}

EXPORT int connect(int fd, __CONST_SOCKADDR_ARG addr, socklen_t len)
{
	const struct sockaddr *sa = *(const struct sockaddr *const *)(const void *)&addr;
	struct sockaddr_un un;

	sa = redirect_addr(sa, &len, &un);
	return NEXT(connect)(fd, sa, len);
}

/* Daemons raise limits as root may on a real host, and give up where they may not. */
EXPORT int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	return NEXT(setrlimit)(resource, limit) && !shim_dir() ? -1 : 0;
}

EXPORT int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	return NEXT(setrlimit64)(resource, limit) && !shim_dir() ? -1 : 0;
}
