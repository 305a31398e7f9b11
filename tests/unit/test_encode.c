/* base64, base64url, hex and PEM: strict, and the same for every room. */
#include "unit.h"

#include "encode.h"

static int decode(const char *text, struct buf *ret)
{
	buf_reset(ret);
	return base64_decode(view_text(text), ret);
}

TEST(base64_is_as_rfc_4648_section_10_has_it)
{
	static const char *const vectors[][2] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
	};
	BUF b = buf_of(100);
	for (size_t i = 0; i < COUNT_OF(vectors); i++) {
		buf_reset(b);
		base64_encode(view_text(vectors[i][0]), b);
		assert_text(buf_view(b), vectors[i][1]);
		assert_done(decode(vectors[i][1], b));
		assert_text(buf_view(b), vectors[i][0]);
	}
}

TEST(every_byte_survives_base64)
{
	uint8_t all[256];
	BUF text = buf_of(1000);
	BUF back = buf_of(256);
	for (size_t i = 0; i < sizeof all; i++)
		all[i] = (uint8_t)i;
	for (size_t len = 250; len <= sizeof all; len++) {
		buf_reset(text);
		buf_reset(back);
		base64_encode(view_of(all, len), text);
		assert_done(base64_decode(buf_view(text), back));
		assert_true(view_equal(buf_view(back), view_of(all, len)));
	}
}

TEST(line_breaks_in_base64_are_ignored_wherever_they_stand)
{
	BUF b = buf_of(100);
	assert_done(decode("\r\nZm\n9v\r\nYg=\n=\r\n", b));
	assert_text(buf_view(b), "foob");
}

TEST(base64_that_no_encoder_writes_is_refused)
{
	static const char *const wrong[] = {
		"Zg",       /* without padding */
		"Z", "Zg=", "Zm9vZ", "=", "==", "===", "====", "Z===",
		"Zg===", "Zm8==", "Zm9v=", "Zm9v====",
		"Zh==", "Zm9=", /* bits that are not zero behind the end */
		"Zg==Zg==", "Zg==Z", "Z=g=", "Zg==AAAA", "A=A=", "AA=A", "=AAA", /* padding in the middle */
		"Zm 9", "Zm9v ", "\tZm9", "Zm9_", "Zm9-", "Zm9\x80", "Zm9.",
	};
	BUF b = buf_of(100);
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_fault(decode(wrong[i], b), MALFORMED_REQUEST);
	assert_fault(base64_decode(VIEW("Zm\0v"), b), MALFORMED_REQUEST);
}

TEST(base64_that_is_too_long_for_its_buffer_is_too_large)
{
	BUF b = buf_of(3);
	assert_done(decode("Zm9v", b));
	assert_fault(decode("Zm9vYg==", b), TOO_LARGE);
}

TEST(base64url_has_its_own_letters_and_no_padding)
{
	BUF b = buf_of(100);
	base64url_encode(VIEW("\xfb\xff\xfe"), b);
	assert_text(buf_view(b), "-__-");
	buf_reset(b);
	base64url_encode(VIEW("f"), b);
	base64url_encode(VIEW("fo"), b);
	assert_text(buf_view(b), "ZgZm8");
}

TEST(hex_is_written_in_lower_case_and_read_in_either)
{
	char hex[9];
	uint8_t bytes[4];
	hex_encode(VIEW("\x00\x9a\xbc\xff"), hex);
	assert_string_equal(hex, "009abcff");
	assert_true(hex_decode(VIEW("009AbCfF"), bytes, 4));
	assert_memory_equal(bytes, "\x00\x9a\xbc\xff", 4);
	hex_encode(VIEW(""), hex);
	assert_string_equal(hex, "");
}

TEST(hex_of_another_length_or_with_other_letters_is_refused)
{
	static const char *const wrong[] = { "", "00", "0011223", "001122334", "0011223g", "00 11223", "0x112233",
					     "0011223/", "0011223:", "0011223@", "0011223`", "0011223G" };
	uint8_t bytes[4];
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_false(hex_decode(view_text(wrong[i]), bytes, 4));
	assert_true(hex_decode(VIEW(""), bytes, 0));
}

