/* SPDX-License-Identifier: MIT */
/*
 * Names of virtual disks and their numbers, as Xen's interface of virtual block devices has them:
 * "xvda" is 202:0, "hdb" 3:64, "sdc" 8:32; beyond what these can number, 1 << 28 | disk << 8 |
 * partition.
 */
#ifndef DROVER_CONFIG_CLASS_VDEV_H
#define DROVER_CONFIG_CLASS_VDEV_H

#include <stdint.h>

#define VDEV_NAME_MAX 16 /* octets of a name with its NUL */

/*
 * The number of a name: xvd, sd or hd with letters and perhaps a partition; dXpY (decimal, 0x or
 * octal); or the number itself, so written. -EINVAL: no such disk can be.
 */
int vdev_to_devid(const char *name, uint32_t *ret);

/* The name of a number: the shortest that gives it, or the number in decimal. */
void vdev_of_devid(uint32_t devid, char ret[VDEV_NAME_MAX]);

#endif
