/* The buffer in which secrets rest, and the views that take it apart. */
#include "unit.h"

TEST(a_new_buffer_is_empty_and_has_an_address)
{
	BUF b = buf_of(10);
	assert_int_equal(buf_len(b), 0);
	assert_non_null(buf_data(b));
	assert_true(buf_ok(b));
	assert_int_equal(buf_view(b).len, 0);
}

TEST(what_is_put_is_there_in_order)
{
	BUF b = buf_of(100);
	buf_put(b, "ab", 2);
	buf_put_text(b, "cd");
	buf_put_u8(b, 'e');
	buf_printf(b, "%s-%d", "f", 7);
	assert_text(buf_view(b), "abcdef-7");
}

TEST(numbers_are_big_endian)
{
	BUF b = buf_of(100);
	buf_put_u32(b, 0x01020304);
	buf_put_u64(b, 0x05060708090a0b0c);
	for (uint8_t i = 0; i < 12; i++)
		assert_int_equal(buf_data(b)[i], i + 1);
}

TEST(the_last_byte_that_fits_is_taken_and_the_next_marks_the_buffer)
{
	BUF b = buf_of(4);
	buf_put_u32(b, 7);
	assert_true(buf_ok(b));
	buf_put_u8(b, 1);
	assert_false(buf_ok(b));
	assert_int_equal(buf_len(b), 4);
}

TEST(a_buffer_that_was_marked_takes_nothing_more)
{
	BUF b = buf_of(4);
	buf_put(b, "12345", 5);
	buf_put_u8(b, 1);
	assert_false(buf_ok(b));
	assert_int_equal(buf_len(b), 0);
	assert_null(buf_reserve(b, 1));
	assert_null(buf_text(b));
}

TEST(a_length_that_would_wrap_around_is_refused)
{
	BUF b = buf_of(SIZE_MAX);
	buf_put_u8(b, 1);
	assert_null(buf_reserve(b, SIZE_MAX));
	assert_false(buf_ok(b));
}

TEST(a_buffer_of_no_room_takes_nothing_but_nothing)
{
	BUF b = buf_of(0);
	buf_put(b, "", 0);
	assert_true(buf_ok(b));
	assert_false(buf_overflowed(b));
	buf_put_u8(b, 1);
	assert_false(buf_ok(b));
	assert_true(buf_overflowed(b));
	buf_reset(b);
	assert_false(buf_overflowed(b));
}

TEST(growing_keeps_what_was_there)
{
	BUF b = buf_of(1 << 20);
	for (uint32_t i = 0; i < 20000; i++)
		buf_put_u32(b, i);
	struct view v = buf_view(b);
	for (uint32_t i = 0, n; i < 20000; i++) {
		assert_true(view_get_u32(&v, &n));
		assert_int_equal(n, i);
	}
	assert_int_equal(v.len, 0);
}

TEST(room_that_is_made_changes_nothing_but_where_the_bytes_are)
{
	BUF b = buf_new(1000);
	buf_put_text(b, "abc");
	buf_make_room(b, 500);
	const uint8_t *at = buf_data(b);
	assert_true(view_is(buf_view(b), "abc"));
	for (int i = 0; i < 500; i++)
		buf_put_u8(b, 'x');
	assert_ptr_equal(buf_data(b), at);
	buf_make_room(b, SIZE_MAX);
	assert_true(buf_ok(b) && buf_len(b) == 503);
	assert_non_null(buf_reserve(b, 497));
	assert_null(buf_reserve(b, 1));
	buf_make_room(b, 1);
	assert_int_equal(buf_len(b), 1000);
}

