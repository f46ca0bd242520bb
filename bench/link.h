/* SPDX-License-Identifier: MIT */
/*
 * The load generator's end of one xenstore connection, over the unix socket or over the ring of
 * a simulated domain. Anything unexpected ends the program: a benchmark that goes on after an
 * error measures something else.
 */
#ifndef DROVER_BENCH_LINK_H
#define DROVER_BENCH_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

#define LINK_IN_SIZE 65536u
#define LINK_TIMEOUT_S 120

struct sim_guest;

struct link {
	int fd;			 /* owned; -1 on a ring */
	struct sim_guest *guest; /* owned; NULL on a socket */
	uint32_t next_id;
	unsigned long n_events; /* watch events that link_call passed over */
	size_t in_head;
	size_t in_tail;
	char in[LINK_IN_SIZE];
};

/* One received message. body is borrowed from the link until the next receive. */
struct message {
	uint32_t type;
	uint32_t req_id;
	uint32_t len;
	const char *body;
};

/* Prints the message to stderr and ends the program with status 3. */
_Noreturn void bench_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

struct link *link_new_socket(const char *path);
/* The guest's end of domid's ring in the simulation's directory. */
struct link *link_new_ring(const char *sim_dir, uint16_t domid);
void link_free(struct link *l);

/* Sends one request at once, as every client library does. Returns its req_id. */
uint32_t link_send(struct link *l, uint32_t type, uint32_t tx, const void *body, size_t len);

/* Takes the next whole message that was already received. False: there is none. */
bool link_next(struct link *l, struct message *ret);
/* Waits for more input and reads what there is, once. */
void link_fill(struct link *l);
/* The next message, waiting for it. */
void link_receive(struct link *l, struct message *ret);

/*
 * Sends a request and waits for its reply, passing over watch events. Returns 0 or the errno the
 * server named; other errors are given as EIO.
 */
int link_call(struct link *l, uint32_t type, uint32_t tx, const void *body, size_t len,
	      struct message *ret);

/* Calls that must succeed. A path's terminating octet is sent along. */
void link_do(struct link *l, uint32_t type, uint32_t tx, const char *path, struct message *ret);
void link_write(struct link *l, uint32_t tx, const char *path, const char *value);
void link_watch(struct link *l, const char *path, const char *token);
uint32_t link_begin(struct link *l);
/* Returns 0, or EAGAIN. */
int link_commit(struct link *l, uint32_t tx);

/* Puts "first NUL second" into buf, and a last NUL where asked. Returns its length. */
size_t body_pair(char *buf, size_t size, const char *first, const char *second, bool end_nul);

#endif
