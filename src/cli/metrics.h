/* SPDX-License-Identifier: MIT */
/*
 * Counters as OpenMetrics 1.0 text, which is also what Prometheus' older text format takes.
 */
#ifndef DROVER_CLI_METRICS_H
#define DROVER_CLI_METRICS_H

#include <stdio.h>

#include "cli/stats.h"

void cli_metrics_print(FILE *to, const struct cli_stats *s);

#endif
