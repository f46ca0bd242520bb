/* SPDX-License-Identifier: MIT */
/*
 * Tables for people: aligned columns that keep to a terminal's width by wrapping cells, and rows
 * in colour.
 */
#ifndef DROVER_CLI_CONFIG_TABLE_H
#define DROVER_CLI_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CONFIG_COLUMNS 8 /* of a table at most */
#define CONFIG_NARROW 8	 /* a column is not made narrower than this to fit a terminal */

struct config_column {
	const char *title; /* borrowed */
	bool right;	   /* aligned so */
};

enum config_tint { CONFIG_PLAIN, CONFIG_GREEN, CONFIG_RED, CONFIG_YELLOW, CONFIG_BOLD };

struct config_row {
	char *cell[CONFIG_COLUMNS]; /* owned; escaped */
	enum config_tint tint;
};

struct config_table {
	const struct config_column *columns; /* borrowed */
	size_t n_columns;
	struct config_row *rows; /* owned */
	size_t n, room;
};

/* n_columns of at most CONFIG_COLUMNS. */
void config_table_init(struct config_table *t, const struct config_column *columns,
		       size_t n_columns);
void config_table_fini(struct config_table *t);

/* One more row: cells as many as columns, copied with what does not print escaped; NULL is "". */
void config_table_add(struct config_table *t, enum config_tint tint, const char *const *cells);

/*
 * The table with its titles; width: columns of the screen, 0 for no end. Lines have no spaces at
 * their end. Where it does not fit, the widest columns give way and their cells are wrapped.
 */
void config_table_print(FILE *to, const struct config_table *t, unsigned int width, bool colour);

/* A line in a tint, with its newline. */
void config_tint_line(FILE *to, enum config_tint tint, bool colour, const char *line);

/* Of standard output: its columns, or 0 where it is no terminal; whether colours are welcome. */
unsigned int config_screen_width(void);
bool config_screen_colour(void);

#endif
