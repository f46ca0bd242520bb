/* SPDX-License-Identifier: MIT */
/*
 * libxenmanage, where the build found it.
 *
 * Invariant: without it nothing here is ever called but manage_open, which gives NULL.
 */
#include "hv/xen/manage.h"

#include <errno.h>
#include <stddef.h>

#ifdef HAVE_XENMANAGE
#include <xenmanage.h>

/* Xen 4.21 added the domain's capabilities to both calls. */
#ifdef XENMANAGE_GETDOMSTATE_CAP_CONTROL
#define NO_CAPS NULL,
#else
#define NO_CAPS
#endif

static xenmanage_handle *handle(struct manage *m)
{
	return (xenmanage_handle *)(void *)m;
}

struct manage *manage_open(void)
{
	xenmanage_handle *hdl = xenmanage_open(NULL, 0);
	unsigned int state;

	if (hdl && xenmanage_get_domain_info(hdl, 0, &state, NO_CAPS NULL)) {
		xenmanage_close(hdl); /* a hypervisor that does not know the call */
		return NULL;
	}
	return (struct manage *)(void *)hdl;
}

void manage_close(struct manage *m)
{
	if (m)
		xenmanage_close(handle(m));
}

int manage_domain_info(struct manage *m, uint16_t domid, struct hv_dominfo *ret)
{
	unsigned int state;
	uint64_t unique;

	if (xenmanage_get_domain_info(handle(m), domid, &state, NO_CAPS & unique))
		return errno == ESRCH ? -ENOENT : -errno;
	if (!(state & XENMANAGE_GETDOMSTATE_STATE_EXIST))
		return -ENOENT;
	*ret = (struct hv_dominfo){
		.domid = domid,
		.shutdown = (state & XENMANAGE_GETDOMSTATE_STATE_SHUTDOWN) != 0,
		.dying = (state & XENMANAGE_GETDOMSTATE_STATE_DYING) != 0,
		.unique = unique,
	};
	return 0;
}

int manage_next_changed(struct manage *m, uint16_t *ret_domid)
{
	unsigned int domid;

	do {
		if (xenmanage_poll_changed_domain(handle(m), &domid, NULL, NO_CAPS NULL))
			return 0;
	} while (domid >= HV_DOMID_FIRST_RESERVED);
	*ret_domid = (uint16_t)domid;
	return 1;
}

#else

struct manage *manage_open(void)
{
	return NULL;
}

void manage_close(struct manage *m)
{
	(void)m;
}

int manage_domain_info(struct manage *m, uint16_t domid, struct hv_dominfo *ret)
{
	(void)m;
	(void)domid;
	(void)ret;
	return -ENOSYS;
}

int manage_next_changed(struct manage *m, uint16_t *ret_domid)
{
	(void)m;
	(void)ret_domid;
	return 0;
}

#endif
