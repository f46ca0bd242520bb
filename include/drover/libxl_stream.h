/* SPDX-License-Identifier: MIT */
/*
 * A domain's state as libxl hands it on: `xl save` files and migration streams, and the xenstore
 * data in them (DOMAIN_XENSTORE_DATA, record 7, in the three forms in which it was proposed).
 * docs/libxl.md has the octets.
 *
 *   drover_libxl_*      the container: taken apart octet for octet, guest memory passed through
 *   drover_xsdata_*     one DOMAIN_XENSTORE_DATA record in memory, to octets and back
 *
 * As in image.h: 0 or a positive errno that the comment lists, no logging, nothing global,
 * lengths of strings without their NUL, octets borrowed.
 */
#ifndef DROVER_LIBXL_STREAM_H
#define DROVER_LIBXL_STREAM_H

#include <drover/image.h>

#ifdef __cplusplus
extern "C" {
#endif

enum drover_libxl_type {
	DROVER_LIBXL_END = 0,
	DROVER_LIBXL_LIBXC_CONTEXT = 1, /* a libxc stream follows inline */
	DROVER_LIBXL_EMULATOR_XENSTORE_DATA = 2,
	DROVER_LIBXL_EMULATOR_CONTEXT = 3,
	DROVER_LIBXL_CHECKPOINT_END = 4, /* the libxc stream goes on */
	DROVER_LIBXL_CHECKPOINT_STATE = 5,
	DROVER_LIBXL_DOMAIN_XENSTORE_DATA = 7,
};

/* Types with this bit may be passed over by whoever does not know them. */
#define DROVER_LIBXL_OPTIONAL 0x80000000u

/* "LIBXC_CONTEXT"; NULL for a type that is not known. */
const char *drover_libxl_type_name(uint32_t type);

/* What was wrong, and where. */
struct drover_libxl_error {
	uint64_t record; /* of the container, the first after the header is 0 */
	uint64_t offset; /* in the input, of what broke it */
	uint32_t type;	 /* of the container's record */
	bool in_header;	 /* of the file or the container */
	bool in_libxc;	 /* in the libxc stream that follows the record */
	char text[200];	 /* the rule that was broken; always NUL-terminated */
};

/*
 * Prints "record 3 (EMULATOR_CONTEXT) at offset 0x120: text" into buf, len octets, NUL-terminated.
 * Returns what snprintf would.
 */
int drover_libxl_error_print(const struct drover_libxl_error *err, char *buf, size_t len);

/* ---- the container ---- */

/*
 * The octets of all items but PLACE, one behind the other, are the input as it was. To take
 * xenstore data out, leave XENSTORE away; to put some in, write records at PLACE.
 */
enum drover_libxl_item_kind {
	DROVER_LIBXL_ITEM_HEADER,   /* of an xl save file, or of the container */
	DROVER_LIBXL_ITEM_RECORD,   /* a record other than xenstore data, or a part of it */
	DROVER_LIBXL_ITEM_LIBXC,    /* a part of the libxc stream */
	DROVER_LIBXL_ITEM_PLACE,    /* no octets: here xenstore data may stand; told once */
	DROVER_LIBXL_ITEM_XENSTORE, /* a DOMAIN_XENSTORE_DATA record, whole */
};

struct drover_libxl_item {
	enum drover_libxl_item_kind kind;
	bool begins;		     /* RECORD: its first part */
	uint32_t type;		     /* of the container's record; LIBXC: LIBXC_CONTEXT */
	uint32_t body_len;	     /* RECORD, XENSTORE: as the record states it */
	uint64_t record;	     /* index of the container's record */
	uint64_t offset;	     /* of octets in the input */
	struct drover_octets octets; /* until the next call */
	struct drover_octets body;   /* XENSTORE: without header and padding, within octets */
};

/* What the headers say. */
struct drover_libxl_info {
	bool xl_save;	     /* a file of xl save; else a stream alone */
	bool big_endian;     /* the container's records */
	bool legacy;	     /* made by the conversion tool of Xen 4.6 */
	uint32_t config_len; /* xl save: octets of its optional data, mostly the configuration */
};

struct drover_libxl_reader;

struct drover_libxl_options {
	/* As that of drover_reader_options. */
	int (*read)(void *ctx, void *buf, size_t len, size_t *ret_len);
	void *ctx;
};

/* Whether head, len octets, starts like something that this reader reads. */
bool drover_libxl_is(const void *head, size_t len);

/* ENOMEM. */
int drover_libxl_reader_new(const struct drover_libxl_options *options,
			    struct drover_libxl_reader **ret);
void drover_libxl_reader_free(struct drover_libxl_reader *reader);

/*
 * The next item, valid until the next call.
 *
 * ENODATA: the stream has ended, and well.
 * EINVAL: broken, or of a kind not known; drover_libxl_reader_error says how. Every further call
 * returns it again.
 * Else what the read function returned.
 */
int drover_libxl_next(struct drover_libxl_reader *reader, struct drover_libxl_item *item);

/* What was wrong, after EINVAL. Borrowed. */
const struct drover_libxl_error *
drover_libxl_reader_error(const struct drover_libxl_reader *reader);

/* Known in full when the first RECORD has come. Borrowed. */
const struct drover_libxl_info *drover_libxl_reader_info(const struct drover_libxl_reader *reader);

/* ---- xenstore data ---- */

enum drover_xsdata_form {
	DROVER_XSDATA_AUTO,	/* reading: told apart by the octets */
	DROVER_XSDATA_RELATIVE, /* strings, paths below the domain's own (seed 000) */
	DROVER_XSDATA_ABSOLUTE, /* strings, absolute paths, transactions (seed 002) */
	DROVER_XSDATA_BINARY,	/* lengths and octets (what seed 001 replaces) */
};

/* "relative", "absolute", "binary", "auto". */
const char *drover_xsdata_form_name(enum drover_xsdata_form form);

enum drover_xsdata_type {
	DROVER_XSDATA_NODE = 1,
	DROVER_XSDATA_WATCH = 2,
	DROVER_XSDATA_TXN = 3,
};

/* As many entries as a SET_PERMS request holds. */
#define DROVER_XSDATA_PERMS 1365
/* Transactions in one record. */
#define DROVER_XSDATA_TXNS 4096
/* Octets of a record's body: the longest path, most entries, the longest value. */
#define DROVER_XSDATA_BODY 131072

struct drover_xsdata {
	uint32_t type; /* enum drover_xsdata_type */

	/*
	 * NODE: absolute, or in the relative form without the domain's own path, which itself is
	 * empty. WATCH: as a client would write it.
	 */
	struct drover_octets path;
	struct drover_octets value; /* NODE */
	struct drover_octets token; /* WATCH */
	uint32_t n_perms;	    /* NODE, 1 or more */
	uint32_t n_txns;	    /* TXN; to be written: 1 in the binary form */
	struct drover_perm perm[DROVER_XSDATA_PERMS];
	uint32_t tx_id[DROVER_XSDATA_TXNS];
};

/*
 * Reads the body of a DOMAIN_XENSTORE_DATA record. *form, if AUTO, is set to that which the body
 * has where that is certain: only transactions, and watches on special paths, look alike in two.
 * Hand the same variable to the records of one stream, in their order.
 *
 * EINVAL: broken; text, len octets, says how.
 */
int drover_xsdata_decode(enum drover_xsdata_form *form, bool big_endian, const void *body,
			 size_t body_len, struct drover_xsdata *ret, char *text, size_t len);

/*
 * Writes a whole record to buf, room octets, with header and padding; *ret_len is how many were
 * written.
 *
 * ENOBUFS: room is too small; DROVER_XSDATA_BODY + 16 is always enough.
 * EINVAL: cannot be said in this form; text, len octets, says why.
 */
int drover_xsdata_encode(enum drover_xsdata_form form, bool big_endian,
			 const struct drover_xsdata *data, void *buf, size_t room, size_t *ret_len,
			 char *text, size_t len);

#ifdef __cplusplus
}
#endif

#endif
