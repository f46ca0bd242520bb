/* SPDX-License-Identifier: MIT */
/*
 * Scenarios: words to requests and back. Invariant: a step that goes otherwise than written
 * fails its scenario, and nothing else is judged here.
 */
#include "scenario.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "oracle.h"

#define TEXT_MAX 262144u

static const struct {
	const char *name;
	uint32_t type;
} words[] = {
	{ "START", XS_TRANSACTION_START },
	{ "END", XS_TRANSACTION_END },
	{ "TYPE15", XS_WATCH_EVENT },
	{ "TYPE20", 20 },
	{ "TYPE27", 27 },
	{ "TYPE32768", WIRE_VENDOR_FIRST - 1 },
	{ "TYPE32769", WIRE_QUIESCE },
	{ "TYPE32776", WIRE_WHY },
	{ "TYPE32779", WIRE_VENDOR_END },
};

static uint32_t type_of(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!strcmp(words[i].name, word))
			return words[i].type;
	for (uint32_t t = 0; t < WIRE_TYPE_COUNT; t++)
		if (!strcmp(wire_type_name(t), word))
			return t;
	fprintf(stderr, "no operation %s\n", word);
	abort();
}

/* --- out ------------------------------------------------------------------------------------- */

static size_t word_next(const char **at, char *word, size_t room)
{
	size_t n = 0;

	while (**at == ' ')
		(*at)++;
	while (**at && **at != ' ' && n + 1 < room)
		word[n++] = *(*at)++;
	word[n] = '\0';
	return n;
}

/* An argument with its repeats done. */
static size_t expand(const char *word, char *out)
{
	const char *star = strrchr(word, '*');
	size_t n;

	if (!strcmp(word, "~"))
		return 0;
	if (!star || star == word || !isdigit((unsigned char)star[1])) {
		n = strlen(word);
		memcpy(out, word, n);
		return n;
	}
	n = (size_t)(star - word);
	memcpy(out, word, n);
	for (unsigned long more = strtoul(star + 1, NULL, 10); more > 1; more--)
		out[n++] = star[-1];
	return n;
}

static size_t raw_payload(const char *at, char *payload)
{
	size_t n = 0;

	while (*at == ' ')
		at++;
	for (; *at; at++)
		payload[n++] = *at == '|' ? '\0' : *at;
	return n;
}

void scenario_send(struct world *w, struct peer *p, const char *request)
{
	static char payload[65536];
	char word[8192];
	const char *at = request;
	uint32_t tx = 0, type;
	size_t len = 0, n;
	bool raw;

	(void)w;
	n = word_next(&at, word, sizeof(word));
	if (!strncmp(word, "tx=", 3)) {
		tx = (uint32_t)strtoul(word + 3, NULL, 10);
		n = word_next(&at, word, sizeof(word));
	}
	raw = word[n - 1] == '!';
	if (raw)
		word[n - 1] = '\0';
	type = type_of(word);
	if (raw)
		len = raw_payload(at, payload);
	for (size_t i = 0; !raw && word_next(&at, word, sizeof(word)); i++) {
		len += expand(word, payload + len);
		if (type != XS_WRITE || !i)
			payload[len++] = '\0';
	}
	peer_send(p, type, tx, payload, len);
}

/* --- in -------------------------------------------------------------------------------------- */

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static size_t print_sorted(const char *payload, size_t len, char *text)
{
	const char *name[2048];
	size_t n = 0, out = 0;

	for (size_t at = 0; at < len && n < ARRAY_LEN(name); at += strlen(payload + at) + 1)
		name[n++] = payload + at;
	qsort(name, n, sizeof(name[0]), name_cmp);
	for (size_t i = 0; i < n; i++)
		out += (size_t)sprintf(text + out, "%s%s", i ? " " : "", name[i]);
	return out;
}

