/* SPDX-License-Identifier: MIT */
/*
 * A simulated guest's memory, its ticks and its log. Invariant: every page that differs from zero
 * is marked touched, and one that was written since it was last sent is marked dirty; a tick is in
 * memory before it is in the log, and both before anything else happens.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/sim/simguest.h"

uint64_t simguest_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int simguest_memory_init(struct simguest *g)
{
	size_t words = (g->pages + 63) / 64;
	void *memory = mmap(NULL, g->pages * SIM_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -errno;
	g->memory = memory;
	g->dirty = calloc(words, sizeof(*g->dirty));
	g->touched = calloc(words, sizeof(*g->touched));
	return g->dirty && g->touched ? 0 : -ENOMEM;
}

struct simguest_cpu *simguest_cpu(struct simguest *g)
{
	return (struct simguest_cpu *)(void *)g->memory;
}

bool simguest_is_dirty(const struct simguest *g, uint64_t page)
{
	return g->dirty[page / 64] >> page % 64 & 1;
}

void simguest_clean(struct simguest *g, uint64_t page)
{
	if (simguest_is_dirty(g, page))
		g->n_dirty--;
	g->dirty[page / 64] &= ~(UINT64_C(1) << page % 64);
}

void simguest_touch(struct simguest *g, uint64_t page)
{
	if (!simguest_is_dirty(g, page)) {
		g->n_dirty++;
		g->n_dirtied++;
	}
	g->dirty[page / 64] |= UINT64_C(1) << page % 64;
	g->touched[page / 64] |= UINT64_C(1) << page % 64;
}

void simguest_all_dirty(struct simguest *g)
{
	g->n_dirty = 0;
	for (uint64_t i = 0; i < (g->pages + 63) / 64; i++) {
		g->dirty[i] = g->touched[i];
		g->n_dirty += (uint64_t)__builtin_popcountll(g->dirty[i]);
	}
}

/* A guest that was received may have anything anywhere. */
void simguest_received_all(struct simguest *g)
{
	static const uint8_t zero[SIM_PAGE];

	for (uint64_t page = 0; page < g->pages; page++)
		if (page == 0 || memcmp(g->memory + page * SIM_PAGE, zero, SIM_PAGE) != 0)
			g->touched[page / 64] |= UINT64_C(1) << page % 64;
}

/* One write for a line, so that lines of two processes in one file never mix. */
void simguest_log(struct simguest *g, const char *what)
{
	char line[512];
	int len = snprintf(line, sizeof(line),
			   "%s %" PRIu64 " host=%.128s epoch=%" PRIu64 " t=%" PRIu64 "\n", what,
			   simguest_cpu(g)->ticks, g->host, g->epoch, simguest_now_ns());

	if (g->log >= 0 && write(g->log, line, (size_t)len) != len)
		perror("drover-simguest: its log");
}

static uint64_t next_random(struct simguest_cpu *cpu)
{
	cpu->random = cpu->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return cpu->random >> 33;
}

/* Pages that it writes hold the tick and their own number, so no two are alike. */
static void write_page(struct simguest *g, uint64_t page)
{
	uint64_t words[2] = { simguest_cpu(g)->ticks, page };

	for (size_t at = 0; at < SIM_PAGE; at += 512)
		memcpy(g->memory + page * SIM_PAGE + at, words, sizeof(words));
	simguest_touch(g, page);
}

void simguest_tick(struct simguest *g)
{
	struct simguest_cpu *cpu = simguest_cpu(g);

	cpu->ticks++;
	simguest_touch(g, 0);
	if (cpu->ticks == 1 && g->words.fill)
		for (uint64_t page = 1; page < g->pages; page++)
			write_page(g, page);
	for (uint32_t i = 0; i < g->words.dirty && g->pages > 1; i++)
		write_page(g, 1 + next_random(cpu) % (g->pages - 1));
	simguest_log(g, "TICK");
	if (cpu->ticks == g->words.crash)
		simguest_end(g, "crash", 3);
	else if (cpu->ticks == g->words.poweroff)
		simguest_end(g, "shutdown", 0);
	else if (cpu->ticks == g->words.ioerror)
		simguest_enter(g, AGENT_PAUSED, VMM_IO_ERROR);
	else if (cpu->ticks == g->words.reboot)
		simguest_reboot(g);
}

void simguest_timer_arm(struct simguest *g)
{
	uint64_t ns = (uint64_t)g->words.tick_ms * 1000000u;
	struct itimerspec its = { 0 };

	if (g->send.throttle)
		ns = ns * 100 / (100 - g->send.throttle);
	if (g->status.state == AGENT_RUNNING) {
		its.it_value.tv_sec = its.it_interval.tv_sec = (time_t)(ns / 1000000000u);
		its.it_value.tv_nsec = its.it_interval.tv_nsec = (long)(ns % 1000000000u);
	}
	if (timerfd_settime(g->timer, 0, &its, NULL) < 0)
		perror("drover-simguest: its timer");
}
