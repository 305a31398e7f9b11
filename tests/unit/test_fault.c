/* The table of errors, the sentence of the thread, and the log lines that carry it. */
#include "unit.h"

#include "log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- faults ---- */

TEST(every_error_has_its_code_status_level_and_title)
{
#define F(name, status, code, level, title) \
	assert_int_equal(fault_status(-FAULT_##name), status); \
	assert_int_equal(fault_level(-FAULT_##name), level); \
	assert_string_equal(fault_code(-FAULT_##name), fault_is_public(-FAULT_##name) ? code : "internal"); \
	assert_true(strlen(fault_title(-FAULT_##name)) > 0);
	FAULTS(F)
#undef F
}

TEST(the_rooms_own_errors_are_internal_to_a_client)
{
	static const enum fault own[] = { FAULT_BAD_FRAME, FAULT_CLOSED, FAULT_TIMED_OUT, FAULT_AGAIN };
	for (size_t i = 0; i < COUNT_OF(own); i++) {
		assert_false(fault_is_public(-(int)own[i]));
		assert_int_equal(fault_status(-(int)own[i]), 500);
		assert_string_equal(fault_code(-(int)own[i]), "internal");
		assert_string_equal(fault_title(-(int)own[i]), fault_title(-FAULT_INTERNAL));
	}
	assert_true(fault_is_public(-FAULT_TAMPERED));
}

TEST(a_code_outside_the_table_is_internal)
{
	static const int codes[] = { 1, 1000, -FAULT_COUNT, -1000, INT32_MIN, INT32_MAX };
	for (size_t i = 0; i < COUNT_OF(codes); i++) {
		assert_int_equal(fault_status(codes[i]), 500);
		assert_string_equal(fault_code(codes[i]), "internal");
	}
}

TEST(failing_returns_the_code_and_keeps_the_sentence)
{
	assert_int_equal(fail(FAULT_NOT_FOUND, "there is no user %s", "ann"), -FAULT_NOT_FOUND);
	assert_string_equal(fault_detail(), "there is no user ann");
	assert_int_equal(fail(FAULT_CONFLICT, "%d%%", 7), -FAULT_CONFLICT);
	assert_string_equal(fault_detail(), "7%");
}

TEST(control_characters_never_reach_the_sentence)
{
	fail(FAULT_INTERNAL, "a\nb\rc\x1b[31md\x7f\t.");
	assert_string_equal(fault_detail(), "a?b?c?[31md??.");
}

TEST(a_sentence_is_cut_at_its_most_and_at_a_whole_character)
{
	char text[FAULT_DETAIL_MAX + 10];
	memset(text, 'x', sizeof text);
	text[FAULT_DETAIL_MAX - 1] = '\0';
	fail(FAULT_INTERNAL, "%s", text);
	assert_int_equal(strlen(fault_detail()), FAULT_DETAIL_MAX - 1);
	for (size_t at = FAULT_DETAIL_MAX - 6; at < FAULT_DETAIL_MAX + 1; at++) {
		memset(text, 'x', sizeof text);
		strcpy(text + at, "\xf0\x9f\x98\x80"); /* four bytes, across the end or not */
		fail(FAULT_INTERNAL, "%s", text);
		size_t len = strlen(fault_detail());
		bool fits = at + 4 < FAULT_DETAIL_MAX;
		assert_int_equal(len, fits ? at + 4 : at < FAULT_DETAIL_MAX - 1 ? at : FAULT_DETAIL_MAX - 1);
		assert_int_equal((unsigned char)fault_detail()[len - 1], fits ? 0x80 : 'x');
	}
}

static void *fail_elsewhere(void *arg)
{
	*(bool *)arg = fault_detail()[0] == '\0';
	fail(FAULT_INTERNAL, "there");
	return NULL;
}

TEST(each_thread_has_its_own_sentence_and_begins_with_none)
{
	pthread_t thread;
	bool was_empty = false;
	fail(FAULT_INTERNAL, "here");
	assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, &was_empty), 0);
	pthread_join(thread, NULL);
	assert_true(was_empty);
	assert_string_equal(fault_detail(), "here");
}

/* ---- log lines ---- */

static char logged[2 * LOG_LINE_MAX];

/* Runs the statement with standard error in a file, and keeps what was written in logged. */
#define LOGGED(statement) \
	do { \
		FILE *to = tmpfile(); \
		int before = dup(STDERR_FILENO); \
		assert_non_null(to); \
		dup2(fileno(to), STDERR_FILENO); \
		statement; \
		dup2(before, STDERR_FILENO); \
		close(before); \
		rewind(to); \
		logged[fread(logged, 1, sizeof logged - 1, to)] = '\0'; \
		fclose(to); \
	} while (0)

TEST(a_line_is_a_sentence_and_its_fields)
{
	const struct log_field fields[] = { { "user", VIEW("ann"), true }, { "empty", VIEW(""), false },
					    { "ms", VIEW("12"), false }, { 0 } };
	log_init("test", LOG_LEVEL_INFO, true);
	LOGGED(log_event(LOG_LEVEL_INFO, fields, "import %d", 201));
	assert_string_equal(logged, "test: import 201 user=\"ann\" ms=\"12\"\n");
}

TEST(a_line_below_the_level_is_not_written)
{
	log_init("test", LOG_LEVEL_WARNING, true);
	LOGGED(log_line(LOG_LEVEL_NOTICE, "quiet"));
	assert_string_equal(logged, "");
	LOGGED(log_line(LOG_LEVEL_WARNING, "loud"));
	assert_string_equal(logged, "test: loud\n");
}

TEST(names_of_people_are_left_out_where_they_are_off)
{
	const struct log_field fields[] = { { "user", VIEW("ann"), true }, { "id", VIEW("7"), false }, { 0 } };
	log_init("test", LOG_LEVEL_INFO, false);
	LOGGED(log_event(LOG_LEVEL_INFO, fields, "x"));
	assert_string_equal(logged, "test: x id=\"7\"\n");
}

TEST(a_value_can_not_end_its_field_or_its_line)
{
	const struct log_field fields[] = { { "user", VIEW("a\" b=\"c\\\n\x7f\0."), false }, { 0 } };
	log_init("test", LOG_LEVEL_INFO, true);
	LOGGED(log_event(LOG_LEVEL_INFO, fields, "one\ntwo"));
	assert_string_equal(logged, "test: one two user=\"a\\\" b=\\\"c\\\\\\x0a\\x7f\\x00.\"\n");
}

TEST(a_line_is_never_longer_than_its_most_and_still_ends)
{
	char text[3 * LOG_LINE_MAX];
	memset(text, '\1', sizeof text); /* four bytes each, once escaped */
	log_init("test", LOG_LEVEL_INFO, true);
	for (size_t len = LOG_LINE_MAX / 4 - 20; len < LOG_LINE_MAX / 4 + 20; len++) {
		const struct log_field fields[] = { { "a", view_of(text, len), false }, { "b", VIEW("next"), false },
						    { 0 } };
		LOGGED(log_event(LOG_LEVEL_INFO, fields, "x"));
		assert_in_range(strlen(logged), 1, LOG_LINE_MAX);
		assert_int_equal(logged[strlen(logged) - 1], '\n');
		assert_int_equal(logged[strlen(logged) - 2], '"');
	}
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	LOGGED(log_line(LOG_LEVEL_INFO, "%s", text));
	assert_in_range(strlen(logged), LOG_LINE_MAX / 2, LOG_LINE_MAX);
	assert_int_equal(logged[strlen(logged) - 1], '\n');
}

TEST(under_systemd_a_line_begins_with_its_priority)
{
	setenv("JOURNAL_STREAM", "1:2", 1);
	log_init("test", LOG_LEVEL_INFO, true);
	unsetenv("JOURNAL_STREAM");
	LOGGED(log_line(LOG_LEVEL_ERROR, "x"));
	assert_string_equal(logged, "<3>test: x\n");
}

int main(void)
{
	unsetenv("JOURNAL_STREAM");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_its_code_status_level_and_title),
		cmocka_unit_test(the_rooms_own_errors_are_internal_to_a_client),
		cmocka_unit_test(a_code_outside_the_table_is_internal),
		cmocka_unit_test(failing_returns_the_code_and_keeps_the_sentence),
		cmocka_unit_test(control_characters_never_reach_the_sentence),
		cmocka_unit_test(a_sentence_is_cut_at_its_most_and_at_a_whole_character),
		cmocka_unit_test(each_thread_has_its_own_sentence_and_begins_with_none),
		cmocka_unit_test(a_line_is_a_sentence_and_its_fields),
		cmocka_unit_test(a_line_below_the_level_is_not_written),
		cmocka_unit_test(names_of_people_are_left_out_where_they_are_off),
		cmocka_unit_test(a_value_can_not_end_its_field_or_its_line),
		cmocka_unit_test(a_line_is_never_longer_than_its_most_and_still_ends),
		cmocka_unit_test(under_systemd_a_line_begins_with_its_priority),
	};
	return RUN(tests);
}
