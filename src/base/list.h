/* SPDX-License-Identifier: MIT */
/*
 * Intrusive doubly linked lists. A link that is on no list points to itself, so removing it
 * twice is harmless.
 */
#ifndef DROVER_BASE_LIST_H
#define DROVER_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/own.h"

struct list {
	struct list *next;
	struct list *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
	return l->next == l;
}

static inline void list_append(struct list *head, struct list *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static inline void list_remove(struct list *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	list_init(l);
}

/* The first entry as its type, NULL when empty. */
#define list_first(head, type, member)                                                             \
	(list_is_empty(head) ? NULL : CONTAINER_OF((head)->next, type, member))

/* Visits each entry; the current one may be removed, others may not. */
#define list_for_each(it, head, member)                                                            \
	for (struct list *it##_l = (head)->next, *it##_n = it##_l->next;                           \
	     it##_l != (head) && ((it) = CONTAINER_OF(it##_l, __typeof__(*(it)), member), 1);      \
	     it##_l = it##_n, it##_n = it##_l->next)

#endif
