/* SPDX-License-Identifier: MIT */
/*
 * Domain management (xenstore.txt, "Domain management and xenstored communications"), features
 * and CONTROL's entry.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "conn/ring.h"
#include "op/op.h"

static int arg_domid(const struct op_call *o, size_t i, uint16_t *ret)
{
	return path_parse_domid(o->arg[i], o->arg_len[i], ret);
}

int op_introduce(struct op_call *o)
{
	char *end_gfn, *end_port;
	uint16_t domid;
	long long gfn;
	long port;

	if (arg_domid(o, 0, &domid))
		return EINVAL;
	/* signed decimal, as the document has it */
	errno = 0;
	gfn = strtoll(o->arg[1], &end_gfn, 10);
	port = strtol(o->arg[2], &end_port, 10);
	if (errno || !o->arg_len[1] || *end_gfn || !o->arg_len[2] || *end_port)
		return EINVAL;
	if (port <= 0 || port > INT32_MAX || !domid || domid >= HV_DOMID_FIRST_RESERVED)
		return EINVAL;
	return domain_introduce(&o->core->domains, domid, (uint64_t)gfn, (uint32_t)port);
}

int op_release(struct op_call *o)
{
	struct domain_table *t = &o->core->domains;
	struct domain *d;
	uint16_t domid;

	if (arg_domid(o, 0, &domid) || !domid)
		return EINVAL;
	d = domain_find(t, domid);
	if (!d || !d->introduced)
		return ENOENT;
	/* unlike other requests' own events, @releaseDomain follows the reply, as it does in C */
	conn_reply(o->conn, &o->msg->hdr, XS_RELEASE, "OK", sizeof("OK"));
	o->reply->sent = true;
	return domain_release(t, domid);
}

int op_get_domain_path(struct op_call *o)
{
	uint16_t domid;

	if (arg_domid(o, 0, &domid))
		return EINVAL;
	o->reply->len = (size_t)snprintf(o->reply->data, sizeof(o->reply->data), "/local/domain/%u",
					 domid) +
			1;
	return 0;
}

int op_is_domain_introduced(struct op_call *o)
{
	struct domain *d;
	uint16_t domid;

	if (arg_domid(o, 0, &domid))
		return EINVAL;
	/* the caller itself, by DOMID_SELF, is introduced: it could not ask otherwise */
	d = domain_find(&o->core->domains, domid);
	op_answer_string(o, domid == HV_DOMID_FIRST_RESERVED || (d && d->introduced) ? "T" : "F");
	return 0;
}

int op_resume(struct op_call *o)
{
	uint16_t domid;

	if (arg_domid(o, 0, &domid) || !domid)
		return EINVAL;
	return domain_resume(&o->core->domains, domid);
}

int op_set_target(struct op_call *o)
{
	uint16_t domid, target;

	if (arg_domid(o, 0, &domid) || arg_domid(o, 1, &target))
		return EINVAL;
	return domain_set_target(&o->core->domains, domid, target);
}

static void answer_number(struct op_call *o, uint64_t v)
{
	char str[24];

	snprintf(str, sizeof(str), "%" PRIu64, v);
	op_answer_string(o, str);
}

/* Without a domid: what is supported. */
int op_get_feature(struct op_call *o)
{
	struct domain *d;
	uint16_t domid;
	int r;

	if (!o->n_args || !o->arg_len[0]) {
		answer_number(o, RING_FEATURES);
		return 0;
	}
	if (!op_is_privileged(o))
		return EACCES;
	if (arg_domid(o, 0, &domid))
		return EINVAL;
	r = domain_get(&o->core->domains, domid, &d);
	if (r)
		return r;
	answer_number(o, d->features);
	return 0;
}

int op_set_feature(struct op_call *o)
{
	struct domain *d;
	uint16_t domid;
	char *end;
	unsigned long v;
	int r;

	if (arg_domid(o, 0, &domid) || !o->arg_len[1])
		return EINVAL;
	v = strtoul(o->arg[1], &end, 10);
	if (*end || v & ~(unsigned long)RING_FEATURES)
		return EINVAL;
	r = domain_get(&o->core->domains, domid, &d);
	if (r)
		return r;
	if (d->introduced)
		return EBUSY;
	d->features = (uint32_t)v;
	domain_changed(&o->core->domains, d);
	return 0;
}

/* [<domid>|]<quota>: whose limits (NULL: those new domains start with), and which. */
static int quota_of(struct op_call *o, size_t n_args, struct domain **ret_domain,
		    enum quota_id *ret_q)
{
	size_t name = n_args - 1;
	uint16_t domid;
	int r;

	*ret_domain = NULL;
	if (n_args == 2) {
		if (arg_domid(o, 0, &domid))
			return EINVAL;
		r = domain_get(&o->core->domains, domid, ret_domain);
		if (r)
			return r;
	}
	return quota_find(o->arg[name], o->arg_len[name], ret_q) ? EINVAL : 0;
}

int op_get_quota(struct op_call *o)
{
	struct quota_policy *policy = o->core->opt.policy;
	struct domain *d;
	enum quota_id q;
	size_t len = 0;
	int r;

	if (!o->n_args || (o->n_args == 1 && !o->arg_len[0])) {
		for (q = 0; q < QUOTA_COUNT; q++)
			len += (size_t)snprintf(o->reply->data + len, sizeof(o->reply->data) - len,
						"%s%s", q ? " " : "", quota_name(q));
		o->reply->len = len + 1;
		return 0;
	}
	r = quota_of(o, o->n_args, &d, &q);
	if (r)
		return r;
	answer_number(o, d ? d->budget.limits.hard[q] : policy->limits.hard[q]);
	return 0;
}

int op_set_quota(struct op_call *o)
{
	size_t last = o->n_args - 1;
	struct domain *d;
	enum quota_id q;
	unsigned long v;
	char *end;
	int r;

	errno = 0;
	v = strtoul(o->arg[last], &end, 10);
	if (!o->arg_len[last] || *end || errno || o->arg[last][0] == '-')
		return EINVAL;
	r = quota_of(o, last, &d, &q);
	if (r)
		return r;
	if (d) {
		d->budget.limits.hard[q] = v;
		d->budget.own_limit[q] = true;
		domain_changed(&o->core->domains, d);
	} else {
		o->core->opt.policy->limits.hard[q] = v;
		core_policy_changed(o->core);
	}
	return 0;
}

int op_control(struct op_call *o)
{
	struct core *core = o->core;

	if (!core->opt.control)
		return ENOSYS;
	return core->opt.control(core->opt.control_data, core, o->conn, o->msg, o->reply);
}
