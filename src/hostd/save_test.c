/* SPDX-License-Identifier: MIT */
/*
 * Files of saved guests: what was written is read, and what differs from it by a bit, or ends
 * before, is refused; another definition is all there or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/own.h"
#include "hostd/save_head.h"

#define XML "<domain/>"
#define MEMORY "all that it knew"

static char dir[] = "/tmp/drover-save-XXXXXX", path[64], part[64];
static char text[512];

/* One under its final name. */
static void make(void)
{
	struct save_head h = { .running = true, .epoch = 7, .backend = "sim", .uuid = { 1 } };
	int fd;

	assert_int_equal(save_file_begin(part, path, XML, strlen(XML), &h, &fd, text, 512), 0);
	assert_int_equal(pwrite(fd, MEMORY, strlen(MEMORY), (off_t)h.memory.at), strlen(MEMORY));
	h.memory.len = strlen(MEMORY);
	h.memory.sum = save_sum(MEMORY, strlen(MEMORY));
	assert_int_equal(save_file_finish(fd, &h, (const uint8_t *)"store", 5, text, 512), 0);
	assert_int_equal(save_file_commit(part, path, text, 512), 0);
	close(fd);
}

/* Head and all parts; what read tells, else 0. */
static int read_all(struct save_head *h, char ret_xml[64])
{
	const struct save_part *parts[] = { &h->memory, &h->store, &h->xml };
	int fd, r = save_file_open(path, false, &fd, h, text, 512);

	if (r)
		return r;
	for (size_t i = 0; !r && i < ARRAY_LEN(parts); i++) {
		uint8_t *data = NULL;

		r = save_file_read(fd, parts[i], 4096, "a part", &data, text, 512);
		if (!r)
			snprintf(ret_xml, 64, "%s", (const char *)data);
		free(data);
	}
	close(fd);
	return r;
}

static void what_was_saved_is_read(void **state)
{
	struct save_head h;
	char xml[64];

	(void)state;
	make();
	assert_int_equal(read_all(&h, xml), 0);
	assert_string_equal(xml, XML);
	assert_true(h.running);
	assert_int_equal(h.epoch, 7);
	assert_string_equal(h.backend, "sim");
	assert_int_equal(access(part, F_OK), -1);
}

/* The gaps between parts alone may be anything. */
static bool matters(const struct save_head *h, uint64_t at)
{
	const struct save_part *parts[] = { &h->memory, &h->store, &h->xml };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (at >= parts[i]->at && at < parts[i]->at + parts[i]->len)
			return true;
	return at < SAVE_HEAD_SIZE;
}

static void each_bit_that_differs_is_found(void **state)
{
	struct save_head h, ignored;
	char xml[64];
	struct stat st;
	uint8_t octet;
	int fd;

	(void)state;
	make();
	assert_int_equal(read_all(&h, xml), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at++) {
		if (!matters(&h, (uint64_t)at))
			continue;
		for (int bit = 0; bit < 8; bit++) {
			assert_int_equal(pread(fd, &octet, 1, at), 1);
			octet ^= (uint8_t)(1 << bit);
			assert_int_equal(pwrite(fd, &octet, 1, at), 1);
			if (read_all(&ignored, xml) != EBADMSG)
				fail_msg("octet %ld, bit %d: %s", (long)at, bit, text);
			octet ^= (uint8_t)(1 << bit);
			assert_int_equal(pwrite(fd, &octet, 1, at), 1);
		}
	}
	close(fd);
	assert_int_equal(read_all(&h, xml), 0);
}

static void one_that_was_cut_off_is_refused(void **state)
{
	struct save_head h;
	char xml[64];
	uint64_t end;

	(void)state;
	make();
	assert_int_equal(read_all(&h, xml), 0);
	end = h.store.at + h.store.len;
	for (uint64_t size = end; size--;) {
		assert_int_equal(truncate(path, (off_t)size), 0);
		assert_int_equal(read_all(&h, xml), EBADMSG);
	}
}

