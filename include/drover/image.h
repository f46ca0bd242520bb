/* SPDX-License-Identifier: MIT */
/*
 * The image of a xenstore: a stream of records that holds nodes, permissions, watches,
 * connections and transactions, as daemons hand it to each other. Its octets, record by record,
 * are in docs/image.md.
 *
 * Three layers, each usable alone:
 *
 *   drover_record_*   one record in memory, to octets and back; no allocation, no state
 *   drover_reader_*   a stream read and validated, one record held at a time
 *   drover_writer_*   a stream written
 *
 * Functions return 0, or a positive errno that their comment lists. Nothing here logs, and
 * nothing is global: threads may use different readers and writers at the same time.
 *
 * Strings and octets in a record are borrowed: when it was read they lie in the caller's buffer,
 * or in the reader's until its next call; when it is written they are the caller's. Lengths of
 * paths, tokens and names never count the NUL. What was read has a NUL behind each path, token
 * and name; what is to be written needs none.
 */
#ifndef DROVER_IMAGE_H
#define DROVER_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- format ---- */

/* Two layouts claim the same version and cannot be told apart by their octets. */
enum drover_image_layout {
	DROVER_LAYOUT_UPSTREAM, /* what real xenstoreds write */
	DROVER_LAYOUT_SEED,	/* the first published design, of 2020 */
};

struct drover_image_format {
	enum drover_image_layout layout;
	unsigned int version; /* 1 or 2 */
	bool big_endian;      /* the records; a stream's header always is */
};

#define DROVER_IMAGE_HEADER_LEN 16
#define DROVER_RECORD_HEADER_LEN 8

/* ---- records ---- */

enum drover_record_type {
	DROVER_RECORD_END = 0,
	DROVER_RECORD_GLOBAL = 1,      /* GLOBAL_DATA */
	DROVER_RECORD_CONNECTION = 2,  /* CONNECTION_DATA */
	DROVER_RECORD_WATCH = 3,       /* WATCH_DATA */
	DROVER_RECORD_TXN = 4,	       /* TRANSACTION_DATA */
	DROVER_RECORD_NODE = 5,	       /* NODE_DATA */
	DROVER_RECORD_QUOTA = 6,       /* GLOBAL_QUOTA_DATA */
	DROVER_RECORD_DOMAIN = 7,      /* DOMAIN_DATA */
	DROVER_RECORD_WATCH_DEPTH = 8, /* WATCH_DATA_EXTENDED, version 2 */

	/* Drover's own: whoever does not know them passes over them. */
	DROVER_RECORD_STATE = 0x44520001,
	DROVER_RECORD_CONN_STATE = 0x44520002,
	DROVER_RECORD_CONN_GONE = 0x44520003,
	DROVER_RECORD_UNWATCH = 0x44520004,
	DROVER_RECORD_TXN_STATE = 0x44520005,
	DROVER_RECORD_TXN_END = 0x44520006,
	DROVER_RECORD_TXN_ACCESS = 0x44520007,
	DROVER_RECORD_TXN_BASE_NODE = 0x44520008,
	DROVER_RECORD_DOMAIN_STATE = 0x44520009,
	DROVER_RECORD_DOMAIN_GONE = 0x4452000a,
	DROVER_RECORD_PERMS_STRIP = 0x4452000b,
	DROVER_RECORD_COMMIT = 0x4452000c,
	DROVER_RECORD_POLICY = 0x4452000d,
	DROVER_RECORD_TXN_CHARGE = 0x4452000e,
	DROVER_RECORD_HOST = 0x4452000f,
	DROVER_RECORD_DEATH = 0x44520011,
};

/* Borrowed. data may be NULL where len is 0. */
struct drover_octets {
	const void *data;
	size_t len;
};

/*
 * Borrowed: n entries of equal size, as they lie in a record. To write: foreign false, and entry
 * an array of the struct that the field's comment names. Read them with the drover_*_at functions
 * below, which know neither alignment nor byte order of a record to be the machine's.
 */
struct drover_list {
	const void *entry;
	uint32_t n;
	bool foreign;  /* of the other byte order than this machine's */
	bool no_flags; /* of an access list: its flags are padding */
};

/* One entry of an access list. */
struct drover_perm {
	uint8_t letter; /* 'n', 'r', 'w', 'b' */
	uint8_t flags;	/* DROVER_PERM_STALE */
	uint16_t domid;
};
#define DROVER_PERM_STALE 1u /* the domain it named is gone */

/* One limit of a domain. */
struct drover_limit {
	uint64_t hard;
	uint64_t soft;
	uint32_t own; /* 1: the domain's own, 0: the policy's */
	uint32_t pad;
};

/* One limit of the policy. */
struct drover_policy_limit {
	uint64_t hard;
	uint64_t soft;
};

