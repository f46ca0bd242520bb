/* SPDX-License-Identifier: MIT */
/*
 * The backend of real Xen and drover-xlguest, as they are, over a libxl that plays one
 * (fake_libxl.c): what a guest's life is, and whatever instant its process is killed at. A domain
 * is a file of <host>/xen; what is to be seen of it is what that file says.
 */
#define PAIR_BACKEND "xl"
#define PAIR_PROGRAM "xlguest-on-fake"
#define PAIR_TYPE DEF_XEN

#include "vmm/sim/pair_test.h"

#include <fcntl.h>
#include <sys/stat.h>

static char *path_of(const struct host *h, const char *name)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/xen/%s", h->dir, name);
	return path;
}

static void hold(const struct host *h, const char *what)
{
	char dir[96];
	int fd;

	snprintf(dir, sizeof(dir), "%s/xen", h->dir);
	mkdir(dir, 0700);
	fd = open(path_of(h, what), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void let_go(const struct host *h, const char *what)
{
	assert_int_equal(unlink(path_of(h, what)), 0);
}

/* "-": there is none; else 'r'unning, 'p'aused, 's'uspended, 'd' as anything else. */
static char domain_is(const struct host *h, int domid)
{
	unsigned int paused, shutdown;
	char name[16];
	FILE *f;
	int n;

	snprintf(name, sizeof(name), "%d", domid);
	f = fopen(path_of(h, name), "r");
	if (!f)
		return '-';
	n = fscanf(f, "%*s %u %u", &paused, &shutdown);
	fclose(f);
	return n != 2 ? '?' : shutdown == 2 ? 's' : shutdown != 255 ? 'd' : paused ? 'p' : 'r';
}

/* As if the guest had done it: 0 power off, 1 reboot, 3 crash. */
static void guest_does(const struct host *h, int domid, unsigned int reason)
{
	char name[16], uuid[40];
	unsigned int paused, shutdown;
	FILE *f;

	snprintf(name, sizeof(name), "%d", domid);
	f = fopen(path_of(h, name), "r+");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%39s %u %u", uuid, &paused, &shutdown), 3);
	rewind(f);
	fprintf(f, "%s %u %u  \n", uuid, paused, reason);
	fclose(f);
}

static void kill_process(struct seen *s)
{
	int pid = vmm_guest_pid(s->guest);

	assert_int_equal(kill(pid, SIGKILL), 0);
	AWAIT(!s->guest || vmm_guest_pid(s->guest) != pid);
}

/* Both ends of a stream between hosts, as the daemons connect one. */
static void send_to(struct seen *from, struct seen *to, bool live)
{
	const struct vmm_send_options opt = { .live = live };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(vmm_receive(to->guest, ends[1]), 0);
	CALL(from, vmm_send(from->guest, ends[0], &opt, on_done, from));
}

static void a_guest_lives(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);

	(void)state;
	assert_int_equal(vmm_guest_domid(s->guest), 1);
	assert_int_equal(domain_is(&pair->a, 1), 'r');
	CALL(s, vmm_pause(s->guest, on_done, s));
	assert_int_equal(domain_is(&pair->a, 1), 'p');
	CALL(s, vmm_resume(s->guest, on_done, s));
	assert_int_equal(domain_is(&pair->a, 1), 'r');
	AWAIT(vmm_guest_cpu_ns(s->guest) == 1000);
	guest_does(&pair->a, 1, 0);
	AWAIT(s->n_gone == 1);
	assert_int_equal(s->gone_why, VMM_SHUTDOWN);
	assert_int_equal(domain_is(&pair->a, 1), '-');
}

static void a_guest_that_crashes_is_gone(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);

	(void)state;
	guest_does(&pair->a, 1, 3);
	AWAIT(s->n_gone == 1);
	assert_int_equal(s->gone_why, VMM_CRASHED);
	assert_int_equal(domain_is(&pair->a, 1), '-');
}

static void a_guest_that_reboots_is_another_domain(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);

	(void)state;
	CALL(s, vmm_reboot(s->guest, on_done, s));
	AWAIT(s->n_rebooted == 1);
	AWAIT(domain_is(&pair->a, vmm_guest_domid(s->guest)) == 'r');
	assert_int_equal(s->n_gone, 0);
}