TEST(pem_has_lines_of_64_and_comes_back)
{
	uint8_t der[100];
	BUF pem = buf_of(1000);
	BUF back = buf_of(100);
	memset(der, 0xa5, sizeof der);
	pem_encode("CERTIFICATE", view_of(der, sizeof der), pem);
	const char *text = buf_text(pem), *first = strchr(text, '\n') + 1;
	assert_int_equal(strncmp(text, "-----BEGIN CERTIFICATE-----\n", 28), 0);
	assert_int_equal(strchr(first, '\n') - first, 64);
	assert_non_null(strstr(text, "\n-----END CERTIFICATE-----\n"));
	assert_done(pem_decode("CERTIFICATE", NULL, buf_view(pem), back));
	assert_true(view_equal(buf_view(back), view_of(der, sizeof der)));
}

TEST(pem_is_found_under_either_label_and_between_other_text)
{
	static const char text[] = "Subject: me\n-----BEGIN NEW CERTIFICATE REQUEST-----\r\nZm9v\r\n"
				   "-----END NEW CERTIFICATE REQUEST-----\nmore";
	BUF b = buf_of(100);
	assert_done(pem_decode("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", view_text(text), b));
	assert_text(buf_view(b), "foo");
	assert_fault(pem_decode("CERTIFICATE REQUEST", NULL, view_text(text), b), MALFORMED_REQUEST);
}

TEST(of_several_pem_blocks_the_first_is_taken)
{
	static const char text[] =
		"-----BEGIN X-----\nZm9v\n-----END X-----\n-----BEGIN X-----\nYmFy\n-----END X-----\n";
	BUF b = buf_of(100);
	assert_done(pem_decode("X", NULL, view_text(text), b));
	assert_text(buf_view(b), "foo");
}

TEST(pem_that_is_cut_or_holds_something_else_is_refused)
{
	static const char *const wrong[] = {
		"",
		"-----BEGIN X-----",
		"-----BEGIN X-----\nZm9v\n",
		"-----BEGIN X-----\nZm9v\n-----END Y-----\n",
		"-----END X-----\n-----BEGIN X-----\nZm9v\n",
		"-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n-----END X-----\n",
		"-----BEGIN X-----\nZm9\n-----END X-----\n",
		"----BEGIN X----\nZm9v\n----END X----\n",
	};
	BUF b = buf_of(100);
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_fault(pem_decode("X", NULL, view_text(wrong[i]), b), MALFORMED_REQUEST);
}

TEST(what_must_be_escaped_in_a_json_string_is)
{
	BUF b = buf_of(1000);
	json_quote(VIEW("a\"b\\c/\x01\x1f\n\r\t\0\x7f\xc3\xa4\xf0\x9f\x98\x80"), b);
	assert_text(buf_view(b),
		    "\"a\\\"b\\\\c/\\u0001\\u001f\\u000a\\u000d\\u0009\\u0000\x7f\xc3\xa4\xf0\x9f\x98\x80\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_is_as_rfc_4648_section_10_has_it),
		cmocka_unit_test(every_byte_survives_base64),
		cmocka_unit_test(line_breaks_in_base64_are_ignored_wherever_they_stand),
		cmocka_unit_test(base64_that_no_encoder_writes_is_refused),
		cmocka_unit_test(base64_that_is_too_long_for_its_buffer_is_too_large),
		cmocka_unit_test(base64url_has_its_own_letters_and_no_padding),
		cmocka_unit_test(hex_is_written_in_lower_case_and_read_in_either),
		cmocka_unit_test(hex_of_another_length_or_with_other_letters_is_refused),
		cmocka_unit_test(pem_has_lines_of_64_and_comes_back),
		cmocka_unit_test(pem_is_found_under_either_label_and_between_other_text),
		cmocka_unit_test(of_several_pem_blocks_the_first_is_taken),
		cmocka_unit_test(pem_that_is_cut_or_holds_something_else_is_refused),
		cmocka_unit_test(what_must_be_escaped_in_a_json_string_is),
	};
	return RUN(tests);
}