/* The I/O word of a connection's slot. */
struct drover_word {
	uint64_t id; /* of the connection, never used again */
	uint64_t io_word;
	uint32_t slot;
	uint32_t pad;
};

/* The i-th entry, i < n. */
struct drover_perm drover_perm_at(const struct drover_list *perms, uint32_t i);
struct drover_limit drover_limit_at(const struct drover_list *limits, uint32_t i);
struct drover_policy_limit drover_policy_limit_at(const struct drover_list *limits, uint32_t i);
struct drover_word drover_word_at(const struct drover_list *words, uint32_t i);
uint32_t drover_u32_at(const struct drover_list *values, uint32_t i);

/*
 * The string at *pos of names that end in NUL each, as in quota records; start with *pos 0.
 * False at the end. *ret_len is without the NUL.
 */
bool drover_name_next(const struct drover_octets *names, size_t *pos, const char **ret_name,
		      size_t *ret_len);

struct drover_global {
	int32_t socket_fd;    /* -1: none */
	int32_t ro_socket_fd; /* seed layout only; else -1 */
	int32_t evtchn_fd;    /* upstream layout only; else -1 */
};

enum drover_conn_kind {
	DROVER_CONN_RING = 0,
	DROVER_CONN_SOCKET = 1,
};

#define DROVER_CONN_READ_ONLY 1u /* seed layout, socket */
#define DROVER_CONN_UNIQUE_ID 2u /* unique_id is stated; upstream layout, ring */

struct drover_connection {
	uint32_t conn_id;
	uint16_t kind;	/* enum drover_conn_kind */
	uint16_t flags; /* DROVER_CONN_* */

	/* A ring's. */
	uint16_t domid;
	uint16_t tdomid; /* DROVER_DOMID_NONE: no target */
	uint32_t evtchn; /* upstream: the daemon's local port; seed: the guest's port */
	uint64_t mfn;	 /* seed layout only; else 0 */
	uint64_t unique_id;

	/* A socket's. */
	int32_t fd;

	/*
	 * input: received and not yet a whole request; at most 65535 octets, and none in the seed
	 * layout. output: not yet sent. Its first resp_len octets are the rest of a message that
	 * was sent in part; upstream layout only.
	 */
	struct drover_octets input;
	struct drover_octets output;
	uint16_t resp_len;
};
#define DROVER_DOMID_NONE 0x7ff4u

/* WATCH, WATCH_DEPTH, UNWATCH. */
struct drover_watch {
	uint32_t conn_id;
	uint32_t depth; /* of WATCH_DEPTH, 0 … 65534; DROVER_DEPTH_ANY when read of a writer that
			 * loses it, and for WATCH and UNWATCH */
	struct drover_octets path; /* absolute, relative or special, as the client wrote it */
	struct drover_octets token;
};
#define DROVER_DEPTH_ANY 0xffffffffu

/* TXN, TXN_END. */
struct drover_txn {
	uint32_t conn_id;
	uint32_t tx_id;
};

/*
 * NODE, TXN_BASE_NODE. conn_id and tx_id 0: committed. Else pending: an aspect of that
 * transaction, where access 0 and no perms mean that it was deleted.
 */
struct drover_node {
	uint32_t conn_id;
	uint32_t tx_id;
	uint16_t access;	  /* DROVER_ACCESS_* */
	struct drover_list perms; /* struct drover_perm, at most 65535 */
	struct drover_octets path;
	struct drover_octets value;
};
#define DROVER_ACCESS_READ 1u
#define DROVER_ACCESS_WRITTEN 2u

/* QUOTA: values and names of n_dom domain quotas, then of n_glob global ones. */
struct drover_quota {
	uint16_t n_dom;
	uint16_t n_glob;
	struct drover_list values;  /* uint32_t, n_dom + n_glob of them */
	struct drover_octets names; /* as many strings, a NUL behind each */
};

/* DOMAIN. */
struct drover_domain {
	uint16_t domid;
	uint32_t features;	    /* version 2; else 0 */
	struct drover_list values;  /* uint32_t, at most 65535 */
	struct drover_octets names; /* as many strings, a NUL behind each */
};

/* STATE. */
struct drover_state {
	uint32_t journal_version;
	uint32_t flags;
	uint64_t next_conn_id;
	uint64_t store_gen;
	uint64_t deaths;
	uint64_t started_ms; /* real time */
	uint64_t spare[2];
};

/* CONN_STATE. */
struct drover_conn_state {
	uint32_t conn_id;
	uint32_t flags; /* DROVER_CONN_STATE_* */
	uint32_t next_tx;
	uint32_t slot;
	uint64_t peer_id; /* a socket's number */
	uint16_t domid;
	uint64_t id; /* never used again */
};
#define DROVER_CONN_STATE_FAILED 1u
#define DROVER_CONN_STATE_PRIVILEGED 2u
#define DROVER_CONN_STATE_QUIESCED 4u

