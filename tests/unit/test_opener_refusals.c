/* What is refused, and for which reason: an administrator with ten thousand files sorts them by these codes. A wrong
 * password, an algorithm that is not supported and a file that is broken are never taken for each other. */
#include "opener_writer.h"

static const uint8_t zeros[64];

/* ---- algorithms that are not supported, each by its number ---- */

#define OID_HMAC(n)  0x06, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, n
#define OID_AES256   0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 42
#define OID_PBES2    0x06, 9, OID_PKCS(5, 13)
#define OID_SCRYPT   0x06, 9, 0x2b, 6, 1, 4, 1, 0xda, 0x47, 4, 11
#define BYTES(...)   view_of((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* kdf and what it says, cipher with an IV of 16 bytes. */
static void put_pbes2(struct view kdf, struct view prf, struct view cipher)
{
	size_t all = der_mark(&d);
	der_put_value(&d, DER_OCTETS, view_of(zeros, 16));
	der_put(&d, cipher);
	der_wrap(&d, DER_SEQUENCE, all);
	size_t mark = der_mark(&d);
	der_put(&d, prf);
	der_wrap(&d, DER_SEQUENCE, mark);
	DER_PUT(&d, SALT, 2, 1, 1);
	der_wrap(&d, DER_SEQUENCE, mark);
	der_put(&d, kdf);
	der_wrap(&d, DER_SEQUENCE, mark);
	der_wrap(&d, DER_SEQUENCE, all);
	DER_PUT(&d, OID_PBES2);
	der_wrap(&d, DER_SEQUENCE, all);
}

static void put_pbes1(struct view oid)
{
	size_t mark = der_mark(&d);
	DER_PUT(&d, SALT, 2, 1, 1);
	der_wrap(&d, DER_SEQUENCE, mark);
	der_put(&d, oid);
	der_wrap(&d, DER_SEQUENCE, mark);
}

/* Around the AlgorithmIdentifier that was written, in a file of one shrouded key. */
static void finish_shrouded(void)
{
	BUF algorithm = buf_new(KIB);
	buf_put(algorithm, der_since(&d, sizeof room).p, der_since(&d, sizeof room).len);
	begin(NULL);
	der_put_value(&d, DER_OCTETS, view_of(zeros, 32));
	der_put(&d, buf_view(algorithm));
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	WRAP_BAG(sizeof room, OID_SHROUDED_BAG);
	finish_contents(sizeof room);
}

static void an_encryption_that_is_not_supported_is_named_by_its_number(void **state)
{
	(void)state;
	static const struct {
		uint8_t pbes1[16], kdf[16], prf[16], cipher[16]; /* pbes1: no PBES2 */
		const char *oid;
	} rows[] = {
		{ .pbes1 = { 0x06, 9, OID_PKCS(5, 3) }, .oid = "1.2.840.113549.1.5.3" }, /* MD5 and DES */
		{ .pbes1 = { 0x06, 9, OID_PKCS(5, 10) }, .oid = "1.2.840.113549.1.5.10" },
		{ .pbes1 = { 0x06, 10, OID_PKCS(12, 1, 7) }, .oid = "1.2.840.113549.1.12.1.7" },
		{ { 0 }, { 0x06, 9, OID_PKCS(5, 11) }, { OID_HMAC(9) }, { OID_AES256 }, "1.2.840.113549.1.5.11" },
		{ { 0 }, { OID_PBKDF2 }, { OID_HMAC(6) }, { OID_AES256 }, "1.2.840.113549.2.6" }, /* HMAC-MD5 */
		{ { 0 }, { OID_PBKDF2 }, { OID_HMAC(12) }, { OID_AES256 }, "1.2.840.113549.2.12" }, /* SHA-512/224 */
		{ { 0 }, { OID_PBKDF2 }, { OID_HMAC(9) }, { 0x06, 5, 0x2b, 0x0e, 3, 2, 7 }, "1.3.14.3.2.7" }, /* DES */
		{ { 0 }, { OID_PBKDF2 }, { OID_HMAC(9) }, { 0x06, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 2 },
		  "1.2.840.113549.3.2" }, /* RC2 */
		{ { 0 }, { OID_PBKDF2 }, { OID_HMAC(9) }, { 0x06, 9, 0x2a, 0x83, 0x1a, 0x8c, 0x9a, 0x6e, 1, 1, 14 },
		  "1.2.410.200046.1.1.14" }, /* ARIA-256 */
		{ { 0 }, { OID_PBKDF2 }, { OID_HMAC(9) }, { 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 46 },
		  "2.16.840.1.101.3.4.1.46" }, /* AES-256-GCM */
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin(NULL);
		if (rows[i].pbes1[0])
			put_pbes1(view_of(rows[i].pbes1, 2u + rows[i].pbes1[1]));
		else
			put_pbes2(view_of(rows[i].kdf, 2u + rows[i].kdf[1]), view_of(rows[i].prf, 2u + rows[i].prf[1]),
				  view_of(rows[i].cipher, 2u + rows[i].cipher[1]));
		finish_shrouded();
		OPENED o = open_scratch();
		assert_refused(o, FAULT_UNSUPPORTED_ALGORITHM, rows[i].oid);
		assert_non_null(strstr(fault_detail(), "export it again with"));
		/* The password first: who has the wrong one need not yet export anything. */
		OPENED wrong = open_it(scratch, "y");
		assert_refused(wrong, FAULT_WRONG_PASSWORD, "try the one");
	}
}

