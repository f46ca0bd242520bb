/* SPDX-License-Identifier: MIT */
/*
 * libdrover-config's dealings with xl's words, for xl_test.py:
 *
 *   xl-print file FILE            a record's JSON as a file for xl; on stderr what that cannot say
 *   xl-print words CLASS WORDS…   for each a line: a device's JSON, or "!" and the error
 *
 * Exit status 0, 2 (usage), 3 (the library refused).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drover/config.h"

static char *read_file(const char *path, size_t *ret_len)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;
	ssize_t len;

	if (!f)
		return NULL;
	len = getdelim(&text, &room, EOF, f);
	fclose(f);
	if (len < 0) {
		free(text);
		return NULL;
	}
	*ret_len = (size_t)len;
	return text;
}

static int print_file(struct drover_config *c, const char *path)
{
	struct drover_domain_config *config;
	char *text, *lost;
	size_t len;
	int r;

	text = read_file(path, &len);
	if (!text) {
		perror(path);
		return 3;
	}
	r = drover_domain_config_from_json(c, text, len, &config);
	free(text);
	if (r) {
		fprintf(stderr, "%s: %s\n", path, drover_config_error(c));
		return 3;
	}
	r = drover_domain_config_to_xl(config, &text, &lost);
	drover_domain_config_free(config);
	if (r) {
		fprintf(stderr, "%s: %s\n", path, strerror(-r));
		return 3;
	}
	fputs(text, stdout);
	fputs(lost, stderr);
	free(text);
	free(lost);
	return 0;
}

static int print_words(struct drover_config *c, const char *class_name, const char *words)
{
	struct drover_device *device;
	char *text;
	int r = drover_device_new(class_name, &device), status = 0;

	if (r) {
		fprintf(stderr, "%s: %s\n", class_name, strerror(-r));
		return 3;
	}
	r = drover_device_set_xl(c, device, words);
	if (r) {
		printf("! %s\n", drover_config_error(c));
	} else {
		r = drover_device_to_json(device, &text);
		if (!r)
			puts(text);
		status = r ? 3 : 0;
		free(r ? NULL : text);
	}
	drover_device_free(device);
	return status;
}

int main(int argc, char **argv)
{
	/* Nobody listens there: all that is wanted of the session is its line about an error. */
	const struct drover_config_options opt = { .size = sizeof(opt), .store = "/nowhere" };
	struct drover_config *c = NULL;
	int status = 2;

	(void)drover_config_open(&opt, &c);
	if (!c)
		return 3;
	if (argc == 3 && !strcmp(argv[1], "file")) {
		status = print_file(c, argv[2]);
	} else if (argc > 3 && !strcmp(argv[1], "words")) {
		status = 0;
		for (int i = 3; !status && i < argc; i++)
			status = print_words(c, argv[2], argv[i]);
	} else {
		fputs("usage: xl-print file FILE | words CLASS WORDS...\n", stderr);
	}
	drover_config_close(c);
	return status;
}
