/* SPDX-License-Identifier: MIT */
/*
 * bench-config [-p PID] [-t SECONDS] -d DIRECTORY SOCKET TEST [ARGUMENT...]
 *
 * What retrieving configurations costs, over the public interface, beside reading the same keys
 * without understanding them. Prints lines as bench-client does.
 *
 *   fill N            makes domains 1 to N, 6 devices each, with records in DIRECTORY/lib
 *   list N            retrieves all of them; reads their keys raw: a batch for each 16 domains,
 *                     and one by one through libxenstore
 *   one N             retrieves one of them again and again
 *   libxl N XLCONF    libxl_retrieve_domain_configuration does the same (tests/peers/xlconf.c)
 *
 * Anything unexpected ends the program: a domain that is not told whole is not counted.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

#include "config/client.h"
#include "config/create.h"
#include "config/json.h"
#include "drover/config.h"
#include "hv/sim/sim.h"
#include "meter.h"

#define DISKS 4
#define NICS 2
#define DEVICES (DISKS + NICS)
#define RAW_DOMAINS 16 /* keys of so many domains in a batch */
#define RUNS 5	       /* of a list: the best counts */
#define ENOUGH_S 10    /* no further run after that */

static struct {
	const char *socket, *dir, *test;
	double seconds;
	char userdata[4096];
	struct drover_config *config;
	struct conf_client *client;
	struct conf_err err;
	struct bench meter; /* of the server's CPU */
} b = { .seconds = .5 };

_Noreturn static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench-config: %s: %s\n", what, why);
	exit(3);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void print(unsigned long param, const char *metric, double value)
{
	printf("config %lu %s %g\n", param, metric, value);
}

/* ---- domains ---- */

static void uuid_of(uint32_t domid, char ret[37])
{
	snprintf(ret, 37, "d20fe200-0000-4000-8000-%012x", domid);
}

static struct json_object *configuration(uint32_t domid)
{
	struct json_object *config;
	char text[4096], uuid[37];
	int n;

	uuid_of(domid, uuid);
	n = snprintf(text, sizeof(text),
		     "{\"c_info\":{\"type\":\"pv\",\"name\":\"d%u\",\"uuid\":\"%s\"},"
		     "\"b_info\":{\"max_vcpus\":2,\"avail_vcpus\":[0,1],\"max_memkb\":1048576,"
		     "\"target_memkb\":1048576,\"video_memkb\":0,\"kernel\":\"/boot/vmlinuz\","
		     "\"type.pv\":{}},\"disks\":[",
		     domid, uuid);
	for (int i = 0; i < DISKS; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      "%s{\"pdev_path\":\"/dev/vg/d%u-%d\",\"vdev\":\"xvd%c\","
			      "\"backend\":\"phy\",\"format\":\"raw\",\"readwrite\":1}",
			      i ? "," : "", domid, i, 'a' + i);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "],\"nics\":[");
	for (int i = 0; i < NICS; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n,
			      "%s{\"devid\":%d,\"mac\":\"00:16:3e:%02x:%02x:%02x\","
			      "\"bridge\":\"xenbr0\",\"nictype\":\"vif\"}",
			      i ? "," : "", i, domid >> 8 & 255, domid & 255, (unsigned int)i);
	n += snprintf(text + n, sizeof(text) - (size_t)n, "]}");
	if (conf_json_read(text, (size_t)n, &b.err, &config))
		die("a domain's JSON", b.err.text);
	return config;
}

static void write_node(const char *path, const char *value)
{
	struct conf_batch batch = { 0 };

	if (conf_batch_add(&batch, XS_WRITE, 0, path, value, strlen(value), NULL) ||
	    conf_client_run(b.client, &batch, &b.err))
		die(path, b.err.text);
	if (conf_batch_reply(&batch, 0)->err)
		die(path, strerror(conf_batch_reply(&batch, 0)->err));
	conf_batch_fini(&batch);
}

/* What the backends' drivers would do. */
static void connect_devices(uint32_t domid)
{
	char path[256];

	for (int i = 0; i < DEVICES; i++) {
		if (i < DISKS)
			snprintf(path, sizeof(path), "/local/domain/0/backend/vbd/%u/%d/state",
				 domid, 51712 + 16 * i);
		else
			snprintf(path, sizeof(path), "/local/domain/0/backend/vif/%u/%d/state",
				 domid, i - DISKS);
		write_node(path, "4");
	}
}

