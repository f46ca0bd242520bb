/* SPDX-License-Identifier: MIT */
/*
 * One backend opened, its guests found again, new ones started. Invariant: a guest is on the list
 * from the moment that its directory exists until vmm_guest_free; vmm_free touches no process.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "vmm/inner.h"

void *vmm_priv(const struct vmm *v)
{
	return v->priv;
}

const struct vmm_options *vmm_options(const struct vmm *v)
{
	return &v->opt;
}

const char *vmm_name(const struct vmm *v)
{
	return v->be->name;
}

const char *vmm_version(const struct vmm *v, unsigned long *ret_number)
{
	return v->be->version(v, ret_number);
}

unsigned int vmm_can(const struct vmm *v)
{
	return v->be->can;
}

int vmm_fd(const struct vmm *v)
{
	return v->epoll;
}

static int copy_text(const char *text, const char **ret)
{
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? FAULT(-ENOMEM) : 0;
}

static int options_copy(struct vmm *v, const struct vmm_options *opt)
{
	int r;

	if (!opt->run_dir)
		return FAULT(-EINVAL);
	r = copy_text(opt->run_dir, &v->opt.run_dir);
	r = r ? r : copy_text(opt->log_dir, &v->opt.log_dir);
	r = r ? r : copy_text(opt->host_name ? opt->host_name : "localhost", &v->opt.host_name);
	return r ? r : copy_text(opt->program, &v->opt.program);
}

static void options_fini(struct vmm *v)
{
	free((void *)(uintptr_t)v->opt.run_dir);
	free((void *)(uintptr_t)v->opt.log_dir);
	free((void *)(uintptr_t)v->opt.host_name);
	free((void *)(uintptr_t)v->opt.program);
}

/* With all folders above it. */
static int make_dirs(const char *path)
{
	char *copy = strdup(path), *at = copy;
	int r = 0;

	if (!copy)
		return FAULT(-ENOMEM);
	while (r == 0 && at) {
		at = strchr(at + 1, '/');
		if (at)
			*at = '\0';
		if (*copy && mkdir(copy, 0711) < 0 && errno != EEXIST)
			r = FAULT(-errno);
		if (at)
			*at = '/';
	}
	free(copy);
	return r;
}

/* A guest of a former daemon: on the list, and told. */
static int guest_found(struct vmm *v, struct vmm_guest *g)
{
	int alive = process_find(g);
	bool watched = false;

	if (alive < 0) {
		log_error("guest %s: its process cannot be told; left alone", g->dir);
		guest_forget(g);
		return alive == -ENOMEM ? alive : 0;
	}
	list_append(&v->guests, &g->link);
	v->n_guests++;
	g->state = VMM_STARTING;
	g->reason = VMM_FOUND;
	if (!alive && v->be->revive) {
		int r = v->be->revive(g);

		alive = r == 0;
		if (r < 0 && r != -ENOENT)
			log_error("guest %s: nothing can go on with its domain", g->name);
		watched = alive;
	}
	if (!alive) {
		g->released = true;
		v->events->found(v->data, g);
		vmm_guest_enter(g, VMM_GONE, v->be->died(g, -1));
		return 0;
	}
	if ((!watched && process_watch(g) < 0) || v->be->find(g) < 0)
		log_error("guest %s: it cannot be reached, only destroyed", g->name);
	v->events->found(v->data, g);
	return 0;
}

