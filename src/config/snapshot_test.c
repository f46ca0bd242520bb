/* SPDX-License-Identifier: MIT */
/*
 * What is read of a domain: all of it, in few round trips, and errors for what is not told.
 */
#include "config/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/store_test.h"

#define UUID "6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2c"
#define D "/local/domain/7"
#define L "/libxl/7/device"
#define B "/local/domain/0/backend"

#define DOMAIN                                                                                     \
	D "/vm", "/vm/" UUID, D "/name", "pv1", D "/memory/target", "1048576",                     \
		D "/memory/static-max", "2097152", D "/cpu/0/availability", "online",              \
		D "/cpu/1/availability", "offline", "/libxl/7/type", "pv"

static const char *const whole[] = {
	DOMAIN,
	L "/vbd/51712/backend",
	B "/vbd/7/51712",
	L "/vbd/51712/dev",
	"xvda",
	L "/vif/0/backend",
	"/local/domain/3/backend/vif/7/0",
	L "/vif/0/mac",
	"00:16:3e:00:00:01",
	L "/vif/1/backend",
	"/local/domain/0/backend/vif/8/1",
	L "/vif/1/mac",
	"00:16:3e:00:00:02",
	L "/vusb/0/type",
	"pv",
	L "/vusb/0/port/1",
	"1-1",
	B "/vbd/7/51712/state",
	"4",
	B "/vbd/7/51712/params",
	"/dev/vg/a",
	B "/pci/7/0/num_devs",
	"1",
	B "/pci/7/0/dev-0",
	"0000:03:00.0",
	B "/pci/7/0/state",
	"4",
	NULL,
};

static struct conf_client *open_client(struct fake_store *f)
{
	struct conf_client *c = NULL;

	assert_true(fake_store_start(f));
	assert_int_equal(conf_client_open(f->path, 20000, NULL, &c), 0);
	return c;
}

static void what_is_there_is_read(void **state)
{
	struct fake_store f = { .nodes = whole };
	struct conf_client *c = open_client(&f);
	struct conf_err err = { 0 };
	struct conf_snapshot *s = NULL;
	const struct conf_dev *d;

	(void)state;
	assert_int_equal(conf_snapshot_read(c, 7, &err, &s), 0);
	assert_string_equal(s->uuid, UUID);
	assert_string_equal(s->name, "pv1");
	assert_string_equal(s->type, "pv");
	assert_string_equal(conf_values_get(&s->domain, "memory/target"), "1048576");
	assert_string_equal(conf_values_get(&s->domain, "cpu/1/availability"), "offline");
	assert_int_equal(s->n_devs, 5);

	d = conf_snapshot_find(s, "vbd", 51712);
	assert_non_null(d);
	assert_string_equal(d->path, L "/vbd/51712");
	assert_true(d->has_backend);
	assert_string_equal(d->backend_kind, "vbd");
	assert_string_equal(conf_values_get(&d->libxl, "dev"), "xvda");
	assert_string_equal(conf_values_get(&d->back, "params"), "/dev/vg/a");

	/* the backend's domain is gone */
	d = conf_snapshot_find(s, "vif", 0);
	assert_false(d->has_backend || d->backend_domain);
	assert_int_equal(d->backend_domid, 3);

	/* a path that is another domain's is not followed */
	d = conf_snapshot_find(s, "vif", 1);
	assert_null(d->backend_kind);
	assert_non_null(d->backend);

	d = conf_snapshot_find(s, "vusb", 0);
	assert_string_equal(conf_values_get(&d->libxl, "port/1"), "1-1");
	assert_null(d->backend);

	d = conf_snapshot_find(s, "pci", 0);
	assert_string_equal(conf_values_get(&d->back, "dev-0"), "0000:03:00.0");
	assert_null(conf_snapshot_find(s, "vbd", 0));
	conf_snapshot_free(s);
	conf_client_close(c);
	fake_store_stop(&f);
}

