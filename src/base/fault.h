/* SPDX-License-Identifier: MIT */
/*
 * Faults of our own: negative errnos, logged once where they arise and passed up unchanged.
 */
#ifndef DROVER_BASE_FAULT_H
#define DROVER_BASE_FAULT_H

/* Logs "fault: <errno name> at file:line" and returns err, which must be negative. */
#ifdef __clang_analyzer__
#define FAULT(err) (err) /* so that it sees a failure for what it is */
#else
#define FAULT(err) fault_at(__FILE__, __LINE__, (err))
#endif

int fault_at(const char *file, int line, int err);

#endif