/* MacData around the AlgorithmIdentifier that was written. */
static void finish_with_mac(size_t digest_len)
{
	BUF algorithm = buf_new(KIB);
	BUF mac = buf_new(KIB);
	buf_put(algorithm, der_since(&d, sizeof room).p, der_since(&d, sizeof room).len);
	begin(NULL);
	DER_PUT(&d, SALT, 2, 1, 1);
	size_t info = der_mark(&d);
	der_put_value(&d, DER_OCTETS, view_of(zeros, digest_len));
	der_put(&d, buf_view(algorithm));
	der_wrap(&d, DER_SEQUENCE, info);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	buf_put(mac, der_since(&d, sizeof room).p, der_since(&d, sizeof room).len);
	const struct view v = buf_view(mac);
	begin(NULL);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	finish_pfx(sizeof room, v, &v);
}

static void a_mac_that_is_not_supported_is_named_by_its_number(void **state)
{
	(void)state;
	static const struct {
		uint8_t hash[16];
		size_t len;
		const char *oid;
	} rows[] = {
		{ { 0x06, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5 }, 16, "1.2.840.113549.2.5" }, /* MD5 */
		{ { 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 6 }, 32, "2.16.840.1.101.3.4.2.6" }, /* SHA-512/256 */
		{ { 0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 8 }, 32, "2.16.840.1.101.3.4.2.8" }, /* SHA3-256 */
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin(NULL);
		DER_PUT(&d, 5, 0);
		der_put(&d, view_of(rows[i].hash, 2u + rows[i].hash[1]));
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		finish_with_mac(rows[i].len);
		OPENED o = open_scratch();
		assert_refused(o, FAULT_UNSUPPORTED_ALGORITHM, rows[i].oid);
		assert_non_null(strstr(fault_detail(), "export it again with"));
	}
}

/* PBMAC1-params as RFC 9579 has them, of any functions. */
static void put_pbmac1(struct view kdf, struct view kdf_params, struct view scheme)
{
	der_put(&d, scheme);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	size_t mark = der_mark(&d);
	der_put(&d, kdf_params);
	der_put(&d, kdf);
	der_wrap(&d, DER_SEQUENCE, mark);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	DER_PUT(&d, OID_PBMAC1);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
}

