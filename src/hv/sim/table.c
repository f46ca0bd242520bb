/* SPDX-License-Identifier: MIT */
/*
 * The shared table of a simulated hypervisor: opening it, its lock, raising events.
 *
 * Invariant: whoever holds the lock has said in under_way which domain it changes; the next
 * holder who finds that still said reports the domain as changed and delivers the report even
 * where a listener seems to have been told already.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hv/sim/layout.h"

static int dir_make(const char *dir)
{
	char path[PATH_MAX];
	size_t len = strlen(dir);

	if (!len || len >= sizeof(path))
		return len ? -ENAMETOOLONG : -EINVAL;
	memcpy(path, dir, len + 1);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static int table_init(struct sim *s)
{
	struct sim_table *t = s->table;
	int r;

	memset(t, 0, sizeof(*t));
	t->version = SIM_VERSION;
	t->next_unique = 1;
	t->next_domid = 1;
	bits_set(&t->used, 0); /* port 0 is nobody's */
	r = sim_domain_begin(s, 0);
	if (r)
		return r;
	atomic_store(&t->magic, SIM_MAGIC);
	return 0;
}

static int table_map(struct sim *s)
{
	struct stat st;
	void *map;
	int fd, r = 0;

	fd = openat(s->dir_fd, "table", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		r = -errno;
	else if (!st.st_size)
		r = ftruncate(fd, (off_t)sizeof(struct sim_table)) ? -errno : 0;
	else if (st.st_size != (off_t)sizeof(struct sim_table))
		r = -EPROTO;
	if (!r) {
		map = mmap(NULL, sizeof(struct sim_table), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   0);
		if (map == MAP_FAILED)
			r = -errno;
		else
			s->table = map;
	}
	close(fd);
	return r;
}

static int table_open(struct sim *s)
{
	uint32_t magic;
	int r;

	r = table_map(s);
	if (r)
		return r;
	assert(s->table);
	magic = atomic_load(&s->table->magic);
	if (!magic) /* new, or its maker was killed */
		return table_init(s);
	return magic == SIM_MAGIC && s->table->version == SIM_VERSION ? 0 : -EPROTO;
}

static int sim_open_files(struct sim *s, const char *dir)
{
	int r;

	r = dir_make(dir);
	if (r)
		return r;
	s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return -errno;
	if (mkdirat(s->dir_fd, "dom", 0700) && errno != EEXIST)
		return -errno;
	if (mkfifoat(s->dir_fd, "wake", 0600) && errno != EEXIST)
		return -errno;
	s->dom_fd = openat(s->dir_fd, "dom", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	s->wake_fd = openat(s->dir_fd, "wake", O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->dom_fd < 0 || s->wake_fd < 0 || s->lock_fd < 0)
		return -errno;
	return 0;
}

int sim_open(const char *dir, struct sim **ret_sim)
{
	struct sim *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->dir_fd = s->dom_fd = s->lock_fd = s->wake_fd = -1;
	r = sim_open_files(s, dir);
	if (!r)
		r = flock(s->lock_fd, LOCK_EX) ? -errno : 0;
	if (!r) {
		r = table_open(s);
		flock(s->lock_fd, LOCK_UN);
	}
	if (r) {
		sim_close(s);
		return r;
	}
	*ret_sim = s;
	return 0;
}

void sim_close(struct sim *s)
{
	if (!s)
		return;
	if (s->table)
		munmap(s->table, sizeof(*s->table));
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->dom_fd >= 0)
		close(s->dom_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s);
}

/* A holder of the lock was killed while it changed domid. */
static void sim_recover(struct sim *s, uint32_t domid)
{
	struct sim_table *t = s->table;

	bits_repair(&t->exists);
	bits_repair(&t->changed);
	bits_repair(&t->ready);
	if (domid < HV_DOMID_FIRST_RESERVED)
		bits_set(&t->changed, domid);
	for (uint32_t i = 0; i < SIM_LISTENERS; i++) {
		uint32_t port = atomic_load(&t->listener[i].port);

		if (!port || port >= SIM_PORTS)
			continue;
		sim_raise(s, port);
		bits_set(&t->ready, port);
		sim_poke(s);
	}
}

int sim_lock(struct sim *s, uint16_t domid)
{
	uint32_t left;

	while (flock(s->lock_fd, LOCK_EX))
		if (errno != EINTR)
			return -errno;
	left = atomic_exchange(&s->table->under_way, 1u + domid);
	if (left)
		sim_recover(s, left - 1u);
	return 0;
}

void sim_unlock(struct sim *s)
{
	atomic_store(&s->table->under_way, 0);
	flock(s->lock_fd, LOCK_UN);
}

void sim_poke(struct sim *s)
{
	/* A FIFO too full to take an octet is readable, which is all that is wanted. */
	if (write(s->wake_fd, "", 1) < 0)
		return;
}

void sim_raise(struct sim *s, uint32_t port)
{
	struct sim_port *p;
	uint32_t was, want;

	if (!port || port >= SIM_PORTS)
		return;
	p = &s->table->port[port];
	was = atomic_load(&p->state);
	do {
		want = was & SIM_MASKED ? SIM_MASKED | SIM_PENDING : SIM_MASKED;
	} while (!atomic_compare_exchange_weak(&p->state, &was, want));
	if (was & SIM_MASKED)
		return;
	bits_set(&s->table->ready, port);
	sim_poke(s);
}
