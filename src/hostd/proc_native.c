/* SPDX-License-Identifier: MIT */
/*
 * A definition in the words of another tool: `virsh domxml-to-native xen-xl`, a file for `xl
 * create`. Invariant: what such a file cannot say is in it as a comment, never left out silently.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "drover/config.h"
#include "hostd/call_own.h"
#include "hostd/xml.h"
#include "rpc/error.h"
#include "rpc/libvirt.h"
#include "vmm/xl_config.h"

#define FORMAT_XL "xen-xl"

DEFINE_CLEANUP(struct guest_def *, def_free)
DEFINE_CLEANUP(struct drover_domain_config *, drover_domain_config_free)

static void text_freep(char **p)
{
	free(*p);
}

/* NULL: no memory. */
static char *with_comments(const char *text, const char *lost)
{
	char *all = NULL;
	size_t len;
	FILE *f = open_memstream(&all, &len);

	if (!f)
		return NULL;
	for (size_t n; *lost; lost += n + (lost[n] != '\0')) {
		n = strcspn(lost, "\n");
		fprintf(f, "# not in here: %.*s\n", (int)n, lost);
	}
	fputs(text, f);
	if (!fclose(f))
		return all;
	free(all);
	return NULL;
}

/* 0; a code with err's text. */
static int to_xl(const struct guest_def *def, char **ret, struct xml_error *err)
{
	CLEANUP(drover_domain_config_free) struct drover_domain_config *config = NULL;
	CLEANUP(text_free) char *json = NULL;
	CLEANUP(text_free) char *text = NULL;
	CLEANUP(text_free) char *lost = NULL;
	size_t len;
	int r;

	snprintf(err->text, sizeof(err->text), "no memory");
	r = xl_config_print(def, &json, &len, err->text, sizeof(err->text));
	if (!r)
		r = drover_domain_config_from_json(NULL, json, len, &config);
	if (!r)
		r = drover_domain_config_to_xl(config, &text, &lost);
	if (!r)
		*ret = with_comments(text, lost);
	if (r)
		return r > 0 ? RPC_ERR_CONFIG_UNSUPPORTED : RPC_ERR_NO_MEMORY;
	return *ret ? 0 : RPC_ERR_NO_MEMORY;
}

static void on_to_native(struct call *c, void *args)
{
	const struct rpc_native_args *a = args;
	CLEANUP(def_free) struct guest_def *def = NULL;
	struct rpc_string_ret ret = { NULL };
	struct xml_error err;
	int code;

	if (!call_flags(c, a->flags, 0))
		return;
	if (strcmp(a->format, FORMAT_XL) != 0) {
		call_fail(c, RPC_ERR_INVALID_ARG, "format '%.64s' is not known (known: %s)",
			  a->format, FORMAT_XL);
		return;
	}
	code = xml_parse(a->text, strlen(a->text), NULL, NULL, &def, &err);
	if (code)
		code = code < 0 ? RPC_ERR_NO_MEMORY : err.code;
	else if (def->type != DEF_XEN)
		code = RPC_ERR_CONFIG_UNSUPPORTED;
	if (!code) {
		code = to_xl(def, &ret.value, &err);
	} else if (def) {
		snprintf(err.text, sizeof(err.text), "xl knows domains of type 'xen' only");
	}
	if (code)
		call_fail(c, code, "%s", code == RPC_ERR_NO_MEMORY ? "no memory" : err.text);
	else
		call_reply(c, &ret);
	free(ret.value);
}

const struct proc *call_native_procs(void)
{
	static const struct proc procs[] = {
		{ RPC_CONNECT_DOMAIN_XML_TO_NATIVE, on_to_native, PROC_READ_ONLY },
		{ 0 },
	};

	return procs;
}