static size_t print_message(const struct xsd_sockmsg *hdr, const char *payload, char *text)
{
	size_t n = hdr->len;

	if (hdr->type == XS_WATCH_EVENT)
		return (size_t)sprintf(text, "[%s %s]", payload, payload + strlen(payload) + 1);
	if (hdr->type == XS_DIRECTORY)
		return hdr->len ? print_sorted(payload, hdr->len, text)
				: (size_t)sprintf(text, "(empty)");
	while (n && !payload[n - 1])
		n--;
	if (!n)
		return (size_t)sprintf(text, "(empty)");
	for (size_t i = 0; i < n; i++)
		text[i] = payload[i] ? payload[i] : ' ';
	text[n] = '\0';
	return n;
}

void scenario_receive(struct peer *p, char *text, size_t room)
{
	static char payload[XENSTORE_PAYLOAD_MAX + 1];
	struct xsd_sockmsg hdr;
	size_t n = 0;

	text[0] = '\0';
	while (n + XENSTORE_PAYLOAD_MAX + 64 < room && peer_take(p, &hdr, payload)) {
		if (n)
			text[n++] = ' ';
		n += print_message(&hdr, payload, text + n);
	}
	if (!p->is_ring && !p->conn)
		n += (size_t)sprintf(text + n, "%sclosed", n ? " " : "");
	if (p->is_ring && peer_page(p) && peer_page(p)->error)
		sprintf(text + n, "%serror=%u", n ? " " : "", peer_page(p)->error);
}

/* --- the world ------------------------------------------------------------------------------- */

struct peer *world_guest(struct world *w, struct peer *toolstack, uint16_t domid)
{
	struct peer *p = world_ring(w, domid);
	char payload[128], text[8192];
	int n;

	if (!w->hv.dom[domid].exists)
		fake_hv_create(&w->hv, domid);
	n = sprintf(payload, "/local/domain/%u", domid);
	peer_send(toolstack, XS_MKDIR, 0, payload, (size_t)n + 1);
	n = sprintf(payload, "/local/domain/%u%cn%u", domid, 0, domid);
	peer_send(toolstack, XS_SET_PERMS, 0, payload, (size_t)n + 1);
	n = sprintf(payload, "%u%c1000%c%u", domid, 0, 0, WORLD_GUEST_PORT);
	peer_send(toolstack, XS_INTRODUCE, 0, payload, (size_t)n + 1);
	world_run(w);
	scenario_receive(toolstack, text, sizeof(text));
	return p;
}

struct peer *scenario_peer(struct world *w, const char *who)
{
	bool is_ring = isdigit((unsigned char)who[0]);
	uint16_t domid = (uint16_t)atoi(who);
	struct peer *p;

	for (size_t i = 0; i < WORLD_PEERS; i++) {
		p = &w->peer[i];
		if (p->used && p->is_ring == is_ring &&
		    (is_ring ? p->domid == domid : p->name == who[0]))
			return p;
	}
	if (is_ring)
		return domid ? world_guest(w, scenario_peer(w, "t"), domid) : world_ring(w, 0);
	p = world_socket(w);
	p->name = who[0];
	return p;
}

static void set_limit(struct world *w, const char *quota, uint64_t n, const char *domid)
{
	enum quota_id q;
	struct domain *d;

	if (quota_find(quota, strlen(quota), &q))
		abort();
	if (!*domid) {
		w->policy.limits.hard[q] = n;
		return;
	}
	d = domain_find(&w->core->domains, (uint16_t)atoi(domid));
	assert(d);
	d->budget.limits.hard[q] = n;
}