static void pbmac1_of_other_functions_is_named_by_their_numbers(void **state)
{
	(void)state;
#define PBKDF2_PARAMS(n) 0x30, 0x1c, SALT, 2, 1, 1, 2, 1, 32, 0x30, 10, OID_HMAC(n)
	static const struct {
		uint8_t kdf[16], params[40], scheme[16];
		const char *oid;
	} rows[] = {
		{ { OID_SCRYPT }, { 0x30, 0x16, SALT, 2, 1, 2, 2, 1, 1, 2, 1, 1, 2, 1, 32 }, { OID_HMAC(9) },
		  "1.3.6.1.4.1.11591.4.11" },
		{ { OID_PBKDF2 }, { PBKDF2_PARAMS(6) }, { OID_HMAC(9) }, "1.2.840.113549.2.6" },
		{ { OID_PBKDF2 }, { PBKDF2_PARAMS(9) }, { OID_HMAC(12) }, "1.2.840.113549.2.12" },
		{ { 0x06, 3, 0x2a, 3, 4 }, { PBKDF2_PARAMS(9) }, { OID_HMAC(9) }, "1.2.3.4" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin(NULL);
		put_pbmac1(view_of(rows[i].kdf, 2u + rows[i].kdf[1]), view_of(rows[i].params, 2u + rows[i].params[1]),
			   view_of(rows[i].scheme, 2u + rows[i].scheme[1]));
		finish_with_mac(32);
		OPENED o = open_scratch();
		assert_refused(o, FAULT_UNSUPPORTED_ALGORITHM, rows[i].oid);
		assert_non_null(strstr(fault_detail(), "export it again with"));
	}
}

/* ---- algorithms with parameters that they can not have ---- */

static void a_mac_of_pbmac1_without_parameters_is_malformed(void **state)
{
	(void)state;
	DER_PUT(&d, OID_PBMAC1, 5, 0);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	finish_with_mac(32);
	OPENED o = open_scratch();
	assert_refused(o, FAULT_MALFORMED_PKCS12, "PBMAC1 without parameters");
}

static void a_key_length_that_is_not_the_ciphers_is_malformed(void **state)
{
	(void)state;
	size_t all = der_mark(&d);
	der_put_value(&d, DER_OCTETS, view_of(zeros, 16));
	DER_PUT(&d, OID_AES256);
	der_wrap(&d, DER_SEQUENCE, all);
	size_t mark = der_mark(&d);
	DER_PUT(&d, SALT, 2, 1, 1, 2, 1, 16, 0x30, 10, OID_HMAC(9));
	der_wrap(&d, DER_SEQUENCE, mark);
	DER_PUT(&d, OID_PBKDF2);
	der_wrap(&d, DER_SEQUENCE, mark);
	der_wrap(&d, DER_SEQUENCE, all);
	DER_PUT(&d, OID_PBES2);
	der_wrap(&d, DER_SEQUENCE, all);
	finish_shrouded();
	OPENED o = open_scratch();
	assert_refused(o, FAULT_MALFORMED_PKCS12, "key length that is not the cipher's");
}

/* A file of one shrouded key under scrypt of this cost parameter, a whole INTEGER. */
static struct opened open_scrypt_cost(struct view cost)
{
	begin(NULL);
	size_t all = der_mark(&d);
	der_put_value(&d, DER_OCTETS, view_of(zeros, 16));
	DER_PUT(&d, OID_AES256);
	der_wrap(&d, DER_SEQUENCE, all);
	size_t mark = der_mark(&d);
	DER_PUT(&d, 2, 1, 1, 2, 1, 1);
	der_put(&d, cost);
	DER_PUT(&d, SALT);
	der_wrap(&d, DER_SEQUENCE, mark);
	DER_PUT(&d, OID_SCRYPT);
	der_wrap(&d, DER_SEQUENCE, mark);
	der_wrap(&d, DER_SEQUENCE, all);
	DER_PUT(&d, OID_PBES2);
	der_wrap(&d, DER_SEQUENCE, all);
	finish_shrouded();
	return open_scratch();
}

static void a_cost_of_scrypt_is_a_power_of_two_below_64_bits(void **state)
{
	(void)state;
	OPENED one = open_scrypt_cost(BYTES(2, 1, 1));
	assert_refused(one, FAULT_MALFORMED_PKCS12, "not a power of two");
	OPENED three = open_scrypt_cost(BYTES(2, 1, 3));
	assert_refused(three, FAULT_MALFORMED_PKCS12, "not a power of two");
	OPENED beyond = open_scrypt_cost(BYTES(2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0));
	assert_refused(beyond, FAULT_TOO_EXPENSIVE, "beyond 64 bits");
}

static void a_certificate_that_is_not_in_octets_is_malformed(void **state)
{
	(void)state;
	size_t mark = der_mark(&d);
	DER_PUT(&d, DER_INTEGER, 1, 3);
	der_wrap(&d, DER_CONTEXT_0, mark);
	DER_PUT(&d, OID_X509_CERTIFICATE);
	der_wrap(&d, DER_SEQUENCE, mark);
	WRAP_BAG(mark, OID_CERT_BAG);
	put_identity();
	finish_contents(sizeof room);
	OPENED o = open_scratch();
	assert_refused(o, FAULT_MALFORMED_PKCS12, "not in an OCTET STRING");
}

static void contents_of_no_length_whose_end_is_missing_or_not_the_last_are_malformed(void **state)
{
	(void)state;
	const struct view contents[] = { BYTES(0x30, 0x80), BYTES(0x30, 0x80, 0, 0, 0, 0) };
	for (size_t i = 0; i < 2; i++) {
		begin(NULL);
		der_put(&d, contents[i]);
		wrap_data(sizeof room);
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		finish_pfx(sizeof room, view_of(one_iteration, sizeof one_iteration), NULL);
		OPENED o = open_scratch();
		assert_refused(o, FAULT_MALFORMED_PKCS12, "its end is missing, or is not the last of it");
	}
}

/* ---- wrong passwords, and broken files ---- */

/* Key and certificate under one password, the MAC under another; key_pbe 0: nothing is encrypted. */
static void make_under_two(const char *inside, const char *outside, int pbe)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin(), *keys = bags_begin();
	STACK_OF(PKCS7) *safes = NULL;
	X509 *x = make_plain("Anna", key_ec(0));
	put_certificate(bags, x, NULL);
	put_key(keys, key_ec(0), NULL, pbe, 2, inside);
	assert_int_equal(PKCS12_add_safe(&safes, bags, pbe ? pbe : -1, 2, inside), 1);
	assert_int_equal(PKCS12_add_safe(&safes, keys, -1, 0, NULL), 1);
	begin(NULL);
	finish_safes(safes, outside, 0, 2, scratch);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	sk_PKCS12_SAFEBAG_pop_free(keys, PKCS12_SAFEBAG_free);
	X509_free(x);
}

