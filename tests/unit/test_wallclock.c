/* The clock's limits, each at its edge, with a clock of the test's own. */
#include "keeper_fixture.h"

#include "../../daemon/keeper/wallclock.h"
#include "../../daemon/keeper/serve.h"

#include <time.h>

enum { NOW = 1700000000, DAY = 86400 };

static int64_t now, booted;

int64_t __wrap_now_seconds(void);
int64_t __wrap_now_seconds(void)
{
	return now;
}

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
	if (id != CLOCK_BOOTTIME)
		return __real_clock_gettime(id, t);
	*t = (struct timespec){ .tv_sec = booted };
	return 0;
}

static int append(struct connection *c, void *arg)
{
	const struct audit_record r = { .event = "token.create", .actor = VIEW("service"), .object = VIEW("x") };
	return audit_append(arg, c, &r);
}

static void record_at(struct fixture *f, int64_t at)
{
	now = at;
	assert_done(db_write(f->keeper.db, append, &f->keeper));
}

/* As a new process would find it. */
static void restart(struct fixture *f)
{
	atomic_store(&f->keeper.clock_mark, 0);
	atomic_store(&f->keeper.clock_before, 0);
	f->keeper.clock_looked_at = f->keeper.clock_looked_boot = 0;
	assert_done(wallclock_read(&f->keeper));
}

static int begin(void **state)
{
	now = NOW;
	booted = 1000;
	return fixture_make(state);
}

TEST(a_clock_may_be_behind_the_latest_record_by_so_much_and_no_more)
{
	struct fixture *f = *state;
	record_at(f, NOW);
	now = NOW - CLOCK_BEHIND_SECONDS;
	assert_done(wallclock_check(&f->keeper));
	assert_done(wallclock_look(&f->keeper));
	now--;
	assert_fault(wallclock_check(&f->keeper), UNAVAILABLE);
	assert_told("2023-11-14T22:13:20Z");
	assert_fault(wallclock_look(&f->keeper), UNAVAILABLE);
}

TEST(the_latest_time_is_not_forgotten_when_later_records_are_earlier)
{
	struct fixture *f = *state;
	record_at(f, NOW);
	for (int i = 1; i <= 5; i++) {
		record_at(f, NOW - i * CLOCK_BEHIND_SECONDS);
		restart(f);
		if (i > 1)
			assert_fault(wallclock_check(&f->keeper), UNAVAILABLE);
	}
	now = NOW;
	assert_done(wallclock_check(&f->keeper));
}

TEST(a_mark_that_this_service_did_not_write_counts_as_nothing)
{
	struct fixture *f = *state;
	record_at(f, NOW);
	record_at(f, NOW - DAY);
	restart(f);
	assert_fault(wallclock_check(&f->keeper), UNAVAILABLE);
	attack(f, "UPDATE meta SET value = CAST(x'00000000ffffffff0000000000000000' || substr(value, 17) AS BLOB) "
		  "WHERE name = 'clock'");
	restart(f);
	assert_done(wallclock_check(&f->keeper));
	attack(f, "UPDATE meta SET value = x'00' WHERE name = 'clock'");
	restart(f);
	assert_done(wallclock_check(&f->keeper));
}

TEST(a_jump_between_two_looks_is_one_above_its_limit)
{
	struct fixture *f = *state;
	record_at(f, NOW);
	assert_done(wallclock_look(&f->keeper));
	now += CLOCK_JUMP_SECONDS + 7;
	booted += 7;
	assert_done(wallclock_look(&f->keeper));
	now += CLOCK_JUMP_SECONDS + 8;
	booted += 7;
	assert_fault(wallclock_look(&f->keeper), UNAVAILABLE);
	assert_told("at once");
	/* Time that passed is no jump, however long. */
	restart(f);
	f->keeper.clock_before = 0;
	assert_done(wallclock_look(&f->keeper));
	now += 400 * DAY;
	booted += 400 * DAY;
	assert_done(wallclock_look(&f->keeper));
}

TEST(a_start_so_long_after_the_last_record_is_a_jump)
{
	struct fixture *f = *state;
	record_at(f, NOW);
	now = NOW + CLOCK_GAP_SECONDS;
	restart(f);
	assert_done(wallclock_look(&f->keeper));
	now++;
	restart(f);
	assert_fault(wallclock_look(&f->keeper), UNAVAILABLE);
	/* Records of the new time make no difference to the suspicion. */
	record_at(f, now);
	restart(f);
	assert_fault(wallclock_look(&f->keeper), UNAVAILABLE);
}

TEST(what_has_expired_under_suspicion_says_so)
{
	struct fixture *f = *state;
	record_at(f, NOW);
	assert_fault(wallclock_expired(&f->keeper, FAULT_TOKEN_EXPIRED, "it has expired"), TOKEN_EXPIRED);
	assert_string_equal(fault_detail(), "it has expired");
	now = NOW + CLOCK_GAP_SECONDS + 1;
	restart(f);
	assert_fault(wallclock_expired(&f->keeper, FAULT_TOKEN_EXPIRED, "it has expired"), TOKEN_EXPIRED);
	assert_told("it has expired; but the clock of the server went from 2023-11-14T22:13:20Z");
}

TEST(a_time_that_was_accepted_is_the_latest_for_good)
{
	struct fixture *f = *state;
	BUF answer = buf_of(1024);
	const struct caller root = { .actor = { .id = VIEW("root") } };
	record_at(f, NOW + 10 * DAY);
	record_at(f, NOW);
	assert_fault(wallclock_check(&f->keeper), UNAVAILABLE);
	assert_done(answer_clock_accept(&f->keeper, &root, VIEW(""), answer));
	assert_done(wallclock_check(&f->keeper));
	restart(f);
	assert_done(wallclock_check(&f->keeper));
	now -= CLOCK_BEHIND_SECONDS + 1;
	assert_fault(wallclock_check(&f->keeper), UNAVAILABLE);
	assert_int_equal(look_up(f, "SELECT count(*) FROM audit WHERE event = 'clock.accept'"), 1);
}

#define clock_test(name) cmocka_unit_test_setup_teardown(name, begin, fixture_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		clock_test(a_clock_may_be_behind_the_latest_record_by_so_much_and_no_more),
		clock_test(the_latest_time_is_not_forgotten_when_later_records_are_earlier),
		clock_test(a_mark_that_this_service_did_not_write_counts_as_nothing),
		clock_test(a_jump_between_two_looks_is_one_above_its_limit),
		clock_test(a_start_so_long_after_the_last_record_is_a_jump),
		clock_test(what_has_expired_under_suspicion_says_so),
		clock_test(a_time_that_was_accepted_is_the_latest_for_good),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
