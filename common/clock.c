/* The monotonic clock. Every room. */
#include "clock.h"

#include <time.h>

int64_t clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void clock_condition_init(pthread_cond_t *ret)
{
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(ret, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

bool clock_condition_wait(pthread_cond_t *condition, pthread_mutex_t *lock, int64_t until_ms)
{
	const struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000 };
	/* The clock decides and not what the wait returns, which may be early where something plays with the time. */
	pthread_cond_timedwait(condition, lock, &until);
	return clock_ms() < until_ms;
}
