/* SPDX-License-Identifier: MIT */
/*
 * Intents: what was written is read back by whoever comes next, damage is told, and a maker who is
 * dead is told from one who lives.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc_test.h"
#include "config/intent.h"
#include "config/intent_owner.h"
#include "config/json.h"

#define UUID "6f1c2b3a-0d4e-4f5a-9b6c-7d8e9f0a1b2c"
#define OTHER "a1b2c3d4-e5f6-4a7b-8c9d-0e1f2a3b4c5d"

struct world {
	char dir[64], path[256];
	struct userdata *u;
	struct conf_err err;
	struct json_object *disk, *nic;
	struct intents s;
};

static int world_new(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	strcpy(w->dir, "/tmp/drover-intent-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/userdata-d.7." UUID "." USERDATA_INTENTS, w->dir);
	assert_int_equal(userdata_open(w->dir, 1000, &w->err, &w->u), 0);
	w->disk = json_tokener_parse("{\"vdev\":\"xvda\",\"pdev_path\":\"/dev/\\\"a\\\"\"}");
	w->nic = json_tokener_parse("{\"devid\":0,\"mac\":\"00:16:3e:00:00:01\"}");
	*state = w;
	return 0;
}

static int drop(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static int world_free(void **state)
{
	struct world *w = *state;

	intents_fini(&w->s);
	json_object_put(w->disk);
	json_object_put(w->nic);
	userdata_close(w->u);
	nftw(w->dir, drop, 8, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

static int add(struct world *w, enum intent_op op, const char *class, const char *id,
	       struct json_object *old, struct json_object *new)
{
	return intents_add(w->u, 7, UUID, op, class, id, old, new, &w->err);
}

static int again(struct world *w)
{
	intents_fini(&w->s);
	return intents_read(w->u, 7, UUID, &w->err, &w->s);
}

static void no_file_is_no_intent(void **state)
{
	struct world *w = *state;

	assert_int_equal(again(w), 0);
	assert_int_equal(w->s.n, 0);
	assert_null(intents_find(&w->s, "vbd", "xvda"));
	assert_int_equal(intents_drop(w->u, 7, UUID, "vbd", "xvda", &w->err), 0);
	assert_int_equal(access(w->path, F_OK), -1);
}

static void what_was_added_is_read_back(void **state)
{
	struct world *w = *state;
	const struct intent *i;

	assert_int_equal(add(w, INTENT_ADD, "vbd", "xvda", NULL, w->disk), 0);
	assert_int_equal(add(w, INTENT_REMOVE, "vif", "0", w->nic, NULL), 0);
	assert_int_equal(add(w, INTENT_UPDATE, "vbd", "xvdb", w->disk, w->nic), 0);
	assert_int_equal(again(w), 0);
	assert_int_equal(w->s.n, 3);
	i = intents_find(&w->s, "vbd", "xvda");
	assert_non_null(i);
	assert_int_equal(i->op, INTENT_ADD);
	assert_null(i->old);
	assert_true(json_object_equal(i->new, w->disk));
	assert_int_equal(i->pid, getpid());
	assert_in_range((uintmax_t)i->time_s, (uintmax_t)time(NULL) - 100, (uintmax_t)time(NULL));
	assert_true(intent_owner_alive(i));
	i = intents_find(&w->s, "vif", "0");
	assert_int_equal(i->op, INTENT_REMOVE);
	assert_null(i->new);
	assert_true(json_object_equal(i->old, w->nic));
	i = intents_find(&w->s, "vbd", "xvdb");
	assert_int_equal(i->op, INTENT_UPDATE);
	assert_true(json_object_equal(i->old, w->disk));
	assert_true(json_object_equal(i->new, w->nic));
	assert_null(intents_find(&w->s, "vif", "xvda"));
}

static void another_domain_has_its_own(void **state)
{
	struct world *w = *state;

	assert_int_equal(add(w, INTENT_ADD, "vbd", "xvda", NULL, w->disk), 0);
	assert_int_equal(intents_read(w->u, 7, OTHER, &w->err, &w->s), 0);
	assert_int_equal(w->s.n, 0);
	assert_int_equal(intents_read(w->u, 8, UUID, &w->err, &w->s), 0);
	assert_int_equal(w->s.n, 0);
}

static void a_device_has_one_at_most(void **state)
{
	struct world *w = *state;

	assert_int_equal(add(w, INTENT_ADD, "vbd", "xvda", NULL, w->disk), 0);
	assert_int_equal(add(w, INTENT_REMOVE, "vbd", "xvda", w->disk, NULL), -EBUSY);
	assert_non_null(strstr(w->err.text, "vbd xvda of domain 7"));
	assert_int_equal(again(w), 0);
	assert_int_equal(w->s.n, 1);
}

static void the_file_goes_with_its_last(void **state)
{
	struct world *w = *state;

	assert_int_equal(add(w, INTENT_ADD, "vbd", "xvda", NULL, w->disk), 0);
	assert_int_equal(add(w, INTENT_ADD, "vbd", "xvdb", NULL, w->disk), 0);
	assert_int_equal(intents_drop(w->u, 7, UUID, "vbd", "xvdc", &w->err), 0);
	assert_int_equal(intents_drop(w->u, 7, UUID, "vbd", "xvda", &w->err), 0);
	assert_int_equal(again(w), 0);
	assert_int_equal(w->s.n, 1);
	assert_non_null(intents_find(&w->s, "vbd", "xvdb"));
	assert_int_equal(intents_drop(w->u, 7, UUID, "vbd", "xvdb", &w->err), 0);
	assert_int_equal(access(w->path, F_OK), -1);
}

static void who_gave_up_counts_as_dead(void **state)
{
	struct world *w = *state;

	assert_int_equal(intents_disown(w->u, 7, UUID, "vbd", "xvda", &w->err), 0);
	assert_int_equal(add(w, INTENT_ADD, "vbd", "xvda", NULL, w->disk), 0);
	assert_int_equal(add(w, INTENT_ADD, "vbd", "xvdb", NULL, w->disk), 0);
	assert_int_equal(intents_disown(w->u, 7, UUID, "vbd", "xvda", &w->err), 0);
	assert_int_equal(again(w), 0);
	assert_int_equal(w->s.n, 2);
	assert_false(intent_owner_alive(intents_find(&w->s, "vbd", "xvda")));
	assert_true(intent_owner_alive(intents_find(&w->s, "vbd", "xvdb")));
	assert_true(json_object_equal(intents_find(&w->s, "vbd", "xvda")->new, w->disk));
}

/* A child makes an intent, and is then left a zombie, and then is no more. */
static void a_maker_who_was_killed_is_dead(void **state)
{
	struct world *w = *state;
	siginfo_t info;
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(add(w, INTENT_ADD, "vbd", "xvda", NULL, w->disk) ? 1 : 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(again(w), 0);
	assert_int_equal(w->s.n, 1);
	assert_int_equal(w->s.v[0].pid, pid);
	assert_false(intent_owner_alive(&w->s.v[0]));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(intent_owner_alive(&w->s.v[0]));
}

static void a_pid_alone_does_not_make_a_maker(void **state)
{
	struct world *w = *state;
	struct intent i = { .pid = 0 }, self;

	assert_int_equal(intent_owner_self(&i, &w->err), 0);
	i.time_s = time(NULL);
	self = i;
	assert_true(intent_owner_alive(&i));
	i.start_ticks++;
	assert_false(intent_owner_alive(&i));
	i = self;
	i.boot_id[0] = i.boot_id[0] == '0' ? '1' : '0';
	assert_false(intent_owner_alive(&i));
	i = self;
	i.pid = 0;
	assert_false(intent_owner_alive(&i));
	/* Of another namespace: by time alone, and whatever our pid of that number is. */
	i = self;
	i.pid_ns++;
	i.start_ticks++;
	assert_true(intent_owner_alive(&i));
	i.time_s -= INTENT_FOREIGN_MAX_S;
	assert_false(intent_owner_alive(&i));
	i.time_s += 2 * INTENT_FOREIGN_MAX_S;
	assert_false(intent_owner_alive(&i));
}

static void a_command_cannot_pretend_to_be_other_fields(void **state)
{
	static const struct {
		const char *stat;
		bool ok, dead;
		uint64_t start;
	} rows[] = {
		{ "1 (a) S 1 1 1 0 -1 4 1 1 1 1 1 1 1 1 20 0 1 0 77 1 1", true, false, 77 },
		{ "1 (a) Z 9 (b) S 1 1 1 0 -1 4 1 1 1 1 1 1 1 1 20 0 1 0 77 1", true, false, 77 },
		{ "1 (a) Z 1 1 1 0 -1 4 1 1 1 1 1 1 1 1 20 0 1 0 77", true, true, 77 },
		{ "1 (a) Z 1 1 1 0 -1 4 1 1 1 1 1 1 1 1 20 0 3 0 77", true, false, 77 },
		{ "1 (a) S 1 1 1 0 -1 4 1 1 1 1 1 1 1 1 20 0 1 0", false, false, 0 },
		{ "1 (a) S 1 1 x 0 -1 4 1 1 1 1 1 1 1 1 20 0 1 0 77", false, false, 0 },
		{ "1 (a)", false, false, 0 },
		{ "", false, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t start = 0;
		bool dead = false;

		if (intent_owner_parse(rows[i].stat, &start, &dead) != rows[i].ok ||
		    (rows[i].ok && (start != rows[i].start || dead != rows[i].dead)))
			fail_msg("\"%s\"", rows[i].stat);
	}
}

static void overwrite(struct world *w, const char *text, size_t len)
{
	int fd = open(w->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static void damage_at_every_octet_is_told(void **state)
{
	struct world *w = *state;
	char *text = NULL;
	size_t len = 0;

	assert_int_equal(add(w, INTENT_ADD, "vbd", "xvda", NULL, w->disk), 0);
	assert_int_equal(userdata_read(w->u, 7, UUID, USERDATA_INTENTS, &w->err, &text, &len), 0);
	for (size_t cut = 0; cut < len; cut++) {
		overwrite(w, text, cut);
		if (again(w) != -EBADMSG)
			fail_msg("cut at %zu", cut);
		assert_non_null(strstr(w->err.text, w->path));
		assert_int_equal(w->s.n, 0);
	}
	overwrite(w, text, len);
	assert_int_equal(again(w), 0);
	free(text);
}

#define WHO "\"pid\":1,\"start\":1,\"pid_ns\":1,\"boot\":\"\",\"time\":1"

static void what_is_no_intent_is_told_with_the_field(void **state)
{
	static const char *const rows[][2] = {
		{ "{}", "is no list" },
		{ "[1]", "object" },
		{ "[{}]", "op" },
		{ "[{\"op\":\"eat\"}]", "\"op\"" },
		{ "[{\"op\":\"attach\",\"class\":\"cow\"}]", "\"class\"" },
		{ "[{\"op\":\"attach\",\"class\":\"vbd\",\"id\":\"\"}]", "\"id\"" },
		{ "[{\"op\":\"attach\",\"class\":\"vbd\",\"id\":\"a\\u0000b\"}]", "a NUL" },
		{ "[{\"op\":\"attach\",\"class\":\"vbd\",\"id\":\"a\"}]", "\"new\"" },
		{ "[{\"op\":\"update\",\"class\":\"vbd\",\"id\":\"a\",\"new\":{}}]", "\"old\"" },
		{ "[{\"op\":\"detach\",\"class\":\"vbd\",\"id\":\"a\",\"old\":3}]", "\"old\"" },
		{ "[{\"op\":\"detach\",\"class\":\"vbd\",\"id\":\"a\"}]", "\"pid\"" },
		{ "[{\"op\":\"detach\",\"class\":\"vbd\",\"id\":\"a\",\"pid\":-1}]", "\"pid\"" },
		{ "[{\"op\":\"detach\",\"class\":\"vbd\",\"id\":\"a\"," WHO "}] x", "line 1" },
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		overwrite(w, rows[i][0], strlen(rows[i][0]));
		if (again(w) != -EBADMSG || !strstr(w->err.text, rows[i][1]) ||
		    !strstr(w->err.text, w->path))
			fail_msg("%s: %s", rows[i][0], w->err.text);
		/* And nothing is done on top of it. */
		assert_int_equal(add(w, INTENT_ADD, "vbd", "b", NULL, w->disk), -EBADMSG);
		assert_int_equal(intents_drop(w->u, 7, UUID, "vbd", "a", &w->err), -EBADMSG);
	}
	overwrite(w, "[{\"op\":\"detach\",\"class\":\"vbd\",\"id\":\"a\"," WHO "}]",
		  strlen("[{\"op\":\"detach\",\"class\":\"vbd\",\"id\":\"a\"," WHO "}]"));
	assert_int_equal(again(w), 0);
	assert_false(intent_owner_alive(&w->s.v[0]));
}

static void there_are_so_many_and_no_more(void **state)
{
	struct world *w = *state;
	struct json_object *list = json_object_new_array();
	const char *text;

	for (int i = 0; i < INTENTS_MAX; i++) {
		char one[128];

		snprintf(one, sizeof(one),
			 "{\"op\":\"detach\",\"class\":\"vbd\",\"id\":\"%d\"," WHO "}", i);
		json_object_array_add(list, json_tokener_parse(one));
	}
	text = json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN);
	overwrite(w, text, strlen(text));
	assert_int_equal(again(w), 0);
	assert_int_equal(w->s.n, INTENTS_MAX);
	assert_int_equal(add(w, INTENT_ADD, "vbd", "more", NULL, w->disk), -EBUSY);
	json_object_array_add(list, json_object_new_object());
	text = json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN);
	overwrite(w, text, strlen(text));
	assert_int_equal(again(w), -EBADMSG);
	json_object_put(list);
}

/* Memory that is out is told as that, and what is in the file stays as it is. */
static void without_memory_nothing_changes(void **state)
{
	struct world *w = *state;
	bool failed = true;
	int r;

	assert_int_equal(add(w, INTENT_ADD, "vbd", "xvda", NULL, w->disk), 0);
	for (unsigned long n = 1; failed; n++) {
		alloc_fail_nth(n, false);
		r = add(w, INTENT_UPDATE, "vbd", "xvdb", w->disk, w->disk);
		failed = alloc_fail_end();
		assert_int_equal(again(w), 0);
		assert_int_equal(r, failed ? -ENOMEM : 0);
		assert_int_equal(w->s.n, failed ? 1 : 2);
	}
	failed = true;
	for (unsigned long n = 1; failed; n++) {
		alloc_fail_nth(n, false);
		r = intents_drop(w->u, 7, UUID, "vbd", "xvda", &w->err);
		failed = alloc_fail_end();
		assert_int_equal(again(w), 0);
		assert_int_equal(r, failed ? -ENOMEM : 0);
		assert_int_equal(w->s.n, failed ? 2 : 1);
	}
}

struct seen {
	size_t n;
	int pid;
	char what[256];
};

static int see(void *data, const struct drover_lock_info *info)
{
	struct seen *s = data;

	assert_int_equal(info->domid, 7);
	assert_string_equal(info->name, USERDATA_INTENTS);
	s->n++;
	s->pid = info->pid;
	snprintf(s->what, sizeof(s->what), "%s", info->what);
	return 0;
}

static void each_is_told_with_its_maker(void **state)
{
	struct world *w = *state;
	struct seen s = { 0 };

	assert_int_equal(add(w, INTENT_ADD, "vbd", "xvda", NULL, w->disk), 0);
	assert_int_equal(intents_each(w->u, see, &s), 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.pid, getpid());
	assert_string_equal(s.what, "attach vbd xvda, owner alive");
	assert_int_equal(intents_disown(w->u, 7, UUID, "vbd", "xvda", &w->err), 0);
	assert_int_equal(intents_each(w->u, see, &s), 0);
	assert_int_equal(s.pid, 0);
	assert_string_equal(s.what, "attach vbd xvda, owner dead");
	overwrite(w, "[", 1);
	assert_int_equal(intents_each(w->u, see, &s), 0);
	assert_int_equal(s.pid, -1);
	assert_non_null(strstr(s.what, w->path));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_new, world_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_file_is_no_intent),
		TEST(what_was_added_is_read_back),
		TEST(another_domain_has_its_own),
		TEST(a_device_has_one_at_most),
		TEST(the_file_goes_with_its_last),
		TEST(who_gave_up_counts_as_dead),
		TEST(a_maker_who_was_killed_is_dead),
		TEST(a_pid_alone_does_not_make_a_maker),
		TEST(a_command_cannot_pretend_to_be_other_fields),
		TEST(damage_at_every_octet_is_told),
		TEST(what_is_no_intent_is_told_with_the_field),
		TEST(there_are_so_many_and_no_more),
		TEST(without_memory_nothing_changes),
		TEST(each_is_told_with_its_maker),
	};

	return cmocka_run_group_tests_name("config/intent", tests, NULL, NULL);
}
