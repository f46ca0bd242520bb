/* SPDX-License-Identifier: MIT */
/*
 * Domains of a simulated hypervisor: creation, shutdown, death. All under the lock.
 *
 * Invariant: a domain's files and ports are complete before SIM_EXISTS is set, and its life
 * number differs from every earlier one's; at its end the ports go first, then the number, so
 * that a channel to an earlier life leads nowhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hv/sim/layout.h"

#define NAME_SIZE 16u

static void ring_name(char *name, uint16_t domid)
{
	snprintf(name, NAME_SIZE, "%u.ring", domid);
}

static void wake_name(char *name, uint16_t domid)
{
	snprintf(name, NAME_SIZE, "%u.wake", domid);
}

int sim_open_ring(struct sim *s, uint16_t domid)
{
	char name[NAME_SIZE];
	int fd;

	ring_name(name, domid);
	fd = openat(s->dom_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int sim_open_wake(struct sim *s, uint16_t domid)
{
	char name[NAME_SIZE];
	int fd;

	wake_name(name, domid);
	fd = openat(s->dom_fd, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

int sim_map_ring(int fd, void **ret_page)
{
	struct stat st;
	void *page;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)HV_RING_SIZE)
		return -EINVAL;
	page = mmap(NULL, HV_RING_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	*ret_page = page;
	return 0;
}

static void files_remove(struct sim *s, uint16_t domid)
{
	char name[NAME_SIZE];

	ring_name(name, domid);
	unlinkat(s->dom_fd, name, 0);
	wake_name(name, domid);
	unlinkat(s->dom_fd, name, 0);
}

static int files_make(struct sim *s, uint16_t domid)
{
	char name[NAME_SIZE];
	int fd, r = 0;

	files_remove(s, domid); /* what a killed process left */
	ring_name(name, domid);
	fd = openat(s->dom_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, HV_RING_SIZE))
		r = -errno;
	close(fd);
	wake_name(name, domid);
	if (!r && mkfifoat(s->dom_fd, name, 0600))
		r = -errno;
	if (r)
		files_remove(s, domid);
	return r;
}

int sim_domain_begin(struct sim *s, uint16_t domid)
{
	struct sim_dom *d = &s->table->dom[domid];
	int r;

	r = files_make(s, domid);
	if (r)
		return r;
	for (uint32_t g = 0; g <= SIM_GUEST_PORTS; g++)
		atomic_store(&d->gport[g], g == SIM_XS_PORT ? SIM_UNBOUND : 0);
	atomic_store(&d->told, 0);
	atomic_store(&d->unique, s->table->next_unique++);
	atomic_store(&d->state, SIM_EXISTS);
	bits_set(&s->table->exists, domid);
	return 0;
}

/* Reports a change of domid to whoever listens. */
static void domain_announce(struct sim *s, uint16_t domid, bool birth)
{
	struct sim_table *t = s->table;

	bits_set(&t->changed, domid);
	for (uint32_t i = 0; i < SIM_LISTENERS; i++)
		if (!birth || atomic_load(&t->listener[i].births))
			sim_raise(s, atomic_load(&t->listener[i].port));
}

/* A free domid from `next` on, around; 0: none. */
static uint16_t domid_find(struct sim *s)
{
	uint32_t domid = s->table->next_domid;

	for (uint32_t n = 1; n < HV_DOMID_FIRST_RESERVED; n++, domid++) {
		if (!domid || domid >= HV_DOMID_FIRST_RESERVED)
			domid = 1;
		if (!atomic_load(&s->table->dom[domid].state))
			return (uint16_t)domid;
	}
	return 0;
}

int sim_domain_create(struct sim *s, uint16_t domid, uint16_t *ret_domid)
{
	uint16_t want = domid;
	int r;

	if (domid >= HV_DOMID_FIRST_RESERVED)
		return -EINVAL;
	r = sim_lock(s, domid);
	if (r)
		return r;
	if (!domid)
		domid = domid_find(s);
	if (!domid)
		r = -ENOSPC;
	else if (atomic_load(&s->table->dom[domid].state))
		r = -EEXIST;
	if (!r) {
		atomic_store(&s->table->under_way, 1u + domid);
		r = sim_domain_begin(s, domid);
	}
	if (!r) {
		if (!want)
			s->table->next_domid = domid + 1u;
		domain_announce(s, domid, true);
	}
	sim_unlock(s);
	if (!r && ret_domid)
		*ret_domid = domid;
	return r;
}