static void a_process_that_dies_is_replaced(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	siginfo_t info;
	int pid;

	(void)state;
	for (int i = 0; i < 3; i++) {
		kill_process(s);
		/* asked of the one that is only just started, and while there is none */
		CALL(s, vmm_pause(s->guest, on_done, s));
		assert_int_equal(s->done_err, 0);
		assert_int_equal(domain_is(&pair->a, 1), 'p');
		pid = vmm_guest_pid(s->guest);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
		assert_int_equal(vmm_dispatch(pair->a.v), 0);
		CALL(s, vmm_resume(s->guest, on_done, s));
		assert_int_equal(s->done_err, 0);
		assert_int_equal(domain_is(&pair->a, 1), 'r');
	}
	assert_int_equal(s->n_gone, 0);
	assert_int_equal(vmm_guest_domid(s->guest), 1);
}

static void damage(const struct seen *s, const char *file)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", vmm_guest_dir(s->guest), file);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs("made 1", f) >= 0); /* cut short */
	fclose(f);
}

static void is_unknown(struct seen *s, int domid, const char *file)
{
	int pid;

	AWAIT(vmm_guest_reason(s->guest) == VMM_CRASHED);
	assert_int_equal(vmm_guest_state(s->guest), VMM_PAUSED);
	pid = vmm_guest_pid(s->guest);
	CALL(s, vmm_resume(s->guest, on_done, s));
	assert_int_equal(s->done_err, -EIO);
	assert_non_null(strstr(s->why, file));
	assert_int_equal(vmm_guest_pid(s->guest), pid);
	assert_int_equal(domain_is(&pair->a, domid), 'r');
	assert_int_equal(s->n_gone, 0);
}

/* Its process stays, and does nothing to the domain until that is to be destroyed. */
static void a_damaged_file_leaves_the_domain_as_it_is(void **state)
{
	static const char *const files[] = { "domain", "config" };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct seen *s = guest_start_at(&pair->a, 1 + i, "", 0);
		int domid = vmm_guest_domid(s->guest), pid;

		damage(s, files[i]);
		kill_process(s);
		is_unknown(s, domid, files[i]);
		kill_process(s);
		is_unknown(s, domid, files[i]);
		pid = vmm_guest_pid(s->guest);
		host_close(&pair->a);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		host_open(&pair->a);
		is_unknown(s, domid, files[i]);
		guest_destroy(s);
		assert_int_equal(domain_is(&pair->a, domid), '-');
	}
}

static void a_damaged_file_of_no_domain_is_the_end(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", VMM_START_INCOMING);

	(void)state;
	damage(s, "domain");
	assert_int_equal(kill(vmm_guest_pid(s->guest), SIGKILL), 0);
	AWAIT(s->n_gone == 1);
	assert_int_equal(s->gone_why, VMM_CRASHED);
}

static void a_domain_that_is_destroyed_by_others_is_gone(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);

	(void)state;
	assert_int_equal(unlink(path_of(&pair->a, "1")), 0);
	AWAIT(s->n_gone == 1);
	assert_int_equal(s->gone_why, VMM_BY_USER);
}

static void start_held(struct seen *s, struct guest_def *def)
{
	hold(&pair->a, "hold-create");
	assert_int_equal(vmm_start(pair->a.v, def, 0, 7, NULL, on_done, s, &s->guest), 0);
	AWAIT(domain_is(&pair->a, 1) == 'p');
}

static void a_half_made_domain_goes_with_the_process_that_made_it(void **state)
{
	struct guest_def *def = def_of(1, "");
	struct seen *s = &pair->a.seen[1];

	(void)state;
	start_held(s, def);
	assert_int_equal(kill(vmm_guest_pid(s->guest), SIGKILL), 0);
	AWAIT(s->n_gone == 1);
	assert_int_equal(domain_is(&pair->a, 1), '-');
	AWAIT(s->n_done == 1);
	assert_true(s->done_err < 0);
	assert_string_equal(s->why, "its process died while it was being made");
	let_go(&pair->a, "hold-create");
	def_free(def);
}

static void one_that_is_destroyed_while_it_is_made_leaves_nothing(void **state)
{
	struct guest_def *def = def_of(1, "");
	struct seen *s = &pair->a.seen[1];

	(void)state;
	start_held(s, def);
	assert_int_equal(vmm_destroy(s->guest, false, NULL, NULL), 0);
	AWAIT(s->n_gone == 1);
	assert_int_equal(domain_is(&pair->a, 1), '-');
	let_go(&pair->a, "hold-create");
	def_free(def);
}

