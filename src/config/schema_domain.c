/* SPDX-License-Identifier: MIT */
/*
 * The domain and the whole: fields in the order in which they are written.
 */
#include "config/schema_own.h"

#include <stddef.h>
#include <string.h>

/* Which bits of a leaf and of an MSR a domain sees: a character for each bit. */
static const struct schema_type schema_type_cpuid_register = { .name = "cpuid_register",
							       .kind = SCHEMA_STRING,
							       .bits = 32 };
static const struct schema_type schema_type_msr_register = { .name = "msr_register",
							     .kind = SCHEMA_STRING,
							     .bits = 64 };

FIELDS(cpuid_leaf){
	FI("leaf", uint32, UINT32_MAX),
	FI("subleaf", uint32, UINT32_MAX),
	F("eax", cpuid_register),
	F("ebx", cpuid_register),
	F("ecx", cpuid_register),
	F("edx", cpuid_register),
	END,
};
static STRUCT(cpuid_leaf);

FIELDS(cpuid_msr){
	FI("index", uint32, UINT32_MAX),
	F("policy", msr_register),
	END,
};
static STRUCT(cpuid_msr);

FIELDS(cpuid_policy){
	LIST("cpuid", cpuid_leaf),
	LIST("msr", cpuid_msr),
	END,
};
STRUCT(cpuid_policy);

FIELDS(domain_create_info){
	FI("type", domain_type, -1),
	F("hap", defbool),
	F("oos", defbool),
	F("ssidref", uint32),
	F("ssid_label", string),
	F("name", string),
	F("domid", uint32),
	F("uuid", uuid),
	F("xsdata", key_value_list),
	F("platformdata", key_value_list),
	F("poolid", uint32),
	F("pool_name", string),
	F("run_hotplug_scripts", defbool),
	F("driver_domain", defbool),
	F("passthrough", passthrough),
	F("xend_suspend_evtchn_compat", defbool),
	END,
};
static STRUCT(domain_create_info);

FIELDS(vga_interface_info){
	F("kind", vga_interface_type),
	END,
};
static STRUCT(vga_interface_info);

FIELDS(spice_info){
	F("enable", defbool),
	F("port", int32),
	F("tls_port", int32),
	F("host", string),
	F("disable_ticketing", defbool),
	F("passwd", string),
	F("agent_mouse", defbool),
	F("vdagent", defbool),
	F("clipboard_sharing", defbool),
	F("usbredirection", int32),
	F("image_compression", string),
	F("streaming_video", string),
	END,
};
static STRUCT(spice_info);

FIELDS(rdm_reserve){
	F("strategy", rdm_reserve_strategy),
	FI("policy", rdm_reserve_policy, -1),
	END,
};
static STRUCT(rdm_reserve);

FIELDS(vnode_info){
	FI("memkb", uint64, -1),
	LIST("distances", uint32),
	F("pnode", uint32),
	F("vcpus", bitmap),
	END,
};
static STRUCT(vnode_info);

FIELDS(domain_sched_params){
	F("sched", scheduler),	 FI("weight", int32, -1),  FI("cap", int32, -1),
	FI("period", int32, -1), FI("budget", int32, -1),  FI("extratime", int32, -1),
	FI("slice", int32, -1),	 FI("latency", int32, -1), END,
};
static STRUCT(domain_sched_params);

FIELDS(ioport_range){
	F("first", uint32),
	F("number", uint32),
	END,
};
static STRUCT(ioport_range);

FIELDS(iomem_range){
	F("start", uint64),
	F("number", uint64),
	FI("gfn", uint64, -1),
	END,
};
static STRUCT(iomem_range);

FIELDS(smbios){
	F("key", smbios_type),
	F("value", string),
	END,
};
static STRUCT(smbios);

FIELDS(domain_build_info_invalid){
	END,
};
static STRUCT(domain_build_info_invalid);

