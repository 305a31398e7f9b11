/* Health: a thread asks the keeper every few seconds, and a probe reads what it said last, so that probes cost
 * nothing however many there are. */
#ifndef PFXD_HEALTH_H
#define PFXD_HEALTH_H

#include <stdbool.h>

struct request;
struct keeper;
struct health;

enum { HEALTH_ASK_SECONDS = 2, HEALTH_ANSWER_SECONDS = 3, HEALTH_STALE_SECONDS = 15 };

/* Starts the thread; path is the keeper's socket, and kept. NULL when that fails. */
struct health *health_start(const char *path);
/* Ends it and frees. NULL is fine. */
void health_stop(struct health *h);

/* The routes of the health listener. */
int health_live(struct request *r, struct keeper *none);
int health_ready(struct request *r, struct keeper *none);
int health_summary(struct request *r, struct keeper *none);
int health_metrics(struct request *r, struct keeper *none);

#endif
