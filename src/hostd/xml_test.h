/* SPDX-License-Identifier: MIT */
/*
 * For tests of domain XML, behind cmocka.h: octets that are always the same, and documents that
 * have to be accepted.
 */
#ifndef DROVER_HOSTD_XML_TEST_H
#define DROVER_HOSTD_XML_TEST_H

#include <string.h>

#include "base/own.h"
#include "hostd/xml.h"

static void test_random(void *data, void *buf, size_t len)
{
	(void)data;
	memset(buf, 0x5a, len);
}

static struct guest_def *test_parse(const char *text)
{
	struct guest_def *def = NULL;
	struct xml_error err = { 0, "" };

	if (xml_parse(text, strlen(text), test_random, NULL, &def, &err))
		fail_msg("refused: %s", err.text);
	return def;
}

#endif
