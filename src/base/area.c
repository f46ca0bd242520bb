/* SPDX-License-Identifier: MIT */
/*
 * Areas: blocks of a power of two of units, split and joined again in pairs. Invariant: the file
 * has space for all that is mapped; what is free, and how free blocks hang together, is kept in
 * memory of the process only, so that nothing in the file can lead the allocator astray.
 */
#include "base/area.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own.h"

#define AREA_MAGIC 0x6165726172657264ull
#define AREA_VERSION 1u
#define AREA_HEAD 4096u /* octets before the first block */
#define AREA_CHUNK (256u << 10)
#define AREA_ORDERS 20u /* 64 octets to 32 MiB */
#define BLOCK_MAGIC 0x6b6c6221u

#define HEAD_UNITS (AREA_HEAD / AREA_UNIT)
#define NONE UINT32_MAX
/* What a unit is: the first one of a block in use or free, with its order; or neither. */
#define UNIT_USED 0x40u
#define UNIT_FREE 0x80u

static_assert(AREA_UNIT << (AREA_ORDERS - 1) == AREA_BLOCK_MAX, "orders");

struct area_header {
	uint64_t magic; /* stored last */
	uint32_t version;
	uint32_t zero;
	char boot_id[AREA_BOOT_SIZE];
	uint32_t root[AREA_ROOTS];
	uint8_t rest[1024 - 16 - AREA_BOOT_SIZE - 4 * AREA_ROOTS];
	uint8_t user[AREA_USER_SIZE];
};

static_assert(sizeof(struct area_header) <= AREA_HEAD, "header");

/* Before each block's octets. */
struct block_head {
	uint32_t magic;
	uint32_t order;
	uint64_t zero;
};

/* The list that the first unit of a free block is on. */
struct unit_link {
	uint32_t next;
	uint32_t prev;
};

/* Units of the heap are counted from 0 here; a reference counts from the start of the file. */
struct area {
	int fd; /* borrowed; -1: memory of this process */
	bool writable;
	bool settled;
	uint8_t *base; /* owned: AREA_MAX octets of address space */
	size_t size;   /* octets that are mapped */
	uint32_t units;
	uint32_t units_room;	/* of the two arrays */
	uint8_t *unit;		/* owned */
	struct unit_link *link; /* owned */
	uint32_t free[AREA_ORDERS];
	size_t used;
};

static struct area_header *header(const struct area *a)
{
	return (struct area_header *)(void *)a->base;
}

static struct block_head *block(const struct area *a, uint32_t unit)
{
	return (struct block_head *)(void *)(a->base + AREA_HEAD + (size_t)unit * AREA_UNIT);
}

static void list_push(struct area *a, uint32_t unit, uint32_t order)
{
	uint32_t next = a->free[order];

	a->unit[unit] = (uint8_t)(UNIT_FREE | order);
	a->link[unit] = (struct unit_link){ .next = next, .prev = NONE };
	if (next != NONE)
		a->link[next].prev = unit;
	a->free[order] = unit;
}

static void list_take(struct area *a, uint32_t unit, uint32_t order)
{
	struct unit_link l = a->link[unit];

	a->unit[unit] = 0;
	if (l.prev == NONE)
		a->free[order] = l.next;
	else
		a->link[l.prev].next = l.next;
	if (l.next != NONE)
		a->link[l.next].prev = l.prev;
}

/* A block is free; it is joined with its other half as long as that is free, too. */
static void free_block(struct area *a, uint32_t unit, uint32_t order)
{
	while (order + 1 < AREA_ORDERS) {
		uint32_t half = unit ^ 1u << order;

		if (half >= a->units || a->unit[half] != (UNIT_FREE | order))
			break;
		list_take(a, half, order);
		unit &= ~(1u << order);
		order++;
	}
	list_push(a, unit, order);
}

/* Units from at to end, as blocks as large as their places allow. */
static void free_range(struct area *a, uint32_t at, uint32_t end)
{
	while (at < end) {
		uint32_t order = 0;

		while (order + 1 < AREA_ORDERS && !(at & ((2u << order) - 1)) &&
		       end - at >= 2u << order)
			order++;
		free_block(a, at, order);
		at += 1u << order;
	}
}

static int units_reserve(struct area *a, uint32_t units)
{
	uint32_t room = a->units_room ? a->units_room : AREA_CHUNK / AREA_UNIT;
	struct unit_link *link;
	uint8_t *unit;

	while (room < units)
		room *= 2;
	if (room == a->units_room)
		return 0;
	unit = realloc(a->unit, room);
	if (!unit)
		return -ENOMEM;
	memset(unit + a->units_room, 0, room - a->units_room);
	a->unit = unit;
	link = realloc(a->link, room * sizeof(*link));
	if (!link) /* the next try finds the one array longer than it need be */
		return -ENOMEM;
	a->link = link;
	a->units_room = room;
	return 0;
}

