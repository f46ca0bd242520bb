/* SPDX-License-Identifier: MIT */
/*
 * Devices, their fields in the order in which they are written.
 */
#include "config/schema_own.h"

#include <stddef.h>

FIELDS(vnc_info){
	F("enable", defbool), F("listen", string),	F("passwd", string),
	F("display", int32),  F("findunused", defbool), END,
};
STRUCT(vnc_info);

FIELDS(sdl_info){
	F("enable", defbool),
	F("opengl", defbool),
	F("display", string),
	F("xauthority", string),
	END,
};
STRUCT(sdl_info);

FIELDS(device_disk){
	F("backend_domid", uint32),
	F("backend_domname", string),
	F("pdev_path", string),
	F("vdev", string),
	F("backend", disk_backend),
	F("format", disk_format),
	F("script", string),
	F("removable", int32),
	F("readwrite", int32),
	F("is_cdrom", int32),
	F("direct_io_safe", bool),
	F("discard_enable", defbool),
	F("specification", disk_specification),
	F("transport", disk_transport),
	F("irq", uint32),
	F("base", uint64),
	F("colo_enable", defbool),
	F("colo_restore_enable", defbool),
	F("colo_host", string),
	F("colo_port", int32),
	F("colo_export", string),
	F("active_disk", string),
	F("hidden_disk", string),
	F("trusted", defbool),
	F_SINCE("grant_usage", defbool, 0x0419),
	END,
};
STRUCT(device_disk);

FIELDS(device_nic){
	F("backend_domid", uint32),
	F("backend_domname", string),
	FI("devid", int32, -1),
	F("mtu", int32),
	F_SINCE("vlan", string, 0x0419),
	F("model", string),
	F("mac", mac),
	F("ip", string),
	F("bridge", string),
	F("ifname", string),
	F("script", string),
	F("nictype", nic_type),
	F("rate_bytes_per_interval", uint64),
	F("rate_interval_usecs", uint32),
	F("gatewaydev", string),
	F("coloft_forwarddev", string),
	F("colo_sock_mirror_id", string),
	F("colo_sock_mirror_ip", string),
	F("colo_sock_mirror_port", string),
	F("colo_sock_compare_pri_in_id", string),
	F("colo_sock_compare_pri_in_ip", string),
	F("colo_sock_compare_pri_in_port", string),
	F("colo_sock_compare_sec_in_id", string),
	F("colo_sock_compare_sec_in_ip", string),
	F("colo_sock_compare_sec_in_port", string),
	F("colo_sock_compare_notify_id", string),
	F("colo_sock_compare_notify_ip", string),
	F("colo_sock_compare_notify_port", string),
	F("colo_sock_redirector0_id", string),
	F("colo_sock_redirector0_ip", string),
	F("colo_sock_redirector0_port", string),
	F("colo_sock_redirector1_id", string),
	F("colo_sock_redirector1_ip", string),
	F("colo_sock_redirector1_port", string),
	F("colo_sock_redirector2_id", string),
	F("colo_sock_redirector2_ip", string),
	F("colo_sock_redirector2_port", string),
	F("colo_filter_mirror_queue", string),
	F("colo_filter_mirror_outdev", string),
	F("colo_filter_redirector0_queue", string),
	F("colo_filter_redirector0_indev", string),
	F("colo_filter_redirector0_outdev", string),
	F("colo_filter_redirector1_queue", string),
	F("colo_filter_redirector1_indev", string),
	F("colo_filter_redirector1_outdev", string),
	F("colo_compare_pri_in", string),
	F("colo_compare_sec_in", string),
	F("colo_compare_out", string),
	F("colo_compare_notify_dev", string),
	F("colo_sock_sec_redirector0_id", string),
	F("colo_sock_sec_redirector0_ip", string),
	F("colo_sock_sec_redirector0_port", string),
	F("colo_sock_sec_redirector1_id", string),
	F("colo_sock_sec_redirector1_ip", string),
	F("colo_sock_sec_redirector1_port", string),
	F("colo_filter_sec_redirector0_queue", string),
	F("colo_filter_sec_redirector0_indev", string),
	F("colo_filter_sec_redirector0_outdev", string),
	F("colo_filter_sec_redirector1_queue", string),
	F("colo_filter_sec_redirector1_indev", string),
	F("colo_filter_sec_redirector1_outdev", string),
	F("colo_filter_sec_rewriter0_queue", string),
	F("colo_checkpoint_host", string),
	F("colo_checkpoint_port", string),
	F("trusted", defbool),
	END,
};
STRUCT(device_nic);

FIELDS(device_pci){
	F("func", uint8),
	F("dev", uint8),
	F("bus", uint8),
	F("domain", int32),
	F("vdevfn", uint32),
	F("vfunc_mask", uint32),
	F("msitranslate", bool),
	F("power_mgmt", bool),
	F("permissive", bool),
	F("seize", bool),
	FI("rdm_policy", rdm_reserve_policy, -1),
	F("name", string),
	END,
};
STRUCT(device_pci);

FIELDS(device_rdm){
	F("start", uint64),
	F("size", uint64),
	FI("policy", rdm_reserve_policy, -1),
	END,
};
STRUCT(device_rdm);

