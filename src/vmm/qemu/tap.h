/* SPDX-License-Identifier: MIT */
/*
 * The host's end of a guest's nic: a tap, which ends with the process that holds it.
 */
#ifndef DROVER_VMM_QEMU_TAP_H
#define DROVER_VMM_QEMU_TAP_H

#include "vmm/def.h"

/*
 * A tap of the nic's name, or of the first free one of vnet0 and so on, up, and in the bridge that
 * the nic names, if it names one. The descriptor, non-blocking and close-on-exec; or < 0: the
 * system's error, logged: -ENAMETOOLONG: target or bridge has more than 15 octets; -EBUSY: there is
 * one of this name; -ENODEV: no such bridge; -EPERM.
 */
int tap_open(const struct def_nic *nic);

#endif
