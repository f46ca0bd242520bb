/* SPDX-License-Identifier: MIT */
/*
 * Writing a file for `xl create`. The writer has a copy of the configuration, and whoever writes a
 * field takes it out of there: what is left at the end, the file does not say.
 */
#ifndef DROVER_CONFIG_XL_WRITE_H
#define DROVER_CONFIG_XL_WRITE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xl_writer;

/* Text that grows. Once memory is out it stays as it is, and failed. */
struct xl_text {
	char *v; /* owned; with a NUL, or NULL: nothing yet */
	size_t n, room;
	bool failed;
};
void xl_text_add(struct xl_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void xl_text_clear(struct xl_text *t);

/* Frees a text that went into another; its failure is then the file's. */
void xl_text_end(struct xl_text *t, struct xl_writer *w);

/* Adds a string in quotes, as xl's files have it. */
void xl_text_quoted(struct xl_text *t, const char *s);

struct xl_writer {
	struct json_object *whole; /* borrowed: the configuration */
	struct json_object *rest;  /* borrowed: what of it is not written yet */
	const char *type;	   /* "pv", "pvh", "hvm": also of b_info's variant */
	struct xl_text out, lost;  /* owned */
	bool p9_backend;	   /* one of p9 with a backend was written */
	bool placed; /* something was written that ends xl's automatic placement on nodes */
};

/* The value at "b_info/type.hvm/vnc/enable", or NULL. Borrowed. */
struct json_object *xl_at(struct json_object *object, const char *path);
const char *xl_string_at(struct json_object *object, const char *path); /* NULL: no string */
int64_t xl_int_at(struct json_object *object, const char *path, int64_t init);

/* Whether it is there, and a string, "True" for one. */
bool xl_is(struct json_object *object, const char *path, const char *value);

/* It is written: takes it out. */
void xl_done(struct json_object *object, const char *path);

/* What xl makes otherwise than the configuration says, though no field of it is left over. */
void xl_note(struct xl_writer *w, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The numbers of a bitmap, "0-3,5". */
void xl_text_bits(struct xl_text *t, struct json_object *bits);

/* The domain itself; then its lists of devices. */
void xl_write_domain(struct xl_writer *w);
void xl_write_cpus(struct xl_writer *w); /* vcpus, where they run, nodes, cpuid */
void xl_write_devices(struct xl_writer *w);
void xl_write_sound(struct xl_writer *w); /* vsnd, which has lists in lists */

/* ---- a device's words ---- */

/* One device of a list, and what is said of it: "KEY=VALUE,KEY=VALUE". */
struct xl_spec {
	struct xl_writer *w;
	const char *list;	 /* "disks" */
	size_t index;		 /* in the configuration */
	size_t number;		 /* in the file: without those that cannot be written */
	struct json_object *dev; /* borrowed: its entry in the rest */
	struct xl_text words;	 /* owned */
};

/* A word as it is; with a comma before all but the first. */
void xl_spec_add(struct xl_spec *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * KEY=VALUE of a string field, where it is there and has none of the characters of `no`; else it
 * is left. False: nothing written.
 */
bool xl_spec_string(struct xl_spec *s, const char *field, const char *key, const char *no);

/* KEY=NUMBER of a field that is there; of a bool, KEY=1. */
void xl_spec_number(struct xl_spec *s, const char *field, const char *key);

/* Its backend's domain, by name or by number; where one is wanted, also by 0. */
void xl_spec_backend(struct xl_spec *s, const char *no, bool wanted);

/* xl numbers the devices of most lists itself. */
void xl_spec_devid(struct xl_spec *s);

void xl_spec_note(struct xl_spec *s, const char *field, const char *why);

/* Writes a list KEY of devices by fn; fn says false: this device cannot be written at all. */
typedef bool xl_spec_fn(struct xl_spec *s);
void xl_write_list(struct xl_writer *w, const char *list, const char *key, xl_spec_fn *fn);

/* From the i-th on; xl counts those before, too. */
void xl_write_list_from(struct xl_writer *w, const char *list, const char *key, size_t i,
			xl_spec_fn *fn);

#endif
