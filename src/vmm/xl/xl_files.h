/* SPDX-License-Identifier: MIT */
/*
 * What the daemon leaves for drover-xlguest in a guest's directory.
 */
#ifndef DROVER_VMM_XL_XL_FILES_H
#define DROVER_VMM_XL_XL_FILES_H

#define XL_CONFIG_FILE "config" /* the guest's configuration, libxl's JSON */

#endif
