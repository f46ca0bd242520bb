/* SPDX-License-Identifier: MIT */
/*
 * stress-config: one change of one device, by a process that is killed at each of its system calls
 * in turn, or at each of its requests to the store; after each death what is left is looked at,
 * repaired and looked at again. See config_world.h for the rules, and trace.h for the deaths.
 */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/stress/config_world.h"
#include "tests/stress/trace.h"

#define FAILURES_MAX 5

static const char usage[] =
	"usage: stress-config [OPTION]... DOMID UUID CLASS attach|detach|update\n"
	"\n"
	"  -s, --socket PATH      the store\n"
	"  -d, --userdata DIR     the records\n"
	"  -r, --requests         dies at requests to the store, not at system calls\n"
	"  -f, --from N           the first to die at (1)\n"
	"  -e, --every N          and each Nth from there (1)\n"
	"  -b, --backend-ms MS    what backends are given (10000)\n"
	"      --script FILE      the device's hotplug script; without, none is run\n"
	"      --fail             the calls fail, and nobody dies of it\n"
	"      --repair           whoever repairs what is left dies, too, each time elsewhere\n"
	"      --silent           its backend answers nothing: the change fails\n"
	"      --list             classes, and what can be done to each\n"
	"\n"
	"The domain is there, with a record, and without the device. Exits with 1 when a rule was\n"
	"broken; with 77 where the change itself is not possible, with 78 where --fail is not.\n";

struct plan {
	struct trace_options trace;
	unsigned long from, every;
	enum crash_op op;
	bool silent, repair;
};

static int pci_assign(void *data, uint32_t domid, const char *bdf, bool assign)
{
	(void)data;
	(void)domid;
	(void)bdf;
	(void)assign;
	return 0;
}

static const struct drover_config_host host = { .pci_assign = pci_assign };

struct victim {
	const struct crash_world *w;
	enum crash_op op;
};

static int victim_run(void *data)
{
	const struct victim *v = data;

	return crash_world_change(v->w, v->op) ? 1 : 0;
}

/* As many as a repair makes, nearly; one that is let live does no harm. */
#define REPAIR_CALLS 250

static int repairer_run(void *data)
{
	return crash_world_repair(data) ? 1 : 0;
}

/* The one who repairs dies at a call that is another for each death before. */
static int die_repairing(struct crash_world *w, unsigned long at)
{
	struct trace_options opt = { .what = TRACE_CALLS, .at = 1 + at * 97 % REPAIR_CALLS };
	struct trace_result result;
	pid_t pid = trace_fork(repairer_run, w);

	return pid < 0 ? (int)pid : trace_run(pid, &opt, &result);
}

/* One death. Whether the change lived on to its end is in ret. */
static bool die_once(struct crash_world *w, const struct plan *p, unsigned long at,
		     struct trace_result *ret, enum drover_verdict *ret_verdict, char why[WHY_MAX])
{
	enum crash_state before = p->op == CRASH_ATTACH ? STATE_ABSENT : STATE_ATTACHED;
	struct victim v = { w, p->op };
	struct trace_options opt = p->trace;
	pid_t pid;
	int r;

	*why = '\0';
	if (!crash_world_go(w, before, why))
		return false;
	opt.at = at;
	pid = trace_fork(victim_run, &v);
	r = pid < 0 ? (int)pid : trace_run(pid, &opt, ret);
	if (!r && p->repair)
		r = die_repairing(w, at);
	if (r) {
		snprintf(why, WHY_MAX, "cannot be traced: %s", strerror(-r));
		return false;
	}
	if (!ret->killed && WIFEXITED(ret->status) && !WEXITSTATUS(ret->status) == p->silent) {
		snprintf(why, WHY_MAX, "let live, the change %s", p->silent ? "worked" : "failed");
		return false;
	}
	if (p->trace.fail && !WIFEXITED(ret->status)) {
		snprintf(why, WHY_MAX, "it died of it: signal %d", WTERMSIG(ret->status));
		return false;
	}
	return crash_world_check(w, p->op, ret_verdict, why);
}

/* What the Nth was, for whoever reads of a failure. */
struct named {
	unsigned long at;
	char text[400];
};

static void name_it(void *data, unsigned long n, const char *name, const char *path)
{
	struct named *named = data;

	if (n > named->at)
		return;
	snprintf(named->text, sizeof(named->text), "%s %s", name, path);
}

/* Brings the world back after a failure, so that one does not make all others fail. */
static void recover(struct crash_world *w)
{
	char why[WHY_MAX] = "";

	drover_config_repair(w->c, w->domid, DROVER_REPAIR_FORCE, NULL, NULL);
	crash_world_go(w, STATE_ABSENT, why);
}

