/* SPDX-License-Identifier: MIT */
/*
 * What a worker gives up, in two steps: sandbox_enter as soon as it has started, sandbox_seal when
 * the hypervisor is open. SECURITY.md has the table.
 */
#ifndef DROVER_KEEPER_SANDBOX_H
#define DROVER_KEEPER_SANDBOX_H

struct sandbox {
	const char
		*dir; /* below which files may be opened: the simulated hypervisor's; NULL: Xen */
	int netns;    /* an empty network namespace; -1: none */
};

/*
 * No new privileges, no capabilities, no network, files only below what the hypervisor needs. What
 * this system does not offer or permit is told in the log and left out. -errno: a step failed that
 * every Linux has.
 */
int sandbox_enter(const struct sandbox *s);

/* Only the system calls that serving needs, from now on. -errno. */
int sandbox_seal(const struct sandbox *s);

#endif
