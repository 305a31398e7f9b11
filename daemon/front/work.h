/* Workers: threads that wait for the keeper, so that the threads that do HTTP never do. */
#ifndef PFXD_WORK_H
#define PFXD_WORK_H

#include <stdbool.h>

struct request;
struct work;

enum { QUEUE_PER_WORKER = 32, WORK_STACK_BYTES = 1024 * 1024 /* a body may be nested as deep as jansson allows */ };

/* Starts threads, each with a connection of its own to the keeper's socket at path, which is kept. NULL when that
 * fails; what was started by then ends with the process. */
struct work *work_start(const char *path, unsigned threads);

/* Suspends r's connection and hands r over; it is resumed with r answered. False when the queue is full. */
bool work_submit(struct work *w, struct request *r);

/* Ends the threads once the queue is empty, and frees. NULL is fine. */
void work_stop(struct work *w);

#endif
