/* SPDX-License-Identifier: MIT */
/*
 * Destructors in slices. A reference on a stack stands for a whole subtree: popping one node
 * pushes its links, so that a tree of any depth or size goes without recursion, a bounded number
 * of nodes between two rounds. Invariant: each node of a charged subtree is given back exactly
 * once, whether or not a snapshot still shares it.
 */
#include <assert.h>
#include <stdlib.h>

#include "store/store.h"

static bool stack_reserve(struct reap_stack *st, size_t more)
{
	size_t room = st->room ? st->room : 64;
	struct node **p;

	while (room < st->n + more)
		room *= 2;
	if (room == st->room)
		return true;
	p = realloc(st->item, room * sizeof(struct node *));
	if (!p)
		return false;
	st->item = p;
	st->room = room;
	return true;
}

static void stack_push(struct reap_stack *st, struct node *n)
{
	if (n)
		st->item[st->n++] = n;
}

/* Lets go of n, whose links go to the stack with a reference each. Room for three is there. */
static void release_one(struct store *s, struct reap_stack *st, struct node *n, bool charged)
{
	if (charged) {
		const struct tree *t = &s->live;

		if (t->ops && t->ops->charge)
			t->ops->charge(t->data, perms_owner(n->perms), -1,
				       -(int64_t)node_charge(n));
	}
	if (n->refs == 1) {
		stack_push(st, n->left);
		stack_push(st, n->right);
		stack_push(st, n->kids);
		n->refs = 0;
		node_free_alone(&s->heap, n);
		return;
	}
	n->refs--;
	if (!charged)
		return; /* somebody else's now, with all below */
	s->heap.retained += sizeof(*n) + n->name_len + n->value_len;
	stack_push(st, node_take(n->left));
	stack_push(st, node_take(n->right));
	stack_push(st, node_take(n->kids));
}

static size_t stack_reap(struct store *s, struct reap_stack *st, bool charged, size_t max)
{
	size_t done = 0;

	/* a stack that cannot grow now waits for the next slice */
	while (st->n && done < max && stack_reserve(st, 3)) {
		release_one(s, st, st->item[--st->n], charged);
		done++;
	}
	if (!st->n && st->room > 4096) {
		free(st->item);
		*st = (struct reap_stack){ 0 };
	}
	return done;
}

bool store_reap(struct store *s, size_t max)
{
	size_t done = stack_reap(s, &s->charged, true, max);

	stack_reap(s, &s->uncharged, false, max - done);
	return s->charged.n || s->uncharged.n;
}

/*
 * Without memory for the queue: at once, by recursion. Its depth is bounded by that of paths
 * (XENSTORE_ABS_PATH_MAX / 2) times the height of the siblings' trees.
 */
static void discard_now(struct store *s, struct node *n, bool charged)
{
	struct node *link[3];
	struct reap_stack st = { .item = link, .n = 0, .room = 3 };

	release_one(s, &st, n, charged);
	for (size_t i = 0; i < st.n; i++)
		discard_now(s, link[i], charged);
}

void store_settle(struct store *s)
{
	struct reap_stack *st = &s->charged;

	while (st->n)
		if (!stack_reap(s, st, true, SIZE_MAX) && st->n)
			discard_now(s, st->item[--st->n], true);
}

void store_discard(struct store *s, struct node *n, bool charged)
{
	struct reap_stack *st = charged ? &s->charged : &s->uncharged;

	if (!n)
		return;
	if (stack_reserve(st, 4))
		stack_push(st, n);
	else
		discard_now(s, n, charged);
}

size_t store_walk(const struct node *top, size_t max, bool *ret_whole,
		  void (*count)(void *data, const struct node *n), void *data)
{
	struct reap_stack st = { 0 };
	size_t done = 0;
	const struct node *n;

	*ret_whole = false;
	count(data, top);
	done++;
	if (!stack_reserve(&st, 4))
		return done;
	stack_push(&st, top->kids);
	while (st.n && done < max) {
		n = st.item[--st.n];
		count(data, n);
		done++;
		if (!stack_reserve(&st, 3))
			break;
		stack_push(&st, n->left);
		stack_push(&st, n->right);
		stack_push(&st, n->kids);
	}
	*ret_whole = !st.n;
	free(st.item);
	return done;
}
