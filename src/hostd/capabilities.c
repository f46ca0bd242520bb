/* SPDX-License-Identifier: MIT */
/*
 * Capabilities: the host, and the kinds of guests that its backend runs. Invariant: nothing is
 * printed that a client gave.
 */
#include "hostd/capabilities.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "hostd/settings.h"

const char *capabilities_arch(void)
{
#if defined(__x86_64__)
	return "x86_64";
#elif defined(__aarch64__)
	return "aarch64";
#else
	return "unknown";
#endif
}

static void print_guest(FILE *f, const char *os, const char *machine, const char *emulator,
			const char *domain)
{
	fprintf(f,
		"  <guest>\n    <os_type>%s</os_type>\n    <arch name='%s'>\n"
		"      <wordsize>64</wordsize>\n",
		os, capabilities_arch());
	if (emulator)
		fprintf(f, "      <emulator>%s</emulator>\n", emulator);
	fprintf(f, "      <machine>%s</machine>\n      <domain type='%s'/>\n", machine, domain);
	fprintf(f, "    </arch>\n  </guest>\n\n");
}

static void print_guests(FILE *f, const struct host *h)
{
	if (!strcmp(h->set->backend, "qemu")) {
		const char *program = h->set->program;

		print_guest(f, "hvm", "pc", program ? program : "/usr/bin/qemu-system-x86_64",
			    "qemu");
		return;
	}
	print_guest(f, "xen", "xenpv", NULL, "xen");
	print_guest(f, "xenpvh", "xenpvh", NULL, "xen");
	print_guest(f, "hvm", "xenfv", NULL, "xen");
	if (!strcmp(h->set->backend, "sim"))
		print_guest(f, "hvm", "sim", NULL, "test");
}

char *capabilities_print(const struct host *h)
{
	char *text = NULL, uuid[DEF_UUID_TEXT];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	bool live = vmm_can(h->vmm) & VMM_CAN_LIVE;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	def_uuid_print(h->uuid, uuid);
	fprintf(f, "<capabilities>\n\n  <host>\n    <uuid>%s</uuid>\n    <cpu>\n", uuid);
	fprintf(f, "      <arch>%s</arch>\n", capabilities_arch());
	fprintf(f, "      <topology sockets='1' cores='%ld' threads='1'/>\n    </cpu>\n",
		cpus > 0 ? cpus : 1);
	fprintf(f, "    <migration_features>\n%s", live ? "      <live/>\n" : "");
	fprintf(f, "      <uri_transports>\n        <uri_transport>tcp</uri_transport>\n"
		   "      </uri_transports>\n    </migration_features>\n  </host>\n\n");
	print_guests(f, h);
	fprintf(f, "</capabilities>\n");
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
