/* What ends, and when: for root on the server and for /metrics. */
#ifndef PFXD_INSPECT_H
#define PFXD_INSPECT_H

#include "keeper.h"

enum { INSPECT_COUNT_SECONDS = 300, INSPECT_CHECK_SECONDS = 30 };

/* Counts the identities, for the status, and the device certificates that end soon, for /metrics. To count is to look
 * at all of them: it is done every INSPECT_COUNT_SECONDS, and of identities, which is quick, when one came or went. What
 * can not be counted now keeps its last number. On the thread of the health checks. */
void inspect_count(struct keeper *k);

/* Appends the ends as msg_health_metric. */
int inspect_put_metrics(struct keeper *k, struct buf *ret);

#endif
