/* SPDX-License-Identifier: MIT */
/*
 * The simple types and the enumerations of libxl's description, by Xen's names and numbers. Names
 * are as they are written: in lower case.
 */
#include "config/schema_own.h"

#include <stddef.h>

#define NAMES(t) static const struct schema_name names_##t[] =
#define N(v, n)                                                                                    \
	{                                                                                          \
		.value = (v), .name = (n)                                                          \
	}
#define N_SINCE(v, n, version)                                                                     \
	{                                                                                          \
		.value = (v), .name = (n), .since = (version)                                      \
	}
#define ENUM(t)                                                                                    \
	const struct schema_type schema_type_##t = { .name = #t,                                   \
						     .kind = SCHEMA_ENUM,                          \
						     .names = names_##t }
#define SIMPLE(t, k, b)                                                                            \
	const struct schema_type schema_type_##t = { .name = #t, .kind = (k), .bits = (b) }

SIMPLE(bool, SCHEMA_BOOL, 0);
SIMPLE(defbool, SCHEMA_DEFBOOL, 0);
SIMPLE(int32, SCHEMA_INT, 32);
SIMPLE(uint8, SCHEMA_UINT, 8);
SIMPLE(uint32, SCHEMA_UINT, 32);
SIMPLE(uint64, SCHEMA_UINT, 64);
SIMPLE(string, SCHEMA_STRING, 0);
SIMPLE(uuid, SCHEMA_UUID, 0);
SIMPLE(mac, SCHEMA_MAC, 0);
SIMPLE(bitmap, SCHEMA_BITMAP, 0);
SIMPLE(string_list, SCHEMA_STRINGS, 0);
SIMPLE(key_value_list, SCHEMA_KEY_VALUES, 0);
SIMPLE(cpuid_policy_list, SCHEMA_CPUID, 0);
SIMPLE(ms_vm_genid, SCHEMA_GENID, 0);

NAMES(action_on_shutdown){ N(1, "destroy"),	     N(2, "restart"),
			   N(3, "restart_rename"),   N(4, "preserve"),
			   N(5, "coredump_destroy"), N(6, "coredump_restart"),
			   N(7, "soft_reset"),	     END };
ENUM(action_on_shutdown);

NAMES(altp2m_mode){ N(0, "disabled"), N(1, "mixed"), N(2, "external"), N(3, "limited"), END };
ENUM(altp2m_mode);

NAMES(arm_sci_type){ N(0, "none"), N(1, "scmi_smc"), END };
ENUM(arm_sci_type);

NAMES(bios_type){ N(0, "unknown"), N(1, "rombios"), N(2, "seabios"), N(3, "ovmf"), END };
ENUM(bios_type);

NAMES(channel_connection){ N(0, "unknown"), N(1, "pty"), N(2, "socket"), END };
ENUM(channel_connection);

NAMES(device_model_version){ N(0, "unknown"), N(1, "qemu_xen_traditional"), N(2, "qemu_xen"), END };
ENUM(device_model_version);

NAMES(disk_backend){ N(0, "unknown"), N(1, "phy"),	  N(2, "tap"),
		     N(3, "qdisk"),   N(4, "standalone"), END };
ENUM(disk_backend);

NAMES(disk_format){ N(0, "unknown"), N(1, "qcow"),  N(2, "qcow2"), N(3, "vhd"),
		    N(4, "raw"),     N(5, "empty"), N(6, "qed"),   END };
ENUM(disk_format);

NAMES(disk_specification){ N(0, "unknown"), N(1, "xen"), N(2, "virtio"), END };
ENUM(disk_specification);

NAMES(disk_transport){ N(0, "unknown"), N(1, "mmio"), END };
ENUM(disk_transport);

NAMES(domain_type){ N(-1, "invalid"), N(1, "hvm"), N(2, "pv"), N(3, "pvh"), END };
ENUM(domain_type);

NAMES(gfx_passthru_kind){ N(0, "default"), N(1, "igd"), END };
ENUM(gfx_passthru_kind);

NAMES(gic_version){ N(0, "default"), N(32, "v2"), N(48, "v3"), END };
ENUM(gic_version);

NAMES(hdtype){ N(1, "ide"), N(2, "ahci"), END };
ENUM(hdtype);

NAMES(nic_type){ N(0, "unknown"), N(1, "vif_ioemu"), N(2, "vif"), END };
ENUM(nic_type);

NAMES(p9_type){ N(0, "unknown"), N(1, "qemu"), N(2, "xen_9pfsd"), END };
ENUM(p9_type);

NAMES(passthrough){ N(0, "default"), N(1, "disabled"), N(2, "enabled"),
		    N(3, "sync_pt"), N(4, "share_pt"), END };
ENUM(passthrough);

