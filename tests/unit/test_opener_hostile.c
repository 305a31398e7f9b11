/* PFX files that mean harm: each is refused with its own reason, before it costs anything. For sanitizers, too. */
#include "opener_writer.h"

/* ---- what is missing ---- */

static void a_content_info_without_content_is_malformed_cve_2024_0727(void **state)
{
	(void)state;
	DER_PUT(&d, OID_DATA);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	DER_PUT(&d, DER_INTEGER, 1, 3);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	OPENED outer = open_wish(der_since(&d, sizeof room), view_text("x"), WORK_ENOUGH, 0);
	assert_refused(outer, FAULT_MALFORMED_PKCS12, "without content");

	begin(NULL);
	DER_PUT(&d, OID_DATA);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	finish_pfx(sizeof room, view_of(one_iteration, 3), NULL);
	OPENED inner = open_scratch();
	assert_refused(inner, FAULT_MALFORMED_PKCS12, "RFC 7292 4.1: a ContentInfo without content");

	begin(NULL);
	DER_PUT(&d, OID_ENCRYPTED);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	finish_pfx(sizeof room, view_of(one_iteration, 3), NULL);
	OPENED encrypted = open_scratch();
	assert_refused(encrypted, FAULT_MALFORMED_PKCS12, "EncryptedData without content");
}

static void bags_without_their_value_are_malformed(void **state)
{
	(void)state;
	static const uint8_t types[] = { 1, 2, 3, 6 };
	for (size_t i = 0; i < sizeof types; i++) {
		begin(NULL);
		DER_PUT(&d, 0x06, 11, OID_PKCS(12, 10, 1, types[i]));
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		finish_contents(sizeof room);
		OPENED none = open_scratch();
		assert_refused(none, FAULT_MALFORMED_PKCS12, "RFC 7292 4.2");
		begin(NULL);
		DER_PUT(&d, 5, 0);
		WRAP_BAG(sizeof room, 0x06, 11, OID_PKCS(12, 10, 1, types[i]));
		finish_contents(sizeof room);
		OPENED null = open_scratch();
		assert_refused(null, FAULT_MALFORMED_PKCS12, "RFC 7292 4.2");
	}
}

static void an_encryption_without_parameters_is_malformed(void **state)
{
	(void)state;
	DER_PUT(&d, 4, 8, 1, 2, 3, 4, 5, 6, 7, 8);
	size_t algorithm = der_mark(&d);
	DER_PUT(&d, OID_PBE_3DES);
	der_wrap(&d, DER_SEQUENCE, algorithm);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	WRAP_BAG(sizeof room, OID_SHROUDED_BAG);
	finish_contents(sizeof room);
	OPENED o = open_scratch();
	assert_refused(o, FAULT_MALFORMED_PKCS12, "without parameters");
}

static void a_file_without_a_mac_is_refused_as_that(void **state)
{
	(void)state;
	const struct view none = view_of("", 0);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	finish_pfx(sizeof room, none, &none);
	OPENED o = open_scratch();
	assert_refused(o, FAULT_MAC_MISSING, "RFC 7292 4");
}

static void public_key_modes_are_unsupported_by_name(void **state)
{
	(void)state;
	DER_PUT(&d, OID_SIGNED);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	DER_PUT(&d, DER_INTEGER, 1, 3);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	OPENED is_signed = open_wish(der_since(&d, sizeof room), view_text("x"), WORK_ENOUGH, 0);
	assert_refused(is_signed, FAULT_UNSUPPORTED_ALGORITHM, "1.2.840.113549.1.7.2");
	begin(NULL);
	DER_PUT(&d, OID_ENVELOPED);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	finish_pfx(sizeof room, view_of(one_iteration, 3), NULL);
	OPENED enveloped = open_scratch();
	assert_refused(enveloped, FAULT_UNSUPPORTED_ALGORITHM, "1.2.840.113549.1.7.3");
}

/* ---- what it would cost ---- */

