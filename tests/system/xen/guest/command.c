/* SPDX-License-Identifier: MIT */
/*
 * What the guest can be told to do. Invariant: every command is answered once, in data/reply, with
 * its serial number, after what it did; the heart does not beat while one is at work, but for load.
 */
#include "client.h"
#include "command.h"
#include "heart.h"
#include "life.h"
#include "machine.h"
#include "misuse.h"
#include "text.h"

#define N_SAMPLES 4096u
#define NS_PER_MS 1000000ull
#define REPLY_SIZE 1024
#define SERIAL_SIZE 32

static struct {
	char line[XENSTORE_PAYLOAD_MAX + 1];
	char serial[SERIAL_SIZE]; /* of the last */
	char tx_text[SERIAL_SIZE];
	uint32_t tx; /* that is open, or 0 */
	uint64_t samples_ns[N_SAMPLES];
} command;

static void told(struct text *out, const char *error)
{
	text_add(out, *error ? error : "ok");
}

static void run_hb(char *args, struct text *out)
{
	heart_set_interval(text_u64(text_word(&args)));
	told(out, CLIENT_OK);
}

static void run_gap(char *args, struct text *out)
{
	told(out, CLIENT_OK);
	text_add_field(out, "ns", heart_gap_ns());
	text_add_field(out, "beats", heart_beats());
	if (text_equal(text_word(&args), "reset"))
		heart_gap_reset();
}

static void run_read(char *args, struct text *out)
{
	const char *error = client_ask(XS_READ, command.tx, text_word(&args), NULL);

	told(out, error);
	if (!*error) {
		text_add(out, " ");
		text_add(out, client_answer());
	}
}

static void run_write(char *args, struct text *out)
{
	char *path = text_word(&args);

	told(out, client_ask(XS_WRITE, command.tx, path, args));
}

static void run_mkdir(char *args, struct text *out)
{
	told(out, client_ask(XS_MKDIR, command.tx, text_word(&args), NULL));
}

static void run_rm(char *args, struct text *out)
{
	told(out, client_ask(XS_RM, command.tx, text_word(&args), NULL));
}

static void run_watch(char *args, struct text *out)
{
	char *path = text_word(&args);

	told(out, client_ask(XS_WATCH, 0, path, text_word(&args)));
}

static void run_unwatch(char *args, struct text *out)
{
	char *path = text_word(&args);

	told(out, client_ask(XS_UNWATCH, 0, path, text_word(&args)));
}

static void run_events(char *args, struct text *out)
{
	(void)args;
	told(out, CLIENT_OK);
	text_add_field(out, "n", life_events());
	text_add_field(out, "lost", client_events_lost());
}

static void txn_open(struct text *out)
{
	const char *error = client_ask(XS_TRANSACTION_START, 0, "", NULL);

	if (!*error) {
		command.tx = (uint32_t)text_u64(client_answer());
		error = client_ask(XS_WRITE, command.tx, "data/txn", "written");
	}
	told(out, error);
	text_add_field(out, "tx", command.tx);
}

static void run_txn(char *args, struct text *out)
{
	const char *what = text_word(&args);
	bool end = text_equal(what, "end");

	if (text_equal(what, "open")) {
		txn_open(out);
	} else if (end || text_equal(what, "abort")) {
		told(out, client_ask(XS_TRANSACTION_END, command.tx, end ? "T" : "F", NULL));
		command.tx = 0;
	} else {
		told(out, "EINVAL");
	}
}

static void samples_sort(unsigned int n)
{
	unsigned int gap, i, j;

	for (gap = n / 2; gap; gap /= 2)
		for (i = gap; i < n; i++) {
			uint64_t sample_ns = command.samples_ns[i];

			for (j = i; j >= gap && command.samples_ns[j - gap] > sample_ns; j -= gap)
				command.samples_ns[j] = command.samples_ns[j - gap];
			command.samples_ns[j] = sample_ns;
		}
}

static void run_rtt(char *args, struct text *out)
{
	unsigned int n = (unsigned int)text_u64(text_word(&args)), i;
	uint32_t upcalls = machine_upcalls();
	uint64_t start_ns;
	const char *error;

	n = n < 1 ? 1 : n > N_SAMPLES ? N_SAMPLES : n;
	for (i = 0; i < n; i++) {
		start_ns = machine_now_ns();
		error = client_ask(XS_READ, 0, "name", NULL);
		command.samples_ns[i] = machine_now_ns() - start_ns;
		if (*error) {
			told(out, error);
			return;
		}
	}
	heart_skip();
	samples_sort(n);
	told(out, CLIENT_OK);
	text_add_field(out, "n", n);
	text_add_field(out, "min_ns", command.samples_ns[0]);
	text_add_field(out, "median_ns", command.samples_ns[n / 2]);
	text_add_field(out, "p99_ns", command.samples_ns[n - 1 - n / 100]);
	text_add_field(out, "max_ns", command.samples_ns[n - 1]);
	text_add_field(out, "upcalls", machine_upcalls() - upcalls);
}

