/* PKCS#10 requests: whose key comes back, and what is refused before it is verified. */
#include "opener_maker.h"

#include "opener/open_csr.h"

#include <openssl/core_names.h>
#include <openssl/rsa.h>

static struct buf *answer;
static struct buf *der;

static int begin(void **state)
{
	(void)state;
	if (!answer)
		answer = buf_new(FILE_MAX_BYTES);
	if (!der)
		der = buf_new(FILE_MAX_BYTES);
	buf_reset(answer);
	buf_reset(der);
	return 0;
}

/* digest NULL: the algorithm has none of its own. */
static X509_REQ *make_request(EVP_PKEY *key, const EVP_MD *digest)
{
	X509_REQ *csr = X509_REQ_new();
	assert_non_null(csr);
	set_name(X509_REQ_get_subject_name(csr), "whatever it says");
	X509_REQ_set_version(csr, X509_REQ_VERSION_1);
	X509_REQ_set_pubkey(csr, key);
	assert_true(X509_REQ_sign(csr, key, digest) > 0);
	return csr;
}

/* Puts it into der, and frees it. */
static void encode(X509_REQ *csr)
{
	int len = i2d_X509_REQ(csr, NULL);
	buf_reset(der);
	uint8_t *at = buf_reserve(der, (size_t)len);
	assert_non_null(at);
	i2d_X509_REQ(csr, &at);
	X509_REQ_free(csr);
}

static int open_der(void)
{
	const struct msg_open_csr m = { .csr = buf_view(der) };
	buf_reset(answer);
	return open_csr(&m, answer);
}

static struct msg_opened_csr opened(void)
{
	struct msg_opened_csr m;
	assert_int_equal(open_der(), 0);
	assert_int_equal(read_opened_csr(buf_view(answer), &m), 0);
	return m;
}

#define assert_code(rc, expected, words) \
	do { \
		assert_string_equal(fault_code(rc), fault_code(-(int)(expected))); \
		assert_non_null(strstr(fault_detail(), (words))); \
	} while (0)

static bool stands_in_request(struct view v)
{
	return v.len > 0 && memmem(buf_data(der), buf_len(der), v.p, v.len);
}

static void an_rsa_request_gives_modulus_and_exponent(void **state)
{
	(void)state;
	encode(make_request(key_rsa(0), EVP_sha256()));
	struct msg_opened_csr m = opened();
	assert_int_equal(m.kind, DEVICE_KEY_RSA);
	assert_int_equal(m.modulus.len, 256);
	assert_true(m.modulus.p[0] & 0x80);
	assert_int_equal(m.exponent, 65537);
	assert_int_equal(m.point.len, 0);
	assert_true(stands_in_request(m.modulus));
}

static void a_request_on_p_256_or_p_384_gives_the_point(void **state)
{
	(void)state;
	static const struct {
		const char *curve;
		enum device_key_kind kind;
		size_t len;
	} rows[] = { { "P-256", DEVICE_KEY_P256, 65 }, { "P-384", DEVICE_KEY_P384, 97 } };
	for (size_t i = 0; i < 2; i++) {
		EVP_PKEY *key = EVP_EC_gen(rows[i].curve);
		encode(make_request(key, EVP_sha384()));
		struct msg_opened_csr m = opened();
		assert_int_equal(m.kind, rows[i].kind);
		assert_int_equal(m.point.len, rows[i].len);
		assert_int_equal(m.point.p[0], 4);
		assert_true(stands_in_request(m.point));
		EVP_PKEY_free(key);
	}
}

static void a_sha_1_signature_proves_possession_and_md5_does_not(void **state)
{
	(void)state;
	encode(make_request(key_rsa(0), EVP_sha1()));
	assert_int_equal(open_der(), 0);
	encode(make_request(key_rsa(0), EVP_md5()));
	assert_code(open_der(), FAULT_UNSUPPORTED_ALGORITHM, "1.2.840.113549.1.1.4");
}

/* RFC 4055 3.1. The parameters are replaced where they are given: the signature does not hold then. */
static void make_pss_request(const char *digest, struct view parameters)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *of_key = NULL;
	X509_REQ *csr = make_request(key_rsa(0), EVP_sha256());
	const X509_ALGOR *algorithm = NULL;
	assert_int_equal(EVP_DigestSignInit(ctx, &of_key, EVP_get_digestbyname(digest), NULL, key_rsa(0)), 1);
	assert_true(EVP_PKEY_CTX_set_rsa_padding(of_key, RSA_PKCS1_PSS_PADDING) > 0);
	assert_true(X509_REQ_sign_ctx(csr, ctx) > 0);
	X509_REQ_get0_signature(csr, NULL, &algorithm);
	assert_int_equal(OBJ_obj2nid(algorithm->algorithm), NID_rsassaPss);
	if (parameters.p) {
		ASN1_STRING *bytes = ASN1_STRING_new();
		assert_true(ASN1_STRING_set(bytes, parameters.p, (int)parameters.len));
		X509_ALGOR_set0((X509_ALGOR *)(uintptr_t)algorithm, OBJ_nid2obj(NID_rsassaPss),
				parameters.len > 0 ? V_ASN1_SEQUENCE : V_ASN1_UNDEF, bytes);
		if (parameters.len == 0)
			ASN1_STRING_free(bytes);
	}
	EVP_MD_CTX_free(ctx);
	encode(csr);
}