static void iteration_counts_that_lie_are_refused_at_once(void **state)
{
	(void)state;
	static const struct {
		uint8_t number[12];
		size_t len;
		enum fault expected;
		const char *words;
	} rows[] = {
		{ { 2, 1, 0 }, 3, FAULT_MALFORMED_PKCS12, "is zero" },
		{ { 2, 1, 0xff }, 3, FAULT_MALFORMED_PKCS12, "is negative" },
		{ { 2, 4, 0x7f, 0xff, 0xff, 0xff }, 6, FAULT_TOO_EXPENSIVE, "2147483647 rounds" },
		{ { 2, 8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, 10, FAULT_TOO_EXPENSIVE,
		 "20000000 are allowed" },
		{ { 2, 10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1 }, 12, FAULT_TOO_EXPENSIVE, "18446744073709551615" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin(NULL);
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		finish_pfx(sizeof room, view_of(rows[i].number, rows[i].len), NULL);
		uint64_t before = kdf_work_done();
		OPENED o = open_scratch();
		assert_refused(o, rows[i].expected, rows[i].words);
		assert_int_equal(kdf_work_done() - before, 0);
	}
}

/* iterations: a whole INTEGER */
static void put_shrouded(struct view iterations)
{
	size_t mark = der_mark(&d);
	DER_PUT(&d, 4, 8, 1, 2, 3, 4, 5, 6, 7, 8);
	size_t algorithm = der_mark(&d);
	der_put(&d, iterations);
	DER_PUT(&d, SALT);
	der_wrap(&d, DER_SEQUENCE, algorithm);
	DER_PUT(&d, OID_PBE_3DES);
	der_wrap(&d, DER_SEQUENCE, algorithm);
	der_wrap(&d, DER_SEQUENCE, mark);
	WRAP_BAG(mark, OID_SHROUDED_BAG);
}

static void the_work_of_all_bags_is_added_up_before_any_is_done(void **state)
{
	(void)state;
	static const uint8_t million[] = { 2, 3, 0x0f, 0x42, 0x40 };
	for (size_t i = 0; i < 20; i++)
		put_shrouded(view_of(million, sizeof million));
	finish_contents(sizeof room);
	uint64_t before = kdf_work_done();
	/* Each: two blocks of key and one of IV; and one for the MAC. */
	OPENED o = open_wish(buf_view(scratch), view_text("wrong"), 60000000, 0);
	assert_refused(o, FAULT_TOO_EXPENSIVE, "60000001 rounds");
	assert_int_equal(kdf_work_done() - before, 0);
	OPENED within = open_wish(buf_view(scratch), view_text("wrong"), 60000001, 0);
	assert_refused(within, FAULT_WRONG_PASSWORD, "");
	/* The MAC, and one key to tell a wrong password from a file that was changed. */
	assert_int_equal(kdf_work_done() - before, 1 + 3000000);
}

static void what_only_a_decryption_shows_is_charged_before_it_is_derived(void **state)
{
	(void)state;
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	X509_ALGOR *pbe = PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), 50000000, NULL, 0, NULL, NID_hmacWithSHA256);
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key_ec(0));
	X509_SIG *sig = PKCS8_encrypt(NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NULL, "x", 1, NULL, 0, 1, p8);
	X509_ALGOR *algorithm;
	X509_SIG_getm(sig, &algorithm, NULL);
	X509_ALGOR_copy(algorithm, pbe);
	sk_PKCS12_SAFEBAG_push(bags, PKCS12_SAFEBAG_create0_pkcs8(sig));
	STACK_OF(PKCS7) *safes = NULL;
	assert_int_equal(PKCS12_add_safe(&safes, bags, NID_aes_256_cbc, 10, "x"), 1);
	PKCS12 *p12 = PKCS12_add_safes(safes, 0);
	assert_int_equal(PKCS12_set_mac(p12, "x", 1, NULL, 0, 10, EVP_sha256()), 1);
	int len = i2d_PKCS12(p12, NULL);
	uint8_t *at = buf_reserve(scratch, (size_t)len);
	i2d_PKCS12(p12, &at);
	uint64_t before = kdf_work_done();
	OPENED o = open_scratch();
	assert_refused(o, FAULT_TOO_EXPENSIVE, "50000020 rounds");
	assert_int_equal(kdf_work_done() - before, 20);
	X509_ALGOR_free(pbe);
	PKCS8_PRIV_KEY_INFO_free(p8);
	PKCS12_free(p12);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
}

