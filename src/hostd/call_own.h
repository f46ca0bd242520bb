/* SPDX-License-Identifier: MIT */
/*
 * The tables of procedures, each in the file of its handlers, and what these share.
 */
#ifndef DROVER_HOSTD_CALL_OWN_H
#define DROVER_HOSTD_CALL_OWN_H

#include "hostd/call.h"

const struct proc *call_connect_procs(void); /* proc_connect.c */
const struct proc *call_list_procs(void);    /* proc_list.c */
const struct proc *call_domain_procs(void);  /* proc_domain.c */
const struct proc *call_change_procs(void);  /* proc_change.c */
const struct proc *call_define_procs(void);  /* proc_define.c */
const struct proc *call_event_procs(void);   /* event_proc.c */
const struct proc *call_native_procs(void);  /* proc_native.c */
const struct proc *call_save_procs(void);    /* save_proc.c */

#endif
