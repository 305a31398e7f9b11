/* What ends, and when: for root on the server and for /metrics. */
#ifndef PFXD_INSPECT_H
#define PFXD_INSPECT_H

#include "keeper.h"

enum { INSPECT_COUNT_SECONDS = 300, INSPECT_CHECK_SECONDS = 30 };

/* Counts the device certificates that end soon, unless that was done INSPECT_COUNT_SECONDS ago: it looks at all of
 * them. What can not be counted now keeps its last number. On the thread of the health checks. */
void inspect_count(struct keeper *k);

/* Appends the ends as msg_health_metric. */
int inspect_put_metrics(struct keeper *k, struct buf *ret);

#endif
