/* SPDX-License-Identifier: MIT */
/*
 * Areas: blocks never overlap and survive their process; damage is told and hurts nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc_test.h"
#include "base/area.h"
#include "base/own.h"
#include "base/prng.h"

#define BOOT "5a8a9b0a-7c7d-4d36-9d2c-2f1b1c0e6a11"
#define BLOCKS 400u

static int file(void)
{
	int fd = memfd_create("area", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	return fd;
}

/* A random world: blocks of all sizes, each filled with its own octet. */
struct blocks {
	uint32_t ref[BLOCKS];
	size_t size[BLOCKS];
	size_t octets;
};

static void block_check(const struct area *a, const struct blocks *b, size_t i)
{
	const uint8_t *p = area_at(a, b->ref[i]);

	assert_in_range(b->size[i], 0, area_room(a, b->ref[i]));
	assert_int_equal((uintptr_t)p % 16, 0);
	assert_int_equal(area_ref(a, p), b->ref[i]);
	for (size_t k = 0; k < b->size[i]; k++)
		if (p[k] != (uint8_t)i)
			fail_msg("block %zu differs at %zu", i, k);
}

static void block_drop(struct area *a, struct blocks *b, size_t i)
{
	block_check(a, b, i);
	area_release(a, b->ref[i]);
	b->ref[i] = 0;
	b->octets -= b->size[i];
}

static void block_make(struct area *a, struct blocks *b, size_t i, struct prng *rnd)
{
	b->size[i] = prng_below(rnd, 1u << prng_below(rnd, 15));
	b->ref[i] = area_alloc(a, b->size[i]);
	assert_int_not_equal(b->ref[i], 0);
	memset(area_at(a, b->ref[i]), (int)i, b->size[i]);
	b->octets += b->size[i];
}

static void churn(struct area *a, struct blocks *b, uint64_t seed)
{
	struct prng rnd;

	print_message("# seed %u\n", (unsigned int)seed);
	prng_init(&rnd, seed);
	for (unsigned int n = 0; n < 5000; n++) {
		size_t i = prng_below(&rnd, BLOCKS);

		if (b->ref[i])
			block_drop(a, b, i);
		else
			block_make(a, b, i, &rnd);
	}
}

static void blocks_do_not_overlap_and_all_comes_back(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		int fd = seed % 2 ? file() : -1;
		struct blocks b = { .octets = 0 };
		struct area *a;
		size_t size;

		assert_int_equal(area_new(fd, BOOT, &a), 0);
		churn(a, &b, seed);
		/* a power of two each: never more than twice what was asked for and a head */
		assert_in_range(area_used(a), b.octets, 2 * b.octets + (size_t)128 * BLOCKS);
		for (size_t i = 0; i < BLOCKS; i++)
			if (b.ref[i])
				block_drop(a, &b, i);
		assert_int_equal(area_used(a), 0);
		/* joined again: half of it is one block */
		size = area_size(a);
		assert_int_not_equal(area_alloc(a, (64u << 10) - 16), 0);
		assert_int_equal(area_size(a), size);
		area_free(a);
		if (fd >= 0)
			close(fd);
	}
}

static void who_attaches_finds_what_it_claims_and_the_rest_is_free(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct blocks b = { .octets = 0 };
		struct area *a;
		int fd = file();
		size_t size;

		assert_int_equal(area_new(fd, BOOT, &a), 0);
		churn(a, &b, seed);
		*area_root(a, 3) = 77;
		memset(area_user(a), 'u', AREA_USER_SIZE);
		size = area_size(a);
		area_free(a); /* as if it were killed: nothing is written at an end */

		assert_int_equal(area_attach(fd, BOOT, true, &a), 0);
		assert_int_equal(*area_root(a, 3), 77);
		assert_int_equal(((char *)area_user(a))[AREA_USER_SIZE - 1], 'u');
		for (size_t i = 0; i < BLOCKS; i++) {
			if (!b.ref[i])
				continue;
			if (i % 3)
				assert_int_equal(area_claim(a, b.ref[i]), 0);
			else
				b.ref[i] = 0;
		}
		area_settle(a);
		b.octets = 0;
		for (size_t i = 0; i < BLOCKS; i++)
			if (b.ref[i])
				b.octets += b.size[i];
		churn(a, &b, seed + 100);
		assert_in_range(area_size(a), size, 2 * size + (1u << 20));
		for (size_t i = 0; i < BLOCKS; i++)
			if (b.ref[i])
				block_drop(a, &b, i);
		assert_int_equal(area_used(a), 0);
		area_free(a);
		close(fd);
	}
}

