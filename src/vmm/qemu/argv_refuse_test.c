/* SPDX-License-Identifier: MIT */
/*
 * Definitions that this backend cannot run: each is refused, and the element named.
 */
#include "vmm/qemu/argv_cases_test.h"

static void xen(struct guest_def *d)
{
	d->type = DEF_XEN;
}
static void pv(struct guest_def *d)
{
	d->os = DEF_OS_PV;
}
static void arch(struct guest_def *d)
{
	set(&d->arch, "aarch64");
}
static void machine(struct guest_def *d)
{
	set(&d->machine, "microvm");
}
static void machine_odd(struct guest_def *d)
{
	set(&d->machine, "pc,accel=x");
}
static void bootloader(struct guest_def *d)
{
	set(&d->bootloader, "/usr/bin/pygrub");
}
static void initrd_alone(struct guest_def *d)
{
	set(&d->initrd, "/i");
}
static void viridian(struct guest_def *d)
{
	d->features |= DEF_VIRIDIAN;
}
static void cpu_passthrough(struct guest_def *d)
{
	set(&d->cpu_mode, "host-passthrough");
}
static void cpu_odd(struct guest_def *d)
{
	set(&d->cpu_mode, "custom");
	set(&d->cpu_model, "a,b");
}
static void cpu_feature_odd(struct guest_def *d)
{
	set(&d->cpu_features, "a=on -x");
}
static void boot_odd(struct guest_def *d)
{
	set(&d->boot, "hd,tape");
}
static void clock_variable(struct guest_def *d)
{
	set(&d->clock_offset, "variable");
}
static void rename_restart(struct guest_def *d)
{
	d->on_crash = DEF_RENAME_RESTART;
}
static void balloon_xen(struct guest_def *d)
{
	set(&d->memballoon, "xen");
}
static void disk_bus(struct guest_def *d)
{
	with_disk(d, "xvda", "xen");
}
static void disk_floppy(struct guest_def *d)
{
	set(&with_disk(d, "fda", "fdc")->device, "floppy");
}
static void disk_network(struct guest_def *d)
{
	set(&with_disk(d, "vda", "virtio")->type, "network");
}
static void disk_vmdk(struct guest_def *d)
{
	set(&with_disk(d, "vda", "virtio")->format, "vmdk,x=y");
}
static void disk_phy(struct guest_def *d)
{
	set(&with_disk(d, "vda", "virtio")->driver, "phy");
}
static void disk_cache(struct guest_def *d)
{
	set(&with_disk(d, "vda", "virtio")->cache, "x");
}
static void disk_empty(struct guest_def *d)
{
	set(&with_disk(d, "vda", "virtio")->source, NULL);
}
static void disk_twice(struct guest_def *d)
{
	with_disk(d, "vda", "virtio");
	with_disk(d, "vda", "virtio");
}
static void disk_fifth(struct guest_def *d)
{
	with_disk(d, "hde", "ide");
}
static void disk_ide_q35(struct guest_def *d)
{
	set(&d->machine, "q35");
	with_disk(d, "hda", "ide");
}
static void disk_readonly_ide(struct guest_def *d)
{
	with_disk(d, "hda", "ide")->readonly = true;
}
static void disk_target(struct guest_def *d)
{
	with_disk(d, "vd/", "virtio");
}
static void disks_many(struct guest_def *d)
{
	char target[4] = "vda";

	for (; target[2] < 'z'; target[2]++)
		with_disk(d, target, "virtio");
}
static void nic_network(struct guest_def *d)
{
	set(&with_nic(d, "network")->source, "default");
}
static void nic_no_bridge(struct guest_def *d)
{
	with_nic(d, "bridge");
}
static void nic_script(struct guest_def *d)
{
	set(&with_nic(d, "ethernet")->script, "/x");
}
static void nic_model(struct guest_def *d)
{
	set(&with_nic(d, "user")->model, "netfront");
}
static void serial_tcp(struct guest_def *d)
{
	with_serial(d, "tcp", NULL);
}
static void serial_no_file(struct guest_def *d)
{
	with_serial(d, "file", NULL);
}
static void console_xen(struct guest_def *d)
{
	console_alone(d);
	set(&d->consoles[0].target_type, "xen");
}
static void channel_no_name(struct guest_def *d)
{
	channel(d);
	set(&d->channels[0].target_name, NULL);
}
static void spice(struct guest_def *d)
{
	set(&with_vnc(d)->type, "spice");
}
static void vnc_low(struct guest_def *d)
{
	with_vnc(d)->port = 80;
}
static void vnc_listen(struct guest_def *d)
{
	set(&with_vnc(d)->listen, "x:0,tls-creds=y");
}
static void vnc_keymap(struct guest_def *d)
{
	set(&with_vnc(d)->keymap, "../x");
}
static void video_qxl(struct guest_def *d)
{
	set(&d->video_model, "qxl");
}

static void what_is_not_supported_is_refused_by_its_name(void **state)
{
	static const struct part parts[] = {
		{ xen, "<domain type='xen'>" },
		{ pv, "<os><type>" },
		{ arch, "<type arch='aarch64'>" },
		{ machine, "<type machine='microvm'>" },
		{ machine_odd, "<type machine=" },
		{ bootloader, "<bootloader>" },
		{ initrd_alone, "<initrd> without <kernel>" },
		{ viridian, "<viridian>" },
		{ cpu_passthrough, "<cpu mode='host-passthrough'>" },
		{ cpu_odd, "<cpu>" },
		{ cpu_feature_odd, "<feature>" },
		{ boot_odd, "<boot dev='tape'>" },
		{ clock_variable, "<clock offset='variable'>" },
		{ rename_restart, "<on_crash>" },
		{ balloon_xen, "<memballoon model='xen'>" },
		{ disk_bus, "bus='xen'" },
		{ disk_floppy, "<disk device='floppy'>" },
		{ disk_network, "<disk type='network'>" },
		{ disk_vmdk, "<driver type='vmdk,x=y'>" },
		{ disk_phy, "<driver name='phy'>" },
		{ disk_cache, "<driver cache='x'>" },
		{ disk_empty, "<source> is missing" },
		{ disk_twice, "twice" },
		{ disk_fifth, "has 4 places" },
		{ disk_ide_q35, "no such bus in 'q35'" },
		{ disk_readonly_ide, "<readonly>" },
		{ disk_target, "<target dev='vd/'>" },
		{ disks_many, "places on the PCI bus" },
		{ nic_network, "<interface type='network'>" },
		{ nic_no_bridge, "<source bridge>" },
		{ nic_script, "<script path='/x'>" },
		{ nic_model, "<model type='netfront'>" },
		{ serial_tcp, "<serial type='tcp'>" },
		{ serial_no_file, "<serial type='file'>: <source path>" },
		{ console_xen, "<console>: <target type='xen'>" },
		{ channel_no_name, "<channel>: <target" },
		{ spice, "<graphics type='spice'>" },
		{ vnc_low, "<graphics port='80'>" },
		{ vnc_listen, "<graphics listen=" },
		{ vnc_keymap, "<graphics keymap=" },
		{ video_qxl, "<video>: <model type='qxl'>" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct guest_def *def = plain();
		char text[256] = "";

		parts[i].change(def);
		assert_int_equal(argv_check(def, text, sizeof(text)), -EOPNOTSUPP);
		if (!strstr(text, parts[i].expected))
			fail_msg("part %zu: no \"%s\" in \"%s\"", i, parts[i].expected, text);
		def_free(def);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_supported_is_refused_by_its_name),
	};

	return cmocka_run_group_tests_name("vmm/qemu argv_refuse", tests, NULL, NULL);
}