static int map(struct area *a, size_t from, size_t to)
{
	int prot = a->writable ? PROT_READ | PROT_WRITE : PROT_READ;
	void *p = a->base + from;

	if (a->fd < 0)
		return mprotect(p, to - from, prot) ? -errno : 0;
	p = mmap(p, to - from, prot, MAP_SHARED | MAP_FIXED, a->fd, (off_t)from);
	return p == MAP_FAILED ? -errno : 0;
}

/* Space first, then the memory: storing to a page that a full file system lacks would kill us. */
static int extend(struct area *a, size_t size)
{
	int r = units_reserve(a, (uint32_t)((size - AREA_HEAD) / AREA_UNIT));

	if (!r && a->fd >= 0)
		r = -posix_fallocate(a->fd, (off_t)a->size, (off_t)(size - a->size));
	if (!r)
		r = map(a, a->size, size);
	if (!r)
		a->size = size;
	return r;
}

/* Room for one more block of order. False: none is to be had. */
static bool grow(struct area *a, uint32_t order)
{
	uint32_t need = 1u << order, was = a->units;
	uint32_t start = (was + need - 1) & ~(need - 1);
	size_t size = AREA_HEAD + ((size_t)start + need) * AREA_UNIT;

	size = AREA_HEAD + (size - AREA_HEAD + AREA_CHUNK - 1) / AREA_CHUNK * AREA_CHUNK;
	if (size > AREA_MAX || extend(a, size))
		return false;
	a->units = (uint32_t)((size - AREA_HEAD) / AREA_UNIT);
	free_range(a, was, a->units);
	return true;
}