/* CONN_GONE. */
struct drover_conn_gone {
	uint32_t conn_id;
};

/* TXN_STATE. */
struct drover_txn_state {
	uint32_t conn_id;
	uint32_t tx_id;
	uint32_t flags; /* DROVER_TXN_* */
	uint64_t deaths_at_start;
	uint64_t serial; /* rises with each that is started, of whatever connection */
	uint64_t charge; /* octets besides those that go with accesses */
};
/* Its snapshot is that of the transaction whose state came before, but for the nodes that follow.
 */
#define DROVER_TXN_CHAINED 4u
#define DROVER_TXN_DOOMED 1u
#define DROVER_TXN_WROTE 2u

/* TXN_ACCESS. */
struct drover_txn_access {
	uint32_t conn_id;
	uint32_t tx_id;
	uint16_t saw;
	uint16_t wrote;
	struct drover_octets path;
};

/* TXN_CHARGE. */
struct drover_txn_charge {
	uint32_t conn_id;
	uint32_t tx_id;
	uint64_t octets;
};

/* DOMAIN_STATE. */
struct drover_domain_state {
	uint16_t domid;
	uint16_t flags;	 /* DROVER_DOMAIN_* */
	uint32_t target; /* DROVER_TARGET_NONE */
	uint64_t unique;
	uint64_t gfn;
	uint32_t remote_port;
	uint32_t local_port;
	uint32_t features;
	uint32_t counters;	   /* block of the area */
	struct drover_list limits; /* struct drover_limit */
};
#define DROVER_TARGET_NONE 0x10000u
#define DROVER_DOMAIN_INTRODUCED 1u
#define DROVER_DOMAIN_SHUTDOWN 2u
#define DROVER_DOMAIN_ORPHANS 4u
#define DROVER_DOMAIN_EDGES_LOST 8u
#define DROVER_DOMAIN_QUIESCED 16u

/* DOMAIN_GONE, PERMS_STRIP. */
struct drover_domid {
	uint16_t domid;
};

/* DEATH. */
struct drover_death {
	uint16_t domid;
	uint64_t count; /* deaths counted when it died */
};

/* COMMIT. In a record the words are followed by its own length, so it can be found backwards. */
struct drover_commit {
	uint64_t seq;
	struct drover_list words; /* struct drover_word */
};

/* POLICY. */
struct drover_policy {
	uint32_t flags;
	struct drover_list limits; /* struct drover_policy_limit */
};

/* HOST. */
struct drover_host {
	uint32_t flags;		   /* DROVER_HOST_TRACE */
	struct drover_octets path; /* of the trace file */
};
#define DROVER_HOST_TRACE 1u

struct drover_record {
	uint32_t type; /* enum drover_record_type, or one that this library does not know */
	union {
		struct drover_global global;
		struct drover_connection connection;
		struct drover_watch watch; /* WATCH, WATCH_DEPTH, UNWATCH */
		struct drover_txn txn;	   /* TXN, TXN_END */
		struct drover_node node;   /* NODE, TXN_BASE_NODE */
		struct drover_quota quota;
		struct drover_domain domain;
		struct drover_state state;
		struct drover_conn_state conn_state;
		struct drover_conn_gone conn_gone;
		struct drover_txn_state txn_state;
		struct drover_txn_access txn_access;
		struct drover_txn_charge txn_charge;
		struct drover_domain_state domain_state;
		struct drover_domid domain_gone;
		struct drover_domid perms_strip;
		struct drover_commit commit;
		struct drover_policy policy;
		struct drover_host host;
		struct drover_death death;
		struct drover_octets raw; /* the body of a type that is not known */
	};
};

/* "NODE_DATA"; NULL for a type that is not known. */
const char *drover_record_type_name(uint32_t type);

/* Whether this library knows the type's body. */
bool drover_record_type_known(uint32_t type);

/* Of an error that lies in no record of a type that is known. */
#define DROVER_RECORD_NONE 0xffffffffu

/* What was wrong, and where. */
struct drover_image_error {
	uint64_t record; /* index, the first after the header is 0 */
	uint64_t offset; /* of the record in the stream; 0 for one record in memory */
	uint32_t type;	 /* of the record, or DROVER_RECORD_NONE */
	bool in_header;	 /* of the stream */
	char text[200];	 /* the rule that was broken; always NUL-terminated */
};

/*
 * Prints "record 3 (NODE_DATA) at offset 0x120: text" into buf, len octets, NUL-terminated.
 * Returns what snprintf would.
 */
int drover_image_error_print(const struct drover_image_error *err, char *buf, size_t len);