NAMES(rdm_reserve_policy){ N(-1, "invalid"), N(0, "strict"), N(1, "relaxed"), END };
ENUM(rdm_reserve_policy);

NAMES(rdm_reserve_strategy){ N(0, "ignore"), N(1, "host"), END };
ENUM(rdm_reserve_strategy);

NAMES(scheduler){ N(0, "unknown"),  N(4, "sedf"), N(5, "credit"), N(6, "credit2"),
		  N(7, "arinc653"), N(8, "rtds"), N(9, "null"),	  END };
ENUM(scheduler);

NAMES(smbios_type){ N(1, "bios_vendor"),
		    N(2, "bios_version"),
		    N(3, "system_manufacturer"),
		    N(4, "system_product_name"),
		    N(5, "system_version"),
		    N(6, "system_serial_number"),
		    N(7, "baseboard_manufacturer"),
		    N(8, "baseboard_product_name"),
		    N(9, "baseboard_version"),
		    N(10, "baseboard_serial_number"),
		    N(11, "baseboard_asset_tag"),
		    N(12, "baseboard_location_in_chassis"),
		    N(13, "enclosure_manufacturer"),
		    N(14, "enclosure_serial_number"),
		    N(15, "enclosure_asset_tag"),
		    N(16, "battery_manufacturer"),
		    N(17, "battery_device_name"),
		    N(18, "oem"),
		    END };
ENUM(smbios_type);

NAMES(sve_type){ N(-1, "hw"),
		 N(0, "disabled"),
		 N(128, "128"),
		 N(256, "256"),
		 N(384, "384"),
		 N(512, "512"),
		 N(640, "640"),
		 N(768, "768"),
		 N(896, "896"),
		 N(1024, "1024"),
		 N(1152, "1152"),
		 N(1280, "1280"),
		 N(1408, "1408"),
		 N(1536, "1536"),
		 N(1664, "1664"),
		 N(1792, "1792"),
		 N(1920, "1920"),
		 N(2048, "2048"),
		 END };
ENUM(sve_type);

NAMES(tee_type){ N(0, "none"), N(1, "optee"), N_SINCE(2, "ffa", 0x0418), END };
ENUM(tee_type);

NAMES(timer_mode){ N(-1, "unknown"),
		   N(0, "delay_for_missed_ticks"),
		   N(1, "no_delay_for_missed_ticks"),
		   N(2, "no_missed_ticks_pending"),
		   N(3, "one_missed_tick_pending"),
		   END };
ENUM(timer_mode);

NAMES(tsc_mode){ N(0, "default"), N(1, "always_emulate"), N(2, "native"), N(3, "native_paravirt"),
		 END };
ENUM(tsc_mode);

NAMES(usbctrl_type){ N(0, "auto"), N(1, "pv"), N(2, "devicemodel"), N(3, "qusb"), END };
ENUM(usbctrl_type);

NAMES(usbdev_type){ N(1, "hostdev"), END };
ENUM(usbdev_type);

NAMES(vendor_device){ N(0, "none"), N(1, "xenserver"), END };
ENUM(vendor_device);

NAMES(vga_interface_type){ N(0, "unknown"), N(1, "cirrus"), N(2, "std"),
			   N(3, "none"),    N(4, "qxl"),    END };
ENUM(vga_interface_type);

NAMES(virtio_transport){ N(0, "unknown"), N(1, "mmio"), END };
ENUM(virtio_transport);

NAMES(vkb_backend){ N(0, "unknown"), N(1, "qemu"), N(2, "linux"), END };
ENUM(vkb_backend);

NAMES(vsnd_pcm_format){ N(1, "s8"),
			N(2, "u8"),
			N(3, "s16_le"),
			N(4, "s16_be"),
			N(5, "u16_le"),
			N(6, "u16_be"),
			N(7, "s24_le"),
			N(8, "s24_be"),
			N(9, "u24_le"),
			N(10, "u24_be"),
			N(11, "s32_le"),
			N(12, "s32_be"),
			N(13, "u32_le"),
			N(14, "u32_be"),
			N(15, "f32_le"),
			N(16, "f32_be"),
			N(17, "f64_le"),
			N(18, "f64_be"),
			N(19, "iec958_subframe_le"),
			N(20, "iec958_subframe_be"),
			N(21, "mu_law"),
			N(22, "a_law"),
			N(23, "ima_adpcm"),
			N(24, "mpeg"),
			N(25, "gsm"),
			END };
ENUM(vsnd_pcm_format);

NAMES(vsnd_stream_type){ N(1, "p"), N(2, "c"), END };
ENUM(vsnd_stream_type);

NAMES(vuart_type){ N(0, "unknown"), N(1, "sbsa_uart"), END };
ENUM(vuart_type);
