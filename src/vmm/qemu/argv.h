/* SPDX-License-Identifier: MIT */
/*
 * A guest's definition as the command line of qemu-system-x86_64. Pure: the same definition gives
 * the same line on every host, for a guest that migrates has to find the same machine. No text of a
 * definition becomes an option of its own: each is a word that follows an option which takes one,
 * or a value whose commas are doubled.
 */
#ifndef DROVER_VMM_QEMU_ARGV_H
#define DROVER_VMM_QEMU_ARGV_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/def.h"
#include "vmm/qemu/words.h"

#define ARGV_MONITOR_FD 3	 /* where the process finds its monitor's listening socket */
#define ARGV_NIC_FD 4		 /* and from there one tap for each nic of a bridge */
#define ARGV_TAPS_MAX 8u	 /* nics of a bridge */
#define ARGV_PCI_DEVICES_MAX 28u /* that one bus takes, beside the machine's own */
#define ARGV_SERIALS_MAX 4u	 /* that a PC has */
#define ARGV_IDE_UNITS_MAX 4u	 /* of the machine "pc" */
#define ARGV_SATA_PORTS_MAX 6u
#define ARGV_SCSI_UNITS_MAX 64u

/* 0, or -EOPNOTSUPP or -EINVAL with text that names the element. */
int argv_check(const struct guest_def *def, char *text, size_t room);

/* def has passed argv_check. The words are complete only if words_end says so. */
void argv_make(struct words *w, const char *program, const struct guest_def *def, bool incoming);

/* Nics that need a tap, in the order of their descriptors. */
bool argv_nic_has_tap(const struct def_nic *nic);

/* What it is to be of argv_check: -EOPNOTSUPP, and text. */
int argv_refuse(char *text, size_t room, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* argv_device.c, argv_char.c: the parts. */
int argv_check_disks(const struct guest_def *def, char *text, size_t room);
int argv_check_nics(const struct guest_def *def, char *text, size_t room);
int argv_check_chars(const struct guest_def *def, char *text, size_t room);
int argv_check_graphics(const struct guest_def *def, char *text, size_t room);
void argv_put_disks(struct words *w, const struct guest_def *def);
void argv_put_nics(struct words *w, const struct guest_def *def);
void argv_put_chars(struct words *w, const struct guest_def *def);
void argv_put_graphics(struct words *w, const struct guest_def *def);

bool argv_is(const char *text, const char *word); /* text may be NULL: false */
/* Whether the machine has PCI Express: "q35", "pc-q35-7.2". */
bool argv_is_q35(const struct guest_def *def);
/* The place of a device in the order of boot, from 1; 0: none. kind: "hd", "cdrom", "network". */
unsigned int argv_boot_index(const struct guest_def *def, const char *kind, unsigned int own,
			     unsigned int nth);

#endif
