/* SPDX-License-Identifier: MIT */
/*
 * What the next boot starts: XENSTORED= in the settings that the scripts of Xen's own tools read.
 * Invariant: what the file said before is in it, in a comment, until it is restored; a file is
 * replaced as a whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/adopt.h"
#include "cli/command.h"

#define FORMERLY "# before drover adopt: "
#define MARK "# set by drover adopt; drover unadopt removes it\n"
#define UNIT "drover-xenstored.service"

/*
 * Debian's script starts what XENSTORED= names again whenever a package of Xen's is upgraded. This
 * one leaves a store that runs alone, and starts ours by its unit where there is systemd.
 */
#define STARTER "/usr/libexec/drover/xenstored-boot"
#define STARTED "/usr/sbin/drover-xenstored"

extern char **environ;

const char *adopt_boot_program(const char *file, const char *program, bool has_starter)
{
	const char *name = strrchr(file, '/');

	if (has_starter && !strcmp(name ? name + 1 : file, "xen") && !strcmp(program, STARTED))
		return STARTER;
	return program;
}

/* The value of NAME= in a line; NULL: it sets something else, or nothing. */
static const char *value_of(const char *line, const char *name)
{
	size_t len = strlen(name);

	line += strspn(line, " \t");
	if (!strncmp(line, "export ", strlen("export ")))
		line += strlen("export ");
	line += strspn(line, " \t");
	return !strncmp(line, name, len) && line[len] == '=' ? line + len + 1 : NULL;
}

static const char *line_end(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : line + strlen(line);
}

static void put_setting(FILE *to, const char *program)
{
	fprintf(to, MARK "XENSTORED=%s\n", program);
}

char *adopt_boot_edit(const char *text, const char *program)
{
	bool is_set = false, is_marked = false;
	char *ret = NULL;
	size_t len;
	FILE *to = open_memstream(&ret, &len);

	if (!to)
		return NULL;
	for (const char *line = text, *end; *line; line = end) {
		size_t n;

		end = line_end(line);
		n = (size_t)(end - line);
		if (!strncmp(line, MARK, strlen(MARK))) {
			is_marked = true;
			continue;
		}
		if (is_marked && value_of(line, "XENSTORED")) { /* ours */
			if (program)
				put_setting(to, program);
			is_set = true;
		} else if (program && value_of(line, "XENSTORED")) {
			fprintf(to, FORMERLY "%.*s", (int)n, line);
			if (line[n - 1] != '\n')
				fputc('\n', to);
			if (!is_set)
				put_setting(to, program);
			is_set = true;
		} else if (!strncmp(line, FORMERLY, strlen(FORMERLY)) && !program) {
			fwrite(line + strlen(FORMERLY), 1, n - strlen(FORMERLY), to);
		} else {
			fwrite(line, 1, n, to);
			if (program && line[n - 1] != '\n')
				fputc('\n', to);
		}
		is_marked = false; /* of the very next line */
	}
	if (program && !is_set)
		put_setting(to, program);
	if (!fclose(to))
		return ret;
	free(ret);
	return NULL;
}

bool adopt_boot_args(const char *text, char ret[ADOPT_TEXT_MAX])
{
	ret[0] = '\0';
	for (const char *line = text; *line; line = line_end(line)) {
		const char *value = value_of(line, "XENSTORED_ARGS");
		size_t n = value ? strcspn(value, "\n") : 0;

		if (!value)
			continue;
		if (n >= 2 && (*value == '"' || *value == '\'') && value[n - 1] == *value) {
			value++;
			n -= 2;
		}
		snprintf(ret, ADOPT_TEXT_MAX, "%.*s", (int)n, value);
	}
	return *ret != '\0';
}

static const char *boot_file(const struct adopt_boot *b)
{
	static const char *const files[] = { "/etc/default/xen", "/etc/default/xencommons",
					     "/etc/sysconfig/xencommons" };

	if (b->file)
		return b->file;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (!access(files[i], F_OK))
			return files[i];
	return NULL;
}

/* To be freed; NULL: told. */
static char *read_file(struct adopt_report *r, const char *path)
{
	char *text = cli_must(malloc(ADOPT_BOOT_FILE_MAX));
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, ADOPT_BOOT_FILE_MAX, f) : 0;
	int err = f ? 0 : errno;

	if (f && ferror(f))
		err = EIO;
	if (!err && (n == ADOPT_BOOT_FILE_MAX || memchr(text, '\0', n)))
		err = EFBIG;
	if (f)
		fclose(f);
	if (!err) {
		text[n] = '\0';
		return text;
	}
	adopt_tell(r, ADOPT_REFUSED, "boot", "%s: %s", path, strerror(err));
	free(text);
	return NULL;
}