/* libxl leaves no directory of devices where there are none. */
static void no_devices_are_none(void **state)
{
	static const char *const bare[] = { DOMAIN, NULL };
	struct fake_store f = { .nodes = bare };
	struct conf_client *c = open_client(&f);
	struct conf_snapshot *s = NULL;

	(void)state;
	assert_int_equal(conf_snapshot_read(c, 7, NULL, &s), 0);
	assert_int_equal(s->n_devs, 0);
	conf_snapshot_free(s);
	conf_client_close(c);
	fake_store_stop(&f);
}

/* The number of devices does not show in the number of round trips. */
static void round_trips_follow_the_depth(void **state)
{
	static const char *many[14 + 4 * 500 + 1] = { DOMAIN };
	static char paths[2 * 500][64];
	struct fake_store few = { .nodes = whole }, lots = { .nodes = many };
	struct conf_snapshot *s = NULL;
	struct conf_client *c;
	uint64_t n;
	size_t i, at = 14;

	(void)state;
	for (i = 0; i < 500; i++) {
		snprintf(paths[2 * i], 64, L "/vif/%zu/mac", i);
		snprintf(paths[2 * i + 1], 64, L "/vusb/%zu/port/1", i);
		many[at++] = paths[2 * i];
		many[at++] = "x";
		many[at++] = paths[2 * i + 1];
		many[at++] = "1-1";
	}
	many[at] = NULL;
	c = open_client(&few);
	assert_int_equal(conf_snapshot_read(c, 7, NULL, &s), 0);
	n = conf_client_round_trips(c);
	conf_snapshot_free(s);
	conf_client_close(c);
	fake_store_stop(&few);

	c = open_client(&lots);
	assert_int_equal(conf_snapshot_read(c, 7, NULL, &s), 0);
	assert_int_equal(s->n_devs, 1000);
	assert_in_range(conf_client_round_trips(c), 1, n);
	assert_in_range(n, 1, 12);
	conf_snapshot_free(s);
	conf_client_close(c);
	fake_store_stop(&lots);
}

/* A transaction that lost is read anew; one that always loses is told. */
static void a_store_that_changes(void **state)
{
	static const struct {
		unsigned int refusals;
		int r;
	} cases[] = { { 1, 0 }, { 31, 0 }, { 32, -EAGAIN }, { 1000, -EAGAIN } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_store f = { .nodes = whole, .refusals = cases[i].refusals };
		struct conf_client *c = open_client(&f);
		struct conf_err err = { 0 };
		struct conf_snapshot *s = NULL;

		assert_int_equal(conf_snapshot_read(c, 7, &err, &s), cases[i].r);
		if (s)
			assert_int_equal(s->n_devs, 5);
		else
			assert_non_null(strstr(err.text, "kept changing"));
		conf_snapshot_free(s);
		conf_client_close(c);
		fake_store_stop(&f);
	}
}

