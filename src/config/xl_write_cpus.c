/* SPDX-License-Identifier: MIT */
/*
 * What a domain's vcpus are and where they run, its nodes, what cpuid tells it, and the ports,
 * interrupts and memory of the host that it may touch.
 */
#include "config/xl_write.h"

#include <inttypes.h>
#include <string.h>

#include "base/own.h"

/* ---- vcpus ---- */

/* How many, where they are those from 0 on; -1: others. */
static int64_t count_from_zero(struct json_object *bits)
{
	size_t n = json_object_array_length(bits);

	for (size_t i = 0; i < n; i++) {
		if (json_object_get_int64(json_object_array_get_idx(bits, i)) != (int64_t)i)
			return -1;
	}
	return (int64_t)n;
}

static void write_vcpus(struct xl_writer *w)
{
	struct json_object *online = xl_at(w->rest, "b_info/avail_vcpus");
	int64_t max = xl_int_at(w->rest, "b_info/max_vcpus", 0);
	int64_t n = online ? count_from_zero(online) : -1;

	/* xl refuses more vcpus than maxvcpus. */
	if (n > 0 && (!max || n <= max)) {
		xl_text_add(&w->out, "vcpus = %" PRId64 "\n", n);
		xl_done(w->rest, "b_info/avail_vcpus");
		if (!max)
			xl_note(w, "b_info/max_vcpus", "not there; xl makes it %" PRId64, n);
	}
	if (max > 0) {
		xl_text_add(&w->out, "maxvcpus = %" PRId64 "\n", max);
		xl_done(w->rest, "b_info/max_vcpus");
	}
}

static bool are_lists(struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		if (!json_object_is_type(json_object_array_get_idx(list, i), json_type_array))
			return false;
	}
	return true;
}

static bool all_equal(struct json_object *list)
{
	struct json_object *first = json_object_array_get_idx(list, 0);

	for (size_t i = 1; i < json_object_array_length(list); i++) {
		if (!json_object_equal(first, json_object_array_get_idx(list, i)))
			return false;
	}
	return json_object_array_length(first) > 0;
}

/*
 * One string for all vcpus, or a list with one for each. All but the string of `cpus` end xl's
 * automatic placement, so that is a list where the placement is to end and nothing else ends it.
 */
static void write_affinity(struct xl_writer *w, const char *path, const char *key, int64_t max,
			   bool list_wanted)
{
	struct json_object *maps = xl_at(w->rest, path);
	struct xl_text bits = { 0 };
	size_t n;

	if (!json_object_is_type(maps, json_type_array) || !are_lists(maps))
		return;
	n = json_object_array_length(maps);
	if ((int64_t)n > max || !n)
		return;
	xl_text_add(&w->out, "%s = ", key);
	if (!list_wanted && (int64_t)n == max && all_equal(maps)) {
		xl_text_bits(&bits, json_object_array_get_idx(maps, 0));
		xl_text_quoted(&w->out, bits.v ? bits.v : "");
	} else {
		for (size_t i = 0; i < n; i++) {
			xl_text_clear(&bits);
			xl_text_bits(&bits, json_object_array_get_idx(maps, i));
			xl_text_add(&w->out, "%s", i ? ", " : "[ ");
			xl_text_quoted(&w->out, bits.v ? bits.v : "");
		}
		xl_text_add(&w->out, " ]");
		w->placed = true;
	}
	w->placed |= !strcmp(key, "cpus_soft");
	xl_text_add(&w->out, "\n");
	xl_text_end(&bits, w);
	xl_done(w->rest, path);
}

/* ---- nodes ---- */

