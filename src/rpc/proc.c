/* SPDX-License-Identifier: MIT */
/*
 * What each procedure carries. The tables are in order of their numbers, which proc_test.c holds
 * them to: rpc_proc_find bisects.
 */
#include "rpc/proc.h"

#include "base/own.h"
#include "rpc/libvirt.h"
#include "rpc/peer.h"

#define ROW(number, args, ret, args_size, ret_size)                                                \
	{                                                                                          \
		number, #number, args, ret, args_size, ret_size                                    \
	}
/* A procedure with arguments and a result; with one of them; with none. */
#define BOTH(number, args, ret) ROW(number, RPC_XDR(args), RPC_XDR(ret), sizeof(args), sizeof(ret))
#define TAKES(number, args) ROW(number, RPC_XDR(args), NULL, sizeof(args), 0)
#define GIVES(number, ret) ROW(number, NULL, RPC_XDR(ret), 0, sizeof(ret))
#define PLAIN(number) ROW(number, NULL, NULL, 0, 0)

static const struct rpc_proc libvirt_procs[] = {
	TAKES(RPC_CONNECT_OPEN, rpc_maybe_flags_args),
	PLAIN(RPC_CONNECT_CLOSE),
	GIVES(RPC_CONNECT_GET_TYPE, rpc_string_ret),
	GIVES(RPC_CONNECT_GET_VERSION, rpc_u64_ret),
	BOTH(RPC_CONNECT_GET_MAX_VCPUS, rpc_maybe_args, rpc_int_ret),
	GIVES(RPC_NODE_GET_INFO, rpc_node_info_ret),
	GIVES(RPC_CONNECT_GET_CAPABILITIES, rpc_string_ret),
	TAKES(RPC_DOMAIN_CREATE, rpc_dom_args),
	BOTH(RPC_DOMAIN_CREATE_XML, rpc_xml_flags_args, rpc_dom_ret),
	BOTH(RPC_DOMAIN_DEFINE_XML, rpc_string_args, rpc_dom_ret),
	TAKES(RPC_DOMAIN_DESTROY, rpc_dom_args),
	BOTH(RPC_DOMAIN_GET_XML_DESC, rpc_dom_flags_args, rpc_string_ret),
	BOTH(RPC_DOMAIN_GET_AUTOSTART, rpc_dom_args, rpc_int_ret),
	BOTH(RPC_DOMAIN_GET_INFO, rpc_dom_args, rpc_dom_info_ret),
	BOTH(RPC_DOMAIN_GET_MAX_MEMORY, rpc_dom_args, rpc_u64_ret),
	BOTH(RPC_DOMAIN_GET_MAX_VCPUS, rpc_dom_args, rpc_int_ret),
	BOTH(RPC_DOMAIN_GET_OS_TYPE, rpc_dom_args, rpc_string_ret),
	BOTH(RPC_DOMAIN_GET_VCPUS, rpc_dom_vcpus_args, rpc_dom_vcpus_ret),
	BOTH(RPC_CONNECT_LIST_DEFINED_DOMAINS, rpc_int_args, rpc_list_names_ret),
	BOTH(RPC_DOMAIN_LOOKUP_BY_ID, rpc_int_args, rpc_dom_ret),
	BOTH(RPC_DOMAIN_LOOKUP_BY_NAME, rpc_string_args, rpc_dom_ret),
	BOTH(RPC_DOMAIN_LOOKUP_BY_UUID, rpc_uuid_args, rpc_dom_ret),
	GIVES(RPC_CONNECT_NUM_OF_DEFINED_DOMAINS, rpc_int_ret),
	TAKES(RPC_DOMAIN_REBOOT, rpc_dom_flags_args),
	TAKES(RPC_DOMAIN_RESUME, rpc_dom_args),
	TAKES(RPC_DOMAIN_SET_AUTOSTART, rpc_dom_int_args),
	TAKES(RPC_DOMAIN_SHUTDOWN, rpc_dom_args),
	TAKES(RPC_DOMAIN_SUSPEND, rpc_dom_args),
	TAKES(RPC_DOMAIN_UNDEFINE, rpc_dom_args),
	BOTH(RPC_CONNECT_LIST_DOMAINS, rpc_int_args, rpc_list_ids_ret),
	GIVES(RPC_CONNECT_NUM_OF_DOMAINS, rpc_int_ret),
	TAKES(RPC_DOMAIN_RESTORE, rpc_string_args),
	TAKES(RPC_DOMAIN_SAVE, rpc_save_args),
	GIVES(RPC_CONNECT_GET_HOSTNAME, rpc_string_ret),
	BOTH(RPC_CONNECT_SUPPORTS_FEATURE, rpc_int_args, rpc_int_ret),
	BOTH(RPC_DOMAIN_MIGRATE_PREPARE, rpc_prepare1_args, rpc_prepare_ret),
	TAKES(RPC_DOMAIN_MIGRATE_PERFORM, rpc_perform1_args),
	BOTH(RPC_DOMAIN_MIGRATE_FINISH, rpc_finish1_args, rpc_dom_ret),
	GIVES(RPC_AUTH_LIST, rpc_auth_list_ret),
	GIVES(RPC_AUTH_POLKIT, rpc_int_ret),
	BOTH(RPC_NODE_GET_CELLS_FREE_MEMORY, rpc_cells_args, rpc_cells_ret),
	GIVES(RPC_NODE_GET_FREE_MEMORY, rpc_u64_ret),
	GIVES(RPC_CONNECT_DOMAIN_EVENT_REGISTER, rpc_int_ret),
	GIVES(RPC_CONNECT_DOMAIN_EVENT_DEREGISTER, rpc_int_ret),
	TAKES(RPC_DOMAIN_EVENT_LIFECYCLE, rpc_event_lifecycle),
	BOTH(RPC_DOMAIN_MIGRATE_PREPARE2, rpc_prepare2_args, rpc_prepare_ret),
	BOTH(RPC_DOMAIN_MIGRATE_FINISH2, rpc_finish2_args, rpc_dom_ret),
	GIVES(RPC_CONNECT_GET_URI, rpc_string_ret),
	BOTH(RPC_DOMAIN_GET_SECURITY_LABEL, rpc_dom_args, rpc_dom_label_ret),
	GIVES(RPC_NODE_GET_SECURITY_MODEL, rpc_security_model_ret),
	BOTH(RPC_CONNECT_DOMAIN_XML_TO_NATIVE, rpc_native_args, rpc_string_ret),
	GIVES(RPC_CONNECT_IS_SECURE, rpc_int_ret),
	BOTH(RPC_DOMAIN_IS_ACTIVE, rpc_dom_args, rpc_int_ret),
	BOTH(RPC_DOMAIN_IS_PERSISTENT, rpc_dom_args, rpc_int_ret),
	GIVES(RPC_CONNECT_GET_LIB_VERSION, rpc_u64_ret),
	BOTH(RPC_DOMAIN_GET_JOB_INFO, rpc_dom_args, rpc_job_info_ret),
	TAKES(RPC_DOMAIN_ABORT_JOB, rpc_dom_args),
	TAKES(RPC_DOMAIN_MIGRATE_SET_MAX_DOWNTIME, rpc_dom_u64_flags_args),
	TAKES(RPC_CONNECT_DOMAIN_EVENT_REGISTER_ANY, rpc_int_args),
	TAKES(RPC_CONNECT_DOMAIN_EVENT_DEREGISTER_ANY, rpc_int_args),
	TAKES(RPC_DOMAIN_EVENT_REBOOT, rpc_event_dom),
	TAKES(RPC_DOMAIN_MANAGED_SAVE, rpc_dom_flags_args),
	BOTH(RPC_DOMAIN_HAS_MANAGED_SAVE_IMAGE, rpc_dom_flags_args, rpc_int_ret),
	TAKES(RPC_DOMAIN_MANAGED_SAVE_REMOVE, rpc_dom_flags_args),
	BOTH(RPC_DOMAIN_SNAPSHOT_NUM, rpc_dom_flags_args, rpc_int_ret),
	BOTH(RPC_DOMAIN_HAS_CURRENT_SNAPSHOT, rpc_dom_flags_args, rpc_int_ret),
	BOTH(RPC_DOMAIN_CREATE_WITH_FLAGS, rpc_dom_flags_args, rpc_dom_ret),
	BOTH(RPC_DOMAIN_GET_VCPUS_FLAGS, rpc_dom_flags_args, rpc_int_ret),
	BOTH(RPC_DOMAIN_IS_UPDATED, rpc_dom_args, rpc_int_ret),
	TAKES(RPC_DOMAIN_MIGRATE_SET_MAX_SPEED, rpc_dom_u64_flags_args),
	BOTH(RPC_DOMAIN_GET_STATE, rpc_dom_flags_args, rpc_dom_state_ret),
	BOTH(RPC_DOMAIN_MIGRATE_BEGIN3, rpc_begin3_args, rpc_begin_ret),
	BOTH(RPC_DOMAIN_MIGRATE_PREPARE3, rpc_prepare3_args, rpc_prepare_ret),
	BOTH(RPC_DOMAIN_MIGRATE_PERFORM3, rpc_perform3_args, rpc_cookie_ret),
	BOTH(RPC_DOMAIN_MIGRATE_FINISH3, rpc_finish3_args, rpc_finish_ret),
	TAKES(RPC_DOMAIN_MIGRATE_CONFIRM3, rpc_confirm3_args),
	BOTH(RPC_DOMAIN_GET_CONTROL_INFO, rpc_dom_flags_args, rpc_dom_control_ret),
	TAKES(RPC_DOMAIN_UNDEFINE_FLAGS, rpc_dom_flags_args),
	TAKES(RPC_DOMAIN_SAVE_FLAGS, rpc_save_flags_args),
	TAKES(RPC_DOMAIN_RESTORE_FLAGS, rpc_restore_flags_args),
	TAKES(RPC_DOMAIN_DESTROY_FLAGS, rpc_dom_flags_args),
	BOTH(RPC_DOMAIN_SAVE_IMAGE_GET_XML_DESC, rpc_image_flags_args, rpc_string_ret),
	TAKES(RPC_DOMAIN_SAVE_IMAGE_DEFINE_XML, rpc_image_define_args),
	BOTH(RPC_DOMAIN_MIGRATE_GET_MAX_SPEED, rpc_dom_flags_args, rpc_u64_ret),
	TAKES(RPC_DOMAIN_RESET, rpc_dom_flags_args),
	TAKES(RPC_DOMAIN_SHUTDOWN_FLAGS, rpc_dom_flags_args),
	BOTH(RPC_DOMAIN_GET_METADATA, rpc_dom_metadata_args, rpc_string_ret),
	BOTH(RPC_CONNECT_LIST_ALL_DOMAINS, rpc_list_all_args, rpc_list_all_ret),
	BOTH(RPC_DOMAIN_LIST_ALL_SNAPSHOTS, rpc_dom_list_args, rpc_list_snapshots_ret),
	BOTH(RPC_DOMAIN_GET_HOSTNAME, rpc_dom_flags_args, rpc_string_ret),
	BOTH(RPC_NODE_GET_CPU_MAP, rpc_cpu_map_args, rpc_cpu_map_ret),
	BOTH(RPC_DOMAIN_GET_JOB_STATS, rpc_dom_flags_args, rpc_job_stats_ret),
	BOTH(RPC_DOMAIN_MIGRATE_GET_COMPRESSION_CACHE, rpc_dom_flags_args, rpc_u64_ret),
	TAKES(RPC_DOMAIN_MIGRATE_SET_COMPRESSION_CACHE, rpc_dom_u64_flags_args),
	BOTH(RPC_DOMAIN_MIGRATE_BEGIN3_PARAMS, rpc_begin_args, rpc_begin_ret),
	BOTH(RPC_DOMAIN_MIGRATE_PREPARE3_PARAMS, rpc_prepare_args, rpc_prepare_ret),
	BOTH(RPC_DOMAIN_MIGRATE_PREPARE_TUNNEL3_PARAMS, rpc_prepare_args, rpc_cookie_ret),
	BOTH(RPC_DOMAIN_MIGRATE_PERFORM3_PARAMS, rpc_perform_args, rpc_cookie_ret),
	BOTH(RPC_DOMAIN_MIGRATE_FINISH3_PARAMS, rpc_finish_args, rpc_finish_ret),
	TAKES(RPC_DOMAIN_MIGRATE_CONFIRM3_PARAMS, rpc_confirm_args),
	BOTH(RPC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, rpc_event_register_args, rpc_int_ret),
	TAKES(RPC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY, rpc_int_args),
	TAKES(RPC_DOMAIN_EVENT_CALLBACK_LIFECYCLE, rpc_callback_lifecycle),
	TAKES(RPC_DOMAIN_EVENT_CALLBACK_REBOOT, rpc_callback_dom),
	BOTH(RPC_CONNECT_GET_DOMAIN_CAPABILITIES, rpc_domain_capabilities_args, rpc_string_ret),
	BOTH(RPC_CONNECT_GET_ALL_DOMAIN_STATS, rpc_stats_args, rpc_stats_ret),
	BOTH(RPC_DOMAIN_DEFINE_XML_FLAGS, rpc_xml_flags_args, rpc_dom_ret),
	BOTH(RPC_DOMAIN_RENAME, rpc_dom_rename_args, rpc_int_ret),
	TAKES(RPC_DOMAIN_EVENT_CALLBACK_MIGRATION_ITERATION, rpc_callback_iteration),
	PLAIN(RPC_CONNECT_REGISTER_CLOSE_CALLBACK),
	PLAIN(RPC_CONNECT_UNREGISTER_CLOSE_CALLBACK),
	TAKES(RPC_CONNECT_EVENT_CONNECTION_CLOSED, rpc_event_closed),
	TAKES(RPC_DOMAIN_EVENT_CALLBACK_JOB_COMPLETED, rpc_callback_job),
	TAKES(RPC_DOMAIN_MIGRATE_START_POST_COPY, rpc_dom_flags_args),
	BOTH(RPC_DOMAIN_MIGRATE_GET_MAX_DOWNTIME, rpc_dom_flags_args, rpc_u64_ret),
	BOTH(RPC_DOMAIN_MANAGED_SAVE_GET_XML_DESC, rpc_dom_flags_args, rpc_string_ret),
	TAKES(RPC_DOMAIN_MANAGED_SAVE_DEFINE_XML, rpc_managed_define_args),
	BOTH(RPC_DOMAIN_GET_MESSAGES, rpc_dom_flags_args, rpc_dom_messages_ret),
	TAKES(RPC_DOMAIN_SAVE_PARAMS, rpc_save_params_args),
	TAKES(RPC_DOMAIN_RESTORE_PARAMS, rpc_restore_params_args),
	TAKES(RPC_DOMAIN_ABORT_JOB_FLAGS, rpc_dom_flags_args),
};

