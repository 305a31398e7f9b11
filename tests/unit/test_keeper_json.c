/* The JSON that the keeper writes. */
#include "unit.h"

#include "../../daemon/keeper/json.h"

TEST(objects_and_arrays_get_their_commas)
{
	BUF b = buf_of(1000);
	json_begin(b, '{');
	json_name(b, "a");
	json_begin(b, '[');
	json_string(b, VIEW("one"));
	json_string(b, VIEW("two"));
	json_begin(b, '{');
	json_end(b, '}');
	json_begin(b, '[');
	json_end(b, ']');
	json_end(b, ']');
	json_name(b, "b");
	json_string(b, VIEW(""));
	json_name(b, "c");
	json_base64(b, VIEW("foobar"));
	json_end(b, '}');
	assert_text(buf_view(b), "{\"a\":[\"one\",\"two\",{},[]],\"b\":\"\",\"c\":\"Zm9vYmFy\"}");
}

TEST(a_string_that_ends_like_a_bracket_still_gets_its_comma)
{
	static const char *const ends[] = { "{", "[", ":", ",", "}", "\\", "\"" };
	for (size_t i = 0; i < COUNT_OF(ends); i++) {
		BUF b = buf_of(100);
		json_begin(b, '[');
		json_string(b, view_text(ends[i]));
		json_string(b, VIEW("x"));
		json_end(b, ']');
		const char *text = buf_text(b);
		assert_string_equal(text + strlen(text) - 5, ",\"x\"]");
	}
}

TEST(names_are_escaped_as_strings_are)
{
	BUF b = buf_of(1000);
	json_begin(b, '{');
	json_name(b, "a\"");
	json_string(b, VIEW("x"));
	json_end(b, '}');
	assert_text(buf_view(b), "{\"a\\\"\":\"x\"}");
}

TEST(base64_in_json_is_padded_and_on_one_line)
{
	uint8_t bytes[100] = { 0 };
	BUF b = buf_of(1000);
	json_base64(b, view_of(bytes, sizeof bytes));
	assert_int_equal(buf_len(b), 2 + 136);
	assert_null(memchr(buf_data(b), '\n', buf_len(b)));
	buf_reset(b);
	json_base64(b, VIEW(""));
	assert_text(buf_view(b), "\"\"");
}

TEST(a_buffer_that_is_full_is_marked)
{
	BUF b = buf_of(8);
	json_begin(b, '[');
	json_string(b, VIEW("12345"));
	assert_true(buf_ok(b));
	json_end(b, ']');
	assert_false(buf_ok(b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_and_arrays_get_their_commas),
		cmocka_unit_test(a_string_that_ends_like_a_bracket_still_gets_its_comma),
		cmocka_unit_test(names_are_escaped_as_strings_are),
		cmocka_unit_test(base64_in_json_is_padded_and_on_one_line),
		cmocka_unit_test(a_buffer_that_is_full_is_marked),
	};
	return RUN(tests);
}
