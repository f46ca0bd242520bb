/* SPDX-License-Identifier: MIT */
/*
 * Files of saved guests as the daemon reads them: a thread opens the file and reads head,
 * definition and the store's part; the loop judges the definition. Invariant: an image that is
 * handed out has a definition of the uuid that its head has.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own.h"
#include "hostd/save_own.h"
#include "hostd/xml.h"
#include "migrate/migrate.h"
#include "rpc/error.h"

/* One file being looked at. */
struct save_read {
	struct list link;
	struct host *host; /* NULL: the daemon ends, nobody is told */
	uv_work_t work;
	struct save_image *image; /* owned */
	uint8_t *old_xml;	  /* owned */
	char *xml;		  /* owned: to be its definition; NULL: it is only read */
	int run;		  /* whether it is to run; -1: as it was */
	bool writing;		  /* the definition was judged */
	save_image_fn *done;
	void *data;
	int err;
	char why[VMM_ERROR_MAX];
};

DEFINE_CLEANUP(struct guest_def *, def_free)

void save_image_free(struct save_image *image)
{
	if (!image)
		return;
	if (image->fd >= 0)
		close(image->fd);
	def_free(image->def);
	free(image->store);
	free(image->path);
	free(image);
}

static void read_free(struct save_read *r)
{
	list_remove(&r->link);
	save_image_free(r->image);
	free(r->old_xml);
	free(r->xml);
	free(r);
}

void save_reads_drop(struct saves *all)
{
	struct save_read *r;

	/* Their threads end by themselves, and what they made is freed then. */
	list_for_each(r, &all->reads, link) {
		list_remove(&r->link);
		r->host = NULL;
	}
}

/* ---- in a thread ---- */

static void open_image(struct save_read *r)
{
	struct save_image *i = r->image;

	r->err = save_file_open(i->path, r->xml != NULL, &i->fd, &i->head, r->why, sizeof(r->why));
	if (!r->err)
		r->err = save_file_read(i->fd, &i->head.xml, XML_SIZE_MAX, "its definition",
					&r->old_xml, r->why, sizeof(r->why));
	if (!r->err)
		r->err = save_file_read(i->fd, &i->head.store, MIG_BLOB_MAX,
					"its part of the store", &i->store, r->why, sizeof(r->why));
}

static void on_work(uv_work_t *work)
{
	struct save_read *r = CONTAINER_OF(work, struct save_read, work);

	if (r->writing)
		r->err = save_file_define(r->image->fd, &r->image->head, r->xml, strlen(r->xml),
					  r->why, sizeof(r->why));
	else
		open_image(r);
}

/* ---- on the loop ---- */

static void tell(struct save_read *r, int code)
{
	char why[VMM_ERROR_MAX + SAVE_PATH_MAX] = "";

	if (code)
		snprintf(why, sizeof(why), "%s: %s", r->image->path, r->why);
	r->done(r->data, code || r->xml ? NULL : TAKE(r->image), code, why);
	hostd_wake(r->host);
	read_free(r);
}

/* What the file says it is. 0 or a code, with r->why. */
static int judge(struct save_read *r)
{
	struct save_image *i = r->image;
	size_t len = (size_t)i->head.xml.len;
	struct xml_error err;
	int e;

	if (memchr(r->old_xml, '\0', len)) {
		snprintf(r->why, sizeof(r->why), "its definition is no text");
		return RPC_ERR_XML_DETAIL;
	}
	e = xml_parse((const char *)r->old_xml, len, NULL, NULL, &i->def, &err);
	if (e) {
		snprintf(r->why, sizeof(r->why), "its definition: %.400s",
			 e < 0 ? "no memory" : err.text);
		return e < 0 ? RPC_ERR_NO_MEMORY : err.code;
	}
	if (!memcmp(i->def->uuid, i->head.uuid, DEF_UUID_SIZE))
		return 0;
	snprintf(r->why, sizeof(r->why), "its definition is another domain's");
	return RPC_ERR_OPERATION_FAILED;
}

/* Whether what it is to be defined as is the same machine. */
static int judge_new(struct save_read *r)
{
	CLEANUP(def_free) struct guest_def *def = NULL;
	struct xml_error err;
	char *text = NULL;
	int e = xml_parse(r->xml, strlen(r->xml), NULL, NULL, &def, &err);

	if (!e)
		e = xml_check_abi(r->image->def, def, &err);
	if (!e)
		e = xml_print(def, -1, XML_MIGRATABLE | XML_SECURE, &text);
	if (e) {
		snprintf(r->why, sizeof(r->why), "%s", e < 0 ? "no memory" : err.text);
		return e < 0 ? RPC_ERR_NO_MEMORY : err.code;
	}
	free(r->xml);
	r->xml = text;
	if (r->run >= 0)
		r->image->head.running = r->run;
	return 0;
}

static void on_worked(uv_work_t *work, int status)
{
	struct save_read *r = CONTAINER_OF(work, struct save_read, work);
	int code;

	if (!r->host) {
		read_free(r);
		return;
	}
	code = save_code(status ? -ECANCELED : r->err);
	if (code && !r->why[0])
		snprintf(r->why, sizeof(r->why), "%s", strerror(r->err < 0 ? -r->err : r->err));
	if (!code && !r->writing)
		code = judge(r);
	if (!code && r->xml && !r->writing)
		code = judge_new(r);
	if (!code && r->xml && !r->writing) {
		r->writing = true;
		if (!uv_queue_work(r->host->loop, &r->work, on_work, on_worked))
			return;
		code = RPC_ERR_NO_MEMORY;
	}
	tell(r, code);
}

static void begin(struct host *h, const char *path, const char *xml, int run, save_image_fn *done,
		  void *data)
{
	struct save_read *r = calloc(1, sizeof(*r));
	struct save_image *i = calloc(1, sizeof(*i));

	if (!r || !i) {
		free(r);
		free(i);
		done(data, NULL, RPC_ERR_NO_MEMORY, "no memory");
		return;
	}
	list_init(&r->link);
	list_append(&h->saves->reads, &r->link);
	r->host = h;
	r->image = i;
	r->run = run;
	r->done = done;
	r->data = data;
	i->fd = -1;
	i->path = strdup(path);
	r->xml = xml ? strdup(xml) : NULL;
	if (i->path && (r->xml || !xml) && !uv_queue_work(h->loop, &r->work, on_work, on_worked))
		return;
	read_free(r);
	done(data, NULL, RPC_ERR_NO_MEMORY, "no memory");
}

void save_image_read(struct host *h, const char *path, save_image_fn *done, void *data)
{
	begin(h, path, NULL, -1, done, data);
}

void save_image_define(struct host *h, const char *path, const char *xml, int run,
		       save_image_fn *done, void *data)
{
	begin(h, path, xml, run, done, data);
}
