/* SPDX-License-Identifier: MIT */
/*
 * drover-xenstored: becomes the keeper, which starts workers; or, in a live update, a candidate
 * for a worker's place or the keeper's successor.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "hv/hv.h"
#include "keeper/fdstore.h"
#include "keeper/keeper.h"
#include "xenstored/daemon.h"
#include "xenstored/options.h"
#include "xenstored/worker.h"

struct program {
	struct options *opt;
	struct worker_options worker;
	char **argv;
	char **former_argv; /* owned; NULL: of this start are all words there are */
};

/* A connection is a descriptor: as many as the system lets us have. */
static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl))
		log_warning("limit of open files stays: %s", strerror(errno));
}

static void on_ready(void *data)
{
	struct program *p = data;

	if (p->opt->output_pid)
		printf("%d\n", (int)getpid());
	fflush(stdout);
	if (!p->opt->no_fork)
		trace_to_syslog(p->worker.trace);
	daemon_ready();
}

static int run_worker(void *data, const struct worker_seat *seat)
{
	struct program *p = data;

	return worker_run(&p->worker, seat);
}

/* That a trace file can be written is told before anything is started. */
static int check_trace(struct program *p)
{
	int r;

	if (!p->opt->trace_file)
		return 0;
	r = trace_open(p->worker.trace, p->opt->trace_file);
	if (r)
		log_error("trace file %s: %s", p->opt->trace_file, strerror(r));
	trace_close(p->worker.trace);
	return -r;
}

static enum keeper_former former(const struct options *o)
{
	if (o->adopt_ocaml)
		return KEEPER_FORMER_OCAML;
	return o->adopt ? KEEPER_FORMER_C : KEEPER_FORMER_NONE;
}

static int start_keeper(struct program *p, struct keeper_options *k)
{
	int r;

	r = check_trace(p);
	if (!r && p->opt->pid_file)
		r = daemon_write_pid(p->opt->pid_file);
	if (!k->former)
		k->listen_fd = fdstore_take_listener();
	if (!r && !k->former && k->listen_fd < 0)
		r = daemon_listen(&k->listen_fd);
	if (r)
		return r;
	fdstore_put_listener(k->listen_fd);
	k->pid_fd = daemon_pid_fd();
	r = keeper_run(k);
	daemon_unlisten();
	return r;
}

static int start(struct program *p)
{
	struct keeper_options k = {
		.argv = p->argv,
		.rundir = daemon_rundir(),
		.listen_fd = -1,
		.pid_fd = -1,
		.no_journal = p->opt->no_journal,
		.discard = p->opt->discard_state,
		.former = former(p->opt),
		.back = p->former_argv ? p->opt->back : NULL,
		.former_argv = p->former_argv,
		.xen = worker_wants_xen(p->opt),
		.worker = run_worker,
		.ready = on_ready,
		.data = p,
	};
	int r;

	if (p->opt->keeper_state_fd < 0)
		return start_keeper(p, &k);
	if (!p->opt->no_fork)
		trace_to_syslog(p->worker.trace);
	r = keeper_resume(&k, p->opt->keeper_state_fd);
	daemon_unlisten();
	return r;
}

static int start_candidate(struct program *p)
{
	struct worker_seat seat;
	int r;

	r = seat_from_hello(p->opt->candidate_fd, &seat);
	if (r) {
		log_error("candidate: %s", strerror(-r));
		return r;
	}
	return worker_run(&p->worker, &seat);
}

/* What is of a start from another daemon only: programs that follow get the other words. */
static void words_drop_adopt(char **argv)
{
	static const char *const words[] = { "-U",     "--live-update",	  "--restart",
					     "--live", "--no-access-log", "--reraise-top-level" };
	size_t n = 0;

	for (size_t i = 0; argv[i]; i++) {
		bool drop = !strncmp(argv[i], "--back=", strlen("--back="));

		for (size_t w = 0; w < ARRAY_LEN(words); w++)
			drop |= !strcmp(argv[i], words[w]);
		if (!strcmp(argv[i], "--config-file") && argv[i + 1])
			i++;
		else if (!drop)
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
}

#define MORE "--more="
#define WORDS_MAX 256u

/*
 * --more=WORDS: further words, in one. oxenstored's live update has room for five. Static storage:
 * programs that follow are started with it. NULL: too many.
 */
static char **words_expand(char **argv)
{
	static char *words[WORDS_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; argv[i]; i++) {
		bool more = i && !strncmp(argv[i], MORE, strlen(MORE));
		char *rest = argv[i] + (more ? strlen(MORE) : 0), *word = rest;

		if (more)
			word = strtok_r(rest, " ", &rest);
		while (word) {
			if (n == WORDS_MAX)
				return NULL;
			words[n++] = word;
			word = more ? strtok_r(rest, " ", &rest) : NULL;
		}
	}
	return words;
}

/* The words as they are now; NULL: no memory. */
static char **words_copy(char **argv)
{
	size_t n = 0;
	char **copy;

	while (argv[n])
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	if (copy)
		memcpy(copy, argv, n * sizeof(*copy));
	return copy;
}

static void begin_from_former(struct program *p)
{
	p->former_argv = words_copy(p->argv);
	words_drop_adopt(p->argv);
}

/* Beside the daemon that serves, with its environment: what would be found in its place. */
static int check(const struct options *o)
{
	struct hv_probe p;
	int r;

	if (!worker_wants_xen(o)) {
		printf("simulated, %s\n", worker_sim_dir(o));
		return EXIT_SUCCESS;
	}
	r = hv_xen_probe(&p);
	if (r)
		printf("the Xen hypervisor cannot be asked: %s%s\n", strerror(-r),
		       r == -EACCES ? " (not root, or libxenctrl is of another version)" : "");
	else
		printf("Xen %u.%u%s\n", p.major, p.minor,
		       p.grants ? "" : ", without the kernel's module of grants");
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options o;
	struct program p = { .opt = &o, .worker = { .opt = &o }, .argv = argv };
	int r;

	p.argv = argv = words_expand(argv);
	for (argc = 0; argv && argv[argc]; argc++)
		;
	if (!argv || options_parse(&o, argc, argv))
		return 2;
	if (o.help) {
		options_usage(argv[0]);
		return EXIT_SUCCESS;
	}
	if (o.version) {
		printf("drover-xenstored %s\n", DROVER_VERSION);
		return EXIT_SUCCESS;
	}
	if (o.check)
		return check(&o);
	signal(SIGPIPE, SIG_IGN);
	p.worker.trace = trace_new(o.verbose);
	if (!p.worker.trace) {
		perror("drover-xenstored");
		return EXIT_FAILURE;
	}
	if (o.candidate_fd >= 0)
		return start_candidate(&p);
	raise_limits();
	/* the two words that the former keeper added are of this start only */
	if (o.keeper_state_fd >= 0)
		argv[argc - 2] = NULL;
	else if (former(&o))
		begin_from_former(&p);
	else if (!o.no_fork && daemon_fork()) {
		perror("drover-xenstored: fork");
		return EXIT_FAILURE;
	}
	r = start(&p);
	trace_free(p.worker.trace);
	free(p.former_argv);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
