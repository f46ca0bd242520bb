/* SPDX-License-Identifier: MIT */
/*
 * A worker's seat: what it gets of the keeper, whether it was forked or is the candidate of an
 * update, and what it can ask of the keeper. All descriptors are the worker's own.
 */
#ifndef DROVER_KEEPER_SEAT_H
#define DROVER_KEEPER_SEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "hv/hv.h"
#include "keeper/proto.h"

#define SEAT_JOURNAL_FILES 5 /* area, base.0, log.0, base.1, log.1 */
#define SEAT_BOOT_ID_LEN 36  /* characters, without a NUL */
#define SEAT_WORKER_NAME "drover-worker"
#define SEAT_STATUS_LOST 3    /* exit status: what was to be recovered is damaged */
#define SEAT_STATUS_REFUSED 4 /* exit status: cannot start, and another would not either */

/* What can be taken over of another version; tests build a program that says otherwise. */
#ifndef SEAT_IMAGE_VERSIONS
#define SEAT_IMAGE_VERSIONS "2 1"
#endif
#ifndef SEAT_JOURNAL_VERSION
#define SEAT_JOURNAL_VERSION "1" /* JOURNAL_VERSION */
#endif

/* How `drover-xenstored --help` says it, on a line of its own: see versions.h. */
#define SEAT_VERSIONS                                                                              \
	"image versions: " SEAT_IMAGE_VERSIONS "; journal version: " SEAT_JOURNAL_VERSION          \
	"; keeper version: 1"

struct worker_seat {
	int link;
	int call;
	int journal[SEAT_JOURNAL_FILES]; /* -1 each with --no-journal */
	int lock;			 /* of the journal: held as long as it may be written */
	int netns;			 /* a network namespace without anything in it; -1: none */
	struct hv_kept hv;
	int image;	 /* of another daemon, to begin with; -1: none */
	bool candidate;	 /* load and follow; serve when told */
	uint64_t deaths; /* workers that died under this keeper */
	char boot_id[SEAT_BOOT_ID_LEN + 1];
};

/* For the keeper: seat as a HELLO. m borrows the descriptors. */
void seat_to_hello(const struct worker_seat *seat, struct proto_msg *m);

/*
 * For a candidate: the seat that is waited for on link. -EPROTO: of a keeper that speaks another
 * version. As proto_recv.
 */
int seat_from_hello(int link, struct worker_seat *ret);

/* A file, opened by the keeper: the descriptor, or a negative errno. Waits for the answer. */
int seat_open_file(const struct worker_seat *seat, enum proto_open how, const char *path);

/* Tells the keeper; waits for room only. As proto_send. */
int seat_tell(const struct worker_seat *seat, enum proto_type type, uint32_t value,
	      const char *text);
/* The socket of that number is not needed any more. */
int seat_closed(const struct worker_seat *seat, uint64_t number);

#endif
