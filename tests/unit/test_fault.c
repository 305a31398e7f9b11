/* The table of errors, and the sentence of the thread. */
#include "unit.h"

#include <pthread.h>

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

TEST(what_is_about_the_service_itself_is_told_apart_from_what_a_client_sent)
{
	static const enum fault own[] = { FAULT_INTERNAL, FAULT_UNAVAILABLE, FAULT_TAMPERED, FAULT_BAD_FRAME,
					  FAULT_AGAIN };
	static const enum fault others[] = { FAULT_MALFORMED_REQUEST, FAULT_NOT_FOUND, FAULT_CONFLICT,
					     FAULT_WRONG_PASSWORD, FAULT_RATE_LIMITED };
	for (size_t i = 0; i < COUNT_OF(own); i++)
		assert_true(fault_is_own(-(int)own[i]));
	for (size_t i = 0; i < COUNT_OF(others); i++)
		assert_false(fault_is_own(-(int)others[i]));
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

TEST(what_is_not_text_never_reaches_the_sentence)
{
	fail(FAULT_INTERNAL, "a\xff" "b\xc3(\xe2\x82 \xc0\xaf \xed\xa0\x80 \xc2\x9b" "c\u00e9\U0001f600");
	assert_string_equal(fault_detail(), "a?b?(?? ?? ??? ??c\u00e9\U0001f600");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_its_code_status_level_and_title),
		cmocka_unit_test(the_rooms_own_errors_are_internal_to_a_client),
		cmocka_unit_test(what_is_about_the_service_itself_is_told_apart_from_what_a_client_sent),
		cmocka_unit_test(a_code_outside_the_table_is_internal),
		cmocka_unit_test(failing_returns_the_code_and_keeps_the_sentence),
		cmocka_unit_test(control_characters_never_reach_the_sentence),
		cmocka_unit_test(what_is_not_text_never_reaches_the_sentence),
		cmocka_unit_test(a_sentence_is_cut_at_its_most_and_at_a_whole_character),
		cmocka_unit_test(each_thread_has_its_own_sentence_and_begins_with_none),
	};
	return RUN(tests);
}
