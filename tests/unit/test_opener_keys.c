/* Which keys and certificates are taken: sizes, curves and algorithms at their edges, and encodings that other readers
 * would take for something else. */
#include "opener_writer.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>

/* ---- makers ---- */

static void set_random_odd(BIGNUM *n, int bits)
{
	assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD), 1);
}

static EVP_PKEY *key_from(OSSL_PARAM_BLD *build, const char *type)
{
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
	assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params), 1);
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_BLD_free(build);
	return key;
}

/* Numbers that belong together as those of an RSA key do. Its factors are odd and no more: primes of 8,192 bits take
 * minutes, and nobody here looks. */
static EVP_PKEY *numbers_of_rsa(int bits)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *e = BN_new(), *n = BN_new(), *phi = BN_new(), *p = BN_new(), *q = BN_new(), *p1 = BN_new();
	BIGNUM *q1 = BN_new(), *private = BN_new(), *dp = BN_new(), *dq = BN_new(), *qinv = BN_new();
	BN_set_word(e, 65537);
	do {
		set_random_odd(p, bits - bits / 2);
		set_random_odd(q, bits / 2);
		BN_sub(p1, p, BN_value_one());
		BN_sub(q1, q, BN_value_one());
		BN_mul(phi, p1, q1, ctx);
	} while (!BN_mod_inverse(private, e, phi, ctx) || !BN_mod_inverse(qinv, q, p, ctx));
	ERR_clear_error();
	BN_mod_inverse(dp, e, p1, ctx);
	BN_mod_inverse(dq, e, q1, ctx);
	BN_mul(n, p, q, ctx);
	assert_int_equal(BN_num_bits(n), bits);
	static const char *const names[] = {
		OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D, OSSL_PKEY_PARAM_RSA_FACTOR1,
		OSSL_PKEY_PARAM_RSA_FACTOR2, OSSL_PKEY_PARAM_RSA_EXPONENT1, OSSL_PKEY_PARAM_RSA_EXPONENT2,
		OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
	};
	BIGNUM *const numbers[] = { n, e, private, p, q, dp, dq, qinv };
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(OSSL_PARAM_BLD_push_BN(build, names[i], numbers[i]), 1);
	EVP_PKEY *key = key_from(build, "RSA");
	for (size_t i = 0; i < 8; i++)
		BN_free(numbers[i]);
	BN_free(p1);
	BN_free(q1);
	BN_free(phi);
	BN_CTX_free(ctx);
	return key;
}

/* A certificate of the key, signed by another. */
static struct buf *certificate_of(EVP_PKEY *key)
{
	const struct certificate_wish w = { .subject = "Anna", .issuer = "CA", .key = key, .signer = key_ec(7) };
	unsigned char *der = NULL;
	X509 *x = make_certificate(&w);
	int len = i2d_X509(x, &der);
	X509_free(x);
	return taken(der, len);
}

static struct opened open_bytes(struct view pkcs8, struct view certificate)
{
	begin(NULL);
	put_plain_certificate(certificate);
	put_plain_key(pkcs8);
	finish_contents(sizeof room);
	return open_scratch();
}

static struct opened open_key(EVP_PKEY *key)
{
	BUF pkcs8 = pkcs8_of(key);
	BUF certificate = certificate_of(key);
	return open_bytes(buf_view(pkcs8), buf_view(certificate));
}

/* Replaces the first occurrence of some bytes by as many others. */
static void replace(struct buf *b, struct view old, struct view new)
{
	uint8_t *at = memmem(buf_data(b), buf_len(b), old.p, old.len);
	assert_non_null(at);
	assert_int_equal(old.len, new.len);
	memcpy(at, new.p, new.len);
}

#define BYTES(...) view_of((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

/* ---- sizes ---- */

