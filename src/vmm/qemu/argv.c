/* SPDX-License-Identifier: MIT */
/*
 * The machine itself: what is checked of a definition as a whole, and its words in front of those
 * of the devices.
 */
#include "vmm/qemu/argv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

int argv_refuse(char *text, size_t room, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, room, fmt, ap);
	va_end(ap);
	return -EOPNOTSUPP;
}

bool argv_is(const char *text, const char *word)
{
	return text && !strcmp(text, word);
}

bool argv_is_q35(const struct guest_def *def)
{
	return def->machine && strstr(def->machine, "q35");
}

/* Letters, digits and what names of machines and processors have besides. */
#define NAME_LETTERS                                                                               \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"                                     \
	"0123456789.-_+"

static bool is_name(const char *text)
{
	return *text && !text[strspn(text, NAME_LETTERS)];
}

#define PAGE_KIB 4u

/* ---- order of boot ---- */

/* Each word of "hd,cdrom,network", and how many of them there are before one. */
static bool boot_word(const char *boot, const char *kind, unsigned int *ret_before)
{
	size_t len = strlen(kind);

	*ret_before = 0;
	while (boot && *boot) {
		size_t n = strcspn(boot, ",");

		if (n == len && !strncmp(boot, kind, n))
			return true;
		(*ret_before)++;
		boot += n + (boot[n] == ',');
	}
	return false;
}

unsigned int argv_boot_index(const struct guest_def *def, const char *kind, unsigned int own,
			     unsigned int nth)
{
	unsigned int before;

	if (!def->boot)
		return own;
	if (!boot_word(def->boot, kind, &before))
		return 0;
	/* Every device of a kind, those of the kind that comes first before all others. */
	return before * DEF_DEVICES_MAX + nth + 1;
}

static int check_boot(const struct guest_def *def, char *text, size_t room)
{
	/* A guest has no floppy drive, so that nothing is booted from one. */
	static const char *const kinds[] = { "hd", "cdrom", "network", "fd" };

	for (const char *b = def->boot; b && *b;) {
		size_t n = strcspn(b, ",");
		bool known = false;

		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			known |= strlen(kinds[i]) == n && !strncmp(b, kinds[i], n);
		if (!known)
			return argv_refuse(text, room, "<boot dev='%.*s'> is not supported", (int)n,
					   b);
		b += n + (b[n] == ',');
	}
	return 0;
}

/* ---- the machine ---- */

static int check_cpu(const struct guest_def *def, char *text, size_t room)
{
	const char *mode = def->cpu_mode, *features = def->cpu_features;

	if (features && features[strspn(features, NAME_LETTERS "=,")])
		return argv_refuse(text, room, "<cpu>: <feature> '%s' is no name", features);
	if (argv_is(mode, "custom") || (!mode && def->cpu_model)) {
		if (!def->cpu_model || !is_name(def->cpu_model))
			return argv_refuse(text, room, "<cpu>: <model> is missing or no name");
		return 0;
	}
	if (!mode || !strcmp(mode, "maximum"))
		return 0;
	if (!strcmp(mode, "host-passthrough") && def->type == DEF_KVM)
		return 0;
	return argv_refuse(text, room, "<cpu mode='%s'> is not supported for type '%s'", mode,
			   def_type_name(def->type));
}

static int check_machine(const struct guest_def *def, char *text, size_t room)
{
	if (def->type != DEF_QEMU && def->type != DEF_KVM)
		return argv_refuse(text, room, "<domain type='%s'>: not for QEMU",
				   def_type_name(def->type));
	if (def->os != DEF_OS_HVM)
		return argv_refuse(text, room, "<os><type>%s: QEMU runs hvm alone",
				   def_os_name(def->os));
	if (def->arch && strcmp(def->arch, "x86_64"))
		return argv_refuse(text, room, "<type arch='%s'>: not supported, x86_64 is",
				   def->arch);
	if (def->machine && (!is_name(def->machine) ||
			     (strncmp(def->machine, "pc", 2) && strcmp(def->machine, "q35"))))
		return argv_refuse(text, room, "<type machine='%s'>: not supported, pc and q35 are",
				   def->machine);
	if (def->bootloader)
		return argv_refuse(text, room, "<bootloader> is not supported for QEMU");
	if ((def->initrd || def->cmdline) && !def->kernel)
		return argv_refuse(text, room, "<%s> without <kernel>",
				   def->initrd ? "initrd" : "cmdline");
	if (def->features & DEF_VIRIDIAN)
		return argv_refuse(text, room, "<viridian> is not supported for QEMU");
	return 0;
}

static int check_rest(const struct guest_def *def, char *text, size_t room)
{
	const char *clock = def->clock_offset;

	if (clock && strcmp(clock, "utc") && strcmp(clock, "localtime"))
		return argv_refuse(text, room, "<clock offset='%s'> is not supported", clock);
	if (def->on_poweroff == DEF_RENAME_RESTART || def->on_reboot == DEF_RENAME_RESTART ||
	    def->on_crash == DEF_RENAME_RESTART)
		return argv_refuse(text, room, "<on_%s>rename-restart is not supported",
				   def->on_poweroff == DEF_RENAME_RESTART ? "poweroff"
				   : def->on_reboot == DEF_RENAME_RESTART ? "reboot"
									  : "crash");
	if (def->memballoon && strcmp(def->memballoon, "none") && strcmp(def->memballoon, "virtio"))
		return argv_refuse(text, room, "<memballoon model='%s'> is not supported for QEMU",
				   def->memballoon);
	return 0;
}

