/* SPDX-License-Identifier: MIT */
/*
 * One guest handed over from a source S to a destination D by a client, as
 * docs/decisions/0015-handing-over.md has it. A step of a party is one atomic option of its loop;
 * between any two steps anybody else may act, or somebody may crash.
 *
 * A message in flight is a bit. There are two ways to read what a network does with it:
 *
 *   ANY     a bit that was set stays: each message may arrive any number of times, at any later
 *           time, or never, and parties crash as often as they like. What holds here holds whatever
 *           happens. (What never ends cannot be asked here.)
 *   FAULTS  a bit is consumed, and FAULTS things in all go wrong: a crash, a loss, a duplicate, a
 *           connection cut, a dead guest process, a cancel, a time limit. All runs are then finite,
 *           and how each of them ends is judged: one guest, nothing left over.
 *
 * Invariant: what a party writes into its journal (s_row, d_row) is all that it has after a crash;
 * guests' processes (s_guest, d_guest) outlive daemons. A MISTAKE_ breaks one rule of the protocol;
 * run.py shows that spin finds each.
 *
 * ARBITER: the migration was begun with an arbiter. OFFLINE: a definition moves, and no memory.
 * SHORT_CLIENT: one that asks for no more once it has called Perform.
 */

#ifndef FAULTS
#define FAULTS 3
#endif

/*
 * TRACE, for a simulation: each step says its name, and what is not said on the way is told by the
 * last line. With AT, faults begin after AT of them, and are GAP apart. (tests/migrate/replay.h does
 * the same steps with the code.)
 */
#ifdef AT
short steps = 0;
short next = AT;
#define STEP steps++;
#else
#define STEP
#endif
#ifdef TRACE
#define SAY(step) printf("@"); printf(step); printf("\n"); STEP
#define END	  printf("@end %d %d %d %d %d\n", s_moved, d_moved, s_guest, d_guest, lost);
bit received = 0;
#define RECEIVED received = 1;
/* The code is stricter here: with an arbiter, STATE is said once all memory is there. */
#define ALL_SENT (!ARB || received)
#else
#define ALL_SENT true
#define SAY(step)
#define END
#define RECEIVED
#endif

/* ---- what outlives a crash ---- */

#define NONE	    0
#define PERFORMING  1 /* s_row */
#define GIVEN	    2
#define ABORTED	    3
#define RECEIVING   1 /* d_row */
#define OWNED	    2
#define RETURNED    3
#define DROPPED	    4
#define DONE	    5 /* both */
byte s_row = NONE;
byte d_row = NONE;
bit s_moved = 0; /* what a DONE says: the guest is D's */
bit d_moved = 0;

#define GONE   0 /* s_guest, d_guest: no process */
#define RUN    1
#define PAUSED 2 /* s_guest */
#define WAITS  2 /* d_guest: for memory */
#define FULL   3 /* d_guest: all memory is there, paused */
#define DEAD   4 /* d_guest: it ended, and nobody has looked yet */
byte s_guest = RUN;
byte d_guest = GONE;
bit sending = 0; /* S's guest process sends; it stops when it has */
bit d_state = 0; /* the guest's part of the store is there */
bit d_may_run = 0; /* in the guest's directory: from now on it may have run */

/* ---- what does not ---- */

#define IDLE	 0
#define BEGUN	 1 /* s_at */
#define PERFORM  2
#define SENT	 3
#define ABORTING 4
#define PREPARED 1 /* d_at */
#define RECV	 2
#define READY	 3
#define AGAIN	 4 /* started again, and found `receiving` in the journal */
byte s_at = IDLE;
byte d_at = IDLE;
bit s_up = 1, d_up = 1;
bit s_start_ok = 0, s_state_ok = 0, s_state_sent = 0, s_told = 0, s_taken = 0;
bit d_asked = 0, d_told = 0;

/* ---- the peers' calls and their answers ---- */

bit m_start, m_state, m_abort, m_commit, m_failed, m_question, m_taken, m_return;
bit a_start_ok, a_start_no, a_state_ok, a_state_no, a_abort_ok, a_abort_owned;
bit a_commit_granted, a_commit_no, a_failed_ok, a_failed_granted;
bit a_question_granted, a_question_no;
bit a_taken_ok, a_return_ok;

/* ---- the arbiter: one key, compare-and-swap ---- */

#define KEY_OLD 0 /* of a former owner */
#define KEY_S	1 /* (S, e) */
#define KEY_S1	2 /* (S, e + 1) */
#define KEY_D1	3 /* (D, e + 1) */
byte key = KEY_OLD;
bit arbiter_up = 1;
bit q_put, q_s, q_d; /* requests */
bit a_s_yes, a_s_no, a_d_yes, a_d_no;