int vmm_open_backend(const struct vmm_backend *be, const struct vmm_options *opt,
		     const struct vmm_events *events, void *data, struct vmm **ret)
{
	struct vmm *v = calloc(1, sizeof(*v));
	bool opened = false;
	int r;

	if (!v)
		return FAULT(-ENOMEM);
	v->be = be;
	v->events = events;
	v->data = data;
	v->epoll = v->wake = -1;
	list_init(&v->guests);
	r = loop_init(v);
	r = r ? r : options_copy(v, opt);
	r = r ? r : make_dirs(v->opt.run_dir);
	if (r == 0 && v->opt.log_dir)
		r = make_dirs(v->opt.log_dir);
	r = r ? r : process_boot_id(v->boot_id);
	v->priv = calloc(1, be->size ? be->size : 1);
	if (!v->priv)
		r = FAULT(-ENOMEM);
	if (r == 0) {
		opened = true;
		r = be->open ? be->open(v) : 0;
	}
	r = r ? r : guest_dir_scan(v, guest_found);
	if (r < 0) {
		if (!opened) {
			free(v->priv);
			v->priv = NULL;
		}
		vmm_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

int vmm_open(const char *backend, const struct vmm_options *opt, const struct vmm_events *events,
	     void *data, struct vmm **ret)
{
	const struct vmm_backend *be = vmm_backend_find(backend);

	if (!be) {
		log_error("there is no backend called \"%s\"", backend);
		return -EINVAL;
	}
	return vmm_open_backend(be, opt, events, data, ret);
}

void vmm_free(struct vmm *v)
{
	struct vmm_guest *g;

	if (!v)
		return;
	assert(!v->round);
	list_for_each(g, &v->guests, link) {
		if (!g->released)
			v->be->release(g);
		guest_forget(g);
	}
	if (v->priv && v->be->close)
		v->be->close(v);
	loop_fini(v);
	options_fini(v);
	free(v->priv);
	free(v);
}

/* It becomes a file's name, and a line of one. */
static int check_name(const struct guest_def *def, char *text, size_t room)
{
	const char *name = def->name;

	if (!name || !*name || strlen(name) > DEF_NAME_MAX) {
		snprintf(text, room, "<name> has to have 1 to %u octets", DEF_NAME_MAX);
		return -EINVAL;
	}
	for (const char *c = name; *c; c++)
		if (*c == '/' || (unsigned char)*c < ' ' || *c == 127) {
			snprintf(text, room, "<name> may not contain '/' or control characters");
			return -EINVAL;
		}
	if (name[0] == '.') {
		snprintf(text, room, "<name> may not begin with '.'");
		return -EINVAL;
	}
	return 0;
}

/* What happens to a guest that ends by itself: what nobody would follow is not taken. */
static int check_action(const struct vmm *v, const char *element, enum def_action action,
			char *text, size_t room)
{
	if (action == DEF_DESTROY || action == DEF_RESTART ||
	    (action == DEF_PRESERVE && v->be->preserves))
		return 0;
	snprintf(text, room, "<%s>%s is not supported: destroy%s restart are", element,
		 action == DEF_PRESERVE ? "preserve" : "rename-restart",
		 v->be->preserves ? ", preserve and" : " and");
	return -EOPNOTSUPP;
}

static int check_actions(const struct vmm *v, const struct guest_def *def, char *text, size_t room)
{
	int r = check_action(v, "on_poweroff", def->on_poweroff, text, room);

	r = r ? r : check_action(v, "on_reboot", def->on_reboot, text, room);
	r = r ? r : check_action(v, "on_crash", def->on_crash, text, room);
	/* one that is to end when it reboots has ended by itself, and would be started again */
	if (r == 0 && def->on_reboot == DEF_DESTROY && def->on_poweroff == DEF_RESTART) {
		snprintf(text, room,
			 "<on_reboot>destroy with <on_poweroff>restart is not supported");
		r = -EOPNOTSUPP;
	}
	return r;
}

int vmm_check(struct vmm *v, const struct guest_def *def, char *text, size_t room)
{
	int r = check_name(def, text, room);

	if (r < 0)
		return r;
	if (def->memory_kib < DEF_MEMORY_MIN_KIB) {
		snprintf(text, room, "<memory> is less than %u KiB", DEF_MEMORY_MIN_KIB);
		return -EINVAL;
	}
	if (def->vcpus < 1 || def->vcpus > DEF_VCPUS_MAX) {
		snprintf(text, room, "<vcpu> is not 1 to %u", DEF_VCPUS_MAX);
		return -EINVAL;
	}
	r = check_actions(v, def, text, room);
	return r < 0 ? r : v->be->check(v, def, text, room);
}

/* Everything of a new guest but its process. */
static int guest_make(struct vmm *v, const struct guest_def *def, unsigned int flags,
		      uint64_t epoch, const char *migration_id, struct vmm_guest **ret)
{
	struct vmm_guest *g = guest_new(v, def->uuid);
	int r;

	if (!g)
		return -ENOMEM;
	snprintf(g->name, sizeof(g->name), "%s", def->name);
	snprintf(g->migration_id, sizeof(g->migration_id), "%s", migration_id ? migration_id : "");
	g->memory_kib = def->memory_kib;
	g->vcpus = def->vcpus;
	g->epoch = epoch;
	g->incoming = flags & VMM_START_INCOMING;
	g->state = VMM_STARTING;
	g->def = def_copy(def);
	r = g->def ? guest_dir_make(g) : -ENOMEM;
	if (r == 0) {
		r = guest_dir_write(g);
		if (r < 0)
			guest_dir_remove(g);
	}
	if (r < 0) {
		guest_forget(g);
		return r;
	}
	list_append(&v->guests, &g->link);
	v->n_guests++;
	*ret = g;
	return 0;
}

/* Nothing is left of it but the words. */
static int start_undo(struct vmm_guest *g, int r)
{
	struct vmm *v = g->v;

	snprintf(v->start_why, sizeof(v->start_why), "%s", g->err ? g->why : strerror(-r));
	if (!g->released)
		v->be->release(g);
	v->n_guests--;
	guest_dir_remove(g);
	guest_forget(g);
	return r;
}

int vmm_start(struct vmm *v, const struct guest_def *def, unsigned int flags, uint64_t epoch,
	      const char *migration_id, vmm_done_fn *done, void *data, struct vmm_guest **ret_guest)
{
	struct vmm_guest *g = NULL;
	struct vmm_call *call;
	int r = vmm_check(v, def, v->start_why, sizeof(v->start_why));

	if (r < 0) {
		log_error("guest %s: %s", def->name ? def->name : "", v->start_why);
		return r;
	}
	r = v->n_guests < VMM_GUESTS_MAX ? guest_make(v, def, flags, epoch, migration_id, &g)
					 : -ENOSPC;
	if (r < 0) {
		snprintf(v->start_why, sizeof(v->start_why), "%s",
			 r == -EEXIST	? "there is a process of this guest already"
			 : r == -ENOSPC ? "there are too many guests, or no room for them"
					: strerror(-r));
		return r;
	}
	call = call_new(g, CALL_START, done, data);
	r = call ? v->be->start(g, flags, call) : -ENOMEM;
	if (r < 0)
		return start_undo(g, r);
	*ret_guest = g;
	return 0;
}

const char *vmm_start_why(const struct vmm *v)
{
	return v->start_why;
}
