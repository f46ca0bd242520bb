/* SPDX-License-Identifier: MIT */
/*
 * The backend "qemu": a guest is a qemu-system-x86_64. Its monitor listens on a socket of its
 * directory that was made before the process, so that there is always somebody to connect to; and
 * it does not run before it is told to.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/own.h"
#include "vmm/qemu/argv.h"
#include "vmm/qemu/inner.h"
#include "vmm/qemu/tap.h"

#define PROGRAM "/usr/bin/qemu-system-x86_64"
#define VERSION_MAX 128u /* octets of what it says of itself */
#define LOG_TAIL 1024u	 /* octets of its log that are looked at */
#define EMULATOR_SAYS "qemu-system-x86_64: "
#define ACTIONS_MAX 64u /* octets of <dir>/actions */

struct qemu {
	char version[VERSION_MAX];
	unsigned long number;
};

struct qemu_guest *qemu_of(const struct vmm_guest *g)
{
	return g->priv;
}

static const char *program_of(const struct vmm *v, const struct guest_def *def)
{
	const char *p = vmm_options(v)->program;

	if (!p && def)
		p = def->emulator;
	return p ? p : PROGRAM;
}

/* ---- the emulator ---- */

static void version_child(const char *program, int out)
{
	char *const argv[] = { (char *)(uintptr_t)program, (char *)(uintptr_t) "--version", NULL };

	if (dup2(out, 1) >= 0)
		execv(program, argv);
	_exit(127);
}

