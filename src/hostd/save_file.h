/* SPDX-License-Identifier: MIT */
/*
 * A saved guest as a file (docs/save.md): two places for a head, then definition, memory and the
 * guest's part of the store, each where the head says, with its length and checksum. A head is
 * written last of all, so a file that has one is whole; the definition is changed by one more
 * behind the rest, and the other head.
 *
 * All of it may block, and is for a thread of its own. Nothing in a file is believed: whoever can
 * name one may have written it.
 *
 * What fails is > 0, an errno, with text (room octets) that names the file's part: EBADMSG: it is
 * no saved guest, or is damaged; EFBIG; ENOSPC and the system's other errors. < 0: -ENOMEM.
 */
#ifndef DROVER_HOSTD_SAVE_FILE_H
#define DROVER_HOSTD_SAVE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/def.h"

#define SAVE_MAGIC "DrvrSave"
#define SAVE_VERSION 1u
#define SAVE_HEAD_SIZE 256u /* octets of a head */
#define SAVE_HEADS 2u
#define SAVE_HEAD_STEP 4096u			   /* octets from one head's place to the next */
#define SAVE_DATA_AT (SAVE_HEADS * SAVE_HEAD_STEP) /* where the first part may begin */
#define SAVE_CHUNK (1u << 20) /* octets of which one step of a checksum is made */
#define SAVE_BACKEND_MAX 16u  /* octets of a backend's name and its NUL */
#define SAVE_ID_SIZE 16u

struct save_part {
	uint64_t at, len; /* octets */
	uint64_t sum;	  /* save_sum_begin, then save_sum_add of each SAVE_CHUNK */
};

struct save_head {
	uint32_t generation; /* 1: as it was saved; then one more with each change */
	bool running;	     /* before it was saved */
	uint8_t uuid[DEF_UUID_SIZE];
	uint8_t id[SAVE_ID_SIZE]; /* of this saving alone */
	uint64_t epoch;		  /* in which it ran */
	uint64_t saved_s;	  /* Unix epoch */
	char backend[SAVE_BACKEND_MAX];
	struct save_part xml, memory, store; /* store.len 0: it was in none */
};

static inline uint64_t save_sum_begin(void)
{
	return 0;
}
/* len: SAVE_CHUNK, and less for the last one only. */
uint64_t save_sum_add(uint64_t sum, const void *chunk, size_t len);
/* Of all of it at once. */
uint64_t save_sum(const void *data, size_t len);

void save_head_print(const struct save_head *h, uint8_t out[SAVE_HEAD_SIZE]);
/* file_size: octets there are. 0; EBADMSG. */
int save_head_parse(const uint8_t in[SAVE_HEAD_SIZE], uint64_t file_size, struct save_head *ret,
		    char *text, size_t room);
/* Of both heads the later one that is sound. 0; EBADMSG. */
int save_heads_parse(const uint8_t in[SAVE_DATA_AT], uint64_t file_size, struct save_head *ret,
		     char *text, size_t room);

/*
 * Begins a file under a name of its own: the definition is in it, h->xml and h->memory.at are set,
 * no head. path is where it is to be in the end: EEXIST: something is there that is no file.
 * *ret_fd is the caller's.
 */
int save_file_begin(const char *part, const char *path, const char *xml, size_t xml_len,
		    struct save_head *h, int *ret_fd, char *text, size_t room);
/* Memory is in it, h->memory says so; adds the store's part and the head: all is on disk then. */
int save_file_finish(int fd, struct save_head *h, const uint8_t *store, size_t store_len,
		     char *text, size_t room);
/* part becomes path, durably, in place of what was there; or part stays and path is not it. */
int save_file_commit(const char *part, const char *path, char *text, size_t room);
/* Removes it, durably. 0 also where there is none. */
int save_file_remove(const char *path, char *text, size_t room);

/* Opens a whole one. *ret_fd is the caller's. EBUSY: somebody else has it for writing. */
int save_file_open(const char *path, bool for_writing, int *ret_fd, struct save_head *ret,
		   char *text, size_t room);
/* A part of at most max octets, whole and undamaged, with a NUL behind it; to be freed. what names
 * it in text. */
int save_file_read(int fd, const struct save_part *part, uint64_t max, const char *what,
		   uint8_t **ret, char *text, size_t room);
/* Another definition: durable on return, or the former one holds. */
int save_file_define(int fd, struct save_head *h, const char *xml, size_t len, char *text,
		     size_t room);
/* What was done to the directory that path is in is on disk. 0; > 0. */
int save_file_sync(const char *path);

#endif