static const struct rpc_proc peer_procs[] = {
	BOTH(PEER_START, peer_msg, peer_ans),	   BOTH(PEER_STATE, peer_msg, peer_ans),
	BOTH(PEER_ABORT, peer_msg, peer_ans),	   BOTH(PEER_COMMIT, peer_msg, peer_ans),
	BOTH(PEER_FAILED, peer_msg, peer_ans),	   BOTH(PEER_TAKEN, peer_msg, peer_ans),
	BOTH(PEER_RETURN, peer_msg, peer_ans),	   BOTH(PEER_HELLO, peer_hello, peer_hello),
	BOTH(PEER_STATUS, peer_hello, peer_hello), BOTH(PEER_LIST, peer_list_args, peer_list_ret),
};

const struct rpc_proc *rpc_proc_table(uint32_t program, size_t *ret_n)
{
	switch (program) {
	case RPC_PROGRAM:
		*ret_n = ARRAY_LEN(libvirt_procs);
		return libvirt_procs;
	case PEER_PROGRAM:
		*ret_n = ARRAY_LEN(peer_procs);
		return peer_procs;
	default:
		*ret_n = 0;
		return NULL;
	}
}

const struct rpc_proc *rpc_proc_find(uint32_t program, int32_t number)
{
	size_t low = 0, high;
	const struct rpc_proc *procs = rpc_proc_table(program, &high);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (procs[middle].number == number)
			return &procs[middle];
		if (procs[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}
