/* SPDX-License-Identifier: MIT */
/*
 * The tests of bench-client, one function each. args are the words after the test's name, ended
 * by NULL; every one of them works on a store of its own making below /b and may leave it there.
 */
#ifndef DROVER_BENCH_TESTS_H
#define DROVER_BENCH_TESTS_H

#include <stdbool.h>

#include "link.h"
#include "meter.h"

/* The value written everywhere. */
#define BENCH_VALUE "0123456789abcdef"

/* One operation on l, in as many round trips as it takes. */
typedef void bench_op(struct bench *b, struct link *l);

/* The nodes that the operations below use. */
void ops_prepare(struct link *l);
void op_read(struct bench *b, struct link *l);
void op_write(struct bench *b, struct link *l);
void op_mkdir_rm(struct bench *b, struct link *l);
void op_transaction(struct bench *b, struct link *l);
/* A new connection reads once and goes. */
void op_visit(struct bench *b, struct link *l);

/* Repeats op for b->seconds and prints its samples. */
void bench_measure(struct bench *b, const char *param, const char *prefix, struct link *l,
		   bench_op *op);

/*
 * Writes nodes [from, to) with up to 32 requests outstanding; fmt makes a path of two numbers,
 * i / per and i % per. Returns how many were written before deadline_ns, all or fewer.
 */
unsigned long populate_nodes(struct link *l, const char *fmt, unsigned long per, unsigned long from,
			     unsigned long to, uint64_t deadline_ns);
/* Registers watches /wu/I for I in [from, to), each with its initial event received. */
unsigned long populate_watches(struct link *l, unsigned long from, unsigned long to,
			       uint64_t deadline_ns);

/* The number in args[i], or by default fallback. */
unsigned long arg_number(char **args, int i, unsigned long fallback);

void test_lat(struct bench *b, char **args);	  /* [OP] */
void test_pipe(struct bench *b, char **args);	  /* OP CONNECTIONS OUTSTANDING */
void test_conflict(struct bench *b, char **args); /* same|disjoint|newchild CLIENTS */
void test_idle(struct bench *b, char **args);	  /* POPULATION... */
void test_watches(struct bench *b, char **args);  /* POPULATION... */
void test_nodes(struct bench *b, char **args);	  /* POPULATION... */
void test_siblings(struct bench *b, char **args); /* POPULATION... */
void test_remove(struct bench *b, char **args);	  /* NODES */
void test_memory(struct bench *b, char **args);	  /* NODES WATCHES CONNECTIONS */
void test_idledom(struct bench *b, char **args);  /* POPULATION... */
void test_domains(struct bench *b, char **args);  /* DOMAINS */
void test_update(struct bench *b, char **args);	  /* NODES PROGRAM */
void test_move(struct bench *b, char **args);	  /* POPULATION... */
void test_kill(struct bench *b, char **args);	  /* NODES */

#endif
