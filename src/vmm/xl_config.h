/* SPDX-License-Identifier: MIT */
/*
 * A definition as libxl's configuration, in the JSON of its records (docs/config.md): what the
 * store and libxl are told of a guest. Of a guest of another kind than Xen's, devices get Xen's
 * names, and what Xen has no word for is left out: its backend knows it.
 */
#ifndef DROVER_VMM_XL_CONFIG_H
#define DROVER_VMM_XL_CONFIG_H

#include <stddef.h>

#include "vmm/def.h"

/*
 * Prints it; *ret_json is to be freed, with a NUL that *ret_len does not count. > 0: EINVAL, of
 * domains of type 'xen' only: libxl has no word for it, text (room octets) names the element. < 0:
 * -ENOMEM.
 */
int xl_config_print(const struct guest_def *def, char **ret_json, size_t *ret_len, char *text,
		    size_t room);

#endif
