/* SPDX-License-Identifier: MIT */
/*
 * The guest's life. Invariant: a request to end or to be suspended is acknowledged before it is
 * obeyed, as the toolstack waits for that.
 */
#include "client.h"
#include "command.h"
#include "heart.h"
#include "life.h"
#include "machine.h"
#include "text.h"

#define OWN "own"
#define RECONNECT_NS 10000000000ull

static struct {
	bool rewatch;
	uint64_t events, moved, cancelled, reconnected;
	const char *watched; /* what the last answer to watching was */
} life = { .watched = CLIENT_OK };

uint64_t life_events(void)
{
	return life.events;
}

static void own_watches(void)
{
	const char *error = client_ask(XS_WATCH, 0, "control/shutdown", OWN);

	/* its name, not where it was read: the next answer is read there */
	life.watched = text_equal(error, "EEXIST") ? "EEXIST" : *error ? "refused" : CLIENT_OK;
	(void)client_ask(XS_WATCH, 0, "data/cmd", OWN);
}

static void life_tell(void)
{
	char buf[160];
	struct text t = TEXT_OF(buf);

	text_add(&t, "life");
	text_add_field(&t, "moved", life.moved);
	text_add_field(&t, "cancelled", life.cancelled);
	text_add_field(&t, "reconnected", life.reconnected);
	text_add(&t, " watched=");
	text_add(&t, *life.watched ? life.watched : "new");
	machine_say(buf);
	(void)client_write("data/life", buf);
}

void life_start(bool rewatch)
{
	client_patience(UINT64_MAX);
	life.rewatch = rewatch;
	(void)client_write("control/feature-poweroff", "1");
	(void)client_write("control/feature-reboot", "1");
	if (machine_is_aware())
		(void)client_write("control/feature-suspend", "1");
	own_watches();
	life_tell();
	(void)client_write("data/reply", "");
}

void life_reconnect(void)
{
	client_patience(RECONNECT_NS);
	if (!client_reconnect()) {
		machine_say("no other connection");
		machine_end(SHUTDOWN_crash);
	}
	client_patience(UINT64_MAX);
	life.reconnected++;
	heart_skip();
	own_watches();
	life_tell();
}

static void suspended(void)
{
	if (machine_suspend()) {
		life.cancelled++;
	} else {
		life.moved++;
		heart_skip();
		if (life.rewatch)
			own_watches();
	}
	life_tell();
}

static void control_fired(void)
{
	static const struct {
		const char *word;
		unsigned int reason;
	} ends[] = {
		{ "poweroff", SHUTDOWN_poweroff }, { "halt", SHUTDOWN_poweroff },
		{ "reboot", SHUTDOWN_reboot },	   { "crash", SHUTDOWN_crash },
		{ "suspend", SHUTDOWN_suspend },
	};
	unsigned int i, reason;

	if (*client_ask(XS_READ, 0, "control/shutdown", NULL))
		return;
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		if (!text_equal(client_answer(), ends[i].word))
			continue;
		reason = ends[i].reason;
		if (reason == SHUTDOWN_suspend && !machine_is_aware())
			return; /* it would not know how */
		machine_say(ends[i].word);
		(void)client_write("control/shutdown", "");
		if (reason != SHUTDOWN_suspend)
			machine_end(reason);
		suspended();
		return;
	}
}

static void other_fired(const char *path)
{
	char buf[300];
	struct text t = TEXT_OF(buf);

	life.events++;
	text_add_u64(&t, life.events);
	text_add(&t, " ");
	text_add(&t, path);
	(void)client_write("data/events", buf);
}

void life_turn(void)
{
	const char *path, *token;

	while (client_event(&path, &token)) {
		if (!text_equal(token, OWN))
			other_fired(path);
		else if (text_equal(path, "data/cmd"))
			command_fired();
		else
			control_fired();
	}
}
