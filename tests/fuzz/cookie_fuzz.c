/* SPDX-License-Identifier: MIT */
/*
 * Any octets as a migration's cookie: what is taken is within its bounds, and printed again it is
 * the same octets; what is refused says why.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "migrate/migrate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "cookie_fuzz: %s\n", what);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mig_cookie c;
	char text[MIG_WHY_MAX] = "", *printed;
	const char *definition;
	size_t len;

	if (mig_cookie_parse((const char *)data, size, &c, text, sizeof(text))) {
		must(text[0], "refused without a word");
		return 0;
	}
	must(c.epoch <= MIG_EPOCH_MAX && c.guest[0] && c.host.name[0], "out of its bounds");
	printed = mig_cookie_print(&c, &len);
	if (!printed)
		return 0;
	definition = mig_cookie_definition((const char *)data, size);
	if (definition && mig_cookie_add(&printed, &len, definition)) {
		free(printed);
		return 0;
	}
	if (!definition && size && !data[size - 1])
		size--;
	must(len == size && memcmp(printed, data, len) == 0, "printed it is another one");
	free(printed);
	return 0;
}
