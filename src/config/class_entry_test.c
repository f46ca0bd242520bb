/* SPDX-License-Identifier: MIT */
/*
 * PCI and USB devices, which are entries of a directory: found, checked, added and removed,
 * whatever the directory says of itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/own.h"
#include "config/class_cases_test.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define PCI "/local/domain/0/backend/pci/7/0/"
#define VUSB "/local/domain/0/backend/vusb/7/0/"

/* ---- directories ---- */

static char *copy(const char *text)
{
	char *p = strdup(text);

	assert_non_null(p);
	return p;
}

/* KEY=VALUE lines. */
static void values_make(const char *lines, struct conf_values *v)
{
	char *text = copy(lines), *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, '=');

		*value++ = '\0';
		assert_int_equal(conf_values_put(v, line, value, strlen(value)), 0);
	}
	conf_values_sort(v);
	free(text);
}

static void dev_make(const char *kind, const char *path, const char *libxl, const char *back,
		     struct conf_dev *dev)
{
	char backend[64];

	snprintf(backend, sizeof(backend), "/local/domain/0/backend/%s/7/0", kind);
	*dev = (struct conf_dev){ .has_backend = true, .backend_domain = true };
	dev->kind = copy(kind);
	dev->path = copy(path);
	dev->backend = copy(backend);
	dev->backend_kind = copy(kind);
	values_make(libxl, &dev->libxl);
	values_make(back, &dev->back);
}

#define COMMON "frontend-id=7\nonline=1\nstate=4\n"

static void pci_make(const char *lines, struct conf_dev *dev)
{
	char back[4096];

	snprintf(back, sizeof(back), COMMON "frontend=/local/domain/7/device/pci/0\n%s", lines);
	dev_make("pci", "/local/domain/0/backend/pci/7/0", "", back, dev);
}

static void vusb_make(const char *lines, struct conf_dev *dev)
{
	char back[4096], libxl[512];

	snprintf(back, sizeof(back), COMMON "frontend=/local/domain/7/device/vusb/0\n%s", lines);
	snprintf(libxl, sizeof(libxl),
		 "frontend=/local/domain/7/device/vusb/0\n"
		 "backend=/local/domain/0/backend/vusb/7/0\ntype=pv\n");
	dev_make("vusb", "/libxl/7/device/vusb/0", libxl, back, dev);
}

static void dev_fini(struct conf_dev *dev)
{
	free(dev->kind);
	free(dev->path);
	free(dev->backend);
	free(dev->backend_kind);
	conf_values_fini(&dev->libxl);
	conf_values_fini(&dev->back);
}

/* ---- identities ---- */

static int note_id(void *data, const char *id, unsigned int index)
{
	char *ids = data;
	size_t at = strlen(ids);

	snprintf(ids + at, 1024 - at, "%s%s@%u", at ? " " : "", id, index);
	return 0;
}

#define A "0000:03:00.0"
#define B "0000:04:10.7"
#define C "abcd:ff:1f.1"