FIELDS(device_dtdev){
	F("path", string),
	END,
};
STRUCT(device_dtdev);

FIELDS(device_vfb){
	F("backend_domid", uint32),
	F("backend_domname", string),
	FI("devid", int32, -1),
	F("vnc", vnc_info),
	F("sdl", sdl_info),
	F("keymap", string),
	END,
};
STRUCT(device_vfb);

FIELDS(device_vkb){
	F("backend_domid", uint32),
	F("backend_domname", string),
	FI("devid", int32, -1),
	F("backend_type", vkb_backend),
	F("unique_id", string),
	F("feature_disable_keyboard", bool),
	F("feature_disable_pointer", bool),
	F("feature_abs_pointer", bool),
	F("feature_raw_pointer", bool),
	F("feature_multi_touch", bool),
	F("width", uint32),
	F("height", uint32),
	F("multi_touch_width", uint32),
	F("multi_touch_height", uint32),
	F("multi_touch_num_contacts", uint32),
	END,
};
STRUCT(device_vkb);

FIELDS(device_virtio){
	F("backend_domid", uint32),
	F("backend_domname", string),
	F("type", string),
	F("transport", virtio_transport),
	F_SINCE("grant_usage", defbool, 0x0419),
	FI("devid", int32, -1),
	F("irq", uint32),
	F("base", uint64),
	END,
};
STRUCT(device_virtio);

FIELDS(device_vtpm){
	F("backend_domid", uint32),
	F("backend_domname", string),
	FI("devid", int32, -1),
	F("uuid", uuid),
	END,
};
STRUCT(device_vtpm);

FIELDS(device_p9){
	F("backend_domid", uint32),
	F("backend_domname", string),
	F("tag", string),
	F("path", string),
	F("security_model", string),
	FI("devid", int32, -1),
	F_SINCE("type", p9_type, 0x0419),
	F_SINCE("max_space", int32, 0x0419),
	F_SINCE("max_files", int32, 0x0419),
	F_SINCE("max_open_files", int32, 0x0419),
	F_SINCE("auto_delete", bool, 0x0419),
	END,
};
STRUCT(device_p9);

FIELDS(device_pvcallsif){
	F("backend_domid", uint32),
	F("backend_domname", string),
	FI("devid", int32, -1),
	END,
};
STRUCT(device_pvcallsif);

FIELDS(connector_param){
	F("unique_id", string),
	F("width", uint32),
	F("height", uint32),
	END,
};
static STRUCT(connector_param);

FIELDS(device_vdispl){
	F("backend_domid", uint32), F("backend_domname", string),	 FI("devid", int32, -1),
	F("be_alloc", bool),	    LIST("connectors", connector_param), END,
};
STRUCT(device_vdispl);

FIELDS(vsnd_params){
	LIST("sample_rates", uint32), LIST("sample_formats", vsnd_pcm_format),
	F("channels_min", uint32),    F("channels_max", uint32),
	F("buffer_size", uint32),     END,
};
static STRUCT(vsnd_params);

FIELDS(vsnd_stream){
	F("unique_id", string),
	F("type", vsnd_stream_type),
	F("params", vsnd_params),
	END,
};
static STRUCT(vsnd_stream);

FIELDS(vsnd_pcm){
	F("name", string),
	F("params", vsnd_params),
	LIST("streams", vsnd_stream),
	END,
};
static STRUCT(vsnd_pcm);

FIELDS(device_vsnd){
	F("backend_domid", uint32), F("backend_domname", string),
	FI("devid", int32, -1),	    F("short_name", string),
	F("long_name", string),	    F("params", vsnd_params),
	LIST("pcms", vsnd_pcm),	    END,
};
STRUCT(device_vsnd);

FIELDS(device_channel_unknown){
	END,
};
static STRUCT(device_channel_unknown);

FIELDS(device_channel_pty){
	END,
};
static STRUCT(device_channel_pty);

FIELDS(device_channel_socket){
	F("path", string),
	END,
};
static STRUCT(device_channel_socket);

FIELDS(device_channel){
	F("backend_domid", uint32),
	F("backend_domname", string),
	FI("devid", int32, -1),
	F("name", string),
	VARIANT_INIT("connection", "unknown", device_channel_unknown),
	VARIANT("connection", "pty", device_channel_pty),
	VARIANT("connection", "socket", device_channel_socket),
	END,
};
STRUCT(device_channel);

FIELDS(device_usbctrl){
	F("type", usbctrl_type),
	FI("devid", int32, -1),
	F("version", int32),
	F("ports", int32),
	F("backend_domid", uint32),
	F("backend_domname", string),
	END,
};
STRUCT(device_usbctrl);

FIELDS(device_usbdev_hostdev){
	F("hostbus", uint8),
	F("hostaddr", uint8),
	END,
};
static STRUCT(device_usbdev_hostdev);

FIELDS(device_usbdev){
	FI("ctrl", int32, -1),
	F("port", int32),
	VARIANT("type", "hostdev", device_usbdev_hostdev),
	END,
};
STRUCT(device_usbdev);