static const int both_pbes[] = { NID_aes_256_cbc, NID_pbe_WithSHA1And3_Key_TripleDES_CBC };

static void a_file_that_was_changed_is_malformed_under_the_right_password_alone(void **state)
{
	(void)state;
	for (size_t which = 0; which < 2; which++) {
		make_under_two("x", "x", both_pbes[which]);
		uint8_t *at = (uint8_t *)(uintptr_t)buf_data(scratch);
		size_t len = buf_len(scratch), changed = 0;
		static const uint8_t data[] = { 0x06, 9, OID_PKCS(7, 1) };
		uint8_t *encrypted = memmem(at + 40, len - 40, data, sizeof data);
		assert_non_null(encrypted);
		/* From behind the first blocks of the certificate's ciphertext to the last byte, the MAC's salt. */
		for (size_t i = (size_t)(encrypted - at) + 150; i < len; i += 7) {
			at[i] ^= 0x10;
			OPENED right = open_it(scratch, "x");
			OPENED wrong = open_it(scratch, "y");
			at[i] ^= 0x10;
			assert_true(right.rc != -FAULT_WRONG_PASSWORD);
			assert_true(wrong.rc == right.rc || wrong.rc == -FAULT_WRONG_PASSWORD);
			changed += right.rc == -FAULT_MALFORMED_PKCS12 && wrong.rc == -FAULT_WRONG_PASSWORD;
		}
		assert_true(changed > 50);
	}
}

