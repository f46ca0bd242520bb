/* SPDX-License-Identifier: MIT */
/*
 * A transaction that commits is as if all of it had been done at its end, in one instant: the
 * same answers, the same tree, the same events. Held against just that, with random requests of
 * toolstacks and guests inside and outside.
 */
#include "op/world_test.h"

#include "base/own.h"
#include "base/prng.h"
#include "op/op.h"

#define STEPS_MAX 12u

struct step {
	unsigned int who; /* 0, 1: toolstacks, 5, 6: guests */
	uint32_t type;
	char text[64];
};

struct run {
	struct step setup[STEPS_MAX], in[STEPS_MAX], outside[STEPS_MAX];
	size_t n_setup, n_in, n_outside;
	unsigned int owner; /* of the transaction */
};

static void random_step(struct prng *rnd, struct step *s, unsigned int who, bool edit)
{
	static const char *const paths[] = { "/p",     "/p/a",	 "/p/b",     "/p/a/c",
					     "/p/a/d", "/p/b/e", "/p/a/c/f", "/q" };
	static const char *const lists[] = { "b0|", "n5|b6|", "b6|r5|", "r0|b5|b6|", "n0|" };
	static const uint32_t edits[] = { XS_WRITE, XS_WRITE, XS_MKDIR, XS_RM, XS_SET_PERMS };
	static const uint32_t looks[] = { XS_READ, XS_DIRECTORY, XS_GET_PERMS };
	const char *path = paths[prng_below(rnd, ARRAY_LEN(paths))];

	s->who = who;
	s->type = edit || prng_once_in(rnd, 2) ? edits[prng_below(rnd, ARRAY_LEN(edits))]
					       : looks[prng_below(rnd, ARRAY_LEN(looks))];
	snprintf(s->text, sizeof(s->text), "%s|", path);
	if (s->type == XS_WRITE)
		snprintf(s->text, sizeof(s->text), "%s|%u", path, prng_below(rnd, 3));
	if (s->type == XS_SET_PERMS)
		snprintf(s->text, sizeof(s->text), "%s|%s", path, lists[prng_below(rnd, 5)]);
}

static void random_run(struct prng *rnd, struct run *r)
{
	static const unsigned int whos[] = { 0, 1, 5, 6 };

	memset(r, 0, sizeof(*r));
	r->owner = prng_once_in(rnd, 2) ? 0 : 5;
	r->n_setup = prng_below(rnd, STEPS_MAX);
	r->n_in = 1 + prng_below(rnd, 5);
	r->n_outside = prng_below(rnd, 4);
	for (size_t i = 0; i < r->n_setup; i++)
		random_step(rnd, &r->setup[i], prng_once_in(rnd, 3) ? 5 : 0, true);
	for (size_t i = 0; i < r->n_in; i++)
		random_step(rnd, &r->in[i], r->owner, false);
	for (size_t i = 0; i < r->n_outside; i++)
		random_step(rnd, &r->outside[i], whos[prng_below(rnd, 4)], true);
}

static struct world *run_begin(const struct run *r)
{
	struct world *w = world_new();

	world_guest(w, 5);
	world_guest(w, 6);
	ask(w, 0, XS_MKDIR, "/p|");
	ask(w, 0, XS_SET_PERMS, "/p|b0|");
	for (size_t i = 0; i < r->n_setup; i++)
		ask(w, r->setup[i].who, r->setup[i].type, r->setup[i].text);
	ask(w, 1, XS_WATCH, "/|root|");
	ask(w, 1, XS_WATCH, "/p/a/c|below|");
	ask(w, 1, XS_WATCH, "/p/b|1|0|");
	return w;
}

static void run_steps(struct world *w, const struct step *s, size_t n, uint32_t tx, char *answers)
{
	for (size_t i = 0; i < n; i++) {
		const char *a = ask_in(w, s[i].who, tx, s[i].type, s[i].text);

		/* that a node to be removed is gone with its parent is no matter: it is gone */
		if (s[i].type == XS_RM && !strcmp(a, "ENOENT|"))
			a = "OK|";
		/* nor which of the two a guest is told of a node that is missing */
		if (s[i].who > 1 && !strcmp(a, "EACCES|"))
			a = "ENOENT|";
		if (answers)
			strcat(strcat(answers, a), ";");
	}
}

static void tree_print(const struct node *n, char *out)
{
	struct node_iter it;
	const struct node *c;

	node_iter_init(&it, n->kids);
	while ((c = node_iter_next(&it))) {
		out += strlen(out);
		out += sprintf(out, "(%.*s=%.*s", c->name_len, c->data, c->value_len,
			       node_value(c));
		for (uint32_t i = 0; i < c->perms->n; i++)
			out += sprintf(out, " %x/%u", c->perms->entry[i].bits,
				       c->perms->entry[i].domid);
		tree_print(c, out);
		strcat(out, ")");
	}
}

static void steps_print(const char *what, const struct step *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		print_error("%s %u: %s %s\n", what, s[i].who, wire_type_name(s[i].type), s[i].text);
}

/*
 * Whether the transaction takes back what it wrote. Where others removed the parents meanwhile
 * they stay removed then: what was taken back is not made only to be removed again.
 */
static bool takes_back(const struct run *r)
{
	for (size_t i = 0; i < r->n_in; i++)
		for (size_t k = i + 1; k < r->n_in; k++)
			if (r->in[i].type == XS_WRITE && r->in[k].type == XS_RM &&
			    !strncmp(r->in[i].text, r->in[k].text, strlen(r->in[k].text) - 1))
				return true;
	return false;
}

/* What came of a run. */
struct outcome {
	char answers[4096], tree[WORLD_BUF], events[WORLD_BUF];
	char missing[4096]; /* paths of the requests that are neither before nor after, " /a /b " */
};