/* Fields that make no sense, with a checksum that is right. */
static void each_field_is_judged(void **state)
{
	static const struct save_head good = {
		.generation = 1,
		.epoch = 1,
		.backend = "sim",
		.xml = { SAVE_DATA_AT, 9, 0 },
		.memory = { SAVE_DATA_AT + 9, 9, 0 },
		.store = { SAVE_DATA_AT + 18, 9, 0 },
	};
	const uint64_t size = SAVE_DATA_AT + 27;
	uint8_t octets[SAVE_HEAD_SIZE];
	struct save_head h, ret;

	(void)state;
#define BAD(change)                                                                                \
	do {                                                                                       \
		h = good;                                                                          \
		change;                                                                            \
		save_head_print(&h, octets);                                                       \
		assert_int_equal(save_head_parse(octets, size, &ret, text, 512), EBADMSG);         \
	} while (0)
	save_head_print(&good, octets);
	assert_int_equal(save_head_parse(octets, size, &ret, text, 512), 0);
	assert_int_equal(save_head_parse(octets, size - 1, &ret, text, 512), EBADMSG);
	BAD(h.generation = 0);
	BAD(h.epoch = UINT64_MAX);
	BAD(h.backend[0] = '\0');
	BAD(h.backend[1] = '/');
	BAD(h.xml.len = 0);
	BAD(h.xml.len = UINT64_MAX);
	BAD(h.xml.at = 0);
	BAD(h.xml.at = UINT64_MAX);
	BAD(h.memory.len = 0);
	BAD(h.memory.len = UINT64_MAX - SAVE_DATA_AT - 8);
	BAD(h.memory.at = SAVE_DATA_AT - 1);
	BAD(h.memory.at = size + 1);
	BAD(h.store.len = 1ull << 40);
	BAD(h.store.at = size - 8);
#undef BAD
}

static void another_definition_holds_whole_or_not_at_all(void **state)
{
	struct save_head h, later;
	uint8_t head[SAVE_HEAD_SIZE];
	char xml[64];
	int fd;

	(void)state;
	make();
	for (uint32_t i = 2; i < 6; i++) {
		char other[32];

		snprintf(other, sizeof(other), "<domain n='%u'/>", i);
		assert_int_equal(save_file_open(path, true, &fd, &h, text, 512), 0);
		assert_int_equal(save_file_define(fd, &h, other, strlen(other), text, 512), 0);
		close(fd);
		assert_int_equal(read_all(&later, xml), 0);
		assert_string_equal(xml, other);
		assert_int_equal(later.generation, i);
	}
	/* Whoever dies while the head is written leaves half of it: the one before holds. */
	fd = open(path, O_RDWR | O_CLOEXEC);
	memset(head, 0xff, sizeof(head));
	assert_int_equal(pwrite(fd, head, 100, (off_t)save_head_place(later.generation)), 100);
	close(fd);
	assert_int_equal(read_all(&h, xml), 0);
	assert_int_equal(h.generation, later.generation - 1);
}

static void it_is_changed_by_one_at_a_time(void **state)
{
	struct save_head h;
	char xml[64];
	int fd, other;

	(void)state;
	make();
	assert_int_equal(save_file_open(path, true, &fd, &h, text, 512), 0);
	assert_int_equal(save_file_open(path, true, &other, &h, text, 512), EBUSY);
	assert_int_equal(read_all(&h, xml), 0);
	close(fd);
	assert_int_equal(save_file_open(path, true, &other, &h, text, 512), 0);
	close(other);
}

static void what_is_no_file_is_not_replaced(void **state)
{
	struct save_head h = { 0 };
	int fd;

	(void)state;
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(save_file_begin(part, path, XML, strlen(XML), &h, &fd, text, 512), EEXIST);
	assert_int_equal(save_file_open(path, false, &fd, &h, text, 512), EBADMSG);
	unlink(path);
	assert_int_equal(save_file_open(path, false, &fd, &h, text, 512), ENOENT);
	assert_int_equal(save_file_remove(path, text, 512), 0);
	assert_int_equal(symlink("/etc/passwd", part), 0);
	assert_int_equal(save_file_begin(part, path, XML, strlen(XML), &h, &fd, text, 512), EEXIST);
	unlink(part);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/guest", dir);
	snprintf(part, sizeof(part), "%s/guest.part", dir);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_saved_is_read),
		cmocka_unit_test(each_bit_that_differs_is_found),
		cmocka_unit_test(one_that_was_cut_off_is_refused),
		cmocka_unit_test(each_field_is_judged),
		cmocka_unit_test(another_definition_holds_whole_or_not_at_all),
		cmocka_unit_test(it_is_changed_by_one_at_a_time),
		cmocka_unit_test(what_is_no_file_is_not_replaced),
	};

	return cmocka_run_group_tests_name("hostd/save", tests, set_up, tear_down);
}
