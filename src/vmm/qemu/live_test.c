/* SPDX-License-Identifier: MIT */
/*
 * The backend with the real emulator and a guest that counts: what it does is seen in its ticks.
 * Skipped by name where there is no emulator.
 */
#include "vmm/qemu/host_test.h"

#define LIVE_TEST(test) cmocka_unit_test_teardown(test, host_reap)

static void starts_pauses_resumes_and_is_destroyed(void **state)
{
	struct host *h = host_with_guest();
	long before;

	(void)state;
	assert_int_equal(h->state, VMM_RUNNING);
	assert_int_equal(h->reason, VMM_BOOTED);
	host_await(h, NULL, host_ticks(h, NULL) >= 3);
	assert_true(vmm_guest_cpu_ns(h->guest) > 0);
	assert_null(vmm_guest_pty(h->guest, 0));
	assert_non_null(vmm_guest_pty(h->guest, 1));

	host_call(h, vmm_pause);
	assert_int_equal(h->done_err, 0);
	assert_int_equal(h->state, VMM_PAUSED);
	before = host_ticks(h, NULL);
	host_call(h, vmm_pause);
	assert_int_equal(h->done_err, 0);
	host_call(h, vmm_resume);
	assert_int_equal(h->done_err, 0);
	assert_int_equal(h->state, VMM_RUNNING);
	host_await(h, NULL, host_ticks(h, NULL) >= before + 2);

	host_destroy(h);
	assert_int_equal(h->reason, VMM_BY_USER);
	assert_int_equal(access(h->run, R_OK), 0);
	host_free(h);
}

static void starts_paused_and_ticks_only_when_resumed(void **state)
{
	struct host *h = host_new();

	(void)state;
	host_start(h, VMM_START_PAUSED, NULL);
	assert_int_equal(h->state, VMM_PAUSED);
	assert_int_equal(host_ticks(h, NULL), 0);
	host_call(h, vmm_resume);
	host_await(h, NULL, host_ticks(h, NULL) >= 1);
	host_free(h);
}

static void shutdown_and_reboot_reach_the_guest(void **state)
{
	struct host *h = host_with_guest();

	(void)state;
	host_await(h, NULL, host_ticks(h, NULL) >= 2);
	host_call(h, vmm_reboot);
	host_await(h, NULL, h->n_rebooted > 0);
	assert_int_equal(unlink(h->serial), 0); /* it counts from 1 again */
	host_call(h, vmm_shutdown);
	assert_int_equal(h->done_err, 0);
	host_await(h, NULL, host_ticks(h, NULL) == 0 || h->state == VMM_GONE);
	/* Pressed before the guest looked for it after its reboot, the button is not seen. */
	for (int i = 0; i < 100 && h->state != VMM_GONE; i++) {
		struct host *hosts[] = { h };
		uint64_t end = host_now_us() + 100000;

		(void)vmm_shutdown(h->guest, NULL, NULL);
		while (h->state != VMM_GONE && host_round(hosts, 1, end))
			;
	}
	assert_int_equal(h->state, VMM_GONE);
	assert_int_equal(h->reason, VMM_SHUTDOWN);
	host_free(h);
}

