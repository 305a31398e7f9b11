/* The monotonic clock, and conditions that wait by it. */
#include "unit.h"

#include "clock.h"

#include <errno.h>
#include <time.h>

TEST(a_condition_waits_until_a_moment_of_the_monotonic_clock)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t condition;
	int64_t until_ms = clock_ms() + 60;
	const struct timespec until = { .tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000 };
	int rc = 0;
	clock_condition_init(&condition);
	pthread_mutex_lock(&lock);
	while (rc == 0) /* one may wake without a reason */
		rc = pthread_cond_timedwait(&condition, &lock, &until);
	pthread_mutex_unlock(&lock);
	assert_int_equal(rc, ETIMEDOUT);
	/* By the system's clock that moment was over before it began to wait. */
	assert_true(clock_ms() >= until_ms);
	pthread_cond_destroy(&condition);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_condition_waits_until_a_moment_of_the_monotonic_clock),
	};
	return RUN(tests);
}