static void rsa_keys_from_1024_to_16384_bits_are_taken_and_others_told_why_not(void **state)
{
	(void)state;
	static const struct {
		int bits;
		enum fault expected;
		bool weak;
		const char *words;
	} rows[] = {
		{ 512, FAULT_WEAK_KEY, false, "512 bits; at least 1024" },
		{ 1016, FAULT_WEAK_KEY, false, "1016 bits; at least 1024" },
		{ 1023, FAULT_WEAK_KEY, false, "1023 bits; at least 1024" },
		{ 1024, FAULT_OK, true, "RSA-1024" }, { 1025, FAULT_OK, true, "RSA-1025" },
		{ 2047, FAULT_OK, true, "RSA-2047" }, { 2048, FAULT_OK, false, "RSA-2048" },
		{ 3072, FAULT_OK, false, "RSA-3072" }, { 16384, FAULT_OK, false, "RSA-16384" },
		{ 16385, FAULT_UNSUPPORTED_ALGORITHM, false, "16385 bits; at most 16384" },
		{ 16392, FAULT_UNSUPPORTED_ALGORITHM, false, "16392 bits; at most 16384" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		EVP_PKEY *key = numbers_of_rsa(rows[i].bits);
		OPENED o = open_key(key);
		EVP_PKEY_free(key);
		if (rows[i].expected) {
			assert_refused(o, rows[i].expected, rows[i].words);
			continue;
		}
		assert_int_equal(o.rc, 0);
		assert_true(view_is(o.identity[0].key_algorithm, rows[i].words));
		assert_int_equal(has_warning(&o, "weak_key"), rows[i].weak);
	}
}

/* ---- algorithms ---- */

static void every_curve_of_256_bits_or_more_that_mail_uses_is_taken_and_another_named(void **state)
{
	(void)state;
	static const struct {
		const char *curve, *oid; /* oid NULL: taken */
	} rows[] = {
		{ "P-256", NULL }, { "P-384", NULL }, { "P-521", NULL },
		{ "brainpoolP256r1", NULL }, { "brainpoolP320r1", NULL }, { "brainpoolP384r1", NULL },
		{ "brainpoolP512r1", NULL }, { "brainpoolP256t1", NULL }, { "brainpoolP320t1", NULL },
		{ "brainpoolP384t1", NULL }, { "brainpoolP512t1", NULL },
		{ "brainpoolP160r1", "1.3.36.3.3.2.8.1.1.1" }, { "brainpoolP160t1", "1.3.36.3.3.2.8.1.1.2" },
		{ "brainpoolP192r1", "1.3.36.3.3.2.8.1.1.3" }, { "brainpoolP192t1", "1.3.36.3.3.2.8.1.1.4" },
		{ "brainpoolP224r1", "1.3.36.3.3.2.8.1.1.5" }, { "brainpoolP224t1", "1.3.36.3.3.2.8.1.1.6" },
		{ "P-192", "1.2.840.10045.3.1.1" }, { "P-224", "1.3.132.0.33" }, { "secp256k1", "1.3.132.0.10" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		EVP_PKEY *key = EVP_EC_gen(rows[i].curve);
		assert_non_null(key);
		OPENED o = open_key(key);
		EVP_PKEY_free(key);
		if (rows[i].oid) {
			assert_refused(o, FAULT_UNSUPPORTED_ALGORITHM, rows[i].oid);
			continue;
		}
		assert_int_equal(o.rc, 0);
		assert_true(view_is(o.identity[0].key_algorithm, rows[i].curve));
	}
}

static void a_curve_that_is_spelled_out_is_unsupported_even_if_it_has_a_name(void **state)
{
	(void)state;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	assert_int_equal(EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, "explicit"), 1);
	OPENED o = open_key(key);
	assert_refused(o, FAULT_UNSUPPORTED_ALGORITHM, "1.2.840.10045.2.1");
	EVP_PKEY_free(key);
}

static void a_key_bound_to_rsa_pss_is_taken_and_never_encrypts(void **state)
{
	(void)state;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
	EVP_PKEY *key = NULL;
	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	assert_true(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) > 0);
	assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
	OPENED o = open_key(key);
	assert_int_equal(o.rc, 0);
	assert_true(view_is(o.identity[0].key_algorithm, "RSA-PSS-2048"));
	assert_int_equal(o.identity[0].usages, USAGE_SIGNING);
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(ctx);
}