/* The list of domains for libxl, which would ask the hypervisor. */
static void write_domains(unsigned long n)
{
	char path[4200], uuid[37];
	FILE *f;

	snprintf(path, sizeof(path), "%s/domains", b.dir);
	f = fopen(path, "we");
	if (!f)
		die(path, strerror(errno));
	fprintf(f, "0 00000000-0000-0000-0000-000000000000 pv 4 4194304 4194304\n");
	for (uint32_t domid = 1; domid <= n; domid++) {
		uuid_of(domid, uuid);
		fprintf(f, "%u %s pv 2 1048576 1048576\n", domid, uuid);
	}
	if (fclose(f))
		die(path, strerror(errno));
}

static void test_fill(unsigned long n, char **args)
{
	char path[64], *there;
	struct sim *sim;

	(void)args;
	if (sim_open(b.dir, &sim))
		die(b.dir, "no simulated host");
	write_node("/local/domain/0/name", "Domain-0");
	write_node("/local/domain/0/domid", "0");
	write_node("/local/pool/0/name", "Pool-0"); /* libxl wants it */
	for (uint32_t domid = 1; domid <= n; domid++) {
		struct json_object *config;

		snprintf(path, sizeof(path), "/local/domain/%u/vm", domid);
		if (!conf_client_read(b.client, 0, path, &b.err, &there, NULL)) {
			free(there);
			continue;
		}
		if (sim_domain_create(sim, (uint16_t)domid, &(uint16_t){ 0 }))
			die("create", "the simulated host has no such domain to give");
		config = configuration(domid);
		if (conf_create(b.config, domid, config))
			die("create", drover_config_error(b.config));
		json_object_put(config);
		connect_devices(domid);
	}
	sim_close(sim);
	write_domains(n);
}

/* ---- retrieving ---- */

static int check(struct drover_domain_config *config, int err)
{
	size_t attached = 0;

	if (err)
		die("retrieve", drover_config_error(b.config));
	for (size_t i = 0; i < drover_domain_config_report_len(config); i++) {
		const struct drover_report_item *item = drover_domain_config_report(config, i);

		attached += item->verdict == DROVER_ATTACHED;
		if (drover_verdict_is_fault(item->verdict))
			die(item->path, item->reason);
	}
	if (attached != DEVICES)
		die("retrieve", "not all devices are attached");
	drover_domain_config_free(config);
	return 0;
}

static int each(void *data, uint32_t domid, int err, struct drover_domain_config *config)
{
	(void)data;
	(void)domid;
	return check(config, err);
}

static void retrieve_all(const uint32_t *domids, size_t n)
{
	if (drover_config_retrieve_many(b.config, domids, n, DROVER_VIEW_LIVE, 0, each, NULL))
		die("retrieve_many", drover_config_error(b.config));
}

/* ---- the same keys, raw ---- */

static struct {
	char (*path)[XENSTORE_ABS_PATH_MAX / 8];
	size_t n, room;
	size_t *first; /* of each domain, and behind the last */
} keys;

static void key_add(const char *path)
{
	if (keys.n == keys.room) {
		keys.room = keys.room ? 2 * keys.room : 4096;
		keys.path = realloc(keys.path, keys.room * sizeof(*keys.path));
		if (!keys.path)
			die("keys", "out of memory");
	}
	if (strlen(path) >= sizeof(keys.path[0]))
		die(path, "too long");
	strcpy(keys.path[keys.n++], path);
}

/* Nodes below path, and path itself, that have a value, become keys. */
static void walk(const char *path)
{
	char child[XENSTORE_ABS_PATH_MAX + 1];
	char *names;
	size_t len;

	if (conf_client_directory(b.client, 0, path, &b.err, &names, &len))
		return;
	if (!len)
		key_add(path);
	for (size_t i = 0; i < len; i += strlen(names + i) + 1) {
		snprintf(child, sizeof(child), "%s/%s", path, names + i);
		walk(child);
	}
	free(names);
}

/* The nodes of a domain below a directory, which are those of domain 1, each below its own. */
static void keys_like_first(const char *above, uint32_t domid, size_t end)
{
	char first[64], root[64], path[XENSTORE_ABS_PATH_MAX];

	snprintf(first, sizeof(first), "%s1/", above);
	snprintf(root, sizeof(root), "%s%u/", above, domid);
	for (size_t i = 0; i < end; i++) {
		if (strncmp(keys.path[i], first, strlen(first)) != 0)
			continue;
		snprintf(path, sizeof(path), "%s%s", root, keys.path[i] + strlen(first));
		key_add(path);
	}
}

