/* SPDX-License-Identifier: MIT */
/*
 * Asking etcd, by libcurl, in the loop's thread pool. Invariant: a request is answered once, also
 * where no endpoint answered; what an endpoint that timed out may have done is found out by asking
 * again, since asking twice is the same as once.
 */
#include "hostd/arbiter.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/list.h"
#include "base/log.h"
#include "base/own.h"
#include "hostd/etcd.h"
#include "vmm/def.h"

#define ARBITER_LIBRARY "libcurl-gnutls.so.4"

/*
 * libcurl, loaded where an etcd is configured and nowhere else: with it come a dozen libraries, of
 * protocols that nobody here speaks.
 */
struct curl_api {
	__typeof__(curl_global_init) *global_init;
	__typeof__(curl_global_cleanup) *global_cleanup;
	__typeof__(curl_easy_init) *init;
	__typeof__(curl_easy_reset) *reset;
	__typeof__(curl_easy_setopt) *setopt;
	__typeof__(curl_easy_perform) *perform;
	__typeof__(curl_easy_getinfo) *getinfo;
	__typeof__(curl_easy_strerror) *strerror;
	__typeof__(curl_easy_cleanup) *cleanup;
};

struct arbiter {
	uv_loop_t *loop; /* borrowed */
	void *library;	 /* owned */
	struct curl_api curl;
	char *endpoints[ARBITER_ENDPOINTS_MAX];
	size_t n_endpoints;
	char *prefix, *ca_file, *cert_file, *key_file;
	uint32_t timeout_ms;
	size_t n_open; /* requests under way: they use all of the above */
	bool freed;    /* by its owner; the last request frees it */
};

struct ask {
	uv_work_t work;
	struct arbiter *arbiter; /* borrowed */
	struct mig_id id;
	struct etcd_request request;
	arbiter_done_fn *done;
	void *data;
	enum mig_arbiter result;
	char why[256]; /* of the last endpoint that did not answer */
	char answer[ETCD_ANSWER_MAX];
	size_t answer_len;
};

static void arbiter_destroy(struct arbiter *a)
{
	for (size_t i = 0; i < a->n_endpoints; i++)
		free(a->endpoints[i]);
	free(a->prefix);
	free(a->ca_file);
	free(a->cert_file);
	free(a->key_file);
	if (a->library) {
		a->curl.global_cleanup();
		dlclose(a->library);
	}
	free(a);
}

void arbiter_free(struct arbiter *a)
{
	if (!a)
		return;
	a->freed = true;
	if (!a->n_open)
		arbiter_destroy(a);
}

static int add_endpoint(struct arbiter *a, const char *word)
{
	size_t len = strlen(word);

	if (strncmp(word, "http://", 7) != 0 && strncmp(word, "https://", 8) != 0) {
		log_error("etcd endpoint \"%s\": neither http:// nor https://", word);
		return -EINVAL;
	}
	if (strchr(":/", *(strstr(word, "://") + 3))) {
		log_error("etcd endpoint \"%s\": no host", word);
		return -EINVAL;
	}
	if (a->n_endpoints == ARBITER_ENDPOINTS_MAX) {
		log_error("etcd endpoints: more than %u", ARBITER_ENDPOINTS_MAX);
		return -EINVAL;
	}
	while (len && word[len - 1] == '/')
		len--;
	a->endpoints[a->n_endpoints] = strndup(word, len);
	if (!a->endpoints[a->n_endpoints])
		return FAULT(-ENOMEM);
	a->n_endpoints++;
	return 0;
}

static int copy(char **to, const char *from)
{
	if (!from)
		return 0;
	*to = strdup(from);
	return *to ? 0 : FAULT(-ENOMEM);
}

static int take_options(struct arbiter *a, const struct arbiter_options *opt)
{
	int r = 0;

	for (size_t i = 0; i < opt->n_endpoints && !r; i++)
		r = add_endpoint(a, opt->endpoints[i]);
	if (!r && !a->n_endpoints) {
		log_error("etcd endpoints: none is named");
		r = -EINVAL;
	}
	r = r ? r : copy(&a->prefix, opt->prefix ? opt->prefix : "/drover");
	r = r ? r : copy(&a->ca_file, opt->ca_file);
	r = r ? r : copy(&a->cert_file, opt->cert_file);
	return r ? r : copy(&a->key_file, opt->key_file);
}

static int load_library(struct arbiter *a)
{
	const struct {
		const char *name;
		void *to;
	} functions[] = {
		{ "curl_global_init", &a->curl.global_init },
		{ "curl_global_cleanup", &a->curl.global_cleanup },
		{ "curl_easy_init", &a->curl.init },
		{ "curl_easy_reset", &a->curl.reset },
		{ "curl_easy_setopt", &a->curl.setopt },
		{ "curl_easy_perform", &a->curl.perform },
		{ "curl_easy_getinfo", &a->curl.getinfo },
		{ "curl_easy_strerror", &a->curl.strerror },
		{ "curl_easy_cleanup", &a->curl.cleanup },
	};
	void *library = dlopen(ARBITER_LIBRARY, RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; library && i < ARRAY_LEN(functions); i++) {
		void *f = dlsym(library, functions[i].name);

		memcpy(functions[i].to, &f, sizeof(f));
		if (!f) {
			dlclose(library);
			library = NULL;
		}
	}
	if (!library) {
		log_error("etcd is configured, and libcurl is needed for it: %s", dlerror());
		return -ENOENT;
	}
	a->curl.global_init(CURL_GLOBAL_DEFAULT);
	a->library = library;
	return 0;
}

