/* Sealing: what is sealed opens in its own place, and nowhere else, and not when a bit was changed. */
#include "keeper_fixture.h"

#include "../../daemon/keeper/seal.h"

#include "protocol.h"
#include "token.h"

static struct keyring *keyring;
static struct buf *sealed, *plain;
static struct key256 data_key;
static struct binding binding;

static int make_all(void **state)
{
	uint8_t wrapped[SEAL_WRAPPED_BYTES];
	(void)state;
	keyring = make_keyring();
	sealed = buf_new(2 * MIB);
	plain = buf_new(2 * MIB);
	binding = (struct binding){ .record = VIEW(ID_A),
				    .owner = VIEW(ID_B),
				    .sha256 = VIEW("01234567890123456789012345678901"),
				    .key_id = view_text(keyring_wrapping_id(keyring, 0)) };
	return sealed && plain ? seal_new_key(keyring, &data_key, wrapped) : -1;
}

static int free_all(void **state)
{
	(void)state;
	keyring_free(keyring);
	buf_free(sealed);
	buf_free(plain);
	return 0;
}

static void seal_text(struct view text)
{
	buf_reset(sealed);
	buf_reset(plain);
	assert_done(seal(&data_key, &binding, "modern", text, sealed));
}

static int unseal_with(const struct binding *b, const char *part)
{
	return unseal(&data_key, b, part, buf_view(sealed), plain);
}

TEST(what_was_sealed_opens_again_at_every_size)
{
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 4096, MIB };
	BUF text = buf_of(MIB);
	memset(buf_reserve(text, MIB), 'x', MIB);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct view v = view_of(buf_data(text), sizes[i]);
		seal_text(v);
		assert_int_equal(buf_len(sealed), SEAL_NONCE_BYTES + sizes[i] + SEAL_TAG_BYTES);
		assert_done(unseal_with(&binding, "modern"));
		assert_true(view_equal(buf_view(plain), v));
	}
}

TEST(the_same_text_is_never_sealed_to_the_same_bytes)
{
	BUF first = buf_of(100);
	seal_text(VIEW("text"));
	buf_put(first, buf_data(sealed), buf_len(sealed));
	seal_text(VIEW("text"));
	assert_memory_not_equal(buf_data(first), buf_data(sealed), SEAL_NONCE_BYTES);
	assert_memory_not_equal(buf_data(first) + SEAL_NONCE_BYTES, buf_data(sealed) + SEAL_NONCE_BYTES, 4);
}

