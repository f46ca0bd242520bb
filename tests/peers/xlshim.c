/* SPDX-License-Identifier: MIT */
/*
 * The part of libxenctrl that libxl and xl 4.17 ask about domains they did not build themselves,
 * answered from a text file, so that Debian's own xl serves as a judge without a hypervisor:
 *
 *   DROVER_SIM_DIR=/dev/shm/x LD_PRELOAD=build/tests/peers/xlshim.so xl block-attach 7 ...
 *
 * $DROVER_SIM_DIR/domains has a line for each domain, in ascending order:
 *
 *   domid uuid type vcpus mem_kb max_kb [flags]
 *
 * with type pv, pvh or hvm and flags of p (paused), s (shut down), d (dying). redirect.c leads
 * /var/lib/xen, where libxl keeps its records, into the same directory. With DROVER_NO_STORE set
 * no store is connected to, for what only parses and prints.
 *
 * Invariant: the file is the whole truth, looked at anew whenever it was replaced; what is not
 * provided here fails in the real library, which was opened as a dummy.
 */
#define __XEN_TOOLS__ 1
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <uuid/uuid.h>
#include <xen/io/protocols.h>
#include <xenctrl.h>
#include <xenstore.h>

#include "redirect.h"

#define EXPORT __attribute__((visibility("default")))

#define CPUS 4
#define PAGE_KB 4
#define LINE_SIZE 256

struct xl_domain {
	uint32_t domid;
	uuid_t uuid;
	char type[8];
	unsigned int vcpus;
	uint64_t mem_kb, max_kb;
	char flags[8];
};

static struct {
	struct xl_domain *v; /* owned */
	size_t n;
	struct stat seen;
} domains;

static void *real(const char *name)
{
	void *sym = dlsym(RTLD_NEXT, name);

	if (!sym)
		abort();
	return sym;
}

/* ---- the file ---- */

static bool domain_parse(const char *line, struct xl_domain *ret)
{
	char uuid[40];

	memset(ret, 0, sizeof(*ret));
	return sscanf(line, "%u %39s %7s %u %lu %lu %7s", &ret->domid, uuid, ret->type, &ret->vcpus,
		      &ret->mem_kb, &ret->max_kb, ret->flags) >= 6 &&
	       !uuid_parse(uuid, ret->uuid);
}

static void domains_read(FILE *f)
{
	char line[LINE_SIZE];
	struct xl_domain d, *v;

	domains.n = 0;
	while (fgets(line, sizeof(line), f)) {
		if (!domain_parse(line, &d))
			continue;
		v = realloc(domains.v, (domains.n + 1) * sizeof(*v));
		if (!v)
			abort();
		domains.v = v;
		domains.v[domains.n++] = d;
	}
}

static void domains_refresh(void)
{
	char path[4096];
	struct stat st;
	FILE *f;

	snprintf(path, sizeof(path), "%s/domains", shim_dir() ? shim_dir() : ".");
	f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st)) {
		domains.n = 0;
	} else if (st.st_ino != domains.seen.st_ino || st.st_size != domains.seen.st_size ||
		   memcmp(&st.st_mtim, &domains.seen.st_mtim, sizeof(st.st_mtim)) != 0) {
		domains_read(f);
		domains.seen = st;
	}
	if (f)
		fclose(f);
}