#ifdef ARBITER
#define ARB true
#else
#define ARB false
#endif

/* ---- the client ---- */

#define BEGIN_	 1
#define PREPARE_ 2
#define PERFORM_ 3
#define FINISH_	 4
#define CONFIRM_ 5
#define OVER	 6
byte pc = 0;	       /* the call that it waits for */
bit cancelled = 0;     /* what it says in Finish, later in Confirm */
bit cs = 1, cd = 1;    /* its connections */
byte to_s, to_d;       /* calls that were not read yet */
byte again_s, again_d; /* ANY: the last one read, which may come again */
byte from_s, from_d;   /* replies */
#define OK  1
#define ERR 2
byte s_call, d_call; /* calls that were read and wait for their reply */
bit s_client, d_client; /* the daemon thinks that the client is there */

/* ---- judged ---- */

bit d_ran = 0;	/* the guest has run an instruction at D */
bit lost = 0;	/* its process died at D when it may have run: no fault of the protocol */
bit said_no = 0; /* Finish said that it does not run at D */
byte faults = FAULTS;
bit quiet = 0;

/* S's guest runs (again): it must never have run at D. */
#define S_RUNS                                                                                     \
	s_guest = RUN;                                                                                  \
	assert(!d_ran)
/* D's guest runs: S's must be stopped for good, and nobody was told otherwise. */
#define D_RUNS                                                                                     \
	assert(s_guest != RUN);                                                                         \
	assert(!said_no);                                                                          \
	d_guest = RUN;                                                                                  \
	d_may_run = 1;                                                                             \
	d_ran = 1

/* Follows from the rest; a mistake shall be found by the harm that it does instead. */
#ifdef MISTAKE
#define EXPECT(what) skip
#else
#define EXPECT(what) assert(what)
#endif

#ifdef ANY
#define FAULT	    true
#define SPEND	    skip
#define TOOK(m)	    skip
#define UNLESS(...) true
#define READ_S(call) again_s = call
#define READ_D(call) again_d = call
#else
#define READ_S(call) skip
#define READ_D(call) skip
#ifdef AT
#define FAULT faults > 0 && steps >= next
#define SPEND faults--; next = steps + GAP
#else
#define FAULT faults > 0
#define SPEND faults--
#endif
/* Read: gone, or, a duplicate, still there. */
#define TOOK(m)                                                                                    \
	if                                                                                         \
	::m = 0;                                                                                   \
	::faults > 0->faults--;                                                                    \
	fi
/* Said again only where neither call nor answer is on its way. */
#define UNLESS(...) !(__VA_ARGS__)
#endif

inline s_forget()
{
	s_at = IDLE;
	s_start_ok = 0;
	s_state_ok = 0;
	s_state_sent = 0;
}

inline s_abort_row()
{
	s_row = ABORTED;
	sending = 0;
	s_forget()
}

inline s_given_row()
{
	s_row = GIVEN;
	s_forget()
}

inline d_drop_row()
{
	d_row = DROPPED;
	d_at = IDLE;
	d_asked = 0
}

/* Granted, by S or by the arbiter. */
inline d_granted()
{
	if
	:: d_guest == FULL && d_state -> d_row = OWNED
	:: else -> d_row = RETURNED
	fi;
	d_at = IDLE;
	d_asked = 0
}

inline reply_s(which, what)
{
	if
	:: cs && pc == which && from_s == 0 -> from_s = what
	:: else -> skip
	fi
}

inline reply_d(which, what)
{
	if
	:: cd && pc == which && from_d == 0 -> from_d = what
	:: else -> skip
	fi
}

#define S_OVER	 (s_row == ABORTED || s_row == DONE || (s_row == NONE && s_at == IDLE))
#define S_GAVE	 (s_row == GIVEN || (s_row == DONE && s_moved))
#define S_STAYED                                                                                   \
	(s_row == ABORTED || (s_row == DONE && !s_moved) || (s_row == NONE && s_at == IDLE))
#define D_RUNNING ((d_row == OWNED && D_SETTLED) || (d_row == DONE && d_moved))
/* Not FULL, and not dead before it could run. */
#define D_SETTLED (d_may_run && d_guest != FULL)
#define D_STAYED                                                                                   \
	(d_row == DROPPED || d_row == RETURNED || (d_row == DONE && !d_moved) ||                   \
	 (d_row == NONE && d_at == IDLE))

#include "source.pml"
#include "destination.pml"
#include "client.pml"
#include "world.pml"

#ifdef ENDS
/* No run goes on for ever: so each of them is judged. */
ltl ends { <> quiet }
#endif