TEST(a_reset_forgets_a_failure_and_wipes)
{
	BUF b = buf_of(8);
	buf_put_text(b, "secret");
	const uint8_t *kept = buf_data(b);
	buf_put_text(b, "too much");
	buf_reset(b);
	assert_true(buf_ok(b));
	assert_int_equal(buf_len(b), 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal(kept[i], 0);
}

TEST(truncating_wipes_the_rest)
{
	BUF b = buf_of(100);
	buf_put_text(b, "keep-secret");
	const uint8_t *kept = buf_data(b);
	buf_truncate(b, 4);
	assert_text(buf_view(b), "keep");
	for (int i = 4; i < 11; i++)
		assert_int_equal(kept[i], 0);
	buf_truncate(b, 5); /* never longer */
	assert_int_equal(buf_len(b), 4);
}

TEST(a_text_ends_and_its_end_is_not_counted)
{
	BUF b = buf_of(3);
	assert_string_equal(buf_text(b), "");
	buf_put_text(b, "abc");
	assert_string_equal(buf_text(b), "abc");
	assert_int_equal(buf_len(b), 3);
}

TEST(a_text_of_the_whole_first_block_still_ends)
{
	BUF b = buf_of(1024);
	memset(buf_reserve(b, 256), 'x', 256);
	assert_int_equal(strlen(buf_text(b)), 256);
	assert_int_equal(buf_len(b), 256);
}

TEST(printing_needs_room_for_one_byte_more_and_takes_none)
{
	BUF fits = buf_of(4);
	BUF full = buf_of(3);
	buf_printf(fits, "%s", "abc");
	buf_printf(full, "%s", "abcd");
	assert_text(buf_view(fits), "abc");
	assert_false(buf_ok(full));
}

TEST(poking_writes_over_four_bytes_and_never_past_the_end)
{
	BUF b = buf_of(100);
	buf_put_text(b, "abcdefgh");
	buf_poke_u32(b, 4, 0x41424344);
	buf_poke_u32(b, 5, 0);
	assert_text(buf_view(b), "abcdABCD");
}

TEST(what_was_put_is_got_again)
{
	BUF b = buf_of(100);
	uint8_t u8;
	uint32_t u32;
	uint64_t u64;
	struct view bytes, rest;
	buf_put_u8(b, UINT8_MAX);
	buf_put_u32(b, UINT32_MAX);
	buf_put_u64(b, UINT64_MAX);
	buf_put_bytes(b, view_text("name"));
	buf_put_bytes(b, view_text(NULL));
	buf_put_text(b, "rest");
	struct view v = buf_view(b);
	assert_true(view_get_u8(&v, &u8) && u8 == UINT8_MAX);
	assert_true(view_get_u32(&v, &u32) && u32 == UINT32_MAX);
	assert_true(view_get_u64(&v, &u64) && u64 == UINT64_MAX);
	assert_true(view_get_bytes(&v, 4, &bytes));
	assert_text(bytes, "name");
	assert_true(view_get_bytes(&v, 0, &bytes));
	assert_int_equal(bytes.len, 0);
	assert_true(view_get(&v, 4, &rest));
	assert_text(rest, "rest");
	assert_int_equal(v.len, 0);
}

TEST(a_view_that_is_too_short_is_left_as_it_was)
{
	static const uint8_t seven[7] = { 0, 0, 0, 4, 1, 2, 3 };
	struct view v = view_of(seven, sizeof seven), got = VIEW("untouched");
	uint64_t u64 = 42;
	uint32_t u32 = 42;
	assert_false(view_get_u64(&v, &u64));
	assert_false(view_get(&v, 8, &got));
	assert_false(view_get_bytes(&v, 100, &got)); /* says four, holds three */
	assert_ptr_equal(v.p, seven);
	assert_int_equal(v.len, 7);
	v.len = 3;
	assert_false(view_get_u32(&v, &u32));
	assert_false(view_get_bytes(&v, 100, &got));
	assert_int_equal(v.len, 3);
	assert_int_equal(u64, 42);
	assert_int_equal(u32, 42);
	assert_text(got, "untouched");
}

TEST(bytes_over_their_limit_are_refused_at_the_first_byte)
{
	BUF b = buf_of(100);
	struct view v, got;
	buf_put_bytes(b, view_text("12345"));
	v = buf_view(b);
	assert_false(view_get_bytes(&v, 4, &got));
	assert_int_equal(v.len, 9);
	assert_true(view_get_bytes(&v, 5, &got));
}

TEST(views_are_equal_by_length_and_bytes)
{
	assert_true(view_equal(VIEW("abc"), VIEW("abc")));
	assert_false(view_equal(VIEW("abc"), VIEW("abd")));
	assert_false(view_equal(VIEW("abc"), VIEW("ab")));
	assert_true(view_equal(view_of(NULL, 0), VIEW("")));
	assert_true(view_equal_secret(VIEW("a\0c"), VIEW("a\0c")));
	assert_false(view_equal_secret(VIEW("a\0c"), VIEW("a\0d")));
	assert_false(view_equal_secret(VIEW("xbc"), VIEW("abc")));
	assert_false(view_equal_secret(VIEW("ab"), VIEW("abc")));
	assert_true(view_equal_secret(view_of(NULL, 0), VIEW("")));
	assert_true(view_is(VIEW(""), NULL));
	assert_false(view_is(VIEW("a\0"), "a"));
}

TEST(freeing_nothing_is_fine)
{
	buf_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_buffer_is_empty_and_has_an_address),
		cmocka_unit_test(what_is_put_is_there_in_order),
		cmocka_unit_test(numbers_are_big_endian),
		cmocka_unit_test(the_last_byte_that_fits_is_taken_and_the_next_marks_the_buffer),
		cmocka_unit_test(a_buffer_that_was_marked_takes_nothing_more),
		cmocka_unit_test(a_length_that_would_wrap_around_is_refused),
		cmocka_unit_test(a_buffer_of_no_room_takes_nothing_but_nothing),
		cmocka_unit_test(growing_keeps_what_was_there),
		cmocka_unit_test(room_that_is_made_changes_nothing_but_where_the_bytes_are),
		cmocka_unit_test(a_reset_forgets_a_failure_and_wipes),
		cmocka_unit_test(truncating_wipes_the_rest),
		cmocka_unit_test(a_text_ends_and_its_end_is_not_counted),
		cmocka_unit_test(a_text_of_the_whole_first_block_still_ends),
		cmocka_unit_test(printing_needs_room_for_one_byte_more_and_takes_none),
		cmocka_unit_test(poking_writes_over_four_bytes_and_never_past_the_end),
		cmocka_unit_test(what_was_put_is_got_again),
		cmocka_unit_test(a_view_that_is_too_short_is_left_as_it_was),
		cmocka_unit_test(bytes_over_their_limit_are_refused_at_the_first_byte),
		cmocka_unit_test(views_are_equal_by_length_and_bytes),
		cmocka_unit_test(freeing_nothing_is_fine),
	};
	return RUN(tests);
}
