/* The enrolment CA: what it certifies, for whom, for what, and for how long. */
#include "keeper_fixture.h"

#include "../../daemon/keeper/ca.h"
#include "certificate.h"
#include "openssl_ptr.h"

#include <openssl/x509_vfy.h>

enum { DAY_SECONDS = 86400 };

static EVP_PKEY *ca_key, *rsa, *p256, *p384;
static X509 *ca;

static int make_keys(void **state)
{
	(void)state;
	rsa = EVP_RSA_gen(2048);
	p256 = EVP_EC_gen("P-256");
	p384 = EVP_EC_gen("P-384");
	return rsa && p256 && p384 ? ca_make(&ca_key, &ca) : -1;
}

static int free_keys(void **state)
{
	EVP_PKEY *keys[] = { ca_key, rsa, p256, p384 };
	(void)state;
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		EVP_PKEY_free(keys[i]);
	X509_free(ca);
	return 0;
}

static X509 *issue(EVP_PKEY *key)
{
	X509 *x = NULL;
	assert_done(ca_issue(ca_key, ca, key, ID_A, ID_B, &x));
	return x;
}

/* As OpenSSL verifies x under the one trusted root, for a purpose: X509_V_OK or what is wrong. */
static int verify(X509 *x, X509 *root, int purpose)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	assert_int_equal(X509_STORE_add_cert(store, root), 1);
	assert_int_equal(X509_STORE_CTX_init(context, store, x, NULL), 1);
	if (purpose)
		X509_STORE_CTX_set_purpose(context, purpose);
	X509_verify_cert(context);
	int result = X509_STORE_CTX_get_error(context);
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	return result;
}

/* Seconds from now to a time of a certificate. */
static long seconds_until(const ASN1_TIME *t)
{
	int days, seconds;
	assert_int_equal(ASN1_TIME_diff(&days, &seconds, NULL, t), 1);
	return (long)days * DAY_SECONDS + seconds;
}

/* The value of an extension as OpenSSL prints it. */
static const char *extension(X509 *x, int nid, bool critical)
{
	static char text[1024];
	int at = X509_get_ext_by_NID(x, nid, -1);
	assert_true(at >= 0);
	X509_EXTENSION *e = X509_get_ext(x, at);
	assert_int_equal(X509_EXTENSION_get_critical(e), critical);
	BIO_PTR out = BIO_new(BIO_s_mem());
	assert_int_equal(X509V3_EXT_print(out, e, 0, 0), 1);
	int len = BIO_read(out, text, sizeof text - 1);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

TEST(the_ca_is_a_root_for_leaves_alone_and_lasts_20_years)
{
	assert_int_equal(verify(ca, ca, 0), X509_V_OK);
	assert_int_equal(X509_check_ca(ca), 1);
	assert_string_equal(extension(ca, NID_basic_constraints, true), "CA:TRUE, pathlen:0");
	assert_string_equal(extension(ca, NID_key_usage, true), "Certificate Sign, CRL Sign");
	assert_in_range(seconds_until(X509_get0_notAfter(ca)) / DAY_SECONDS, CA_YEARS * 365, CA_YEARS * 366);
	assert_int_equal(X509_get_version(ca), X509_VERSION_3);
}

TEST(two_cas_have_two_names_and_two_serials)
{
	PKEY key = NULL;
	CERTIFICATE other = NULL;
	assert_done(ca_make(&key, &other));
	assert_int_not_equal(X509_NAME_cmp(X509_get_subject_name(ca), X509_get_subject_name(other)), 0);
	assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(ca), X509_get0_serialNumber(other)), 0);
	CERTIFICATE device = issue(rsa);
	assert_int_not_equal(verify(device, other, 0), X509_V_OK);
}

TEST(the_bundle_signer_signs_and_nothing_else)
{
	PKEY key = NULL;
	CERTIFICATE signer = NULL;
	assert_done(ca_make_bundle_signer(ca_key, ca, &key, &signer));
	assert_int_equal(verify(signer, ca, 0), X509_V_OK);
	assert_int_not_equal(verify(signer, ca, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
	assert_int_equal(X509_check_ca(signer), 0);
	assert_string_equal(extension(signer, NID_key_usage, true), "Digital Signature");
	assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(signer), X509_get0_notAfter(ca)), 0);
	EXTENDED_KEY_USAGE *usages = X509_get_ext_d2i(signer, NID_ext_key_usage, NULL, NULL);
	char oid[64];
	assert_int_equal(sk_ASN1_OBJECT_num(usages), 1);
	OBJ_obj2txt(oid, sizeof oid, sk_ASN1_OBJECT_value(usages, 0), 1);
	assert_string_equal(oid, CA_BUNDLE_SIGNER_EKU);
	EXTENDED_KEY_USAGE_free(usages);
	assert_int_equal(X509_check_private_key(signer, key), 1);
}

