/* SPDX-License-Identifier: MIT */
/*
 * The types that libxl's description of a domain's configuration is made of (libxl_types.idl of
 * Xen), as far as they appear in its JSON: names, kinds, defaults, and since when.
 */
#ifndef DROVER_CONFIG_SCHEMA_H
#define DROVER_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum schema_kind {
	SCHEMA_STRUCT,
	SCHEMA_STRING,	/* `bits` characters, where that is not 0 */
	SCHEMA_INT,	/* signed, `bits` wide */
	SCHEMA_UINT,	/* `bits` wide */
	SCHEMA_BOOL,	/* true, false */
	SCHEMA_DEFBOOL, /* "True", "False"; the default is neither */
	SCHEMA_ENUM,
	SCHEMA_UUID,
	SCHEMA_MAC,
	SCHEMA_BITMAP,	/* list of the bits that are set */
	SCHEMA_STRINGS, /* list of strings */
	SCHEMA_KEY_VALUES,
	SCHEMA_CPUID,
	SCHEMA_GENID, /* ms_vm_genid: 16 numbers */
};

struct schema_name {
	int value;
	const char *name;   /* as it is written: lower case */
	unsigned int since; /* as of a field */
};

struct schema_field;

struct schema_type {
	const char *name; /* "device_disk", "disk_format" */
	enum schema_kind kind;
	unsigned int bits;
	const struct schema_field *fields; /* SCHEMA_STRUCT: to one without a name */
	const struct schema_name *names;   /* SCHEMA_ENUM: to one without a name */
};

enum schema_shape {
	SCHEMA_ONE,
	SCHEMA_ARRAY, /* a list of `type` */
	SCHEMA_UNION, /* variants: fields of this name, told apart by `variant`: "type.pv" */
};

struct schema_field {
	const char *name;
	const struct schema_type *type;
	enum schema_shape shape;
	int64_t init;	     /* the default of a number or enumeration: left out when written */
	const char *variant; /* SCHEMA_UNION: "pv"; the field's name is the key's ("type") */
	unsigned int since;  /* 0x0417 for 4.17; 0: before */
};

/* The whole: "domain_config". */
const struct schema_type *schema_domain_config(void);

/* The structure of a list's entries in the whole, "disks"; NULL: no such list. */
const struct schema_type *schema_of_list(const char *list);

#endif