/* Whoever made it: no directory names it. */
static void a_domain_of_the_same_uuid_that_is_not_ours_is_left_alone(void **state)
{
	struct guest_def *def = def_of(1, "");
	struct seen *s = &pair->a.seen[1];
	FILE *f;

	(void)state;
	hold(&pair->a, "9");
	f = fopen(path_of(&pair->a, "9"), "w");
	fprintf(f, "d5000000000000000000000000000001 0 255\n");
	fclose(f);
	assert_int_equal(vmm_start(pair->a.v, def, 0, 7, NULL, on_done, s, &s->guest), 0);
	AWAIT(s->n_gone == 1 && s->n_done == 1);
	assert_non_null(strstr(s->why, "which is not ours"));
	guest_start_at(&pair->a, 2, "", VMM_START_INCOMING);
	guest_destroy(&pair->a.seen[2]);
	assert_int_equal(domain_is(&pair->a, 9), 'r');
	def_free(def);
}

static void a_guest_moves(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	struct seen *d = guest_start_at(&pair->b, 1, "", VMM_START_INCOMING);

	(void)state;
	vmm_set_domid_wish(d->guest, 5);
	send_to(s, d, true);
	AWAIT(s->n_sent == 1 && d->n_received == 1);
	assert_int_equal(s->sent_err, 0);
	assert_int_equal(d->received_err, 0);
	assert_int_equal(s->n_stopped, 1);
	assert_int_equal(domain_is(&pair->a, 1), 's');
	assert_int_equal(domain_is(&pair->b, 5), 'p');
	assert_int_equal(vmm_guest_domid(d->guest), 5);
	assert_true(vmm_guest_is_received(d->guest));
	CALL(d, vmm_resume(d->guest, on_done, d));
	assert_int_equal(domain_is(&pair->b, 5), 'r');
	guest_destroy(s);
	assert_int_equal(domain_is(&pair->a, 1), '-');
}

static void a_number_that_is_not_given_is_another(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	struct seen *d = guest_start_at(&pair->b, 1, "", VMM_START_INCOMING);

	(void)state;
	hold(&pair->b, "no-domid-5");
	vmm_set_domid_wish(d->guest, 5);
	send_to(s, d, true);
	AWAIT(s->n_sent == 1 && d->n_received == 1);
	assert_int_equal(d->received_err, 0);
	assert_int_equal(vmm_guest_domid(d->guest), 1);
}

static void what_was_sent_can_go_on_where_it_was(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	struct seen *d = guest_start_at(&pair->b, 1, "", VMM_START_INCOMING);

	(void)state;
	send_to(s, d, false);
	AWAIT(s->n_sent == 1 && d->n_received == 1);
	guest_destroy(d);
	CALL(s, vmm_resume(s->guest, on_done, s));
	assert_int_equal(domain_is(&pair->a, 1), 'r');
	assert_int_equal(domain_is(&pair->b, 1), '-');
}

static void a_sending_that_is_cancelled_leaves_it_running(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	struct seen *d = guest_start_at(&pair->b, 1, "", VMM_START_INCOMING);

	(void)state;
	hold(&pair->a, "hold-send");
	send_to(s, d, true);
	assert_int_equal(vmm_send_cancel(s->guest), 0);
	AWAIT(s->n_sent == 1 && d->n_received == 1);
	assert_int_equal(s->sent_err, -ECANCELED);
	assert_true(d->received_err < 0);
	assert_int_equal(s->n_stopped, 0);
	assert_int_equal(vmm_guest_state(s->guest), VMM_RUNNING);
	assert_int_equal(domain_is(&pair->a, 1), 'r');
	assert_int_equal(domain_is(&pair->b, 1), '-');
	let_go(&pair->a, "hold-send");
}

/* Before it has stopped, and after: it stays as it was then, and can be resumed. */
static void a_process_that_dies_while_it_sends(void **state)
{
	static const char *const when[] = { "hold-send", "hold-stopped" };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct seen *s = guest_start_at(&pair->a, 1 + i, "", 0);
		struct seen *d = guest_start_at(&pair->b, 1 + i, "", VMM_START_INCOMING);
		int domid = vmm_guest_domid(s->guest);

		hold(&pair->a, when[i]);
		send_to(s, d, true);
		AWAIT(i == 0 || s->n_stopped == 1);
		kill_process(s);
		AWAIT(s->n_sent == 1 && d->n_received == 1);
		assert_true(s->sent_err < 0 && d->received_err < 0);
		assert_int_equal(domain_is(&pair->a, domid), i ? 's' : 'r');
		assert_int_equal(vmm_guest_state(s->guest), i ? VMM_PAUSED : VMM_RUNNING);
		let_go(&pair->a, when[i]);
		CALL(s, vmm_resume(s->guest, on_done, s));
		assert_int_equal(domain_is(&pair->a, domid), 'r');
		assert_int_equal(s->n_gone, 0);
	}
}