/*
 * Writes one record with its header and zero padding to buf, room octets; *ret_len is how many
 * were written, a multiple of 8. buf needs no alignment. err may be NULL; it is written only on
 * EINVAL.
 *
 * ENOBUFS: room is too small; drover_record_size says what is needed.
 * EINVAL: the record cannot be expressed in this layout and version, or its lengths in its
 * fields. Whether paths are well-formed is for whoever reads.
 */
int drover_record_encode(const struct drover_image_format *format, const struct drover_record *rec,
			 void *buf, size_t room, size_t *ret_len, struct drover_image_error *err);

/* Octets that drover_record_encode writes for it. */
size_t drover_record_size(const struct drover_image_format *format,
			  const struct drover_record *rec);

/*
 * Reads the record at buf, of which len octets are there, and checks everything that can be
 * judged of it alone. *ret_len is how many octets it takes with header and padding. A type that
 * is not known is returned raw. err may be NULL; it is written only on EINVAL.
 *
 * EAGAIN: it goes on behind len.
 * EINVAL: broken; err says how.
 */
int drover_record_decode(const struct drover_image_format *format, const void *buf, size_t len,
			 struct drover_record *rec, size_t *ret_len,
			 struct drover_image_error *err);

/*
 * Octets that the record at buf takes with header and padding, from its first 8 alone.
 * EINVAL: longer than its type may be.
 */
int drover_record_length(const struct drover_image_format *format, const void *buf,
			 size_t *ret_len);

/* Writes a stream's header, DROVER_IMAGE_HEADER_LEN octets. */
void drover_image_header_encode(const struct drover_image_format *format, void *buf);

/* Reads one; format->layout is the caller's and stays. EINVAL: not one, or of a version unknown. */
int drover_image_header_decode(const void *buf, struct drover_image_format *format,
			       struct drover_image_error *err);

/* ---- streams ---- */

struct drover_reader;
struct drover_writer;

/* A domain's image: its nodes are subtrees that need no parents. */
#define DROVER_READER_DOMAIN 1u
/* Each record for itself: neither order, references, parents nor duplicates are checked. */
#define DROVER_READER_LOOSE 2u

struct drover_reader_options {
	/*
	 * Reads at most len octets to buf; *ret_len is how many, 0 at the end of the input.
	 * Returns 0 or a positive errno, which drover_reader_next passes on.
	 */
	int (*read)(void *ctx, void *buf, size_t len, size_t *ret_len);
	void *ctx;
	enum drover_image_layout layout;
	unsigned int flags;   /* DROVER_READER_* */
	uint64_t hash_key[2]; /* random: it keeps a hostile image from slowing its check */
};

/* ENOMEM. The header is read by the first drover_reader_next, or by drover_reader_format. */
int drover_reader_new(const struct drover_reader_options *options, struct drover_reader **ret);
void drover_reader_free(struct drover_reader *reader);

/*
 * The next record, valid until the next call. END is returned as a record; after it comes
 * ENODATA.
 *
 * ENODATA: the image has ended, and well.
 * EINVAL: broken; drover_reader_error says how. Every further call returns it again.
 * ENOMEM, or what the read function returned.
 */
int drover_reader_next(struct drover_reader *reader, struct drover_record *rec);

/* What was wrong, after EINVAL. Borrowed. */
const struct drover_image_error *drover_reader_error(const struct drover_reader *reader);

/* The stream's format. Reads the header if that was not done; errors as drover_reader_next. */
int drover_reader_format(struct drover_reader *reader, struct drover_image_format *ret);

/* Of the record returned last: its index, offset and octets as they were in the stream. */
uint64_t drover_reader_index(const struct drover_reader *reader);
uint64_t drover_reader_offset(const struct drover_reader *reader);
struct drover_octets drover_reader_octets(const struct drover_reader *reader);

struct drover_writer_options {
	/* Writes all of it. Returns 0 or a positive errno, which the writer passes on. */
	int (*write)(void *ctx, const void *data, size_t len);
	void *ctx;
	struct drover_image_format format;
};

/* ENOMEM. */
int drover_writer_new(const struct drover_writer_options *options, struct drover_writer **ret);

/* Nothing is written that drover_writer_end has not flushed. NULL is accepted. */
void drover_writer_free(struct drover_writer *writer);

/*
 * One record more; not END. Errors of drover_record_encode but ENOBUFS, ENOMEM, and those of the
 * write function, which every further call returns again.
 */
int drover_writer_put(struct drover_writer *writer, const struct drover_record *rec);

/* Writes END and everything that is still held. */
int drover_writer_end(struct drover_writer *writer);

/* What was wrong, after EINVAL. Borrowed. */
const struct drover_image_error *drover_writer_error(const struct drover_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
