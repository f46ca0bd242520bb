/* SPDX-License-Identifier: MIT */
/* What the guest can be told to do, by data/cmd or on its command line; README.md lists it. */
#ifndef GUEST_COMMAND_H
#define GUEST_COMMAND_H

/* data/cmd fired: does what it says, SERIAL COMMAND..., unless that was done already. */
void command_fired(void);

/* Does it, which changes line, and tells the answer in data/reply. */
void command_run(const char *serial, char *line);

#endif
