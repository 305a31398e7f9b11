/* The table of events, and the lines in which they are told. */
#include "logged.h"

#include "text.h"

#include <ctype.h>

/* ---- the table ---- */

static const struct {
	unsigned number;
	enum log_level level;
	const char *id, *sentence, *fields;
} table[] = {
#define E(name, number, level, id, sentence, fields) { number, LOG_LEVEL_##level, id, sentence, fields },
	EVENTS(E)
#undef E
};

TEST(every_number_is_one_event_and_they_stand_in_their_order)
{
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		assert_in_range(table[i].number, 1000, 3999);
		if (i > 0)
			assert_true(table[i].number > table[i - 1].number);
	}
}

TEST(every_message_id_is_32_digits_and_no_other_events)
{
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		assert_int_equal(strlen(table[i].id), 32);
		assert_int_equal(strspn(table[i].id, "0123456789abcdef"), 32);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(table[i].id, table[j].id);
	}
}

TEST(every_field_of_the_table_can_be_a_field_of_the_journal)
{
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		const char *fields = table[i].fields;
		assert_int_equal(strspn(fields, "abcdefghijklmnopqrstuvwxyz_ "), strlen(fields));
		assert_true(*fields == '\0' || (islower((unsigned char)*fields) && !strstr(fields, "  ")));
	}
}

TEST(the_numbers_that_administrators_know_mean_what_they_mean_elsewhere)
{
	LOGGED(log_event(EVENT_REQUEST_DONE, NULL); log_event(EVENT_REQUEST_FAILED, NULL);
	       log_event(EVENT_REENCRYPTED, NULL); log_event(EVENT_REENCRYPT_DELAYED, NULL);
	       log_event(EVENT_REENCRYPT_FAILED, NULL));
	assert_string_equal(logged, "test: 2000 request success\n"
				    "test: 2001 request failure\n"
				    "test: 2050 re-encrypted\n"
				    "test: 2051 re-encryption failed, and will be tried again\n"
				    "test: 2052 re-encryption failed for good\n");
}

/* ---- lines ---- */

TEST(a_line_is_a_number_a_sentence_and_fields)
{
	const struct log_field fields[] = { { "user", VIEW("ann"), LOG_PERSON }, { "empty", VIEW(""), LOG_PLAIN },
					    { "ms", VIEW("12"), LOG_PLAIN }, { 0 } };
	LOGGED(log_event(EVENT_REQUEST_DONE, fields));
	assert_string_equal(logged, "test: 2000 request success user=\"ann\" ms=\"12\"\n");
}

TEST(words_are_a_field_each)
{
	const struct log_field fields[] = { { "thumbprint", VIEW("aa bb c"), LOG_WORDS }, { 0 } };
	LOGGED(log_event(EVENT_REENCRYPTED, fields));
	assert_string_equal(logged, "test: 2050 re-encrypted thumbprint=\"aa\" thumbprint=\"bb\" thumbprint=\"c\"\n");
}

TEST(a_detail_reads_as_the_end_of_the_sentence)
{
	LOGGED(log_detail(EVENT_NOT_STARTED, "no socket named %s", "admin"));
	assert_string_equal(logged, "test: 1002 can not start: no socket named admin\n");
}

TEST(what_is_no_event_has_no_number)
{
	LOGGED(log_line(LOG_LEVEL_INFO, "%d", 7));
	assert_string_equal(logged, "test: 7\n");
}

TEST(a_line_below_the_level_is_not_written)
{
	log_set(LOG_LEVEL_WARNING, true);
	LOGGED(log_event(EVENT_SERVING, NULL); log_event_at(LOG_LEVEL_NOTICE, EVENT_NOT_STARTED, NULL);
	       log_detail(EVENT_RELOADED, "x"); log_line(LOG_LEVEL_NOTICE, "x"));
	assert_string_equal(logged, "");
	LOGGED(log_event(EVENT_NOT_DRAINED, NULL); log_event_at(LOG_LEVEL_WARNING, EVENT_SERVING, NULL);
	       log_detail(EVENT_NOT_READY, "x"); log_line(LOG_LEVEL_WARNING, "x"));
	assert_string_equal(logged, "test: 1007 some requests did not end in time\ntest: 1000 serving\n"
				    "test: 1053 not ready yet: x\ntest: x\n");
}

TEST(names_of_people_are_left_out_where_they_are_off)
{
	const struct log_field fields[] = { { "user", VIEW("ann"), LOG_PERSON }, { "id", VIEW("7"), LOG_PLAIN }, { 0 } };
	log_set(LOG_LEVEL_INFO, false);
	LOGGED(log_event(EVENT_REQUEST_DONE, fields));
	assert_string_equal(logged, "test: 2000 request success id=\"7\"\n");
}

TEST(a_value_can_not_end_its_field_or_its_line)
{
	const struct log_field fields[] = { { "user", VIEW("a\" b=\"c\\\n\x7f\0."), LOG_PLAIN }, { 0 } };
	LOGGED(log_event(EVENT_REQUEST_DONE, fields));
	assert_string_equal(logged, "test: 2000 request success user=\"a\\\" b=\\\"c\\\\\\x0a\\x7f\\x00.\"\n");
	LOGGED(log_detail(EVENT_NOT_STARTED, "one\ntwo"));
	assert_string_equal(logged, "test: 1002 can not start: one\\x0atwo\n");
}

