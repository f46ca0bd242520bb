/* SPDX-License-Identifier: MIT */
/*
 * The table of CONTROL commands. Invariant: an answer is text of at most 4096 octets with its
 * NUL; a command that gets an error changed nothing.
 */
#include "control/control.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"
#include "control/report.h"
#include "control/update.h"

#define ARGS_MAX 8

struct call {
	struct control_host *host;
	struct core *core;
	struct conn *conn;	   /* who asks */
	const char *arg[ARGS_MAX]; /* after the command's own name */
	size_t n;
	struct text out;
};

static int do_check(struct call *x)
{
	unsigned int bad = core_check(x->core);

	if (bad)
		text_add(&x->out, "%u contradictions found, see the log", bad);
	return 0;
}

static int do_log(struct call *x)
{
	bool on = !strcmp(x->arg[0], "on");

	if (!on && strcmp(x->arg[0], "off"))
		return EINVAL;
	x->host->trace_enable(x->host->data, on);
	return 0;
}

static int do_logfile(struct call *x)
{
	return x->host->trace_to(x->host->data, x->arg[0]);
}

static int do_memreport(struct call *x)
{
	const char *path = x->n ? x->arg[0] : x->host->trace_path(x->host->data);
	FILE *f;

	if (!path)
		return EINVAL;
	f = x->host->open_report(x->host->data, path, !x->n);
	if (!f)
		return EBADF;
	report_memory(x->core, f);
	return fclose(f) ? EIO : 0;
}

static int do_live_update(struct call *x)
{
	int r = control_update_call(x->host->update, x->conn, x->arg, x->n, x->out.buf,
				    x->out.room);

	x->out.len = strlen(x->out.buf);
	return r;
}

static int do_print(struct call *x)
{
	log_notice("control: %s", x->arg[0]);
	return 0;
}

static int quota_set(struct call *x, uint64_t *limits, bool soft)
{
	enum quota_id q;
	unsigned long v;
	char *end;

	if (x->n != 3 || strcmp(x->arg[0], "set"))
		return EINVAL;
	errno = 0;
	v = strtoul(x->arg[2], &end, 10);
	if (!*x->arg[2] || *end || errno || x->arg[2][0] == '-')
		return EINVAL;
	if (quota_find(x->arg[1], strlen(x->arg[1]), &q) || (soft && q != QUOTA_MEMORY))
		return EINVAL;
	limits[q] = v;
	domains_set_quota(x->core, q, v, soft);
	return 0;
}

static int do_quota(struct call *x)
{
	struct quota_policy *p = x->core->opt.policy;
	struct domain *d;
	uint16_t domid;

	if (!x->n) {
		text_add(&x->out, "Quota settings:\n");
		for (enum quota_id q = 0; q < QUOTA_COUNT; q++)
			text_add(&x->out, "%-17s: %8" PRIu64 " %s\n", quota_name(q),
				 p->limits.hard[q], quota_help(q));
		return 0;
	}
	if (!strcmp(x->arg[0], "set"))
		return quota_set(x, p->limits.hard, false);
	if (!strcmp(x->arg[0], "max") && x->n <= 2)
		return report_quota_max(x->core, &x->out, x->n == 2 && !strcmp(x->arg[1], "-r"));
	if (x->n != 1 || path_parse_domid(x->arg[0], strlen(x->arg[0]), &domid))
		return EINVAL;
	d = domain_find(&x->core->domains, domid);
	if (!d)
		return ENOENT;
	report_domain_quota(d, &x->out);
	return 0;
}

static int do_quota_soft(struct call *x)
{
	struct quota_policy *p = x->core->opt.policy;

	if (x->n)
		return quota_set(x, p->limits.soft, true);
	text_add(&x->out, "Quota settings:\n%-17s: %8" PRIu64 " %s\n", quota_name(QUOTA_MEMORY),
		 p->limits.soft[QUOTA_MEMORY], quota_help(QUOTA_MEMORY));
	return 0;
}

static int do_stats(struct call *x)
{
	uint16_t from = 0;

	if (x->n && path_parse_domid(x->arg[0], strlen(x->arg[0]), &from))
		return EINVAL;
	report_stats(x->core, x->host->uptime_ms(x->host->data), from, &x->out);
	return 0;
}

static int do_help(struct call *x);

static const struct command {
	const char *name;
	int (*fn)(struct call *x);
	size_t min;
	size_t max;
	const char *usage;
} commands[] = {
	{ "check", do_check, 0, 0, "" },
	{ "live-update", do_live_update, 1, 4, "-f <file>|-c <args>|-s [-t <seconds>] [-F]|-a" },
	{ "log", do_log, 1, 1, "on|off" },
	{ "logfile", do_logfile, 1, 1, "<file>" },
	{ "memreport", do_memreport, 0, 1, "[<file>]" },
	{ "print", do_print, 1, 1, "<string>" },
	{ "quota", do_quota, 0, 3, "[set <name> <val>|<domid>|max [-r]]" },
	{ "quota-soft", do_quota_soft, 0, 3, "[set <name> <val>]" },
	{ "stats", do_stats, 0, 1, "[<domid>]" },
	{ "help", do_help, 0, 0, "" },
};

static int do_help(struct call *x)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		text_add(&x->out, "%s\t%s\n", commands[i].name, commands[i].usage);
	return 0;
}

/* Strings of the payload: the command's name and at most ARGS_MAX more. */
static const char *split(struct call *x, const struct wire_msg *m)
{
	const char *p = m->payload, *end = p + m->hdr.len, *nul, *name = NULL;

	while (p < end && (nul = memchr(p, '\0', (size_t)(end - p)))) {
		if (!name)
			name = p;
		else if (x->n == ARGS_MAX)
			return NULL;
		else
			x->arg[x->n++] = p;
		p = nul + 1;
	}
	return p == end ? name : NULL;
}

int control_handle(void *host, struct core *core, struct conn *c, const struct wire_msg *m,
		   struct op_reply *reply)
{
	struct call x = { .host = host, .core = core, .conn = c };
	const char *name = split(&x, m);
	int r = EINVAL;

	text_init(&x.out, reply->data, sizeof(reply->data));
	if (!name)
		return EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(name, commands[i].name))
			continue;
		if (x.n < commands[i].min || x.n > commands[i].max)
			return EINVAL;
		r = commands[i].fn(&x);
		break;
	}
	if (!r && x.out.len)
		reply->len = x.out.len + 1;
	return r;
}
