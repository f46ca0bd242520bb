/* SPDX-License-Identifier: MIT */
/*
 * What is refused, and how it is said; amounts of memory; what two machines may differ in.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hostd/xml_test.h"
#include "vmm/xl_config.h"

/* A document with something in <domain>, at line 5, and in <devices>, at line 7. */
static const char frame[] = "<domain type='%s'>\n"
			    "<name>n</name>\n"
			    "<memory>65536</memory>\n"
			    "<os><type>%s</type></os>\n"
			    "%s\n"
			    "<devices>\n"
			    "%s\n"
			    "</devices></domain>\n";

struct row {
	const char *domain, *devices;
	int code;
	const char *text;
};

static void check_refused(const char *text, size_t len, int code, const char *want)
{
	struct guest_def *def = NULL;
	struct xml_error err = { 0, "" };

	if (xml_parse(text, len, test_random, NULL, &def, &err) != EINVAL)
		fail_msg("not refused: %s", text);
	assert_null(def);
	assert_string_equal(err.text, want);
	assert_int_equal(err.code, code);
}

static void check_rows(const struct row *rows, size_t n)
{
	char text[4096];

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(text, sizeof(text), frame, "qemu", "hvm", rows[i].domain,
			       rows[i].devices);
		check_refused(text, strlen(text), rows[i].code, rows[i].text);
	}
}