static void a_process_that_dies_while_it_receives(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	struct seen *d = guest_start_at(&pair->b, 1, "", VMM_START_INCOMING);

	(void)state;
	hold(&pair->b, "hold-receive");
	send_to(s, d, true);
	AWAIT(domain_is(&pair->b, 1) == 'p');
	kill_process(d);
	AWAIT(d->n_received == 1);
	assert_true(d->received_err < 0);
	assert_int_equal(domain_is(&pair->b, 1), '-');
	AWAIT(s->n_sent == 1);
	let_go(&pair->b, "hold-receive");
}

static void a_received_guest_outlives_process_and_daemon(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	struct seen *d = guest_start_at(&pair->b, 1, "", VMM_START_INCOMING);
	int pid;

	(void)state;
	send_to(s, d, true);
	AWAIT(s->n_sent == 1 && d->n_received == 1);
	pid = vmm_guest_pid(d->guest);
	host_close(&pair->b);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	host_open(&pair->b);
	assert_int_equal(d->n_found, 1);
	AWAIT(vmm_guest_state(d->guest) == VMM_PAUSED);
	assert_true(vmm_guest_is_received(d->guest));
	assert_int_equal(vmm_guest_domid(d->guest), 1);
	CALL(d, vmm_resume(d->guest, on_done, d));
	assert_int_equal(domain_is(&pair->b, 1), 'r');
}

static void a_paused_guest_is_not_sent(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", VMM_START_PAUSED);
	const struct vmm_send_options opt = { .live = true };
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	CALL(s, vmm_send(s->guest, ends[0], &opt, on_done, s));
	assert_int_equal(s->done_err, -EOPNOTSUPP);
	assert_non_null(strstr(s->why, "paused"));
	AWAIT(s->n_sent == 1);
	close(ends[1]);
}

static void a_pv_guest_is_not_sent_live_where_xen_cannot(void **state)
{
	struct seen *s = guest_start_at(&pair->a, 1, "", 0);
	struct seen *d = guest_start_at(&pair->b, 1, "", VMM_START_INCOMING);

	(void)state;
	hold(&pair->a, "no-shadow");
	send_to(s, d, true);
	AWAIT(s->n_sent == 1 && d->n_received == 1);
	assert_int_equal(s->sent_err, -EOPNOTSUPP);
	assert_non_null(strstr(s->why, "shadow"));
	assert_int_equal(domain_is(&pair->a, 1), 'r');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(a_guest_lives),
		PAIR_TEST(a_guest_that_crashes_is_gone),
		PAIR_TEST(a_guest_that_reboots_is_another_domain),
		PAIR_TEST(a_process_that_dies_is_replaced),
		PAIR_TEST(a_damaged_file_leaves_the_domain_as_it_is),
		PAIR_TEST(a_damaged_file_of_no_domain_is_the_end),
		PAIR_TEST(a_domain_that_is_destroyed_by_others_is_gone),
		PAIR_TEST(a_half_made_domain_goes_with_the_process_that_made_it),
		PAIR_TEST(one_that_is_destroyed_while_it_is_made_leaves_nothing),
		PAIR_TEST(a_domain_of_the_same_uuid_that_is_not_ours_is_left_alone),
		PAIR_TEST(a_guest_moves),
		PAIR_TEST(a_number_that_is_not_given_is_another),
		PAIR_TEST(what_was_sent_can_go_on_where_it_was),
		PAIR_TEST(a_sending_that_is_cancelled_leaves_it_running),
		PAIR_TEST(a_process_that_dies_while_it_sends),
		PAIR_TEST(a_process_that_dies_while_it_receives),
		PAIR_TEST(a_received_guest_outlives_process_and_daemon),
		PAIR_TEST(a_paused_guest_is_not_sent),
		PAIR_TEST(a_pv_guest_is_not_sent_live_where_xen_cannot),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
