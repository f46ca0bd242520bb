/* SPDX-License-Identifier: MIT */
/*
 * Any octets as a domain's XML. What is refused is refused with a line of text; what is accepted is
 * printed, and what was printed is read back as the same machine and printed the same; a copy
 * prints the same, too, and libxl's configuration of it is one that the reader of records accepts.
 * Where the first octet is no '<', the input is put into a frame that is sound otherwise.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/json.h"
#include "hostd/xml.h"
#include "vmm/xl_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "xml_fuzz: %s\n", what);
	abort();
}

static void some_random(void *data, void *buf, size_t len)
{
	(void)data;
	memset(buf, 0x5a, len);
}

static struct guest_def *parse(const char *text, size_t len)
{
	struct guest_def *def = NULL;
	struct xml_error err = { 0, "" };

	if (!xml_parse(text, len, some_random, NULL, &def, &err))
		return def;
	must(!def && err.code && *err.text && !strchr(err.text, '\n'), "refused without a line");
	return NULL;
}

static void check_print(const struct guest_def *def, int id, unsigned int flags)
{
	struct guest_def *copy = def_copy(def), *again;
	struct xml_error err;
	char *a = NULL, *b = NULL, *c = NULL;

	must(!xml_print(def, id, flags, &a), "not printed");
	must(copy && !xml_print(copy, id, flags, &b), "a copy is not printed");
	must(!strcmp(a, b), "a copy is printed as another");
	again = parse(a, strlen(a));
	must(again && !xml_print(again, id, flags, &c), "what was printed is refused");
	must(!strcmp(a, c), "what was printed is printed as another");
	must(!xml_check_abi(def, again, &err), "what was printed is another machine");
	free(a);
	free(b);
	free(c);
	def_free(copy);
	def_free(again);
}

static void check_libxl(const struct guest_def *def)
{
	struct json_object *config = NULL;
	char text[XML_ERROR_MAX] = "";
	struct conf_err why = { "" };
	char *json = NULL;
	size_t len = 0;

	if (xl_config_print(def, &json, &len, text, sizeof(text))) {
		must(*text, "libxl's configuration is refused without a line");
		return;
	}
	must(!conf_json_read(json, len, &why, &config), "libxl's configuration is none");
	json_object_put(config);
	free(json);
}

static void check(const char *text, size_t len)
{
	struct guest_def *def = parse(text, len);

	if (!def)
		return;
	check_print(def, -1, 0);
	check_print(def, 7, XML_INACTIVE);
	check_print(def, 7, XML_MIGRATABLE);
	check_libxl(def);
	def_free(def);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;
	int len;

	if (!size || *data == '<') {
		check((const char *)data, size);
		return 0;
	}
	len = asprintf(&text,
		       "<domain type='%s'><name>n</name><memory>65536</memory><os><type>%s</type>"
		       "</os>%s%.*s%s</domain>",
		       *data & 1 ? "xen" : "qemu", *data & 2 ? "hvm" : "linux",
		       *data & 4 ? "<devices>" : "", (int)size - 1, (const char *)data + 1,
		       *data & 4 ? "</devices>" : "");
	must(len > 0, "no memory");
	check(text, (size_t)len);
	free(text);
	return 0;
}