TEST(what_is_not_utf_8_is_escaped_and_what_is_stays)
{
	const struct log_field fields[] = { { "user", VIEW("\xc3\xa4\xff\xc3(\xc2\x85\xe2\x82\xac\xf0\x9f\x98"), LOG_PLAIN },
					    { 0 } };
	LOGGED(log_event(EVENT_REQUEST_DONE, fields));
	assert_string_equal(logged, "test: 2000 request success user=\"\xc3\xa4\\xff\\xc3(\\xc2\\x85\xe2\x82\xac"
				    "\\xf0\\x9f\\x98\"\n");
}

/* Every length around the limit, of values that are escaped, and of characters of three bytes. */
TEST(a_line_is_never_longer_than_its_most_and_still_ends)
{
	static const struct { const char *unit; size_t bytes, escaped; } kinds[] = {
		{ "\1", 1, 4 }, { "\xe2\x82\xac", 3, 3 }, { "x", 1, 1 }, { "\"", 1, 2 },
	};
	char text[3 * LOG_LINE_MAX];
	for (size_t k = 0; k < COUNT_OF(kinds); k++) {
		for (size_t i = 0; i < sizeof text / kinds[k].bytes; i++)
			memcpy(text + i * kinds[k].bytes, kinds[k].unit, kinds[k].bytes);
		size_t most = LOG_LINE_MAX / kinds[k].escaped, longest = 0;
		for (size_t n = most - 60; n < most + 20; n++) {
			const struct log_field fields[] = { { "a", view_of(text, n * kinds[k].bytes), LOG_PLAIN },
							    { "b", VIEW("next"), LOG_PLAIN }, { 0 } };
			LOGGED(log_event(EVENT_SERVING, fields));
			size_t len = strlen(logged);
			assert_in_range(len, LOG_LINE_MAX / 2, LOG_LINE_MAX);
			assert_string_equal(logged + len - 2, "\"\n");
			assert_true(text_is_utf8(view_of(logged, len)));
			longest = len > longest ? len : longest;
		}
		assert_in_range(longest, LOG_LINE_MAX - 16, LOG_LINE_MAX);
	}
	memset(text, 'x', sizeof text);
	text[sizeof text - 1] = '\0';
	LOGGED(log_line(LOG_LEVEL_INFO, "%s", text));
	assert_in_range(strlen(logged), LOG_LINE_MAX / 2 - 10, LOG_LINE_MAX);
	assert_int_equal(logged[strlen(logged) - 1], '\n');
}

/* ---- under systemd ---- */

TEST(where_standard_error_is_the_journal_a_line_begins_with_its_priority)
{
	LOGGED(say_that_stderr_is_the_journal(0); log_init("test", LOG_LEVEL_INFO, true);
	       log_event(EVENT_PART_FAILED, NULL); log_line(LOG_LEVEL_INFO, "x"));
	assert_string_equal(logged, "<3>test: 3000 a part of the service failed\n<6>test: x\n");
}

TEST(a_file_is_not_the_journal_though_the_variable_was_inherited)
{
	static const char *const streams[] = { "", "1", "1:", "a:b", "1:2x" };
	LOGGED(say_that_stderr_is_the_journal(1); log_init("test", LOG_LEVEL_INFO, true);
	       log_line(LOG_LEVEL_INFO, "x"));
	assert_string_equal(logged, "test: x\n");
	for (size_t i = 0; i < COUNT_OF(streams); i++) {
		setenv("JOURNAL_STREAM", streams[i], 1);
		assert_false(log_is_journal());
	}
}

/* ---- sinks ---- */

static struct log_record seen;
static bool takes;

static bool sink(const struct log_record *record)
{
	seen = *record;
	seen.message = view_text(""); /* it lives no longer than the call */
	return takes;
}

TEST(a_sink_gets_the_record_and_what_it_does_not_take_becomes_a_line)
{
	log_set_sink(sink);
	for (int i = 0; i < 2; i++) {
		takes = i == 0;
		seen = (struct log_record){ 0 };
		LOGGED(log_event(EVENT_PEER_REFUSED, NULL));
		assert_string_equal(logged, takes ? "" : "test: 3013 a user who may not connect was turned away\n");
		assert_int_equal(seen.number, 3013);
		assert_int_equal(seen.level, LOG_LEVEL_WARNING);
		assert_int_equal(strlen(seen.message_id), 32);
	}
}

static int fresh(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	log_init("test", LOG_LEVEL_INFO, true);
	log_set_sink(NULL);
	return 0;
}

#define T(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_number_is_one_event_and_they_stand_in_their_order),
		T(every_message_id_is_32_digits_and_no_other_events),
		T(every_field_of_the_table_can_be_a_field_of_the_journal),
		T(the_numbers_that_administrators_know_mean_what_they_mean_elsewhere),
		T(a_line_is_a_number_a_sentence_and_fields),
		T(words_are_a_field_each),
		T(a_detail_reads_as_the_end_of_the_sentence),
		T(what_is_no_event_has_no_number),
		T(a_line_below_the_level_is_not_written),
		T(names_of_people_are_left_out_where_they_are_off),
		T(a_value_can_not_end_its_field_or_its_line),
		T(what_is_not_utf_8_is_escaped_and_what_is_stays),
		T(a_line_is_never_longer_than_its_most_and_still_ends),
		T(where_standard_error_is_the_journal_a_line_begins_with_its_priority),
		T(a_file_is_not_the_journal_though_the_variable_was_inherited),
		T(a_sink_gets_the_record_and_what_it_does_not_take_becomes_a_line),
	};
	return RUN(tests);
}
