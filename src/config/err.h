/* SPDX-License-Identifier: MIT */
/*
 * Failures of libdrover-config: a negative errno, and one line that says what and where. All
 * functions of this floor return 0 or such an errno; whoever fails first writes the line.
 */
#ifndef DROVER_CONFIG_ERR_H
#define DROVER_CONFIG_ERR_H

#include <stddef.h>

#define CONF_ERR_MAX 1024

struct conf_err {
	char text[CONF_ERR_MAX];
};

/* Writes the line (err may be NULL) and returns code, which is negative. */
int conf_fail(struct conf_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "WHERE: " before the line that is there, and returns code. */
int conf_fail_in(struct conf_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Memory is out: -ENOMEM. */
int conf_no_memory(struct conf_err *err);

#ifdef __clang_analyzer__
#define conf_fail(err, code, ...) ((void)(conf_fail)((err), (code), __VA_ARGS__), (code))
#define conf_fail_in(err, code, ...) ((void)(conf_fail_in)((err), (code), __VA_ARGS__), (code))
#define conf_no_memory(err) ((void)(conf_no_memory)(err), -12)
#endif

#endif
