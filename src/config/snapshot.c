/* SPDX-License-Identifier: MIT */
/*
 * What was read of a domain: values by key, devices by kind and number.
 */
#include "config/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

int conf_values_put(struct conf_values *values, const char *key, const char *value, size_t len)
{
	struct conf_value v = { .len = len };
	size_t key_len = strlen(key);

	if (values->n == values->room) {
		size_t room = values->room ? values->room * 2 : 16;
		struct conf_value *p = realloc(values->v, room * sizeof(*p));

		if (!p)
			return -ENOMEM;
		values->v = p;
		values->room = room;
	}
	/* one piece of memory for both: a device has dozens of them */
	v.key = malloc(key_len + 1 + len + 1);
	if (!v.key)
		return -ENOMEM;
	memcpy(v.key, key, key_len + 1);
	v.value = v.key + key_len + 1;
	memcpy(v.value, value, len);
	v.value[len] = '\0';
	values->v[values->n++] = v;
	return 0;
}

static int value_cmp(const void *a, const void *b)
{
	return strcmp(((const struct conf_value *)a)->key, ((const struct conf_value *)b)->key);
}

void conf_values_sort(struct conf_values *values)
{
	size_t i = 1;

	/* most stores list names in order */
	while (i < values->n && strcmp(values->v[i - 1].key, values->v[i].key) <= 0)
		i++;
	if (i < values->n)
		qsort(values->v, values->n, sizeof(*values->v), value_cmp);
}

const char *conf_values_get(const struct conf_values *values, const char *key)
{
	struct conf_value want = { .key = (char *)(uintptr_t)key };
	const struct conf_value *v;

	if (!values->n)
		return NULL;
	v = bsearch(&want, values->v, values->n, sizeof(want), value_cmp);
	return v && strlen(v->value) == v->len ? v->value : NULL;
}

void conf_values_fini(struct conf_values *values)
{
	size_t i;

	for (i = 0; i < values->n; i++)
		free(values->v[i].key);
	free(values->v);
	memset(values, 0, sizeof(*values));
}

void conf_snapshot_free(struct conf_snapshot *s)
{
	size_t i;

	if (!s)
		return;
	for (i = 0; i < s->n_devs; i++) {
		struct conf_dev *d = &s->devs[i];

		free(d->kind);
		free(d->path);
		free(d->backend);
		free(d->backend_kind);
		conf_values_fini(&d->libxl);
		conf_values_fini(&d->back);
	}
	free(s->devs);
	conf_values_fini(&s->domain);
	free(s->name);
	free(s->type);
	free(s);
}

const struct conf_dev *conf_snapshot_find(const struct conf_snapshot *s, const char *kind,
					  uint32_t devid)
{
	size_t i;

	for (i = 0; i < s->n_devs; i++)
		if (s->devs[i].devid == devid && !strcmp(s->devs[i].kind, kind))
			return &s->devs[i];
	return NULL;
}
