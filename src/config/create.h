/* SPDX-License-Identifier: MIT */
/*
 * A domain as a toolstack leaves it in store and userdata when it has created it: for the
 * simulation, the benchmark and tests, which have domains that nobody built.
 */
#ifndef DROVER_CONFIG_CREATE_H
#define DROVER_CONFIG_CREATE_H

#include <json-c/json.h>
#include <stdint.h>

#include "drover/config.h"

/*
 * Writes the domain's keys, its record and the keys of its devices, all in state 1. config is
 * canonical; what may be left to the toolstack (uuid, devids, macs) is filled in, in place. The
 * domain's name and type are needed. On failure nothing stays but backends' directories. -EINVAL,
 * -EEXIST: it has a record; and those of drover_config_attach.
 */
int conf_create(struct drover_config *c, uint32_t domid, struct json_object *config);

#endif