static void write_node(struct xl_writer *w, struct json_object *node, bool first)
{
	struct json_object *vcpus = xl_at(node, "vcpus"), *distances = xl_at(node, "distances");
	int64_t kib = xl_int_at(node, "memkb", 0);
	struct xl_text bits = { 0 };

	xl_text_add(&w->out, "%s[ \"size=%" PRId64 "\"", first ? "\t" : ",\n\t", kib >> 10);
	if (kib % 1024 == 0)
		xl_done(node, "memkb");
	/* Node 0 is also meant by none, but only one that is named ends automatic placement. */
	if (xl_at(node, "pnode") || xl_is(w->rest, "b_info/numa_placement", "False")) {
		xl_text_add(&w->out, ", \"pnode=%" PRId64 "\"", xl_int_at(node, "pnode", 0));
		xl_done(node, "pnode");
		w->placed = true;
	}
	if (json_object_is_type(vcpus, json_type_array) && json_object_array_length(vcpus)) {
		xl_text_bits(&bits, vcpus);
		xl_text_add(&w->out, ", \"vcpus=%s\"", bits.v ? bits.v : "");
		xl_done(node, "vcpus");
	}
	if (json_object_is_type(distances, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(distances); i++) {
			struct json_object *one = json_object_array_get_idx(distances, i);

			xl_text_add(&w->out, "%s%" PRId64,
				    i ? "," : ", \"vdistances=", json_object_get_int64(one));
		}
		xl_text_add(&w->out, "\"");
		xl_done(node, "distances");
	} else {
		xl_note(w, "b_info/vnuma_nodes", "distances are not there; xl makes them 0");
	}
	xl_text_add(&w->out, " ]");
	xl_text_end(&bits, w);
}

/* xl refuses a file whose nodes are not as large together as the domain. */
static bool nodes_fit(struct json_object *whole, struct json_object *nodes)
{
	int64_t max_vcpus = xl_int_at(whole, "b_info/max_vcpus", 0);
	int64_t max_kib = xl_int_at(whole, "b_info/max_memkb", -1);
	int64_t vcpus = 0, kib = 0;

	for (size_t i = 0; i < json_object_array_length(nodes); i++) {
		struct json_object *node = json_object_array_get_idx(nodes, i);
		struct json_object *bits = xl_at(node, "vcpus");

		if (json_object_is_type(bits, json_type_array))
			vcpus += (int64_t)json_object_array_length(bits);
		kib += xl_int_at(node, "memkb", 0) & ~INT64_C(1023);
	}
	return vcpus == max_vcpus && (max_kib < 0 || kib == (max_kib & ~INT64_C(1023)));
}

static void write_nodes(struct xl_writer *w)
{
	struct json_object *nodes = xl_at(w->rest, "b_info/vnuma_nodes");

	if (!json_object_is_type(nodes, json_type_array) || !nodes_fit(w->whole, nodes))
		return;
	xl_text_add(&w->out, "vnuma = [\n");
	for (size_t i = 0; i < json_object_array_length(nodes); i++)
		write_node(w, json_object_array_get_idx(nodes, i), i == 0);
	xl_text_add(&w->out, "\n]\n");
}

static void check_placement(struct xl_writer *w)
{
	static const char path[] = "b_info/numa_placement";

	if (w->placed && xl_is(w->rest, path, "False"))
		xl_done(w->rest, path);
	else if (w->placed && !xl_at(w->rest, path))
		xl_note(w, path, "not there; xl makes it False");
}

/* ---- cpuid ---- */

/* False: it says nothing, and xl makes none of that. */
static bool say_leaf(struct json_object *leaf, struct xl_text *words)
{
	static const char *const registers[] = { "eax", "ebx", "ecx", "edx" };
	const char *before = ":";

	xl_text_clear(words);
	xl_text_add(words, "0x%" PRIx64, (uint64_t)xl_int_at(leaf, "leaf", 0));
	if (xl_at(leaf, "subleaf"))
		xl_text_add(words, ",0x%" PRIx64, (uint64_t)xl_int_at(leaf, "subleaf", 0));
	for (size_t i = 0; i < ARRAY_LEN(registers); i++) {
		const char *policy = xl_string_at(leaf, registers[i]);

		if (!policy)
			continue;
		xl_text_add(words, "%s%s=%s", before, registers[i], policy);
		before = ",";
		xl_done(leaf, registers[i]);
	}
	if (*before == ':')
		return false;
	xl_done(leaf, "leaf");
	xl_done(leaf, "subleaf");
	return true;
}

