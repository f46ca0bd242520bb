/* SPDX-License-Identifier: MIT */
/*
 * xl's words for a nic: KEY=VALUE, separated by commas. Numbers are read as xl reads them (a rate
 * like "0100Mb/s" is octal there), but nothing is left unread behind one.
 */
#include "config/xl.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "config/json.h"

struct nic {
	const char *words;
	const char *at;		 /* the word that is being read */
	struct json_object *out; /* owned by the caller: the fields set so far */
	struct conf_err *err;
};

struct key;
typedef int key_fn(struct nic *n, const struct key *key, const char *value);

struct key {
	const char *word;
	key_fn *fn;
	const char *field; /* of the entry */
};

static int refuse(const struct nic *n, const char *word, const char *why)
{
	return conf_fail(n->err, -EINVAL, "nic, column %zu: \"%s\": %s",
			 (size_t)(n->at - n->words) + 1, word, why);
}

static int put(struct nic *n, const char *field, struct json_object *value)
{
	if (!value || json_object_object_add(n->out, field, value)) {
		json_object_put(value);
		return conf_no_memory(n->err);
	}
	return 0;
}

static int set_string(struct nic *n, const struct key *key, const char *value)
{
	return put(n, key->field, json_object_new_string(value));
}

static int set_type(struct nic *n, const struct key *key, const char *value)
{
	if (!strcmp(value, "vif"))
		return put(n, key->field, json_object_new_string("vif"));
	if (!strcmp(value, "ioemu"))
		return put(n, key->field, json_object_new_string("vif_ioemu"));
	return refuse(n, value, "no type of a nic: vif or ioemu");
}

/* Six numbers of one or two hexadecimal digits, with a colon or a dash between them. */
static int set_mac(struct nic *n, const struct key *key, const char *value)
{
	unsigned int octets[6] = { 0 };
	const char *p = value;
	char text[18];

	for (int i = 0; i < 6; i++) {
		size_t digits = strspn(p, "0123456789abcdefABCDEF");

		if (digits < 1 || digits > 2)
			return refuse(n, value, "no mac address");
		octets[i] = (unsigned int)strtoul(p, NULL, 16);
		p += digits;
		if (i < 5 && *p != ':' && *p != '-')
			return refuse(n, value, "no mac address");
		if (i < 5)
			p++;
	}
	if (*p)
		return refuse(n, value, "no mac address");
	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", octets[0], octets[1],
		 octets[2], octets[3], octets[4], octets[5]);
	return put(n, key->field, json_object_new_string(text));
}

static int set_number(struct nic *n, const struct key *key, const char *value)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(value, &end, 10);
	if (errno || *end || end == value || number < 0 || number > INT_MAX)
		return refuse(n, value, "no number");
	/* 0 is the default of an mtu, and none of a devid. */
	if (number == 0 && !strcmp(key->field, "mtu")) {
		json_object_object_del(n->out, key->field);
		return 0;
	}
	return put(n, key->field, json_object_new_int64(number));
}

/* Was meant for a network card that nobody has any more: xl takes it and does nothing. */
static int pass_over(struct nic *n, const struct key *key, const char *value)
{
	(void)n;
	(void)key;
	(void)value;
	return 0;
}

/* ---- a rate ---- */

/* A number in front, as C writes one, with the digits read; 0: none, or too large. */
static uint64_t rate_number(const char *s, const char **ret_end)
{
	char *end;
	unsigned long long number;

	*ret_end = s + strspn(s, "0123456789");
	errno = 0;
	number = strtoull(s, &end, 0);
	return errno || end != *ret_end || number > UINT32_MAX ? 0 : number;
}

/* "10Mb/s", "250KB/s": bits or octets. */
static bool rate_per_second(const char *s, size_t len, uint64_t *ret)
{
	static const char units[] = "KMG";
	const char *end, *unit;
	uint64_t rate = rate_number(s, &end);

	unit = end < s + len && *end ? strchr(units, *end) : NULL;
	for (int i = 0; unit && i <= unit - units; i++)
		rate *= 1000;
	end += unit ? 1 : 0;
	if (s + len - end != 3 || (*end != 'b' && *end != 'B') || strncmp(end + 1, "/s", 2))
		return false;
	*ret = *end == 'b' ? rate / 8 : rate;
	return rate > 0;
}

/* "50ms", "20us", "1s", "1": seconds where nothing else is said. */
static bool rate_interval(const char *s, uint64_t *ret_usecs)
{
	const char *end;
	uint64_t usecs = rate_number(s, &end);

	if (*end != 'm' && *end != 'u')
		usecs *= 1000000;
	else if (*end++ == 'm')
		usecs *= 1000;
	if (*end == 's')
		end++;
	*ret_usecs = usecs;
	return !*end && usecs > 0 && usecs <= UINT32_MAX;
}

static int set_rate(struct nic *n, const struct key *key, const char *value)
{
	const char *at = strchrnul(value, '@');
	uint64_t per_second, usecs = 50000, octets;
	int r;

	if (!rate_per_second(value, (size_t)(at - value), &per_second))
		return refuse(n, value, "no rate: a number, K, M or G, and b/s or B/s");
	if (*at && !rate_interval(at + 1, &usecs))
		return refuse(n, value, "no interval: a number, and us, ms or s");
	if (per_second > UINT64_MAX / usecs)
		return refuse(n, value, "this rate is too large");
	octets = per_second * usecs / 1000000;
	json_object_object_del(n->out, key->field);
	r = put(n, "rate_interval_usecs", json_object_new_int64((int64_t)usecs));
	if (!r && octets)
		r = put(n, key->field, json_object_new_uint64(octets));
	return r;
}