static void a_mac_that_is_broken_is_told_from_a_wrong_password_where_anything_is_encrypted(void **state)
{
	(void)state;
	for (size_t which = 0; which < 3; which++) {
		make_under_two("x", "x", which < 2 ? both_pbes[which] : 0);
		uint8_t *at = (uint8_t *)(uintptr_t)buf_data(scratch);
		at[buf_len(scratch) - 20] ^= 1; /* behind it: a salt of 8 bytes, an iteration count of one */
		OPENED o = open_it(scratch, "x");
		if (which < 2)
			assert_refused(o, FAULT_MALFORMED_PKCS12, "the MAC does not verify");
		else
			assert_refused(o, FAULT_WRONG_PASSWORD, "try the one");
		OPENED wrong = open_it(scratch, "y");
		assert_refused(wrong, FAULT_WRONG_PASSWORD, "try the one");
	}
}

static void a_file_under_two_passwords_is_malformed_whichever_is_given(void **state)
{
	(void)state;
	for (size_t which = 0; which < 2; which++) {
		make_under_two("inside", "outside", both_pbes[which]);
		OPENED inside = open_it(scratch, "inside");
		assert_refused(inside, FAULT_MALFORMED_PKCS12, "it is under another password");
		OPENED outside = open_it(scratch, "outside");
		assert_refused(outside, FAULT_MALFORMED_PKCS12, "with the password of the MAC");
		OPENED neither = open_it(scratch, "x");
		assert_refused(neither, FAULT_WRONG_PASSWORD, "try the one");
	}
}

static void a_password_in_latin_1_is_told_from_a_changed_file_too(void **state)
{
	(void)state;
	make_under_two("M\xfcller", "M\xfcller", NID_aes_256_cbc);
	OPENED good = open_it(scratch, "Müller");
	assert_int_equal(good.rc, 0);
	uint8_t *at = (uint8_t *)(uintptr_t)buf_data(scratch);
	at[buf_len(scratch) - 20] ^= 1;
	OPENED changed = open_it(scratch, "Müller");
	assert_refused(changed, FAULT_MALFORMED_PKCS12, "the MAC does not verify");
	OPENED wrong = open_it(scratch, "Möller");
	assert_refused(wrong, FAULT_WRONG_PASSWORD, "try the one");
}

static void what_is_broken_in_the_clear_is_malformed_under_any_password(void **state)
{
	(void)state;
	DER_PUT(&d, 5, 0);
	WRAP_BAG(sizeof room, OID_SHROUDED_BAG);
	finish_contents(sizeof room);
	OPENED right = open_scratch();
	assert_refused(right, FAULT_MALFORMED_PKCS12, "RFC 7292 4.2.2");
	OPENED wrong = open_it(scratch, "y");
	assert_refused(wrong, FAULT_MALFORMED_PKCS12, "RFC 7292 4.2.2");
}

static void what_is_broken_inside_of_an_encryption_is_malformed(void **state)
{
	(void)state;
	put_pbes1((struct view){ (const uint8_t[]){ OID_PBE_3DES }, 12 });
	finish_shrouded();
	OPENED o = open_scratch();
	assert_refused(o, FAULT_MALFORMED_PKCS12, "can not be decrypted");
}

/* ---- what to do ---- */

static void make_pair(EVP_PKEY *key, EVP_PKEY *certified, const char *extended_usage)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	struct certificate_wish w = { .subject = "Anna", .issuer = "CA", .key = certified, .signer = key_ec(7) };
	if (extended_usage)
		w.extensions[0][0] = "extendedKeyUsage", w.extensions[0][1] = extended_usage;
	if (key)
		put_key(bags, key, NULL, 0, 0, "");
	if (certified) {
		X509 *x = make_certificate(&w);
		put_certificate(bags, x, NULL);
		X509_free(x);
	}
	begin(NULL);
	finish(bags, "x", scratch);
}