/* key_len: a whole INTEGER */
static void put_pbmac1(struct view key_len)
{
	uint8_t digest[32] = { 0 };
	DER_PUT(&d, 2, 1, 1);
	DER_PUT(&d, SALT);
	size_t info = der_mark(&d);
	der_put_value(&d, DER_OCTETS, view_of(digest, sizeof digest));
	size_t algorithm = der_mark(&d);
	DER_PUT(&d, OID_HMAC_SHA256);
	der_wrap(&d, DER_SEQUENCE, algorithm);
	size_t kdf = der_mark(&d);
	DER_PUT(&d, OID_HMAC_SHA256);
	der_wrap(&d, DER_SEQUENCE, kdf);
	der_put(&d, key_len);
	DER_PUT(&d, SALT, 2, 1, 1);
	finish_pbmac1(kdf, algorithm, info, sizeof room);
}

static void a_key_length_of_pbmac1_is_bounded_cve_2025_11187(void **state)
{
	(void)state;
	static const struct {
		uint8_t number[12];
		size_t len;
		enum fault expected;
	} rows[] = {
		{ { 2, 1, 32 }, 3, FAULT_WRONG_PASSWORD },
		{ { 2, 2, 0, 128 }, 4, FAULT_WRONG_PASSWORD },
		{ { 2, 2, 0, 129 }, 4, FAULT_TOO_EXPENSIVE },
		{ { 2, 4, 0x7f, 0xff, 0xff, 0xff }, 6, FAULT_TOO_EXPENSIVE },
		{ { 2, 10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1 }, 12, FAULT_TOO_EXPENSIVE },
		{ { 2, 1, 0 }, 3, FAULT_MALFORMED_PKCS12 },
		{ { 2, 1, 0x80 }, 3, FAULT_MALFORMED_PKCS12 },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin(NULL);
		put_pbmac1(view_of(rows[i].number, rows[i].len));
		BUF mac = buf_new(KIB);
		buf_put(mac, der_since(&d, sizeof room).p, der_since(&d, sizeof room).len);
		begin(NULL);
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		const struct view v = buf_view(mac);
		finish_pfx(sizeof room, v, &v);
		OPENED o = open_scratch();
		assert_refused(o, rows[i].expected, "RFC");
	}
}

/* ---- depth and number ---- */

static void put_nested(unsigned depth)
{
	size_t mark = der_mark(&d);
	DER_PUT(&d, 5, 0);
	WRAP_BAG(mark, OID_CRL_BAG);
	for (unsigned i = 0; i < depth; i++) {
		der_wrap(&d, DER_SEQUENCE, mark);
		WRAP_BAG(mark, OID_NESTED_BAG);
	}
}

static void safe_contents_may_be_nested_four_deep(void **state)
{
	(void)state;
	put_nested(4);
	finish_contents(sizeof room);
	OPENED four = open_scratch();
	assert_refused(four, FAULT_NO_PRIVATE_KEY, "");
	begin(NULL);
	put_nested(5);
	finish_contents(sizeof room);
	OPENED five = open_scratch();
	assert_refused(five, FAULT_MALFORMED_PKCS12, "deeper than 4");
	begin(NULL);
	put_nested(5000);
	finish_contents(sizeof room);
	OPENED many = open_scratch();
	assert_refused(many, FAULT_MALFORMED_PKCS12, "RFC 7292 4.2");
}