/* What retrieve reads of a domain: some of its own nodes, libxl's directory and the backends'. */
static void keys_collect(size_t n)
{
	static const char *const own[] = { "vm",
					   "name",
					   "memory/target",
					   "memory/static-max",
					   "memory/videoram",
					   "cpu/0/availability",
					   "cpu/1/availability" };
	static const char *const roots[] = { "/local/domain/", "/libxl/",
					     "/local/domain/0/backend/vbd/",
					     "/local/domain/0/backend/vif/" };
	char path[256];
	size_t end;

	keys.first = calloc(n + 1, sizeof(*keys.first));
	if (!keys.first)
		die("keys", "out of memory");
	for (size_t j = 0; j < sizeof(own) / sizeof(own[0]); j++) {
		snprintf(path, sizeof(path), "/local/domain/1/%s", own[j]);
		key_add(path);
	}
	for (size_t j = 1; j < sizeof(roots) / sizeof(roots[0]); j++) {
		snprintf(path, sizeof(path), "%s1", roots[j]);
		walk(path);
	}
	end = keys.n;
	for (uint32_t i = 1; i < n; i++) {
		keys.first[i] = keys.n;
		for (size_t j = 0; j < sizeof(roots) / sizeof(roots[0]); j++)
			keys_like_first(roots[j], i + 1, end);
	}
	keys.first[n] = keys.n;
}

static void run_batch(struct conf_batch *batch)
{
	if (conf_client_run(b.client, batch, &b.err))
		die("raw", b.err.text);
	for (size_t i = 0; i < batch->n; i++)
		if (conf_batch_reply(batch, i)->err)
			die("raw", strerror(conf_batch_reply(batch, i)->err));
}

static void batch_add(struct conf_batch *batch, enum xsd_sockmsg_type type, uint32_t tx,
		      const char *path)
{
	if (conf_batch_add(batch, type, tx, path, NULL, 0, NULL))
		die("raw", "out of memory");
}

/* A batch for so many domains; in_tx: with a transaction for each, as a whole answer needs. */
static void read_some(struct conf_batch *batch, size_t first, size_t n, bool in_tx)
{
	uint32_t tx[RAW_DOMAINS] = { 0 };

	if (in_tx) {
		conf_batch_clear(batch);
		for (size_t i = 0; i < n; i++)
			batch_add(batch, XS_TRANSACTION_START, 0, "");
		run_batch(batch);
		for (size_t i = 0; i < n; i++)
			tx[i] = (uint32_t)strtoul(conf_batch_reply(batch, i)->data, NULL, 10);
	}
	conf_batch_clear(batch);
	for (size_t i = 0; i < n; i++)
		for (size_t k = keys.first[first + i]; k < keys.first[first + i + 1]; k++)
			batch_add(batch, XS_READ, tx[i], keys.path[k]);
	run_batch(batch);
	if (in_tx) {
		conf_batch_clear(batch);
		for (size_t i = 0; i < n; i++)
			batch_add(batch, XS_TRANSACTION_END, tx[i], "T");
		run_batch(batch);
	}
}

static void read_batched(size_t n, bool in_tx)
{
	struct conf_batch batch = { 0 };

	for (size_t i = 0; i < n; i += RAW_DOMAINS)
		read_some(&batch, i, n - i < RAW_DOMAINS ? n - i : RAW_DOMAINS, in_tx);
	conf_batch_fini(&batch);
}

static void read_one_by_one(size_t n)
{
	struct xs_handle *xs;
	unsigned int len;

	if (setenv("XENSTORED_PATH", b.socket, 1) || !(xs = xs_open(0)))
		die(b.socket, strerror(errno));
	for (size_t k = 0; k < keys.first[n]; k++)
		free(xs_read(xs, XBT_NULL, keys.path[k], &len));
	xs_close(xs);
}

/* What one of the runs costs: time that passed, and CPU of both sides. */
struct cost {
	double wall_s, client_s, server_s;
};

static double client_cpu_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

enum what { LIST, RAW, RAW_IN_TX, SINGLE, WHATS };

static void run_once(enum what what, const uint32_t *domids, size_t n, struct cost *best)
{
	struct cost c = { now_s(), client_cpu_s(), (double)meter_server_cpu_ns(&b.meter) / 1e9 };

	if (what == LIST)
		retrieve_all(domids, n);
	else if (what == SINGLE)
		read_one_by_one(n);
	else
		read_batched(n, what == RAW_IN_TX);
	c.wall_s = now_s() - c.wall_s;
	c.client_s = client_cpu_s() - c.client_s;
	c.server_s = (double)meter_server_cpu_ns(&b.meter) / 1e9 - c.server_s;
	if (best->wall_s <= 0 || c.wall_s < best->wall_s)
		*best = c;
}

/* Of this program alone: getrusage would count who started it, too. */
static double peak_mb(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	unsigned long kb = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmHWM: %lu", &kb);
	if (f)
		fclose(f);
	return (double)kb / 1024;
}

