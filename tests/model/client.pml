/* SPDX-License-Identifier: MIT */
/*
 * libvirt's client library: included by handover.pml. It calls each procedure once, in order, takes
 * a connection that is gone for an error, and may be killed at any time.
 */
#define NO_S (from_s == ERR || (!cs && from_s == 0))
#define NO_D (from_d == ERR || (!cd && from_d == 0))

inline call_s(which)
{
	pc = which;
	from_s = 0;
	if
	:: cs -> to_s = which
	:: else -> skip
	fi
}

inline call_d(which)
{
	pc = which;
	from_d = 0;
	if
	:: cd -> to_d = which
	:: else -> skip
	fi
}

inline hang_up()
{
	pc = OVER;
	cs = 0;
	cd = 0;
	from_s = 0;
	from_d = 0
}

active proctype client()
{
	do
	:: atomic { pc == 0 -> SAY("c begin") call_s(BEGIN_) }
	:: atomic { pc == BEGIN_ && from_s == OK -> SAY("c prepare") call_d(PREPARE_) }
	:: atomic { pc == BEGIN_ && NO_S -> SAY("c hang up") hang_up() }
#ifdef OFFLINE
	:: atomic { pc == PREPARE_ && from_d == OK -> SAY("c finish") call_d(FINISH_) }
#else
	:: atomic { pc == PREPARE_ && from_d == OK -> SAY("c perform") call_s(PERFORM_) }
#endif
	:: atomic { pc == PREPARE_ && NO_D -> SAY("c confirm, cancelled") cancelled = 1; call_s(CONFIRM_) }
#ifdef SHORT_CLIENT
	:: atomic { pc == PERFORM_ && to_s == 0 -> SAY("c hang up") hang_up() }
#else
	:: atomic { pc == PERFORM_ && from_s == OK -> SAY("c finish") call_d(FINISH_) }
	:: atomic { pc == PERFORM_ && NO_S -> SAY("c finish, cancelled") cancelled = 1; call_d(FINISH_) }
#endif
	:: atomic { pc == FINISH_ && from_d == OK -> SAY("c confirm") cancelled = 0; call_s(CONFIRM_) }
	:: atomic { pc == FINISH_ && NO_D -> SAY("c confirm, cancelled") cancelled = 1; call_s(CONFIRM_) }
	:: atomic { pc == CONFIRM_ && (from_s != 0 || !cs) -> SAY("c hang up") hang_up() }
	:: atomic { pc < OVER && FAULT -> SPEND; SAY("c hang up") hang_up() }
	od
}