/* ---- the table ---- */

static const struct key keys[] = {
	{ "type", set_type, "nictype" },
	{ "mac", set_mac, "mac" },
	{ "bridge", set_string, "bridge" },
	{ "netdev", set_string, "gatewaydev" },
	{ "gatewaydev", set_string, "gatewaydev" },
	{ "ip", set_string, "ip" },
	{ "script", set_string, "script" },
	{ "backend", set_string, "backend_domname" },
	{ "vifname", set_string, "ifname" },
	{ "model", set_string, "model" },
	{ "rate", set_rate, "rate_bytes_per_interval" },
	{ "accel", pass_over, NULL },
	{ "devid", set_number, "devid" },
	{ "mtu", set_number, "mtu" },
	{ "forwarddev", set_string, "coloft_forwarddev" },
};

/* The others of COLO have in xl the names of their fields. */
static const char *const colo_keys[] = {
	"colo_sock_mirror_id",
	"colo_sock_mirror_ip",
	"colo_sock_mirror_port",
	"colo_sock_compare_pri_in_id",
	"colo_sock_compare_pri_in_ip",
	"colo_sock_compare_pri_in_port",
	"colo_sock_compare_sec_in_id",
	"colo_sock_compare_sec_in_ip",
	"colo_sock_compare_sec_in_port",
	"colo_sock_compare_notify_id",
	"colo_sock_compare_notify_ip",
	"colo_sock_compare_notify_port",
	"colo_sock_redirector0_id",
	"colo_sock_redirector0_ip",
	"colo_sock_redirector0_port",
	"colo_sock_redirector1_id",
	"colo_sock_redirector1_ip",
	"colo_sock_redirector1_port",
	"colo_sock_redirector2_id",
	"colo_sock_redirector2_ip",
	"colo_sock_redirector2_port",
	"colo_filter_mirror_queue",
	"colo_filter_mirror_outdev",
	"colo_filter_redirector0_queue",
	"colo_filter_redirector0_indev",
	"colo_filter_redirector0_outdev",
	"colo_filter_redirector1_queue",
	"colo_filter_redirector1_indev",
	"colo_filter_redirector1_outdev",
	"colo_compare_pri_in",
	"colo_compare_sec_in",
	"colo_compare_out",
	"colo_compare_notify_dev",
	"colo_sock_sec_redirector0_id",
	"colo_sock_sec_redirector0_ip",
	"colo_sock_sec_redirector0_port",
	"colo_sock_sec_redirector1_id",
	"colo_sock_sec_redirector1_ip",
	"colo_sock_sec_redirector1_port",
	"colo_filter_sec_redirector0_queue",
	"colo_filter_sec_redirector0_indev",
	"colo_filter_sec_redirector0_outdev",
	"colo_filter_sec_redirector1_queue",
	"colo_filter_sec_redirector1_indev",
	"colo_filter_sec_redirector1_outdev",
	"colo_filter_sec_rewriter0_queue",
	"colo_checkpoint_host",
	"colo_checkpoint_port",
};

const char *xl_nic_colo_key(size_t i)
{
	return i < ARRAY_LEN(colo_keys) ? colo_keys[i] : NULL;
}

static int read_pair(struct nic *n, const char *word, const char *value)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (!strcmp(keys[i].word, word))
			return keys[i].fn(n, &keys[i], value);
	}
	for (size_t i = 0; i < ARRAY_LEN(colo_keys); i++) {
		const struct key key = { .field = colo_keys[i] };

		if (!strcmp(colo_keys[i], word))
			return set_string(n, &key, value);
	}
	return refuse(n, word, "no such parameter");
}

static int read_word(struct nic *n, size_t len)
{
	char *word = strndup(n->at, len), *equals;
	int r;

	if (!word)
		return conf_no_memory(n->err);
	equals = strchr(word, '=');
	if (equals) {
		*equals = '\0';
		r = read_pair(n, word, equals + 1);
	} else if (!strcmp(word, "trusted") || !strcmp(word, "untrusted")) {
		r = put(n, "trusted", json_object_new_string(*word == 't' ? "True" : "False"));
	} else {
		r = refuse(n, word, "no such parameter");
	}
	free(word);
	return r;
}

int xl_nic_parse(const char *words, struct json_object *entry, struct conf_err *err)
{
	CLEANUP_JSON struct json_object *out = json_object_new_object();
	struct nic n = { .words = words, .at = words, .out = out, .err = err };
	int r = out ? xl_check_text("nic", words, err) : conf_no_memory(err);
	size_t len;

	/* No word at all between two commas is none. */
	for (; !r && *n.at; n.at += len + (n.at[len] == ',')) {
		bool empty = *n.at == ',';

		n.at += empty ? 0 : strspn(n.at, " ");
		len = strcspn(n.at, ",");
		if (!empty)
			r = read_word(&n, len);
	}
	if (r)
		return r;
	json_object_object_foreach(out, key, value)
	{
		if (json_object_object_add(entry, key, json_object_get(value)))
			return conf_no_memory(err);
	}
	return 0;
}
