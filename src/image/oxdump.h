/* SPDX-License-Identifier: MIT */
/*
 * What oxenstored leaves for its successor in a live update, read as an image of version 1: a text
 * of lines, each a word and fields between commas, octets as hexadecimal digits.
 *
 *   $xenstored-dump-format         the first line
 *   global,FD                      the listening socket
 *   evtchn-dev,FD,PORT             the event channel device, and the port of domains' deaths
 *   dom,DOMID,GFN,REMOTE,LOCAL     a ring, with its ports
 *   socket,FD                      a client
 *   watch,ID,PATH,TOKEN            of the ring or, with ID -FD, the client before it
 *   store,PATH,PERMS,VALUE         a node, parents first
 *
 * Older ones name neither device nor local ports: those are refused, since what a process has bound
 * and does not know is lost to it. A line of another kind is refused, too: what cannot be read
 * cannot be carried on.
 */
#ifndef DROVER_IMAGE_OXDUMP_H
#define DROVER_IMAGE_OXDUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OXDUMP_FIRST_LEN 23	   /* octets that oxdump_is looks at */
#define OXDUMP_LINE_MAX (4u << 20) /* octets: twice those of the largest record */

struct oxdump;

/* What its first lines say, which no guest wrote a word of. */
struct oxdump_head {
	int listen_fd;
	int evtchn_fd;
	uint32_t virq; /* the port that is bound to domains' deaths */
};

/* Whether len octets at text begin such a dump. */
bool oxdump_is(const void *text, size_t len);

/*
 * The head, from the first octets of a dump. False: it is not all there, or not as above.
 */
bool oxdump_read_head(const char *text, size_t len, struct oxdump_head *ret);

/*
 * A reader over another: read is as in drover_reader_options, and gives the dump's octets. NULL: no
 * memory.
 */
struct oxdump *oxdump_new(int (*read)(void *ctx, void *buf, size_t len, size_t *ret_len),
			  void *ctx);
/* Accepts NULL. */
void oxdump_free(struct oxdump *o);

/*
 * For drover_reader_options.read, with o as ctx: the image's octets. EINVAL: the dump is not as
 * above, see oxdump_error; ENOMEM; or what read returned. Whether ids, paths and their order make
 * sense is for the image's reader.
 */
int oxdump_read(void *o, void *buf, size_t len, size_t *ret_len);

/* After EINVAL: the rule that was broken, NULL where none was; *ret_line, from 1. */
const char *oxdump_error(const struct oxdump *o, uint64_t *ret_line);

#endif
