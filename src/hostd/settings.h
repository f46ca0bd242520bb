/* SPDX-License-Identifier: MIT */
/*
 * What the daemon is told: its configuration file, lines of "key = value", over which the command
 * line lays its own. Documented in drover-hostd(8).
 */
#ifndef DROVER_HOSTD_SETTINGS_H
#define DROVER_HOSTD_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SETTINGS_FILE "/etc/drover/hostd.conf"
#define SETTINGS_FILE_MAX (1u << 20) /* octets of the file */
#define SETTINGS_LIST_MAX 16u	     /* values of one key that is a list */

struct settings_list {
	char *v[SETTINGS_LIST_MAX]; /* owned */
	size_t n;
};

/* Every string is owned; NULL where nothing was said and there is no default. */
struct settings {
	char *backend; /* "sim", "qemu" */
	char *program; /* the emulator's, or the simulated guest's */
	char *state_dir, *run_dir, *log_dir, *pid_file;
	struct settings_list listen; /* unix:///P, unix-ro:///P, tls://A:P, tcp://A:P */
	bool allow_plain_tcp;
	bool libvirt_sockets; /* listen where libvirt's clients look for a daemon, too */
	char *unix_group;
	uint32_t unix_mode;
	char *tls_ca, *tls_crl, *tls_cert, *tls_key; /* of the server */
	char *tls_client_cert, *tls_client_key;	     /* for peers; NULL: the server's */
	struct settings_list tls_allowed;	     /* "sha256:..." of clients; none: the CA's */
	char *host_name;
	char *host_uuid;
	char *peer_address;	 /* where other daemons reach this one, as cookies say it */
	char *migration_address; /* where guests are received: a numeric address */
	uint16_t migration_port_min, migration_port_max;
	char *store; /* socket of xenstored; "none": there is none */
	char *store_userdata;
	char *sim_dir; /* of the simulated hypervisor */
	uint32_t peer_timeout_ms, commit_timeout_ms, prepare_timeout_ms, begin_timeout_ms;
	uint32_t arbiter_timeout_ms;
	struct settings_list etcd; /* endpoints: http://h:p or https://h:p */
	char *etcd_prefix, *etcd_ca, *etcd_cert, *etcd_key;
	uint32_t max_clients, max_calls; /* calls: of one connection under way at once */
	uint32_t keepalive_interval_s, keepalive_count;
	uint32_t lock_timeout_ms; /* how long a call waits for another one on the same guest */
	bool verbose;
	bool help, version; /* of the command line */
};

/* Command line (argv, ended by NULL) and file; a bad value is named on stderr. 0; EINVAL.
 * settings_fini in any case. */
int settings_read(struct settings *ret, char **argv);
void settings_fini(struct settings *s);
void settings_usage(const char *program);

#endif