static void pointers_stay_as_it_grows_to_the_largest_block(void **state)
{
	struct area *a;
	int fd = file();
	uint32_t small, large;
	char *p;

	(void)state;
	assert_int_equal(area_new(fd, BOOT, &a), 0);
	small = area_alloc(a, 5);
	p = area_at(a, small);
	memcpy(p, "hello", 5);
	large = area_alloc(a, AREA_BLOCK_MAX - 16);
	assert_int_not_equal(large, 0);
	((char *)area_at(a, large))[AREA_BLOCK_MAX - 17] = 'x';
	assert_ptr_equal(area_at(a, small), p);
	assert_memory_equal(p, "hello", 5);
	assert_int_equal(area_alloc(a, AREA_BLOCK_MAX - 15), 0);
	assert_int_equal(area_alloc(a, SIZE_MAX), 0);
	area_free(a);
	close(fd);
}

static void a_full_file_system_is_no_memory_and_no_signal(void **state)
{
	struct area *a;
	int fd = file();
	uint32_t ref, last = 0;
	size_t size;

	(void)state;
	assert_int_equal(area_new(fd, BOOT, &a), 0);
	size = area_size(a);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0); /* it does not grow any more */
	while ((ref = area_alloc(a, 4000))) {
		memset(area_at(a, ref), 0xff, 4000);
		last = ref;
	}
	assert_int_equal(area_used(a), size - 4096);
	area_release(a, last);
	assert_int_equal(area_alloc(a, 4081), 0);
	assert_int_equal(area_alloc(a, 4080), last);
	area_free(a);
	close(fd);
}

static void an_area_without_memory_stays_as_it_is(void **state)
{
	struct area *a = NULL;
	unsigned long n = 0;
	size_t size;
	int r;

	(void)state;
	do {
		alloc_fail_nth(++n, true);
		r = area_new(-1, BOOT, &a);
	} while (alloc_fail_end());
	assert_int_equal(r, 0);
	assert_in_range(n, 2, 10);
	size = area_size(a);
	alloc_fail_nth(1, true);
	assert_int_equal(area_alloc(a, 1u << 20), 0);
	assert_true(alloc_fail_end());
	assert_int_equal(area_size(a), size);
	alloc_fail_nth(2, true);
	assert_int_equal(area_alloc(a, 1u << 20), 0);
	assert_true(alloc_fail_end());
	assert_int_not_equal(area_alloc(a, 1u << 20), 0);
	area_free(a);
}

static void another_boot_version_or_file_is_refused(void **state)
{
	static const struct {
		size_t at; /* of an octet that is changed */
		int want;
	} table[] = { { 0, EINVAL }, { 7, EINVAL }, { 8, ESTALE }, { 16, ESTALE }, { 51, ESTALE } };
	struct area *a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		int fd = file();
		char c;

		assert_int_equal(area_new(fd, BOOT, &a), 0);
		area_free(a);
		assert_int_equal(area_attach(fd, "another", true, &a), ESTALE);
		assert_int_equal(pread(fd, &c, 1, (off_t)table[i].at), 1);
		c ^= 1;
		assert_int_equal(pwrite(fd, &c, 1, (off_t)table[i].at), 1);
		assert_int_equal(area_attach(fd, BOOT, true, &a), table[i].want);
		close(fd);
	}
	for (off_t len = 0; len < 300000; len += 4000) {
		int fd = file();

		assert_int_equal(ftruncate(fd, len), 0);
		assert_int_equal(area_attach(fd, BOOT, true, &a), len ? EINVAL : ESTALE);
		close(fd);
	}
}