FIELDS(domain_build_info_hvm){
	F("firmware", string),
	F("bios", bios_type),
	F("pae", defbool),
	F("apic", defbool),
	F("acpi", defbool),
	F("acpi_s3", defbool),
	F("acpi_s4", defbool),
	F("acpi_laptop_slate", defbool),
	F("nx", defbool),
	F("viridian", defbool),
	F("viridian_enable", bitmap),
	F("viridian_disable", bitmap),
	F("timeoffset", string),
	F("hpet", defbool),
	F("vpt_align", defbool),
	FI("mmio_hole_memkb", uint64, -1),
	FI("timer_mode", timer_mode, -1),
	F("nested_hvm", defbool),
	F("altp2m", defbool),
	F("system_firmware", string),
	F("smbios_firmware", string),
	LIST_SINCE("smbios", smbios, 0x0418),
	F("acpi_firmware", string),
	FI("hdtype", hdtype, 1),
	F("nographic", defbool),
	F("vga", vga_interface_info),
	F("vnc", vnc_info),
	F("keymap", string),
	F("sdl", sdl_info),
	F("spice", spice_info),
	F("gfx_passthru", defbool),
	F("gfx_passthru_kind", gfx_passthru_kind),
	F("serial", string),
	F("boot", string),
	F("usb", defbool),
	F("usbversion", int32),
	F("usbdevice", string),
	F("vkb_device", defbool),
	F("soundhw", string),
	F("xen_platform_pci", defbool),
	F_SINCE("xen_platform_pci_bar_uc", defbool, 0x0421),
	F("usbdevice_list", string_list),
	F("vendor_device", vendor_device),
	F("ms_vm_genid", ms_vm_genid),
	F("serial_list", string_list),
	F("rdm", rdm_reserve),
	FI("rdm_mem_boundary_memkb", uint64, -1),
	F("mca_caps", uint64),
	F_SINCE("pirq", defbool, 0x0419),
	END,
};
static STRUCT(domain_build_info_hvm);

FIELDS(domain_build_info_pv){
	F("kernel", string),	 FI("slack_memkb", uint64, -1),
	F("bootloader", string), F("bootloader_args", string_list),
	F("cmdline", string),	 F("ramdisk", string),
	F("e820_host", defbool), END,
};
static STRUCT(domain_build_info_pv);

FIELDS(domain_build_info_pvh){
	F("pvshim", defbool),
	F("pvshim_path", string),
	F("pvshim_cmdline", string),
	F("pvshim_extra", string),
	END,
};
static STRUCT(domain_build_info_pvh);

FIELDS(arm_sci){
	F("type", arm_sci_type),
	END,
};
static STRUCT(arm_sci);

FIELDS(xs_quota_item){
	F("name", string),
	F("val", uint32),
	END,
};
static STRUCT(xs_quota_item);

FIELDS(xs_quota_list){
	LIST("quota", xs_quota_item),
	END,
};
static STRUCT(xs_quota_list);

FIELDS(domain_build_info_arch_arm){
	F("gic_version", gic_version),	     F("vuart", vuart_type),
	F_SINCE("sve_vl", sve_type, 0x0418), FI_SINCE("nr_spis", uint32, UINT32_MAX, 0x0420),
	F_SINCE("arm_sci", arm_sci, 0x0421), END,
};
static STRUCT(domain_build_info_arch_arm);

FIELDS(domain_build_info_arch_x86){
	F("msr_relaxed", defbool),
	END,
};
static STRUCT(domain_build_info_arch_x86);