/* Whether a leaf before it is the same: xl makes one of two. */
static bool is_again(struct json_object *leaves, size_t i)
{
	struct json_object *leaf = json_object_array_get_idx(leaves, i);

	for (size_t j = 0; j < i; j++) {
		struct json_object *other = json_object_array_get_idx(leaves, j);

		if (json_object_equal(xl_at(leaf, "leaf"), xl_at(other, "leaf")) &&
		    json_object_equal(xl_at(leaf, "subleaf"), xl_at(other, "subleaf")))
			return true;
	}
	return false;
}

/* Words for bits of cpuid there are; those of MSRs that came with them stay behind. */
static void write_cpuid(struct xl_writer *w)
{
	static const char path[] = "b_info/cpuid/cpuid";
	struct json_object *leaves = xl_at(w->rest, path), *all = xl_at(w->whole, path);
	struct xl_text words = { 0 };
	bool any = false;

	if (!json_object_is_type(leaves, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(leaves); i++) {
		if (is_again(all, i) || !say_leaf(json_object_array_get_idx(leaves, i), &words))
			continue;
		xl_text_add(&w->out, "%s", any ? ",\n\t" : "cpuid = [\n\t");
		xl_text_quoted(&w->out, words.v ? words.v : "");
		any = true;
	}
	if (any)
		xl_text_add(&w->out, "\n]\n");
	xl_text_end(&words, w);
}

/* ---- the host's ---- */

typedef bool entry_fn(struct json_object *entry, struct xl_text *words);

static bool say_ports(struct json_object *entry, struct xl_text *words)
{
	int64_t first = xl_int_at(entry, "first", 0), n = xl_int_at(entry, "number", 0);

	if (n < 1)
		return false;
	xl_text_add(words, "%" PRIx64, (uint64_t)first);
	if (n > 1)
		xl_text_add(words, "-%" PRIx64, (uint64_t)(first + n - 1));
	return true;
}

static bool say_interrupt(struct json_object *entry, struct xl_text *words)
{
	xl_text_add(words, "%" PRId64, json_object_get_int64(entry));
	return true;
}

static bool say_memory(struct json_object *entry, struct xl_text *words)
{
	xl_text_add(words, "%" PRIx64 ",%" PRIx64, (uint64_t)xl_int_at(entry, "start", 0),
		    (uint64_t)xl_int_at(entry, "number", 0));
	if (xl_at(entry, "gfn"))
		xl_text_add(words, "@%" PRIx64, (uint64_t)xl_int_at(entry, "gfn", 0));
	return true;
}

/* All of a list or nothing: an entry left out would look as if it were not allowed. */
static void write_entries(struct xl_writer *w, const char *path, const char *key, entry_fn *fn)
{
	struct json_object *list = xl_at(w->rest, path);
	struct xl_text all = { 0 }, words = { 0 };
	bool ok = json_object_is_type(list, json_type_array);

	for (size_t i = 0; ok && i < json_object_array_length(list); i++) {
		xl_text_clear(&words);
		ok = fn(json_object_array_get_idx(list, i), &words);
		xl_text_add(&all, "%s", i ? ", " : "");
		xl_text_quoted(&all, words.v ? words.v : "");
	}
	if (ok) {
		xl_text_add(&w->out, "%s = [ %s ]\n", key, all.v ? all.v : "");
		xl_done(w->rest, path);
	}
	xl_text_end(&all, w);
	xl_text_end(&words, w);
}

void xl_write_cpus(struct xl_writer *w)
{
	int64_t max = xl_int_at(w->whole, "b_info/max_vcpus", 0);
	bool ended = xl_is(w->rest, "b_info/numa_placement", "False");

	write_vcpus(w);
	write_nodes(w);
	write_affinity(w, "b_info/vcpu_soft_affinity", "cpus_soft", max, false);
	write_affinity(w, "b_info/vcpu_hard_affinity", "cpus", max, ended && !w->placed);
	check_placement(w);
	write_cpuid(w);
	write_entries(w, "b_info/ioports", "ioports", say_ports);
	write_entries(w, "b_info/irqs", "irqs", say_interrupt);
	write_entries(w, "b_info/iomem", "iomem", say_memory);
}
