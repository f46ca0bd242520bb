/* SPDX-License-Identifier: MIT */
/*
 * The words of xl for a disk and for a nic, as of Xen 4.17: xl-disk-configuration(5) and
 * xl-network-configuration(5), and what its scanner takes beyond them.
 */
#ifndef DROVER_CONFIG_XL_H
#define DROVER_CONFIG_XL_H

#include <json-c/json.h>
#include <stddef.h>

#include "config/err.h"

/*
 * Sets fields of a canonical entry from words: "phy:/dev/vg/x,xvdb,w", and
 * "mac=00:16:3e:00:00:01,bridge=br0". Fields that the words say nothing of stay as they are; on
 * failure all do. -EINVAL: the line says which word, and at which column it begins. Words that
 * are not in UTF-8 are -EINVAL, too: JSON could not hold them.
 */
int xl_disk_parse(const char *words, struct json_object *entry, struct conf_err *err);
int xl_nic_parse(const char *words, struct json_object *entry, struct conf_err *err);

/* -EINVAL: not in UTF-8; the line begins with `what`. */
int xl_check_text(const char *what, const char *words, struct conf_err *err);

/* The parameters of a nic that are named as their fields, all of COLO; NULL from the end on. */
const char *xl_nic_colo_key(size_t i);

#endif
