/* SPDX-License-Identifier: MIT */
/*
 * A guest's directory, <run_dir>/<uuid>/. Two files of the front's:
 *
 *   guest    what it is: lines "name value", replaced whole whenever one changes
 *   process  "<pid> <start time> <boot id>", written by the process itself (spawn.c)
 *
 * Invariant: `guest` is there before a process is started, so a directory that has none has no
 * process either; and a directory is only removed once its process has ended.
 *
 * Files are renamed into place and not synced: they have to outlive the daemon, which takes no more
 * than the kernel going on, and when that ends no guest is left to be found. A process file of a
 * former boot counts as none.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "vmm/inner.h"

struct vmm_guest *guest_new(struct vmm *v, const uint8_t uuid[DEF_UUID_SIZE])
{
	struct vmm_guest *g = calloc(1, sizeof(*g));
	char text[DEF_UUID_TEXT];

	if (!g) {
		FAULT(-ENOMEM);
		return NULL;
	}
	list_init(&g->link);
	list_init(&g->calls);
	vmm_timer_init(&g->kill_timer);
	g->v = v;
	g->dir_fd = g->pidfd = g->exit_io.fd = -1;
	g->domid = g->domid_wish = -1;
	memcpy(g->uuid, uuid, sizeof(g->uuid));
	def_uuid_print(uuid, text);
	g->priv = calloc(1, v->be->guest_size ? v->be->guest_size : 1);
	if (!g->priv || asprintf(&g->dir, "%s/%s", v->opt.run_dir, text) < 0) {
		FAULT(-ENOMEM);
		g->dir = NULL;
		guest_forget(g);
		return NULL;
	}
	return g;
}

void guest_forget(struct vmm_guest *g)
{
	struct vmm_call *call;

	if (!g)
		return;
	list_remove(&g->link);
	list_for_each(call, &g->calls, link)
		call_drop(call);
	vmm_timer_stop(&g->kill_timer);
	vmm_io_remove(&g->exit_io);
	if (g->pidfd >= 0)
		close(g->pidfd);
	if (g->dir_fd >= 0)
		close(g->dir_fd);
	def_free(g->def);
	free(g->dir);
	free(g->priv);
	free(g);
}

static int dir_open(struct vmm_guest *g)
{
	g->dir_fd = open(g->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return g->dir_fd < 0 ? FAULT(-errno) : 0;
}

int guest_dir_make(struct vmm_guest *g)
{
	if (mkdir(g->dir, 0700) < 0)
		return errno == EEXIST ? -EEXIST : FAULT(-errno);
	return dir_open(g);
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return FAULT(-errno);
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int vmm_guest_write_file(struct vmm_guest *g, const char *file, const void *data, size_t len)
{
	char temp[64];
	int fd, r;

	snprintf(temp, sizeof(temp), ".%s.new", file);
	fd = openat(g->dir_fd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return FAULT(-errno);
	r = write_all(fd, data, len);
	close(fd);
	if (r == 0 && renameat(g->dir_fd, temp, g->dir_fd, file) < 0)
		r = FAULT(-errno);
	return r;
}

ssize_t vmm_guest_read_file(struct vmm_guest *g, const char *file, char *buf, size_t room)
{
	int fd = openat(g->dir_fd, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : FAULT(-errno);
	while ((n = read(fd, buf + len, room - len)) > 0)
		len += (size_t)n;
	n = n < 0 ? FAULT(-errno) : len == room ? -EFBIG : (ssize_t)len;
	close(fd);
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

int guest_dir_write(struct vmm_guest *g)
{
	char text[VMM_GUEST_FILE_MAX];
	int len;

	len = snprintf(text, sizeof(text),
		       "backend %s\nname %s\nmemory_kib %" PRIu64 "\nvcpus %u\nincoming %d\n"
		       "epoch %" PRIu64 "\nmigration %s\n",
		       g->v->be->name, g->name, g->memory_kib, g->vcpus, g->incoming, g->epoch,
		       g->migration_id);
	return vmm_guest_write_file(g, "guest", text, (size_t)len);
}

static bool number_read(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *ret <= max;
}

static bool string_read(const char *text, char *ret, size_t room)
{
	size_t len = strlen(text);

	if (len >= room)
		return false;
	memcpy(ret, text, len + 1);
	return true;
}

/* One line. ours: it is this backend's. */
static bool line_read(struct vmm_guest *g, const char *name, const char *value, bool *ret_ours)
{
	uint64_t n = 0;

	if (!strcmp(name, "backend"))
		*ret_ours = !strcmp(value, g->v->be->name);
	else if (!strcmp(name, "name"))
		return string_read(value, g->name, sizeof(g->name));
	else if (!strcmp(name, "migration"))
		return string_read(value, g->migration_id, sizeof(g->migration_id));
	else if (!strcmp(name, "epoch"))
		return number_read(value, UINT64_MAX, &g->epoch);
	else if (!strcmp(name, "memory_kib"))
		return number_read(value, UINT64_MAX, &g->memory_kib);
	else if (!strcmp(name, "vcpus") && number_read(value, DEF_VCPUS_MAX, &n))
		g->vcpus = (unsigned int)n;
	else if (!strcmp(name, "incoming") && number_read(value, 1, &n))
		g->incoming = n != 0;
	else
		return false;
	return true;
}