/* The first line that it prints for --version. */
static int version_read(const char *program, char *text, size_t room)
{
	int out[2], status = 0;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		return FAULT(-errno);
	pid = fork();
	if (pid == 0)
		version_child(program, out[1]);
	close(out[1]);
	while (pid > 0 && len < room - 1 && (n = read(out[0], text + len, room - 1 - len)) > 0)
		len += (size_t)n;
	close(out[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return FAULT(-errno);
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return len ? 0 : -ENOENT;
}

static int backend_open(struct vmm *v)
{
	struct qemu *q = vmm_priv(v);
	const char *program = program_of(v, NULL), *at;
	unsigned int major, minor, micro;
	int r = version_read(program, q->version, sizeof(q->version));

	at = strstr(q->version, "version ");
	if (r < 0 || !at || sscanf(at, "version %u.%u.%u", &major, &minor, &micro) != 3 ||
	    major > 1000 || minor > 999 || micro > 999) {
		log_error("%s does not tell its version: is it QEMU's emulator?", program);
		return r < 0 ? r : -EINVAL;
	}
	q->number = major * 1000000ul + minor * 1000ul + micro;
	return 0;
}

static const char *backend_version(const struct vmm *v, unsigned long *ret_number)
{
	const struct qemu *q = vmm_priv(v);

	*ret_number = q->number;
	return q->version;
}

static int backend_check(struct vmm *v, const struct guest_def *def, char *text, size_t room)
{
	(void)v;
	return argv_check(def, text, room);
}

/* ---- what is to be done when it stops: for a daemon that did not start it ---- */

static int actions_write(struct vmm_guest *g, const struct qemu_guest *qg)
{
	char text[ACTIONS_MAX];
	int n = snprintf(text, sizeof(text), "poweroff %d reboot %d crash %d\n", qg->on_poweroff,
			 qg->on_reboot, qg->on_crash);

	return vmm_guest_write_file(g, "actions", text, (size_t)n);
}

static enum def_action action_of(unsigned int n)
{
	return n < DEF_ACTIONS ? (enum def_action)n : DEF_DESTROY;
}

static void actions_read(struct vmm_guest *g, struct qemu_guest *qg)
{
	unsigned int poweroff = DEF_DESTROY, reboot = DEF_DESTROY, crash = DEF_DESTROY;
	char text[ACTIONS_MAX];

	if (vmm_guest_read_file(g, "actions", text, sizeof(text)) < 0 ||
	    sscanf(text, "poweroff %u reboot %u crash %u", &poweroff, &reboot, &crash) != 3)
		log_warning(
			"guest %s: nothing tells what to do when it stops; it is destroyed then",
			g->name);
	qg->on_poweroff = action_of(poweroff);
	qg->on_reboot = action_of(reboot);
	qg->on_crash = action_of(crash);
}

/* ---- guests ---- */

static struct qemu_guest *guest_init(struct vmm_guest *g)
{
	struct qemu_guest *qg = qemu_of(g);

	qg->g = g;
	qg->io.fd = -1;
	vmm_timer_init(&qg->retry);
	vmm_timer_init(&qg->deadline);
	vmm_timer_init(&qg->poll);
	vmm_timer_init(&qg->settle);
	vmm_timer_init(&qg->again);
	qg->stop_reason = qg->end_reason = VMM_REASONS;
	return qg;
}

/* What the process is given: its monitor's socket, and a tap for each nic that needs one. */
struct given {
	int fd[1 + ARGV_TAPS_MAX];
	size_t n;
};

static void given_fini(struct given *given)
{
	while (given->n)
		close(given->fd[--given->n]);
}

static int given_init(struct vmm_guest *g, struct given *given)
{
	int fd = vmm_guest_listen(g, "monitor", SOCK_STREAM);

	given->n = 0;
	if (fd < 0)
		return fd;
	given->fd[given->n++] = fd;
	for (size_t i = 0; i < g->def->n_nics; i++) {
		if (!argv_nic_has_tap(&g->def->nics[i]))
			continue;
		fd = tap_open(&g->def->nics[i]);
		if (fd < 0) {
			vmm_guest_set_why(g, fd, "<interface>: no tap%s%s: %s",
					  g->def->nics[i].source ? " in bridge " : "",
					  g->def->nics[i].source ? g->def->nics[i].source : "",
					  strerror(-fd));
			return fd;
		}
		given->fd[given->n++] = fd;
	}
	return 0;
}

static int guest_spawn(struct vmm_guest *g)
{
	const char *program = program_of(g->v, g->def);
	struct given given;
	struct words w;
	int r = given_init(g, &given);

	words_init(&w);
	if (r == 0) {
		argv_make(&w, program, g->def, g->incoming);
		r = words_end(&w) < 0 ? FAULT(words_end(&w)) : 0;
	}
	if (r == 0)
		r = vmm_spawn(g, program, w.word, given.fd, given.n);
	words_fini(&w);
	given_fini(&given);
	return r;
}

static int log_open(const struct vmm_guest *g)
{
	const char *dir = vmm_options(g->v)->log_dir;
	char path[PATH_MAX];

	if (!dir || snprintf(path, sizeof(path), "%s/%s.log", dir, g->name) >= (int)sizeof(path))
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* What is there already is of emulators before, and does not tell why this one ended. */
static off_t log_end(const struct vmm_guest *g)
{
	int fd = log_open(g);
	off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;

	if (fd >= 0)
		close(fd);
	return end > 0 ? end : 0;
}

static int backend_start(struct vmm_guest *g, unsigned int flags, struct vmm_call *call)
{
	struct qemu_guest *qg = guest_init(g);
	int r;

	qg->on_poweroff = g->def->on_poweroff;
	qg->on_reboot = g->def->on_reboot;
	qg->on_crash = g->def->on_crash;
	qg->start_flags = flags;
	r = actions_write(g, qg);
	qg->log_from = log_end(g);
	if (r == 0)
		r = guest_spawn(g);
	if (r < 0)
		return r;
	qg->start = call;
	(void)qemu_monitor_connect(qg);
	return 0;
}

static int backend_find(struct vmm_guest *g)
{
	struct qemu_guest *qg = guest_init(g);

	actions_read(g, qg);
	qg->finding = qg->recall = true;
	(void)qemu_monitor_connect(qg);
	qemu_monitor_await(qg, QEMU_FIND_MS);
	qg->finding = false;
	return 0;
}

/* Of all lines the last one that bears the emulator's name, else the last: what follows is advice.
 */
static const char *line_of(char *tail)
{
	const char *found = NULL, *line = "";
	char *rest = tail;

	for (char *at = strsep(&rest, "\n"); at; at = strsep(&rest, "\n")) {
		const char *name = strstr(at, EMULATOR_SAYS);

		found = name ? name + strlen(EMULATOR_SAYS) : found;
		line = *at ? at : line;
	}
	return found ? found : line;
}

/*
 * The line of its log in which the emulator says why it ended, without its time and name; "": none.
 * It runs a guest: nothing but letters is taken from it.
 */
static void log_last(const struct vmm_guest *g, char *text, size_t room)
{
	const struct qemu_guest *qg = qemu_of(g);
	char tail[LOG_TAIL + 1] = "";
	int fd = log_open(g);
	ssize_t n;
	off_t at;

	text[0] = '\0';
	if (fd < 0)
		return;
	at = lseek(fd, 0, SEEK_END) - (off_t)LOG_TAIL;
	n = pread(fd, tail, LOG_TAIL, at > qg->log_from ? at : qg->log_from);
	close(fd);
	tail[n > 0 ? n : 0] = '\0';
	(void)snprintf(text, room, "%s", line_of(tail));
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~')
			*c = '?';
}

/* Why it ended while something was awaited of it. */
static void set_why(struct vmm_guest *g, const char *what)
{
	char last[LOG_TAIL];

	log_last(g, last, sizeof(last));
	vmm_guest_set_why(g, -EIO, "the emulator %s%s%s", what, *last ? ": " : "", last);
}

/* The process has ended. What it said last is read, for it may say why. */
static enum vmm_reason backend_died(struct vmm_guest *g, int status)
{
	struct qemu_guest *qg = qemu_of(g);

	if (g->released)
		return VMM_CRASHED; /* of a former daemon, and nothing is known of its end */
	qemu_monitor_drain(qg);
	if (status != -1 && WIFSIGNALED(status))
		vmm_guest_set_why(g, -EIO, "the emulator was killed by signal %d",
				  WTERMSIG(status));
	else if (g->receiving)
		vmm_guest_set_why(g, -EIO,
				  "the emulator gave up what it received: its log says why");
	else if (qg->start)
		set_why(g, "did not start");
	return qg->end_reason == VMM_REASONS ? VMM_CRASHED : qg->end_reason;
}

static void backend_release(struct vmm_guest *g)
{
	struct qemu_guest *qg = qemu_of(g);

	if (!qg->g)
		return;
	qemu_monitor_close(qg);
	vmm_timer_stop(&qg->retry);
	vmm_timer_stop(&qg->poll);
	vmm_timer_stop(&qg->settle);
	vmm_timer_stop(&qg->again);
	qg->start = qg->send = qg->resume = NULL;
}

static void backend_quit(struct vmm_guest *g)
{
	(void)qemu_ask(qemu_of(g), "quit", NULL, -1, NULL);
}

static const char *backend_pty(const struct vmm_guest *g, unsigned int i)
{
	const struct qemu_guest *qg = qemu_of(g);

	return i < ARGV_SERIALS_MAX && qg->pty[i][0] ? qg->pty[i] : NULL;
}

static unsigned int backend_vnc_port(const struct vmm_guest *g)
{
	return qemu_of(g)->vnc_port;
}

const struct vmm_backend *qemu_backend(void)
{
	static const struct vmm_backend backend = {
		.name = "qemu",
		.can = VMM_CAN_LIVE | VMM_CAN_AUTO_CONVERGE | VMM_CAN_COMPRESS | VMM_CAN_BANDWIDTH |
		       VMM_CAN_DOWNTIME | VMM_CAN_CANCEL | VMM_CAN_REBOOT,
		.preserves = true,
		.size = sizeof(struct qemu),
		.guest_size = sizeof(struct qemu_guest),
		.open = backend_open,
		.version = backend_version,
		.check = backend_check,
		.start = backend_start,
		.find = backend_find,
		.died = backend_died,
		.release = backend_release,
		.pause = qemu_run_pause,
		.resume = qemu_run_resume,
		.shutdown = qemu_run_shutdown,
		.reboot = qemu_run_reboot,
		.quit = backend_quit,
		.send = qemu_transfer_send,
		.send_cancel = qemu_transfer_cancel,
		.send_tune = qemu_transfer_tune,
		.receive = qemu_transfer_receive,
		.pty = backend_pty,
		.vnc_port = backend_vnc_port,
	};

	return &backend;
}