static void every_refusal_says_what_to_do(void **state)
{
	(void)state;
	EVP_PKEY *weak = EVP_RSA_gen(768);
	make_pair(key_ec(0), key_ec(0), NULL);
	OPENED wrong = open_it(scratch, "y");
	assert_refused(wrong, FAULT_WRONG_PASSWORD, "try the one with which it was exported");
	OPENED costly = open_wish(buf_view(scratch), view_text("x"), 1, 0);
	assert_refused(costly, FAULT_TOO_EXPENSIVE, "export fewer identities at a time, or with fewer iterations");
	OPENED cut = open_wish(view_of(buf_data(scratch), buf_len(scratch) - 1), view_text("x"), WORK_ENOUGH, 0);
	assert_refused(cut, FAULT_MALFORMED_PKCS12, "the end of this PFX is missing: copy or export it again");
	OPENED other = open_wish(view_text("PK\3\4, a ZIP file"), view_text("x"), WORK_ENOUGH, 0);
	assert_refused(other, FAULT_MALFORMED_PKCS12, "give the .pfx or .p12 that was exported");
	OPENED pem = open_wish(view_text("-----BEGIN CERTIFICATE-----"), view_text("x"), WORK_ENOUGH, 0);
	assert_refused(pem, FAULT_MALFORMED_PKCS12, "make one with openssl pkcs12 -export");
	make_pair(NULL, key_ec(0), NULL);
	OPENED no_key = open_scratch();
	assert_refused(no_key, FAULT_NO_PRIVATE_KEY, "export it again with its key");
	make_pair(key_ec(0), NULL, NULL);
	OPENED no_certificate = open_scratch();
	assert_refused(no_certificate, FAULT_NO_CERTIFICATE, "export the key with its certificate");
	make_pair(key_ec(0), key_ec(1), NULL);
	OPENED mismatch = open_scratch();
	assert_refused(mismatch, FAULT_KEY_MISMATCH, "export the key with its own certificate");
	make_pair(key_ec(0), key_ec(0), "serverAuth");
	OPENED not_for_mail = open_scratch();
	assert_refused(not_for_mail, FAULT_NOT_FOR_MAIL, "name usages to import it all the same");
	make_pair(weak, weak, NULL);
	OPENED weak_key = open_scratch();
	assert_refused(weak_key, FAULT_WEAK_KEY, "use a longer one");
	const struct view none = view_of("", 0);
	begin(NULL);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	finish_pfx(sizeof room, none, &none);
	OPENED no_mac = open_scratch();
	assert_refused(no_mac, FAULT_MAC_MISSING, "export it again with one");
	EVP_PKEY_free(weak);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_encryption_that_is_not_supported_is_named_by_its_number),
		TEST(a_mac_that_is_not_supported_is_named_by_its_number),
		TEST(pbmac1_of_other_functions_is_named_by_their_numbers),
		TEST(a_mac_of_pbmac1_without_parameters_is_malformed),
		TEST(a_key_length_that_is_not_the_ciphers_is_malformed),
		TEST(a_cost_of_scrypt_is_a_power_of_two_below_64_bits),
		TEST(a_certificate_that_is_not_in_octets_is_malformed),
		TEST(contents_of_no_length_whose_end_is_missing_or_not_the_last_are_malformed),
		TEST(a_file_that_was_changed_is_malformed_under_the_right_password_alone),
		TEST(a_mac_that_is_broken_is_told_from_a_wrong_password_where_anything_is_encrypted),
		TEST(a_file_under_two_passwords_is_malformed_whichever_is_given),
		TEST(a_password_in_latin_1_is_told_from_a_changed_file_too),
		TEST(what_is_broken_in_the_clear_is_malformed_under_any_password),
		TEST(what_is_broken_inside_of_an_encryption_is_malformed),
		TEST(every_refusal_says_what_to_do),
	};
	return cmocka_run_group_tests_name("opener_refusals", tests, NULL, NULL);
}