static void hv_step(struct world *w, const char *request)
{
	char verb[32], arg[3][64];
	const char *at = request;
	unsigned long n;
	uint16_t domid;

	word_next(&at, verb, sizeof(verb));
	for (size_t i = 0; i < 3; i++)
		word_next(&at, arg[i], sizeof(arg[i]));
	n = strtoul(arg[0], NULL, 10);
	domid = (uint16_t)n;
	if (!strcmp(verb, "create"))
		fake_hv_create(&w->hv, domid);
	else if (!strcmp(verb, "shutdown"))
		fake_hv_shutdown(&w->hv, domid);
	else if (!strcmp(verb, "resume"))
		fake_hv_resume(&w->hv, domid);
	else if (!strcmp(verb, "dying"))
		fake_hv_dying(&w->hv, domid);
	else if (!strcmp(verb, "destroy"))
		fake_hv_destroy(&w->hv, domid);
	else if (!strcmp(verb, "advance"))
		world_advance(w, n);
	else if (!strcmp(verb, "limit"))
		set_limit(w, arg[0], strtoul(arg[1], NULL, 10), arg[2]);
	else if (!strcmp(verb, "hangup"))
		peer_hang_up(scenario_peer(w, arg[0]));
	else if (!strcmp(verb, "deaf"))
		scenario_peer(w, arg[0])->deaf = true;
	else if (!strcmp(verb, "violation"))
		w->violations++;
	else if (!strcmp(verb, "hears"))
		scenario_peer(w, arg[0])->deaf = false;
	else
		abort();
	world_run(w);
}

bool scenario_step(struct world *w, const struct step *s)
{
	static char text[TEXT_MAX];
	struct peer *p;

	if (!strcmp(s->who, "hv")) {
		hv_step(w, s->request);
		return true;
	}
	p = scenario_peer(w, s->who);
	if (s->request)
		scenario_send(w, p, s->request);
	world_run(w);
	scenario_receive(p, text, sizeof(text));
	if (w->verbose)
		printf("# %s: %.200s -> %.300s\n", s->who, s->request ? s->request : "", text);
	if (!s->expected || !strcmp(s->expected, text))
		return true;
	world_fail(w, "%s: %.120s: '%.120s' where '%.120s' is expected", s->who,
		   s->request ? s->request : "", text, s->expected);
	return false;
}

void scenario_steps(struct world *w, const struct step *s)
{
	for (; s->who; s++)
		scenario_step(w, s);
}

const char *scenario_ask(struct world *w, const char *who, const char *fmt, ...)
{
	static char request[16384], answer[XENSTORE_PAYLOAD_MAX * 2];
	static char payload[XENSTORE_PAYLOAD_MAX + 1];
	struct peer *p = scenario_peer(w, who);
	struct xsd_sockmsg hdr;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(request, sizeof(request), fmt, ap);
	va_end(ap);
	scenario_send(w, p, request);
	world_run(w);
	answer[0] = '\0';
	while (peer_take(p, &hdr, payload))
		if (hdr.type != XS_WATCH_EVENT)
			print_message(&hdr, payload, answer);
	return answer;
}

static bool run_one(const struct scenario *s, bool verbose)
{
	static const struct world_options usual = { .priv_domid = PERM_NO_DOMID };
	struct world_options opt = s->options ? *s->options : usual;
	struct world *w;
	unsigned int n;
	char why[sizeof(w->why)];

	opt.verbose = verbose;
	w = world_new(&opt);
	if (s->steps)
		scenario_steps(w, s->steps);
	else
		s->run(w);
	world_run(w);
	oracle_compare(w->oracle);
	n = core_check(w->core);
	if (n)
		world_fail(w, "%u contradictions inside", n);
	n = world_free(w);
	(void)why;
	return !n;
}

int scenario_main(const struct scenario *table, size_t n, int argc, char **argv)
{
	bool verbose = argc > 2 && !strcmp(argv[2], "--verbose");
	const char *only = argc > 1 ? argv[1] : NULL;
	size_t failed = 0, at = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < n; i++) {
		bool ok;

		if (only && !strstr(table[i].name, only))
			continue;
		ok = run_one(&table[i], verbose);
		printf("%sok %zu - %s\n", ok ? "" : "not ", ++at, table[i].name);
		failed += !ok;
	}
	printf("1..%zu\n", at);
	return failed ? 1 : 0;
}
