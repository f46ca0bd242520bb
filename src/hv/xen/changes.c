/* SPDX-License-Identifier: MIT */
/*
 * Which domains' states changed between two scans.
 *
 * Invariant: a domain is pending when its bits differ from those known, and whoever was told
 * that it exists is told of its end. One that has shut down is pending after every scan: one that
 * was suspended, resumed, of which nobody is told, and suspended again looks as it did before.
 */
#include "hv/xen/changes.h"

void changes_enter(struct domain_states *states, uint16_t domid, bool shutdown, bool dying)
{
	uint64_t bit = UINT64_C(1) << (domid % 64u);

	if (domid >= HV_DOMID_FIRST_RESERVED)
		return;
	states->exists[domid / 64u] |= bit;
	if (shutdown)
		states->shutdown[domid / 64u] |= bit;
	if (dying)
		states->dying[domid / 64u] |= bit;
}

void changes_told(struct changes *c, uint16_t domid)
{
	changes_enter(&c->known, domid, false, false);
}

void changes_update(struct changes *c, const struct domain_states *now)
{
	for (uint32_t w = 0; w < CHANGES_WORDS; w++)
		c->pending[w] |= (c->known.exists[w] ^ now->exists[w]) |
				 (c->known.shutdown[w] ^ now->shutdown[w]) |
				 (c->known.dying[w] ^ now->dying[w]) |
				 (now->shutdown[w] & ~now->dying[w]);
	c->known = *now;
}

int changes_take(struct changes *c, uint16_t *ret_domid)
{
	for (uint32_t w = 0; w < CHANGES_WORDS; w++) {
		if (!c->pending[w])
			continue;
		*ret_domid = (uint16_t)(w * 64u + (uint32_t)__builtin_ctzll(c->pending[w]));
		c->pending[w] &= c->pending[w] - 1u;
		return 1;
	}
	return 0;
}