static void keys_of_other_algorithms_are_named_by_their_numbers(void **state)
{
	(void)state;
	static const struct {
		const char *name, *oid;
	} rows[] = { { "ED25519", "1.3.101.112" }, { "ED448", "1.3.101.113" }, { "X25519", "1.3.101.110" } };
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, rows[i].name);
		OPENED o = open_key(key);
		assert_refused(o, FAULT_UNSUPPORTED_ALGORITHM, rows[i].oid);
		EVP_PKEY_free(key);
	}
}

/* ---- encodings of keys ---- */

static void an_ec_key_of_another_version_is_malformed(void **state)
{
	(void)state;
	BUF certificate = certificate_of(key_ec(0));
	static const uint8_t others[] = { 0, 2, 3, 0x81 };
	for (size_t i = 0; i < sizeof others; i++) {
		BUF pkcs8 = pkcs8_of(key_ec(0));
		replace(pkcs8, BYTES(2, 1, 1, 4, 32), BYTES(2, 1, others[i], 4, 32));
		OPENED o = open_bytes(buf_view(pkcs8), buf_view(certificate));
		assert_refused(o, FAULT_MALFORMED_PKCS12, "RFC 5915 3");
	}
}

#define OID_X962(...)  0x2a, 0x86, 0x48, 0xce, 0x3d, __VA_ARGS__
#define ALGORITHM_P256 BYTES(0x30, 19, 6, 7, OID_X962(2, 1), 6, 8, OID_X962(3, 1, 7))
#define ALGORITHM_RSA  BYTES(0x30, 13, 6, 9, OID_PKCS(1, 1), 5, 0)

/* Appends a PrivateKeyInfo around what was written since the beginning of the room. */
static void take_pkcs8(struct view algorithm, struct buf *ret)
{
	der_wrap(&d, DER_OCTETS, sizeof room);
	der_put(&d, algorithm);
	DER_PUT(&d, 2, 1, 0);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	buf_put(ret, der_since(&d, sizeof room).p, der_since(&d, sizeof room).len);
}

/* A file with an ECPrivateKey of key_ec(0) that names a curve of its own, and no point. */
static struct opened open_ec_with_curve(struct view curve)
{
	BUF certificate = certificate_of(key_ec(0));
	BUF pkcs8 = buf_new(FILE_MAX_BYTES);
	BIGNUM *n = NULL;
	uint8_t number[32];
	assert_int_equal(EVP_PKEY_get_bn_param(key_ec(0), OSSL_PKEY_PARAM_PRIV_KEY, &n), 1);
	assert_int_equal(BN_bn2binpad(n, number, sizeof number), sizeof number);
	BN_free(n);
	begin(NULL);
	der_put(&d, curve);
	der_wrap(&d, DER_CONTEXT_0, sizeof room);
	der_put_value(&d, DER_OCTETS, view_of(number, sizeof number));
	DER_PUT(&d, 2, 1, 1);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	take_pkcs8(ALGORITHM_P256, pkcs8);
	return open_bytes(buf_view(pkcs8), buf_view(certificate));
}

static void an_ec_key_that_names_another_curve_inside_is_malformed(void **state)
{
	(void)state;
	OPENED same = open_ec_with_curve(BYTES(6, 8, OID_X962(3, 1, 7)));
	assert_int_equal(same.rc, 0);
	OPENED secp256k1 = open_ec_with_curve(BYTES(6, 5, 0x2b, 0x81, 4, 0, 10));
	assert_refused(secp256k1, FAULT_MALFORMED_PKCS12, "not the one outside");
	OPENED nothing = open_ec_with_curve(BYTES(5, 0));
	assert_refused(nothing, FAULT_MALFORMED_PKCS12, "not the one outside");
}

