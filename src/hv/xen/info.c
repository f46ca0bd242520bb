/* SPDX-License-Identifier: MIT */
/*
 * Questions about one domain, each a hypercall or two of libxenctrl.
 */
#define __XEN_TOOLS__ 1
#include "hv/xen/info.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xenctrl.h>

struct xen_info {
	xc_interface *xc; /* owned */
};

static int error(void)
{
	return errno > 0 ? -errno : -EIO;
}

int xen_info_open(struct xen_info **ret)
{
	struct xen_info *info = calloc(1, sizeof(*info));
	int r;

	if (!info)
		return -ENOMEM;
	info->xc = xc_interface_open(NULL, NULL, 0);
	if (!info->xc) {
		r = error();
		free(info);
		return r;
	}
	*ret = info;
	return 0;
}

void xen_info_close(struct xen_info *info)
{
	if (!info)
		return;
	xc_interface_close(info->xc);
	free(info);
}

static int domain(struct xen_info *info, uint32_t domid, xc_domaininfo_t *ret)
{
	int n = xc_domain_getinfolist(info->xc, domid, 1, ret);

	if (n < 0)
		return error();
	return n == 1 && ret->domain == domid ? 0 : -ENOENT;
}

int xen_info_uuid(struct xen_info *info, uint32_t domid, char ret[37])
{
	xc_domaininfo_t d;
	size_t i, at = 0;
	int r = domain(info, domid, &d);

	if (r)
		return r;
	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			ret[at++] = '-';
		at += (size_t)snprintf(ret + at, 37 - at, "%02x", d.handle[i]);
	}
	return 0;
}

typedef void put_fn(void *arg, const char *field, const char *value);

static void put_number(put_fn *put, void *arg, const char *field, uint32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "%" PRIu32, value);
	put(arg, field, text);
}

static int credit(struct xen_info *info, uint32_t domid, put_fn *put, void *arg)
{
	struct xen_domctl_sched_credit s;

	if (xc_sched_credit_domain_get(info->xc, domid, &s))
		return error();
	put(arg, "sched", "credit");
	put_number(put, arg, "weight", s.weight);
	put_number(put, arg, "cap", s.cap);
	return 0;
}

static int credit2(struct xen_info *info, uint32_t domid, put_fn *put, void *arg)
{
	struct xen_domctl_sched_credit2 s;

	if (xc_sched_credit2_domain_get(info->xc, domid, &s))
		return error();
	put(arg, "sched", "credit2");
	put_number(put, arg, "weight", s.weight);
	put_number(put, arg, "cap", s.cap);
	return 0;
}

static int rtds(struct xen_info *info, uint32_t domid, put_fn *put, void *arg)
{
	struct xen_domctl_sched_rtds s;

	if (xc_sched_rtds_domain_get(info->xc, domid, &s))
		return error();
	put(arg, "sched", "rtds");
	put_number(put, arg, "period", s.period);
	put_number(put, arg, "budget", s.budget);
	return 0;
}

int xen_info_sched(struct xen_info *info, uint32_t domid, put_fn *put, void *arg)
{
	xc_cpupoolinfo_t *pool;
	xc_domaininfo_t d;
	uint32_t sched;
	int r = domain(info, domid, &d);

	if (r)
		return r;
	pool = xc_cpupool_getinfo(info->xc, d.cpupool);
	if (!pool)
		return error();
	sched = pool->sched_id;
	xc_cpupool_infofree(info->xc, pool);
	switch (sched) {
	case XEN_SCHEDULER_CREDIT:
		return credit(info, domid, put, arg);
	case XEN_SCHEDULER_CREDIT2:
		return credit2(info, domid, put, arg);
	case XEN_SCHEDULER_RTDS:
		return rtds(info, domid, put, arg);
	case XEN_SCHEDULER_ARINC653:
		put(arg, "sched", "arinc653");
		return 0;
	case XEN_SCHEDULER_NULL:
		put(arg, "sched", "null");
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}
