/* SPDX-License-Identifier: MIT */
/*
 * Definitions as command lines: what becomes of each element, and that nothing of a definition gets
 * out of the place that it has.
 */
#include "vmm/qemu/argv_cases_test.h"

/* All words, a space between them. */
static char *line_of(const struct guest_def *def, bool incoming)
{
	struct words w;
	char *text = NULL;
	size_t len;
	FILE *f;

	words_init(&w);
	argv_make(&w, "/bin/qemu", def, incoming);
	assert_int_equal(words_end(&w), 0);
	f = open_memstream(&text, &len);
	assert_non_null(f);
	for (size_t i = 0; i < w.n; i++)
		(void)fprintf(f, "%s%s", i ? " " : "", w.word[i]);
	(void)fclose(f);
	words_fini(&w);
	return text;
}

#define COMMON_1 "/bin/qemu -name guest=a,debug-threads=on -uuid "
#define COMMON_2                                                                                   \
	" -no-user-config -nodefaults -S -action shutdown=pause,panic=pause,reboot=reset "         \
	"-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny "        \
	"-msg timestamp=on -chardev socket,id=monitor,fd=3,server=on,wait=off "                    \
	"-mon chardev=monitor,mode=control"

static void a_plain_guest_has_nothing_that_was_not_named(void **state)
{
	struct guest_def *def = plain();
	char *line;

	(void)state;
	line = line_of(def, false);
	assert_string_equal(line,
			    COMMON_1 "00000000-0000-0000-0000-000000000000 "
				     "-machine type=pc,usb=off,acpi=on -accel tcg "
				     "-m size=65544k -smp cpus=2,maxcpus=2 -rtc base=utc" COMMON_2
				     " -display none");
	free(line);
	line = line_of(def, true);
	assert_non_null(strstr(line, "-incoming defer"));
	free(line);
	def_free(def);
}

/* ---- parts: what changes of a plain guest's, and what is then on the line, or is refused ---- */

