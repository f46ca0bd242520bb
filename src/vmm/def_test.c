/* SPDX-License-Identifier: MIT */
/*
 * Definitions: a copy has all of it and shares none of it; uuids are read and printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "vmm/def.h"

/*
 * A structure as an array of words: every one that is a pointer in the original has to be another
 * one in the copy, and whatever else differs is an error.
 */
static void is_deep(const void *a, const void *b, size_t size, const size_t *strings, size_t n)
{
	for (size_t at = 0; at < size; at += sizeof(char *)) {
		const char *x, *y;
		bool is_string = false;

		memcpy(&x, (const char *)a + at, sizeof(x));
		memcpy(&y, (const char *)b + at, sizeof(y));
		for (size_t i = 0; i < n; i++)
			is_string = is_string || strings[i] == at;
		if (is_string) {
			assert_ptr_not_equal(x, y);
			assert_string_equal(x, y);
		} else {
			assert_ptr_equal(x, y);
		}
	}
}

#define STRING(type, field)                                                                        \
	(strings[n++] = offsetof(type, field), x->field = strdup(#type "." #field))

static size_t fill_disk(struct def_disk *x, size_t *strings)
{
	size_t n = 0;

	STRING(struct def_disk, type);
	STRING(struct def_disk, device);
	STRING(struct def_disk, driver);
	STRING(struct def_disk, format);
	STRING(struct def_disk, cache);
	STRING(struct def_disk, io);
	STRING(struct def_disk, discard);
	STRING(struct def_disk, source);
	STRING(struct def_disk, target);
	STRING(struct def_disk, bus);
	STRING(struct def_disk, kept);
	x->readonly = true;
	x->boot_order = 3;
	return n;
}

static size_t fill_nic(struct def_nic *x, size_t *strings)
{
	size_t n = 0;

	STRING(struct def_nic, type);
	STRING(struct def_nic, source);
	STRING(struct def_nic, script);
	STRING(struct def_nic, target);
	STRING(struct def_nic, model);
	STRING(struct def_nic, kept);
	x->mac[5] = 7;
	return n;
}

static size_t fill_chardev(struct def_chardev *x, size_t *strings)
{
	size_t n = 0;

	STRING(struct def_chardev, type);
	STRING(struct def_chardev, source);
	STRING(struct def_chardev, target_type);
	STRING(struct def_chardev, target_name);
	STRING(struct def_chardev, kept);
	x->port = 4;
	return n;
}

static size_t fill_graphics(struct def_graphics *x, size_t *strings)
{
	size_t n = 0;

	STRING(struct def_graphics, type);
	STRING(struct def_graphics, listen);
	STRING(struct def_graphics, keymap);
	STRING(struct def_graphics, kept);
	x->port = -1;
	return n;
}

#define ARRAY_FILL(def_, items_, count_, fill_)                                                    \
	do {                                                                                       \
		(def_)->items_ = calloc(2, sizeof(*(def_)->items_));                               \
		(def_)->count_ = 2;                                                                \
		fill_(&(def_)->items_[0], strings);                                                \
		fill_(&(def_)->items_[1], strings);                                                \
	} while (0)

#define ARRAY_CHECK(items_, count_, fill_)                                                         \
	do {                                                                                       \
		__typeof__(*def->items_) probe_ = { 0 };                                           \
		size_t strings_[16], n_ = fill_(&probe_, strings_);                                \
		for (size_t s_ = 0; s_ < n_; s_++) {                                               \
			char *text_;                                                               \
			memcpy(&text_, (char *)&probe_ + strings_[s_], sizeof(text_));             \
			free(text_);                                                               \
		}                                                                                  \
		assert_int_equal(copy->count_, 2);                                                 \
		assert_ptr_not_equal(copy->items_, def->items_);                                   \
		for (size_t i_ = 0; i_ < 2; i_++)                                                  \
			is_deep(&def->items_[i_], &copy->items_[i_], sizeof(probe_), strings_,     \
				n_);                                                               \
	} while (0)

static void fill_texts(struct guest_def *x)
{
	x->name = strdup("struct guest_def.name");
	x->title = strdup("struct guest_def.title");
	x->kernel = strdup("struct guest_def.kernel");
	x->cmdline = strdup("struct guest_def.cmdline");
	x->bootloader_args = strdup("struct guest_def.bootloader_args");
	x->rng = strdup("struct guest_def.rng");
	x->cpu_features = strdup("struct guest_def.cpu_features");
	for (size_t i = 0; i < DEF_KEPT_PLACES; i++)
		x->kept[i] = strdup("<kept/>");
	x->uuid[3] = 9;
	x->memory_kib = 77;
	x->features = DEF_ACPI | DEF_VIRIDIAN;
}

static void a_copy_has_everything_and_shares_nothing(void **state)
{
	struct guest_def *def = def_new(), *copy;
	size_t strings[16];

	(void)state;
	fill_texts(def);
	ARRAY_FILL(def, disks, n_disks, fill_disk);
	ARRAY_FILL(def, nics, n_nics, fill_nic);
	ARRAY_FILL(def, serials, n_serials, fill_chardev);
	ARRAY_FILL(def, consoles, n_consoles, fill_chardev);
	ARRAY_FILL(def, channels, n_channels, fill_chardev);
	ARRAY_FILL(def, graphics, n_graphics, fill_graphics);
	copy = def_copy(def);
	assert_non_null(copy);
	ARRAY_CHECK(disks, n_disks, fill_disk);
	ARRAY_CHECK(nics, n_nics, fill_nic);
	ARRAY_CHECK(serials, n_serials, fill_chardev);
	ARRAY_CHECK(consoles, n_consoles, fill_chardev);
	ARRAY_CHECK(channels, n_channels, fill_chardev);
	ARRAY_CHECK(graphics, n_graphics, fill_graphics);
	def_free(def); /* what the copy has must not go with it */
	assert_string_equal(copy->name, "struct guest_def.name");
	assert_string_equal(copy->cmdline, "struct guest_def.cmdline");
	assert_string_equal(copy->bootloader_args, "struct guest_def.bootloader_args");
	assert_string_equal(copy->rng, "struct guest_def.rng");
	assert_string_equal(copy->kept[DEF_KEPT_PLACES - 1], "<kept/>");
	assert_int_equal(copy->memory_kib, 77);
	assert_int_equal(copy->uuid[3], 9);
	def_free(copy);
}

/* No pointer of a definition is in both: a field that the copy does not know of would be. */
static void every_pointer_of_a_copy_is_its_own(void **state)
{
	struct guest_def *def = def_new(), *copy;
	size_t strings[16];
	const size_t first = offsetof(struct guest_def, name);

	(void)state;
	fill_texts(def);
	ARRAY_FILL(def, disks, n_disks, fill_disk);
	copy = def_copy(def);
	for (size_t at = first; at < sizeof(*def); at += sizeof(void *)) {
		uintptr_t x, y;

		memcpy(&x, (char *)def + at, sizeof(x));
		memcpy(&y, (char *)copy + at, sizeof(y));
		/* two small numbers side by side are less than any address */
		if (x >> 40 && at != offsetof(struct guest_def, uuid) &&
		    at != offsetof(struct guest_def, uuid) + 8)
			assert_true(x != y);
	}
	def_free(def);
	def_free(copy);
	def_free(NULL);
}

static void uuids_are_read_and_printed(void **state)
{
	static const char *const bad[] = {
		"",
		"0",
		"d5e9c1f0-0000-4000-8000-00000000000",
		"d5e9c1f0-0000-4000-8000-0000000000011",
		"d5e9c1f0-0000-4000-8000-00000000000g",
		"d5e9c1f00-000-4000-8000-000000000001",
		"d5e9c1f0000040008000000000000001-",
		"d5e9c1f00000400080000000000000",
	};
	uint8_t uuid[DEF_UUID_SIZE], again[DEF_UUID_SIZE] = { 0 };
	char text[DEF_UUID_TEXT];

	(void)state;
	assert_true(def_uuid_parse("D5e9c1f0-0000-4000-8000-0000000000ff", uuid));
	def_uuid_print(uuid, text);
	assert_string_equal(text, "d5e9c1f0-0000-4000-8000-0000000000ff");
	assert_true(def_uuid_parse("d5e9c1f00000400080000000000000ff", again));
	assert_memory_equal(uuid, again, sizeof(uuid));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(def_uuid_parse(bad[i], again));
	assert_memory_equal(uuid, again, sizeof(uuid));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_has_everything_and_shares_nothing),
		cmocka_unit_test(every_pointer_of_a_copy_is_its_own),
		cmocka_unit_test(uuids_are_read_and_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
