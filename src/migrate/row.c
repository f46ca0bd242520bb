/* SPDX-License-Identifier: MIT */
/*
 * A migration's row: names of its parts, what it says about the guest's epoch, and whether it can
 * be one at all. Pure; the order of the names is that of the enumerations.
 */
#include "migrate/migrate.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"

static const char *const phases[] = {
	[MIG_BEGUN] = "begun",	     [MIG_PERFORMING] = "performing", [MIG_SENT] = "sent",
	[MIG_ABORTING] = "aborting", [MIG_GIVEN] = "given",	      [MIG_ABORTED] = "aborted",
	[MIG_PREPARED] = "prepared", [MIG_RECEIVING] = "receiving",   [MIG_READY] = "ready",
	[MIG_OWNED] = "owned",	     [MIG_RETURNED] = "returned",     [MIG_DROPPED] = "dropped",
	[MIG_DONE] = "done",
};

static const char *const outcomes[] = {
	[MIG_OPEN] = "open",
	[MIG_MOVED] = "moved",
	[MIG_STAYED] = "stayed",
};

static const char *const msgs[] = {
	[MIG_MSG_START] = "START",   [MIG_MSG_STATE] = "STATE",	  [MIG_MSG_ABORT] = "ABORT",
	[MIG_MSG_COMMIT] = "COMMIT", [MIG_MSG_FAILED] = "FAILED", [MIG_MSG_TAKEN] = "TAKEN",
	[MIG_MSG_RETURN] = "RETURN",
};

static const char *const answers[] = {
	[MIG_ANS_OK] = "ok",	   [MIG_ANS_GRANTED] = "granted", [MIG_ANS_REFUSED] = "refused",
	[MIG_ANS_OWNED] = "owned", [MIG_ANS_LATER] = "later",
};

static const char *name_of(const char *const *names, size_t n, size_t i)
{
	return i < n && names[i] ? names[i] : "?";
}

const char *mig_phase_name(enum mig_phase phase)
{
	return name_of(phases, ARRAY_LEN(phases), phase);
}

const char *mig_outcome_name(enum mig_outcome outcome)
{
	return name_of(outcomes, ARRAY_LEN(outcomes), outcome);
}

const char *mig_msg_name(enum mig_msg_type type)
{
	return name_of(msgs, ARRAY_LEN(msgs), type);
}

const char *mig_answer_name(enum mig_answer answer)
{
	return name_of(answers, ARRAY_LEN(answers), answer);
}

uint64_t mig_row_epoch(const struct mig_row *row, bool *ret_given)
{
	bool moved = row->outcome == MIG_MOVED;

	/* Until it is decided it is the source's, and at the destination nobody's. */
	if (row->side == MIG_SOURCE) {
		*ret_given = moved;
		return row->outcome == MIG_STAYED ? row->epoch + 2 : row->epoch;
	}
	*ret_given = !moved;
	return row->epoch + 1;
}

static bool is_text(const char *s, size_t room)
{
	return memchr(s, 0, room);
}

/* Phases that a journal may hold, at each end, and the outcomes that go with them. */
static bool phase_is_right(const struct mig_row *row)
{
	bool source = row->side == MIG_SOURCE;

	switch (row->phase) {
	case MIG_PERFORMING:
	case MIG_SENT:
	case MIG_ABORTING:
		return source && row->outcome == MIG_OPEN;
	case MIG_GIVEN:
		return source && row->outcome == MIG_MOVED;
	case MIG_ABORTED:
		return source && row->outcome == MIG_STAYED;
	case MIG_RECEIVING:
	case MIG_READY:
		return !source && row->outcome == MIG_OPEN;
	case MIG_OWNED:
		return !source && row->outcome == MIG_MOVED;
	case MIG_RETURNED:
	case MIG_DROPPED:
		return !source && row->outcome == MIG_STAYED;
	case MIG_DONE:
		return row->outcome == MIG_MOVED || row->outcome == MIG_STAYED;
	default:
		return false;
	}
}

int mig_row_check(const struct mig_row *row)
{
	if (row->side != MIG_SOURCE && row->side != MIG_DESTINATION)
		return -EINVAL;
	if (!phase_is_right(row) || row->epoch > MIG_EPOCH_MAX)
		return -EINVAL;
	if (!is_text(row->guest, sizeof(row->guest)) || !is_text(row->why, sizeof(row->why)) ||
	    !is_text(row->new_name, sizeof(row->new_name)) ||
	    !is_text(row->peer.name, sizeof(row->peer.name)) ||
	    !is_text(row->peer.address, sizeof(row->peer.address)) ||
	    !is_text(row->peer.fingerprint, sizeof(row->peer.fingerprint)))
		return -EINVAL;
	return 0;
}