static void an_entry_is_found_whatever_the_others_are(void **state)
{
	static const struct {
		const char *lines, *ids;
		const char *whole; /* what is wrong with the directory */
		const char *a, *c; /* with A, and with C, "" nothing */
	} cases[] = {
		{ "num_devs=0\n", "", "", "", "" },
		{ "num_devs=1\ndev-0=" A "\nstate-0=3\n", A "@0", "", "", "" },
		{ "num_devs=2\ndev-0=" A "\nstate-0=3\ndev-1=" C "\nstate-1=3\n", A "@0 " C "@1",
		  "", "", "" },
		{ "num_devs=2\ndev-0=" A "\nstate-0=3\n", A "@0", "dev-1: missing", "",
		  "dev-1: missing" },
		{ "num_devs=2\ndev-1=" C "\nstate-1=3\n", C "@1", "dev-0: missing",
		  "dev-0: missing", "" },
		{ "num_devs=2\ndev-0=nonsense\ndev-1=" C "\nstate-1=3\n", C "@1", "dev-0: nonsense",
		  "dev-0: nonsense", "" },
		{ "num_devs=1\ndev-0=" A "\n", A "@0", "", "state-0: missing", "" },
		{ "num_devs=999999999\ndev-0=" A "\nstate-0=3\n", A "@0", "num_devs: 999999999", "",
		  "num_devs: 999999999" },
		{ "num_devs=-1\ndev-0=" A "\nstate-0=3\n", A "@0", "num_devs: -1", "",
		  "num_devs: -1" },
		{ "num_devs=x\ndev-3=" A "\nstate-3=3\n", A "@3", "num_devs: x", "",
		  "num_devs: x" },
		{ "num_devs=\n", "", "num_devs: ", "num_devs: ", "num_devs: " },
		{ "dev-0=" A "\nstate-0=3\n", A "@0", "num_devs: missing", "",
		  "num_devs: missing" },
		{ "num_devs=1\ndev-0=0000:3:0.0\nstate-0=3\n", A "@0", "", "", "" },
		{ "num_devs=1\ndev-0=0000:03:20.0\n", "", "dev-0: 0000:03:20.0",
		  "dev-0: 0000:03:20.0", "dev-0: 0000:03:20.0" },
		{ "num_devs=1\ndev-0=" A "\nstate-0=3\ndev-1=" C "\nstate-1=3\n", A "@0", "", "",
		  "" },
	};
	const struct conf_class *k = class_find("pci");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char ids[1024] = "", text[256];
		struct conf_dev dev;

		pci_make(cases[i].lines, &dev);
		assert_true(class_owns(k, &dev));
		assert_int_equal(class_store_ids(k, &dev, note_id, ids), 0);
		assert_string_equal(ids, cases[i].ids);
		class_check(k, &dev, "", text, sizeof(text));
		assert_string_equal(text, cases[i].whole);
		class_check(k, &dev, A, text, sizeof(text));
		assert_string_equal(text, cases[i].a);
		class_check(k, &dev, C, text, sizeof(text));
		assert_string_equal(text, cases[i].c);
		dev_fini(&dev);
	}
}

static void a_pci_device_comes_back_with_its_options(void **state)
{
	static const struct {
		const char *lines, *id, *entry; /* NULL: too little to tell */
	} cases[] = {
		{ "num_devs=1\ndev-0=" A "\n", A, "{\"bus\":3}" },
		{ "num_devs=1\ndev-0=" C "\nvdevfn-0=a8\n"
		  "opts-0=msitranslate=1,power_mgmt=0,permissive=1,rdm_policy=strict\n",
		  C,
		  "{\"func\":1,\"dev\":31,\"bus\":255,\"domain\":43981,\"vdevfn\":168,"
		  "\"msitranslate\":true,\"permissive\":true,\"rdm_policy\":\"strict\"}" },
		{ "num_devs=1\ndev-0=" A "\nopts-0=,,=,x=1,msitranslate=2,permissive,=\n", A,
		  "{\"bus\":3}" },
		{ "num_devs=1\ndev-0=" A "\nvdevfn-0=123456789\n", A, "{\"bus\":3}" },
		{ "num_devs=1\ndev-0=" A "\nopts-0=rdm_policy=never\n", A, NULL },
		{ "num_devs=1\ndev-0=" A "\n", C, NULL },
		{ "num_devs=1\ndev-0=" A "\nname-0=gpu\n", A, "{\"bus\":3,\"name\":\"gpu\"}" },
	};
	const struct conf_class *k = class_find("pci");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP_JSON struct json_object *entry = NULL;
		struct conf_err err = { "" };
		struct conf_dev dev;
		int r;

		pci_make(cases[i].lines, &dev);
		r = class_from_store(k, &dev, cases[i].id, &err, &entry);
		assert_int_equal(r, cases[i].entry ? 0 : -EBADMSG);
		if (!r) {
			const struct class_case c = { "pci", cases[i].entry, 0, 0, 0 };
			CLEANUP_JSON struct json_object *expected = case_entry(&c);

			if (!conf_json_equal(entry, expected))
				fail_msg("%s", json_object_to_json_string(entry));
		}
		dev_fini(&dev);
	}
}

/* ---- changes ---- */

/* "-PATH" removed, "PATH=VALUE" written, in order, below a directory. */
static void print_changes(const struct class_nodes *nodes, const char *remove, size_t len,
			  const char *below, char *ret, size_t ret_size)
{
	size_t at = 0, skip = strlen(below);

	ret[0] = '\0';
	for (const char *p = remove; p < remove + len; p += strlen(p) + 1)
		at += (size_t)snprintf(ret + at, ret_size - at, "-%s\n",
				       strncmp(p, below, skip) ? p : p + skip);
	for (size_t i = 0; i < nodes->n; i++)
		at += (size_t)snprintf(ret + at, ret_size - at, "%s=%s\n",
				       strncmp(nodes->v[i].path, below, skip)
					       ? nodes->v[i].path
					       : nodes->v[i].path + skip,
				       nodes->v[i].value);
}