static void a_pss_signature_proves_possession_by_the_hash_in_its_parameters(void **state)
{
	(void)state;
	static const uint8_t defaults[] = { 0x30, 0x00 }, no_parameters[] = { 0x30, 0x02, 0x05, 0x00 };
	make_pss_request("SHA256", (struct view){ NULL, 0 });
	assert_int_equal(opened().kind, DEVICE_KEY_RSA);
	make_pss_request("SHA1", (struct view){ NULL, 0 });
	assert_int_equal(opened().kind, DEVICE_KEY_RSA);
	make_pss_request("SHA256", view_of(defaults, sizeof defaults)); /* SHA-1, and that it was not */
	assert_code(open_der(), FAULT_BAD_PROOF_OF_POSSESSION, "");
	make_pss_request("SHA256", view_of(no_parameters, sizeof no_parameters));
	assert_code(open_der(), FAULT_UNSUPPORTED_ALGORITHM, "1.2.840.113549.1.1.10");
	make_pss_request("SHA256", view_of(defaults, 0));
	assert_code(open_der(), FAULT_UNSUPPORTED_ALGORITHM, "1.2.840.113549.1.1.10");
}

static void a_request_signed_by_another_key_is_no_proof(void **state)
{
	(void)state;
	X509_REQ *csr = make_request(key_ec(0), EVP_sha256());
	X509_REQ_set_pubkey(csr, key_ec(1));
	encode(csr);
	assert_code(open_der(), FAULT_BAD_PROOF_OF_POSSESSION, "RFC 2986");
	csr = make_request(key_rsa(0), EVP_sha256());
	assert_true(X509_REQ_sign(csr, key_rsa(1), EVP_sha256()) > 0);
	encode(csr);
	assert_code(open_der(), FAULT_BAD_PROOF_OF_POSSESSION, "RFC 2986");
	csr = make_request(key_rsa(0), EVP_sha256());
	assert_true(X509_REQ_sign(csr, key_ec(0), EVP_sha256()) > 0);
	encode(csr);
	assert_code(open_der(), FAULT_BAD_PROOF_OF_POSSESSION, "RFC 2986");
}

static void no_flipped_bit_passes(void **state)
{
	(void)state;
	encode(make_request(key_ec(0), EVP_sha256()));
	uint8_t *at = (uint8_t *)(uintptr_t)buf_data(der);
	for (size_t i = 0; i < buf_len(der) * 8; i++) {
		at[i / 8] ^= (uint8_t)(1u << i % 8);
		int rc = open_der();
		at[i / 8] ^= (uint8_t)(1u << i % 8);
		assert_true(rc == -FAULT_MALFORMED_CSR || rc == -FAULT_BAD_PROOF_OF_POSSESSION ||
			    rc == -FAULT_UNSUPPORTED_ALGORITHM);
	}
}

static void bytes_after_or_missing_are_malformed(void **state)
{
	(void)state;
	encode(make_request(key_ec(0), EVP_sha256()));
	buf_put_u8(der, 0);
	assert_code(open_der(), FAULT_MALFORMED_CSR, "1 bytes too many");
	for (size_t len = buf_len(der) - 2; len > 0; len--) {
		buf_truncate(der, len);
		assert_int_equal(open_der(), -FAULT_MALFORMED_CSR);
	}
	buf_truncate(der, 0);
	assert_int_equal(open_der(), -FAULT_MALFORMED_CSR);
}

static void another_version_is_malformed(void **state)
{
	(void)state;
	static const uint8_t version[] = { V_ASN1_INTEGER, 1, 0 }; /* the first INTEGER; OpenSSL 3.5 sets no other one */
	encode(make_request(key_ec(0), EVP_sha256()));
	uint8_t *at = memmem(buf_data(der), buf_len(der), version, sizeof version);
	assert_non_null(at);
	at[2] = 1;
	assert_code(open_der(), FAULT_MALFORMED_CSR, "version");
}