static void run_load(char *args, struct text *out)
{
	uint64_t until_ns = machine_now_ns() + text_u64(text_word(&args)) * NS_PER_MS, n, bad = 0;

	for (n = 0; machine_now_ns() < until_ns; n++) {
		bad += *client_write_u64("data/load", n) != '\0';
		if (*client_ask(XS_READ, 0, "data/load", NULL) || text_u64(client_answer()) != n)
			bad++;
		heart_turn();
	}
	told(out, CLIENT_OK);
	text_add_field(out, "n", n);
	text_add_field(out, "bad", bad);
}

/* One transaction: whether it came to its end; *again: it lost, which is no fault. */
static bool txns_one(uint64_t n, uint64_t *again)
{
	const char *error = client_ask(XS_TRANSACTION_START, 0, "", NULL);
	uint32_t tx = (uint32_t)text_u64(client_answer());
	char value[24];
	struct text t = TEXT_OF(value);

	if (*error)
		return false;
	text_add_u64(&t, n);
	if (*client_ask(XS_READ, tx, "data/hb", NULL) ||
	    *client_ask(XS_WRITE, tx, "data/txns", value))
		return false;
	error = client_ask(XS_TRANSACTION_END, tx, "T", NULL);
	*again += text_equal(error, "EAGAIN");
	return !*error || text_equal(error, "EAGAIN");
}

static void run_txns(char *args, struct text *out)
{
	uint64_t until_ns = machine_now_ns() + text_u64(text_word(&args)) * NS_PER_MS;
	uint64_t n, again = 0, bad = 0;

	for (n = 0; machine_now_ns() < until_ns; n++) {
		bad += !txns_one(n, &again);
		heart_turn();
	}
	told(out, CLIENT_OK);
	text_add_field(out, "n", n);
	text_add_field(out, "again", again);
	text_add_field(out, "bad", bad);
}

static void run_fill(char *args, struct text *out)
{
	uint64_t n = text_u64(text_word(&args)), i, n_written = 0;
	char path[40];

	for (i = 0; i < n; i++) {
		struct text t = TEXT_OF(path);

		text_add(&t, "data/fill/");
		text_add_u64(&t, i);
		n_written += !*client_write(path, "filled");
	}
	heart_skip();
	told(out, CLIENT_OK);
	text_add_field(out, "n", n_written);
}

static void run_misuse(char *args, struct text *out)
{
	const char *kind = text_word(&args);
	uint64_t for_ms = text_u64(text_word(&args));
	size_t before = out->len;
	bool whole;

	told(out, CLIENT_OK);
	if (!misuse(kind, text_u64(text_word(&args)), for_ms, &whole, out)) {
		out->len = before;
		told(out, "EINVAL");
	} else if (!whole) {
		life_reconnect();
	} else {
		heart_skip();
	}
}

static void run_reconnect(char *args, struct text *out)
{
	(void)args;
	life_reconnect();
	told(out, CLIENT_OK);
}

static void run_end(char *args, struct text *out)
{
	const char *how = text_word(&args);

	(void)out;
	machine_end(text_equal(how, "poweroff") ? SHUTDOWN_poweroff
		    : text_equal(how, "reboot") ? SHUTDOWN_reboot
						: SHUTDOWN_crash);
}

static const struct {
	const char *name;
	void (*run)(char *args, struct text *out);
} commands[] = {
	{ "end", run_end },
	{ "events", run_events },
	{ "fill", run_fill },
	{ "gap", run_gap },
	{ "hb", run_hb },
	{ "load", run_load },
	{ "txns", run_txns },
	{ "misuse", run_misuse },
	{ "mkdir", run_mkdir },
	{ "read", run_read },
	{ "reconnect", run_reconnect },
	{ "rm", run_rm },
	{ "rtt", run_rtt },
	{ "txn", run_txn },
	{ "unwatch", run_unwatch },
	{ "watch", run_watch },
	{ "write", run_write },
};

void command_run(const char *serial, char *line)
{
	char buf[REPLY_SIZE];
	struct text out = TEXT_OF(buf);
	const char *name = text_word(&line);
	unsigned int i;

	text_add(&out, serial);
	text_add(&out, " ");
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (text_equal(commands[i].name, name))
			break;
	if (i < sizeof(commands) / sizeof(commands[0]))
		commands[i].run(line, &out);
	else
		told(&out, "ENOSYS");
	machine_say(buf);
	(void)client_write("data/reply", buf);
}

void command_fired(void)
{
	char *line = command.line;
	const char *serial;
	struct text last;

	if (*client_ask(XS_READ, 0, "data/cmd", NULL))
		return;
	memcpy(command.line, client_answer(), strlen(client_answer()) + 1);
	serial = text_word(&line);
	if (!*serial || strlen(serial) >= SERIAL_SIZE || text_equal(serial, command.serial))
		return;
	last = (struct text)TEXT_OF(command.serial);
	text_add(&last, serial);
	command_run(command.serial, line);
}
