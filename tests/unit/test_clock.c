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

struct shared {
	pthread_mutex_t lock; /* of came */
	pthread_cond_t condition;
	bool came;
};

static void *signal_later(void *arg)
{
	struct shared *shared = arg;
	pthread_mutex_lock(&shared->lock);
	shared->came = true;
	pthread_cond_signal(&shared->condition);
	pthread_mutex_unlock(&shared->lock);
	return NULL;
}

TEST(a_wait_ends_at_its_moment_or_when_it_is_signalled)
{
	struct shared shared = { .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t thread;
	int64_t until_ms = clock_ms() + 60;
	clock_condition_init(&shared.condition);
	pthread_mutex_lock(&shared.lock);
	while (clock_condition_wait(&shared.condition, &shared.lock, until_ms))
		;
	assert_true(clock_ms() >= until_ms);
	assert_false(clock_condition_wait(&shared.condition, &shared.lock, until_ms));
	assert_int_equal(pthread_create(&thread, NULL, signal_later, &shared), 0);
	bool in_time = true;
	while (!shared.came && in_time)
		in_time = clock_condition_wait(&shared.condition, &shared.lock, clock_ms() + 60 * 1000);
	pthread_mutex_unlock(&shared.lock);
	assert_true(shared.came && in_time);
	pthread_join(thread, NULL);
	pthread_cond_destroy(&shared.condition);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_condition_waits_until_a_moment_of_the_monotonic_clock),
		cmocka_unit_test(a_wait_ends_at_its_moment_or_when_it_is_signalled),
	};
	return RUN(tests);
}
