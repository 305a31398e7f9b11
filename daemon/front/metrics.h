/* Counters of answers, by route and class of status. No names, no addresses. */
#ifndef PFXD_METRICS_H
#define PFXD_METRICS_H

#include "buf.h"

struct route;
struct metrics;

/* NULL without memory. */
struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* Counts one answer; route NULL: to a path or method that there is not. Any thread. */
void metrics_count(struct metrics *m, const struct route *route, int status);

/* Appends them in the text form of Prometheus. */
void metrics_write(const struct metrics *m, struct buf *ret);

#endif