static void change(const char *class, const char *entry_text, const struct conf_dev *dev, bool add,
		   const char *below, int expected_r, const char *expected)
{
	const struct class_case c = { class, entry_text, 0, 0, 0 };
	CLEANUP_JSON struct json_object *entry = case_entry(&c);
	struct class_where where = case_where(entry);
	struct conf_err err = { "" };
	struct class_nodes nodes;
	char *remove, text[4096];
	size_t len;
	int r = class_entry_nodes(class_find(class), entry, &where, dev, add, &err, &nodes, &remove,
				  &len);

	if (r != expected_r)
		fail_msg("%s: %d: %s", entry_text, r, err.text);
	if (!r) {
		print_changes(&nodes, remove, len, below, text, sizeof(text));
		assert_string_equal(text, expected);
	} else {
		assert_non_null(strstr(err.text, expected));
		assert_int_equal(nodes.n, 0);
	}
	class_nodes_fini(&nodes);
	free(remove);
}

#define OPTS "msitranslate=0,power_mgmt=0,permissive=0,rdm_policy=strict"

static void adding_a_pci_device_writes_it_behind_the_last(void **state)
{
	struct conf_dev dev;

	(void)state;
	change("pci", "{\"bus\":3}", NULL, true, PCI, 0,
	       "/libxl/pci/0000-03-00-0/domid=7\n"
	       "/local/domain/0/backend/pci/7/0=\nfrontend=/local/domain/7/device/pci/0\n"
	       "frontend-id=7\nonline=1\nstate=1\ndomain=guest\n"
	       "/local/domain/7/device/pci/0=\n"
	       "/local/domain/7/device/pci/0/backend=/local/domain/0/backend/pci/7/0\n"
	       "/local/domain/7/device/pci/0/backend-id=0\n"
	       "/local/domain/7/device/pci/0/state=1\n"
	       "key-0=" A "\ndev-0=" A "\nopts-0=" OPTS "\nstate-0=1\n"
	       "num_devs=1\n");
	pci_make("num_devs=1\ndev-0=" A "\nstate-0=3\n", &dev);
	change("pci",
	       "{\"bus\":4,\"dev\":16,\"func\":7,\"vdevfn\":168,\"permissive\":true,"
	       "\"name\":\"n\",\"rdm_policy\":\"relaxed\"}",
	       &dev, true, PCI, 0,
	       "/libxl/pci/0000-04-10-7/domid=7\n"
	       "key-1=" B "\ndev-1=" B "\nvdevfn-1=a8\nname-1=n\n"
	       "opts-1=msitranslate=0,power_mgmt=0,permissive=1,rdm_policy=relaxed\nstate-1=1\n"
	       "num_devs=2\nstate=7\n");
	change("pci", "{\"bus\":3}", &dev, true, PCI, -EEXIST, A);
	dev_fini(&dev);
	pci_make("num_devs=99999999\n", &dev);
	change("pci", "{\"bus\":3}", &dev, true, PCI, -EBADMSG, "num_devs");
	dev_fini(&dev);
	pci_make("num_devs=256\n", &dev);
	change("pci", "{\"bus\":3}", &dev, true, PCI, -EBADMSG, "num_devs");
	dev_fini(&dev);
}

