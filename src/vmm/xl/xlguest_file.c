/* SPDX-License-Identifier: MIT */
/*
 * The files of the guest's directory, which is the working directory, that are this process's: the
 * record and the configuration. Invariant: a file is renamed into place, so that there is the old
 * or the new one. It outlives the process, not the host: then there is no domain either.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/xl/xl_files.h"
#include "vmm/xl/xlguest.h"

static const char *const phases[XLGUEST_PHASES] = {
	[XLGUEST_CREATING] = "creating",   [XLGUEST_WAITING] = "waiting",
	[XLGUEST_RESTORING] = "restoring", [XLGUEST_MADE] = "made",
	[XLGUEST_SENDING] = "sending",	   [XLGUEST_ENDING] = "ending",
};

int xlguest_file_write(const char *file, const char *text)
{
	size_t len = strlen(text);
	char temp[64];
	int fd, r = 0;

	snprintf(temp, sizeof(temp), ".%s.new", file);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, len) != (ssize_t)len || rename(temp, file) < 0) {
		r = errno ? -errno : -EIO;
		fprintf(stderr, "drover-xlguest: %s: %s\n", file, strerror(-r));
	}
	if (fd >= 0)
		close(fd);
	return r;
}

int xlguest_record_write(const struct xlguest *g)
{
	char text[XLGUEST_RECORD_MAX];

	snprintf(text, sizeof(text), "%s %d %d\n", phases[g->record.phase], g->record.domid,
		 g->record.received);
	return xlguest_file_write(XLGUEST_RECORD_FILE, text);
}

/* The whole file and a NUL; NULL: errno. To be freed. */
static char *file_read(const char *file, size_t max)
{
	int fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char *text = fd < 0 ? NULL : malloc(max + 1);
	size_t len = 0;
	ssize_t n = 1;

	while (text && len < max && (n = read(fd, text + len, max - len)) > 0)
		len += (size_t)n;
	if (text && (n < 0 || len == max)) {
		errno = n < 0 ? errno : EFBIG;
		free(text);
		text = NULL;
	} else if (text) {
		text[len] = '\0';
	}
	if (fd >= 0)
		close(fd);
	return text;
}

int xlguest_record_read(struct xlguest *g)
{
	char *text = file_read(XLGUEST_RECORD_FILE, XLGUEST_RECORD_MAX), word[16];
	int r = text ? -EBADMSG : -errno, domid, received;

	if (text && sscanf(text, "%15s %d %d", word, &domid, &received) == 3 && domid >= -1)
		for (int i = 0; i < XLGUEST_PHASES; i++)
			if (!strcmp(word, phases[i])) {
				g->record.phase = (enum xlguest_phase)i;
				g->record.domid = domid;
				g->record.received = received != 0;
				r = 0;
			}
	free(text);
	return r;
}

int xlguest_config_read(struct xlguest *g, int domid)
{
	char *json = file_read(XL_CONFIG_FILE, XLGUEST_CONFIG_MAX);
	int r = json ? 0 : -errno;

	if (g->has_config)
		libxl_domain_config_dispose(&g->config);
	libxl_domain_config_init(&g->config);
	g->has_config = true;
	if (json && libxl_domain_config_from_json(g->ctx, &g->config, json))
		r = -EINVAL;
	free(json);
	if (r < 0) {
		snprintf(g->log.error, sizeof(g->log.error), "its configuration cannot be read: %s",
			 strerror(-r));
		return r;
	}
	g->config.c_info.domid = domid < 0 ? (uint32_t)INVALID_DOMID : (uint32_t)domid;
	return 0;
}
