/* SPDX-License-Identifier: MIT */
/*
 * The heartbeat. Invariant: a gap is between two answers that came, one right after the other.
 */
#include <stdbool.h>

#include "client.h"
#include "heart.h"
#include "machine.h"

static struct {
	uint64_t interval_ns, due_ns, answered_ns, gap_ns, beats;
	bool gap_untold;
} heart;

void heart_set_interval(uint64_t interval_ms)
{
	heart.interval_ns = interval_ms * 1000000;
	heart.due_ns = machine_now_ns();
	heart_skip();
}

uint64_t heart_due_ns(void)
{
	return heart.interval_ns ? heart.due_ns : UINT64_MAX;
}

uint64_t heart_beats(void)
{
	return heart.beats;
}

uint64_t heart_gap_ns(void)
{
	return heart.gap_ns;
}

void heart_gap_reset(void)
{
	heart.gap_ns = 0;
	heart.gap_untold = true;
}

void heart_skip(void)
{
	heart.answered_ns = 0;
	heart.due_ns = machine_now_ns();
}

void heart_turn(void)
{
	uint64_t now_ns = machine_now_ns();
	const char *error;

	if (!heart.interval_ns || now_ns < heart.due_ns)
		return;
	error = client_write_u64("data/hb", heart.beats + 1);
	now_ns = machine_now_ns();
	if (*error) {
		machine_say(error);
	} else {
		heart.beats++;
		if (heart.answered_ns && now_ns - heart.answered_ns > heart.gap_ns) {
			heart.gap_ns = now_ns - heart.answered_ns;
			heart.gap_untold = true;
		}
		heart.answered_ns = now_ns;
	}
	if (heart.gap_untold && !*client_write_u64("data/gap", heart.gap_ns))
		heart.gap_untold = false;
	/* what was missed is not made up for: the gap has it */
	heart.due_ns += heart.interval_ns;
	if (heart.due_ns <= now_ns)
		heart.due_ns = now_ns + heart.interval_ns;
}
