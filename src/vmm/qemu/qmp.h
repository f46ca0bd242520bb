/* SPDX-License-Identifier: MIT */
/*
 * A client of QEMU's monitor protocol (QMP) over a connected stream socket: JSON, an object a line.
 * What QEMU writes is not trusted: it runs a guest. An object that the protocol does not know, one
 * out of order or too long ends the connection with words, and every call that waits is told.
 *
 * The handshake is ours: calls made before it is over wait for it. Nothing blocks, and nobody is
 * called back but from qmp_serve.
 *
 * QEMU docs/interop/qmp-spec.txt: greeting (2.2), commands (2.3), answers (2.4), events (2.5).
 */
#ifndef DROVER_VMM_QEMU_QMP_H
#define DROVER_VMM_QEMU_QMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;
struct qmp;

#define QMP_LINE_MAX 262144u /* octets of one object from QEMU */
#define QMP_READ_MAX 65536u  /* octets taken in one qmp_serve */
#define QMP_DEPTH_MAX 32u    /* of objects in objects */
#define QMP_CALLS_MAX 64u    /* not answered yet */
#define QMP_ANSWER_MS 60000u /* for one call */

struct qmp_events {
	/* data is borrowed, an object, or NULL. */
	void (*event)(void *data, const char *name, struct json_object *event_data);
};

/*
 * The end of a call. err 0: ret is what came back, borrowed, of any type. -EREMOTEIO: refused by
 * QEMU, why is its description; another: the connection ended.
 */
typedef void qmp_done_fn(void *data, struct json_object *ret, int err, const char *why);

/*
 * On fd, connected and non-blocking; owned, also on failure. Ids of calls count from first_id, so
 * that answers to a former client's calls are known as such (32 bits are enough). NULL: no memory.
 */
struct qmp *qmp_new(int fd, uint32_t first_id, const struct qmp_events *events, void *data);
/* Waiting calls are dropped, not told. Not from a callback. Accepts NULL. */
void qmp_free(struct qmp *q);

int qmp_fd(const struct qmp *q);
/* Whether there is something to write that the socket did not take. */
bool qmp_wants_write(const struct qmp *q);
/* The handshake is over. */
bool qmp_is_ready(const struct qmp *q);

/*
 * Asks. args: owned, an object or NULL; fd: >= 0: goes with it, owned, also on failure. done may be
 * NULL. 0; -ENOTCONN: it has ended; -ENOBUFS: QMP_CALLS_MAX wait; -ENOMEM.
 */
int qmp_call(struct qmp *q, const char *command, struct json_object *args, int fd, uint64_t now_ms,
	     qmp_done_fn *done, void *data);

/* Writes what the socket takes, without a callback: what goes wrong is told by qmp_serve. */
void qmp_flush(struct qmp *q);

/*
 * Reads what is there, up to QMP_READ_MAX, calls back, and writes. 0; negative: the connection is
 * over, all waiting calls have been told, and qmp_why says what happened.
 */
int qmp_serve(struct qmp *q, uint64_t now_ms);
const char *qmp_why(const struct qmp *q);
/* When qmp_serve is to be called at the latest; UINT64_MAX: never. */
uint64_t qmp_deadline_ms(const struct qmp *q);

/*
 * An object of arguments, member by member: each returns the object, or NULL without memory and for
 * NULL, having freed it, so that one check in qmp_call does.
 */
struct json_object *qmp_args_new(void);
struct json_object *qmp_args_text(struct json_object *args, const char *key, const char *value);
struct json_object *qmp_args_int(struct json_object *args, const char *key, int64_t value);
struct json_object *qmp_args_bool(struct json_object *args, const char *key, bool value);

/* A member of an object, or the default where it is missing or of another type. obj may be NULL. */
const char *qmp_text(struct json_object *obj, const char *key); /* NULL */
uint64_t qmp_uint(struct json_object *obj, const char *key);	/* 0, also of negative ones */
bool qmp_bool(struct json_object *obj, const char *key);
struct json_object *qmp_object(struct json_object *obj, const char *key);

#endif
