/* SPDX-License-Identifier: MIT */
/*
 * Devices of each class, and what libxl 4.17 writes for them (what it cannot attach to a domain
 * that runs, from its sources). The keys of all devices are left out, and libxl's copy of the
 * backend's. For tests.
 */
#ifndef DROVER_CONFIG_CLASS_CASES_TEST_H
#define DROVER_CONFIG_CLASS_CASES_TEST_H

#include <stdint.h>
#include <string.h>

#include "config/class.h"
#include "config/json.h"

struct class_case {
	const char *class, *entry;
	const char *back;  /* below /local/domain/ */
	const char *front; /* KEY=VALUE lines; "!": the guest may only read it */
	const char *keys;  /* of the backend */
};

/* clang-format off */
static const struct class_case class_cases[] = {
	{ "vbd",
	  "{\"backend_domid\":9,\"pdev_path\":\"/dev/vg/b\",\"vdev\":\"xvdb\","
	  "\"format\":\"raw\",\"readwrite\":1}",
	  "9/backend/vbd/7/51728",
	  "virtual-device=51728\ndevice-type=disk\ntrusted=1\n"
	  "protocol=x86_64-abi\n",
	  "params=/dev/vg/b\nscript=/etc/xen/scripts/block\nremovable=0\n"
	  "bootable=1\ndev=xvdb\ntype=phy\nmode=w\ndevice-type=disk\n"
	  "discard-enable=1\nspecification=xen\n" },
	{ "vbd",
	  "{\"backend_domid\":9,\"pdev_path\":\"/tmp/c.qcow2\",\"vdev\":\"xvdc\","
	  "\"backend\":\"qdisk\",\"format\":\"qcow2\"}",
	  "9/backend/qdisk/7/51744",
	  "virtual-device=51744\ndevice-type=disk\ntrusted=1\n"
	  "protocol=x86_64-abi\n",
	  "params=qcow2:/tmp/c.qcow2\nremovable=0\nbootable=1\ndev=xvdc\n"
	  "type=qdisk\nmode=r\ndevice-type=disk\ndiscard-enable=0\n"
	  "specification=xen\n" },
	{ "vbd",
	  "{\"backend_domid\":9,\"pdev_path\":\"/tmp/d.img\",\"vdev\":\"xvdd\","
	  "\"backend\":\"qdisk\",\"format\":\"raw\",\"direct_io_safe\":true,"
	  "\"discard_enable\":\"True\",\"trusted\":\"False\"}",
	  "9/backend/qdisk/7/51760",
	  "virtual-device=51760\ndevice-type=disk\ntrusted=0\n"
	  "protocol=x86_64-abi\n",
	  "params=aio:/tmp/d.img\nremovable=0\nbootable=1\ndev=xvdd\ntype=qdisk\n"
	  "mode=r\ndevice-type=disk\ndirect-io-safe=1\ndiscard-enable=1\n"
	  "specification=xen\n" },
	{ "vbd",
	  "{\"backend_domid\":9,\"pdev_path\":\"nbd:1\",\"vdev\":\"xvde\","
	  "\"format\":\"raw\",\"script\":\"block-nbd\",\"readwrite\":1,"
	  "\"discard_enable\":\"False\",\"removable\":1}",
	  "9/backend/vbd/7/51776",
	  "virtual-device=51776\ndevice-type=disk\ntrusted=1\n"
	  "protocol=x86_64-abi\n",
	  "params=nbd:1\nscript=/etc/xen/scripts/block-nbd\nremovable=1\n"
	  "bootable=1\ndev=xvde\ntype=phy\nmode=w\ndevice-type=disk\n"
	  "discard-enable=0\nspecification=xen\n" },
	{ "vbd",
	  "{\"backend_domid\":9,\"vdev\":\"hdc\",\"format\":\"empty\","
	  "\"removable\":1,\"is_cdrom\":1}",
	  "9/backend/qdisk/7/5632",
	  "virtual-device=5632\ndevice-type=cdrom\ntrusted=1\n"
	  "protocol=x86_64-abi\n",
	  "params=aio:\nremovable=1\nbootable=1\ndev=hdc\ntype=qdisk\nmode=r\n"
	  "device-type=cdrom\ndiscard-enable=0\nspecification=xen\n" },
	{ "vbd",
	  "{\"backend_domid\":9,\"pdev_path\":\"/x.iso\",\"vdev\":\"hdd\","
	  "\"format\":\"raw\",\"removable\":1,\"is_cdrom\":1}",
	  "9/backend/vbd/7/5696",
	  "virtual-device=5696\ndevice-type=cdrom\ntrusted=1\n"
	  "protocol=x86_64-abi\n",
	  "params=/x.iso\nscript=/etc/xen/scripts/block\nremovable=1\n"
	  "bootable=1\ndev=hdd\ntype=phy\nmode=r\ndevice-type=cdrom\n"
	  "discard-enable=0\nspecification=xen\n" },
	{ "vbd",
	  "{\"backend_domid\":9,\"pdev_path\":\"/dev/g\",\"vdev\":\"xvdaa\","
	  "\"format\":\"raw\",\"readwrite\":1,\"script\":\"/opt/s\"}",
	  "9/backend/vbd/7/268442112",
	  "virtual-device=268442112\ndevice-type=disk\ntrusted=1\n"
	  "protocol=x86_64-abi\n",
	  "params=/dev/g\nscript=/opt/s\nremovable=0\nbootable=1\ndev=xvdaa\n"
	  "type=phy\nmode=w\ndevice-type=disk\ndiscard-enable=1\n"
	  "specification=xen\n" },
	{ "vbd",
	  "{\"backend_domid\":9,\"pdev_path\":\"/dev/h\",\"vdev\":\"d20p3\","
	  "\"format\":\"raw\"}",
	  "9/backend/vbd/7/268440579",
	  "virtual-device=268440579\ndevice-type=disk\ntrusted=1\n"
	  "protocol=x86_64-abi\n",
	  "params=/dev/h\nscript=/etc/xen/scripts/block\nremovable=0\n"
	  "bootable=1\ndev=d20p3\ntype=phy\nmode=r\ndevice-type=disk\n"
	  "discard-enable=0\nspecification=xen\n" },
	{ "vbd",
	  "{\"backend_domid\":9,\"pdev_path\":\"/tmp/v.vhd\",\"vdev\":\"sda1\","
	  "\"format\":\"vhd\",\"colo_enable\":\"True\",\"colo_host\":\"h\","
	  "\"colo_port\":80,\"colo_export\":\"e\",\"active_disk\":\"a\","
	  "\"hidden_disk\":\"b\"}",
	  "9/backend/qdisk/7/2049",
	  "virtual-device=2049\ndevice-type=disk\ntrusted=1\n"
	  "protocol=x86_64-abi\n",
	  "params=vhd:/tmp/v.vhd\ncolo-host=h\ncolo-port=80\ncolo-export=e\n"
	  "active-disk=a\nhidden-disk=b\nremovable=0\nbootable=1\ndev=sda1\n"
	  "type=qdisk\nmode=r\ndevice-type=disk\ndiscard-enable=0\n"
	  "specification=xen\n" },
	{ "vif",
	  "{\"backend_domid\":9,\"mac\":\"00:16:3e:11:22:44\","
	  "\"bridge\":\"xenbr7\",\"devid\":0}",
	  "9/backend/vif/7/0",
	  "handle=0\nmac=00:16:3e:11:22:44\ntrusted=1\n!mtu=1500\n",
	  "script=/etc/xen/scripts/vif-bridge\nmac=00:16:3e:11:22:44\n"
	  "bridge=xenbr7\nhandle=0\ntype=vif\nhotplug-status=\n" },
	{ "vif",
	  "{\"backend_domid\":9,\"mac\":\"00:16:3e:11:22:aa\",\"devid\":3,"
	  "\"mtu\":9000,\"model\":\"e1000\",\"ip\":\"10.0.0.1\",\"ifname\":\"foo\","
	  "\"script\":\"vif-route\",\"nictype\":\"vif\","
	  "\"rate_bytes_per_interval\":1250000,"
	  "\"rate_interval_usecs\":50000,\"gatewaydev\":\"eth0\","
	  "\"trusted\":\"False\",\"coloft_forwarddev\":\"fd\","
	  "\"colo_sock_mirror_id\":\"id\",\"colo_checkpoint_port\":\"7\"}",
	  "9/backend/vif/7/3",
	  "handle=3\nmac=00:16:3e:11:22:aa\ntrusted=0\n!mtu=9000\n",
	  "script=/etc/xen/scripts/vif-route\nvifname=foo\nforwarddev=fd\n"
	  "colo_sock_mirror_id=id\ncolo_checkpoint_port=7\n"
	  "mac=00:16:3e:11:22:aa\nip=10.0.0.1\ngatewaydev=eth0\n"
	  "rate=1250000,50000\nmtu=9000\nbridge=xenbr0\nhandle=3\ntype=vif\n"
	  "hotplug-status=\n" },
	{ "vtpm",
	  "{\"backend_domid\":9,\"devid\":0,"
	  "\"uuid\":\"12345678-1234-4234-8234-123456789abc\"}",
	  "9/backend/vtpm/7/0",
	  "handle=0\n",
	  "handle=0\nuuid=12345678-1234-4234-8234-123456789abc\nresume=False\n" },
	{ "vkb",
	  "{\"devid\":0,\"backend_type\":\"linux\",\"unique_id\":\"kb1\","
	  "\"feature_abs_pointer\":true,\"width\":1024,\"height\":768}",
	  "0/backend/vinput/7/0",
	  "",
	  "unique-id=kb1\nfeature-abs-pointer=1\nwidth=1024\nheight=768\n" },
	{ "vkb",
	  "{\"backend_domid\":9,\"devid\":1,\"feature_multi_touch\":true,"
	  "\"multi_touch_width\":800,\"multi_touch_height\":600,"
	  "\"multi_touch_num_contacts\":5,"
	  "\"feature_disable_keyboard\":true,"
	  "\"feature_disable_pointer\":true,\"feature_raw_pointer\":true}",
	  "9/backend/vkbd/7/1",
	  "",
	  "feature-disable-keyboard=1\nfeature-disable-pointer=1\n"
	  "feature-raw-pointer=1\nfeature-multi-touch=1\nmulti-touch-width=800\n"
	  "multi-touch-height=600\nmulti-touch-num-contacts=5\n" },
	{ "vdispl",
	  "{\"backend_domid\":9,\"devid\":0,\"be_alloc\":true,"
	  "\"connectors\":[{\"unique_id\":\"id0\",\"width\":1920,"
	  "\"height\":1080},{\"unique_id\":\"id1\",\"width\":800,"
	  "\"height\":600}]}",
	  "9/backend/vdispl/7/0",
	  "!be-alloc=1\n0=\n!0/resolution=1920x1080\n!0/unique-id=id0\n1=\n"
	  "!1/resolution=800x600\n!1/unique-id=id1\n",
	  "" },
	{ "vsnd",
	  "{\"backend_domid\":9,\"devid\":0,\"short_name\":\"c1\","
	  "\"long_name\":\"Long card\",\"params\":{\"sample_rates\":[44100,"
	  "48000],\"sample_formats\":[\"s16_le\",\"u8\"],\"channels_min\":1,"
	  "\"channels_max\":2,\"buffer_size\":4096},\"pcms\":[{\"name\":\"dev1\","
	  "\"params\":{\"channels_max\":8},\"streams\":[{\"unique_id\":\"s0\","
	  "\"type\":\"p\",\"params\":{}},{\"unique_id\":\"s1\",\"type\":\"c\","
	  "\"params\":{\"sample_rates\":[8000]}}]},{\"name\":\"dev2\","
	  "\"params\":{}}]}",
	  "9/backend/vsnd/7/0",
	  "long-name=Long card\nshort-name=c1\nsample-rates=44100,48000\n"
	  "sample-formats=s16_le,u8\nchannels-min=1\nchannels-max=2\n"
	  "buffer-size=4096\n0=\n0/name=dev1\n0/channels-max=8\n0/0=\n"
	  "0/0/unique-id=s0\n0/0/type=p\n0/1=\n0/1/unique-id=s1\n0/1/type=c\n"
	  "0/1/sample-rates=8000\n1=\n1/name=dev2\n",
	  "" },
	{ "usbctrl",
	  "{\"type\":\"pv\",\"devid\":0,\"version\":1,\"ports\":2}",
	  "0/backend/vusb/7/0",
	  "",
	  "type=pv\nusb-ver=1\nnum-ports=2\nport=\nport/1=\nport/2=\n" },
	{ "vfb",
	  "{\"devid\":0,\"vnc\":{},\"sdl\":{}}",
	  "0/backend/vfb/7/0",
	  "",
	  "vnc=1\nvnclisten=127.0.0.1\nvncdisplay=0\nvncunused=1\nsdl=0\n"
	  "opengl=0\n" },
	{ "vfb",
	  "{\"devid\":1,\"vnc\":{\"enable\":\"False\"},\"sdl\":{\"enable\":\"True\","
	  "\"display\":\":0\",\"xauthority\":\"/x\",\"opengl\":\"True\"}}",
	  "0/backend/vfb/7/1",
	  "",
	  "vnc=0\nvncdisplay=0\nvncunused=0\nsdl=1\nopengl=1\nxauthority=/x\n"
	  "display=:0\n" },
	{ "vfb",
	  "{\"backend_domid\":9,\"devid\":2,\"vnc\":{\"listen\":\"0.0.0.0\","
	  "\"passwd\":\"secret\",\"display\":3,\"findunused\":\"False\"},"
	  "\"sdl\":{}}",
	  "9/backend/vfb/7/2",
	  "",
	  "vnc=1\nvnclisten=0.0.0.0\nvncpasswd=secret\nvncdisplay=3\n"
	  "vncunused=0\nsdl=0\nopengl=0\n" },
	{ "vbd",
	  "{\"backend_domid\":9,\"pdev_path\":\"/dev/i\",\"vdev\":\"xvdp\","
	  "\"format\":\"raw\",\"specification\":\"virtio\",\"backend\":\"standalone\","
	  "\"transport\":\"mmio\",\"irq\":33,\"base\":33554432,\"readwrite\":1}",
	  "9/backend/virtio_disk/7/51952",
	  "virtual-device=51952\ndevice-type=disk\ntrusted=1\n"
	  "protocol=x86_64-abi\n",
	  "params=/dev/i\nremovable=0\nbootable=1\ndev=xvdp\ntype=standalone\nmode=w\n"
	  "device-type=disk\ndiscard-enable=1\nspecification=virtio\n"
	  "transport=mmio\nbase=33554432\nirq=33\ngrant_usage=1\n" },
	{ "vbd",
	  "{\"pdev_path\":\"/tmp/v.vhd\",\"vdev\":\"xvdg\",\"backend\":\"tap\","
	  "\"format\":\"vhd\"}",
	  "0/backend/vbd3/7/51808",
	  "virtual-device=51808\ndevice-type=disk\ntrusted=1\n"
	  "protocol=x86_64-abi\n",
	  "params=vhd:/tmp/v.vhd\nscript=/etc/xen/scripts/block-tap\nremovable=0\n"
	  "bootable=1\ndev=xvdg\ntype=vbd3\nmode=r\ndevice-type=disk\n"
	  "discard-enable=0\nspecification=xen\n" },
	{ "usbctrl",
	  "{\"type\":\"qusb\",\"devid\":1,\"version\":2,\"ports\":3}",
	  "0/backend/qusb/7/1",
	  "",
	  "type=qusb\nusb-ver=2\nnum-ports=3\nport=\nport/1=\nport/2=\nport/3=\n" },
	{ "channel",
	  "{\"devid\":1,\"name\":\"org.agent\",\"connection.socket\":{\"path\":\"/run/s\"}}",
	  "0/backend/console/7/1",
	  "protocol=vt100\n!name=org.agent\n!limit=1048576\n!type=ioemu\n"
	  "!output=chardev:libxl-channel1\n!tty=\n",
	  "protocol=vt100\nname=org.agent\nconnection=socket\npath=/run/s\n" },
	{ "channel",
	  "{\"devid\":2,\"name\":\"c\",\"connection.pty\":{}}",
	  "0/backend/console/7/2",
	  "protocol=vt100\n!name=c\n!limit=1048576\n!type=ioemu\n!output=pty\n!tty=\n",
	  "protocol=vt100\nname=c\nconnection=pty\n" },
	{ "9pfs",
	  "{\"tag\":\"share\",\"path\":\"/srv\",\"security_model\":\"none\",\"devid\":0}",
	  "0/backend/9pfs/7/0",
	  "tag=share\n",
	  "path=/srv\nsecurity_model=none\n" },
	{ "9pfs",
	  "{\"path\":\"/srv\",\"security_model\":\"none\",\"devid\":1,"
	  "\"type\":\"xen_9pfsd\",\"max_space\":5,\"auto_delete\":true}",
	  "0/backend/xen_9pfs/7/1",
	  "tag=Xen\n",
	  "path=/srv\nsecurity_model=none\nmax-space=5\nmax-files=0\nmax-open-files=0\n"
	  "auto-delete=1\n" },
	{ "pvcalls",
	  "{\"backend_domid\":9,\"devid\":0}",
	  "9/backend/pvcalls/7/0",
	  "",
	  "" },
	{ "virtio",
	  "{\"devid\":0,\"type\":\"virtio,device22\",\"transport\":\"mmio\",\"irq\":33,"
	  "\"base\":33554432}",
	  "0/backend/virtio/7/0",
	  "irq=33\nbase=33554432\ntype=virtio,device22\ntransport=mmio\ngrant_usage=0\n",
	  "irq=33\nbase=33554432\ntype=virtio,device22\ntransport=mmio\n"
	  "grant_usage=0\n" },
};
/* clang-format on */

#define N_CLASS_CASES (sizeof(class_cases) / sizeof(class_cases[0]))

/* The case's entry, canonical. */
static struct json_object *case_entry(const struct class_case *c)
{
	struct conf_err err = { "" };
	struct json_object *entry = NULL;

	assert_int_equal(conf_json_parse(c->entry, strlen(c->entry), &err, &entry), 0);
	assert_int_equal(conf_json_canon(class_schema(class_find(c->class)), entry, &err), 0);
	return entry;
}

static struct class_where case_where(struct json_object *entry)
{
	return (struct class_where){
		.domid = 7,
		.backend_domid = (uint32_t)conf_json_int(entry, "backend_domid", 0),
		.domain_type = "pv",
		.protocol = "x86_64-abi",
		.name = "guest",
	};
}

#endif
