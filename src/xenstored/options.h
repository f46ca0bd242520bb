/* SPDX-License-Identifier: MIT */
/*
 * The command line of C xenstored, with the same meaning, and --hv.
 */
#ifndef DROVER_XENSTORED_OPTIONS_H
#define DROVER_XENSTORED_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "quota/quota.h"

enum hv_choice {
	HV_AUTO, /* Xen where /proc/xen/capabilities says control_d, else the simulation */
	HV_XEN,
	HV_SIM,
};

struct options {
	bool no_fork;	     /* -N */
	bool no_domain_init; /* -D */
	bool output_pid;     /* -P */
	bool keep_orphans;   /* -K */
	bool verbose;	     /* -V */
	bool help;	     /* -H */
	bool version;
	bool check;		/* --check */
	bool trace_io;		/* --trace-control +io: the default where there is a trace file */
	const char *pid_file;	/* -F; borrowed from argv, as all strings */
	const char *trace_file; /* -T */
	const char *sim_dir;	/* --hv=sim:DIR */
	bool no_journal;	/* --no-journal */
	bool discard_state;	/* --discard-state */
	bool adopt;		/* -U: go on from what C xenstored left */
	bool adopt_ocaml;	/* --restart: from what oxenstored left */
	const char *back;	/* --back: its program, should ours not start */
	bool no_sandbox;	/* --no-sandbox */
	int candidate_fd;	/* --candidate; -1: none */
	int keeper_state_fd;	/* --keeper-state; -1: none */
	enum hv_choice hv;
	uint32_t priv_domid;	   /* --priv-domid, -m; PERM_NO_DOMID: none */
	uint32_t event_port;	   /* --event; 0: what the kernel says */
	uint64_t event_timeout_ms; /* -w watch-event=SECONDS */
	struct quota_policy policy;
};

/*
 * 0: *ret is filled. EINVAL: a message that names the option is on stderr.
 */
int options_parse(struct options *ret, int argc, char **argv);

void options_usage(const char *program);

#endif