static void kvm(struct guest_def *d)
{
	d->type = DEF_KVM;
}
static void odd_memory(struct guest_def *d)
{
	d->memory_kib = 65540;
}
static void no_acpi(struct guest_def *d)
{
	d->features = 0;
}
static void kernel(struct guest_def *d)
{
	set(&d->kernel, "/k,x");
	set(&d->initrd, "-snapshot");
	set(&d->cmdline, "console=ttyS0 -S");
}
static void vcpus(struct guest_def *d)
{
	d->vcpus_current = 1;
}
static void cpu(struct guest_def *d)
{
	set(&d->cpu_mode, "custom");
	set(&d->cpu_model, "Nehalem");
	set(&d->cpu_features, "svm=off,x2apic=on");
}
static void cpu_features(struct guest_def *d)
{
	set(&d->cpu_features, "svm=off");
}
static void cpu_max(struct guest_def *d)
{
	set(&d->cpu_mode, "maximum");
}
static void cpu_host(struct guest_def *d)
{
	kvm(d);
	set(&d->cpu_mode, "host-passthrough");
}
static void local(struct guest_def *d)
{
	set(&d->clock_offset, "localtime");
}
static void no_reboot(struct guest_def *d)
{
	d->on_reboot = DEF_DESTROY;
}
static void loader(struct guest_def *d)
{
	set(&d->loader, "/bios");
}
static void balloon_rng(struct guest_def *d)
{
	set(&d->memballoon, "virtio");
	set(&d->rng, "/dev/urandom");
}
static void name_with_comma(struct guest_def *d)
{
	set(&d->name, "a,process=x");
}
static void disk_virtio(struct guest_def *d)
{
	with_disk(d, "vdc", "virtio");
}
static void disk_comma(struct guest_def *d)
{
	set(&with_disk(d, "vda", "virtio")->source, "/a,read-only=on,b=c");
}
static void disk_ide(struct guest_def *d)
{
	with_disk(d, "hdd", "ide");
}
static void disk_sata(struct guest_def *d)
{
	with_disk(d, "sdb", "sata");
}
static void disk_sata_q35(struct guest_def *d)
{
	set(&d->machine, "pc-q35-7.2");
	with_disk(d, "sdb", "sata");
}
static void disk_scsi(struct guest_def *d)
{
	struct def_disk *k = with_disk(d, "sdc", "scsi");

	set(&k->type, "block");
	set(&k->format, "qcow2");
	set(&k->cache, "none");
	set(&k->io, "native");
	set(&k->discard, "unmap");
	k->readonly = k->shareable = true;
}
static void disk_through(struct guest_def *d)
{
	set(&with_disk(d, "vda", "virtio")->cache, "writethrough");
}
static void cdrom(struct guest_def *d)
{
	set(&with_disk(d, "hdc", "ide")->device, "cdrom");
}
static void cdrom_empty(struct guest_def *d)
{
	struct def_disk *k = with_disk(d, "hdc", "ide");

	set(&k->device, "cdrom");
	set(&k->source, NULL);
}
static void boot(struct guest_def *d)
{
	set(&d->boot, "cdrom,hd");
	with_disk(d, "vda", "virtio");
	cdrom(d);
}
static void boot_own(struct guest_def *d)
{
	with_disk(d, "vda", "virtio")->boot_order = 3;
}
static void nic_user(struct guest_def *d)
{
	with_nic(d, "user");
}
static void nic_bridge(struct guest_def *d)
{
	struct def_nic *n = with_nic(d, "bridge");

	set(&n->source, "br0");
	set(&n->model, "virtio");
}
static void serial_file(struct guest_def *d)
{
	with_serial(d, "file", "/x,y")->append = true;
}
static void serial_pty(struct guest_def *d)
{
	with_serial(d, "pty", NULL);
}
static void serial_listen(struct guest_def *d)
{
	with_serial(d, "unix", NULL)->listen = true;
}
static void serial_connect(struct guest_def *d)
{
	with_serial(d, "unix", "/s");
}
static void console_virtio(struct guest_def *d)
{
	console_alone(d);
	set(&d->consoles[0].target_type, "virtio");
}
static void vnc(struct guest_def *d)
{
	with_vnc(d);
}
static void vnc_port(struct guest_def *d)
{
	struct def_graphics *g = with_vnc(d);

	g->port = 5907;
	set(&g->listen, "::1");
	set(&g->keymap, "de");
	set(&d->video_model, "cirrus");
}

