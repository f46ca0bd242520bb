/* SPDX-License-Identifier: MIT */
/*
 * What the host says of its USB devices: their names below /sys, which is what the store has of
 * a device, are told from bus and address, which is what the record has.
 */
#ifndef DROVER_CONFIG_CLASS_USB_H
#define DROVER_CONFIG_CLASS_USB_H

#include <stdint.h>

/* Ports of a controller, as the protocol of USB between domains has it. */
#define CLASS_PORTS_MAX 31
#define USB_BUSID_MAX 64 /* octets of a name as "1-1.4" with its NUL */
#define USB_PATH_MAX 512

/*
 * A path below /sys, or below $DROVER_SYSFS, which tests set, into ret (USB_PATH_MAX octets).
 */
void usb_sys_path(const char *below, char *ret);

/* The name of the device at (bus, address), USB_BUSID_MAX octets. -ENODEV: the host has none. */
int usb_busid(unsigned int bus, unsigned int address, char ret[USB_BUSID_MAX]);

/* Bus and address of a name. -ENODEV: the host has none of that name. */
int usb_address(const char *busid, unsigned int *ret_bus, unsigned int *ret_address);

#endif