static void a_claim_is_refused_where_no_block_can_be(void **state)
{
	static const uint32_t orders[] = { 1, 12, 19, 20, 31, 32, UINT32_MAX };
	uint32_t ref[3], *head;
	struct area *a;
	int fd = file();

	(void)state;
	assert_int_equal(area_new(fd, BOOT, &a), 0);
	for (size_t i = 0; i < 3; i++)
		ref[i] = area_alloc(a, 40); /* neighbours */
	area_free(a);
	assert_int_equal(area_attach(fd, BOOT, true, &a), 0);
	assert_int_equal(area_claim(a, 0), EINVAL);
	assert_int_equal(area_claim(a, 1), EINVAL);
	assert_int_equal(area_claim(a, 5000), EINVAL);
	assert_int_equal(area_claim(a, UINT32_MAX), EINVAL);
	assert_int_equal(area_claim(a, ref[1]), 0);
	assert_int_equal(area_claim(a, ref[1]), EINVAL); /* twice */
	/* a damaged size: beside its place, past the end, or over what is claimed */
	head = (uint32_t *)(void *)((char *)area_at(a, ref[1]) - 16) + 1;
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		head[-16] = orders[i];
		assert_int_equal(area_claim(a, ref[0]), EINVAL);
		head[16] = orders[i];
		assert_int_equal(i && area_claim(a, ref[2]) != EINVAL, 0);
	}
	area_settle(a);
	assert_int_equal(area_used(a), 64);
	area_free(a);
	close(fd);
}

/* A block within a larger one that is claimed, too. */
static void claims_do_not_nest(void **state)
{
	uint32_t big, small;
	struct area *a;
	int fd = file();

	(void)state;
	assert_int_equal(area_new(fd, BOOT, &a), 0);
	big = area_alloc(a, 4000);
	small = big + 4;
	memcpy((char *)area_at(a, big) + 4 * AREA_UNIT - 16, (char *)area_at(a, big) - 16, 16);
	((uint32_t *)area_at(a, big))[4 * AREA_UNIT / 4 - 3] = 1;
	area_free(a);
	assert_int_equal(area_attach(fd, BOOT, true, &a), 0);
	assert_int_equal(area_claim(a, big), 0);
	assert_int_equal(area_claim(a, small), EINVAL);
	area_free(a);
	assert_int_equal(area_attach(fd, BOOT, true, &a), 0);
	assert_int_equal(area_claim(a, small), 0);
	assert_int_equal(area_claim(a, big), EINVAL);
	area_free(a);
	close(fd);
}

/* Whatever is in the file: a claim says yes or no, and what follows works. */
static void random_damage_is_an_error_and_never_a_crash(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		static struct blocks b;
		struct prng rnd;
		struct area *a;
		int fd = file();

		memset(&b, 0, sizeof(b));
		prng_init(&rnd, seed);
		assert_int_equal(area_new(fd, BOOT, &a), 0);
		for (size_t i = 0; i < BLOCKS; i++)
			block_make(a, &b, i, &rnd);
		area_free(a);
		for (unsigned int n = 0; n < 200; n++) {
			uint32_t at =
				(b.ref[prng_below(&rnd, BLOCKS)] * AREA_UNIT) + prng_below(&rnd, 8);
			uint8_t c = (uint8_t)prng_below(&rnd, 24);

			assert_int_equal(pwrite(fd, &c, 1, at), 1);
		}
		assert_int_equal(area_attach(fd, BOOT, true, &a), 0);
		for (size_t i = 0; i < BLOCKS; i++) {
			uint32_t ref =
				prng_once_in(&rnd, 4) ? b.ref[i] + prng_below(&rnd, 64) : b.ref[i];

			b.ref[i] = area_claim(a, ref) ? 0 : ref;
		}
		area_settle(a);
		for (size_t i = 0; i < BLOCKS; i++)
			area_release(a, b.ref[i]);
		assert_int_equal(area_used(a), 0);
		assert_int_not_equal(area_alloc(a, 100000), 0);
		area_free(a);
		close(fd);
	}
}

