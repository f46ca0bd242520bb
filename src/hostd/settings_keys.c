/* SPDX-License-Identifier: MIT */
/*
 * What can be set, with defaults and bounds. Invariant: every default passes its own row's check.
 */
#include "hostd/settings_keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "rpc/tls.h"

#define AT(field) offsetof(struct settings, field)
#define TEXT(key, value, what)                                                                     \
	{                                                                                          \
		.name = #key, .type = SET_TEXT, .offset = AT(key), .fallback = (value),            \
		.help = (what)                                                                     \
	}
#define PATH(key, value, what)                                                                     \
	{                                                                                          \
		.name = #key, .type = SET_PATH, .offset = AT(key), .fallback = (value),            \
		.help = (what)                                                                     \
	}
#define LIST(key, what)                                                                            \
	{                                                                                          \
		.name = #key, .type = SET_LIST, .offset = AT(key), .help = (what)                  \
	}
#define YES_NO(key, value, what)                                                                   \
	{                                                                                          \
		.name = #key, .type = SET_BOOL, .offset = AT(key), .fallback = (value),            \
		.help = (what)                                                                     \
	}
#define NUMBER(key, low, high, value, what)                                                        \
	{                                                                                          \
		.name = #key, .type = SET_NUMBER, .offset = AT(key), .min = (low), .max = (high),  \
		.fallback = (value), .help = (what)                                                \
	}
#define PORT(key, value, what)                                                                     \
	{                                                                                          \
		.name = #key, .type = SET_PORT, .offset = AT(key), .min = 1, .max = 65535,         \
		.fallback = (value), .help = (what)                                                \
	}
#define DAY_MS 86400000u

static const struct settings_key settings_keys[] = {
	{ .name = "backend",
	  .type = SET_TEXT,
	  .offset = AT(backend),
	  .words = "qemu, sim, xl",
	  .fallback = "qemu",
	  .help = "what runs guests: qemu, sim or xl" },
	PATH(program, NULL, "the emulator, or the program of a guest"),
	PATH(state_dir, "/var/lib/drover/hostd", "definitions and the journal"),
	PATH(run_dir, "/run/drover/hostd", "guests that run"),
	PATH(log_dir, "/var/log/drover/hostd", "a file for each guest's process"),
	PATH(pid_file, NULL, "write the pid there"),
	LIST(listen, "unix:///P, unix-ro:///P, tls://A:P, tcp://A:P"),
	YES_NO(allow_plain_tcp, "no", "tcp:// may be listened on"),
	YES_NO(libvirt_sockets, "yes", "also listen where libvirt's clients look"),
	TEXT(unix_group, NULL, "group of the sockets"),
	{ .name = "unix_mode",
	  .type = SET_MODE,
	  .offset = AT(unix_mode),
	  .min = 0,
	  .max = 0777,
	  .fallback = "0600",
	  .help = "mode of the sockets" },
	PATH(tls_ca, NULL, "certificate authority (" RPC_TLS_CA ")"),
	PATH(tls_crl, NULL, "certificates revoked"),
	PATH(tls_cert, NULL, "this host's certificate (" RPC_TLS_SERVER_CERT ")"),
	PATH(tls_key, NULL, "its key (" RPC_TLS_SERVER_KEY ")"),
	PATH(tls_client_cert, NULL, "certificate towards other daemons (tls_cert)"),
	PATH(tls_client_key, NULL, "its key"),
	LIST(tls_allowed, "sha256:... fingerprints of those who may connect"),
	TEXT(host_name, NULL, "this host's name"),
	TEXT(host_uuid, NULL, "this host's uuid"),
	TEXT(peer_address, NULL, "where other daemons reach this one"),
	TEXT(migration_address, NULL, "where guests are received"),
	PORT(migration_port_min, "49152", "first port for that"),
	PORT(migration_port_max, "49215", "last one"),
	TEXT(store, "/run/xenstored/socket", "the store's socket, or none"),
	PATH(store_userdata, NULL, "directory of configurations (/var/lib/xen)"),
	PATH(sim_dir, "/run/drover/sim", "directory of the simulated hypervisor"),
	NUMBER(peer_timeout_ms, 1, DAY_MS, "10000", "the other daemon out of reach"),
	NUMBER(commit_timeout_ms, 1, DAY_MS, "5000", "sent, and not asked for"),
	NUMBER(prepare_timeout_ms, 1, DAY_MS, "120000", "prepared, and nothing sent"),
	NUMBER(begin_timeout_ms, 1, DAY_MS, "60000", "begun, and not performed"),
	NUMBER(arbiter_timeout_ms, 1, DAY_MS, "2000", "cut off, until etcd is asked"),
	LIST(etcd, "http://H:P or https://H:P of a cluster that decides when cut off"),
	TEXT(etcd_prefix, "/drover", "of its keys"),
	PATH(etcd_ca, NULL, "certificate authority of the cluster"),
	PATH(etcd_cert, NULL, "certificate towards it"),
	PATH(etcd_key, NULL, "its key"),
	NUMBER(max_clients, 1, 100000, "5000", "connections"),
	NUMBER(max_calls, 1, 1000, "5", "calls under way on one connection"),
	NUMBER(keepalive_interval_s, 0, 86400, "5", "of silence; 0: clients are not asked"),
	NUMBER(keepalive_count, 1, 1000, "5", "unanswered questions"),
	NUMBER(lock_timeout_ms, 1, DAY_MS, "30000", "waiting for another call on a guest"),
	YES_NO(verbose, "no", "log more"),
	{ 0 },
};