static void what_is_not_supported_is_refused_by_name_and_line(void **state)
{
	static const struct row rows[] = {
		{ "<memoryBacking/>", "", 67,
		  "unsupported element <memoryBacking> in <domain> at line 5" },
		{ "", "<hostdev mode='subsystem'/>", 67,
		  "unsupported element <hostdev> in <devices> at line 7" },
		{ "<q:commandline xmlns:q='x'/>", "", 67,
		  "unsupported element <q:commandline> in <domain> at line 5" },
		{ "<vcpu cpuset='1'>1</vcpu>", "", 67,
		  "unsupported attribute 'cpuset' of element <vcpu> at line 5" },
		{ "<vcpu placement='auto'>1</vcpu>", "", 67,
		  "value 'auto' of attribute 'placement' of element <vcpu> at line 5 is not "
		  "supported "
		  "(supported: static)" },
		{ "<cpu><topology sockets='1'/></cpu>", "", 67,
		  "unsupported element <topology> in <cpu> at line 5" },
		{ "<features><smm state='on'/></features>", "", 67,
		  "unsupported element <smm> in <features> at line 5" },
		{ "<clock offset='timezone'/>", "", 67,
		  "value 'timezone' of attribute 'offset' of element <clock> at line 5 is not "
		  "supported (supported: utc, localtime, variable)" },
		{ "<on_crash>coredump-destroy</on_crash>", "", 67,
		  "value 'coredump-destroy' of element <on_crash> at line 5 is not supported "
		  "(supported: destroy, restart, preserve, rename-restart)" },
		{ "<seclabel type='static'/>", "", 67,
		  "element <seclabel> at line 5: only types 'none' and 'dynamic' are supported" },
		{ "", "<disk type='network'/>", 67,
		  "value 'network' of attribute 'type' of element <disk> at line 7 is not "
		  "supported "
		  "(supported: file, block)" },
		{ "", "<disk><target dev='vda'/><auth/></disk>", 67,
		  "unsupported element <auth> in <disk> at line 7" },
		{ "", "<graphics type='vnc' passwd='x'/>", 67,
		  "unsupported attribute 'passwd' of element <graphics> at line 7" },
		{ "", "<controller type='ccid'/>", 67,
		  "value 'ccid' of attribute 'type' of element <controller> at line 7 is not "
		  "supported" },
		{ "", "<serial type='tcp'/>", 67,
		  "value 'tcp' of attribute 'type' of element <serial> at line 7 is not supported "
		  "(supported: pty, file, unix, null)" },
		{ "", "<emulator x:y='1' xmlns:x='z'/>", 67,
		  "unsupported attribute 'y' of element <emulator> at line 7" },
	};

	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

static void what_makes_no_sense_is_refused_by_name_and_line(void **state)
{
	static const struct row rows[] = {
		{ "<name>m</name>", "", 27,
		  "element <name> at line 5: there may be only one in <domain>" },
		{ "stray", "", 27, "unexpected text in <domain> at line 1" },
		{ "<uuid>12</uuid>", "", 27,
		  "value '12' of element <uuid> at line 5 is not a uuid" },
		{ "<currentMemory>98304</currentMemory>", "", 27,
		  "element <currentMemory>: 98304 KiB are more than the 65536 KiB of <memory>" },
		{ "<currentMemory unit='X'>1</currentMemory>", "", 27,
		  "unknown unit 'X' of element <currentMemory> at line 5" },
		{ "<currentMemory unit='EiB'>99999999999999999999</currentMemory>", "", 27,
		  "unknown unit 'EiB' of element <currentMemory> at line 5" },
		{ "<currentMemory unit='PiB'>99999999</currentMemory>", "", 27,
		  "value '99999999' of element <currentMemory> at line 5 is not an amount of "
		  "memory" },
		{ "<vcpu>0</vcpu>", "", 27, "element <vcpu> at line 5: a guest has at least one" },
		{ "<vcpu>513</vcpu>", "", 27,
		  "value '513' of element <vcpu> at line 5 is not a number in range" },
		{ "<vcpu>-1</vcpu>", "", 27,
		  "value '-1' of element <vcpu> at line 5 is not a number in range" },
		{ "<vcpu current='3'>2</vcpu>", "", 27,
		  "attribute 'current' of element <vcpu> at line 5 is not in 1..2" },
		{ "", "<emulator>qemu</emulator>", 27,
		  "value 'qemu' of element <emulator> at line 7 is not an absolute path" },
		{ "", "<disk type='file'><source file='/x'/></disk>", 27,
		  "element <disk> at line 7: <target> has no name in 'dev'" },
		{ "", "<disk type='file'><target dev='vda'/></disk>", 27,
		  "element <disk> at line 7: <source> has no 'file'" },
		{ "", "<disk type='block'><source file='/x'/><target dev='vda'/></disk>", 27,
		  "element <source> at line 7: a disk of type 'block' has 'dev'" },
		{ "", "<disk><source file='x'/><target dev='vda'/></disk>", 27,
		  "value 'x' of attribute 'file' of element <source> at line 7 is not an absolute "
		  "path" },
		{ "", "<disk device='cdrom'><target dev='zz'/></disk>", 27,
		  "element <disk> at line 7: no 'bus' is known for target 'zz'" },
		{ "",
		  "<disk device='cdrom'><target dev='hda'/></disk>"
		  "<disk device='cdrom'><target dev='hda'/></disk>",
		  27, "element <disk> at line 7: there is another with target 'hda'" },
		{ "",
		  "<disk device='cdrom'><target dev='hda'/><boot order='1'/></disk>"
		  "<disk device='cdrom'><target dev='hdb'/><boot order='1'/></disk>",
		  27, "attribute 'order' of element <boot>: two devices have 1" },
		{ "", "<interface/>", 27,
		  "element <interface> at line 7: attribute 'type' is missing" },
		{ "", "<interface type='bridge'/>", 27,
		  "element <interface> at line 7: <source> is missing" },
		{ "", "<interface type='user'><mac address='53:54:00:00:00:01'/></interface>", 27,
		  "attribute 'address' of element <mac> at line 7 is not the address of one "
		  "interface" },
		{ "", "<graphics type='vnc' port='65536'/>", 27,
		  "value '65536' of attribute 'port' of element <graphics> at line 7 is not "
		  "a number "
		  "in range" },
		{ "", "<graphics type='vnc' autoport='maybe'/>", 27,
		  "value 'maybe' of attribute 'autoport' of element <graphics> at line 7 is "
		  "not yes "
		  "or no" },
		{ "", "<serial type='file'/>", 27,
		  "element <serial> at line 7: <source> has no 'path'" },
		{ "", "<video/>", 27, "element <video> at line 7: <model> has no 'type'" },
		{ "", "<rng model='virtio'/>", 27,
		  "element <rng> at line 7: <backend> has no path" },
	};

	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

static void documents_that_are_none_are_refused(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *want;
	} rows[] = {
		{ "", 35, "line 1: Document is empty" },
		{ "<domain", 35, "line 1: Couldn't find end of Start Tag domain line 1" },
		{ "<domain/>", 27, "attribute 'type' of element <domain> is missing" },
		{ "<network type='x'/>", 27, "the root element is not <domain>" },
		{ "<domain type='lxc'/>", 67,
		  "value 'lxc' of attribute 'type' of element <domain> at line 1 is not supported "
		  "(supported: qemu, kvm, xen, test)" },
		{ "<domain type='qemu'/>", 27, "element <name> of <domain> is missing" },
		{ "<domain type='qemu'><name>n</name></domain>", 27,
		  "element <memory> of <domain> is missing" },
		{ "<domain type='qemu'><name>n</name><memory>65536</memory></domain>", 27,
		  "element <os> of <domain> is missing" },
		{ "<domain type='qemu'><name>a/b</name></domain>", 27,
		  "value of element <name> at line 1 is not a name of 1 to 127 octets "
		  "without '/' and "
		  "control characters" },
		{ "<domain type='qemu'><name/></domain>", 27,
		  "value of element <name> at line 1 is not a name of 1 to 127 octets "
		  "without '/' and "
		  "control characters" },
		{ "<domain type='qemu'><memory>1023</memory></domain>", 27,
		  "element <memory> at line 1: a guest has at least 1024 KiB" },
		{ "<!DOCTYPE d [<!ENTITY a 'x'>]><domain type='qemu'><name>&a;</name></domain>", 35,
		  "a document type declaration is not supported" },
		{ "<!DOCTYPE d SYSTEM 'http://127.0.0.1/d.dtd'><domain type='qemu'/>", 35,
		  "a document type declaration is not supported" },
		{ "<domain type='qemu'><name>&a;</name></domain>", 35,
		  "line 1: Entity 'a' not defined" },
		{ "<domain type='qemu'><name>\xff</name></domain>", 35,
		  "line 1: Input is not proper UTF-8, indicate encoding !" },
		{ "<domain type='a&#10;\xc3\xa4'/>", 67,
		  "value 'a?\xc3\xa4' of attribute 'type' of element <domain> at line 1 is not "
		  "supported (supported: qemu, kvm, xen, test)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		check_refused(rows[i].text, strlen(rows[i].text), rows[i].code, rows[i].want);
}

/* n times the piece between head and tail; to be freed. */
static char *repeated(const char *head, const char *piece, size_t n, const char *tail)
{
	size_t len = strlen(piece);
	char *text = malloc(strlen(head) + n * len + strlen(tail) + 1), *to = text;

	assert_non_null(text);
	to = stpcpy(to, head);
	for (size_t i = 0; i < n; i++, to += len)
		memcpy(to, piece, len);
	memcpy(to, tail, strlen(tail) + 1);
	return text;
}

static void documents_that_are_too_much_are_refused(void **state)
{
	static const struct {
		const char *head, *piece;
		size_t n;
		const char *tail;
		int code;
		const char *want;
	} rows[] = {
		{ "<domain ", "a='' ", 257, "/>", 27, "an element has more than 256 attributes" },
		{ "<domain ", "a='>' ", 257, "/>", 27, "an element has more than 256 attributes" },
		{ "<domain><!-- <a ", "a='' ", 9, " --><b ", 27, NULL },
		{ "<domain type='qemu'><devices>", "<input type='mouse'/>", 1025,
		  "</devices></domain>", 67, "more than 1024 elements in <devices> at line 1" },
		{ "<domain type='qemu'><devices>", "<interface type='user'/>", 65,
		  "</devices></domain>", 67,
		  "element <interface> at line 1: more than 64 of them" },
		{ "<domain type='qemu'><metadata>", "<a>", 100, "", 35, NULL },
		{ "", " ", XML_SIZE_MAX + 1, "", 27, "the document is larger than 4194304 octets" },
		{ "", "<a>", XML_SIZE_MAX / 4, "", 35, NULL },
		{ "<domain type='", "x", XML_SIZE_MAX - 20, "'/>", 67, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = repeated(rows[i].head, rows[i].piece, rows[i].n, rows[i].tail);
		struct guest_def *def = NULL;
		struct xml_error err = { 0, "" };

		assert_int_equal(xml_parse(text, strlen(text), test_random, NULL, &def, &err),
				 EINVAL);
		if (rows[i].want) {
			assert_string_equal(err.text, rows[i].want);
			assert_int_equal(err.code, rows[i].code);
		}
		assert_true(*err.text != '\0');
		free(text);
	}
}

static void metadata_lies_only_so_deep(void **state)
{
	char *open = repeated("<domain type='qemu'><metadata>", "<a>", 63, "");
	char *text = repeated(open, "</a>", 63,
			      "</metadata><name>n</name><memory>65536</memory>"
			      "<os><type>hvm</type></os></domain>");
	char *deeper = repeated("<domain type='qemu'><metadata>", "<a>", 64, "");
	char *refused = repeated(deeper, "</a>", 64, "</metadata></domain>");

	(void)state;
	def_free(test_parse(text));
	check_refused(refused, strlen(refused), 27, "elements lie too deep at line 1");
	free(open);
	free(text);
	free(deeper);
	free(refused);
}

static void memory_is_told_in_any_unit(void **state)
{
	static const struct {
		const char *unit, *number;
		uint64_t kib;
	} rows[] = {
		{ "b", "1048577", 1025 },   { "bytes", "1048576", 1024 },
		{ "KB", "1100", 1075 },	    { "k", "2048", 2048 },
		{ "KiB", " 2048\n", 2048 }, { "kib", "2048", 2048 },
		{ "MB", "2", 1954 },	    { "M", "2", 2048 },
		{ "MiB", "2", 2048 },	    { "GB", "1", 976563 },
		{ "G", "1", 1048576 },	    { "GiB", "1", 1048576 },
		{ "T", "1", 1ull << 30 },   { "TB", "1", 976562500 },
		{ "TiB", "1", 1ull << 30 }, { "PiB", "15", 15ull << 40 },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guest_def *def;

		(void)snprintf(text, sizeof(text),
			       "<domain type='test'><name>n</name><memory unit='%s'>%s</memory>"
			       "<os><type>hvm</type></os></domain>",
			       rows[i].unit, rows[i].number);
		def = test_parse(text);
		assert_int_equal(def->memory_kib, rows[i].kib);
		assert_int_equal(def->current_kib, rows[i].kib);
		def_free(def);
	}
}

/* What is not given is made up, and no two guests have the same. */
static void uuid_and_macs_are_made_up(void **state)
{
	static const char text[] =
		"<domain type='test'><name>n</name><memory>65536</memory><os><type>hvm</type></os>"
		"<devices><interface type='user'/></devices></domain>";
	struct guest_def *fixed = test_parse(text), *a = NULL, *b = NULL;
	struct xml_error err;
	char uuid[DEF_UUID_TEXT];

	(void)state;
	def_uuid_print(fixed->uuid, uuid);
	assert_string_equal(uuid, "5a5a5a5a-5a5a-4a5a-9a5a-5a5a5a5a5a5a");
	assert_memory_equal(fixed->nics[0].mac, "\x52\x54\x00\x5a\x5a\x5a", 6);
	assert_int_equal(xml_parse(text, sizeof(text) - 1, NULL, NULL, &a, &err), 0);
	assert_int_equal(xml_parse(text, sizeof(text) - 1, NULL, NULL, &b, &err), 0);
	assert_memory_not_equal(a->uuid, b->uuid, DEF_UUID_SIZE);
	def_free(fixed);
	def_free(a);
	def_free(b);
}

static struct guest_def *machine(const char *domain, const char *devices)
{
	char text[2048];

	(void)snprintf(text, sizeof(text), frame, "qemu", "hvm", domain, devices);
	return test_parse(text);
}

static void another_machine_is_told_by_what_differs(void **state)
{
	static const char uuid[] = "<uuid>6f1d35ad-3a0b-4c58-a2c1-3c6ac4c4a001</uuid>";
	static const char disk[] = "<disk><source file='/a'/><target dev='vda'/></disk>";
	static const char nic[] = "<interface type='user'><mac address='52:54:00:00:00:01'/>"
				  "</interface>";
	static const struct {
		const char *src[2], *dst[2], *want;
	} rows[] = {
		{ { "", disk },
		  { "<title>other</title>", "<disk><source file='/b'/><target dev='vda'/></disk>" },
		  NULL },
		{ { uuid, "" },
		  { "", "" },
		  "the destination's <uuid> is 5a5a5a5a-5a5a-4a5a-9a5a-5a5a5a5a5a5a, and the "
		  "guest's "
		  "is 6f1d35ad-3a0b-4c58-a2c1-3c6ac4c4a001" },
		{ { "<vcpu>2</vcpu>", "" },
		  { "", "" },
		  "the destination's <vcpu> is 1, and the guest's is 2" },
		{ { "<features><acpi/></features>", "" },
		  { "", "" },
		  "the destination's <features> is 0, and the guest's is 1" },
		{ { "<cpu mode='custom'><model>a</model></cpu>", "" },
		  { "", "" },
		  "the destination's <cpu> mode is not given, and the guest's is custom" },
		{ { "", disk },
		  { "", "" },
		  "the destination's number of <disk> is 0, and the guest's is 1" },
		{ { "", disk },
		  { "", "<disk><source file='/a'/><target dev='vdb'/></disk>" },
		  "the destination's <disk> target is vdb, and the guest's is vda" },
		{ { "", nic },
		  { "", "<interface type='user'/>" },
		  "the destination's <interface> mac is 52:54:00:5a:5a:5a, and the guest's is "
		  "52:54:00:00:00:01" },
		{ { "", "<memballoon model='none'/>" },
		  { "", "" },
		  "the destination's <memballoon> model is not given, and the guest's is none" },
		{ { "", "<serial type='pty'/>" },
		  { "", "" },
		  "the destination's <serial> is 0, and the guest's is 1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct guest_def *src = machine(rows[i].src[0], rows[i].src[1]);
		struct guest_def *dst = machine(rows[i].dst[0], rows[i].dst[1]);
		struct xml_error err = { 0, "" };

		assert_int_equal(xml_check_abi(src, dst, &err), rows[i].want ? EINVAL : 0);
		assert_string_equal(err.text, rows[i].want ? rows[i].want : "");
		assert_int_equal(err.code, rows[i].want ? 67 : 0);
		def_free(src);
		def_free(dst);
	}
}

static void what_xen_cannot_have_is_refused_by_its_element(void **state)
{
	static const struct {
		const char *os, *devices, *want;
	} rows[] = {
		{ "hvm", "<disk><source file='/a'/><target dev='vda'/></disk>",
		  "element <disk> 'vda': such a target is not possible with Xen" },
		{ "hvm", "<disk><driver type='vdi'/><source file='/a'/><target dev='hda'/></disk>",
		  "element <disk> 'hda': format 'vdi' is not possible with Xen" },
		{ "hvm", "<interface type='user'/>",
		  "element <interface>: type 'user' is not possible with Xen" },
		{ "hvm", "<video><model type='vmvga'/></video>",
		  "element <video>: model 'vmvga' is not possible with Xen" },
		{ "linux", "<graphics type='spice'/>",
		  "element <graphics>: type 'spice' is not possible with this guest" },
		{ "xen", "<channel type='pty'><target type='virtio' name='x'/></channel>",
		  "element <channel>: target type 'virtio' is not possible with Xen" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[1024], why[XML_ERROR_MAX], *json = NULL;
		struct guest_def *def;
		size_t len;

		(void)snprintf(text, sizeof(text), frame, "xen", rows[i].os, "", rows[i].devices);
		def = test_parse(text);
		assert_int_equal(xl_config_print(def, &json, &len, why, sizeof(why)), EINVAL);
		assert_string_equal(why, rows[i].want);
		def_free(def);
	}
}

/* As libvirt has it: only a block device is the kernel's. */
static void a_disk_is_given_the_backend_that_its_driver_names(void **state)
{
	static const struct {
		const char *disk, *want;
	} rows[] = {
		{ "<disk type='block'><source dev='/a'/>", "\"phy\"" },
		{ "<disk><source file='/a'/>", "\"qdisk\"" },
		{ "<disk><driver name='file'/><source file='/a'/>", "\"qdisk\"" },
		{ "<disk><driver name='tap'/><source file='/a'/>", "\"tap\"" },
		{ "<disk type='block'><driver name='qemu'/><source dev='/a'/>", "\"qdisk\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char disk[256], text[1024], why[XML_ERROR_MAX], *json = NULL;
		struct guest_def *def;
		const char *found;
		size_t len;

		(void)snprintf(disk, sizeof(disk), "%s<target dev='xvda'/></disk>", rows[i].disk);
		(void)snprintf(text, sizeof(text), frame, "xen", "linux", "", disk);
		def = test_parse(text);
		assert_int_equal(xl_config_print(def, &json, &len, why, sizeof(why)), 0);
		found = strstr(json, "\"backend\"");
		assert_non_null(found);
		assert_ptr_equal(strstr(found, rows[i].want), found + strlen("\"backend\": "));
		free(json);
		def_free(def);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_supported_is_refused_by_name_and_line),
		cmocka_unit_test(what_makes_no_sense_is_refused_by_name_and_line),
		cmocka_unit_test(documents_that_are_none_are_refused),
		cmocka_unit_test(documents_that_are_too_much_are_refused),
		cmocka_unit_test(metadata_lies_only_so_deep),
		cmocka_unit_test(memory_is_told_in_any_unit),
		cmocka_unit_test(uuid_and_macs_are_made_up),
		cmocka_unit_test(another_machine_is_told_by_what_differs),
		cmocka_unit_test(what_xen_cannot_have_is_refused_by_its_element),
		cmocka_unit_test(a_disk_is_given_the_backend_that_its_driver_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
