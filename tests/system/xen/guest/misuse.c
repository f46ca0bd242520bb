/* SPDX-License-Identifier: MIT */
/*
 * What no guest should do to its ring. Invariant: each kind ends after its time, whatever the
 * store does about it.
 */
#include "machine.h"
#include "misuse.h"
#include "ring.h"

#define ANSWERS_NS 10000000000ull
#define NS_PER_MS 1000000ull

struct misuse_args {
	uint64_t number, until_ns, asked, did;
};

static volatile struct xenstore_domain_interface *the_ring(void)
{
	return machine_store_ring();
}

/* Knuth's MMIX generator: what is random here has to be the same each time. */
static uint32_t random_u32(void)
{
	static uint64_t state = 42;

	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 32);
}

static void linger(struct misuse_args *a)
{
	while (machine_now_ns() < a->until_ns)
		machine_wait(a->until_ns);
}

/* More was written than a ring holds. */
static void misuse_prod(struct misuse_args *a)
{
	the_ring()->req_prod = the_ring()->req_cons + (uint32_t)(a->number ? a->number : 5000);
	machine_store_notify();
	linger(a);
}

/* More was read than was there. */
static void misuse_cons(struct misuse_args *a)
{
	the_ring()->rsp_cons = the_ring()->rsp_prod + (uint32_t)(a->number ? a->number : 1);
	machine_store_notify();
	linger(a);
}

static void misuse_oversize(struct misuse_args *a)
{
	struct xsd_sockmsg header = { .type = XS_WRITE,
				      .len = a->number ? (uint32_t)a->number
						       : XENSTORE_PAYLOAD_MAX + 1 };

	(void)ring_write(&header, sizeof(header), a->until_ns);
	linger(a);
}

/*
 * Whole messages of types that there are not; their answers are read, however
 * long it takes: else they would be left to whoever reads next.
 */
static void misuse_types(struct misuse_args *a)
{
	uint64_t n = a->number ? a->number : 100;
	char answer[XENSTORE_PAYLOAD_MAX];

	while (n--) {
		struct xsd_sockmsg header = { .type = random_u32() | 0x80u, .len = 3 };

		if (!ring_write(&header, sizeof(header), UINT64_MAX) ||
		    !ring_write("\0/\0", 3, UINT64_MAX) ||
		    !ring_read(&header, sizeof(header), UINT64_MAX) ||
		    header.len > sizeof(answer) || !ring_read(answer, header.len, UINT64_MAX))
			return;
		a->did += header.type == XS_ERROR;
	}
}

static void misuse_noise(struct misuse_args *a)
{
	uint64_t n = a->number ? a->number : 4096;

	for (; n; n--, a->did++) {
		char octet = (char)random_u32();

		if (!ring_write(&octet, 1, a->until_ns))
			return;
	}
	linger(a);
}

/* What was not read is read after all. Returns how many answers that were. */
static uint64_t answers_read(uint64_t n)
{
	uint64_t until_ns = machine_now_ns() + ANSWERS_NS, n_read = 0;
	struct xsd_sockmsg header;
	char body[XENSTORE_PAYLOAD_MAX];

	while (n_read < n) {
		if (!ring_read(&header, sizeof(header), until_ns) || header.len > sizeof(body) ||
		    !ring_read(body, header.len, until_ns))
			break;
		n_read += header.type != XS_WATCH_EVENT;
	}
	return n_read;
}

/* Questions without end, and no answer is read until the time is over. */
static void misuse_deaf(struct misuse_args *a)
{
	struct {
		struct xsd_sockmsg header;
		char path[16];
	} question = { .header = { .type = XS_READ, .len = sizeof(question.path) },
		       .path = "control/nothing" };

	while ((!a->number || a->asked < a->number) && machine_now_ns() < a->until_ns) {
		if (ring_room() < sizeof(question)) {
			machine_wait(a->until_ns);
			continue;
		}
		(void)ring_write(&question, sizeof(question), a->until_ns);
		a->asked++;
	}
	linger(a);
	a->did = answers_read(a->asked);
}

/* A message that is announced and does not come. */
static void misuse_half(struct misuse_args *a)
{
	struct xsd_sockmsg header = { .type = XS_WRITE, .len = 100 };

	(void)ring_write(&header, sizeof(header), a->until_ns);
	(void)ring_write("data/half", 9, a->until_ns);
	linger(a);
}

/* Events and nothing to go with them. */
static void misuse_storm(struct misuse_args *a)
{
	for (; machine_now_ns() < a->until_ns; a->did++)
		machine_store_notify();
}

/* Everything in the page changes all the time; sometimes a connection is asked for, too. */
static void misuse_scribble(struct misuse_args *a)
{
	volatile struct xenstore_domain_interface *ring = the_ring();

	for (; machine_now_ns() < a->until_ns; a->did++) {
		ring->req[random_u32() % XENSTORE_RING_SIZE] = (char)random_u32();
		ring->rsp[random_u32() % XENSTORE_RING_SIZE] = (char)random_u32();
		ring->req_prod =
			random_u32() % 4 ? ring->req_cons + random_u32() % 1025 : random_u32();
		ring->rsp_cons = random_u32() % 4 ? ring->rsp_prod : random_u32();
		if (random_u32() % 64 == 0)
			ring->rsp_prod = random_u32();
		if (random_u32() % 64 == 0)
			ring->req_cons = random_u32();
		if (random_u32() % 64 == 0)
			ring->connection = random_u32() % 3;
		if (random_u32() % 8 == 0)
			machine_store_notify();
	}
}

static const struct {
	const char *name;
	void (*run)(struct misuse_args *a);
	bool whole; /* what was sent is whole messages: the ring can be used as it is */
} kinds[] = {
	{ "cons", misuse_cons, false },		{ "deaf", misuse_deaf, true },
	{ "half", misuse_half, false },		{ "noise", misuse_noise, false },
	{ "oversize", misuse_oversize, false }, { "prod", misuse_prod, false },
	{ "scribble", misuse_scribble, false }, { "storm", misuse_storm, true },
	{ "types", misuse_types, true },
};

bool misuse(const char *kind, uint64_t number, uint64_t for_ms, bool *ret_whole, struct text *out)
{
	struct misuse_args a = { .number = number };
	unsigned int i;

	a.until_ns = machine_now_ns() + for_ms * NS_PER_MS;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!text_equal(kinds[i].name, kind))
			continue;
		kinds[i].run(&a);
		text_add_field(out, "asked", a.asked);
		text_add_field(out, "did", a.did);
		text_add_field(out, "error", the_ring()->error);
		*ret_whole = kinds[i].whole;
		return true;
	}
	return false;
}
