/* SPDX-License-Identifier: MIT */
/*
 * Tables for people. Invariant: what is printed is ASCII that moves no cursor, whatever the cells
 * were made of; nothing of a cell is left out, it takes more lines instead.
 */
#include "cli/config_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/text.h"

#define GAP 2u /* spaces between columns */

void config_table_init(struct config_table *t, const struct config_column *columns,
		       size_t n_columns)
{
	assert(n_columns && n_columns <= CONFIG_COLUMNS);
	*t = (struct config_table){ .columns = columns, .n_columns = n_columns };
}

void config_table_fini(struct config_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		for (size_t c = 0; c < t->n_columns; c++)
			free(t->rows[i].cell[c]);
	free(t->rows);
	*t = (struct config_table){ 0 };
}

void config_table_add(struct config_table *t, enum config_tint tint, const char *const *cells)
{
	struct config_row *row;

	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 16;
		t->rows = cli_must(reallocarray(t->rows, t->room, sizeof(*t->rows)));
	}
	row = &t->rows[t->n++];
	*row = (struct config_row){ .tint = tint };
	for (size_t c = 0; c < t->n_columns; c++) {
		const char *cell = cells[c] ? cells[c] : "";

		row->cell[c] = cli_text_escape(cell, strlen(cell), false);
	}
}

static void table_widths(const struct config_table *t, unsigned int screen, size_t *width)
{
	size_t total = GAP * (t->n_columns - 1);

	for (size_t c = 0; c < t->n_columns; c++) {
		width[c] = strlen(t->columns[c].title);
		for (size_t i = 0; i < t->n; i++) {
			size_t len = strlen(t->rows[i].cell[c]);

			width[c] = len > width[c] ? len : width[c];
		}
		total += width[c];
	}
	while (screen && total > screen) {
		size_t widest = 0;

		for (size_t c = 1; c < t->n_columns; c++)
			if (width[c] > width[widest])
				widest = c;
		if (width[widest] <= CONFIG_NARROW)
			return;
		width[widest]--;
		total--;
	}
}

/*
 * The part of a cell for a line of that width: *ret_len octets of it. Returns the rest, where the
 * space that it was broken at is no more.
 */
static const char *cell_break(const char *cell, size_t width, size_t *ret_len)
{
	size_t len = strlen(cell), at = width;

	*ret_len = len;
	if (len <= width)
		return cell + len;
	while (at && cell[at] != ' ')
		at--;
	*ret_len = at ? at : width;
	return cell + *ret_len + (at ? 1 : 0);
}

static const char *tint_begin(enum config_tint tint)
{
	static const char *const begin[] = { "", "\033[32m", "\033[31m", "\033[33m", "\033[1m" };

	return begin[tint];
}

void config_tint_line(FILE *to, enum config_tint tint, bool colour, const char *line)
{
	if (colour && tint != CONFIG_PLAIN)
		fprintf(to, "%s%s\033[m\n", tint_begin(tint), line);
	else
		fprintf(to, "%s\n", line);
}

/* One row, of as many lines as its longest cell takes. */
static void row_print(FILE *to, const struct config_table *t, const size_t *width,
		      const char *const *cells, enum config_tint tint, bool colour)
{
	const char *rest[CONFIG_COLUMNS];
	size_t room = GAP * t->n_columns + 1, left;
	char *line;

	for (size_t c = 0; c < t->n_columns; c++) {
		rest[c] = cells[c];
		room += width[c];
	}
	line = cli_must(malloc(room));
	do {
		size_t at = 0;

		left = 0;
		for (size_t c = 0; c < t->n_columns; c++) {
			const char *from = rest[c];
			size_t len, before;

			rest[c] = cell_break(from, width[c], &len);
			left += strlen(rest[c]);
			before = t->columns[c].right ? width[c] - len : 0;
			memset(line + at, ' ', width[c] + GAP);
			memcpy(line + at + before, from, len);
			at += width[c] + GAP;
		}
		while (at && line[at - 1] == ' ')
			at--;
		line[at] = '\0';
		config_tint_line(to, tint, colour, line);
	} while (left);
	free(line);
}

void config_table_print(FILE *to, const struct config_table *t, unsigned int width, bool colour)
{
	const char *titles[CONFIG_COLUMNS];
	size_t widths[CONFIG_COLUMNS];

	table_widths(t, width, widths);
	for (size_t c = 0; c < t->n_columns; c++)
		titles[c] = t->columns[c].title;
	row_print(to, t, widths, titles, CONFIG_BOLD, colour);
	for (size_t i = 0; i < t->n; i++)
		row_print(to, t, widths, (const char *const *)t->rows[i].cell, t->rows[i].tint,
			  colour);
}

unsigned int config_screen_width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		return 0;
	return size.ws_col;
}

bool config_screen_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}
