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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ec_key_of_a_giant_version_is_refused),
		cmocka_unit_test(a_certificate_that_readers_would_write_in_other_bytes_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
