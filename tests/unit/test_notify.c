/* What a room tells systemd: each message as it goes out, and when the watchdog is fed. */
#include "unit.h"

#include "notify.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int ear = -1;

static int listen_as_manager(void **state)
{
	(void)state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int len = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "pfxd-test-notify-%ld", (long)getpid());
	char name[sizeof address.sun_path];
	ear = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	snprintf(name, sizeof name, "@%s", address.sun_path + 1);
	setenv("NOTIFY_SOCKET", name, 1);
	return bind(ear, (struct sockaddr *)&address, (socklen_t)(sizeof address.sun_family + 1 + (size_t)len));
}

/* The next message, or "" when there is none. */
static const char *heard(void)
{
	static char text[512];
	ssize_t len = recv(ear, text, sizeof text - 1, 0);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

static struct notify started(const char *usec, long pid)
{
	struct notify n;
	char number[24];
	snprintf(number, sizeof number, "%ld", pid);
	setenv("WATCHDOG_PID", number, 1);
	usec ? setenv("WATCHDOG_USEC", usec, 1) : unsetenv("WATCHDOG_USEC");
	notify_start(&n);
	return n;
}

TEST(a_status_is_told_when_it_is_another_and_not_too_often)
{
	struct notify n = started(NULL, getpid());
	notify_ready(&n);
	assert_string_equal(heard(), "READY=1");
	notify_status(&n, "serving, %d", 1);
	assert_string_equal(heard(), "STATUS=serving, 1");
	notify_status(&n, "serving, %d", 2);
	assert_string_equal(heard(), "");
	n.status_at_ms = 0; /* some seconds later */
	notify_status(&n, "serving, %d", 2);
	assert_string_equal(heard(), "STATUS=serving, 2");
	n.status_at_ms = 0;
	notify_status(&n, "serving, %d", 2);
	assert_string_equal(heard(), "");
}

TEST(a_status_of_any_length_is_told_in_part)
{
	struct notify n = started(NULL, getpid());
	char text[2 * NOTIFY_STATUS_MAX] = "";
	memset(text, 'x', sizeof text - 1);
	notify_status(&n, "%s", text);
	assert_int_equal(strlen(heard()), strlen("STATUS=") + NOTIFY_STATUS_MAX - 1);
}

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

TEST(a_reload_is_told_with_its_moment_of_the_monotonic_clock)
{
	uint64_t before = now_us(), us = 0;
	notify_reloading();
	assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%" SCNu64, &us), 1);
	assert_true(us >= before && us <= now_us());
}

TEST(an_end_is_told_with_a_status)
{
	notify_stopping("ending");
	assert_string_equal(heard(), "STOPPING=1\nSTATUS=ending");
}

TEST(a_watchdog_is_fed_three_times_in_its_time_by_who_is_alive)
{
	struct notify n = started("3000000", getpid());
	assert_int_equal(n.beat_every_ms, 1000);
	assert_false(notify_beat_is_due(&n));
	assert_in_range(notify_wait_ms(&n, 5000), 0, 1000);
	assert_int_equal(notify_wait_ms(&n, 0), 0);
	n.beat_at_ms = 0;
	assert_true(notify_beat_is_due(&n));
	assert_int_equal(notify_wait_ms(&n, 5000), 0);
	notify_beat(&n, true, "this");
	assert_string_equal(heard(), "WATCHDOG=1");
	assert_false(notify_beat_is_due(&n));
	n.beat_at_ms = 0;
	notify_beat(&n, false, "this");
	assert_string_equal(heard(), "");
	assert_false(notify_beat_is_due(&n));
	n.beat_at_ms = 0;
	notify_beat(&n, true, "this");
	assert_string_equal(heard(), "WATCHDOG=1");
}

TEST(a_watchdog_of_less_than_a_millisecond_is_fed_each_millisecond)
{
	struct notify n = started("2", getpid());
	assert_int_equal(n.beat_every_ms, 1);
}

TEST(without_a_watchdog_or_with_another_process_s_nothing_is_ever_due)
{
	struct notify none = started(NULL, getpid()), others = started("3000000", getpid() + 1L);
	assert_false(notify_beat_is_due(&none));
	assert_false(notify_beat_is_due(&others));
	assert_int_equal(notify_wait_ms(&none, 5000), 5000);
	assert_int_equal(notify_wait_ms(&others, 5000), 5000);
}

TEST(numbers_are_shown_with_commas_and_with_the_word_for_one)
{
	static const struct { uint64_t number; const char *text; } counts[] = {
		{ 0, "0 dogs" }, { 1, "1 dog" }, { 2, "2 dogs" }, { 999, "999 dogs" }, { 1000, "1,000 dogs" },
		{ 1204, "1,204 dogs" }, { 600000, "600,000 dogs" }, { 1234567, "1,234,567 dogs" },
		{ UINT64_MAX, "18,446,744,073,709,551,615 dogs" },
	};
	char text[NOTIFY_COUNT_MAX];
	for (size_t i = 0; i < COUNT_OF(counts); i++)
		assert_string_equal(notify_count(counts[i].number, "dog", "dogs", text), counts[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_status_is_told_when_it_is_another_and_not_too_often),
		cmocka_unit_test(a_status_of_any_length_is_told_in_part),
		cmocka_unit_test(a_reload_is_told_with_its_moment_of_the_monotonic_clock),
		cmocka_unit_test(an_end_is_told_with_a_status),
		cmocka_unit_test(a_watchdog_is_fed_three_times_in_its_time_by_who_is_alive),
		cmocka_unit_test(a_watchdog_of_less_than_a_millisecond_is_fed_each_millisecond),
		cmocka_unit_test(without_a_watchdog_or_with_another_process_s_nothing_is_ever_due),
		cmocka_unit_test(numbers_are_shown_with_commas_and_with_the_word_for_one),
	};
	return cmocka_run_group_tests(tests, listen_as_manager, NULL);
}