static void sequences_inside_of_sequences_end_nothing_but_the_file(void **state)
{
	(void)state;
	for (size_t i = 0; i < 100000; i++)
		der_wrap(&d, DER_SEQUENCE, sizeof room);
	OPENED definite = open_wish(der_since(&d, sizeof room), view_text("x"), WORK_ENOUGH, 0);
	assert_refused(definite, FAULT_MALFORMED_PKCS12, "RFC 7292 4");
	for (size_t i = 0; i < 100000; i++)
		buf_put(scratch, "\x30\x80", 2);
	OPENED indefinite = open_scratch();
	assert_refused(indefinite, FAULT_MALFORMED_PKCS12, "RFC 7292 4");
	buf_reset(scratch);
	buf_put(scratch, "\x30\x80\x02\x01\x03\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01\xa0\x80", 20);
	for (size_t i = 0; i < 100000; i++)
		buf_put(scratch, "\x24\x80", 2);
	OPENED strings = open_scratch();
	assert_refused(strings, FAULT_MALFORMED_PKCS12, "RFC 7292 4");
}

static void more_keys_than_identities_are_allowed_are_too_expensive(void **state)
{
	(void)state;
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	for (size_t i = 0; i < 65; i++) {
		EVP_PKEY *key = EVP_EC_gen("P-256");
		put_key(bags, key, NULL, 0, 0, "");
		EVP_PKEY_free(key);
	}
	finish(bags, "x", scratch);
	OPENED o = open_scratch();
	assert_refused(o, FAULT_TOO_EXPENSIVE, "64 private keys");
}

static void warnings_are_bounded_and_the_last_says_so(void **state)
{
	(void)state;
	X509 *x = make_plain("Anna", key_ec(0));
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	put_key(bags, key_ec(0), NULL, 0, 0, "");
	put_certificate(bags, x, NULL);
	for (size_t i = 0; i < 1000; i++) {
		const uint8_t secret[] = { 5, 0 };
		PKCS12_SAFEBAG *bag = PKCS12_SAFEBAG_create_secret(NID_pkcs7_data, V_ASN1_OCTET_STRING, secret,
								   sizeof secret);
		assert_non_null(bag);
		sk_PKCS12_SAFEBAG_push(bags, bag);
	}
	finish(bags, "x", scratch);
	OPENED o = open_scratch();
	assert_int_equal(o.rc, 0);
	struct msg_opened_pfx m;
	assert_int_equal(read_opened_pfx(buf_view(o.answer), &m), 0);
	size_t count = 0;
	struct msg_warning last = { 0 };
	for (; m.warnings.len > 0; count++)
		assert_int_equal(get_warning(&m.warnings, &last), 0);
	assert_int_equal(count, WARNINGS_MAX);
	assert_non_null(memmem(last.detail.p, last.detail.len, "more", 4));
	X509_free(x);
}

/* ---- bytes ---- */

static void a_file_with_a_tail_or_without_its_end_is_malformed(void **state)
{
	(void)state;
	make_file(key_ec(0), make_plain("Anna", key_ec(0)), "x", NID_aes_256_cbc, NID_aes_256_cbc, 1, scratch);
	buf_put_u8(scratch, 0);
	OPENED tail = open_scratch();
	assert_refused(tail, FAULT_MALFORMED_PKCS12, "1 bytes too many");
	for (size_t len = buf_len(scratch) - 1; len-- > 0;) {
		OPENED cut = open_wish(view_of(buf_data(scratch), len), view_text("x"), WORK_ENOUGH, 0);
		assert_int_equal(cut.rc, -FAULT_MALFORMED_PKCS12);
	}
}