static int die_all(struct crash_world *w, struct plan *p)
{
	unsigned int verdicts[DROVER_VERDICTS + 1] = { 0 }, failures = 0;
	struct trace_result result = { .killed = true };
	enum drover_verdict verdict = DROVER_VERDICTS;
	struct named named = { 0 };
	char why[WHY_MAX];
	unsigned long n = 0, slowest_at = 0;
	uint64_t slowest_ms = 0, begin_ms;

	p->trace.visit = name_it;
	p->trace.data = &named;
	for (unsigned long at = p->from; result.killed && failures < FAILURES_MAX; at += p->every) {
		begin_ms = conf_now_ms();
		named.at = at;
		if (die_once(w, p, at, &result, &verdict, why)) {
			verdicts[verdict]++;
		} else {
			failures++;
			printf("%s %s, killed at %lu (%s): %s\n", w->device->class,
			       p->op == CRASH_ATTACH   ? "attach"
			       : p->op == CRASH_DETACH ? "detach"
						       : "update",
			       at, named.text, why);
			recover(w);
		}
		if (conf_now_ms() - begin_ms > slowest_ms) {
			slowest_ms = conf_now_ms() - begin_ms;
			slowest_at = at;
		}
		n += result.killed;
	}
	printf("%lu deaths, of %lu possible:", n, result.n);
	for (enum drover_verdict v = 0; v < DROVER_VERDICTS; v++)
		if (verdicts[v])
			printf(" %u %s,", verdicts[v], drover_verdict_name(v));
	printf(" %u unmentioned; the slowest at %lu, %" PRIu64 " ms\n", verdicts[DROVER_VERDICTS],
	       slowest_at, slowest_ms);
	return failures ? 1 : 0;
}

static int list(void)
{
	const struct crash_device *d;

	for (size_t i = 0; (d = crash_device_at(i)); i++)
		printf("%s attach detach%s\n", d->class, d->update ? " update" : "");
	return 0;
}

static int run(struct crash_world *w, struct plan *p)
{
	char why[WHY_MAX] = "";
	struct conf_err err = { "" };
	int r = drover_config_open(&w->opt, &w->c);

	if (r) {
		fprintf(stderr, "stress-config: %s\n", drover_config_error(w->c));
		return 2;
	}
	if (conf_client_open(w->opt.store, 10000, &err, &w->store)) {
		fprintf(stderr, "stress-config: %s\n", err.text);
		return 2;
	}
	if (!crash_world_init(w, p->op, p->silent, why)) {
		printf("%s: %s\n", w->device->class, why);
		return 77;
	}
	return die_all(w, p);
}

static bool operands(char **argv, struct crash_world *w, struct plan *p)
{
	static const char *const ops[] = { "attach", "detach", "update" };

	if (!argv[0] || !argv[1] || !argv[2] || !argv[3] || strlen(argv[1]) != 36)
		return false;
	w->domid = (uint32_t)strtoul(argv[0], NULL, 10);
	memcpy(w->uuid, argv[1], 37);
	w->device = crash_device_find(argv[2]);
	for (p->op = 0; p->op < CRASH_OPS && strcmp(argv[3], ops[p->op]) != 0;)
		p->op++;
	return w->device && p->op < CRASH_OPS && (p->op != CRASH_UPDATE || w->device->update);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "userdata", required_argument, NULL, 'd' },
		{ "requests", no_argument, NULL, 'r' },
		{ "from", required_argument, NULL, 'f' },
		{ "every", required_argument, NULL, 'e' },
		{ "backend-ms", required_argument, NULL, 'b' },
		{ "script", required_argument, NULL, 'S' },
		{ "fail", no_argument, NULL, 'F' },
		{ "repair", no_argument, NULL, 'R' },
		{ "silent", no_argument, NULL, 'x' },
		{ "list", no_argument, NULL, 'l' },
		{ NULL, 0, NULL, 0 },
	};
	struct crash_world w = { .opt = { .size = sizeof(w.opt), .host = &host } };
	struct plan p = { .from = 1, .every = 1 };
	int c, r;

	while ((c = getopt_long(argc, argv, "s:d:rf:e:b:", options, NULL)) >= 0) {
		switch (c) {
		case 's':
			w.opt.store = optarg;
			break;
		case 'd':
			w.opt.userdata = optarg;
			break;
		case 'r':
			p.trace.what = TRACE_REQUESTS;
			break;
		case 'f':
			p.from = strtoul(optarg, NULL, 10);
			break;
		case 'e':
			p.every = strtoul(optarg, NULL, 10);
			break;
		case 'b':
			w.opt.backend_timeout_ms = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'S':
			w.script = optarg;
			break;
		case 'F':
			p.trace.fail = true;
			break;
		case 'R':
			p.repair = true;
			break;
		case 'x':
			p.silent = true;
			break;
		case 'l':
			return list();
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (p.trace.fail && !trace_can_fail())
		return 78;
	w.opt.no_scripts = !w.script;
	if (!operands(argv + optind, &w, &p) || !p.from || !p.every) {
		fputs(usage, stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r = run(&w, &p);
	crash_world_fini(&w);
	return r;
}
