/* SPDX-License-Identifier: MIT */
/*
 * Whether a Xen host can be served, found out beside a daemon that serves it. Invariant: nothing
 * is bound or mapped, so that the other daemon has all it had.
 */
#include <errno.h>
#include <stdio.h>

#include <xenctrl.h>
#include <xengnttab.h>

#include "hv/hv.h"

static unsigned int version_part(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned int n = 0;

	if (f && fscanf(f, "%u", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

int hv_xen_probe(struct hv_probe *ret)
{
	xengnttab_handle *gnttab;
	xc_domaininfo_t info;
	xc_interface *xc;
	int n, err;

	errno = 0;
	xc = xc_interface_open(NULL, NULL, 0);
	if (!xc)
		return errno ? -errno : -ENODEV;
	/* a library of another version than the hypervisor's gets EACCES here */
	n = xc_domain_getinfolist(xc, 0, 1, &info);
	err = errno ? errno : EIO;
	xc_interface_close(xc);
	if (n < 0)
		return -err;
	if (n != 1 || info.domain)
		return -EIO;
	gnttab = xengnttab_open(NULL, 0);
	ret->grants = gnttab != NULL;
	if (gnttab)
		xengnttab_close(gnttab);
	ret->major = version_part("/sys/hypervisor/version/major");
	ret->minor = version_part("/sys/hypervisor/version/minor");
	return 0;
}
