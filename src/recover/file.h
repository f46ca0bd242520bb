/* SPDX-License-Identifier: MIT */
/* A file that records are appended to, in memory: between journal.c and recover.c. */
#ifndef DROVER_RECOVER_FILE_H
#define DROVER_RECOVER_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "drover/image.h"

#define RECORD_FILE_CHUNK (1u << 20) /* octets that a file grows by */

struct record_file {
	int fd;		  /* borrowed */
	const char *name; /* for messages */
	uint8_t *map;	  /* owned mapping of JOURNAL_FILE_MAX octets of address space */
	size_t room;	  /* octets that the file has space for */
	size_t len;	  /* octets written */
};

/* -errno, logged. */
int record_file_open(struct record_file *f, int fd, const char *name, bool writable);
void record_file_close(struct record_file *f);

/* What was opened to be read can be written from now on. -errno. */
int record_file_own(struct record_file *f);

/* How much space the file has now, where somebody else writes it. -errno. */
int record_file_look(struct record_file *f);

/* Appends a record. -ENOMEM: no space; the file is as before. EINVAL cannot be. */
int record_file_put(struct record_file *f, const struct drover_record *rec);

/* Space for so many octets more. -ENOMEM: there is none; the file is as before. */
int record_file_reserve(struct record_file *f, size_t more);

/* Empty again; what is more than keep octets of space is given back. */
void record_file_empty(struct record_file *f, size_t keep);

/* How records of a journal are laid out: the machine's own order. */
const struct drover_image_format *journal_format(void);

#endif
