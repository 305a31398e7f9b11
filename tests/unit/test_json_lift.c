/* Secrets that are taken out of a JSON text before a JSON library sees it. */
#include "unit.h"

#include "json_lift.h"

static const char *const names[] = { "password", "token", NULL };

static struct buf *plain, *secrets;

static int make_buffers(void **state)
{
	(void)state;
	plain = buf_new(4096);
	secrets = buf_new(4096);
	return plain && secrets ? 0 : -1;
}

static int free_buffers(void **state)
{
	(void)state;
	buf_free(plain);
	buf_free(secrets);
	return 0;
}

static int lift(const char *json)
{
	buf_reset(plain);
	buf_reset(secrets);
	return json_lift(view_text(json), names, plain, secrets);
}

static void assert_secret(const char *number, struct view wanted)
{
	struct view secret;
	assert_true(json_lifted(secrets, number, &secret));
	assert_true(view_equal(secret, wanted));
}

TEST(a_secret_leaves_its_number_behind)
{
	assert_done(lift("{\"user\":\"ann\",\"password\":\"hunter2\"}"));
	assert_text(buf_view(plain), "{\"user\":\"ann\",\"password\":\"0\"}");
	assert_secret("0", VIEW("hunter2"));
}

TEST(secrets_are_found_at_any_depth_and_numbered_in_order)
{
	assert_done(lift("[{\"a\":{\"token\" : \"one\"}},\n{\"password\"\t:\r\n\"two\",\"token\":\"\"}]"));
	assert_text(buf_view(plain), "[{\"a\":{\"token\" : \"0\"}},\n{\"password\"\t:\r\n\"1\",\"token\":\"2\"}]");
	assert_secret("0", VIEW("one"));
	assert_secret("1", VIEW("two"));
	assert_secret("2", VIEW(""));
}

TEST(everything_else_is_left_byte_for_byte)
{
	static const char json[] =
		" {\"a\\u0041\\\"\":[1,-2.5e3,true,null,\"\\\\\",\"p\\\"assword\\\":\"],\"b\":{ }}\n";
	assert_done(lift(json));
	assert_text(buf_view(plain), json);
	assert_int_equal(buf_len(secrets), 0);
}

TEST(a_name_that_is_written_with_escapes_is_known_all_the_same)
{
	assert_done(lift("{\"pass\\u0077\\u006frd\":\"hunter2\"}"));
	assert_text(buf_view(plain), "{\"pass\\u0077\\u006frd\":\"0\"}");
	assert_secret("0", VIEW("hunter2"));
}

TEST(a_value_that_is_called_like_a_name_lifts_nothing)
{
	assert_done(lift("{\"user\":\"password\",\"note\":\"stays\",\"list\":[\"password\",\"stays\"]}"));
	assert_int_equal(buf_len(secrets), 0);
	assert_done(lift("{\"password\":\"password\"}"));
	assert_secret("0", VIEW("password"));
}

TEST(a_name_of_other_case_or_length_lifts_nothing)
{
	assert_done(lift(
		"{\"Password\":\"a\",\"password2\":\"b\",\"passwor\":\"c\",\"\":\"d\",\"password\\u0000\":\"e\"}"));
	assert_int_equal(buf_len(secrets), 0);
}

TEST(what_is_not_a_string_stays_for_the_json_library_to_refuse)
{
	static const char json[] = "{\"password\":12,\"token\":[\"x\"],\"password\":{\"a\":\"b\"},\"token\":null}";
	assert_done(lift(json));
	assert_text(buf_view(plain), json);
}

TEST(the_same_name_twice_is_lifted_twice)
{
	assert_done(lift("{\"password\":\"a\",\"password\":\"b\"}"));
	assert_text(buf_view(plain), "{\"password\":\"0\",\"password\":\"1\"}");
	assert_secret("1", VIEW("b"));
}