static bool has(const struct world *w, const char *path, size_t len)
{
	return store_find_node(w->core->store.live.root, path, len);
}

/* Notes which paths of the requests are not there; after: takes out those that are now. */
static void note_missing(const struct world *w, const struct run *r, struct outcome *o, bool after)
{
	char word[80], was[sizeof(o->missing)];

	memcpy(was, o->missing, sizeof(was));
	strcpy(o->missing, " ");
	for (size_t i = 0; i < r->n_in; i++) {
		size_t len = strcspn(r->in[i].text, "|");

		snprintf(word, sizeof(word), " %.*s ", (int)len, r->in[i].text);
		if (!has(w, r->in[i].text, len) && (!after || strstr(was, word)))
			strcat(o->missing, word + 1);
	}
}

static void outcome_end(struct world *w, const struct run *r, struct outcome *o)
{
	world_hear(w, &w->socket[1], XS_READ);
	strcpy(o->events, w->events);
	tree_print(w->core->store.live.root, o->tree);
	note_missing(w, r, o, true);
	world_free(w);
}

/* What END answered: 'O' OK, 'A' EAGAIN; 0: OK of one that wrote nothing. */
static char run_transaction(const struct run *r, struct outcome *o)
{
	struct world *w = run_begin(r);
	struct txn *t;
	uint32_t tx;
	bool wrote;
	char end;

	tx = (uint32_t)strtoul(ask(w, r->owner, XS_TRANSACTION_START, "|"), NULL, 10);
	run_steps(w, r->in, r->n_in, tx, o->answers);
	t = txn_find(r->owner ? &domain_find(&w->core->domains, 5)->conn->txns
			      : &w->socket[0].conn->txns,
		     tx);
	wrote = t->wrote;
	run_steps(w, r->outside, r->n_outside, 0, NULL);
	note_missing(w, r, o, false);
	w->socket[1].out_len = 0;
	end = ask_in(w, r->owner, tx, XS_TRANSACTION_END, "T|")[0];
	outcome_end(w, r, o);
	return end != 'O' ? 'A' : wrote ? 'O' : 0;
}

static void run_serially(const struct run *r, struct outcome *o)
{
	struct world *w = run_begin(r);

	run_steps(w, r->outside, r->n_outside, 0, NULL);
	note_missing(w, r, o, false);
	w->socket[1].out_len = 0;
	run_steps(w, r->in, r->n_in, 0, o->answers);
	outcome_end(w, r, o);
}

/* A node that it removed is told of, also where it was gone already when it ended. */
static void excuse_removed(const struct run *r, struct outcome *o)
{
	for (size_t i = 0; i < r->n_in; i++)
		if (r->in[i].type == XS_RM)
			sprintf(o->missing + strlen(o->missing), "%.*s ",
				(int)strcspn(r->in[i].text, "|"), r->in[i].text);
}

/* Whether the path of an event, "[path|token|]", or one above it is among the missing. */
static bool is_excused(const struct outcome *o, const char *event)
{
	char word[80];

	for (size_t len = strcspn(event + 1, "|"); len; len--) {
		if (event[1 + len] != '|' && event[1 + len] != '/')
			continue;
		snprintf(word, sizeof(word), " %.*s ", (int)len, event + 1);
		if (strstr(o->missing, word))
			return true;
	}
	return false;
}

/*
 * Whether each event of one is among the other's, but for those of nodes that came and went within
 * the transaction.
 */
static bool events_among(const struct outcome *a, const struct outcome *b)
{
	const char *at = a->events;
	char event[256];

	while (*at) {
		size_t len = strcspn(at, "]") + 1;

		snprintf(event, sizeof(event), "%.*s", (int)len, at);
		if (!strstr(b->events, event) && !is_excused(a, event))
			return false;
		at += len;
	}
	return true;
}

/* What END answered, as above. */
static char check_run(const struct run *r, unsigned int seed)
{
	static struct outcome o, s;
	char end;

	memset(&o, 0, sizeof(o));
	memset(&s, 0, sizeof(s));
	end = run_transaction(r, &o);
	if (end != 'O')
		return end ? end : 'O';
	run_serially(r, &s);
	if (takes_back(r))
		return end;
	excuse_removed(r, &o);
	if (!strcmp(o.tree, s.tree) && !strcmp(o.answers, s.answers) && events_among(&o, &s) &&
	    events_among(&s, &o))
		return end;
	print_error("replay: SERIAL_SEED=%u build/src/test-op-serial\n", seed);
	steps_print("before", r->setup, r->n_setup);
	steps_print("in", r->in, r->n_in);
	steps_print("outside", r->outside, r->n_outside);
	fail_msg("answers %s for %s\ntree %s\n for %s\nevents %s\n for %s", o.answers, s.answers,
		 o.tree, s.tree, o.events, s.events);
	return end;
}

static void a_committed_transaction_is_as_if_done_at_its_end(void **state)
{
	const char *from = getenv("SERIAL_SEED");
	unsigned int seed = from ? (unsigned int)strtoul(from, NULL, 10) : 1;
	unsigned int ok = 0, again = 0;

	(void)state;
	for (unsigned int last = seed + (from ? 1 : 2500); seed < last; seed++) {
		struct prng rnd;
		struct run r;

		prng_init(&rnd, seed);
		random_run(&rnd, &r);
		if (check_run(&r, seed) == 'O')
			ok++;
		else
			again++;
		if (!r.n_outside)
			assert_int_equal(check_run(&r, seed), 'O');
	}
	print_message("# %u committed, %u did not\n", ok, again);
	assert_true(from || (ok > 1000 && again > 100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_committed_transaction_is_as_if_done_at_its_end),
	};

	return cmocka_run_group_tests_name("serial", tests, NULL, NULL);
}
