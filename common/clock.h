/* The monotonic clock: for deadlines and pauses, which no change of the system's time may move. now_seconds() in text.h
 * is the other one. */
#ifndef PFXD_CLOCK_H
#define PFXD_CLOCK_H

#include <pthread.h>
#include <stdint.h>

/* Milliseconds of the monotonic clock. */
int64_t clock_ms(void);

/* Makes a condition whose pthread_cond_timedwait() waits until a moment of the monotonic clock. */
void clock_condition_init(pthread_cond_t *ret);

#endif