static void a_guest_is_sent_and_goes_on_where_it_stopped(void **state)
{
	static const struct vmm_send_options options[] = {
		{ .live = true },
		{ .live = true, .compressed = true, .auto_converge = true },
		{ .live = false, .downtime_ms = 100 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		struct pair p = pair_new();

		if (i == 1)
			pair_over_tcp(&p);
		pair_send(&p, &options[i]);
		host_await(p.a, p.b, p.a->n_sent && p.b->n_received);
		assert_int_equal(p.a->n_done, 1);
		assert_int_equal(p.a->done_err, 0);
		assert_int_equal(p.a->sent_err, 0);
		assert_int_equal(p.b->received_err, 0);
		assert_int_equal(p.a->n_stopped, 1);
		assert_int_equal(p.a->state, VMM_PAUSED);
		assert_int_equal(p.b->state, VMM_PAUSED);
		assert_true(vmm_guest_is_received(p.b->guest));
		host_call(p.b, vmm_resume);
		assert_int_equal(p.b->done_err, 0);
		print_message("# stopped to running: %" PRIu64 " us, sent %" PRIu64
			      ", received %" PRIu64 "\n",
			      p.b->running_us - p.a->stopped_us, p.a->sent_us - p.a->stopped_us,
			      p.b->received_us - p.a->stopped_us);
		assert_moved(&p);
		host_await(p.a, NULL, p.a->progress.memory_total > 64u << 20);
		assert_true(p.a->n_iterations > 0);
		pair_free(&p);
	}
}

/* What was sent and is not wanted by the destination runs on here. */
static void a_guest_that_was_sent_is_resumed_when_the_other_is_gone(void **state)
{
	struct vmm_send_options opt = { .live = true };
	struct pair p = pair_new();
	long before;

	(void)state;
	pair_send(&p, &opt);
	host_await(p.a, p.b, p.a->n_sent && p.b->n_received);
	host_destroy(p.b);
	before = host_ticks(p.a, NULL);
	host_call(p.a, vmm_resume);
	assert_int_equal(p.a->done_err, 0);
	host_await(p.a, NULL, host_ticks(p.a, NULL) >= before + 3);
	pair_free(&p);
}

/* Sent in vain while it was paused, it stays so, and can be sent again. */
static void a_paused_guest_is_sent_again_after_one_that_did_not_count(void **state)
{
	struct vmm_send_options opt = { .live = true };
	struct pair p = pair_new();
	int sv[2];

	(void)state;
	host_call(p.a, vmm_pause);
	pair_send(&p, &opt);
	host_await(p.a, p.b, p.a->n_sent && p.b->n_received);
	assert_int_equal(p.a->n_stopped, 1);
	host_destroy(p.b);
	p.b->n_sent = p.b->n_received = p.a->n_sent = 0;
	host_start(p.b, VMM_START_INCOMING, HOST_MIGRATION_ID);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	p.to_b = sv[0];
	p.to_a = sv[1];
	pair_send(&p, &opt);
	host_await(p.a, p.b, p.a->n_sent && p.b->n_received);
	assert_int_equal(p.a->sent_err, 0);
	assert_int_equal(p.b->received_err, 0);
	assert_int_equal(p.a->state, VMM_PAUSED);
	host_call(p.b, vmm_resume);
	assert_moved(&p);
	pair_free(&p);
}

static void a_cancelled_guest_runs_on(void **state)
{
	struct vmm_send_options opt = { .live = true, .bandwidth_bps = 4u << 20 };
	struct pair p = pair_new();
	long before;

	(void)state;
	pair_send(&p, &opt);
	host_await(p.a, p.b, p.a->n_progress >= 2);
	assert_true(p.a->progress.memory_remaining > 0);
	assert_int_equal(vmm_send_cancel(p.a->guest), 0);
	host_await(p.a, p.b, p.a->n_sent);
	assert_int_equal(p.a->sent_err, -ECANCELED);
	host_call(p.a, vmm_resume);
	assert_int_equal(p.a->done_err, 0);
	before = host_ticks(p.a, NULL);
	host_await(p.a, NULL, host_ticks(p.a, NULL) >= before + 3);
	/* What has half a guest is of no use, and says so, or waits to be destroyed. */
	host_await(p.b, NULL, p.b->n_received && p.b->state == VMM_GONE);
	assert_true(p.b->received_err < 0);
	pair_free(&p);
}

static void a_guest_whose_destination_dies_runs_on(void **state)
{
	struct vmm_send_options opt = { .live = true, .bandwidth_bps = 4u << 20 };
	struct pair p = pair_new();
	long before;

	(void)state;
	pair_send(&p, &opt);
	host_await(p.a, p.b, p.a->n_progress >= 1);
	host_destroy(p.b);
	host_await(p.a, NULL, p.a->n_sent);
	assert_true(p.a->sent_err < 0);
	assert_true(p.a->why[0]);
	host_call(p.a, vmm_resume);
	before = host_ticks(p.a, NULL);
	host_await(p.a, NULL, host_ticks(p.a, NULL) >= before + 3);
	pair_free(&p);
}

static void a_slow_sending_is_sped_up(void **state)
{
	struct vmm_send_options opt = { .live = true, .bandwidth_bps = 1u << 20 };
	struct pair p = pair_new();

	(void)state;
	pair_send(&p, &opt);
	host_await(p.a, p.b, p.a->n_progress >= 1);
	opt.bandwidth_bps = 0;
	assert_int_equal(vmm_send_tune(p.a->guest, &opt), 0);
	host_await(p.a, p.b, p.a->n_sent && p.b->n_received);
	assert_int_equal(p.a->sent_err, 0);
	host_call(p.b, vmm_resume);
	assert_moved(&p);
	pair_free(&p);
}

/*
 * It writes more than can be sent: so each round is long, and what it wrote in one has to be found
 * in the next, or it goes on with memory of different times, and says so. It arrives because it may
 * stand still longer the longer it takes.
 */
static void a_guest_that_writes_faster_than_it_is_sent_arrives_whole(void **state)
{
	struct vmm_send_options opt = { .live = true, .bandwidth_bps = 8u << 20 };
	struct pair p = pair_new();

	(void)state;
	pair_send(&p, &opt);
	host_await(p.a, p.b, p.a->n_sent && p.b->n_received);
	assert_int_equal(p.a->sent_err, 0);
	assert_true(p.a->n_iterations >= 4);
	host_call(p.b, vmm_resume);
	assert_moved(&p);
	pair_free(&p);
}

static void a_stream_that_is_no_guest_is_refused(void **state)
{
	static const char nonsense[4096] = "this is no guest";
	struct host *b;
	int sv[2];

	(void)state;
	b = host_new();
	host_start(b, VMM_START_INCOMING, HOST_MIGRATION_ID);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(vmm_receive(b->guest, sv[1]), 0);
	assert_int_equal(write(sv[0], nonsense, sizeof(nonsense)), sizeof(nonsense));
	host_await(b, NULL, b->n_received && b->state == VMM_GONE);
	assert_true(b->received_err < 0);
	close(sv[0]);
	host_free(b);
}

static void an_emulator_that_does_not_start_says_so(void **state)
{
	struct guest_def *def;
	struct host *h = host_new();

	(void)state;
	def = host_def(h);
	free(def->disks[0].source);
	def->disks[0].source = strdup("/nowhere");
	assert_int_equal(vmm_start(h->v, def, 0, 1, NULL, host_done, h, &h->guest), 0);
	def_free(def);
	host_await(h, NULL, h->n_done && h->state == VMM_GONE);
	assert_true(h->done_err < 0);
	assert_non_null(strstr(h->why, "did not start: "));
	assert_non_null(strstr(h->why, "/nowhere"));
	host_free(h);
}

/* Starts one that ends at once, with another emulator or machine; why that was is in h->why. */
static void start_in_vain(struct host *h, const char *emulator, const char *machine)
{
	struct guest_def *def = host_def(h);

	free(def->emulator);
	def->emulator = emulator ? strdup(emulator) : NULL;
	if (machine) {
		free(def->machine);
		def->machine = strdup(machine);
	}
	h->n_done = 0;
	assert_int_equal(vmm_start(h->v, def, 0, 1, NULL, host_done, h, &h->guest), 0);
	def_free(def);
	host_await(h, NULL, h->n_done && h->state == VMM_GONE);
	vmm_guest_free(h->guest);
	h->guest = NULL;
}

static void why_it_did_not_start_is_the_emulators_own_word(void **state)
{
	struct guest_def *def;
	struct host *h = host_new();

	(void)state;
	start_in_vain(h, NULL, "pc-nonesuch"); /* two lines, and the second one is advice */
	assert_non_null(strstr(h->why, "unsupported machine type"));
	start_in_vain(h, "/bin/false", NULL); /* silent: what the one before said is not its word */
	assert_string_equal(h->why, "the emulator did not start");

	def = host_def(h);
	free(def->emulator);
	def->emulator = strdup("/nowhere/emulator");
	assert_true(vmm_start(h->v, def, 0, 1, NULL, host_done, h, &h->guest) < 0);
	assert_non_null(strstr(vmm_start_why(h->v), "/nowhere/emulator could not be started"));
	def_free(def);
	host_free(h);
}

/* More of what a definition may have: one of each kind that needs nothing of the host. */
static struct guest_def *rich_def(const struct host *h, const char *machine)
{
	struct guest_def *def = host_def(h);
	bool pc = !strcmp(machine, "pc");

	free(def->machine);
	def->machine = strdup(machine);
	def->disks = reallocarray(def->disks, 3, sizeof(*def->disks));
	assert_non_null(def->disks);
	def->n_disks = 3;
	memset(&def->disks[1], 0, 2 * sizeof(*def->disks));
	for (size_t i = 1; i < 3; i++) {
		def->disks[i].type = strdup("file");
		def->disks[i].device = strdup("cdrom");
	}
	def->disks[1].target = strdup(pc ? "hdc" : "sdc");
	def->disks[1].bus = strdup(pc ? "ide" : "sata");
	def->disks[2].target = strdup("sda");
	def->disks[2].bus = strdup("scsi");
	def->boot = strdup("cdrom,hd");
	def->nics = calloc(1, sizeof(*def->nics));
	def->n_nics = 1;
	def->nics[0].type = strdup("user");
	def->nics[0].mac[0] = 0x52;
	def->channels = calloc(1, sizeof(*def->channels));
	def->n_channels = 1;
	def->channels[0].type = strdup("unix");
	def->channels[0].listen = true;
	def->channels[0].target_type = strdup("virtio");
	def->channels[0].target_name = strdup("org.qemu.guest_agent.0");
	def->consoles = calloc(1, sizeof(*def->consoles));
	def->n_consoles = 1;
	def->consoles[0].type = strdup("pty");
	def->consoles[0].target_type = strdup("virtio");
	def->graphics = calloc(1, sizeof(*def->graphics));
	def->n_graphics = 1;
	def->graphics[0].type = strdup("vnc");
	def->graphics[0].port = -1;
	def->memballoon = strdup("virtio");
	def->rng = strdup("/dev/urandom");
	def->cpu_features = strdup("svm=off");
	return def;
}

static void start_rich(struct host *h, const char *machine, unsigned int flags)
{
	struct guest_def *def = rich_def(h, machine);

	assert_int_equal(vmm_start(h->v, def, flags, 1, flags ? HOST_MIGRATION_ID : NULL, host_done,
				   h, &h->guest),
			 0);
	def_free(def);
	host_await(h, NULL, h->n_done);
	assert_int_equal(h->done_err, 0);
}

static void a_guest_of_many_devices_is_started_and_sent(void **state)
{
	static const char *const machines[] = { "pc", "q35" };
	struct vmm_send_options opt = { .live = true };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
		struct pair p = { host_new(), host_new(), -1, -1 };
		int sv[2];

		memcpy(p.b->disk, p.a->disk, sizeof(p.b->disk));
		start_rich(p.a, machines[i], 0);
		start_rich(p.b, machines[i], VMM_START_INCOMING);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		p.to_b = sv[0];
		p.to_a = sv[1];
		assert_true(vmm_guest_vnc_port(p.a->guest) >= 5900);
		assert_true(vmm_guest_vnc_port(p.b->guest) > vmm_guest_vnc_port(p.a->guest));
		host_await(p.a, p.b, host_ticks(p.a, NULL) >= 2);
		pair_send(&p, &opt);
		host_await(p.a, p.b, p.a->n_sent && p.b->n_received);
		assert_int_equal(p.b->received_err, 0);
		host_call(p.b, vmm_resume);
		assert_moved(&p);
		pair_free(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIVE_TEST(starts_pauses_resumes_and_is_destroyed),
		LIVE_TEST(starts_paused_and_ticks_only_when_resumed),
		LIVE_TEST(shutdown_and_reboot_reach_the_guest),
		LIVE_TEST(a_guest_is_sent_and_goes_on_where_it_stopped),
		LIVE_TEST(a_guest_of_many_devices_is_started_and_sent),
		LIVE_TEST(a_guest_that_was_sent_is_resumed_when_the_other_is_gone),
		LIVE_TEST(a_paused_guest_is_sent_again_after_one_that_did_not_count),
		LIVE_TEST(a_cancelled_guest_runs_on),
		LIVE_TEST(a_guest_whose_destination_dies_runs_on),
		LIVE_TEST(a_slow_sending_is_sped_up),
		LIVE_TEST(a_guest_that_writes_faster_than_it_is_sent_arrives_whole),
		LIVE_TEST(a_stream_that_is_no_guest_is_refused),
		LIVE_TEST(an_emulator_that_does_not_start_says_so),
		LIVE_TEST(why_it_did_not_start_is_the_emulators_own_word),
	};

	return cmocka_run_group_tests_name("vmm/qemu", tests, NULL, NULL);
}
