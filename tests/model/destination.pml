/* SPDX-License-Identifier: MIT */
/*
 * The destination daemon: included by handover.pml. Invariant: the guest runs only with OWNED in
 * the journal, which is written only when it was granted; DROPPED and RETURNED are for ever.
 */
#ifdef MISTAKE_DONE_BEFORE_DESTROYED
#define D_CLEARED true
#else
#define D_CLEARED (d_guest == GONE)
#endif

#ifdef MISTAKE_RETURN_AFTER_RUN
#define NEVER_RAN (!d_told)
#else
#define NEVER_RAN (!d_may_run)
#endif

active proctype destination()
{
	do
	/* -- the client's calls -- */
	:: atomic {
		d_up && to_d == PREPARE_ -> to_d = 0;
		READ_D(PREPARE_);
		if
		:: d_row == NONE && d_at == IDLE && d_guest == GONE ->
			d_at = PREPARED;
			d_guest = WAITS;
			d_client = 1;
			SAY("d prepare ok")
			reply_d(PREPARE_, OK)
		:: else -> SAY("d prepare refused") reply_d(PREPARE_, ERR)
		fi
	}
	:: atomic {
		d_up && to_d == FINISH_ -> to_d = 0;
		READ_D(FINISH_);
		SAY("d finish")
		d_call = FINISH_;
		if
		:: d_at == PREPARED && cancelled -> d_at = IDLE
		:: (d_at == RECV || (d_at == READY && !d_asked)) && cancelled -> d_drop_row()
#ifdef OFFLINE
		:: d_at == PREPARED && !cancelled -> /* all of it is in the row */
			d_row = RECEIVING;
			d_at = READY;
			d_guest = FULL;
			d_state = 1
#endif
#ifdef MISTAKE_DROP_AFTER_ASKING
		:: d_at == READY && d_asked && cancelled -> d_row = DONE; d_at = IDLE; d_asked = 0
#endif
		:: else -> skip
		fi
	}
	:: atomic { d_up && d_call == FINISH_ && D_RUNNING -> d_call = 0; SAY("d replies finish ok") reply_d(FINISH_, OK) }
	:: atomic {
		d_up && d_call == FINISH_ && D_STAYED -> d_call = 0;
		said_no = 1;
		SAY("d replies finish error")
		reply_d(FINISH_, ERR)
	}
	:: atomic {
		d_up && d_client && !cd && to_d == 0 -> SAY("d sees the client gone") d_client = 0;
		d_call = 0;
		if
		:: d_at == PREPARED -> d_at = IDLE
		:: d_at == RECV -> d_drop_row()
		:: else -> skip
		fi
	}

	/* -- a time limit, an error -- */
	:: atomic { d_up && d_at == PREPARED && FAULT -> SPEND; SAY("d gives up") d_at = IDLE }
	:: atomic { d_up && d_at == RECV && FAULT -> SPEND; SAY("d gives up") d_drop_row() }
	:: atomic { d_up && d_at == PREPARED && d_guest == DEAD -> SAY("d sees the guest dead") d_at = IDLE }
	:: atomic {
		d_up && (d_at == RECV || (d_at == READY && !d_asked)) && d_guest == DEAD ->
		SAY("d sees the guest dead")
		d_drop_row()
	}

	/* -- S's calls -- */
	:: atomic { d_up && m_start && d_at == PREPARED -> SAY("d takes start") d_row = RECEIVING; d_at = RECV }
	:: atomic {
		d_up && m_start && (d_at == RECV || d_at == READY || D_RUNNING) -> SAY("d answers start ok") TOOK(m_start);
		a_start_ok = 1
	}
	:: atomic { d_up && m_start && D_STAYED -> SAY("d answers start refused") TOOK(m_start); a_start_no = 1 }
	:: atomic {
		d_up && m_state && (d_at == RECV || d_at == READY || D_RUNNING) -> SAY("d answers state ok") TOOK(m_state);
		if
		:: d_at == RECV -> d_state = 1
		:: else -> skip
		fi;
		a_state_ok = 1
	}
	:: atomic { d_up && m_state && D_STAYED -> SAY("d answers state refused") TOOK(m_state); a_state_no = 1 }
	:: atomic { d_up && m_abort && d_at == PREPARED -> SAY("d takes abort") d_at = IDLE }
	:: atomic { d_up && m_abort && d_row == RECEIVING -> SAY("d takes abort") d_drop_row() }
	:: atomic { d_up && m_abort && D_STAYED -> SAY("d answers abort ok") TOOK(m_abort); a_abort_ok = 1 }
	:: atomic { d_up && m_abort && D_RUNNING -> SAY("d answers abort owned") TOOK(m_abort); a_abort_owned = 1 }

	/* -- calls -- */
	:: atomic { d_up && d_at == RECV && d_guest == FULL && d_state -> SAY("d has all") d_at = READY }
	:: atomic {
		d_up && d_at == READY && UNLESS(m_commit || a_commit_granted || a_commit_no) &&
			!m_commit -> SAY("d says commit") m_commit = 1;
		d_asked = 1
	}
	:: atomic {
		d_up && d_row == DROPPED && !d_told &&
			UNLESS(m_failed || a_failed_ok || a_failed_granted) && !m_failed ->
		SAY("d says failed")
		m_failed = 1
	}
	:: atomic {
		d_up && d_at == AGAIN && UNLESS(m_question || a_question_granted || a_question_no) &&
			!m_question -> SAY("d says question") m_question = 1
	}
	:: atomic {
		d_up && d_row == OWNED && D_SETTLED && !d_told && UNLESS(m_taken || a_taken_ok) &&
			!m_taken -> SAY("d says taken") m_taken = 1
	}
	:: atomic {
		d_up && d_row == RETURNED && !d_told && UNLESS(m_return || a_return_ok) && !m_return -> SAY("d says return")
#ifndef MISTAKE_NOTHING_IS_RETURNED
		m_return = 1
#else
		d_told = 1
#endif
	}

	/* -- their answers -- */
	:: atomic {
		d_up && a_commit_granted -> SAY("d hears commit granted") TOOK(a_commit_granted);
		if
		:: d_at == READY && d_asked ->
#ifdef MISTAKE_RUN_BEFORE_JOURNAL
			if
			:: d_guest == FULL -> D_RUNS
			:: d_guest == RUN -> d_row = OWNED; d_at = IDLE; d_asked = 0
			:: else -> d_granted()
			fi
#else
			d_granted()
#endif
		:: else -> skip
		fi
	}
	:: atomic {
		d_up && a_commit_no -> SAY("d hears commit refused") TOOK(a_commit_no);
		if
		:: d_at == READY && d_asked -> d_drop_row()
		:: else -> skip
		fi
	}
	:: atomic {
		d_up && a_question_granted -> SAY("d hears question granted") TOOK(a_question_granted);
		if
		:: d_at == AGAIN -> d_granted()
		:: else -> skip
		fi
	}
	:: atomic {
		d_up && a_question_no -> SAY("d hears question ok") TOOK(a_question_no);
		if
		:: d_at == AGAIN -> d_drop_row()
		:: else -> skip
		fi
	}
	:: atomic { d_up && a_failed_ok -> SAY("d hears failed ok") TOOK(a_failed_ok); d_told = (d_row != DONE) }
	:: atomic { /* given meanwhile, and dropped: given back */
		d_up && a_failed_granted -> SAY("d hears failed granted") TOOK(a_failed_granted);
		if
#ifdef MISTAKE_DROPPED_KEEPS_WHAT_WAS_GIVEN
		:: d_row == DROPPED -> d_told = 1
#else
		:: d_row == DROPPED -> d_row = RETURNED
#endif
		:: else -> skip
		fi
	}
	:: atomic { d_up && a_taken_ok -> SAY("d hears taken ok") TOOK(a_taken_ok); d_told = (d_row != DONE) }
	:: atomic { d_up && a_return_ok -> SAY("d hears return ok") TOOK(a_return_ok); d_told = (d_row != DONE) }

	/* -- cut off: the arbiter -- */
	:: atomic {
		d_up && ARB && d_at == READY && d_asked && UNLESS(q_d || a_d_yes || a_d_no) && !q_d ->
		SAY("d asks the arbiter")
		q_d = 1
	}
	:: atomic {
		d_up && a_d_yes -> SAY("d hears the arbiter") TOOK(a_d_yes);
		if
		:: d_at == READY && d_asked -> d_granted()
		:: else -> skip
		fi
	}
	:: atomic {
		d_up && a_d_no -> SAY("d hears the arbiter") TOOK(a_d_no);
		if
		:: d_at == READY && d_asked -> d_drop_row()
		:: else -> skip
		fi
	}

	/* -- the guest -- */
	:: atomic { d_up && d_row == OWNED && d_guest == FULL && !d_may_run -> SAY("d may run") d_may_run = 1 }
	:: atomic { d_up && d_row == OWNED && d_guest == FULL && d_may_run -> SAY("d runs") D_RUNS }
	:: atomic { d_up && d_row == OWNED && d_guest == DEAD && NEVER_RAN -> SAY("d gives back") d_row = RETURNED }
	:: atomic {
		d_up && d_guest != GONE &&
			(d_row == DROPPED || d_row == RETURNED || (d_row == NONE && d_at == IDLE)) ->
		SAY("d destroys")
		d_guest = GONE;
		d_state = 0
	}
	:: atomic { d_up && d_guest == DEAD && d_may_run && D_RUNNING -> SAY("d buries") d_guest = GONE }
	:: atomic {
		d_up && (d_row == DROPPED || d_row == RETURNED) && d_told && D_CLEARED -> SAY("d is done") d_row = DONE;
		d_told = 0
	}
	:: atomic { d_up && d_row == OWNED && D_SETTLED && d_told -> SAY("d is done") d_row = DONE;
		d_moved = 1;
		d_told = 0 }

	/* -- a crash, and what a new one does about what it finds -- */
	:: atomic {
		d_up && FAULT -> SPEND;
		SAY("d dies")
		d_up = 0;
#ifdef MISTAKE_ASK_BEFORE_JOURNAL
		if
		:: d_row == RECEIVING -> d_row = NONE
		:: else -> skip
		fi;
#endif
		d_at = IDLE;
		d_asked = 0;
		d_told = 0;
		d_client = 0;
		d_call = 0;
		cd = 0;
		to_d = 0;
		from_d = 0;
		a_commit_granted = 0;
		a_commit_no = 0;
		a_failed_ok = 0;
		a_failed_granted = 0;
		a_question_granted = 0;
		a_question_no = 0;
		a_taken_ok = 0;
		a_return_ok = 0;
		a_d_yes = 0;
		a_d_no = 0;
#ifndef ANY
		m_start = 0;
		m_state = 0;
		m_abort = 0;
#endif
	}
	:: atomic {
		!d_up -> SAY("d starts") d_up = 1;
		if
#ifdef OFFLINE /* nothing can be lost: it asks again, and may have asked before */
		:: d_row == RECEIVING -> d_at = READY; d_asked = 1
#else
		:: d_row == RECEIVING -> d_at = AGAIN
#endif
		:: else -> skip
		fi
	}
	od
}