static void an_ec_key_without_its_public_point_gets_one(void **state)
{
	(void)state;
	OPENED o = open_ec_with_curve(BYTES(6, 8, OID_X962(3, 1, 7)));
	BUF whole = pkcs8_of(key_ec(0));
	BUF modern = buf_new(KEY_MAX_BYTES);
	BUF legacy = buf_new(KEY_MAX_BYTES);
	assert_int_equal(o.rc, 0);
	made_pkcs8(o.identity[0].modern_secret, 0, modern);
	made_pkcs8(o.identity[0].legacy_secret, 0, legacy);
	assert_true(view_equal(buf_view(modern), buf_view(whole)));
	assert_true(view_equal(buf_view(legacy), buf_view(whole)));
}

/* A file with an ECPrivateKey of this number on P-256, with these bytes behind it, and the certificate of another. */
static struct opened open_ec_number(struct view number, struct view behind)
{
	BUF certificate = certificate_of(key_ec(0));
	BUF pkcs8 = buf_new(FILE_MAX_BYTES);
	begin(NULL);
	if (number.p) {
		der_put(&d, behind);
		der_put_value(&d, DER_OCTETS, number);
		DER_PUT(&d, 2, 1, 1);
		der_wrap(&d, DER_SEQUENCE, sizeof room);
	}
	take_pkcs8(ALGORITHM_P256, pkcs8);
	return open_bytes(buf_view(pkcs8), buf_view(certificate));
}

static void a_number_that_is_no_private_key_of_its_curve_is_malformed(void **state)
{
	(void)state;
	uint8_t number[200] = { 0 };
	const struct view none = view_of("", 0);
	OPENED zero = open_ec_number(view_of(number, 32), none);
	assert_refused(zero, FAULT_MALFORMED_PKCS12, "not below the order");
	memset(number, 0xff, sizeof number);
	OPENED beyond = open_ec_number(view_of(number, 32), none);
	assert_refused(beyond, FAULT_MALFORMED_PKCS12, "not below the order");
	OPENED longer = open_ec_number(view_of(number, sizeof number), none);
	assert_refused(longer, FAULT_MALFORMED_PKCS12, "longer than that of any curve");
	OPENED nothing = open_ec_number((struct view){ NULL, 0 }, none);
	assert_refused(nothing, FAULT_MALFORMED_PKCS12, "holds nothing");
}

static void a_point_at_infinity_is_malformed(void **state)
{
	(void)state;
	const uint8_t number[32] = { [31] = 1 };
	OPENED o = open_ec_number(view_of(number, sizeof number), BYTES(0xa1, 4, 3, 2, 0, 0));
	assert_refused(o, FAULT_MALFORMED_PKCS12, "point at infinity");
}

/* A file with an RSAPrivateKey of the modulus of key_rsa(0), whose primes are these bytes. */
static struct opened open_rsa_primes(uint8_t p, uint8_t q)
{
	BUF certificate = certificate_of(key_rsa(0));
	BUF pkcs8 = buf_new(FILE_MAX_BYTES);
	BIGNUM *n = NULL;
	uint8_t modulus[257];
	assert_int_equal(EVP_PKEY_get_bn_param(key_rsa(0), OSSL_PKEY_PARAM_RSA_N, &n), 1);
	assert_int_equal(BN_bn2binpad(n, modulus, sizeof modulus), sizeof modulus);
	BN_free(n);
	begin(NULL);
	DER_PUT(&d, 2, 1, 3, 2, 1, p, 2, 1, q, 2, 1, 1, 2, 1, 1, 2, 1, 1);
	DER_PUT(&d, 2, 3, 1, 0, 1);
	der_put_value(&d, DER_INTEGER, view_of(modulus, sizeof modulus));
	DER_PUT(&d, 2, 1, 0);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	take_pkcs8(ALGORITHM_RSA, pkcs8);
	return open_bytes(buf_view(pkcs8), buf_view(certificate));
}