TEST(every_escape_of_rfc_8259_is_undone)
{
	assert_done(lift("{\"password\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20AC\\ud83d\\ude00\\u0000.\"}"));
	assert_secret("0", VIEW("\"\\/\b\f\n\r\tA\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\0."));
}

TEST(a_wrong_escape_in_a_secret_is_malformed)
{
	static const char *const wrong[] = { "\\x", "\\u", "\\u12", "\\u12g4", "\\ud800", "\\udc00", "\\ud800\\u0041",
					     "\\ud800x", "\\ud800\\ud800", "\\U0041", "\\'", "\\0" };
	char json[64];
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		strcpy(json, "{\"password\":\"");
		strcat(json, wrong[i]);
		strcat(json, "\"}");
		assert_fault(lift(json), MALFORMED_REQUEST);
	}
}

TEST(a_string_that_does_not_end_is_malformed)
{
	assert_fault(lift("{\"password\":\"hunter2"), MALFORMED_REQUEST);
	assert_fault(lift("{\"password\":\"hunter2\\\""), MALFORMED_REQUEST);
	assert_fault(lift("{\"password\":\"hunter2\\"), MALFORMED_REQUEST);
	assert_fault(lift("\""), MALFORMED_REQUEST);
	assert_null(strstr(fault_detail(), "hunter2"));
}

TEST(a_secret_that_is_not_utf_8_or_holds_a_control_character_is_malformed)
{
	assert_fault(lift("{\"password\":\"\xff\xfe\"}"), MALFORMED_REQUEST);
	assert_fault(lift("{\"password\":\"a\nb\"}"), MALFORMED_REQUEST);
}

TEST(an_empty_text_stays_empty)
{
	assert_done(lift(""));
	assert_int_equal(buf_len(plain), 0);
}

TEST(buffers_that_are_full_are_too_large)
{
	BUF small = buf_of(8);
	BUF large = buf_of(100);
	assert_fault(json_lift(VIEW("{\"password\":\"x\"}"), names, small, large), TOO_LARGE);
	buf_reset(small);
	buf_reset(large);
	assert_done(json_lift(VIEW("{\"password\":\"1234\"}"), names, large, small)); /* 4 of length, 4 of text */
	buf_reset(small);
	buf_reset(large);
	assert_fault(json_lift(VIEW("{\"password\":\"12345\"}"), names, large, small), TOO_LARGE);
}

TEST(a_number_that_no_secret_has_gives_none)
{
	struct view secret = VIEW("untouched");
	assert_done(lift("{\"password\":\"hunter2\"}"));
	static const char *const wrong[] = { "1", "-1", "", "x", "00x", " 0", "4294967296", "99999999999999999999" };
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_false(json_lifted(secrets, wrong[i], &secret));
	assert_text(secret, "untouched");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_leaves_its_number_behind),
		cmocka_unit_test(secrets_are_found_at_any_depth_and_numbered_in_order),
		cmocka_unit_test(everything_else_is_left_byte_for_byte),
		cmocka_unit_test(a_name_that_is_written_with_escapes_is_known_all_the_same),
		cmocka_unit_test(a_value_that_is_called_like_a_name_lifts_nothing),
		cmocka_unit_test(a_name_of_other_case_or_length_lifts_nothing),
		cmocka_unit_test(what_is_not_a_string_stays_for_the_json_library_to_refuse),
		cmocka_unit_test(the_same_name_twice_is_lifted_twice),
		cmocka_unit_test(every_escape_of_rfc_8259_is_undone),
		cmocka_unit_test(a_wrong_escape_in_a_secret_is_malformed),
		cmocka_unit_test(a_string_that_does_not_end_is_malformed),
		cmocka_unit_test(a_secret_that_is_not_utf_8_or_holds_a_control_character_is_malformed),
		cmocka_unit_test(an_empty_text_stays_empty),
		cmocka_unit_test(buffers_that_are_full_are_too_large),
		cmocka_unit_test(a_number_that_no_secret_has_gives_none),
	};
	return cmocka_run_group_tests(tests, make_buffers, free_buffers);
}
