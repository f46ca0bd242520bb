/* SPDX-License-Identifier: MIT */
/*
 * Connections that outlive their process: it is killed before every single store to the area and to
 * a ring's page, and from what is there then another one goes on. Whatever the instant, every
 * request takes effect once, and every peer gets every message once, whole and in order.
 *
 * The pages are write-protected; the signal that a store raises is the instant before it.
 */
#include <signal.h>
#include <ucontext.h>

#include "conn/death_test.h"

#define DEPTH_MAX 2u
#define SECOND_ONE_IN 7919u /* deaths of a process that goes on, too, are looked at here */
#define COPIED_ONE_IN 61u
#define SCRIPTS 4u

static unsigned long n_instants;
static unsigned long n_copied; /* stores of memcpy and the like, of which some will do */
extern char __executable_start, etext;
static bool watched; /* its stores are instants */

/* --- instants ---------------------------------------------------------------------------- */

static void protect(struct world *w, int prot)
{
	uint8_t *base = (uint8_t *)((uintptr_t)area_user(w->area) & ~(uintptr_t)(PAGE - 1));

	assert_int_equal(mprotect(base, area_size(w->area), prot), 0);
	assert_int_equal(mprotect(w->page, PAGE, prot), 0);
}

/* The process is dead: what it has left is enough. */
static void survive(const struct world *dead)
{
	struct world *was = here, *w;
	bool was_watched = watched;

	watched = false;
	w = here = world_restore(dead);
	if (w->depth < DEPTH_MAX && !(n_instants % SECOND_ONE_IN)) {
		watched = true;
		protect(w, PROT_READ);
	}
	world_take_over(w);
	world_run(w);
	watched = false;
	protect(w, PROT_READ | PROT_WRITE);
	world_free(w);
	here = was;
	watched = was_watched;
}

#ifdef __x86_64__
#define TRAP_FLAG 0x100

/* Within a copy one instant is like the other. */
static bool is_instant(const char *code)
{
	bool ours = code >= &__executable_start && code < &etext;

	return ours || !(n_copied++ % COPIED_ONE_IN);
}

static void on_store(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)info;
	if (!here || (uc->uc_mcontext.gregs[REG_EFL] & TRAP_FLAG)) {
		signal(sig, SIG_DFL); /* not ours: the instruction fails again */
		return;
	}
	if (watched && !here->in_call && is_instant((char *)uc->uc_mcontext.gregs[REG_RIP])) {
		n_instants++;
		survive(here);
	}
	protect(here, PROT_READ | PROT_WRITE);
	uc->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_stored(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
	if (watched)
		protect(here, PROT_READ);
}

static void whatever_the_instant_it_dies_nothing_is_lost_or_done_twice(void **state)
{
	struct sigaction store = { .sa_sigaction = on_store, .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sigaction stored = { .sa_sigaction = on_stored,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sigaction was[2];

	(void)state;
	assert_int_equal(sigaction(SIGSEGV, &store, &was[0]), 0);
	assert_int_equal(sigaction(SIGTRAP, &stored, &was[1]), 0);
	for (script = 1; script <= SCRIPTS; script++) {
		print_message("# script %u\n", (unsigned int)script);
		here = world_new();
		watched = true;
		protect(here, PROT_READ);
		world_run(here);
		watched = false;
		protect(here, PROT_READ | PROT_WRITE);
		world_free(here);
		here = NULL;
	}
	sigaction(SIGSEGV, &was[0], NULL);
	sigaction(SIGTRAP, &was[1], NULL);
	print_message("# %lu instants, %lu stores of copies\n", n_instants, n_copied);
	assert_in_range(n_instants, 1000, UINT32_MAX);
}
#else
static void whatever_the_instant_it_dies_nothing_is_lost_or_done_twice(void **state)
{
	(void)state;
	skip(); /* instants are told by this processor's trap flag */
}
#endif

static bool world_dies(struct world *w)
{
	here = w;
	if (setjmp(death))
		return true;
	world_run(w);
	return false;
}

/* It is tried again once; who asked for it is answered, the others are not kept from theirs. */
static void a_request_that_kills_twice_is_refused(void **state)
{
	(void)state;
	for (uint32_t id = 1; id < PEERS * REQUESTS; id++) {
		struct world *w = world_new(), *dead;
		unsigned int deaths = 0;

		w->deadly = id;
		while (world_dies(w)) {
			assert_in_range(++deaths, 1, CONN_DEATHS_MAX);
			dead = w;
			w = here = world_restore(dead);
			world_bury(dead);
			w->deadly = id;
			world_take_over(w);
		}
		assert_int_equal(deaths, CONN_DEATHS_MAX);
		assert_int_equal(w->log.refused, id);
		world_free(w);
	}
	here = NULL;
}

/* What was restored goes on with whatever it is; what was not is no more. */
static void damaged_run(struct world *w)
{
	bool restored[PEERS];

	if (conn_table_attach(&w->t, w->area))
		return;
	conn_apply_words(&w->t, w->log.seq, w->log.words, w->log.n);
	for (size_t i = 0; i < PEERS; i++) {
		const struct transport_ops *ops;
		void *transport = transport_of(w, i, &ops);

		restored[i] = !conn_restore(w->conn[i], ops, transport);
	}
	area_settle(w->area);
	conn_table_settle(&w->t);
	for (size_t i = 0; i < PEERS; i++) {
		if (restored[i])
			continue;
		conn_discard(w->conn[i]);
		assert_int_equal(
			conn_new(&w->t, &peer_ops, &w->peer[i], &w->budget, true, i, &w->conn[i]),
			0);
	}
	for (unsigned int n = 0; n < 30; n++) {
		for (size_t i = 0; i < PEERS; i++) {
			w->peer[i].out_len = 0;
			w->peer[i].out_room = STREAM_MAX;
			if (w->conn[i])
				conn_wake(w->conn[i]);
		}
		w->mute = true; /* of connections that may be gone nobody is told */
		conn_round(&w->t, 0);
		guest_move(w);
	}
}

static void a_damaged_area_is_an_error_and_never_a_crash(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 600; seed++) {
		struct world *w = here = world_new(), *next;
		struct prng rnd;

		print_message("# seed %u\n", (unsigned int)seed);
		prng_init(&rnd, seed);
		w->deadly = 1 + prng_below(&rnd, PEERS * REQUESTS - 1);
		assert_true(world_dies(w));
		next = here = world_restore(w);
		world_bury(w);
		for (unsigned int n = 1 + prng_below(&rnd, 20); n; n--) {
			static const uint32_t sizes[] = { 64, 2048, 8192, 200u << 10 };
			/* roots, then cells, slots and blocks, all of it */
			uint32_t size = sizes[prng_below(&rnd, ARRAY_LEN(sizes))];
			off_t at = (off_t)(prng_once_in(&rnd, 2) ? 4096 : (132u << 10)) +
				   prng_below(&rnd, size);
			uint8_t c = (uint8_t)prng_next(&rnd);

			assert_int_equal(pwrite(next->fd, &c, 1, at), 1);
		}
		damaged_run(next);
		world_bury(next);
	}
	here = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_that_kills_twice_is_refused),
		cmocka_unit_test(a_damaged_area_is_an_error_and_never_a_crash),
		cmocka_unit_test(whatever_the_instant_it_dies_nothing_is_lost_or_done_twice),
	};

	streams_make();
	return cmocka_run_group_tests_name("restore", tests, NULL, NULL);
}
