/* SPDX-License-Identifier: MIT */
/*
 * A client of the store. Invariant: the ring is read up to the end of a message, unless the answer
 * was too late; then only a new connection helps, and everything is LATE until there is one.
 */
#include "client.h"
#include "ring.h"
#include "text.h"

#define N_EVENTS 64
#define EVENT_SIZE 256

static struct {
	char answer[XENSTORE_PAYLOAD_MAX + 1];
	char request[XENSTORE_PAYLOAD_MAX];
	char events[N_EVENTS][EVENT_SIZE];
	char event[EVENT_SIZE]; /* that was taken */
	unsigned int first_event, n_events;
	uint64_t n_lost, patience_ns;
	uint32_t req_id;
	bool astray;
} client;

void client_patience(uint64_t patience_ns)
{
	client.patience_ns = patience_ns;
}

const char *client_answer(void)
{
	return client.answer;
}

static uint64_t deadline_ns(void)
{
	return client.patience_ns == UINT64_MAX ? UINT64_MAX
						: machine_now_ns() + client.patience_ns;
}

static void event_keep(uint32_t len)
{
	if (len >= EVENT_SIZE || client.n_events == N_EVENTS) {
		client.n_lost++;
		return;
	}
	memcpy(client.events[(client.first_event + client.n_events) % N_EVENTS], client.answer,
	       len + 1);
	client.n_events++;
}

/* A message into answer; false if it is late, or none that the store may send. */
static bool message_read(struct xsd_sockmsg *ret_header, uint64_t until_ns)
{
	if (!ring_read(ret_header, sizeof(*ret_header), until_ns))
		return false;
	if (ret_header->len > XENSTORE_PAYLOAD_MAX)
		return false;
	if (!ring_read(client.answer, ret_header->len, until_ns))
		return false;
	client.answer[ret_header->len] = '\0';
	return true;
}

bool client_event(const char **ret_path, const char **ret_token)
{
	struct xsd_sockmsg header;

	while (!client.n_events && !client.astray && ring_waiting()) {
		if (!message_read(&header, deadline_ns())) {
			client.astray = true;
			return false;
		}
		if (header.type == XS_WATCH_EVENT)
			event_keep(header.len);
	}
	if (!client.n_events)
		return false;
	memcpy(client.event, client.events[client.first_event], EVENT_SIZE);
	client.first_event = (client.first_event + 1) % N_EVENTS;
	client.n_events--;
	*ret_path = client.event;
	*ret_token = client.event + strlen(client.event) + 1;
	return true;
}

uint64_t client_events_lost(void)
{
	return client.n_lost;
}

const char *client_ask(enum xsd_sockmsg_type type, uint32_t tx, const char *first,
		       const char *second)
{
	struct xsd_sockmsg header = { .type = type, .tx_id = tx, .req_id = ++client.req_id };
	size_t first_len = strlen(first) + 1, second_len = 0;
	uint64_t until_ns = deadline_ns();

	if (second)
		second_len = strlen(second) + (type != XS_WRITE);
	header.len = (uint32_t)(first_len + second_len);
	if (header.len > XENSTORE_PAYLOAD_MAX)
		return "E2BIG";
	memcpy(client.request, first, first_len);
	memcpy(client.request + first_len, second, second_len);
	if (client.astray || !ring_write(&header, sizeof(header), until_ns) ||
	    !ring_write(client.request, header.len, until_ns)) {
		client.astray = true;
		return "LATE";
	}
	for (;;) {
		if (!message_read(&header, until_ns)) {
			client.astray = true;
			return "LATE";
		}
		if (header.type == XS_WATCH_EVENT)
			event_keep(header.len);
		else if (header.req_id == client.req_id)
			return header.type == XS_ERROR ? client.answer : CLIENT_OK;
	}
}

const char *client_write(const char *path, const char *value)
{
	return client_ask(XS_WRITE, 0, path, value);
}

const char *client_write_u64(const char *path, uint64_t value)
{
	char buf[24];
	struct text t = TEXT_OF(buf);

	text_add_u64(&t, value);
	return client_write(path, buf);
}

bool client_reconnect(void)
{
	if (!ring_reconnect(deadline_ns()))
		return false;
	client.n_events = 0;
	client.astray = false;
	return true;
}
