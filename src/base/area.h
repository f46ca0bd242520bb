/* SPDX-License-Identifier: MIT */
/*
 * An area: memory that may be shared with a file and then outlives the process. It hands out
 * blocks, named by 32-bit references that mean the same to whoever attaches the file later.
 * Pointers stay valid as the area grows.
 *
 * What is in use and what is free only the process knows: the file holds blocks, each with its
 * size, and a header with a few roots. Who attaches claims every block that it can reach, settles,
 * and whatever nobody claimed is free again. So nothing has to be written to the file when a block
 * is released, and a process that dies between two stores leaves no damage and no leak.
 *
 * Nothing in the file is believed: a claim is checked against the area's size and all other claims.
 */
#ifndef DROVER_BASE_AREA_H
#define DROVER_BASE_AREA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AREA_UNIT 64u		   /* octets that a reference counts in */
#define AREA_BLOCK_MAX (32u << 20) /* the largest block, with its head */
#define AREA_MAX (4ull << 30)	   /* octets of an area; address space is reserved for so many */
#define AREA_ROOTS 16u
#define AREA_USER_SIZE 1024u
#define AREA_BOOT_SIZE 40u

struct area;

/*
 * A fresh area in the empty file fd, or in memory of the process alone: fd -1. fd is borrowed and
 * stays open as long as the area. boot_id, shorter than AREA_BOOT_SIZE, says which boot it belongs
 * to. -ENOMEM, or the file's error.
 */
int area_new(int fd, const char *boot_id, struct area **ret);

/*
 * The area that is in fd. Not writable: a store to it is a bug (and a fault) until area_own. Until
 * area_settle, blocks can be claimed and none allocated.
 * ESTALE: empty, of another boot, or of another version of this program. EINVAL: not an area, or
 * damaged. -ENOMEM, or the file's error.
 */
int area_attach(int fd, const char *boot_id, bool writable, struct area **ret);

/*
 * Makes an attached area writable, with what it has grown by meanwhile. < 0: the system's error,
 * or -EIO: it has shrunk.
 */
int area_own(struct area *a);

/*
 * The file keeps what is in it now: what is stored from now on stays in this process. For who is
 * about to take apart what another process will go on with. < 0: the system's error.
 */
int area_disown(struct area *a);

/* Lets go of the memory; the file keeps what is in it. Accepts NULL. */
void area_free(struct area *a);

/*
 * A block with room for size octets, aligned to 16, its contents undefined. The file has the space
 * before anything is written to it, so a full file system is told here. 0: no memory.
 */
uint32_t area_alloc(struct area *a, size_t size);
/* Accepts 0. */
void area_release(struct area *a, uint32_t ref);

/* Where a block's octets are, and how many have room. */
void *area_at(const struct area *a, uint32_t ref);
size_t area_room(const struct area *a, uint32_t ref);
/* The reference of the block that area_at gave p for. NULL: 0. */
uint32_t area_ref(const struct area *a, const void *p);

/* A block that the former process had: in use. EINVAL: there can be none, or it is claimed. */
int area_claim(struct area *a, uint32_t ref);
/* What nobody claimed is free. */
void area_settle(struct area *a);

/*
 * Roots: references that whoever attaches starts from, 0 at first. Each belongs to one floor, which
 * says so in its header: CONN_AREA_ROOT, ... The rest of the header, AREA_USER_SIZE octets, zero
 * at first and aligned to 64, belongs to the journal.
 */
uint32_t *area_root(struct area *a, unsigned int i);
void *area_user(struct area *a);

/* Octets of the file, and of blocks in use. */
size_t area_size(const struct area *a);
size_t area_used(const struct area *a);

#endif