static void an_rsa_key_with_a_prime_that_is_none_is_malformed(void **state)
{
	(void)state;
	OPENED no_p = open_rsa_primes(0, 5);
	assert_refused(no_p, FAULT_MALFORMED_PKCS12, "is zero");
	OPENED no_q = open_rsa_primes(5, 0);
	assert_refused(no_q, FAULT_MALFORMED_PKCS12, "is zero");
	OPENED one = open_rsa_primes(1, 5);
	assert_refused(one, FAULT_KEY_MISMATCH, "not those of its modulus");
}

static void an_rsa_key_of_more_than_two_primes_is_unsupported(void **state)
{
	(void)state;
	BUF certificate = certificate_of(key_rsa(0));
	BUF pkcs8 = pkcs8_of(key_rsa(0));
	replace(pkcs8, BYTES(2, 1, 0, 2, 0x82, 1, 1, 0), BYTES(2, 1, 1, 2, 0x82, 1, 1, 0));
	OPENED o = open_bytes(buf_view(pkcs8), buf_view(certificate));
	assert_refused(o, FAULT_UNSUPPORTED_ALGORITHM, "more than two primes");
}

static void bytes_after_a_key_are_malformed(void **state)
{
	(void)state;
	EVP_PKEY *keys[] = { key_rsa(0), key_ec(0) };
	const struct view algorithms[] = { ALGORITHM_RSA, ALGORITHM_P256 };
	for (size_t i = 0; i < 4; i++) {
		bool longer = i / 2;
		BUF certificate = certificate_of(keys[i % 2]);
		BUF pkcs8 = buf_new(FILE_MAX_BYTES);
		unsigned char *inner = NULL;
		int len = i2d_PrivateKey(keys[i % 2], &inner);
		begin(NULL);
		if (longer)
			DER_PUT(&d, 0);
		der_put(&d, view_of(inner, (size_t)len));
		take_pkcs8(algorithms[i % 2], pkcs8);
		OPENSSL_free(inner);
		OPENED o = open_bytes(buf_view(pkcs8), buf_view(certificate));
		if (longer)
			assert_refused(o, FAULT_MALFORMED_PKCS12, "1 bytes too many");
		else
			assert_int_equal(o.rc, 0);
	}
}

/* ---- certificates ---- */

static void a_public_key_that_can_not_be_read_is_told_even_of_an_issuer(void **state)
{
	(void)state;
	const struct certificate_wish w = { .subject = "Anna", .key = key_rsa(0),
					    .extensions = { { "basicConstraints", "critical,CA:TRUE" } } };
	unsigned char *der = NULL;
	X509 *x = make_certificate(&w);
	int len = i2d_X509(x, &der);
	X509_free(x);
	BUF pkcs8 = pkcs8_of(key_rsa(0));
	BUF certificate = taken(der, len);
	/* The exponent, 65537, becomes an even number. */
	replace(certificate, BYTES(2, 3, 1, 0, 1), BYTES(2, 3, 1, 0, 0));
	OPENED o = open_bytes(buf_view(pkcs8), buf_view(certificate));
	assert_refused(o, FAULT_MALFORMED_PKCS12, "RFC 8017 3.1");
}

static void a_certificate_with_a_date_that_is_none_is_malformed(void **state)
{
	(void)state;
	BUF pkcs8 = pkcs8_of(key_ec(0));
	BUF certificate = certificate_of(key_ec(0));
	uint8_t *date = memmem(buf_data(certificate), buf_len(certificate), "\x17\x0d", 2);
	assert_non_null(date);
	memcpy(date + 4, "13", 2); /* the month */
	OPENED o = open_bytes(buf_view(pkcs8), buf_view(certificate));
	assert_refused(o, FAULT_MALFORMED_PKCS12, "a date that is none");
}

