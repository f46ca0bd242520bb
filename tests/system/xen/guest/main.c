/* SPDX-License-Identifier: MIT */
/*
 * A guest that does nothing but use the store, in a few hundred KiB. Invariant: it answers a
 * command, ends when it is told to, and otherwise counts data/hb up, for ever.
 */
#include "command.h"
#include "heart.h"
#include "life.h"
#include "machine.h"
#include "text.h"

void guest_main(uint32_t start_info_paddr);

/* hb=MS, aware=1, rewatch=0, run=COMMAND,WITH,COMMAS... */
static void options_take(bool *ret_rewatch, uint64_t *ret_hb_ms, char *line)
{
	char *word;

	while (*(word = text_word(&line))) {
		if (memcmp(word, "hb=", 3) == 0)
			*ret_hb_ms = text_u64(word + 3);
		else if (text_equal(word, "rewatch=0"))
			*ret_rewatch = false;
		else if (text_equal(word, "aware=1"))
			machine_take_upcalls();
	}
}

static void options_run(char *line)
{
	char *word, *c;

	while (*(word = text_word(&line))) {
		if (memcmp(word, "run=", 4) != 0)
			continue;
		for (c = word; *c; c++)
			if (*c == ',')
				*c = ' ';
		command_run("0", word + 4);
	}
}

void guest_main(uint32_t start_info_paddr)
{
	static char line[1024], copy[1024];
	struct text t = TEXT_OF(line), u = TEXT_OF(copy);
	uint64_t hb_ms = 100;
	bool rewatch = true;

	machine_init(start_info_paddr);
	text_add(&t, machine_command_line());
	text_add(&u, line);
	options_take(&rewatch, &hb_ms, copy);
	machine_say("up");
	life_start(rewatch);
	heart_set_interval(hb_ms);
	heart_turn();
	options_run(line);
	for (;;) {
		life_turn();
		heart_turn();
		machine_wait(heart_due_ns());
	}
}
