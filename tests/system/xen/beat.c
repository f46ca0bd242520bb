/* SPDX-License-Identifier: MIT */
/*
 * The only process of a Linux guest of the tests: writes a counter to its part of the store ten
 * times a second over the kernel's xenbus, and prints each with its clock once the answer came, so
 * that whoever reads the console sees how long the store was away. Every tenth beat is a
 * transaction as well, and what is written to data/cmd comes back in data/ack.
 *
 *   beat N MS		data/hb is N and its watch has fired; MS is the guest's clock then
 *   tx N MS TRIES	a transaction read data/hb and wrote data/tx
 *   watch TEXT MS	data/cmd was TEXT; data/ack is
 *   error WHAT TEXT	the store refused what it should not
 *
 * Invariant: one request is under way at a time, and events that come before its answer are kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

#define PERIOD_MS 100
#define TX_TRIES 100
#define EVENT_MS 30000

static int bus = -1;
static bool told;	/* data/cmd's watch has fired */
static bool seen;	/* data/hb's watch has fired since it was last written */
static uint32_t serial; /* of requests */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static void line(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void line(const char *format, ...)
{
	char text[512];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text) - 1, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n > sizeof(text) - 2)
		n = sizeof(text) - 2;
	text[n++] = '\n';
	/* a console that is gone is nobody's loss */
	if (write(STDOUT_FILENO, text, (size_t)n) < 0)
		return;
}

static bool read_all(void *to, size_t len)
{
	size_t at = 0;

	while (at < len) {
		ssize_t n = read(bus, (char *)to + at, len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

/* One message. Events are noted; the answer's type and payload are given back, 0 for an event. */
static uint32_t receive(char *payload, size_t size, uint32_t *ret_len)
{
	struct xsd_sockmsg m;

	if (!read_all(&m, sizeof(m)) || m.len >= size || !read_all(payload, m.len)) {
		line("error bus %s", strerror(errno));
		poll(NULL, 0, 1000);
		return XS_ERROR;
	}
	payload[m.len] = '\0';
	*ret_len = m.len;
	if (m.type == XS_WATCH_EVENT) {
		*(strstr(payload, "/cmd") ? &told : &seen) = true;
		return 0;
	}
	return m.type;
}

/* A request of some strings, each ended by a nul but the last where it is a value. */
static bool ask(uint32_t type, uint32_t tx, const char *a, const char *b, bool b_is_value,
		char *reply, size_t size)
{
	struct xsd_sockmsg m = { .type = type, .tx_id = tx, .req_id = ++serial };
	char out[sizeof(m) + 512];
	size_t a_len = strlen(a) + 1, b_len = b ? strlen(b) + (b_is_value ? 0 : 1) : 0;
	uint32_t got, len = 0;

	if (sizeof(m) + a_len + b_len > sizeof(out))
		return false;
	m.len = (uint32_t)(a_len + b_len);
	memcpy(out, &m, sizeof(m));
	memcpy(out + sizeof(m), a, a_len);
	if (b)
		memcpy(out + sizeof(m) + a_len, b, b_len);
	if (write(bus, out, sizeof(m) + m.len) < 0) {
		line("error write %s", strerror(errno));
		return false;
	}
	do
		got = receive(reply, size, &len);
	while (!got);
	return got == type;
}

static bool await_event(void)
{
	char payload[4097];
	uint32_t len;

	while (!seen) {
		struct pollfd p = { .fd = bus, .events = POLLIN };

		if (poll(&p, 1, EVENT_MS) <= 0)
			return false;
		receive(payload, sizeof(payload), &len);
	}
	return true;
}

static void beat(unsigned int n)
{
	char value[16], reply[4097];

	snprintf(value, sizeof(value), "%u", n);
	seen = false;
	if (!ask(XS_WRITE, 0, "data/hb", value, true, reply, sizeof(reply)))
		line("error beat %s", reply);
	else if (!await_event())
		line("error event of %u", n);
	else
		line("beat %u %llu", n, (unsigned long long)now_ms());
}

static void transact(unsigned int n)
{
	char value[16], reply[4097];
	unsigned int tries;

	for (tries = 1; tries <= TX_TRIES; tries++) {
		uint32_t tx;

		if (!ask(XS_TRANSACTION_START, 0, "", NULL, false, reply, sizeof(reply)))
			break;
		tx = (uint32_t)strtoul(reply, NULL, 10);
		/* in a domain that was restored it is not there until the next beat */
		if (!ask(XS_READ, tx, "data/hb", NULL, false, reply, sizeof(reply)) &&
		    strcmp(reply, "ENOENT") != 0)
			break;
		snprintf(value, sizeof(value), "%.15s", reply);
		if (!ask(XS_WRITE, tx, "data/tx", value, true, reply, sizeof(reply)))
			break;
		if (ask(XS_TRANSACTION_END, tx, "T", NULL, false, reply, sizeof(reply))) {
			line("tx %u %llu %u", n, (unsigned long long)now_ms(), tries);
			return;
		}
		if (strcmp(reply, "EAGAIN") != 0)
			break;
	}
	line("error tx %s", reply);
}

static void answer(void)
{
	char value[128], reply[4097];

	told = false;
	if (!ask(XS_READ, 0, "data/cmd", NULL, false, reply, sizeof(reply)))
		return;
	snprintf(value, sizeof(value), "%.*s", (int)sizeof(value) - 1, reply);
	if (!ask(XS_WRITE, 0, "data/ack", value, true, reply, sizeof(reply)))
		line("error ack %s", reply);
	line("watch %s %llu", value, (unsigned long long)now_ms());
}

static void idle_until(uint64_t end_ms)
{
	char payload[4097];
	uint32_t len;

	while (!told) {
		struct pollfd p = { .fd = bus, .events = POLLIN };
		uint64_t t = now_ms();

		if (t >= end_ms || poll(&p, 1, (int)(end_ms - t)) <= 0)
			return;
		receive(payload, sizeof(payload), &len);
	}
}

static void start(void)
{
	char reply[4097], domid[16];

	mount("dev", "/dev", "devtmpfs", 0, NULL);
	while ((bus = open("/dev/xen/xenbus", O_RDWR | O_CLOEXEC)) < 0) {
		line("error open %s", strerror(errno));
		poll(NULL, 0, 1000);
	}
	if (!ask(XS_READ, 0, "domid", NULL, false, reply, sizeof(reply)))
		line("error domid %s", reply);
	snprintf(domid, sizeof(domid), "%.15s", reply);
	if (!ask(XS_WATCH, 0, "data/cmd", "cmd", false, reply, sizeof(reply)) ||
	    !ask(XS_WATCH, 0, "data/hb", "hb", false, reply, sizeof(reply)))
		line("error watch %s", reply);
	line("up %s", domid);
}

int main(int argc, char **argv)
{
	unsigned int n = 0;
	uint64_t next_ms;

	if (argc > 0 && strstr(argv[0], "poweroff"))
		return reboot(RB_POWER_OFF);
	if (argc > 0 && strstr(argv[0], "reboot"))
		return reboot(RB_AUTOBOOT);
	start();
	next_ms = now_ms();
	for (;;) {
		beat(++n);
		if (n % 10 == 0)
			transact(n);
		next_ms += PERIOD_MS;
		if (now_ms() > next_ms) /* late: the next one is not hurried */
			next_ms = now_ms();
		do {
			if (told)
				answer();
			idle_until(next_ms);
		} while (told || now_ms() < next_ms);
	}
}