static void a_certificate_that_is_not_in_der_is_malformed(void **state)
{
	(void)state;
	BUF pkcs8 = pkcs8_of(key_ec(0));
	BUF whole = certificate_of(key_ec(0));
	struct view inside = view_of(buf_data(whole) + 4, buf_len(whole) - 4); /* 30 82 LL LL */
	assert_int_equal(buf_data(whole)[1], 0x82);
	for (int how = 0; how < 4; how++) {
		BUF certificate = buf_new(FILE_MAX_BYTES);
		const uint8_t *len = buf_data(whole) + 2;
		if (how == 0)
			buf_put(certificate, (uint8_t[]){ 0x30, 0x82, len[0], len[1] }, 4);
		if (how == 1)
			buf_put(certificate, (uint8_t[]){ 0x30, 0x83, 0, len[0], len[1] }, 5);
		if (how == 2)
			buf_put(certificate, (uint8_t[]){ 0x30, 0x80 }, 2);
		if (how == 3)
			buf_put(certificate, (uint8_t[]){ 0x30, 0x84, 0, 0, len[0], len[1] }, 6);
		buf_put(certificate, inside.p, inside.len);
		if (how == 2)
			buf_put(certificate, "\0\0", 2);
		OPENED o = open_bytes(buf_view(pkcs8), buf_view(certificate));
		if (how == 0)
			assert_int_equal(o.rc, 0);
		else
			assert_refused(o, FAULT_MALFORMED_PKCS12, "not in DER");
	}
}

/* The bytes of an element, or of its header alone. */
static size_t element(const uint8_t *p, const uint8_t *end, bool header)
{
	const uint8_t *at = p;
	long len;
	int tag, class;
	assert_int_equal(ASN1_get_object(&at, &len, &tag, &class, end - p) & 0x81, 0);
	return (size_t)(at - p) + (header ? 0 : (size_t)len);
}

static void a_signature_in_pieces_is_not_der(void **state)
{
	(void)state;
	BUF pkcs8 = pkcs8_of(key_ec(0));
	BUF whole = certificate_of(key_ec(0));
	BUF certificate = buf_new(FILE_MAX_BYTES);
	const uint8_t *p = buf_data(whole), *end = p + buf_len(whole);
	size_t body = element(p, end, true);
	size_t head = body + element(p + body, end, false);
	head += element(p + head, end, false); /* behind the algorithm: the signature */
	size_t len = buf_len(whole) - head;
	begin(NULL);
	der_put(&d, view_of(p + head, len));
	der_wrap(&d, (enum der_tag)0x23, sizeof room);
	der_put(&d, view_of(p + body, head - body));
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	buf_put(certificate, der_since(&d, sizeof room).p, der_since(&d, sizeof room).len);
	OPENED o = open_bytes(buf_view(pkcs8), buf_view(certificate));
	assert_refused(o, FAULT_MALFORMED_PKCS12, "not in DER");
}

/* An extension's value with a byte behind it; DER of its whole value goes in. */
static struct opened open_with_extension(int nid, struct view value)
{
	const struct certificate_wish w = { .subject = "Anna", .key = key_ec(0) };
	X509 *x = make_certificate(&w);
	ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
	ASN1_OCTET_STRING_set(octets, value.p, (int)value.len);
	X509_EXTENSION *e = X509_EXTENSION_create_by_NID(NULL, nid, 0, octets);
	X509_add_ext(x, e, -1);
	assert_true(X509_sign(x, key_ec(0), EVP_sha256()) > 0);
	unsigned char *der = NULL;
	int len = i2d_X509(x, &der);
	BUF certificate = taken(der, len);
	BUF pkcs8 = pkcs8_of(key_ec(0));
	X509_EXTENSION_free(e);
	ASN1_OCTET_STRING_free(octets);
	X509_free(x);
	return open_bytes(buf_view(pkcs8), buf_view(certificate));
}