/* What takes a place on the bus. */
static int check_places(const struct guest_def *def, char *text, size_t room)
{
	size_t n = def->n_nics + 4; /* video, balloon, rng; the controller of each kind */

	for (size_t i = 0; i < def->n_disks; i++)
		n += argv_is(def->disks[i].bus, "virtio");
	if (def->n_channels || def->n_consoles)
		n++;
	if (n > ARGV_PCI_DEVICES_MAX)
		return argv_refuse(text, room,
				   "<disk> and <interface>: more than %u places on the PCI bus",
				   ARGV_PCI_DEVICES_MAX);
	return 0;
}

int argv_check(const struct guest_def *def, char *text, size_t room)
{
	static int (*const checks[])(const struct guest_def *, char *, size_t) = {
		check_machine,	  check_cpu,	       check_boot,
		check_rest,	  argv_check_disks,    argv_check_nics,
		argv_check_chars, argv_check_graphics, check_places,
	};

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		int r = checks[i](def, text, room);

		if (r)
			return r;
	}
	return 0;
}

static void put_cpu(struct words *w, const struct guest_def *def)
{
	const char *model = def->cpu_model;

	if (argv_is(def->cpu_mode, "maximum"))
		model = "max";
	if (argv_is(def->cpu_mode, "host-passthrough"))
		model = "host";
	if (!model && def->cpu_features)
		model = "qemu64"; /* what it is without a word */
	if (model) {
		words_add(w, "-cpu");
		words_begin(w);
		words_put(w, "%s%s%s", model, def->cpu_features ? "," : "",
			  def->cpu_features ? def->cpu_features : "");
		words_close(w);
	}
	words_add(w, "-smp");
	words_begin(w);
	words_put(w, "cpus=%u,maxcpus=%u", def->vcpus_current ? def->vcpus_current : def->vcpus,
		  def->vcpus);
	words_close(w);
}

static void put_pair(struct words *w, const char *option, const char *value)
{
	if (!value)
		return;
	words_add(w, option);
	words_add(w, value);
}

/*
 * QEMU before 9.0 forgets what a guest under TCG writes while it migrates: it looks for written
 * pages 64 at a time, and then does not tell the translated code to report the next write to them.
 * Pages are looked at one by one, and rightly, where memory does not consist of whole such groups.
 * So a guest under TCG has two pages more than it was given, always, for memory has to be as large
 * on either host, whatever QEMU is there.
 */
static uint64_t memory_kib(const struct guest_def *def)
{
	bool whole = def->memory_kib % (64u * PAGE_KIB) == 0;

	return def->memory_kib + (def->type == DEF_QEMU && whole ? 2 * PAGE_KIB : 0);
}

static void put_machine(struct words *w, const struct guest_def *def)
{
	char uuid[DEF_UUID_TEXT];

	words_add(w, "-name");
	words_begin(w);
	words_value(w, "guest", def->name);
	words_put(w, ",debug-threads=on");
	words_close(w);
	def_uuid_print(def->uuid, uuid);
	put_pair(w, "-uuid", uuid);
	words_add(w, "-machine");
	words_begin(w);
	words_value(w, "type", def->machine ? def->machine : "pc");
	words_put(w, ",usb=off,acpi=%s", def->features & DEF_ACPI ? "on" : "off");
	words_close(w);
	put_pair(w, "-accel", def->type == DEF_KVM ? "kvm" : "tcg");
	words_add(w, "-m");
	words_begin(w);
	words_put(w, "size=%" PRIu64 "k", memory_kib(def));
	words_close(w);
	put_cpu(w, def);
	put_pair(w, "-rtc",
		 argv_is(def->clock_offset, "localtime") ? "base=localtime" : "base=utc");
	put_pair(w, "-bios", def->loader);
	put_pair(w, "-kernel", def->kernel);
	put_pair(w, "-initrd", def->initrd);
	put_pair(w, "-append", def->cmdline);
}

/* What each has: nothing but what is named here, and nothing runs until it is told to. */
static void put_common(struct words *w, const struct guest_def *def, bool incoming)
{
	words_add(w, "-no-user-config");
	words_add(w, "-nodefaults");
	words_add(w, "-S");
	words_add(w, "-action");
	words_begin(w);
	words_put(w, "shutdown=pause,panic=pause,reboot=%s",
		  def->on_reboot == DEF_RESTART ? "reset" : "shutdown");
	words_close(w);
	put_pair(w, "-sandbox",
		 "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	put_pair(w, "-msg", "timestamp=on");
	words_add(w, "-chardev");
	words_begin(w);
	words_put(w, "socket,id=monitor,fd=%d,server=on,wait=off", ARGV_MONITOR_FD);
	words_close(w);
	put_pair(w, "-mon", "chardev=monitor,mode=control");
	if (incoming)
		put_pair(w, "-incoming", "defer");
}

void argv_make(struct words *w, const char *program, const struct guest_def *def, bool incoming)
{
	words_add(w, program);
	put_machine(w, def);
	put_common(w, def, incoming);
	argv_put_chars(w, def);
	argv_put_disks(w, def);
	argv_put_nics(w, def);
	argv_put_graphics(w, def);
	if (argv_is(def->memballoon, "virtio"))
		put_pair(w, "-device", "virtio-balloon-pci,id=balloon0");
	if (def->rng) {
		words_add(w, "-object");
		words_begin(w);
		words_put(w, "rng-random,id=rng0");
		words_value(w, "filename", def->rng);
		words_close(w);
		put_pair(w, "-device", "virtio-rng-pci,rng=rng0,id=rng1");
	}
}