int arbiter_new(uv_loop_t *loop, const struct arbiter_options *opt, struct arbiter **ret)
{
	struct arbiter *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return FAULT(-ENOMEM);
	a->loop = loop;
	a->timeout_ms = opt->timeout_ms ? opt->timeout_ms : 2000;
	r = take_options(a, opt);
	r = r ? r : load_library(a);
	if (r) {
		arbiter_destroy(a);
		return r;
	}
	*ret = a;
	return 0;
}

/* libcurl's: takes size * n octets, or fewer where they are too many, which ends the transfer. */
static size_t on_octets(char *data, size_t size, size_t n, void *arg)
{
	struct ask *q = arg;
	size_t len = size * n;

	if (len > sizeof(q->answer) - q->answer_len)
		return 0;
	memcpy(q->answer + q->answer_len, data, len);
	q->answer_len += len;
	return len;
}

static void set_tls(const struct arbiter *a, CURL *curl)
{
	const struct curl_api *api = &a->curl;

	if (a->ca_file)
		api->setopt(curl, CURLOPT_CAINFO, a->ca_file);
	if (a->cert_file)
		api->setopt(curl, CURLOPT_SSLCERT, a->cert_file);
	if (a->key_file)
		api->setopt(curl, CURLOPT_SSLKEY, a->key_file);
}

/* Posts body, which is freed, and has the answer in q. False: none came, and q->why says why. */
static bool post(struct ask *q, CURL *curl, const char *endpoint, const char *path, char *body)
{
	const struct arbiter *a = q->arbiter;
	const struct curl_api *api = &a->curl;
	CURLcode r = CURLE_OUT_OF_MEMORY;
	char url[1024];
	long status = 0;

	snprintf(url, sizeof(url), "%s%s", endpoint, path);
	q->answer_len = 0;
	api->reset(curl);
	api->setopt(curl, CURLOPT_URL, url);
	api->setopt(curl, CURLOPT_NOSIGNAL, 1L);
	api->setopt(curl, CURLOPT_NOPROXY, "*");
	api->setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	api->setopt(curl, CURLOPT_TIMEOUT_MS, (long)a->timeout_ms);
	api->setopt(curl, CURLOPT_WRITEFUNCTION, on_octets);
	api->setopt(curl, CURLOPT_WRITEDATA, q);
	set_tls(a, curl);
	if (body) {
		api->setopt(curl, CURLOPT_POSTFIELDS, body);
		r = api->perform(curl);
	}
	if (r == CURLE_OK)
		api->getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (r != CURLE_OK || status != 200)
		snprintf(q->why, sizeof(q->why), "%s: %s, status %ld", endpoint, api->strerror(r),
			 status);
	free(body);
	return r == CURLE_OK && status == 200;
}

/* Asks one endpoint; MIG_ARB_UNREACHABLE: it gave no answer, q->why says why. */
static enum mig_arbiter ask_endpoint(struct ask *q, CURL *curl, const char *endpoint)
{
	struct etcd_request *r = &q->request;
	enum mig_arbiter found;

	if (!r->compare) {
		if (!post(q, curl, endpoint, ETCD_READ_PATH, etcd_read_body(r)))
			return MIG_ARB_UNREACHABLE;
		found = etcd_read_answer(r, q->answer, q->answer_len, q->why, sizeof(q->why));
		if (found != MIG_ARB_IS_OTHER)
			return found;
	}
	if (!post(q, curl, endpoint, ETCD_WRITE_PATH, etcd_request_body(r)))
		return MIG_ARB_UNREACHABLE;
	return etcd_answer_read(r, q->answer, q->answer_len, q->why, sizeof(q->why));
}

/* In a thread of the pool: touches the request and what of the arbiter never changes. */
static void on_work(uv_work_t *work)
{
	struct ask *q = CONTAINER_OF(work, struct ask, work);
	const struct curl_api *api = &q->arbiter->curl;
	CURL *curl = api->init();

	q->result = MIG_ARB_UNREACHABLE;
	snprintf(q->why, sizeof(q->why), "no memory");
	for (size_t i = 0; curl && i < q->arbiter->n_endpoints; i++) {
		q->result = ask_endpoint(q, curl, q->arbiter->endpoints[i]);
		if (q->result != MIG_ARB_UNREACHABLE)
			break;
	}
	if (curl)
		api->cleanup(curl);
}

static void on_done(uv_work_t *work, int status)
{
	struct ask *q = CONTAINER_OF(work, struct ask, work);
	struct arbiter *a = q->arbiter;

	a->n_open--;
	if (a->freed) {
		if (!a->n_open)
			arbiter_destroy(a);
	} else {
		if (status || q->result == MIG_ARB_UNREACHABLE)
			log_warning("etcd gave no answer: %s", q->why);
		q->done(q->data, &q->id, status ? MIG_ARB_UNREACHABLE : q->result);
	}
	free(q);
}

int arbiter_ask(struct arbiter *a, const struct mig_effect *e, arbiter_done_fn *done, void *data)
{
	struct ask *q = calloc(1, sizeof(*q));
	char uuid[DEF_UUID_TEXT];

	if (!q)
		return FAULT(-ENOMEM);
	q->arbiter = a;
	q->id = e->id;
	q->done = done;
	q->data = data;
	def_uuid_print(e->row->uuid, uuid);
	snprintf(q->request.key, sizeof(q->request.key), "%s/owner/%s", a->prefix, uuid);
	q->request.compare = !e->put;
	memcpy(q->request.from.host, e->from.host, sizeof(q->request.from.host));
	q->request.from.epoch = e->from.epoch;
	memcpy(q->request.to.host, e->to.host, sizeof(q->request.to.host));
	q->request.to.epoch = e->to.epoch;
	if (uv_queue_work(a->loop, &q->work, on_work, on_done)) {
		free(q);
		return FAULT(-ENOMEM);
	}
	a->n_open++;
	return 0;
}
