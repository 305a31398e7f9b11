/* What the fuzz targets of the opener have found: each stays away. */
#include "opener_maker.h"

#include "opener/contents.h"
#include "opener/own.h"

static int fault_of(struct view pkcs8)
{
	struct private_key *key = NULL;
	int rc = private_key_read(pkcs8, &key);
	private_key_free(key);
	return rc;
}

static void an_ec_key_of_a_giant_version_is_refused(void **state)
{
	(void)state;
	/* PKCS#8, P-256; the version of its ECPrivateKey is 4294967296. */
	static const uint8_t pkcs8[] = {
		0x30, 0x45, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
		0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x2b, 0x30, 0x29, 0x02, 0x05,
		0x01, 0x00, 0x00, 0x00, 0x01, 0x04, 0x20, 0xd6, 0x1f, 0x06, 0x1f, 0xb6, 0x3c, 0x04, 0x2d, 0x50,
		0xf2, 0xdd, 0x60, 0xb5, 0xa9, 0x9b, 0x6f, 0x1e, 0xa1, 0x7b, 0x19, 0x7f, 0x2a, 0x22, 0x79, 0xb9,
		0xd6, 0xa7, 0xa2, 0x49, 0x87, 0x58, 0xe1,
	};
	assert_int_equal(fault_of(view_of(pkcs8, sizeof pkcs8)), -FAULT_MALFORMED_PKCS12);
}

static int add_certificate(struct view der)
{
	CONTENTS contents = contents_new();
	const struct local_id none = { .len = 0 };
	assert_non_null(contents);
	return contents_add_certificate(contents, der, &none);
}

static void assert_not_in_der(int rc)
{
	assert_int_equal(rc, -FAULT_MALFORMED_PKCS12);
	assert_non_null(strstr(fault_detail(), "not in DER"));
}

static void a_certificate_that_readers_would_write_in_other_bytes_is_refused(void **state)
{
	(void)state;
	X509 *x = make_plain("ann", key_rsa(0));
	uint8_t *der = NULL, other[4096];
	int len = i2d_X509(x, &der);
	assert_true(len > 512 && len < 4000 && der[1] == 0x82);
	assert_int_equal(add_certificate(view_of(der, (size_t)len)), 0);
	/* The length around the signed part and its signature, in one octet more than it takes. */
	const uint8_t longer[] = { 0x30, 0x83, 0, der[2], der[3] };
	memcpy(other, longer, sizeof longer);
	memcpy(other + sizeof longer, der + 4, (size_t)len - 4);
	assert_not_in_der(add_certificate(view_of(other, (size_t)len + 1)));
	/* A signature whose last bit does not count, and is set. */
	memcpy(other, der, (size_t)len);
	assert_int_equal(other[len - 257], 0);
	other[len - 257] = 1;
	other[len - 1] |= 1;
	assert_not_in_der(add_certificate(view_of(other, (size_t)len)));
	OPENSSL_free(der);
	X509_free(x);
}

/* A PKCS#8 key of the algorithm RSASSA-PSS with these parameters, read. */
static int read_pss(int type, void *parameters)
{
	PKCS8_PRIV_KEY_INFO *from = EVP_PKEY2PKCS8(key_rsa(0)), *to = PKCS8_PRIV_KEY_INFO_new();
	const uint8_t *inner;
	uint8_t *der = NULL;
	int len;
	assert_int_equal(PKCS8_pkey_get0(NULL, &inner, &len, NULL, from), 1);
	assert_int_equal(PKCS8_pkey_set0(to, OBJ_nid2obj(NID_rsassaPss), 0, type, parameters,
					 OPENSSL_memdup(inner, (size_t)len), len), 1);
	int size = i2d_PKCS8_PRIV_KEY_INFO(to, &der);
	int rc = fault_of(view_of(der, (size_t)size));
	OPENSSL_free(der);
	PKCS8_PRIV_KEY_INFO_free(from);
	PKCS8_PRIV_KEY_INFO_free(to);
	return rc;
}

static int read_pss_der(struct view parameters)
{
	ASN1_STRING *s = ASN1_STRING_type_new(V_ASN1_SEQUENCE);
	assert_int_equal(ASN1_STRING_set(s, parameters.p, (int)parameters.len), 1);
	return read_pss(V_ASN1_SEQUENCE, s);
}

#define READ_PSS(...) read_pss_der(view_of((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })))
#define SHA256 0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 3, 4, 2, 1
#define MD5 0x06, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5
#define MGF1 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8
#define PSS 0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10

static void a_key_that_is_bound_to_pss_is_passed_on_where_readers_know_how(void **state)
{
	(void)state;
	assert_int_equal(read_pss(V_ASN1_UNDEF, NULL), 0);
	assert_int_equal(READ_PSS(0x30, 0), 0);
	assert_int_equal(READ_PSS(0x30, 0x30, 0xa0, 13, 0x30, 11, SHA256, 0xa1, 26, 0x30, 24, MGF1, 0x30, 11, SHA256,
				  0xa2, 3, 2, 1, 32), 0);
	/* The longest salt there is, and the only trailer. */
	assert_int_equal(READ_PSS(0x30, 11, 0xa2, 4, 2, 2, 8, 0, 0xa3, 3, 2, 1, 1), 0);
}

static void a_key_that_is_bound_to_what_no_reader_follows_is_refused(void **state)
{
	(void)state;
	const struct {
		int rc;
		enum fault fault;
	} cases[] = {
		{ read_pss(V_ASN1_OBJECT, OBJ_nid2obj(NID_rsassaPss)), FAULT_MALFORMED_PKCS12 },
		{ read_pss(V_ASN1_NULL, NULL), FAULT_MALFORMED_PKCS12 },
		{ READ_PSS(0x30, 2, 5, 0), FAULT_MALFORMED_PKCS12 },
		{ READ_PSS(0x30, 14, 0xa0, 12, 0x30, 10, MD5), FAULT_UNSUPPORTED_ALGORITHM },
		{ READ_PSS(0x30, 15, 0xa1, 13, 0x30, 11, PSS), FAULT_UNSUPPORTED_ALGORITHM },
		{ READ_PSS(0x30, 15, 0xa1, 13, 0x30, 11, MGF1), FAULT_UNSUPPORTED_ALGORITHM },
		{ READ_PSS(0x30, 27, 0xa1, 25, 0x30, 23, MGF1, 0x30, 10, MD5), FAULT_UNSUPPORTED_ALGORITHM },
		{ READ_PSS(0x30, 5, 0xa2, 3, 2, 1, 0xff), FAULT_MALFORMED_PKCS12 },
		{ READ_PSS(0x30, 6, 0xa2, 4, 2, 2, 8, 1), FAULT_MALFORMED_PKCS12 },
		{ READ_PSS(0x30, 5, 0xa3, 3, 2, 1, 2), FAULT_MALFORMED_PKCS12 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_string_equal(fault_code(cases[i].rc), fault_code(-(int)cases[i].fault));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ec_key_of_a_giant_version_is_refused),
		cmocka_unit_test(a_certificate_that_readers_would_write_in_other_bytes_is_refused),
		cmocka_unit_test(a_key_that_is_bound_to_pss_is_passed_on_where_readers_know_how),
		cmocka_unit_test(a_key_that_is_bound_to_what_no_reader_follows_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