/* The index of the first domain from `first` on. */
static size_t domains_from(uint32_t first)
{
	size_t low = 0, high;

	domains_refresh();
	high = domains.n;
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (domains.v[mid].domid < first)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* ---- domains ---- */

EXPORT int xc_domain_getinfolist(xc_interface *xch, uint32_t first, unsigned int max,
				 xc_domaininfo_t *info)
{
	size_t from = domains_from(first);
	unsigned int n;

	(void)xch;
	for (n = 0; n < max && from + n < domains.n; n++) {
		const struct xl_domain *d = &domains.v[from + n];

		memset(&info[n], 0, sizeof(info[n]));
		info[n].domain = (domid_t)d->domid;
		info[n].flags = XEN_DOMINF_blocked;
		if (strcmp(d->type, "pv") != 0)
			info[n].flags |= XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;
		if (strchr(d->flags, 'p'))
			info[n].flags |= XEN_DOMINF_paused;
		if (strchr(d->flags, 's'))
			info[n].flags |= XEN_DOMINF_shutdown;
		if (strchr(d->flags, 'd'))
			info[n].flags |= XEN_DOMINF_dying;
		info[n].tot_pages = d->mem_kb / PAGE_KB;
		info[n].max_pages = d->max_kb / PAGE_KB;
		info[n].nr_online_vcpus = d->vcpus;
		info[n].max_vcpu_id = d->vcpus - 1;
		memcpy(info[n].handle, d->uuid, sizeof(info[n].handle));
		info[n].gpaddr_bits = 46;
	}
	return (int)n;
}

EXPORT int xc_domain_getinfo(xc_interface *xch, uint32_t first, unsigned int max,
			     xc_dominfo_t *info)
{
	unsigned int n;

	for (n = 0; n < max; n++) {
		xc_domaininfo_t one;

		if (!xc_domain_getinfolist(xch, first, 1, &one))
			break;
		memset(&info[n], 0, sizeof(info[n]));
		info[n].domid = one.domain;
		info[n].hvm = !!(one.flags & XEN_DOMINF_hvm_guest);
		info[n].hap = !!(one.flags & XEN_DOMINF_hap);
		info[n].paused = !!(one.flags & XEN_DOMINF_paused);
		info[n].shutdown = !!(one.flags & XEN_DOMINF_shutdown);
		info[n].dying = !!(one.flags & XEN_DOMINF_dying);
		info[n].blocked = 1;
		info[n].nr_pages = (unsigned long)one.tot_pages;
		info[n].max_memkb = (unsigned long)one.max_pages * PAGE_KB;
		info[n].nr_online_vcpus = one.nr_online_vcpus;
		info[n].max_vcpu_id = one.max_vcpu_id;
		info[n].gpaddr_bits = one.gpaddr_bits;
		memcpy(info[n].handle, one.handle, sizeof(info[n].handle));
		first = one.domain + 1u;
	}
	if (n)
		return (int)n;
	errno = ESRCH;
	return -1;
}

EXPORT const char *xc_domain_get_native_protocol(xc_interface *xch, uint32_t domid)
{
	(void)xch;
	(void)domid;
	return XEN_IO_PROTO_ABI_NATIVE;
}

EXPORT int xc_sched_id(xc_interface *xch, int *sched_id)
{
	(void)xch;
	*sched_id = XEN_SCHEDULER_CREDIT2;
	return 0;
}

EXPORT int xc_sched_credit2_domain_get(xc_interface *xch, uint32_t domid,
				       struct xen_domctl_sched_credit2 *sdom)
{
	(void)xch;
	(void)domid;
	sdom->weight = 256;
	sdom->cap = 0;
	return 0;
}

EXPORT int xc_domain_setmaxmem(xc_interface *xch, uint32_t domid, uint64_t max_memkb)
{
	(void)xch;
	(void)domid;
	(void)max_memkb;
	return 0;
}

EXPORT int xc_domain_set_pod_target(xc_interface *xch, uint32_t domid, uint64_t target_pages,
				    uint64_t *tot_pages, uint64_t *pod_cache_pages,
				    uint64_t *pod_entries)
{
	(void)xch;
	(void)domid;
	(void)target_pages;
	(void)tot_pages;
	(void)pod_cache_pages;
	(void)pod_entries;
	return 0;
}

/* ---- the host ---- */

/* A dummy of the real library: what is not answered here fails there, and does not crash. */
EXPORT xc_interface *xc_interface_open(xentoollog_logger *log, xentoollog_logger *dombuild,
				       unsigned int flags)
{
	__typeof__(&xc_interface_open) next = (__typeof__(next))real("xc_interface_open");

	return next(log, dombuild, flags | XC_OPENFLAG_DUMMY);
}

EXPORT xc_cpupoolinfo_t *xc_cpupool_getinfo(xc_interface *xch, uint32_t poolid)
{
	xc_cpupoolinfo_t *pool;

	(void)xch;
	if (poolid != 0 && poolid != XC_CPUPOOL_POOLID_ANY) {
		errno = ENOENT;
		return NULL;
	}
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return NULL;
	pool->sched_id = XEN_SCHEDULER_CREDIT2;
	pool->cpumap = calloc(1, sizeof(uint64_t));
	if (!pool->cpumap) {
		free(pool);
		return NULL;
	}
	pool->cpumap[0] = (1u << CPUS) - 1;
	pool->n_dom = (uint32_t)(domains_from(0), domains.n);
	return pool;
}

EXPORT void xc_cpupool_infofree(xc_interface *xch, xc_cpupoolinfo_t *info)
{
	(void)xch;
	if (info)
		free(info->cpumap);
	free(info);
}

EXPORT int xc_get_max_cpus(xc_interface *xch)
{
	(void)xch;
	return CPUS;
}

EXPORT int xc_get_online_cpus(xc_interface *xch)
{
	(void)xch;
	return CPUS;
}

EXPORT int xc_get_max_nodes(xc_interface *xch)
{
	(void)xch;
	return 1;
}

EXPORT int xc_physinfo(xc_interface *xch, xc_physinfo_t *info)
{
	(void)xch;
	memset(info, 0, sizeof(*info));
	info->nr_cpus = CPUS;
	info->max_cpu_id = CPUS - 1;
	info->nr_nodes = 1;
	info->threads_per_core = 1;
	info->cores_per_socket = CPUS;
	info->cpu_khz = 3000000;
	info->total_pages = 1u << 22;
	info->free_pages = 1u << 21;
	info->capabilities =
		XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_hap;
	return 0;
}

EXPORT long xc_sharing_freed_pages(xc_interface *xch)
{
	(void)xch;
	return 0;
}

EXPORT long xc_sharing_used_frames(xc_interface *xch)
{
	(void)xch;
	return 0;
}

/* As long as the smallest of what the commands fill in: xen_changeset_info_t and its like. */
EXPORT int xc_version(xc_interface *xch, int cmd, void *arg)
{
	(void)xch;
	switch (cmd) {
	case XENVER_version:
		return 4 << 16 | 17;
	case XENVER_pagesize:
		return XC_PAGE_SIZE;
	default:
		if (arg)
			memset(arg, 0, sizeof(xen_extraversion_t));
		return 0;
	}
}

EXPORT int xc_flask_sid_to_context(xc_interface *xch, int sid, char *buf, uint32_t size)
{
	(void)xch;
	(void)sid;
	(void)buf;
	(void)size;
	errno = ENOSYS; /* no XSM */
	return -1;
}

/* ---- no store ---- */

static struct xs_handle *no_store(void)
{
	static long octets;

	return getenv("DROVER_NO_STORE") ? (struct xs_handle *)(void *)&octets : NULL;
}

EXPORT struct xs_handle *xs_open(unsigned long flags)
{
	__typeof__(&xs_open) next = (__typeof__(next))real("xs_open");

	return no_store() ? no_store() : next(flags);
}

EXPORT void xs_close(struct xs_handle *xsh)
{
	__typeof__(&xs_close) next = (__typeof__(next))real("xs_close");

	if (xsh != no_store())
		next(xsh);
}