/* Beside the file first, then in its place. 0 or an errno. */
static int write_file(const char *path, const char *text)
{
	char other[PATH_MAX];
	struct stat st;
	int fd, err = 0;
	FILE *f;

	if (stat(path, &st))
		return errno;
	if (snprintf(other, sizeof(other), "%s.drover-new", path) >= (int)sizeof(other))
		return ENAMETOOLONG;
	fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno;
	if (fchown(fd, st.st_uid, st.st_gid) || fchmod(fd, st.st_mode & 07777))
		err = errno;
	f = fdopen(fd, "w");
	if (!f) {
		close(fd);
		return ENOMEM;
	}
	if (fputs(text, f) < 0 || fflush(f) || fsync(fd))
		err = err ? err : errno;
	if (fclose(f))
		err = err ? err : errno;
	if (!err && rename(other, path))
		err = errno;
	if (err)
		unlink(other);
	return err;
}

static bool has_systemd(void)
{
	return !access("/run/systemd/system", F_OK);
}

static bool unit_exists(const char *unit)
{
	static const char *const dirs[] = { "/etc/systemd/system", "/lib/systemd/system",
					    "/usr/lib/systemd/system" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], unit);
		if (!access(path, F_OK))
			return true;
	}
	return false;
}

static bool systemctl(struct adopt_report *r, char *what, char *unit)
{
	char *argv[] = { "/bin/systemctl", what, unit, NULL };
	char said[ADOPT_OUTPUT_MAX];

	if (!unit_exists(unit) || !adopt_run(argv, environ, said))
		return true;
	adopt_tell(r, ADOPT_REFUSED, "boot", "systemctl %s %s: %s", what, unit, said);
	return false;
}

/* Words that the script will add have to be understood. */
static bool check_args(struct adopt_report *r, const char *path, const char *text,
		       const char *program)
{
	char args[ADOPT_TEXT_MAX], said[ADOPT_OUTPUT_MAX];
	struct adopt_words words;
	bool fine;

	if (!adopt_boot_args(text, args))
		return true;
	fine = adopt_words_for_ours(&words, NULL, program, args) &&
	       adopt_words_add(&words, "--help") && !adopt_run(words.at, environ, said);
	if (!fine)
		adopt_tell(r, ADOPT_REFUSED, "boot",
			   "%s: XENSTORED_ARGS=%s is not understood by %s: change it, or --no-boot",
			   path, args, program);
	adopt_words_fini(&words);
	return fine;
}

void adopt_boot_check(struct adopt_report *r, const struct adopt_boot *b, const char *program)
{
	const char *path = boot_file(b);
	char *text;

	if (b->none) {
		adopt_tell(r, ADOPT_WARNING, "boot", "is left as it is: --no-boot");
		return;
	}
	if (!path) {
		if (has_systemd() && unit_exists(UNIT))
			adopt_tell(r, ADOPT_FINE, "boot", "%s", UNIT);
		else
			adopt_tell(r, ADOPT_WARNING, "boot",
				   "neither settings of Xen's scripts nor %s: what starts the "
				   "store at boot has to be changed by hand",
				   UNIT);
		return;
	}
	text = read_file(r, path);
	if (!text)
		return;
	if (access(path, W_OK))
		adopt_tell(r, ADOPT_REFUSED, "boot", "%s: %s", path, strerror(errno));
	else if (!program || check_args(r, path, text, program))
		adopt_tell(r, ADOPT_FINE, "boot", "XENSTORED= in %s", path);
	free(text);
}

static void set_unit(struct adopt_report *r, bool ours)
{
	if (!has_systemd() || !unit_exists(UNIT))
		return;
	if (systemctl(r, ours ? "disable" : "enable", "xenstored.service") &&
	    systemctl(r, ours ? "enable" : "disable", UNIT))
		adopt_tell(r, ADOPT_FINE, "boot", "%s %s", UNIT, ours ? "enabled" : "disabled");
}

void adopt_boot_set(struct adopt_report *r, const struct adopt_boot *b, const char *program)
{
	const char *path = boot_file(b);
	char *text, *edited;
	int err;

	if (b->none)
		return;
	if (!path) {
		set_unit(r, program != NULL);
		return;
	}
	if (program)
		program = adopt_boot_program(path, program, !access(STARTER, X_OK));
	text = read_file(r, path);
	if (!text)
		return;
	edited = cli_must(adopt_boot_edit(text, program));
	err = strcmp(text, edited) ? write_file(path, edited) : 0;
	if (err)
		adopt_tell(r, ADOPT_REFUSED, "boot", "%s: %s", path, strerror(err));
	else if (program)
		adopt_tell(r, ADOPT_FINE, "boot", "%s says XENSTORED=%s", path, program);
	else
		adopt_tell(r, ADOPT_FINE, "boot", "%s is as before adoption", path);
	free(text);
	free(edited);
}