/* 1: this backend's; 0: another's; < 0: -ENOENT: no such file; -EINVAL: not as we wrote it. */
static int guest_file_read(struct vmm_guest *g)
{
	char text[VMM_GUEST_FILE_MAX + 1], *at = text, *line;
	ssize_t len = vmm_guest_read_file(g, "guest", text, sizeof(text));
	bool ours = false;

	if (len < 0)
		return (int)len;
	while ((line = strsep(&at, "\n"))) {
		char *value = strchr(line, ' ');

		if (!*line)
			continue;
		if (!value)
			return -EINVAL;
		*value++ = '\0';
		if (!line_read(g, line, value, &ours))
			return -EINVAL;
	}
	if (!g->name[0])
		return -EINVAL;
	return ours;
}

void guest_dir_remove(struct vmm_guest *g)
{
	DIR *dir;
	struct dirent *e;
	int fd = g->dir_fd < 0 ? -1 : fcntl(g->dir_fd, F_DUPFD_CLOEXEC, 0);

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir && fd >= 0)
		close(fd);
	while (dir && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    unlinkat(g->dir_fd, e->d_name, 0) < 0)
			FAULT(-errno);
	if (dir)
		closedir(dir);
	if (rmdir(g->dir) < 0 && errno != ENOENT)
		FAULT(-errno);
}

/* A guest of that uuid's directory; one that is no guest's and of no process is removed. */
static int scan_one(struct vmm *v, const uint8_t uuid[DEF_UUID_SIZE],
		    int (*found)(struct vmm *v, struct vmm_guest *g))
{
	struct vmm_guest *g = guest_new(v, uuid);
	int r;

	if (!g)
		return -ENOMEM;
	r = dir_open(g);
	if (r == 0) {
		r = guest_file_read(g);
		if (r > 0)
			return found(v, g);
		/* what cannot be read and has no process is what a kernel that ended left */
		if (r < 0 && r != -ENOMEM && process_find(g) == 0)
			guest_dir_remove(g);
		else if (r < 0)
			log_error("%s: not a guest's directory as we write it; left alone", g->dir);
	}
	guest_forget(g);
	return r == -ENOMEM ? r : 0;
}

int guest_dir_scan(struct vmm *v, int (*found)(struct vmm *v, struct vmm_guest *g))
{
	DIR *dir = opendir(v->opt.run_dir);
	struct dirent *e;
	int r = 0;

	if (!dir)
		return FAULT(-errno);
	while (r == 0 && (e = readdir(dir))) {
		uint8_t uuid[DEF_UUID_SIZE];

		if (def_uuid_parse(e->d_name, uuid))
			r = scan_one(v, uuid, found);
	}
	closedir(dir);
	return r;
}

/* A socket's address holds 108 octets, a directory's path more: so it is reached by descriptor. */
static void address_of(struct vmm_guest *g, const char *file, struct sockaddr_un *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", g->dir_fd, file);
}

int vmm_guest_listen(struct vmm_guest *g, const char *file, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0), r = 0;
	struct sockaddr_un sun;

	if (fd < 0)
		return FAULT(-errno);
	address_of(g, file, &sun);
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 || listen(fd, 8) < 0)
		r = FAULT(-errno);
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

int vmm_guest_connect(struct vmm_guest *g, const char *file, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r = 0;
	struct sockaddr_un sun;

	if (fd < 0)
		return FAULT(-errno);
	address_of(g, file, &sun);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		r = -errno;
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}
