/* SPDX-License-Identifier: MIT */
/*
 * What libxl says: all of it goes to standard error, which is the guest's log; the last error is
 * kept, to be the text that a client is shown; and what its helper says of its progress is kept as
 * numbers. Called from whatever function of libxl's is on the stack, on one thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "vmm/xl/xlguest.h"

static struct xlguest_log *log_of(xentoollog_logger *logger)
{
	return (struct xlguest_log *)(void *)logger;
}

static void print(const char *level, const char *context, const char *text)
{
	struct timespec ts;
	struct tm tm;
	char when[32];

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	fprintf(stderr, "%s.%03ldZ %s: %s: %s\n", when, ts.tv_nsec / 1000000,
		context ? context : "xl", level, text);
}

__attribute__((format(printf, 5, 0))) static void on_message(xentoollog_logger *logger,
							     xentoollog_level level, int errnoval,
							     const char *context,
							     const char *format, va_list al)
{
	struct xlguest_log *l = log_of(logger);
	char text[AGENT_TEXT_MAX];
	int n;

	if (level < XTL_INFO)
		return;
	n = vsnprintf(text, sizeof(text), format, al);
	if (errnoval >= 0 && n >= 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, ": %s", strerror(errnoval));
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
	print(xtl_level_to_string(level), context, text);
	/* those that follow the first one say that something failed because of it */
	if (level >= XTL_ERROR && !*l->error)
		memcpy(l->error, text, sizeof(l->error));
}

/* "Frames iteration 3": each iteration counts from 0. */
static void on_progress(xentoollog_logger *logger, const char *context, const char *doing,
			int percent, unsigned long done, unsigned long total)
{
	struct xlguest_log *l = log_of(logger);
	const char *iteration = doing ? strstr(doing, "iteration ") : NULL;

	(void)context;
	(void)percent;
	if (iteration)
		l->iteration = (uint32_t)strtoul(iteration + strlen("iteration "), NULL, 10);
	else if (done < l->frames)
		l->iteration++;
	l->frames = done;
	l->frames_total = total;
}

static void on_destroy(xentoollog_logger *logger)
{
	(void)logger;
}

void xlguest_log_init(struct xlguest_log *l)
{
	l->logger.vmessage = on_message;
	l->logger.progress = on_progress;
	l->logger.destroy = on_destroy;
}

void xlguest_log_reset(struct xlguest_log *l)
{
	l->error[0] = '\0';
	l->frames = l->frames_total = 0;
	l->iteration = 0;
}

const char *xlguest_log_why(const struct xlguest_log *l, const char *otherwise)
{
	return *l->error ? l->error : otherwise;
}

int xlguest_errno(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case ERROR_NOMEM:
		return -ENOMEM;
	case ERROR_INVAL:
		return -EINVAL;
	case ERROR_NOPARAVIRT:
		return -EOPNOTSUPP;
	case ERROR_TIMEDOUT:
	case ERROR_GUEST_TIMEDOUT:
		return -ETIMEDOUT;
	case ERROR_ABORTED:
		return -ECANCELED;
	case ERROR_DOMAIN_NOTFOUND:
		return -ENOTCONN;
	default:
		return -EIO;
	}
}