/* What is not told is an error that names it, not an answer with a hole. */
static void what_is_missing_is_named(void **state)
{
	static const char *const no_vm[] = { D "/name", "x", L "/vbd/1/dev", "y", NULL };
	static const char *const bad_vm[] = { D "/vm", "/vm/nonsense", L "/vbd/1/dev", "y", NULL };
	static const char *const no_libxl[] = { D "/vm", "/vm/" UUID, NULL };
	static const char *const bad_id[] = { D "/vm", "/vm/" UUID, L "/vbd/x1/dev", "y", NULL };
	static const char *const empty[] = { "/tool", "", NULL };
	static const struct {
		const char *const *nodes;
		int r;
		const char *says;
	} cases[] = {
		{ no_vm, -EPROTO, D "/vm" },
		{ bad_vm, -EPROTO, "/vm/nonsense" },
		{ no_libxl, -EPROTO, "/libxl/7/type" },
		{ bad_id, -EPROTO, L "/vbd/x1" },
		{ empty, -ENOENT, "domain 7" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_store f = { .nodes = cases[i].nodes };
		struct conf_client *c = open_client(&f);
		struct conf_err err = { 0 };
		struct conf_snapshot *s = NULL;

		assert_int_equal(conf_snapshot_read(c, 7, &err, &s), cases[i].r);
		assert_non_null(strstr(err.text, cases[i].says));
		assert_null(s);
		conf_client_close(c);
		fake_store_stop(&f);
	}
}

/* Of several domains each is its own answer, in the order asked. */
static void many_are_read_side_by_side(void **state)
{
	struct fake_store f = { .nodes = whole };
	struct conf_client *c = open_client(&f);
	struct conf_snapshot *s[40];
	struct conf_err why[40];
	uint32_t domids[40];
	int errs[40];
	size_t i;

	(void)state;
	memset(why, 0, sizeof(why));
	for (i = 0; i < 40; i++)
		domids[i] = i % 2 ? 7 : 9;
	assert_int_equal(conf_snapshot_read_many(c, domids, 40, s, errs, why), 0);
	for (i = 0; i < 40; i++) {
		assert_int_equal(errs[i], i % 2 ? 0 : -ENOENT);
		if (i % 2)
			assert_int_equal(s[i]->n_devs, 5);
		else
			assert_non_null(strstr(why[i].text, "domain 9"));
		conf_snapshot_free(s[i]);
	}
	conf_client_close(c);
	fake_store_stop(&f);
}

/*
 * Without a transaction: what changes meanwhile is read anew, what the guest writes below its
 * frontends is not looked at; where events do not end, a transaction decides.
 */
static void a_guarded_reading(void **state)
{
	static const struct {
		const char *event;
		unsigned int events;
		int r;
		bool again;
		unsigned int refusals;
	} cases[] = {
		{ "", 0, 0, false, 0 },
		{ L "/vbd/51712/dev", 1, 0, true, 0 },
		{ B "/vbd/7/51712/state", 1, 0, true, 0 },
		{ "/local/domain/3", 1, 0, true, 0 },
		{ "/local/domain/7/memory/target", 1, 0, true, 0 },
		{ "/libxl", 1, 0, true, 0 },
		{ B "/vbd/8/51712/state", 1, 0, false, 0 },
		{ "/libxl/70/device", 1, 0, false, 0 },
		{ "/local/domain/7/device/vbd/51712/state", 1000000, 0, false, 0 },
		{ "/local/domain/7/data/x", 1000000, 0, false, 0 },
		{ L "/vbd/51712/dev", 1000000, 0, true, 0 },
		{ L "/vbd/51712/dev", 1000000, 0, true, 10 },
		{ L "/vbd/51712/dev", 1000000, -EAGAIN, true, 1000 },
	};
	uint64_t quiet = 0;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_store f = { .nodes = whole,
					.event = cases[i].event,
					.events = cases[i].events,
					.refusals = cases[i].refusals };
		struct conf_client *c = open_client(&f);
		struct conf_snapshot *s = NULL;
		struct conf_err why = { 0 };
		uint32_t domid = 7;
		int err = 0;

		assert_int_equal(conf_snapshot_list(c, &domid, 1, NULL, NULL, &s, &err, &why), 0);
		assert_int_equal(err, cases[i].r);
		if (s)
			assert_int_equal(s->n_devs, 5);
		else
			assert_non_null(strstr(why.text, "kept changing"));
		if (!i)
			quiet = conf_client_round_trips(c);
		else if (cases[i].again != (conf_client_round_trips(c) > quiet))
			fail_msg("%s: %d round trips, %d without", cases[i].event,
				 (int)conf_client_round_trips(c), (int)quiet);
		conf_snapshot_free(s);
		conf_client_close(c);
		fake_store_stop(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_there_is_read),
		cmocka_unit_test(no_devices_are_none),
		cmocka_unit_test(round_trips_follow_the_depth),
		cmocka_unit_test(a_store_that_changes),
		cmocka_unit_test(a_guarded_reading),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(many_are_read_side_by_side),
	};

	return cmocka_run_group_tests_name("config/snapshot", tests, NULL, NULL);
}
