/* UTF-8, UUIDs, times and numbers from outside. */
#include "unit.h"

#include "text.h"

#include <stdio.h>

TEST(text_in_every_length_of_utf_8_is_clean)
{
	assert_true(text_is_clean(VIEW("")));
	assert_true(text_is_clean(VIEW(" plain ~")));
	assert_true(
		text_is_clean(VIEW("\xc2\xa0 \xdf\xbf \xe0\xa0\x80 \xef\xbf\xbf \xf0\x90\x80\x80 \xf4\x8f\xbf\xbf")));
	assert_true(text_is_clean(VIEW("\xed\x9f\xbf\xee\x80\x80"))); /* the neighbours of the surrogates */
}

TEST(control_characters_are_not_clean)
{
	char one[] = "aXb";
	for (int c = 0; c < 0x20; c++) {
		one[1] = (char)c;
		assert_false(text_is_clean(VIEW(one)));
	}
	assert_false(text_is_clean(VIEW("a\x7f")));
	assert_false(text_is_clean(VIEW("\xc2\x80")));
	assert_false(text_is_clean(VIEW("\xc2\x9f")));
}

TEST(what_is_not_well_formed_utf_8_is_not_clean)
{
	static const char *const wrong[] = {
		"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", /* longer than needed */
		"\xed\xa0\x80", "\xed\xbf\xbf",                        /* surrogates */
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfe", "\xff",
		"\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc3(", "\xe2(\xa1", "\xe2\x82(", "\xf0\x9f\x98(",
	};
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_false(text_is_clean(view_text(wrong[i])));
}

TEST(well_formed_utf_8_may_hold_control_characters)
{
	assert_true(text_is_utf8(VIEW("a\n\0\x7f\xc2\x80")));
	assert_false(text_is_utf8(VIEW("a\xc2")));
	assert_true(text_is_utf8(VIEW("")));
}

TEST(a_sequence_is_told_with_its_length_and_code_point)
{
	uint32_t code;
	assert_int_equal(text_sequence(VIEW("ab"), &code), 1);
	assert_int_equal(code, 'a');
	assert_int_equal(text_sequence(VIEW("\xe2\x82\xac."), &code), 3);
	assert_int_equal(code, 0x20ac);
	assert_int_equal(text_sequence(VIEW("\xf4\x8f\xbf\xbf"), &code), 4);
	assert_int_equal(code, 0x10ffff);
	assert_int_equal(text_sequence(VIEW("\xe2\x82"), &code), 0);
}

TEST(a_copy_takes_what_fits_with_its_end)
{
	char four[5];
	assert_true(text_copy(VIEW("1234"), four, sizeof four));
	assert_string_equal(four, "1234");
	assert_false(text_copy(VIEW("12345"), four, sizeof four));
	assert_false(text_copy(VIEW("1\0" "2"), four, sizeof four));
	assert_true(text_copy(view_of(NULL, 0), four, sizeof four));
	assert_string_equal(four, "");
}

TEST(a_uuid_that_was_made_is_valid_random_and_of_version_4)
{
	char a[UUID_TEXT + 1], b[UUID_TEXT + 1];
	for (int i = 0; i < 100; i++) {
		uuid_make(a);
		uuid_make(b);
		assert_true(uuid_is_valid(view_text(a)));
		assert_int_equal(a[14], '4');
		assert_non_null(strchr("89ab", a[19]));
		assert_string_not_equal(a, b);
	}
}

TEST(what_only_looks_like_a_uuid_is_none)
{
	static const char *const wrong[] = {
		"", "0123456789abcdef0123456789abcdef0123", "01234567-89ab-4def-8123-456789abcde",
		"01234567-89ab-4def-8123-456789abcdef0", "01234567-89AB-4DEF-8123-456789ABCDEF",
		"01234567-89ab-4def-8123-456789abcdeg", "01234567_89ab-4def-8123-456789abcdef",
		"{1234567-89ab-4def-8123-456789abcde}", "0123456--89ab-4def-8123-456789abcdef",
	};
	assert_true(uuid_is_valid(VIEW("01234567-89ab-4def-8123-456789abcdef")));
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_false(uuid_is_valid(view_text(wrong[i])));
	assert_false(uuid_is_valid(VIEW("01234567-89ab-4def-8123-456789abcd\0f")));
}

TEST(times_are_rfc_3339_in_utc)
{
	static const struct { int64_t at; const char *text; } times[] = {
		{ 0, "1970-01-01T00:00:00Z" }, { -1, "1969-12-31T23:59:59Z" }, { 951782400, "2000-02-29T00:00:00Z" },
		{ 4102444799, "2099-12-31T23:59:59Z" }, { 2147483648, "2038-01-19T03:14:08Z" },
		{ 253402300799, "9999-12-31T23:59:59Z" }, { 253402300800, "9999-12-31T23:59:59Z" },
		{ INT64_MAX, "9999-12-31T23:59:59Z" }, { -62167219200, "0000-01-01T00:00:00Z" },
		{ INT64_MIN, "0000-01-01T00:00:00Z" },
	};
	char text[TIME_TEXT + 1];
	for (size_t i = 0; i < COUNT_OF(times); i++) {
		time_format(times[i].at, text);
		assert_string_equal(text, times[i].text);
	}
}

TEST(a_number_is_taken_up_to_its_most)
{
	uint64_t n;
	assert_true(number_parse(VIEW("0"), 0, &n) && n == 0);
	assert_true(number_parse(VIEW("600"), 600, &n) && n == 600);
	assert_true(number_parse(VIEW("007"), 7, &n) && n == 7);
	assert_true(number_parse(VIEW("18446744073709551615"), UINT64_MAX, &n) && n == UINT64_MAX);
	assert_false(number_parse(VIEW("601"), 600, &n));
	assert_false(number_parse(VIEW("18446744073709551616"), UINT64_MAX, &n));
	assert_false(number_parse(VIEW("99999999999999999999"), UINT64_MAX, &n));
}

TEST(what_is_not_only_digits_is_no_number)
{
	static const char *const wrong[] = { "", " 1", "1 ", "+1", "-1", "0x1", "1.0", "1e3", "\xd9\xa1",
					     "000000000000000000001" };
	uint64_t n = 42;
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_false(number_parse(view_text(wrong[i]), UINT64_MAX, &n));
	assert_false(number_parse(VIEW("1\0"), UINT64_MAX, &n));
	assert_int_equal(n, 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_in_every_length_of_utf_8_is_clean),
		cmocka_unit_test(control_characters_are_not_clean),
		cmocka_unit_test(what_is_not_well_formed_utf_8_is_not_clean),
		cmocka_unit_test(well_formed_utf_8_may_hold_control_characters),
		cmocka_unit_test(a_sequence_is_told_with_its_length_and_code_point),
		cmocka_unit_test(a_copy_takes_what_fits_with_its_end),
		cmocka_unit_test(a_uuid_that_was_made_is_valid_random_and_of_version_4),
		cmocka_unit_test(what_only_looks_like_a_uuid_is_none),
		cmocka_unit_test(times_are_rfc_3339_in_utc),
		cmocka_unit_test(a_number_is_taken_up_to_its_most),
		cmocka_unit_test(what_is_not_only_digits_is_no_number),
	};
	return RUN(tests);
}