const struct settings_key *settings_table(void)
{
	return settings_keys;
}

bool settings_word_is(const char *words, const char *value)
{
	size_t len = strlen(value);

	for (const char *p = words; p; p = strstr(p, ", ") ? strstr(p, ", ") + 2 : NULL)
		if (!strncmp(p, value, len) && (!p[len] || p[len] == ','))
			return true;
	return false;
}

int settings_defaults(struct settings *s)
{
	for (const struct settings_key *k = settings_keys; k->name; k++) {
		void *field = (char *)s + k->offset;

		if (!k->fallback)
			continue;
		if (k->type == SET_TEXT || k->type == SET_PATH) {
			*(char **)field = strdup(k->fallback);
			if (!*(char **)field) {
				fprintf(stderr, "drover-hostd: no memory\n");
				return EINVAL;
			}
		} else if (k->type == SET_BOOL) {
			*(bool *)field = !strcmp(k->fallback, "yes");
		} else if (k->type == SET_PORT) {
			*(uint16_t *)field = (uint16_t)strtoul(k->fallback, NULL, 10);
		} else {
			*(uint32_t *)field =
				(uint32_t)strtoul(k->fallback, NULL, k->type == SET_MODE ? 8 : 10);
		}
	}
	return 0;
}

static int contradiction(const char *text, const char *value)
{
	fprintf(stderr, "drover-hostd: %s%s%s\n", text, *value ? ": " : "", value);
	return EINVAL;
}

static int check_listen(const struct settings *s, const char *address)
{
	if (!strncmp(address, "unix:///", 8) || !strncmp(address, "unix-ro:///", 11) ||
	    !strncmp(address, "tls://", 6))
		return 0;
	if (strncmp(address, "tcp://", 6) != 0)
		return contradiction("listen: no unix://, unix-ro://, tls:// or tcp://", address);
	if (!s->allow_plain_tcp)
		return contradiction("listen: plain TCP takes allow_plain_tcp = yes", address);
	return 0;
}

int settings_check(const struct settings *s)
{
	int r = 0;

	for (size_t i = 0; !r && i < s->listen.n; i++)
		r = check_listen(s, s->listen.v[i]);
	if (r)
		return r;
	if (!s->listen.n && !s->libvirt_sockets)
		return contradiction("listen: nothing to listen on", "");
	if (s->migration_port_min > s->migration_port_max)
		return contradiction("migration_port_min: above migration_port_max", "");
	if (!s->tls_client_cert != !s->tls_client_key)
		return contradiction("tls_client_cert, tls_client_key: one without the other", "");
	if (!s->etcd_cert != !s->etcd_key)
		return contradiction("etcd_cert, etcd_key: one without the other", "");
	if (strcmp(s->store, "none") != 0 && *s->store != '/')
		return contradiction("store: neither none nor an absolute path", s->store);
	if (strcmp(s->store, "none") != 0 && !s->sim_dir)
		return contradiction("sim_dir: a store takes the simulated hypervisor's directory",
				     "");
	return 0;
}

void settings_usage(const char *program)
{
	printf("Usage: %s [-c FILE] [--KEY[=VALUE]]...\n\n"
	       "  -c, --config FILE       settings (default " SETTINGS_FILE ")\n"
	       "  -v                      log more\n"
	       "  -h, --help              this text\n"
	       "  -V, --version\n\n"
	       "Each setting of the file may be given as an option:\n\n",
	       program);
	for (const struct settings_key *k = settings_keys; k->name; k++)
		printf("  --%-22s %s%s%s%s\n", k->name, k->help, k->fallback ? " (" : "",
		       k->fallback ? k->fallback : "", k->fallback ? ")" : "");
	printf("\nSee drover-hostd(8).\n");
}