static void removing_a_pci_device_moves_those_behind_it_up(void **state)
{
	struct conf_dev dev;

	(void)state;
	pci_make("num_devs=3\nkey-0=" A "\ndev-0=" A "\nopts-0=a\nstate-0=3\nvdevfn-0=8\n"
		 "key-1=" B "\ndev-1=" B "\nopts-1=b\nstate-1=3\n"
		 "key-2=" C "\ndev-2=" C "\nopts-2=c\nstate-2=4\n",
		 &dev);
	change("pci", "{\"bus\":3}", &dev, false, PCI, 0,
	       "-/libxl/pci/0000-03-00-0/domid\n"
	       "-vdevfn-0\n-key-2\n-dev-2\n-opts-2\n-state-2\n"
	       "key-0=" B "\ndev-0=" B "\nopts-0=b\nstate-0=3\n"
	       "key-1=" C "\ndev-1=" C "\nopts-1=c\nstate-1=4\nnum_devs=2\n");
	change("pci", "{\"bus\":255,\"dev\":31,\"func\":1,\"domain\":43981}", &dev, false, PCI, 0,
	       "-/libxl/pci/abcd-ff-1f-1/domid\n"
	       "-key-2\n-dev-2\n-opts-2\n-state-2\nnum_devs=2\n");
	change("pci", "{\"bus\":9}", &dev, false, PCI, -ENOENT, "0000:09:00.0");
	dev_fini(&dev);
	/* The last one takes the directories with it. */
	pci_make("num_devs=1\nkey-0=" A "\ndev-0=" A "\nstate-0=3\n", &dev);
	change("pci", "{\"bus\":3}", &dev, false, PCI, 0,
	       "-/libxl/pci/0000-03-00-0/domid\n"
	       "-/local/domain/0/backend/pci/7/0\n-/local/domain/7/device/pci/0\n");
	dev_fini(&dev);
	/* Where the number is no number, only its own keys go. */
	pci_make("num_devs=x\nkey-1=" A "\ndev-1=" A "\nstate-1=3\ndev-2=" B "\n", &dev);
	change("pci", "{\"bus\":3}", &dev, false, PCI, 0,
	       "-/libxl/pci/0000-03-00-0/domid\n-key-1\n-dev-1\n-state-1\n");
	dev_fini(&dev);
}

/* ---- USB ---- */

static char sysfs[64];

static void write_file(const char *below, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", sysfs, below);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void make_dir(const char *below)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s", sysfs, below);
	assert_int_equal(mkdir(path, 0700), 0);
}

static int host_setup(void **state)
{
	(void)state;
	snprintf(sysfs, sizeof(sysfs), "/tmp/class-entry-XXXXXX");
	assert_non_null(mkdtemp(sysfs));
	make_dir("/bus");
	make_dir("/bus/usb");
	make_dir("/bus/usb/drivers");
	make_dir("/bus/usb/devices");
	make_dir("/bus/usb/devices/2-1.4");
	make_dir("/bus/x");
	write_file("/bus/x/busnum", "2\n");
	write_file("/bus/x/devnum", "17\n");
	write_file("/bus/usb/devices/2-1.4/busnum", "2\n");
	write_file("/bus/usb/devices/2-1.4/devnum", "17\n");
	return setenv("DROVER_SYSFS", sysfs, 1);
}

static int host_teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", sysfs);
	return system(command);
}

#define USB "{\"ctrl\":0,\"port\":2,\"type.hostdev\":{\"hostbus\":2,\"hostaddr\":17}}"

static void a_usb_device_is_its_ports_value(void **state)
{
	const struct conf_class *k = class_find("usbdev");
	CLEANUP_JSON struct json_object *entry = NULL, *gone = NULL;
	const struct class_case expected = { "usbdev", USB, 0, 0, 0 };
	CLEANUP_JSON struct json_object *usb = case_entry(&expected);
	struct conf_dev dev;
	char ids[1024] = "", text[128];

	(void)state;
	vusb_make("num-ports=4\nport/1=\nport/2=2-1.4\nport/3=9-9\n"
		  "port/4=2-1.4/../../../x\nport/9=1-1\n",
		  &dev);
	assert_int_equal(class_store_ids(k, &dev, note_id, ids), 0);
	assert_string_equal(ids, "0:2@0 0:3@1 0:4@2 0:9@3");
	assert_int_equal(class_from_store(k, &dev, "0:2", NULL, &entry), 0);
	assert_true(conf_json_equal(entry, usb));
	/* The host has none of that name any more. */
	assert_int_equal(class_from_store(k, &dev, "0:3", NULL, &gone), 0);
	assert_int_equal(conf_json_int(gone, "port", 0), 3);
	json_object_put(TAKE(gone));
	/* No path leads out of the host's devices. */
	assert_int_equal(class_from_store(k, &dev, "0:4", NULL, &gone), 0);
	assert_false(conf_json_equal(gone, usb));
	assert_null(strstr(json_object_to_json_string(gone), "hostbus\": 2"));
	assert_int_equal(class_from_store(k, &dev, "0:1", NULL, &entry), -EBADMSG);
	class_check(k, &dev, "0:2", text, sizeof(text));
	assert_string_equal(text, "");
	class_check(k, &dev, "0:9", text, sizeof(text));
	assert_string_equal(text, "port/9: the controller has 4 ports");
	class_check(k, &dev, "0:8", text, sizeof(text));
	assert_string_equal(text, "port/8: missing");
	dev_fini(&dev);
}

