/* SPDX-License-Identifier: MIT */
/*
 * What a guest consists of, in memory: the subset of libvirt's domain XML that maps to a QEMU
 * command line and to libxl's configuration. Made and printed by hostd/xml*.c.
 *
 * Every string is owned by the definition, and NULL where it was not given. Strings named kept
 * are XML that is printed again where it stood, and that no backend acts on: harmless elements
 * that libvirt's tools add to what they are given (<address>, <alias>, a <controller>).
 */
#ifndef DROVER_VMM_DEF_H
#define DROVER_VMM_DEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEF_UUID_SIZE 16u
#define DEF_UUID_TEXT 37u
#define DEF_NAME_MAX 128u   /* octets of a name */
#define DEF_DEVICES_MAX 64u /* devices of one kind */
#define DEF_VCPUS_MAX 512u
#define DEF_MEMORY_MIN_KIB 1024u

enum def_type {		  /* <domain type='...'> */
		DEF_QEMU, /* QEMU, TCG */
		DEF_KVM,
		DEF_XEN,
		DEF_TEST, /* vmm/sim */
		DEF_TYPES,
};

enum def_os { /* <os><type>: hvm, xen (or linux), xenpvh */
	      DEF_OS_HVM,
	      DEF_OS_PV,
	      DEF_OS_PVH,
	      DEF_OS_TYPES,
};

enum def_action { /* <on_poweroff> and so on */
		  DEF_DESTROY,
		  DEF_RESTART,
		  DEF_PRESERVE,
		  DEF_RENAME_RESTART,
		  DEF_ACTIONS,
};

enum def_feature {
	DEF_ACPI = 1u << 0,
	DEF_APIC = 1u << 1,
	DEF_PAE = 1u << 2,
	DEF_HAP = 1u << 3,
	DEF_VIRIDIAN = 1u << 4,
};

struct def_disk {
	char *type;	       /* "file", "block" */
	char *device;	       /* "disk", "cdrom" */
	char *driver, *format; /* "qemu" or "phy"; "raw", "qcow2" */
	char *cache;
	char *io, *discard; /* hints: "native", "threads"; "unmap", "ignore" */
	char *source;	    /* a path; NULL: an empty drive */
	char *target, *bus; /* "vda", "virtio"; "xvda", "xen" */
	bool readonly, shareable;
	unsigned int boot_order; /* from 1; 0: not given, and never beside guest_def.boot */
	char *kept;
};

struct def_nic {
	char *type;	       /* "bridge", "network", "ethernet", "user" */
	uint8_t mac[6];	       /* filled in where it was not given */
	char *source, *script; /* bridge or network */
	char *target;	       /* of the host: "vnet0" */
	char *model;
	unsigned int boot_order; /* as a disk's; one sequence with theirs */
	char *kept;
};

struct def_chardev {  /* <serial>, <console>, <channel> */
	char *type;   /* "pty", "file", "unix", "null" */
	char *source; /* a path; of a pty what the guest was given when it started */
	bool append;  /* a file */
	bool listen;  /* a unix socket */
	char *target_type;
	char *target_name;
	unsigned int port;
	char *kept;
};

struct def_graphics {
	char *type; /* "vnc", "spice" */
	int port;   /* -1: chosen when it starts */
	bool autoport;
	char *listen;
	char *keymap;
	char *kept;
};

enum def_kept {			   /* what of a guest is kept, by where it stands */
		DEF_KEPT_METADATA, /* with the element itself; so are the others */
		DEF_KEPT_RESOURCE,
		DEF_KEPT_FEATURES, /* beside enum def_feature: <vmport state='off'/> */
		DEF_KEPT_CPU,	   /* attributes of <cpu> but the mode: " check='none'" */
		DEF_KEPT_CPU_MODEL,
		DEF_KEPT_CLOCK, /* <timer> */
		DEF_KEPT_PM,
		DEF_KEPT_CONTROLLERS,
		DEF_KEPT_INPUTS,
		DEF_KEPT_AUDIO,
		DEF_KEPT_VIDEO,	      /* children of <video> but its <model>; so for the next two */
		DEF_KEPT_VIDEO_MODEL, /* attributes of <model> but its type */
		DEF_KEPT_MEMBALLOON,
		DEF_KEPT_RNG,
		DEF_KEPT_SECLABEL,
		DEF_KEPT_PLACES,
};

struct guest_def {
	enum def_type type;
	char *name;
	uint8_t uuid[DEF_UUID_SIZE]; /* filled in where it was not given */
	char *title, *description;
	uint64_t memory_kib, current_kib;
	unsigned int vcpus, vcpus_current;
	enum def_os os;
	char *arch, *machine;
	char *bootloader, *bootloader_args; /* run on the host: "/usr/bin/pygrub" */
	char *loader, *kernel, *initrd, *cmdline;
	char *boot;	       /* "hd,cdrom", in order */
	unsigned int features; /* enum def_feature */
	char *cpu_mode, *cpu_model;
	char *cpu_features; /* "hypervisor=on,svm=off", in order */
	char *clock_offset;
	enum def_action on_poweroff, on_reboot, on_crash;
	char *emulator;
	struct def_disk *disks; /* owned arrays */
	size_t n_disks;
	struct def_nic *nics;
	size_t n_nics;
	struct def_chardev *serials, *consoles, *channels;
	size_t n_serials, n_consoles, n_channels;
	struct def_graphics *graphics;
	size_t n_graphics;
	char *video_model;
	char *memballoon; /* "none", "virtio", "xen" */
	char *rng;	  /* a path, "/dev/urandom" */
	char *kept[DEF_KEPT_PLACES];
};

/* An empty definition with libvirt's defaults; NULL: no memory. */
struct guest_def *def_new(void);
/* Accepts NULL. */
void def_free(struct guest_def *def);
/* A deep copy; NULL: no memory. */
struct guest_def *def_copy(const struct guest_def *def);

/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" and a NUL. */
void def_uuid_print(const uint8_t uuid[DEF_UUID_SIZE], char ret[DEF_UUID_TEXT]);
/* With dashes or without. False: it is none, and ret is as it was. */
bool def_uuid_parse(const char *text, uint8_t ret[DEF_UUID_SIZE]);

const char *def_type_name(enum def_type type); /* "qemu" */
const char *def_os_name(enum def_os os);       /* "hvm" */

#endif