FIELDS(domain_build_info){
	F("max_vcpus", int32),
	F("avail_vcpus", bitmap),
	F("cpumap", bitmap),
	F("nodemap", bitmap),
	LIST("vcpu_hard_affinity", bitmap),
	LIST("vcpu_soft_affinity", bitmap),
	F("numa_placement", defbool),
	F("tsc_mode", tsc_mode),
	FI("max_memkb", uint64, -1),
	FI("target_memkb", uint64, -1),
	FI("video_memkb", uint64, -1),
	FI("shadow_memkb", uint64, -1),
	FI("iommu_memkb", uint64, -1),
	F("rtc_timeoffset", uint32),
	F("exec_ssidref", uint32),
	F("exec_ssid_label", string),
	F("localtime", defbool),
	F("disable_migrate", defbool),
	F("cpuid", cpuid_policy_list),
	F("blkdev_start", string),
	LIST("vnuma_nodes", vnode_info),
	FI("max_grant_frames", uint32, UINT32_MAX),
	FI("max_maptrack_frames", uint32, UINT32_MAX),
	FI("max_grant_version", int32, -1),
	F("device_model_version", device_model_version),
	F("device_model_stubdomain", defbool),
	FI("stubdomain_memkb", uint64, -1),
	F("stubdomain_kernel", string),
	F("stubdomain_cmdline", string),
	F("stubdomain_ramdisk", string),
	F("device_model", string),
	F("device_model_ssidref", uint32),
	F("device_model_ssid_label", string),
	F("device_model_user", string),
	F("extra", string_list),
	F("extra_pv", string_list),
	F("extra_hvm", string_list),
	F("sched_params", domain_sched_params),
	LIST("ioports", ioport_range),
	LIST("irqs", uint32),
	LIST("iomem", iomem_range),
	LIST_SINCE("llc_colors", uint32, 0x0420),
	F("claim_mode", defbool),
	F("event_channels", uint32),
	F("kernel", string),
	F("cmdline", string),
	F("ramdisk", string),
	F("device_tree", string),
	F("acpi", defbool),
	F("bootloader", string),
	F("bootloader_args", string_list),
	F_SINCE("bootloader_restrict", defbool, 0x0419),
	F_SINCE("bootloader_user", string, 0x0419),
	FI("timer_mode", timer_mode, -1),
	F("nested_hvm", defbool),
	F("apic", defbool),
	F("dm_restrict", defbool),
	F("tee", tee_type),
	VARIANT_INIT("type", "invalid", domain_build_info_invalid),
	VARIANT("type", "hvm", domain_build_info_hvm),
	VARIANT("type", "pv", domain_build_info_pv),
	VARIANT("type", "pvh", domain_build_info_pvh),
	F("arch_arm", domain_build_info_arch_arm),
	F("arch_x86", domain_build_info_arch_x86),
	F("altp2m", altp2m_mode),
	FI_SINCE("altp2m_count", uint32, UINT32_MAX, 0x0420),
	F("vmtrace_buf_kb", int32),
	F("vpmu", defbool),
	F_SINCE("trap_unmapped_accesses", defbool, 0x0421),
	FI_SINCE("xenstore_feature_mask", uint32, UINT32_MAX, 0x0422),
	F_SINCE("xenstore_quota", xs_quota_list, 0x0422),
	END,
};
static STRUCT(domain_build_info);

FIELDS(domain_config){
	F("c_info", domain_create_info),
	F("b_info", domain_build_info),
	LIST("disks", device_disk),
	LIST("nics", device_nic),
	LIST("pcidevs", device_pci),
	LIST("rdms", device_rdm),
	LIST("dtdevs", device_dtdev),
	LIST("vfbs", device_vfb),
	LIST("vkbs", device_vkb),
	LIST_SINCE("virtios", device_virtio, 0x0418),
	LIST("vtpms", device_vtpm),
	LIST("p9s", device_p9),
	LIST("pvcallsifs", device_pvcallsif),
	LIST("vdispls", device_vdispl),
	LIST("vsnds", device_vsnd),
	LIST("channels", device_channel),
	LIST("usbctrls", device_usbctrl),
	LIST("usbdevs", device_usbdev),
	FI("on_poweroff", action_on_shutdown, 1),
	FI("on_reboot", action_on_shutdown, 1),
	FI("on_watchdog", action_on_shutdown, 1),
	FI("on_crash", action_on_shutdown, 1),
	FI("on_soft_reset", action_on_shutdown, 1),
	END,
};
static STRUCT(domain_config);

const struct schema_type *schema_domain_config(void)
{
	return &schema_type_domain_config;
}

const struct schema_type *schema_of_list(const char *list)
{
	for (const struct schema_field *f = fields_domain_config; f->name; f++)
		if (f->shape == SCHEMA_ARRAY && !strcmp(f->name, list))
			return f->type;
	return NULL;
}
