/* SPDX-License-Identifier: MIT */
/*
 * Access lists: entry 0 names the owner and everybody's default, the others one domain each
 * (xenstore.txt, SET_PERMS). Lists are shared: a table holds each distinct list once, so that a
 * node costs a pointer, and so that a dead domain's id is taken out of all lists at once.
 */
#ifndef DROVER_PERM_PERM_H
#define DROVER_PERM_PERM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"

#define PERM_READ 1u
#define PERM_WRITE 2u
#define PERM_OWNER 4u

#define PERM_NO_DOMID 0x10000u /* "no target" where a domid is an uint32_t */
#define PERM_DOMID_ANY 0x7ff5u /* an entry for whoever has none of his own */
#define PERMS_PRINT_MAX 8u     /* octets of one printed entry with its NUL: "b65535" */

struct perm {
	uint16_t domid;
	uint8_t bits; /* PERM_READ | PERM_WRITE */
};

/* One entry of one list, found by its domid. */
struct perm_link {
	struct perm_link *next; /* borrowed */
	struct perm_link **at;	/* what points to this one; NULL: stripped */
	struct perms *list;	/* borrowed: the list it is part of */
};

/* An interned list: immutable but for perm_table_strip. */
struct perms {
	struct perms *next; /* borrowed: hash chain */
	uint64_t hash;
	uint32_t refs;
	uint32_t n;		/* >= 1 */
	uint32_t n_links;	/* entries 1… it was made with */
	struct perm_link *link; /* n_links of them, in the same block */
	struct perm entry[];
};

struct perm_table;

/* key: the keyed hash's. NULL where memory is out. */
struct perm_table *perm_table_new(const struct siphash_key *key);
/* All lists must have been released. Accepts NULL. */
void perm_table_free(struct perm_table *t);
/* Distinct lists held. */
size_t perm_table_count(const struct perm_table *t);

/*
 * The list of n >= 1 entries, shared: *ret is the caller's reference. -ENOMEM.
 */
int perms_intern(struct perm_table *t, const struct perm *entry, size_t n, struct perms **ret);

/* list with its owner replaced; *ret is the caller's reference. -ENOMEM. */
int perms_intern_owner(struct perm_table *t, const struct perms *list, uint16_t owner,
		       struct perms **ret);

static inline struct perms *perms_take(struct perms *p)
{
	p->refs++;
	return p;
}

void perms_release(struct perm_table *t, struct perms *p);

static inline uint16_t perms_owner(const struct perms *p)
{
	return p->entry[0].domid;
}

/*
 * What domid may do: PERM_* bits. target: the domain it acts for, PERM_NO_DOMID for none. The
 * owner may everything; else the first entry that names domid, target or PERM_DOMID_ANY counts,
 * else entry 0's.
 */
unsigned int perms_bits(const struct perms *p, uint16_t domid, uint32_t target);

/* Same entries. A stripped list may equal another one without being it. */
bool perms_equal(const struct perms *a, const struct perms *b);

/*
 * Takes domid out of every list's entries 1…: whoever gets the id next inherits nothing (XSA-322).
 * Entry 0 stays: nodes that the domain owns are removed by the caller. The cost is that of the
 * distinct lists that name it, not of the nodes which share them. True where a list changed.
 */
bool perm_table_strip(struct perm_table *t, uint16_t domid);

/*
 * One entry from its letter and domid, e.g. "b12". EINVAL otherwise.
 */
int perm_parse(const char *str, size_t len, struct perm *ret);

/* str, PERMS_PRINT_MAX octets, gets the entry's text; its length without NUL is returned. */
size_t perm_print(const struct perm *p, char *str);

#endif