/* A request with numbers for a key that nobody has: it is refused before its signature is looked at. */
static void make_rsa_request(int bits, BN_ULONG low_exponent, int exponent_bits)
{
	BIGNUM *n = BN_new(), *e = BN_new();
	assert_true(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD));
	BN_set_word(e, low_exponent);
	if (exponent_bits)
		BN_set_bit(e, exponent_bits - 1);
	uint8_t *raw = NULL;
	ASN1_INTEGER *numbers[] = { BN_to_ASN1_INTEGER(n, NULL), BN_to_ASN1_INTEGER(e, NULL) };
	uint8_t room[8192];
	struct der d;
	der_init(&d, room, sizeof room);
	size_t mark = der_mark(&d);
	for (size_t i = 2; i-- > 0;) {
		int len = i2d_ASN1_INTEGER(numbers[i], &raw);
		der_put(&d, view_of(raw, (size_t)len));
		OPENSSL_free(raw);
		ASN1_INTEGER_free(numbers[i]);
		raw = NULL;
	}
	der_wrap(&d, DER_SEQUENCE, mark);
	struct view key = der_since(&d, mark);
	X509_REQ *csr = make_request(key_rsa(0), EVP_sha256());
	uint8_t *copy = OPENSSL_memdup(key.p, key.len);
	X509_PUBKEY_set0_param(X509_REQ_get_X509_PUBKEY(csr), OBJ_nid2obj(NID_rsaEncryption), V_ASN1_NULL, NULL, copy,
			       (int)key.len);
	i2d_re_X509_REQ_tbs(csr, NULL);
	encode(csr);
	BN_free(n);
	BN_free(e);
}

static void rsa_keys_out_of_bounds_are_refused_before_they_are_used(void **state)
{
	(void)state;
	make_rsa_request(2047, 65537, 0);
	assert_code(open_der(), FAULT_WEAK_KEY, "2047 bits");
	make_rsa_request(512, 65537, 0);
	assert_code(open_der(), FAULT_WEAK_KEY, "512 bits");
	make_rsa_request(4097, 65537, 0);
	assert_code(open_der(), FAULT_UNSUPPORTED_ALGORITHM, "4097 bits");
	make_rsa_request(20000, 65537, 0);
	assert_code(open_der(), FAULT_UNSUPPORTED_ALGORITHM, "20000 bits");
	make_rsa_request(2048, 65536, 0);
	assert_code(open_der(), FAULT_MALFORMED_CSR, "RFC 8017");
	make_rsa_request(2048, 1, 0);
	assert_code(open_der(), FAULT_MALFORMED_CSR, "RFC 8017");
	make_rsa_request(2048, 1, 65);
	assert_code(open_der(), FAULT_UNSUPPORTED_ALGORITHM, "64 bits");
	make_rsa_request(2048, 1, 64);
	assert_code(open_der(), FAULT_BAD_PROOF_OF_POSSESSION, "");
}

static void keys_that_nothing_can_be_encrypted_to_are_refused(void **state)
{
	(void)state;
	EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	encode(make_request(ed, NULL));
	assert_code(open_der(), FAULT_UNSUPPORTED_ALGORITHM, "1.3.101.112");
	EVP_PKEY_free(ed);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
	EVP_PKEY *pss = NULL;
	assert_true(EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_keygen(ctx, &pss) == 1);
	encode(make_request(pss, EVP_sha256()));
	assert_code(open_der(), FAULT_WEAK_KEY, "RSA-PSS");
	EVP_PKEY_free(pss);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY *p521 = EVP_EC_gen("P-521");
	encode(make_request(p521, EVP_sha256()));
	assert_code(open_der(), FAULT_UNSUPPORTED_ALGORITHM, "P-521");
	EVP_PKEY_free(p521);
}

static void a_compressed_point_is_refused(void **state)
{
	(void)state;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed");
	encode(make_request(key, EVP_sha256()));
	assert_code(open_der(), FAULT_UNSUPPORTED_ALGORITHM, "uncompressed");
	EVP_PKEY_free(key);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_rsa_request_gives_modulus_and_exponent),
		TEST(a_request_on_p_256_or_p_384_gives_the_point),
		TEST(a_sha_1_signature_proves_possession_and_md5_does_not),
		TEST(a_pss_signature_proves_possession_by_the_hash_in_its_parameters),
		TEST(a_request_signed_by_another_key_is_no_proof),
		TEST(no_flipped_bit_passes),
		TEST(bytes_after_or_missing_are_malformed),
		TEST(another_version_is_malformed),
		TEST(rsa_keys_out_of_bounds_are_refused_before_they_are_used),
		TEST(keys_that_nothing_can_be_encrypted_to_are_refused),
		TEST(a_compressed_point_is_refused),
	};
	return cmocka_run_group_tests_name("opener_csr", tests, NULL, NULL);
}
