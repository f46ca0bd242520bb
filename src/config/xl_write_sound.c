/* SPDX-License-Identifier: MIT */
/*
 * Sound cards in a file for `xl create`: each is a list of strings, of the card, its devices and
 * their streams, one after the other; what a string is of is its first word.
 */
#include "config/xl_write.h"

#include <inttypes.h>

#include "base/own.h"

static void say_list(struct xl_spec *s, const char *path, const char *key)
{
	struct json_object *list = xl_at(s->dev, path);

	if (!json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		const char *value = json_object_get_string(json_object_array_get_idx(list, i));

		if (i)
			xl_text_add(&s->words, ";%s", value);
		else
			xl_spec_add(s, "%s=%s", key, value);
	}
	xl_done(s->dev, path);
}

static void say_params(struct xl_spec *s)
{
	say_list(s, "params/sample_rates", "sample-rates");
	say_list(s, "params/sample_formats", "sample-formats");
	xl_spec_number(s, "params/channels_min", "channels-min");
	xl_spec_number(s, "params/channels_max", "channels-max");
	xl_spec_number(s, "params/buffer_size", "buffer-size");
}

/* The words so far as one string of the card's list. */
static void end_string(struct xl_spec *s, bool first)
{
	struct xl_text *out = &s->w->out;

	xl_text_add(out, "%s", first ? "\t[ " : ",\n\t  ");
	xl_text_quoted(out, s->words.v ? s->words.v : "");
	xl_text_clear(&s->words);
}

static void write_streams(struct xl_spec *s, struct json_object *streams)
{
	size_t n = json_object_is_type(streams, json_type_array) ? json_object_array_length(streams)
								 : 0;

	for (size_t i = 0; i < n; i++) {
		s->dev = json_object_array_get_idx(streams, i);
		xl_spec_add(s, "stream");
		xl_spec_string(s, "unique_id", "unique-id", ",");
		xl_spec_string(s, "type", "type", ",");
		say_params(s);
		end_string(s, false);
	}
}

static void write_card(struct xl_spec *s)
{
	struct json_object *card = s->dev, *pcms = xl_at(card, "pcms");
	size_t n = json_object_is_type(pcms, json_type_array) ? json_object_array_length(pcms) : 0;

	xl_spec_add(s, "card");
	xl_spec_devid(s);
	xl_spec_backend(s, ",", false);
	xl_spec_string(s, "short_name", "short-name", ",");
	xl_spec_string(s, "long_name", "long-name", ",");
	say_params(s);
	end_string(s, true);
	for (size_t i = 0; i < n; i++) {
		s->dev = json_object_array_get_idx(pcms, i);
		xl_spec_add(s, "pcm");
		xl_spec_string(s, "name", "name", ",");
		say_params(s);
		end_string(s, false);
		write_streams(s, xl_at(s->dev, "streams"));
	}
	xl_text_add(&s->w->out, " ]");
}

void xl_write_sound(struct xl_writer *w)
{
	struct json_object *cards = xl_at(w->rest, "vsnds");
	struct xl_spec s = { .w = w, .list = "vsnds" };
	size_t n =
		json_object_is_type(cards, json_type_array) ? json_object_array_length(cards) : 0;

	if (!n)
		return;
	xl_text_add(&w->out, "vsnd = [\n");
	for (size_t i = 0; i < n; i++) {
		s.index = s.number = i;
		s.dev = json_object_array_get_idx(cards, i);
		xl_text_add(&w->out, "%s", i ? ",\n" : "");
		write_card(&s);
	}
	xl_text_add(&w->out, "\n]\n");
	xl_text_end(&s.words, w);
}
