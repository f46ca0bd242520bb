/* SPDX-License-Identifier: MIT */
/*
 * What adopt and unadopt tell. Invariant: what refuses goes to stderr, the rest to stdout, as it
 * is found; with --json all of it is one object on stdout, at the end.
 */
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>

#include "cli/adopt.h"
#include "cli/command.h"

void adopt_tell(struct adopt_report *r, enum adopt_verdict verdict, const char *name,
		const char *fmt, ...)
{
	struct adopt_finding last, *f = r->n < ADOPT_FINDINGS_MAX ? &r->at[r->n++] : &last;
	va_list ap;

	f->name = name;
	f->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	r->refused += verdict == ADOPT_REFUSED;
	if (r->json)
		return;
	if (verdict == ADOPT_REFUSED) {
		fflush(stdout);
		fprintf(stderr, "drover: %s: %s: %s\n", r->command, name, f->text);
		return;
	}
	printf("%-14s %s%s\n", name, verdict == ADOPT_WARNING ? "note: " : "", f->text);
	fflush(stdout); /* the next step may take a while */
}

static void put_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, cli_must(json_object_new_string(text)));
}

void adopt_report_end(const struct adopt_report *r, const struct adopt_daemon *d,
		      const char *result)
{
	static const char *const verdicts[] = { "fine", "warning", "refused" };
	struct json_object *o, *daemon, *findings;

	if (!r->json) {
		printf("%-14s %s\n", "result", result);
		return;
	}
	o = cli_must(json_object_new_object());
	put_text(o, "result", result);
	daemon = cli_must(json_object_new_object());
	if (d->pid) {
		put_text(daemon, "kind", adopt_kind_name(d->kind));
		json_object_object_add(daemon, "pid", cli_must(json_object_new_int(d->pid)));
		put_text(daemon, "program", d->exe);
	}
	json_object_object_add(o, "daemon", daemon);
	findings = cli_must(json_object_new_array());
	for (size_t i = 0; i < r->n; i++) {
		struct json_object *f = cli_must(json_object_new_object());

		put_text(f, "what", r->at[i].name);
		put_text(f, "verdict", verdicts[r->at[i].verdict]);
		put_text(f, "text", r->at[i].text);
		json_object_array_add(findings, f);
	}
	json_object_object_add(o, "findings", findings);
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
