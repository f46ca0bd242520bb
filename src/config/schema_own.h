/* SPDX-License-Identifier: MIT */
/*
 * How the tables of the schema are written, and the types that more than one of them names.
 */
#ifndef DROVER_CONFIG_SCHEMA_OWN_H
#define DROVER_CONFIG_SCHEMA_OWN_H

#include <stdint.h>

#include "config/schema.h"

/* A field; with a default other than 0; a list; since a version of Xen. */
#define F(n, t)                                                                                    \
	{                                                                                          \
		.name = (n), .type = &schema_type_##t                                              \
	}
#define FI(n, t, value)                                                                            \
	{                                                                                          \
		.name = (n), .type = &schema_type_##t, .init = (value)                             \
	}
#define LIST(n, t)                                                                                 \
	{                                                                                          \
		.name = (n), .type = &schema_type_##t, .shape = SCHEMA_ARRAY                       \
	}
#define F_SINCE(n, t, version)                                                                     \
	{                                                                                          \
		.name = (n), .type = &schema_type_##t, .since = (version)                          \
	}
#define FI_SINCE(n, t, value, version)                                                             \
	{                                                                                          \
		.name = (n), .type = &schema_type_##t, .init = (value), .since = (version)         \
	}
#define LIST_SINCE(n, t, version)                                                                  \
	{                                                                                          \
		.name = (n), .type = &schema_type_##t, .shape = SCHEMA_ARRAY, .since = (version)   \
	}

/* A variant of a union; the one that it has where none is given. */
#define VARIANT(n, v, t)                                                                           \
	{                                                                                          \
		.name = (n), .type = &schema_type_##t, .shape = SCHEMA_UNION, .variant = (v)       \
	}
#define VARIANT_INIT(n, v, t)                                                                      \
	{                                                                                          \
		.name = (n), .type = &schema_type_##t, .shape = SCHEMA_UNION, .variant = (v),      \
		.init = 1                                                                          \
	}

/* Of fields and of names alike. */
#define END                                                                                        \
	{                                                                                          \
		.name = NULL                                                                       \
	}

#define FIELDS(t) static const struct schema_field fields_##t[] =
#define STRUCT(t)                                                                                  \
	const struct schema_type schema_type_##t = { .name = #t,                                   \
						     .kind = SCHEMA_STRUCT,                        \
						     .fields = fields_##t }

extern const struct schema_type schema_type_bool, schema_type_defbool, schema_type_int32,
	schema_type_uint8, schema_type_uint32, schema_type_uint64, schema_type_string,
	schema_type_uuid, schema_type_mac, schema_type_bitmap, schema_type_string_list,
	schema_type_key_value_list, schema_type_cpuid_policy_list, schema_type_ms_vm_genid;

extern const struct schema_type schema_type_action_on_shutdown, schema_type_altp2m_mode,
	schema_type_arm_sci_type, schema_type_bios_type, schema_type_channel_connection,
	schema_type_device_model_version, schema_type_disk_backend, schema_type_disk_format,
	schema_type_disk_specification, schema_type_disk_transport, schema_type_domain_type,
	schema_type_gfx_passthru_kind, schema_type_gic_version, schema_type_hdtype,
	schema_type_nic_type, schema_type_p9_type, schema_type_passthrough,
	schema_type_rdm_reserve_policy, schema_type_rdm_reserve_strategy, schema_type_scheduler,
	schema_type_smbios_type, schema_type_sve_type, schema_type_tee_type, schema_type_timer_mode,
	schema_type_tsc_mode, schema_type_usbctrl_type, schema_type_usbdev_type,
	schema_type_vendor_device, schema_type_vga_interface_type, schema_type_virtio_transport,
	schema_type_vkb_backend, schema_type_vsnd_pcm_format, schema_type_vsnd_stream_type,
	schema_type_vuart_type;

/* What a cpuid_policy_list is in JSON. */
extern const struct schema_type schema_type_cpuid_policy;

extern const struct schema_type schema_type_device_channel, schema_type_device_disk,
	schema_type_device_dtdev, schema_type_device_nic, schema_type_device_p9,
	schema_type_device_pci, schema_type_device_pvcallsif, schema_type_device_rdm,
	schema_type_device_usbctrl, schema_type_device_usbdev, schema_type_device_vdispl,
	schema_type_device_vfb, schema_type_device_virtio, schema_type_device_vkb,
	schema_type_device_vsnd, schema_type_device_vtpm, schema_type_sdl_info,
	schema_type_vnc_info;

#endif
