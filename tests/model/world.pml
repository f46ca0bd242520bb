/* SPDX-License-Identifier: MIT */
/*
 * All that is nobody's choice: included by handover.pml. Guests' processes, the networks, the
 * arbiter, and the judge of how it ended.
 */
#define LOSE(m, said) atomic { m && FAULT -> SPEND; SAY(said) m = 0 }

active proctype guests()
{
	do
	:: atomic { sending && s_guest == RUN -> SAY("g stops") s_guest = PAUSED }
	:: atomic { sending && s_guest == PAUSED && d_guest == WAITS -> SAY("g is received") RECEIVED d_guest = FULL }
#ifndef OFFLINE
	:: atomic { /* D's process dies */
		d_guest != GONE && d_guest != DEAD && FAULT -> SPEND;
		SAY("g dies")
		if
		:: d_may_run -> lost = 1
		:: else -> skip
		fi;
		d_guest = DEAD
	}
#endif
	od
}

active proctype network()
{
	do
	:: atomic { cs && pc < OVER && FAULT -> SPEND; SAY("c loses s") cs = 0; from_s = 0 }
	:: atomic { cd && pc < OVER && FAULT -> SPEND; SAY("c loses d") cd = 0; from_d = 0 }
	/* What was sent before the cut may still be read, or not. */
	:: atomic { !cs && to_s != 0 -> to_s = 0 }
	:: atomic { !cd && to_d != 0 -> to_d = 0 }
#ifdef ANY
	:: atomic { s_up && to_s == 0 && again_s != 0 -> to_s = again_s }
	:: atomic { d_up && to_d == 0 && again_d != 0 -> to_d = again_d }
#else
	:: LOSE(m_start, "n loses start")
	:: LOSE(m_state, "n loses state")
	:: LOSE(m_abort, "n loses abort")
	:: LOSE(m_commit, "n loses commit")
	:: LOSE(m_failed, "n loses failed")
	:: LOSE(m_question, "n loses question")
	:: LOSE(m_taken, "n loses taken")
	:: LOSE(m_return, "n loses return")
	:: LOSE(a_start_ok, "n loses answer start")
	:: LOSE(a_start_no, "n loses answer start")
	:: LOSE(a_state_ok, "n loses answer state")
	:: LOSE(a_state_no, "n loses answer state")
	:: LOSE(a_abort_ok, "n loses answer abort")
	:: LOSE(a_abort_owned, "n loses answer abort")
	:: LOSE(a_commit_granted, "n loses answer commit")
	:: LOSE(a_commit_no, "n loses answer commit")
	:: LOSE(a_failed_ok, "n loses answer failed")
	:: LOSE(a_failed_granted, "n loses answer failed")
	:: LOSE(a_question_granted, "n loses answer question")
	:: LOSE(a_question_no, "n loses answer question")
	:: LOSE(a_taken_ok, "n loses answer taken")
	:: LOSE(a_return_ok, "n loses answer return")
#endif
	od
}

#ifdef ARBITER
/* Serves what it was asked, at any time, or never. */
active proctype arbiter()
{
	atomic {
		key = KEY_S; /* S has put its name there */
#ifdef LATE_PUT
		q_put = 1 /* and said so twice */
#endif
	}
	do
#ifdef LATE_PUT
	:: atomic { /* compare: it must say what S had read before */
		arbiter_up && q_put ->
#ifdef MISTAKE_PUT_WITHOUT_COMPARING
		key = KEY_S;
#else
		if
		:: key == KEY_OLD -> key = KEY_S
		:: else -> skip
		fi;
#endif
		q_put = 0
	}
#endif
	:: atomic {
		arbiter_up && q_s -> SAY("a serves s") TOOK(q_s);
		if
		:: key == KEY_S -> key = KEY_S1
		:: else -> skip
		fi;
		if
		:: key == KEY_S1 -> a_s_yes = 1
		:: key == KEY_D1 -> a_s_no = 1
		fi
	}
	:: atomic {
		arbiter_up && q_d -> SAY("a serves d") TOOK(q_d);
		if
		:: key == KEY_S -> key = KEY_D1
		:: else -> skip
		fi;
		if
		:: key == KEY_D1 -> a_d_yes = 1
		:: key == KEY_S1 -> a_d_no = 1
		fi
	}
	:: atomic { arbiter_up && FAULT -> SPEND; arbiter_up = 0 }
#ifndef ANY
	:: LOSE(q_s, "n loses s arbiter")
	:: LOSE(q_d, "n loses d arbiter")
	:: LOSE(a_s_yes, "n loses s arbiter")
	:: LOSE(a_s_no, "n loses s arbiter")
	:: LOSE(a_d_yes, "n loses d arbiter")
	:: LOSE(a_d_no, "n loses d arbiter")
#endif
	od
}
#endif

#ifndef ANY
/* Nobody can do anything any more: what is there? */
active proctype judge()
{
	atomic {
		timeout -> quiet = 1;
		END
		assert(s_up && d_up && pc == OVER);	  /* every call was answered */
		assert(s_guest == RUN || s_guest == GONE);	  /* no paused leftover */
		assert(d_guest == RUN || d_guest == GONE);
		assert(lost || (s_guest == RUN) + (d_guest == RUN) == 1); /* exactly one */
		assert(!lost || s_guest != RUN);
		assert(!sending && s_at == IDLE && d_at == IDLE); /* no job */
		assert(s_call == 0 && d_call == 0);
		assert(s_row == NONE || s_row == DONE);
		assert(d_row == NONE || d_row == DONE);
		/* What both tell afterwards is true. */
		assert(s_moved == d_moved);
		assert(s_moved == (s_guest == GONE));
		assert(!said_no || !d_moved)
	}
end:	false
}
#endif