TEST(a_device_of_every_kind_of_key_is_certified_for_tls_as_a_client)
{
	EVP_PKEY *keys[] = { rsa, p256, p384 };
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		CERTIFICATE x = issue(keys[i]);
		assert_int_equal(verify(x, ca, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
		assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(x), keys[i]), 1);
		assert_string_equal(extension(x, NID_ext_key_usage, false), "TLS Web Client Authentication");
		assert_string_equal(extension(x, NID_key_usage, true), keys[i] == rsa ?
				    "Digital Signature, Key Encipherment" : "Digital Signature, Key Agreement");
	}
}

TEST(a_device_certificate_can_neither_issue_nor_serve_nor_sign_bundles)
{
	CERTIFICATE x = issue(p256);
	assert_int_equal(X509_check_ca(x), 0);
	assert_string_equal(extension(x, NID_basic_constraints, true), "CA:FALSE");
	assert_int_not_equal(verify(x, ca, X509_PURPOSE_SSL_SERVER), X509_V_OK);
	assert_int_not_equal(verify(x, ca, X509_PURPOSE_SMIME_SIGN), X509_V_OK);
}

TEST(a_device_certificate_names_device_and_user)
{
	CERTIFICATE x = issue(p256);
	char name[128];
	assert_string_equal(extension(x, NID_subject_alt_name, false), "URI:urn:uuid:" ID_A ", URI:urn:uuid:" ID_B);
	assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof name) > 0);
	assert_string_equal(name, ID_A);
	assert_int_equal(X509_NAME_cmp(X509_get_issuer_name(x), X509_get_subject_name(ca)), 0);
}

TEST(a_device_certificate_lasts_730_days_and_began_a_little_ago)
{
	CERTIFICATE x = issue(p256);
	assert_in_range(seconds_until(X509_get0_notAfter(x)), CA_DEVICE_DAYS * DAY_SECONDS - 60,
			CA_DEVICE_DAYS * DAY_SECONDS);
	assert_in_range(-seconds_until(X509_get0_notBefore(x)), CERTIFICATE_BACKDATE_SECONDS,
			CERTIFICATE_BACKDATE_SECONDS + 60);
}

TEST(a_device_certificate_does_not_outlive_its_ca)
{
	CERTIFICATE ending = X509_dup(ca);
	CERTIFICATE x = NULL;
	assert_non_null(X509_time_adj_ex(X509_getm_notAfter(ending), 100, 0, NULL));
	assert_true(X509_sign(ending, ca_key, EVP_sha256()) > 0);
	assert_done(ca_issue(ca_key, ending, p256, ID_A, ID_B, &x));
	assert_int_equal(ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(ending)), 0);
	assert_int_equal(verify(x, ending, 0), X509_V_OK);
}

TEST(serial_numbers_are_positive_random_and_short_enough)
{
	CERTIFICATE one = issue(p256);
	CERTIFICATE two = issue(p256);
	const ASN1_INTEGER *serial = X509_get0_serialNumber(one);
	assert_int_not_equal(ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(two)), 0);
	assert_int_equal(serial->type, V_ASN1_INTEGER); /* not the negative kind */
	assert_in_range(serial->length, 8, 20);
}

TEST(what_is_encoded_is_the_certificate)
{
	CERTIFICATE x = issue(p256);
	BUF der = buf_of(4096);
	BUF small = buf_of(100);
	assert_done(ca_encode(x, der));
	const uint8_t *at = buf_data(der);
	CERTIFICATE back = d2i_X509(NULL, &at, (long)buf_len(der));
	assert_non_null(back);
	assert_ptr_equal(at, buf_data(der) + buf_len(der));
	assert_int_equal(X509_cmp(x, back), 0);
	assert_fault(ca_encode(x, small), INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ca_is_a_root_for_leaves_alone_and_lasts_20_years),
		cmocka_unit_test(two_cas_have_two_names_and_two_serials),
		cmocka_unit_test(the_bundle_signer_signs_and_nothing_else),
		cmocka_unit_test(a_device_of_every_kind_of_key_is_certified_for_tls_as_a_client),
		cmocka_unit_test(a_device_certificate_can_neither_issue_nor_serve_nor_sign_bundles),
		cmocka_unit_test(a_device_certificate_names_device_and_user),
		cmocka_unit_test(a_device_certificate_lasts_730_days_and_began_a_little_ago),
		cmocka_unit_test(a_device_certificate_does_not_outlive_its_ca),
		cmocka_unit_test(serial_numbers_are_positive_random_and_short_enough),
		cmocka_unit_test(what_is_encoded_is_the_certificate),
	};
	return cmocka_run_group_tests(tests, make_keys, free_keys);
}