TEST(a_bit_that_was_changed_anywhere_is_found_and_nothing_comes_out)
{
	uint8_t copy[SEAL_NONCE_BYTES + 20 + SEAL_TAG_BYTES];
	seal_text(VIEW("twenty bytes of text"));
	buf_put_text(plain, "before");
	memcpy(copy, buf_data(sealed), sizeof copy);
	for (size_t i = 0; i < sizeof copy * 8; i++) {
		copy[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_fault(unseal(&data_key, &binding, "modern", view_of(copy, sizeof copy), plain), TAMPERED);
		copy[i / 8] ^= (uint8_t)(1 << i % 8);
		assert_text(buf_view(plain), "before");
	}
}

TEST(what_was_cut_or_lengthened_does_not_open)
{
	seal_text(VIEW("text"));
	buf_put_u8(sealed, 0);
	for (size_t len = 0; len <= buf_len(sealed); len++)
		if (len != buf_len(sealed) - 1)
			assert_fault(unseal(&data_key, &binding, "modern", view_of(buf_data(sealed), len), plain),
				     TAMPERED);
	assert_int_equal(buf_len(plain), 0);
}

TEST(sealed_bytes_open_in_no_other_place)
{
	struct binding other;
	seal_text(VIEW("text"));
#define ELSEWHERE(field, value) \
	other = binding; \
	other.field = (value); \
	assert_fault(unseal_with(&other, "modern"), TAMPERED);
	ELSEWHERE(record, VIEW(ID_B))
	ELSEWHERE(owner, VIEW(ID_A))
	ELSEWHERE(sha256, VIEW("01234567890123456789012345678902"))
	ELSEWHERE(key_id, VIEW("00000000"))
	ELSEWHERE(record, VIEW(""))
#undef ELSEWHERE
	assert_fault(unseal_with(&binding, "legacy"), TAMPERED);
	assert_told("legacy");
	assert_done(unseal_with(&binding, "modern"));
}

TEST(parts_of_the_binding_do_not_run_into_each_other)
{
	struct binding shifted = binding;
	binding.record = VIEW("ab");
	binding.owner = VIEW("c");
	seal_text(VIEW("text"));
	shifted.record = VIEW("a");
	shifted.owner = VIEW("bc");
	assert_fault(unseal_with(&shifted, "modern"), TAMPERED);
	binding.record = VIEW(ID_A);
	binding.owner = VIEW(ID_B);
}

TEST(another_data_key_opens_nothing)
{
	KEY256 other;
	uint8_t wrapped[SEAL_WRAPPED_BYTES];
	seal_text(VIEW("text"));
	assert_done(seal_new_key(keyring, &other, wrapped));
	assert_memory_not_equal(other.at, data_key.at, sizeof other.at);
	assert_fault(unseal(&other, &binding, "modern", buf_view(sealed), plain), TAMPERED);
}

TEST(a_data_key_unwraps_under_the_key_that_wrapped_it)
{
	KEY256 made;
	KEY256 opened;
	uint8_t wrapped[SEAL_WRAPPED_BYTES];
	assert_done(seal_new_key(keyring, &made, wrapped));
	assert_done(seal_open_key(keyring, binding.key_id, view_of(wrapped, sizeof wrapped), &opened));
	assert_memory_equal(made.at, opened.at, sizeof made.at);
	assert_null(memmem(wrapped, sizeof wrapped, made.at, 16));
}

TEST(a_wrapped_key_that_was_changed_or_cut_does_not_unwrap)
{
	KEY256 key;
	uint8_t wrapped[SEAL_WRAPPED_BYTES + 8] = { 0 };
	assert_done(seal_new_key(keyring, &key, wrapped));
	for (size_t len = 0; len <= sizeof wrapped; len++)
		if (len != SEAL_WRAPPED_BYTES)
			assert_fault(seal_open_key(keyring, binding.key_id, view_of(wrapped, len), &key), TAMPERED);
	for (size_t i = 0; i < SEAL_WRAPPED_BYTES; i++) {
		wrapped[i] ^= 1;
		assert_fault(seal_open_key(keyring, binding.key_id, view_of(wrapped, SEAL_WRAPPED_BYTES), &key),
			     TAMPERED);
		wrapped[i] ^= 1;
	}
}

TEST(a_wrapping_key_that_the_keyring_does_not_have_is_said_so)
{
	KEY256 key;
	uint8_t wrapped[SEAL_WRAPPED_BYTES];
	assert_done(seal_new_key(keyring, &key, wrapped));
	assert_fault(seal_open_key(keyring, VIEW("ffffffff"), view_of(wrapped, sizeof wrapped), &key), TAMPERED);
	assert_told("wrapping key");
	assert_fault(seal_open_key(keyring, VIEW(""), view_of(wrapped, sizeof wrapped), &key), TAMPERED);
}

TEST(another_keyring_unwraps_nothing)
{
	KEY256 key;
	uint8_t wrapped[SEAL_WRAPPED_BYTES];
	struct keyring *other = make_keyring();
	assert_done(seal_new_key(keyring, &key, wrapped));
	assert_fault(
		seal_open_key(other, view_text(keyring_wrapping_id(other, 0)), view_of(wrapped, sizeof wrapped), &key),
		TAMPERED);
	keyring_free(other);
}

TEST(digests_are_the_standards)
{
	uint8_t sha256[32], sha1[20];
	assert_done(digest_sha256(VIEW("abc"), sha256));
	assert_done(digest_sha1(VIEW("abc"), sha1));
	assert_memory_equal(sha256, "\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23"
				    "\xb0\x03\x61\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\x00\x15\xad", 32);
	assert_memory_equal(sha1, "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d",
			    20);
}

TEST(a_token_has_43_characters_and_comes_with_its_hash)
{
	uint8_t hash[32], wanted[32];
	BUF first = buf_of(100);
	BUF second = buf_of(100);
	buf_put_text(first, "before ");
	assert_done(token_make(first, hash));
	struct view token = view_of(buf_data(first) + 7, buf_len(first) - 7);
	assert_int_equal(token.len, TOKEN_CHARS);
	assert_done(digest_sha256(token, wanted));
	assert_memory_equal(hash, wanted, sizeof hash);
	assert_done(token_make(second, hash));
	assert_false(view_equal(token, buf_view(second)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_sealed_opens_again_at_every_size),
		cmocka_unit_test(the_same_text_is_never_sealed_to_the_same_bytes),
		cmocka_unit_test(a_bit_that_was_changed_anywhere_is_found_and_nothing_comes_out),
		cmocka_unit_test(what_was_cut_or_lengthened_does_not_open),
		cmocka_unit_test(sealed_bytes_open_in_no_other_place),
		cmocka_unit_test(parts_of_the_binding_do_not_run_into_each_other),
		cmocka_unit_test(another_data_key_opens_nothing),
		cmocka_unit_test(a_data_key_unwraps_under_the_key_that_wrapped_it),
		cmocka_unit_test(a_wrapped_key_that_was_changed_or_cut_does_not_unwrap),
		cmocka_unit_test(a_wrapping_key_that_the_keyring_does_not_have_is_said_so),
		cmocka_unit_test(another_keyring_unwraps_nothing),
		cmocka_unit_test(digests_are_the_standards),
		cmocka_unit_test(a_token_has_43_characters_and_comes_with_its_hash),
	};
	return cmocka_run_group_tests(tests, make_all, free_all);
}