static void no_flipped_bit_opens_a_file(void **state)
{
	(void)state;
	make_file(key_ec(0), make_plain("Anna", key_ec(0)), "x", NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
		  NID_aes_256_cbc, 1,
		  scratch);
	uint8_t *at = (uint8_t *)(uintptr_t)buf_data(scratch);
	for (size_t i = 0; i < buf_len(scratch) * 8; i++) {
		at[i / 8] ^= (uint8_t)(1u << i % 8);
		OPENED o = open_scratch();
		at[i / 8] ^= (uint8_t)(1u << i % 8);
		/* What is said twice (the length of a default, a NULL parameter) may change without harm. */
		if (o.rc == 0)
			assert_int_equal(o.identities, 1);
		else
			assert_true(fault_status(o.rc) == 422);
	}
}

/* ---- keys ---- */

static void a_private_key_whose_parts_were_changed_is_a_mismatch(void **state)
{
	(void)state;
	EVP_PKEY *keys[] = { key_rsa(0), key_ec(0) };
	for (size_t k = 0; k < 2; k++) {
		PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(keys[k]);
		uint8_t *der = NULL;
		size_t len = (size_t)i2d_PKCS8_PRIV_KEY_INFO(p8, &der);
		PKCS8_PRIV_KEY_INFO_free(p8);
		for (size_t at = k == 0 ? 60 : 40; at < len; at += k == 0 ? 97 : 5) {
			begin(NULL);
			der[at] ^= 2;
			put_plain_key(view_of(der, len));
			finish_contents(sizeof room);
			der[at] ^= 2;
			OPENED o = open_scratch();
			assert_true(o.rc == -FAULT_KEY_MISMATCH || o.rc == -FAULT_MALFORMED_PKCS12);
		}
		OPENSSL_free(der);
	}
}

static void an_rsa_key_with_zeros_or_giants_in_it_is_refused(void **state)
{
	(void)state;
	for (int which = 0; which < 9; which++) {
		begin(NULL);
		static const uint8_t zero[] = { 2, 1, 0 };
		for (int i = 8; i > 0; i--) {
			size_t mark = der_mark(&d);
			for (size_t n = 0; n < (i == which ? 20000u : 256u); n++)
				DER_PUT(&d, 0x7b);
			if (which == 0) {
				d.left = mark;
				der_put(&d, view_of(zero, sizeof zero));
			} else {
				der_wrap(&d, DER_INTEGER, mark);
			}
		}
		DER_PUT(&d, 2, 1, 0);
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		der_wrap(&d, DER_OCTETS, sizeof room);
		DER_PUT(&d, 0x30, 13, 0x06, 9, OID_PKCS(1, 1), 5, 0);
		DER_PUT(&d, 2, 1, 0);
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		WRAP_BAG(sizeof room, OID_KEY_BAG);
		finish_contents(sizeof room);
		OPENED o = open_scratch();
		assert_true(o.rc < 0 && fault_status(o.rc) == 422);
	}
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_content_info_without_content_is_malformed_cve_2024_0727),
		TEST(bags_without_their_value_are_malformed),
		TEST(an_encryption_without_parameters_is_malformed),
		TEST(a_file_without_a_mac_is_refused_as_that),
		TEST(public_key_modes_are_unsupported_by_name),
		TEST(iteration_counts_that_lie_are_refused_at_once),
		TEST(the_work_of_all_bags_is_added_up_before_any_is_done),
		TEST(what_only_a_decryption_shows_is_charged_before_it_is_derived),
		TEST(a_key_length_of_pbmac1_is_bounded_cve_2025_11187),
		TEST(safe_contents_may_be_nested_four_deep),
		TEST(sequences_inside_of_sequences_end_nothing_but_the_file),
		TEST(more_keys_than_identities_are_allowed_are_too_expensive),
		TEST(warnings_are_bounded_and_the_last_says_so),
		TEST(a_file_with_a_tail_or_without_its_end_is_malformed),
		TEST(no_flipped_bit_opens_a_file),
		TEST(a_private_key_whose_parts_were_changed_is_a_mismatch),
		TEST(an_rsa_key_with_zeros_or_giants_in_it_is_refused),
	};
	return cmocka_run_group_tests_name("opener_hostile", tests, NULL, NULL);
}