static void test_list(unsigned long n, char **args)
{
	static const char *const names[WHATS] = { "list", "raw", "raw_in_tx", "single" };
	uint32_t *domids = calloc(n, sizeof(*domids));
	struct cost best[WHATS] = { 0 };
	char metric[64];
	double start;

	(void)args;
	for (uint32_t i = 0; domids && i < n; i++)
		domids[i] = i + 1;
	if (!domids)
		die("list", "out of memory");
	/* Memory first, before the keys are collected here. */
	retrieve_all(domids, n);
	print(n, "peak_MB", peak_mb());
	keys_collect(n);
	print(n, "keys", (double)keys.n);
	start = now_s();
	for (int run = 0; run < RUNS && now_s() < start + ENOUGH_S; run++)
		for (enum what w = 0; w < (run ? SINGLE : WHATS); w++)
			run_once(w, domids, n, &best[w]);
	for (enum what w = 0; w < WHATS; w++) {
		snprintf(metric, sizeof(metric), "%s_ms", names[w]);
		print(n, metric, best[w].wall_s * 1e3);
		snprintf(metric, sizeof(metric), "%s_client_us", names[w]);
		print(n, metric, best[w].client_s * 1e6 / (double)n);
		snprintf(metric, sizeof(metric), "%s_server_us", names[w]);
		print(n, metric, best[w].server_s * 1e6 / (double)n);
	}
	print(n, "list/raw", best[LIST].wall_s / best[RAW].wall_s);
	print(n, "list_us/domain", best[LIST].wall_s * 1e6 / (double)n);
	free(domids);
	free(keys.path);
	free(keys.first);
}

static void test_one(unsigned long n, char **args)
{
	uint64_t trips = drover_config_round_trips(b.config);
	double start = now_s(), now = start;
	uint32_t domid = (uint32_t)(n + 1) / 2;
	unsigned long done;

	(void)args;
	for (done = 0; now < start + b.seconds; done++) {
		struct drover_domain_config *config = NULL;
		int r = drover_config_retrieve(b.config, domid, DROVER_VIEW_LIVE, 0, &config);

		check(config, r);
		now = now_s();
	}
	print(n, "ours/s", (double)done / (now - start));
	trips = drover_config_round_trips(b.config) - trips;
	print(n, "trips", (double)trips / (double)done);
}

static void test_libxl(unsigned long n, char **args)
{
	char command[8192], line[256];
	unsigned long done;
	double s;
	FILE *p;

	if (access(args[0], X_OK))
		return; /* built only where libxl's headers are */
	snprintf(command, sizeof(command),
		 "DROVER_SIM_DIR='%s' XENSTORED_PATH='%s' exec '%s' bench %.0f %lu", b.dir,
		 b.socket, args[0], b.seconds * 1e3, (n + 1) / 2);
	p = popen(command, "re");
	if (!p || !fgets(line, sizeof(line), p) ||
	    sscanf(line, "retrieved %lu in %lf s", &done, &s) != 2 || pclose(p))
		die(args[0], "libxl did not retrieve the domain");
	print(n, "libxl/s", (double)done / s);
}

/* ---- */

static const struct {
	const char *name;
	int min_args;
	void (*run)(unsigned long n, char **args);
} tests[] = {
	{ "fill", 1, test_fill },
	{ "list", 1, test_list },
	{ "one", 1, test_one },
	{ "libxl", 2, test_libxl },
};

static void open_all(void)
{
	struct drover_config_options opt = { .size = sizeof(opt), .store = b.socket };

	snprintf(b.userdata, sizeof(b.userdata), "%s/lib", b.dir);
	opt.userdata = b.userdata;
	if (drover_config_open(&opt, &b.config))
		die("open", drover_config_error(b.config));
	if (conf_client_open(b.socket, 10000, &b.err, &b.client))
		die("open", b.err.text);
}

static int usage(void)
{
	fputs("usage: bench-config [-p PID] [-t SECONDS] -d DIRECTORY SOCKET fill|list|one|libxl "
	      "N [XLCONF]\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "+p:t:d:")) != -1)
		switch (c) {
		case 'p':
			b.meter.server = (pid_t)strtol(optarg, NULL, 10);
			break;
		case 't':
			b.seconds = strtod(optarg, NULL);
			break;
		case 'd':
			b.dir = optarg;
			break;
		default:
			return usage();
		}
	if (argc - optind < 3 || !b.dir || b.seconds <= 0)
		return usage();
	b.socket = argv[optind++];
	b.test = argv[optind++];
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(tests[i].name, b.test) || argc - optind < tests[i].min_args)
			continue;
		open_all();
		tests[i].run(strtoul(argv[optind], NULL, 10), argv + optind + 1);
		conf_client_close(b.client);
		drover_config_close(b.config);
		return 0;
	}
	return usage();
}