static int area_make(int fd, bool writable, struct area **ret)
{
	struct area *a = calloc(1, sizeof(*a));

	if (!a)
		return FAULT(-ENOMEM);
	a->fd = fd;
	a->writable = writable;
	for (uint32_t i = 0; i < AREA_ORDERS; i++)
		a->free[i] = NONE;
	a->base =
		mmap(NULL, AREA_MAX, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (a->base == MAP_FAILED) {
		free(a);
		return FAULT(-ENOMEM);
	}
	*ret = a;
	return 0;
}

int area_new(int fd, const char *boot_id, struct area **ret)
{
	struct area_header *h;
	struct area *a;
	int r;

	assert(strlen(boot_id) < AREA_BOOT_SIZE);
	r = area_make(fd, true, &a);
	if (r)
		return r;
	r = extend(a, AREA_HEAD + AREA_CHUNK);
	if (r) {
		area_free(a);
		return FAULT(r);
	}
	a->settled = true;
	a->units = AREA_CHUNK / AREA_UNIT;
	free_range(a, 0, a->units);
	h = header(a);
	h->version = AREA_VERSION;
	memcpy(h->boot_id, boot_id, strlen(boot_id) + 1);
	__atomic_store_n(&h->magic, AREA_MAGIC, __ATOMIC_RELEASE);
	*ret = a;
	return 0;
}

static int header_check(const struct area *a, const char *boot_id)
{
	const struct area_header *h = header(a);

	if (h->magic != AREA_MAGIC)
		return EINVAL;
	if (h->version != AREA_VERSION || strnlen(h->boot_id, AREA_BOOT_SIZE) == AREA_BOOT_SIZE ||
	    strcmp(h->boot_id, boot_id))
		return ESTALE;
	return 0;
}

/* Of the file's octets, those that are whole chunks: the rest is of a process that died growing. */
static size_t whole_chunks(off_t size)
{
	return AREA_HEAD + ((size_t)size - AREA_HEAD) / AREA_CHUNK * AREA_CHUNK;
}

/* The file has grown since it was attached: there are more blocks to be claimed. */
static int look_again(struct area *a)
{
	struct stat st;
	size_t size;
	int r;

	if (fstat(a->fd, &st))
		return -errno;
	if ((size_t)st.st_size < a->size || (uint64_t)st.st_size > AREA_MAX)
		return -EIO;
	size = whole_chunks(st.st_size);
	if (size == a->size)
		return 0;
	r = units_reserve(a, (uint32_t)((size - AREA_HEAD) / AREA_UNIT));
	if (!r)
		r = map(a, a->size, size);
	if (r)
		return r;
	a->size = size;
	a->units = (uint32_t)((size - AREA_HEAD) / AREA_UNIT);
	return 0;
}

int area_attach(int fd, const char *boot_id, bool writable, struct area **ret)
{
	struct stat st;
	struct area *a;
	size_t size;
	int r;

	if (fstat(fd, &st))
		return FAULT(-errno);
	if (!st.st_size)
		return ESTALE;
	if (st.st_size < AREA_HEAD + AREA_CHUNK || (uint64_t)st.st_size > AREA_MAX)
		return EINVAL;
	size = whole_chunks(st.st_size);
	r = area_make(fd, writable, &a);
	if (r)
		return r;
	a->units = (uint32_t)((size - AREA_HEAD) / AREA_UNIT);
	r = units_reserve(a, a->units);
	if (!r)
		r = map(a, 0, size);
	if (r) {
		area_free(a);
		return FAULT(r);
	}
	a->size = size;
	r = header_check(a, boot_id);
	if (r) {
		area_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

int area_own(struct area *a)
{
	int r;

	if (a->writable)
		return 0;
	a->writable = true;
	r = mprotect(a->base, a->size, PROT_READ | PROT_WRITE) ? -errno : 0;
	/* who wrote it meanwhile has stopped */
	if (!r && !a->settled)
		r = look_again(a);
	return r ? FAULT(r) : 0;
}

int area_disown(struct area *a)
{
	void *p;

	if (a->fd < 0)
		return 0;
	p = mmap(a->base, a->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, a->fd, 0);
	if (p == MAP_FAILED)
		return FAULT(-errno);
	a->writable = true;
	a->fd = -1;
	return 0;
}

void area_free(struct area *a)
{
	if (!a)
		return;
	munmap(a->base, AREA_MAX);
	free(a->unit);
	free(a->link);
	free(a);
}

uint32_t area_alloc(struct area *a, size_t size)
{
	uint32_t order = 0, at, unit;

	assert(a->settled && a->writable);
	if (size > AREA_BLOCK_MAX - sizeof(struct block_head))
		return 0;
	while ((size_t)AREA_UNIT << order < size + sizeof(struct block_head))
		order++;
	for (at = order; at < AREA_ORDERS && a->free[at] == NONE; at++)
		;
	if (at == AREA_ORDERS) {
		if (!grow(a, order))
			return 0;
		for (at = order; a->free[at] == NONE; at++)
			;
	}
	unit = a->free[at];
	list_take(a, unit, at);
	while (at > order) {
		at--;
		list_push(a, unit + (1u << at), at);
	}
	a->unit[unit] = (uint8_t)(UNIT_USED | order);
	a->used += (size_t)AREA_UNIT << order;
	*block(a, unit) = (struct block_head){ .magic = BLOCK_MAGIC, .order = order };
	return unit + HEAD_UNITS;
}

/* The order of a block in use. */
static uint32_t used_order(const struct area *a, uint32_t ref)
{
	uint32_t unit = ref - HEAD_UNITS;

	assert(ref >= HEAD_UNITS && unit < a->units && a->unit[unit] & UNIT_USED);
	return a->unit[unit] & (UNIT_USED - 1);
}

void area_release(struct area *a, uint32_t ref)
{
	uint32_t order;

	if (!ref)
		return;
	assert(a->settled);
	order = used_order(a, ref);
	a->unit[ref - HEAD_UNITS] = 0;
	a->used -= (size_t)AREA_UNIT << order;
	free_block(a, ref - HEAD_UNITS, order);
}

void *area_at(const struct area *a, uint32_t ref)
{
	used_order(a, ref);
	return block(a, ref - HEAD_UNITS) + 1;
}

size_t area_room(const struct area *a, uint32_t ref)
{
	return ((size_t)AREA_UNIT << used_order(a, ref)) - sizeof(struct block_head);
}

uint32_t area_ref(const struct area *a, const void *p)
{
	size_t at;

	if (!p)
		return 0;
	at = (size_t)((const uint8_t *)p - a->base) - sizeof(struct block_head);
	assert(at < a->size && !(at % AREA_UNIT));
	return (uint32_t)(at / AREA_UNIT);
}

int area_claim(struct area *a, uint32_t ref)
{
	uint32_t unit = ref - HEAD_UNITS, order;

	assert(!a->settled);
	if (ref < HEAD_UNITS || unit >= a->units || block(a, unit)->magic != BLOCK_MAGIC)
		return EINVAL;
	order = block(a, unit)->order;
	if (order >= AREA_ORDERS || unit & ((1u << order) - 1) || 1u << order > a->units - unit)
		return EINVAL;
	for (uint32_t i = unit; i < unit + (1u << order); i++)
		if (a->unit[i])
			return EINVAL;
	for (uint32_t k = order + 1; k < AREA_ORDERS; k++) {
		uint8_t around = a->unit[unit & ~((1u << k) - 1)];

		if (around && (around & (UNIT_USED - 1)) >= k)
			return EINVAL;
	}
	a->unit[unit] = (uint8_t)(UNIT_USED | order);
	a->used += (size_t)AREA_UNIT << order;
	return 0;
}

void area_settle(struct area *a)
{
	uint32_t at = 0, end = 0;

	assert(!a->settled);
	for (; end < a->units; end++) {
		if (!a->unit[end])
			continue;
		free_range(a, at, end);
		end += (1u << (a->unit[end] & (UNIT_USED - 1))) - 1;
		at = end + 1;
	}
	free_range(a, at, a->units);
	a->settled = true;
}

uint32_t *area_root(struct area *a, unsigned int i)
{
	assert(i < AREA_ROOTS);
	return &header(a)->root[i];
}

void *area_user(struct area *a)
{
	return header(a)->user;
}

size_t area_size(const struct area *a)
{
	return a->size;
}

size_t area_used(const struct area *a)
{
	return a->used;
}
