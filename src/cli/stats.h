/* SPDX-License-Identifier: MIT */
/*
 * The daemon's counters, from the text that CONTROL "stats" answers with (docs/operations.md,
 * "Counters"): lines of words "key=value". Keys that are not known here are passed over, so that
 * a newer daemon may say more.
 */
#ifndef DROVER_CLI_STATS_H
#define DROVER_CLI_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xenstore.h>

/* What a domain may be refused for; kinds beyond these are added as they are met. */
#define CLI_KINDS 32
#define CLI_KIND_SIZE 32 /* octets of a kind's name with its NUL */

/* The limits that the daemon tells of. */
enum cli_limit {
	CLI_LIMIT_NODES,
	CLI_LIMIT_WATCHES,
	CLI_LIMIT_TRANSACTIONS,
	CLI_LIMIT_MEMORY,
	CLI_LIMIT_COUNT
};

struct cli_daemon_stats {
	uint64_t nodes, watches, connections, transactions, rounds, requests, uptime_ms, domains;
};

struct cli_domain_stats {
	uint32_t domid;
	uint64_t introduced;
	uint64_t nodes, memory, watches, transactions; /* held now */
	uint64_t queued;			       /* octets unread */
	uint64_t events, outstanding;		       /* events, replies unread */
	uint64_t requests, conflicts;		       /* so far */
	uint64_t limit[CLI_LIMIT_COUNT];	       /* 0: none */
	uint64_t refused[CLI_KINDS];		       /* so far, by kind */
};

struct cli_stats {
	struct cli_daemon_stats daemon;
	struct cli_domain_stats *domain; /* owned, by rising domid */
	size_t n_domains;
	size_t room;
	char kind[CLI_KINDS][CLI_KIND_SIZE]; /* names for refused[] */
	size_t n_kinds;
};

/* With the kinds that are always shown. */
void cli_stats_init(struct cli_stats *s);
void cli_stats_fini(struct cli_stats *s);

/*
 * Takes in one answer to a question from domid `from`. *ret_next: the domid to ask from next, or
 * -1 after the last. 0, or EBADMSG: not an answer of the form above.
 */
int cli_stats_parse(struct cli_stats *s, const char *answer, uint32_t from, int32_t *ret_next);

/* Asks until all is there, into s, which is empty. 0 or an errno; EBADMSG as above. */
int cli_stats_read(struct xs_handle *xs, struct cli_stats *s);

/* Says on stderr that it went wrong; returns CLI_FAILED. */
int cli_stats_fail(const char *command, int err);

/* NULL: no such domain. */
const struct cli_domain_stats *cli_stats_find(const struct cli_stats *s, uint32_t domid);

/* Refusals of all kinds. */
uint64_t cli_stats_refusals(const struct cli_domain_stats *d);

/* The limit behind a kind of refusal; 0: none, or the daemon does not tell it. */
uint64_t cli_stats_limit_of(const struct cli_domain_stats *d, const char *kind);

/* "nodes" and so on. */
const char *cli_limit_name(enum cli_limit limit);

#endif
