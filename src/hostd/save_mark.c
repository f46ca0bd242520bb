/* SPDX-License-Identifier: MIT */
/*
 * The mark of a saving or restoring in its guest's directory: one line of numbers, then the file's
 * path. Invariant: it is there before anything that a later daemon would have to undo.
 *
 *   save <id> <was_running> <managed>\n<path>
 *   restore <id> <to be run> <managed>\n<path>
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "hostd/defs.h"
#include "hostd/save_own.h"

#define MARK_HEAD_MAX 64u /* octets of its first line */

static void text_freep(char **p)
{
	free(*p);
}

int save_mark_write(const struct save *s)
{
	CLEANUP(text_free) char *text = NULL;
	int n = asprintf(&text, "%s %s %d %d\n%s", s->restore ? "restore" : "save", s->id,
			 s->was_running, s->managed, s->path);

	if (n < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return defs_file_write(vmm_guest_dir(s->dom->guest), SAVE_MARK_FILE, text, (size_t)n);
}

void save_mark_remove(const struct save *s)
{
	char *path = NULL;

	if (!s->dom->guest ||
	    asprintf(&path, "%s/%s", vmm_guest_dir(s->dom->guest), SAVE_MARK_FILE) < 0)
		return;
	unlink(path);
	free(path);
}

static bool parse(struct save *s, const char *text)
{
	const char *path = strchr(text, '\n');
	char head[MARK_HEAD_MAX], what[8];
	int running, managed;

	if (!path || (size_t)(path - text) >= sizeof(head) || path[1] != '/')
		return false;
	memcpy(head, text, (size_t)(path - text));
	head[path - text] = '\0';
	if (sscanf(head, "%7s %36s %1d %1d", what, s->id, &running, &managed) != 4 ||
	    !def_uuid_parse(s->id, s->head.id))
		return false;
	s->restore = !strcmp(what, "restore");
	s->was_running = running;
	s->managed = managed;
	return (s->restore || !strcmp(what, "save")) && save_set_path(s, path + 1);
}

bool save_mark_read(struct save *s, const char *dir)
{
	CLEANUP(text_free) char *text = NULL;
	size_t len;
	int r = defs_file_read(dir, SAVE_MARK_FILE, &text, &len);

	if (r == ENOENT)
		return false;
	if (!r && parse(s, text))
		return true;
	log_error("%s/%s: cannot be understood", dir, SAVE_MARK_FILE);
	return false;
}