/* Sets and clears bits of an existing domain's state. As on Xen nobody is told that one goes on. */
static int domain_change(struct sim *s, uint16_t domid, uint32_t set, uint32_t clear)
{
	struct sim_dom *d;
	uint32_t state;
	int r;

	if (!domid)
		return -EINVAL;
	if (domid >= HV_DOMID_FIRST_RESERVED)
		return -ENOENT;
	r = sim_lock(s, domid);
	if (r)
		return r;
	d = &s->table->dom[domid];
	state = atomic_load(&d->state);
	if (!state) {
		r = -ENOENT;
	} else if (((state | set) & ~clear) != state) {
		atomic_store(&d->state, (state | set) & ~clear);
		if (set)
			domain_announce(s, domid, false);
	}
	sim_unlock(s);
	return r;
}

int sim_domain_shutdown(struct sim *s, uint16_t domid)
{
	return domain_change(s, domid, SIM_SHUTDOWN, 0);
}

int sim_domain_resume(struct sim *s, uint16_t domid)
{
	return domain_change(s, domid, 0, SIM_SHUTDOWN);
}

int sim_domain_kill(struct sim *s, uint16_t domid)
{
	return domain_change(s, domid, SIM_DYING, 0);
}

int sim_domain_destroy(struct sim *s, uint16_t domid)
{
	struct sim_dom *d;
	int r;

	r = domain_change(s, domid, SIM_DYING, 0);
	if (r)
		return r;
	r = sim_lock(s, domid);
	if (r)
		return r;
	d = &s->table->dom[domid];
	if (!(atomic_load(&d->state) & SIM_DYING)) {
		sim_unlock(s);
		return -ENOENT; /* another was faster */
	}
	for (uint32_t g = 0; g <= SIM_GUEST_PORTS; g++)
		atomic_store(&d->gport[g], 0);
	atomic_store(&d->unique, 0);
	files_remove(s, domid);
	bits_clear(&s->table->exists, domid);
	atomic_store(&d->state, 0);
	domain_announce(s, domid, false);
	sim_unlock(s);
	return 0;
}

int sim_domain_life(struct sim *s, uint16_t domid, uint64_t *ret_unique, uint32_t *ret_state)
{
	struct sim_dom *d;
	uint64_t unique;
	uint32_t state;

	if (domid >= HV_DOMID_FIRST_RESERVED)
		return -ENOENT;
	d = &s->table->dom[domid];
	unique = atomic_load(&d->unique);
	state = atomic_load(&d->state);
	if (!unique || !(state & SIM_EXISTS))
		return -ENOENT;
	*ret_unique = unique;
	*ret_state = state;
	return 0;
}

int sim_domain_info(struct sim *s, uint16_t domid, struct sim_dominfo *ret)
{
	uint32_t state, port;
	uint64_t unique;
	int r;

	r = sim_domain_life(s, domid, &unique, &state);
	if (r)
		return r;
	port = atomic_load(&s->table->dom[domid].gport[SIM_XS_PORT]);
	*ret = (struct sim_dominfo){
		.domid = domid,
		.shutdown = (state & SIM_SHUTDOWN) != 0,
		.dying = (state & SIM_DYING) != 0,
		.bound = port && port != SIM_UNBOUND,
		.unique = unique,
	};
	return 0;
}

int sim_domain_next(struct sim *s, uint32_t from, struct sim_dominfo *ret)
{
	while (from < HV_DOMID_FIRST_RESERVED) {
		int32_t domid = bits_find(&s->table->exists, from);

		if (domid < 0 || domid >= (int32_t)HV_DOMID_FIRST_RESERVED)
			return 0;
		if (!sim_domain_info(s, (uint16_t)domid, ret))
			return 1;
		from = (uint32_t)domid + 1u;
	}
	return 0;
}