/* Less than a chunk at the end: who had it was killed as it grew. */
static void a_file_cut_within_a_chunk_grows_on_from_there(void **state)
{
	struct area *a;
	int fd = file();
	struct stat st;
	uint32_t ref;

	(void)state;
	assert_int_equal(area_new(fd, BOOT, &a), 0);
	ref = area_alloc(a, 1000);
	memset(area_at(a, ref), 'r', 1000);
	area_free(a);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size + 5000), 0);
	assert_int_equal(area_attach(fd, BOOT, true, &a), 0);
	assert_int_equal(area_claim(a, ref), 0);
	area_settle(a);
	ref = area_alloc(a, 1u << 20);
	assert_int_not_equal(ref, 0);
	memset(area_at(a, ref), 'x', 1u << 20);
	area_free(a);
	close(fd);
}

static void an_attached_area_is_written_to_only_when_owned(void **state)
{
	struct area *a, *b;
	int fd = file();
	uint32_t ref;

	(void)state;
	assert_int_equal(area_new(fd, BOOT, &a), 0);
	ref = area_alloc(a, 100);
	strcpy(area_at(a, ref), "before");
	assert_int_equal(area_attach(fd, BOOT, false, &b), 0);
	assert_int_equal(area_claim(b, ref), 0);
	area_settle(b); /* of what is free the file knows nothing */
	assert_string_equal(area_at(b, ref), "before");
	assert_int_equal(area_own(b), 0);
	strcpy(area_at(b, ref), "after");
	assert_string_equal(area_at(a, ref), "after");
	assert_int_not_equal(area_alloc(b, 100), 0);
	area_free(a);
	area_free(b);
	close(fd);
}

static void who_owns_an_area_sees_what_it_grew_by(void **state)
{
	struct area *a, *b;
	int fd = file();
	uint32_t ref;

	(void)state;
	assert_int_equal(area_new(fd, BOOT, &a), 0);
	assert_int_equal(area_attach(fd, BOOT, false, &b), 0);
	ref = area_alloc(a, 3u << 20);
	assert_int_not_equal(ref, 0);
	memset(area_at(a, ref), 'x', 3u << 20);
	assert_int_equal(area_claim(b, ref), EINVAL);
	assert_int_equal(area_own(b), 0);
	assert_int_equal(area_size(b), area_size(a));
	assert_int_equal(area_claim(b, ref), 0);
	area_settle(b);
	assert_memory_equal(area_at(b, ref), area_at(a, ref), 3u << 20);
	assert_int_equal(area_used(b), area_used(a));
	area_free(a);
	area_free(b);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_do_not_overlap_and_all_comes_back),
		cmocka_unit_test(who_attaches_finds_what_it_claims_and_the_rest_is_free),
		cmocka_unit_test(pointers_stay_as_it_grows_to_the_largest_block),
		cmocka_unit_test(a_full_file_system_is_no_memory_and_no_signal),
		cmocka_unit_test(an_area_without_memory_stays_as_it_is),
		cmocka_unit_test(another_boot_version_or_file_is_refused),
		cmocka_unit_test(a_claim_is_refused_where_no_block_can_be),
		cmocka_unit_test(claims_do_not_nest),
		cmocka_unit_test(random_damage_is_an_error_and_never_a_crash),
		cmocka_unit_test(a_file_cut_within_a_chunk_grows_on_from_there),
		cmocka_unit_test(an_attached_area_is_written_to_only_when_owned),
		cmocka_unit_test(who_owns_an_area_sees_what_it_grew_by),
	};

	return cmocka_run_group_tests_name("area", tests, NULL, NULL);
}