static const struct part parts[] = {
	{ kvm, " -accel kvm -m size=65536k " },
	{ odd_memory, " -m size=65540k " },
	{ no_acpi, ",acpi=off " },
	{ kernel, " -kernel /k,x -initrd -snapshot -append console=ttyS0 -S -no-user-config" },
	{ vcpus, " -smp cpus=1,maxcpus=2 " },
	{ cpu, " -cpu Nehalem,svm=off,x2apic=on " },
	{ cpu_features, " -cpu qemu64,svm=off " },
	{ cpu_max, " -cpu max " },
	{ cpu_host, " -cpu host " },
	{ local, " -rtc base=localtime " },
	{ no_reboot, ",reboot=shutdown " },
	{ loader, " -bios /bios " },
	{ balloon_rng, " -device virtio-balloon-pci,id=balloon0 -object "
		       "rng-random,id=rng0,filename=/dev/urandom -device "
		       "virtio-rng-pci,rng=rng0,id=rng1" },
	{ name_with_comma, " -name guest=a,,process=x,debug-threads=on " },
	{ disk_virtio, " -blockdev driver=raw,node-name=disk0,read-only=off,discard=ignore,"
		       "file.driver=file,file.filename=/img -device virtio-blk-pci,id=device0,"
		       "drive=disk0,write-cache=on,share-rw=off" },
	{ disk_comma, "file.filename=/a,,read-only=on,,b=c -device" },
	{ disk_ide, " -device ide-hd,bus=ide.1,unit=1,id=device0," },
	{ disk_sata, " -device ahci,id=sata0 -blockdev" },
	{ disk_sata, " -device ide-hd,bus=sata0.1,id=device0," },
	{ disk_sata_q35, " -device ide-hd,bus=ide.1,id=device0," },
	{ disk_scsi, " -device virtio-scsi-pci,id=scsi0 -blockdev "
		     "driver=qcow2,node-name=disk0,read-only=on,discard=unmap,"
		     "cache.direct=on,cache.no-flush=off,file.driver=host_device,"
		     "file.filename=/img,cache.direct=on,cache.no-flush=off,"
		     "file.aio=native -device scsi-hd,bus=scsi0.0,scsi-id=2,id=device0,"
		     "drive=disk0,write-cache=on,share-rw=on" },
	{ disk_through, ",write-cache=off," },
	{ cdrom, ",read-only=on," },
	{ cdrom, " -device ide-cd,bus=ide.1,unit=0,id=device0,drive=disk0 " },
	{ cdrom_empty, " -device ide-cd,bus=ide.1,unit=0,id=device0 " },
	{ boot, "id=device0,drive=disk0,write-cache=on,share-rw=off,bootindex=65 " },
	{ boot, "id=device1,drive=disk1,bootindex=1 " },
	{ boot_own, ",bootindex=3 " },
	{ nic_user, " -netdev user,id=net0 -device "
		    "rtl8139,netdev=net0,id=nic0,mac=52:54:00:01:02:ff " },
	{ nic_bridge, " -netdev tap,id=net0,fd=4 -device virtio-net-pci,netdev=net0," },
	{ serial_file, " -chardev file,id=charserial0,path=/x,,y,append=on -device "
		       "isa-serial,chardev=charserial0,id=serial0,index=0 " },
	{ serial_pty, " -chardev pty,id=charserial0 " },
	{ serial_listen, " -chardev socket,id=charserial0,path=serial0.sock,server=on,"
			 "wait=off " },
	{ serial_connect, " -chardev socket,id=charserial0,path=/s,server=off,reconnect=1 " },
	{ console_alone, " -chardev pty,id=charserial0 -device isa-serial," },
	{ console_virtio, " -device virtio-serial-pci,id=ports0 -chardev "
			  "pty,id=charconsole0 -device "
			  "virtconsole,chardev=charconsole0,id=console0 " },
	{ channel, " -device virtserialport,chardev=charchannel0,id=channel0,"
		   "name=org.qemu.guest_agent.0,,nr=1 " },
	{ vnc, " -device VGA,id=video0 -display none -vnc 127.0.0.1:0,to=99" },
	{ vnc_port, " -device cirrus-vga,id=video0 -display none -vnc [::1]:7 -k de" },
};

static void each_element_has_its_words(void **state)
{

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct guest_def *def = plain();
		char text[256] = "";
		char *line;

		parts[i].change(def);
		if (argv_check(def, text, sizeof(text)))
			fail_msg("part %zu: %s", i, text);
		line = line_of(def, false);
		if (!strstr(line, parts[i].expected))
			fail_msg("part %zu: no \"%s\" in %s", i, parts[i].expected, line);
		free(line);
		def_free(def);
	}
}

/* A serial line and the console that is another name for it are one device. */
static void a_console_that_is_the_serial_line_is_no_device(void **state)
{
	struct guest_def *def = plain();
	char *line;

	(void)state;
	serial_pty(def);
	console_alone(def);
	set(&def->consoles[0].target_type, "serial");
	line = line_of(def, false);
	assert_null(strstr(strstr(line, "isa-serial") + 1, "isa-serial"));
	free(line);
	def_free(def);
}

static void a_line_of_too_many_words_is_an_error(void **state)
{
	struct words w;

	(void)state;
	words_init(&w);
	for (unsigned int i = 0; i < WORDS_MAX; i++)
		words_add(&w, "x");
	assert_int_equal(words_end(&w), 0);
	words_add(&w, "x");
	assert_int_equal(words_end(&w), -E2BIG);
	words_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_guest_has_nothing_that_was_not_named),
		cmocka_unit_test(each_element_has_its_words),
		cmocka_unit_test(a_console_that_is_the_serial_line_is_no_device),
		cmocka_unit_test(a_line_of_too_many_words_is_an_error),
	};

	return cmocka_run_group_tests_name("vmm/qemu argv", tests, NULL, NULL);
}
