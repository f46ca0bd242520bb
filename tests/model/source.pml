/* SPDX-License-Identifier: MIT */
/*
 * The source daemon: included by handover.pml. Invariant: once s_row is GIVEN, it resumes its guest
 * only on D's durable word that D never will run it.
 */
#ifdef MISTAKE_RESUME_WITHOUT_ARBITER
#define S_ALONE true
#else
#define S_ALONE (!ARB || !s_state_sent)
#endif
#ifdef MISTAKE_DONE_BEFORE_RESUMED
#define S_RESUMED true
#else
#define S_RESUMED (s_guest == RUN && !sending)
#endif

active proctype source()
{
	do
	/* -- the client's calls -- */
	:: atomic {
		s_up && to_s == BEGIN_ -> to_s = 0;
		if
		:: s_row == NONE && s_at == IDLE ->
			s_at = BEGUN;
			s_client = 1;
			SAY("s begin ok")
			reply_s(BEGIN_, OK)
		:: else -> SAY("s begin refused") reply_s(BEGIN_, ERR)
		fi
	}
	:: atomic {
		s_up && to_s == PERFORM_ -> to_s = 0;
		READ_S(PERFORM_);
		if
		:: s_row == NONE && s_at == BEGUN -> /* the row, and in it that there is an arbiter */
			s_row = PERFORMING;
			s_at = PERFORM;
			SAY("s perform ok")
			s_call = PERFORM_
		:: else -> SAY("s perform refused") reply_s(PERFORM_, ERR)
		fi
	}
	:: atomic {
		s_up && to_s == CONFIRM_ -> to_s = 0;
		READ_S(CONFIRM_);
		SAY("s confirm")
		if
		:: s_at == BEGUN && cancelled -> s_forget()
		:: else -> skip
		fi;
#ifdef MISTAKE_CANCEL_OVERTAKES_COMMIT
		if
		:: s_row == GIVEN && cancelled -> s_abort_row()
		:: else -> skip
		fi;
#endif
		s_call = CONFIRM_
	}
	:: atomic { s_up && s_call == PERFORM_ && S_GAVE -> s_call = 0; SAY("s replies perform ok") reply_s(PERFORM_, OK) }
	:: atomic { s_up && s_call == PERFORM_ && S_STAYED -> s_call = 0; SAY("s replies perform error") reply_s(PERFORM_, ERR) }
	:: atomic { s_up && s_call == CONFIRM_ && S_OVER -> s_call = 0; SAY("s replies confirm") reply_s(CONFIRM_, OK) }
	:: atomic { /* its connection closed: all that it had sent was read */
		s_up && s_client && !cs && to_s == 0 -> SAY("s sees the client gone") s_client = 0;
		s_call = 0;
		if
		:: s_at == BEGUN -> s_forget()
		:: s_at == PERFORM || s_at == SENT -> s_at = ABORTING
		:: else -> skip
		fi
	}

	/* -- a time limit, an error, the user's abort -- */
	:: atomic { s_up && s_at == BEGUN && FAULT -> SPEND; SAY("s gives up") s_forget() }
	:: atomic { s_up && (s_at == PERFORM || s_at == SENT) && FAULT -> SPEND; SAY("s gives up") s_at = ABORTING }

	/* -- sending -- */
	:: atomic { s_up && s_at == PERFORM && !sending && d_guest == WAITS -> SAY("s sends") sending = 1 }
	:: atomic { s_up && s_at == PERFORM && s_start_ok && s_guest == PAUSED && ALL_SENT -> SAY("s has sent") s_at = SENT }

	/* -- calls -- */
	:: atomic {
		s_up && s_at == PERFORM && !s_start_ok &&
			UNLESS(m_start || a_start_ok || a_start_no) && !m_start -> m_start = 1
	}
	:: atomic {
		s_up && s_at == SENT && !s_state_ok &&
			UNLESS(m_state || a_state_ok || a_state_no) && !m_state ->
		SAY("s says state")
		m_state = 1;
		s_state_sent = 1
	}
	:: atomic {
		s_up && ((s_row == ABORTED && !s_told) || (ARB && s_at == ABORTING && s_state_sent)) &&
			UNLESS(m_abort || a_abort_ok || a_abort_owned) && !m_abort ->
		SAY("s says abort")
		m_abort = 1
	}

	/* -- their answers -- */
	:: atomic {
		s_up && a_start_ok -> SAY("s hears start ok") TOOK(a_start_ok);
		if
		:: s_at == PERFORM -> s_start_ok = 1
		:: else -> skip
		fi
	}
	:: atomic {
		s_up && a_start_no -> SAY("s hears start refused") TOOK(a_start_no);
		if
		:: s_at == PERFORM -> s_at = ABORTING
		:: else -> skip
		fi
	}
	:: atomic {
		s_up && a_state_ok -> SAY("s hears state ok") TOOK(a_state_ok);
		if
		:: s_at == SENT -> s_state_ok = 1
		:: else -> skip
		fi
	}
	:: atomic {
		s_up && a_state_no -> SAY("s hears state refused") TOOK(a_state_no);
		if
		:: s_at == SENT -> s_at = ABORTING
		:: else -> skip
		fi
	}
	:: atomic { /* a promise, or it has heard that it stays */
		s_up && a_abort_ok -> SAY("s hears abort ok") TOOK(a_abort_ok);
		if
		:: s_row == PERFORMING -> s_abort_row(); s_told = 1
		:: s_row == ABORTED -> s_told = 1
		:: else -> skip
		fi
	}
	:: atomic {
		s_up && a_abort_owned -> SAY("s hears abort owned") TOOK(a_abort_owned);
		EXPECT(s_row != ABORTED);
		if
		:: s_row == PERFORMING -> s_given_row()
		:: else -> skip
		fi
	}

	/* -- leaving `aborting` -- */
	:: atomic {
		s_up && s_at == ABORTING && S_ALONE -> SAY("s aborts") s_abort_row()
	}
	:: atomic {
		s_up && ARB && s_at == ABORTING && s_state_sent && UNLESS(q_s || a_s_yes || a_s_no) &&
			!q_s -> SAY("s asks the arbiter") q_s = 1
	}
	:: atomic {
		s_up && a_s_yes -> SAY("s hears the arbiter") TOOK(a_s_yes);
		if
		:: s_at == ABORTING -> s_abort_row()
		:: else -> skip
		fi
	}
	:: atomic {
		s_up && a_s_no -> SAY("s hears the arbiter") TOOK(a_s_no);
		if
		:: s_at == ABORTING -> s_given_row()
		:: else -> skip
		fi
	}

	/* -- the guest goes on, and all is told -- */
	:: atomic { s_up && s_row == ABORTED && (s_guest != RUN || sending) -> SAY("s resumes") sending = 0; S_RUNS }
	:: atomic {
		s_up && s_row == ABORTED && s_told && S_RESUMED -> SAY("s is done") s_row = DONE;
		s_told = 0
	}
	:: atomic { s_up && s_row == GIVEN && s_taken && s_guest != GONE -> SAY("s destroys") s_guest = GONE; sending = 0 }
	:: atomic { s_up && s_row == GIVEN && s_taken && s_guest == GONE -> SAY("s is done")
		s_row = DONE;
		s_moved = 1;
		s_taken = 0 }

	/* -- D's calls -- */
	:: atomic {
		s_up && m_commit && s_at == SENT ->
#ifdef MISTAKE_GRANT_BEFORE_JOURNAL
		a_commit_granted = 1 /* and the row in another step, below */
	}
	:: atomic {
		s_up && m_commit && s_at == SENT && a_commit_granted ->
#endif
		SAY("s takes commit")
		s_given_row()
	}
#ifdef OFFLINE
	:: atomic { s_up && m_commit && s_at == BEGUN -> SAY("s takes commit") s_guest = PAUSED; s_given_row() }
#endif
	:: atomic { s_up && m_commit && S_GAVE -> SAY("s answers commit granted") TOOK(m_commit); a_commit_granted = 1 }
	:: atomic { s_up && m_commit && S_STAYED -> SAY("s answers commit refused") TOOK(m_commit); a_commit_no = 1 }
	:: atomic { /* FAILED, a promise */
		s_up && m_failed && s_row == PERFORMING -> SAY("s takes failed") s_abort_row();
		s_told = 1
	}
	:: atomic { s_up && m_failed && S_GAVE -> SAY("s answers failed granted") TOOK(m_failed); a_failed_granted = 1 }
	:: atomic {
		s_up && m_failed && s_row != PERFORMING && !S_GAVE -> SAY("s answers failed ok") TOOK(m_failed);
		s_told = (s_row == ABORTED);
		a_failed_ok = 1
	}
	:: atomic { /* FAILED, a question */
		s_up && m_question && (s_at == PERFORM || s_at == SENT) -> SAY("s takes question") s_at = ABORTING
	}
#ifdef MISTAKE_QUESTION_IS_A_PROMISE
	:: atomic { s_up && m_question && s_row == GIVEN -> s_abort_row() }
#endif
	:: atomic { s_up && m_question && S_GAVE -> SAY("s answers question granted") TOOK(m_question); a_question_granted = 1 }
	:: atomic { s_up && m_question && S_STAYED -> SAY("s answers question ok") TOOK(m_question); a_question_no = 1 }
	:: atomic { s_up && m_taken && s_row == PERFORMING -> SAY("s takes taken") EXPECT(ARB); s_given_row() }
	:: atomic { s_up && m_taken && s_row == GIVEN && !s_taken -> SAY("s takes taken") s_taken = 1 }
#ifdef MISTAKE_ANSWER_TAKEN_EARLY
	:: atomic { s_up && m_taken && s_taken -> TOOK(m_taken); a_taken_ok = 1 }
#endif
	:: atomic {
		s_up && m_taken && s_row != PERFORMING && s_row != GIVEN -> SAY("s answers taken ok") TOOK(m_taken);
		EXPECT(s_row == DONE && s_moved);
		a_taken_ok = 1
	}
	:: atomic {
		s_up && m_return && (s_row == PERFORMING || s_row == GIVEN) -> SAY("s takes return") s_abort_row();
		s_told = 1
	}
	:: atomic {
		s_up && m_return && s_row != PERFORMING && s_row != GIVEN -> SAY("s answers return ok") TOOK(m_return);
		EXPECT(!(s_row == DONE && s_moved));
		s_told = (s_row == ABORTED);
		a_return_ok = 1
	}

	/* -- a crash, and what a new one does about what it finds -- */
	:: atomic {
		s_up && FAULT -> SPEND;
		SAY("s dies")
		s_up = 0;
#ifdef MISTAKE_SEND_BEFORE_JOURNAL
		if
		:: s_row == PERFORMING -> s_row = NONE
		:: else -> skip
		fi;
#endif
		s_forget();
		s_told = 0;
		s_taken = 0;
		s_client = 0;
		s_call = 0;
		cs = 0;
		to_s = 0;
		from_s = 0;
		a_start_ok = 0;
		a_start_no = 0;
		a_state_ok = 0;
		a_state_no = 0;
		a_abort_ok = 0;
		a_abort_owned = 0;
		a_s_yes = 0;
		a_s_no = 0;
#ifndef ANY
		m_commit = 0;
		m_failed = 0;
		m_question = 0;
		m_taken = 0;
		m_return = 0;
#endif
	}
	:: atomic {
		!s_up -> SAY("s starts") s_up = 1;
		if
		:: s_row == PERFORMING && !ARB -> s_abort_row()
		:: s_row == PERFORMING && ARB -> s_at = ABORTING; s_state_sent = 1
		:: else -> skip
		fi
	}
	od
}
