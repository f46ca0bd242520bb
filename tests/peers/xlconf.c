/* SPDX-License-Identifier: MIT */
/*
 * libxl's own answers, to hold ours against:
 *
 *   xlconf canon FILE       a record read and written by libxl; needs neither store nor domains
 *   xlconf retrieve DOMID   libxl_retrieve_domain_configuration
 *   xlconf attach DOMID CLASS ENTRY
 *                           attaches a device, as the record has it: any class that libxl can
 *                           attach to a domain that runs, also those xl has no words for
 *   xlconf bench MS DOMID…  retrieves the domains in turn for so many milliseconds, at least each
 *                           once: "retrieved N in S s: R domains/s"
 *
 * The shim is linked in (xlshim.c, redirect.c): DROVER_SIM_DIR says which host, XENSTORED_PATH
 * which store. Exit status 0, 2 (words), 3 (libxl refused).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libxl.h>
#include <libxl_utils.h>

#define USAGE                                                                                      \
	"usage: xlconf canon FILE | retrieve DOMID | attach DOMID CLASS ENTRY | "                  \
	"bench MS DOMID...\n"

static int fail(const char *what, const char *of, int rc)
{
	fprintf(stderr, "xlconf: %s %s: %d\n", what, of, rc);
	return 3;
}

static int config_print(libxl_ctx *ctx, libxl_domain_config *config)
{
	char *text = libxl_domain_config_to_json(ctx, config);

	if (!text)
		return fail("print", "the configuration", 0);
	fputs(text, stdout);
	putchar('\n');
	free(text);
	return 0;
}

static int canon(libxl_ctx *ctx, const char *path)
{
	libxl_domain_config config;
	void *data;
	char *text;
	int len, rc;

	rc = libxl_read_file_contents(ctx, path, &data, &len);
	if (rc)
		return fail("read", path, rc);
	text = realloc(data, (size_t)len + 1);
	if (!text)
		return fail("read", path, ENOMEM);
	text[len] = '\0';
	libxl_domain_config_init(&config);
	rc = libxl_domain_config_from_json(ctx, &config, text);
	rc = rc ? fail("parse", path, rc) : config_print(ctx, &config);
	libxl_domain_config_dispose(&config);
	free(text);
	return rc;
}

static int retrieve(libxl_ctx *ctx, const char *domid, bool print)
{
	libxl_domain_config config;
	int rc;

	libxl_domain_config_init(&config);
	rc = libxl_retrieve_domain_configuration(ctx, (uint32_t)atoi(domid), &config, NULL);
	if (rc)
		rc = fail("retrieve", domid, rc);
	else if (print)
		rc = config_print(ctx, &config);
	libxl_domain_config_dispose(&config);
	return rc;
}

/* ---- devices ---- */

#define ATTACH(class)                                                                              \
	static int attach_##class(libxl_ctx * ctx, uint32_t domid, const char *entry)              \
	{                                                                                          \
		libxl_device_##class device;                                                       \
		int rc;                                                                            \
                                                                                                   \
		libxl_device_##class##_init(&device);                                              \
		rc = libxl_device_##class##_from_json(ctx, &device, entry);                        \
		rc = rc ? rc : libxl_device_##class##_add(ctx, domid, &device, NULL);              \
		libxl_device_##class##_dispose(&device);                                           \
		return rc;                                                                         \
	}

ATTACH(disk)
ATTACH(nic)
ATTACH(vtpm)
ATTACH(usbctrl)
ATTACH(vfb)
ATTACH(vkb)
ATTACH(vdispl)
ATTACH(vsnd)

static const struct {
	const char *class;
	int (*attach)(libxl_ctx *ctx, uint32_t domid, const char *entry);
} classes[] = {
	{ "vbd", attach_disk },	 { "vif", attach_nic },		{ "vtpm", attach_vtpm },
	{ "vfb", attach_vfb },	 { "usbctrl", attach_usbctrl }, { "vkb", attach_vkb },
	{ "vsnd", attach_vsnd }, { "vdispl", attach_vdispl },
};

static int attach(libxl_ctx *ctx, char **words)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		int rc;

		if (strcmp(classes[i].class, words[1]) != 0)
			continue;
		rc = classes[i].attach(ctx, (uint32_t)atoi(words[0]), words[2]);
		return rc ? fail("attach", words[2], rc) : 0;
	}
	return fail("attach", words[1], EINVAL);
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int bench(libxl_ctx *ctx, double ms, char **domids, int n)
{
	double start = now_s(), end = start + ms / 1e3, now = start;
	unsigned long done = 0;
	int rc;

	while (now < end || done < (unsigned long)n) {
		rc = retrieve(ctx, domids[done % (unsigned long)n], false);
		if (rc)
			return rc;
		done++;
		now = now_s();
	}
	printf("retrieved %lu in %.3f s: %.1f domains/s\n", done, now - start,
	       (double)done / (now - start));
	return 0;
}

int main(int argc, char **argv)
{
	xentoollog_logger_stdiostream *log;
	libxl_ctx *ctx;
	int rc = 2;

	if (argc < 3 || (argc < 4 && !strcmp(argv[1], "bench"))) {
		fputs(USAGE, stderr);
		return 2;
	}
	if (!strcmp(argv[1], "canon"))
		setenv("DROVER_NO_STORE", "1", 1);
	log = xtl_createlogger_stdiostream(stderr, XTL_WARN, 0);
	rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, (xentoollog_logger *)log);
	if (rc)
		return fail("open", "libxl", rc);
	if (!strcmp(argv[1], "canon"))
		rc = canon(ctx, argv[2]);
	else if (!strcmp(argv[1], "retrieve"))
		rc = retrieve(ctx, argv[2], true);
	else if (!strcmp(argv[1], "attach") && argc == 5)
		rc = attach(ctx, argv + 2);
	else if (!strcmp(argv[1], "bench"))
		rc = bench(ctx, atof(argv[2]), argv + 3, argc - 3);
	else
		rc = (fputs(USAGE, stderr), 2);
	libxl_ctx_free(ctx);
	xtl_logger_destroy((xentoollog_logger *)log);
	return rc;
}
