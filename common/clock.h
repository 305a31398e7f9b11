/* The monotonic clock: for deadlines and pauses, which no change of the system's time may move. now_seconds() in text.h
 * is the other one. */
#ifndef PFXD_CLOCK_H
#define PFXD_CLOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* Milliseconds of the monotonic clock. */
int64_t clock_ms(void);

/* Makes a condition for clock_condition_wait(). */
void clock_condition_init(pthread_cond_t *ret);
/* Waits until the condition is signalled, or for no reason; lock is held. False once clock_ms() is until_ms. */
bool clock_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_ms);

#endif
