/* SPDX-License-Identifier: MIT */
/*
 * The verdict on one device: what conf_judge is made of.
 */
#ifndef DROVER_CONFIG_JUDGE_H
#define DROVER_CONFIG_JUDGE_H

#include "config/err.h"
#include "drover/config.h"

struct conf_domain;
struct conf_judged;

/*
 * Decides on g, whose class, id, entry, dev and intent are set: verdict, reason and its entries in
 * both views. -ENOMEM.
 */
int judge_device(const struct conf_domain *d, struct conf_judged *g, struct conf_err *err);

void judge_decide(struct conf_judged *g, enum drover_verdict verdict, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
