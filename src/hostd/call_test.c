/* SPDX-License-Identifier: MIT */
/*
 * The tables of procedures: each is described, stands in one table alone, and what changes
 * something is kept from those who may only read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "hostd/call_own.h"
#include "hostd/migration_hooks.h"
#include "rpc/libvirt.h"
#include "rpc/peer.h"
#include "rpc/proc.h"

#define NUMBERS_MAX 1024 /* above all procedures of libvirt's */

/* What a read-only connection may call: nothing else may be flagged so. */
static const int32_t reading[] = {
	RPC_AUTH_LIST,
	RPC_CONNECT_CLOSE,
	RPC_CONNECT_DOMAIN_XML_TO_NATIVE,
	RPC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY,
	RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY,
	RPC_CONNECT_DOMAIN_EVENT_DEREGISTER,
	RPC_CONNECT_DOMAIN_EVENT_DEREGISTER_ANY,
	RPC_CONNECT_DOMAIN_EVENT_REGISTER,
	RPC_CONNECT_DOMAIN_EVENT_REGISTER_ANY,
	RPC_CONNECT_GET_ALL_DOMAIN_STATS,
	RPC_CONNECT_GET_CAPABILITIES,
	RPC_CONNECT_GET_DOMAIN_CAPABILITIES,
	RPC_CONNECT_GET_HOSTNAME,
	RPC_CONNECT_GET_LIB_VERSION,
	RPC_CONNECT_GET_MAX_VCPUS,
	RPC_CONNECT_GET_TYPE,
	RPC_CONNECT_GET_URI,
	RPC_CONNECT_GET_VERSION,
	RPC_CONNECT_IS_SECURE,
	RPC_CONNECT_LIST_ALL_DOMAINS,
	RPC_CONNECT_LIST_DEFINED_DOMAINS,
	RPC_CONNECT_LIST_DOMAINS,
	RPC_CONNECT_NUM_OF_DEFINED_DOMAINS,
	RPC_CONNECT_NUM_OF_DOMAINS,
	RPC_CONNECT_OPEN,
	RPC_CONNECT_REGISTER_CLOSE_CALLBACK,
	RPC_CONNECT_SUPPORTS_FEATURE,
	RPC_CONNECT_UNREGISTER_CLOSE_CALLBACK,
	RPC_DOMAIN_GET_AUTOSTART,
	RPC_DOMAIN_GET_CONTROL_INFO,
	RPC_DOMAIN_GET_INFO,
	RPC_DOMAIN_GET_JOB_INFO,
	RPC_DOMAIN_GET_JOB_STATS,
	RPC_DOMAIN_GET_MAX_MEMORY,
	RPC_DOMAIN_GET_MAX_VCPUS,
	RPC_DOMAIN_GET_MESSAGES,
	RPC_DOMAIN_GET_OS_TYPE,
	RPC_DOMAIN_GET_SECURITY_LABEL,
	RPC_DOMAIN_GET_STATE,
	RPC_DOMAIN_GET_VCPUS_FLAGS,
	RPC_DOMAIN_GET_XML_DESC,
	RPC_DOMAIN_HAS_CURRENT_SNAPSHOT,
	RPC_DOMAIN_HAS_MANAGED_SAVE_IMAGE,
	RPC_DOMAIN_IS_ACTIVE,
	RPC_DOMAIN_IS_PERSISTENT,
	RPC_DOMAIN_IS_UPDATED,
	RPC_DOMAIN_LIST_ALL_SNAPSHOTS,
	RPC_DOMAIN_LOOKUP_BY_ID,
	RPC_DOMAIN_LOOKUP_BY_NAME,
	RPC_DOMAIN_LOOKUP_BY_UUID,
	RPC_DOMAIN_MIGRATE_GET_MAX_DOWNTIME,
	RPC_DOMAIN_MIGRATE_GET_MAX_SPEED,
	RPC_DOMAIN_SNAPSHOT_NUM,
	RPC_NODE_GET_CPU_MAP,
	RPC_NODE_GET_FREE_MEMORY,
	RPC_NODE_GET_INFO,
	RPC_NODE_GET_SECURITY_MODEL,
};

static bool only_reads(int32_t number)
{
	for (size_t i = 0; i < ARRAY_LEN(reading); i++)
		if (reading[i] == number)
			return true;
	return false;
}

static void check_table(const struct proc *table, uint32_t program, bool *seen)
{
	for (const struct proc *p = table; p->number; p++) {
		const struct rpc_proc *what = rpc_proc_find(program, p->number);

		assert_non_null(what);
		assert_non_null(p->handler);
		assert_in_range(p->number, 1, NUMBERS_MAX - 1);
		if (seen[p->number])
			fail_msg("%s is in two tables", what->name);
		seen[p->number] = true;
		if (program == RPC_PROGRAM && p->flags & PROC_READ_ONLY && !only_reads(p->number))
			fail_msg("%s is open to those who may only read", what->name);
	}
}

static void every_procedure_has_one_place(void **state)
{
	bool seen[NUMBERS_MAX] = { false }, peers[NUMBERS_MAX] = { false };

	(void)state;
	check_table(call_connect_procs(), RPC_PROGRAM, seen);
	check_table(call_list_procs(), RPC_PROGRAM, seen);
	check_table(call_domain_procs(), RPC_PROGRAM, seen);
	check_table(call_change_procs(), RPC_PROGRAM, seen);
	check_table(call_define_procs(), RPC_PROGRAM, seen);
	check_table(call_event_procs(), RPC_PROGRAM, seen);
	check_table(call_native_procs(), RPC_PROGRAM, seen);
	check_table(call_save_procs(), RPC_PROGRAM, seen);
	check_table(migration_hooks()->procs, RPC_PROGRAM, seen);
	check_table(migration_hooks()->peer_procs, PEER_PROGRAM, peers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_procedure_has_one_place),
	};

	return cmocka_run_group_tests_name("hostd/call", tests, NULL, NULL);
}