static void a_usb_device_is_attached_by_its_name_on_the_host(void **state)
{
	struct conf_dev dev;

	(void)state;
	vusb_make("num-ports=2\nport/1=\nport/2=\n", &dev);
	change("usbdev", USB, &dev, true, VUSB, 0, "port/2=2-1.4\n");
	change("usbdev", USB, &dev, false, VUSB, 0, "port/2=\n");
	change("usbdev", "{\"ctrl\":0,\"port\":1,\"type.hostdev\":{\"hostbus\":3,\"hostaddr\":1}}",
	       &dev, true, VUSB, -EINVAL, "no USB device 3:1");
	change("usbdev", "{\"ctrl\":0,\"port\":3,\"type.hostdev\":{\"hostbus\":2,\"hostaddr\":17}}",
	       &dev, true, VUSB, -EINVAL, "no port 3");
	change("usbdev", "{\"ctrl\":0,\"port\":99,\"type.hostdev\":{}}", &dev, true, VUSB, -EINVAL,
	       "port");
	change("usbdev", USB, NULL, true, VUSB, -EINVAL, "controller 0");
	dev_fini(&dev);
}

static void a_usb_device_without_a_port_gets_a_free_one(void **state)
{
	static const struct {
		const char *lines, *entry;
		int64_t port; /* 0: refused */
	} cases[] = {
		{ "num-ports=2\nport/1=1-1\nport/2=\n", "{}", 2 },
		{ "num-ports=2\nport/1=\nport/2=\n", "{\"ctrl\":0}", 1 },
		{ "num-ports=2\nport/1=\nport/2=\n", "{\"ctrl\":1}", 0 },
		{ "num-ports=2\nport/1=1-1\nport/2=1-2\nport/3=\n", "{}", 0 },
		{ "num-ports=999999999\nport/1=\n", "{}", 0 },
		{ "num-ports=2\nport/1=\nport/2=\n", "{\"port\":2}", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct class_case c = { "usbdev", cases[i].entry, 0, 0, 0 };
		CLEANUP_JSON struct json_object *entry = case_entry(&c);
		struct conf_snapshot s = { .n_devs = 1 };
		struct conf_dev dev;

		vusb_make(cases[i].lines, &dev);
		s.devs = &dev;
		assert_int_equal(class_complete(class_find("usbdev"), entry, NULL, &s, 0, NULL),
				 cases[i].port ? 0 : -EINVAL);
		if (cases[i].port)
			assert_int_equal(conf_json_int(entry, "port", 0), cases[i].port);
		dev_fini(&dev);
	}
}

/* A controller of a device model has no backend. */
static void a_device_models_controller_is_in_libxls_directory_alone(void **state)
{
	struct conf_dev dev = { .devid = 0 };
	char text[128];

	(void)state;
	dev.kind = copy("vusb");
	dev.path = copy("/libxl/7/device/vusb/0");
	values_make("type=devicemodel\nusb-ver=2\nnum-ports=6\nport/1=2-1.4\nport/2=\n",
		    &dev.libxl);
	class_check(class_find("usbctrl"), &dev, "0", text, sizeof(text));
	assert_string_equal(text, "");
	class_check(class_find("usbdev"), &dev, "0:1", text, sizeof(text));
	assert_string_equal(text, "");
	change("usbdev", USB, &dev, true, "/libxl/7/device/vusb/0/", 0, "port/2=2-1.4\n");
	dev_fini(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_is_found_whatever_the_others_are),
		cmocka_unit_test(a_pci_device_comes_back_with_its_options),
		cmocka_unit_test(adding_a_pci_device_writes_it_behind_the_last),
		cmocka_unit_test(removing_a_pci_device_moves_those_behind_it_up),
		cmocka_unit_test(a_usb_device_is_its_ports_value),
		cmocka_unit_test(a_usb_device_is_attached_by_its_name_on_the_host),
		cmocka_unit_test(a_usb_device_without_a_port_gets_a_free_one),
		cmocka_unit_test(a_device_models_controller_is_in_libxls_directory_alone),
	};

	return cmocka_run_group_tests_name("class_entry", tests, host_setup, host_teardown);
}