static void bytes_after_the_value_of_an_extension_are_malformed(void **state)
{
	(void)state;
	static const struct {
		int nid;
		uint8_t value[32];
		size_t len;
		const char *clause;
	} rows[] = {
		{ NID_key_usage, { 3, 2, 5, 0xa0 }, 4, "RFC 5280 4.2.1.3" },
		{ NID_ext_key_usage, { 0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 4 }, 12, "RFC 5280 4.2.1.12" },
		{ NID_basic_constraints, { 0x30, 3, 1, 1, 0xff }, 5, "RFC 5280 4.2.1.9" },
		{ NID_subject_alt_name, { 0x30, 5, 0x81, 3, 'a', '@', 'b' }, 7, "RFC 5280 4.2.1.6" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		OPENED good = open_with_extension(rows[i].nid, view_of(rows[i].value, rows[i].len));
		/* P-256 with keyEncipherment alone would not be for mail; digitalSignature is there. */
		assert_int_equal(good.rc, 0);
		OPENED longer = open_with_extension(rows[i].nid, view_of(rows[i].value, rows[i].len + 1));
		assert_refused(longer, FAULT_MALFORMED_PKCS12, rows[i].clause);
		OPENED shorter = open_with_extension(rows[i].nid, view_of(rows[i].value, rows[i].len - 1));
		assert_refused(shorter, FAULT_MALFORMED_PKCS12, rows[i].clause);
	}
}

static void an_extension_that_is_there_twice_is_malformed(void **state)
{
	(void)state;
	const struct certificate_wish w = { .subject = "Anna", .key = key_ec(0),
					    .extensions = { { "keyUsage", "digitalSignature" },
							    { "keyUsage", "keyAgreement" } } };
	unsigned char *der = NULL;
	X509 *x = make_certificate(&w);
	int len = i2d_X509(x, &der);
	BUF certificate = taken(der, len);
	BUF pkcs8 = pkcs8_of(key_ec(0));
	X509_free(x);
	OPENED o = open_bytes(buf_view(pkcs8), buf_view(certificate));
	assert_refused(o, FAULT_MALFORMED_PKCS12, "there twice");
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rsa_keys_from_1024_to_16384_bits_are_taken_and_others_told_why_not),
		TEST(every_curve_of_256_bits_or_more_that_mail_uses_is_taken_and_another_named),
		TEST(a_curve_that_is_spelled_out_is_unsupported_even_if_it_has_a_name),
		TEST(a_key_bound_to_rsa_pss_is_taken_and_never_encrypts),
		TEST(keys_of_other_algorithms_are_named_by_their_numbers),
		TEST(an_ec_key_of_another_version_is_malformed),
		TEST(an_ec_key_that_names_another_curve_inside_is_malformed),
		TEST(an_ec_key_without_its_public_point_gets_one),
		TEST(a_number_that_is_no_private_key_of_its_curve_is_malformed),
		TEST(a_point_at_infinity_is_malformed),
		TEST(an_rsa_key_with_a_prime_that_is_none_is_malformed),
		TEST(an_rsa_key_of_more_than_two_primes_is_unsupported),
		TEST(bytes_after_a_key_are_malformed),
		TEST(a_public_key_that_can_not_be_read_is_told_even_of_an_issuer),
		TEST(a_certificate_with_a_date_that_is_none_is_malformed),
		TEST(a_certificate_that_is_not_in_der_is_malformed),
		TEST(a_signature_in_pieces_is_not_der),
		TEST(bytes_after_the_value_of_an_extension_are_malformed),
		TEST(an_extension_that_is_there_twice_is_malformed),
	};
	return cmocka_run_group_tests_name("opener_keys", tests, NULL, NULL);
}
