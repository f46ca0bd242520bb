/* SPDX-License-Identifier: MIT */
/*
 * What keeper and worker say to each other: whole messages over SOCK_SEQPACKET pairs, with
 * descriptors. Two pairs: the *link* is for news in both directions and nobody waits on it for
 * an answer; the *call* is for the worker's questions, one at a time.
 *
 * The keeper never blocks on a worker: what does not fit waits in the keeper. A worker may block
 * on the keeper.
 *
 * The life of a worker, as the keeper sees it:
 *
 *   forked    CLIENTS... SERVE ->                           <- SERVING
 *   candidate HELLO ->   <- LOADED                          (follows the log while another serves)
 *             CATCH_UP ->   <- READY                        (the other has STOPPED)
 *             CLIENTS... SERVE ->   <- SERVING
 *   at last   STOP ->   <- STOPPED   RESUME ->              (or SIGKILL)
 *
 * Both ends are the same program but for a candidate, which may be of another version: HELLO is
 * the message whose form never changes, and PROTO_VERSION is compared before all else.
 */
#ifndef DROVER_KEEPER_PROTO_H
#define DROVER_KEEPER_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTO_VERSION 1u
#define PROTO_FDS_MAX 64u    /* descriptors with one message */
#define PROTO_TEXT_MAX 8704u /* octets of text: two CONTROL payloads, and room */

enum proto_type {
	/* keeper to worker, on the link */
	PROTO_HELLO = 1, /* value PROTO_VERSION; descriptors and id[]: see seat.h */
	PROTO_CLIENTS,	 /* value sockets; id[], with as many descriptors */
	PROTO_SERVE,	 /* all clients are told; id[] as PROTO_VERDICT's, none where n_ids is 0 */
	PROTO_STOP,	 /* finish the round, commit, touch nothing from then on */
	PROTO_RESUME,	 /* after STOP: go on */
	PROTO_CATCH_UP,	 /* the log has its last record now */
	PROTO_IMAGE,	 /* as STOP, and write an image; two descriptors: of it, of a table of
			  * sockets; id[]: enum proto_image_word */
	PROTO_CALM,	 /* start no transactions: until none is open, or for id[0] ms. value:
			  * 1: what is open then is lost, 0: else it is not to be */
	PROTO_VERDICT,	 /* text: how the update ended, "OK" or why not; id[]: of what request */

	/* worker to keeper, on the link */
	PROTO_SERVING = 32, /* clients are served from now on; text: the hypervisor's name */
	PROTO_CLOSED,	    /* id[0]: the socket of that number is not needed any more */
	PROTO_LOG,	    /* value: enum log_level; text: a line */
	PROTO_UPDATE,	    /* value: 1: by force; id[]: who asks, and time; text: file NUL
			     * options */
	PROTO_ABORT,	    /* the update that this worker asked for is not wanted any more */
	PROTO_LOADED,
	PROTO_STOPPED,
	PROTO_READY,
	PROTO_CALMED, /* after CALM: IMAGE may come; FAILED: not */
	PROTO_FAILED, /* a candidate's reason; it ends */

	/* worker to keeper and back, on the call */
	PROTO_OPEN = 64, /* value: enum proto_open; text: path. Answer: PROTO_FILE */
	PROTO_FILE,	 /* value: 0 with a descriptor, or an errno */
};

/* How a file is opened for the worker, which cannot by itself. */
enum proto_open {
	PROTO_OPEN_APPEND,  /* a log: created 0600 where missing */
	PROTO_OPEN_REPLACE, /* a report: emptied */
};

/* id[] of PROTO_UPDATE and PROTO_VERDICT: the request that asked for the update. */
enum proto_place {
	PROTO_CONN,	/* the connection's id */
	PROTO_POSITION, /* of the request in its input */
	PROTO_TIMEOUT,	/* PROTO_UPDATE: ms */
	PROTO_PLACE_WORDS,
};

/* id[] of PROTO_IMAGE. */
enum proto_image_word {
	PROTO_IMAGE_CONN,    /* who asked for the update: the connection's id */
	PROTO_IMAGE_LISTEN,  /* descriptors as the other program will have them */
	PROTO_IMAGE_EVTCHN,  /* -1: there is none */
	PROTO_IMAGE_VERSION, /* of the image, with our own records; 0: 1, without them */
	PROTO_IMAGE_WORDS,
};

/* A client's socket in the table that goes with PROTO_IMAGE, by rising number. */
struct proto_image_client {
	uint64_t number;
	int32_t fd; /* in the other program */
	int32_t zero;
};

struct proto_msg {
	uint32_t type;
	uint32_t value;
	uint32_t n_ids;	   /* at most PROTO_FDS_MAX */
	uint32_t text_len; /* without the NUL that recv puts behind it; at most PROTO_TEXT_MAX */
	uint64_t id[PROTO_FDS_MAX];
	char text[PROTO_TEXT_MAX + 1];
	int fd[PROTO_FDS_MAX]; /* not part of the message itself */
	uint32_t n_fds;
};

/* Both ends of a pair, close-on-exec, non-blocking. -errno. */
int proto_pair(int fd[2]);

/* An empty message of that type. text may be NULL; a longer one is cut. */
void proto_init(struct proto_msg *m, enum proto_type type, uint32_t value, const char *text);

/*
 * Sends m with its descriptors, which stay the caller's. wait: until it fits. 0; -EAGAIN: does
 * not fit now; -EPIPE: nobody reads any more; -errno.
 */
int proto_send(int fd, const struct proto_msg *m, bool wait);

/*
 * The next message; its descriptors are the caller's. wait: until there is one. 0; -EAGAIN: none
 * now; -EPIPE: the other end is gone; -EBADMSG: not one of ours, its descriptors are closed. Where
 * this process may have no more descriptors the last of them are missing.
 */
int proto_recv(int fd, struct proto_msg *m, bool wait);

#endif
