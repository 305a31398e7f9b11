/* Bundles as CMS: both forms, for every kind of device key, opened by OpenSSL; and what is named inside. */
#include "keeper_fixture.h"

#include "../../daemon/keeper/ca.h"
#include "../../daemon/keeper/cms.h"

#include "openssl_ptr.h"
#include "protocol.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

/* A device of each kind, with a certificate of one CA. */
static struct device {
	const char *kind;
	EVP_PKEY *key;
	X509 *certificate;
	struct buf *der;
} devices[] = { { .kind = "rsa:2048" }, { .kind = "rsa:4096" }, { .kind = "P-256" }, { .kind = "P-384" } };

static EVP_PKEY *ca_key, *signer_key;
static X509 *ca, *signer;

static int make_device(struct device *d)
{
	unsigned bits = strncmp(d->kind, "rsa:", 4) == 0 ? (unsigned)atoi(d->kind + 4) : 0;
	d->key = bits ? EVP_RSA_gen(bits) : EVP_EC_gen(d->kind);
	d->der = buf_new(CERTIFICATE_MAX_BYTES);
	if (!d->key || !d->der || ca_issue(ca_key, ca, d->key, ID_A, ID_B, &d->certificate) < 0)
		return -1;
	return ca_encode(d->certificate, d->der);
}

static int make_all(void **state)
{
	(void)state;
	int rc = ca_make(&ca_key, &ca);
	if (rc == 0)
		rc = ca_make_bundle_signer(ca_key, ca, &signer_key, &signer);
	for (size_t i = 0; rc == 0 && i < COUNT_OF(devices); i++)
		rc = make_device(&devices[i]);
	return rc;
}

static int free_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(devices); i++) {
		EVP_PKEY_free(devices[i].key);
		X509_free(devices[i].certificate);
		buf_free(devices[i].der);
	}
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(signer_key);
	X509_free(ca);
	X509_free(signer);
	return 0;
}

static struct buf *encrypt_to(const struct device *d, bool enveloped, struct view content)
{
	struct buf *cms = buf_of(BUNDLE_MAX_BYTES);
	assert_done(cms_encrypt(buf_view(d->der), enveloped, content, cms));
	return cms;
}

static CMS_ContentInfo *parse(struct view der)
{
	const uint8_t *at = der.p;
	CMS_ContentInfo *cms = d2i_CMS_ContentInfo(NULL, &at, (long)der.len);
	assert_non_null(cms);
	assert_ptr_equal(at, der.p + der.len);
	return cms;
}

static struct view written(BIO *out)
{
	char *p = NULL;
	long len = BIO_get_mem_data(out, &p);
	return view_of(p ? p : "", (size_t)len);
}

/* Decrypts as a device does. False if it does not open, or opens to another text. */
static bool opens(struct view der, const struct device *d, struct view wanted)
{
	const uint8_t *at = der.p;
	CMS cms = d2i_CMS_ContentInfo(NULL, &at, (long)der.len);
	BIO_PTR out = BIO_new(BIO_s_mem());
	bool opened = cms && CMS_decrypt(cms, d->key, d->certificate, NULL, out, 0) == 1;
	ERR_clear_error();
	return opened && view_equal(written(out), wanted);
}

TEST(both_forms_open_with_every_kind_of_device_key)
{
	for (size_t i = 0; i < COUNT_OF(devices); i++)
		for (int enveloped = 0; enveloped < 2; enveloped++) {
			BUF cms = encrypt_to(&devices[i], enveloped, VIEW("{\"version\":1}\r\n\0."));
			assert_true(opens(buf_view(cms), &devices[i], VIEW("{\"version\":1}\r\n\0.")));
		}
}

TEST(no_other_device_opens_it)
{
	for (size_t i = 0; i < COUNT_OF(devices); i++)
		for (size_t j = 0; j < COUNT_OF(devices); j++)
			for (int enveloped = 0; enveloped < 2; enveloped++) {
				BUF cms = encrypt_to(&devices[i], enveloped, VIEW("content"));
				assert_int_equal(opens(buf_view(cms), &devices[j], VIEW("content")), i == j);
			}
}

TEST(an_authenticated_bundle_that_was_changed_opens_to_nothing_else)
{
	const struct view content = VIEW("content that nobody may change");
	BUF cms = encrypt_to(&devices[2], false, content);
	BUF copy = buf_of(MIB);
	for (size_t i = 0; i < buf_len(cms); i++) {
		buf_reset(copy);
		buf_put(copy, buf_data(cms), i);
		buf_put_u8(copy, buf_data(cms)[i] ^ 1);
		buf_put(copy, buf_data(cms) + i + 1, buf_len(cms) - i - 1);
		const uint8_t *at = buf_data(copy);
		CMS changed = d2i_CMS_ContentInfo(NULL, &at, (long)buf_len(copy));
		BIO_PTR out = BIO_new(BIO_s_mem());
		/* A few bytes say nothing, as a version number does not: then it is still the same text. */
		if (changed && CMS_decrypt(changed, devices[2].key, devices[2].certificate, NULL, out, 0) == 1)
			assert_true(view_equal(written(out), content));
		ERR_clear_error();
	}
	/* And the content itself is none of those bytes. */
	buf_reset(copy);
	buf_put(copy, buf_data(cms), buf_len(cms) - 1);
	buf_put_u8(copy, buf_data(cms)[buf_len(cms) - 1] ^ 1);
	assert_false(opens(buf_view(copy), &devices[2], content));
}

TEST(the_same_content_is_never_encrypted_to_the_same_bytes)
{
	BUF one = encrypt_to(&devices[0], false, VIEW("content"));
	BUF two = encrypt_to(&devices[0], false, VIEW("content"));
	assert_false(view_equal(buf_view(one), buf_view(two)));
}

/* How often der names an algorithm. */
static int holds(const struct buf *der, int nid)
{
	const ASN1_OBJECT *object = OBJ_nid2obj(nid);
	uint8_t encoded[64], *end = encoded;
	int len = i2d_ASN1_OBJECT(object, &end), n = 0;
	struct view rest = buf_view(der);
	assert_true(len > 0 && len < (int)sizeof encoded);
	for (const uint8_t *at; (at = memmem(rest.p, rest.len, encoded, (size_t)len)); n++)
		rest = view_of(at + 1, rest.len - (size_t)(at + 1 - rest.p));
	return n;
}

TEST(the_default_form_is_authenticated_with_todays_algorithms)
{
	for (size_t i = 0; i < COUNT_OF(devices); i++) {
		BUF der = encrypt_to(&devices[i], false, VIEW("content"));
		CMS cms = parse(buf_view(der));
		bool rsa = i < 2;
		assert_int_equal(OBJ_obj2nid(CMS_get0_type(cms)), NID_id_smime_ct_authEnvelopedData);
		assert_true(holds(der, NID_aes_256_gcm));
		assert_int_equal(holds(der, NID_rsaesOaep), rsa);
		assert_int_equal(holds(der, NID_sha256), rsa ? 2 : 0); /* OAEP's own hash, and MGF1's */
		assert_int_equal(holds(der, NID_dhSinglePass_stdDH_sha256kdf_scheme), !rsa);
		assert_int_equal(holds(der, NID_id_aes256_wrap), !rsa);
		assert_false(holds(der, NID_sha1));
	}
}

TEST(the_other_form_has_what_older_readers_know)
{
	for (size_t i = 0; i < COUNT_OF(devices); i++) {
		BUF der = encrypt_to(&devices[i], true, VIEW("content"));
		CMS cms = parse(buf_view(der));
		bool rsa = i < 2;
		assert_int_equal(OBJ_obj2nid(CMS_get0_type(cms)), NID_pkcs7_enveloped);
		assert_true(holds(der, NID_aes_256_cbc));
		assert_int_equal(holds(der, NID_rsaEncryption), rsa);
		assert_int_equal(holds(der, NID_dhSinglePass_stdDH_sha1kdf_scheme), !rsa);
		assert_int_equal(holds(der, NID_id_aes128_wrap), !rsa);
	}
}

TEST(the_one_recipient_is_named_by_issuer_and_serial)
{
	for (size_t i = 0; i < COUNT_OF(devices); i++) {
		BUF der = encrypt_to(&devices[i], false, VIEW("content"));
		CMS cms = parse(buf_view(der));
		STACK_OF(CMS_RecipientInfo) *recipients = CMS_get0_RecipientInfos(cms);
		assert_int_equal(sk_CMS_RecipientInfo_num(recipients), 1);
		CMS_RecipientInfo *recipient = sk_CMS_RecipientInfo_value(recipients, 0);
		X509_NAME *issuer = NULL;
		ASN1_INTEGER *serial = NULL;
		if (CMS_RecipientInfo_type(recipient) == CMS_RECIPINFO_TRANS) {
			CMS_RecipientInfo_ktri_get0_signer_id(recipient, NULL, &issuer, &serial);
		} else {
			STACK_OF(CMS_RecipientEncryptedKey) *keys = CMS_RecipientInfo_kari_get0_reks(recipient);
			assert_int_equal(sk_CMS_RecipientEncryptedKey_num(keys), 1);
			CMS_RecipientEncryptedKey_get0_id(sk_CMS_RecipientEncryptedKey_value(keys, 0), NULL, NULL, NULL,
							  &issuer, &serial);
		}
		assert_int_equal(X509_NAME_cmp(issuer, X509_get_subject_name(ca)), 0);
		assert_int_equal(ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(devices[i].certificate)), 0);
	}
}

TEST(an_empty_and_a_large_content_are_encrypted_too)
{
	BUF large = buf_of(4 * MIB);
	memset(buf_reserve(large, 4 * MIB), 'x', 4 * MIB);
	BUF empty = encrypt_to(&devices[2], false, VIEW(""));
	BUF big = encrypt_to(&devices[2], false, buf_view(large));
	assert_true(opens(buf_view(empty), &devices[2], VIEW("")));
	assert_in_range(buf_len(big), 4 * MIB, 4 * MIB + 4 * KIB);
}

TEST(what_is_no_certificate_can_not_be_encrypted_to)
{
	BUF cms = buf_of(BUNDLE_MAX_BYTES);
	assert_fault(cms_encrypt(VIEW("not a certificate"), false, VIEW("content"), cms), INTERNAL);
	assert_fault(cms_encrypt(VIEW(""), false, VIEW("content"), cms), INTERNAL);
	assert_int_equal(buf_len(cms), 0);
}

/* ---- signing ---- */

static struct buf *sign(struct view content)
{
	struct buf *cms = buf_of(MIB);
	assert_done(cms_sign(signer, signer_key, NULL, content, cms));
	return cms;
}

/* Verifies under the one trusted root and compares what was signed. */
static bool verifies(struct view der, X509 *root, struct view wanted)
{
	const uint8_t *at = der.p;
	CMS cms = d2i_CMS_ContentInfo(NULL, &at, (long)der.len);
	X509_STORE *store = X509_STORE_new();
	BIO_PTR out = BIO_new(BIO_s_mem());
	X509_STORE_add_cert(store, root);
	X509_STORE_set_purpose(store, X509_PURPOSE_ANY);
	bool good = cms && CMS_verify(cms, NULL, store, NULL, out, CMS_BINARY) == 1;
	X509_STORE_free(store);
	ERR_clear_error();
	return good && view_equal(written(out), wanted);
}

TEST(what_is_signed_verifies_under_the_enrolment_ca_and_no_other)
{
	PKEY other_key = NULL;
	CERTIFICATE other = NULL;
	BUF cms = sign(VIEW("line\nbreaks\r\nare kept\0."));
	assert_done(ca_make(&other_key, &other));
	assert_true(verifies(buf_view(cms), ca, VIEW("line\nbreaks\r\nare kept\0.")));
	assert_false(verifies(buf_view(cms), other, VIEW("line\nbreaks\r\nare kept\0.")));
}

TEST(what_was_signed_can_not_be_changed)
{
	BUF cms = sign(VIEW("pay 100"));
	BUF copy = buf_of(MIB);
	const uint8_t *at = memmem(buf_data(cms), buf_len(cms), "pay 100", 7);
	assert_non_null(at);
	size_t offset = (size_t)(at - buf_data(cms));
	buf_put(copy, buf_data(cms), offset);
	buf_put_text(copy, "pay 900");
	buf_put(copy, at + 7, buf_len(cms) - offset - 7);
	assert_false(verifies(buf_view(copy), ca, VIEW("pay 900")));
}

TEST(the_signature_carries_its_certificate_and_sha_256)
{
	BUF der = sign(VIEW("content"));
	CMS cms = parse(buf_view(der));
	STACK_OF(X509) *certificates = CMS_get1_certs(cms);
	assert_int_equal(sk_X509_num(certificates), 1);
	assert_int_equal(X509_cmp(sk_X509_value(certificates, 0), signer), 0);
	sk_X509_pop_free(certificates, X509_free);
	assert_int_equal(OBJ_obj2nid(CMS_get0_type(cms)), NID_pkcs7_signed);
	assert_true(holds(der, NID_sha256));
	assert_true(holds(der, NID_ecdsa_with_SHA256));
}

TEST(output_that_does_not_fit_is_an_error)
{
	BUF small = buf_of(100);
	BUF other = buf_of(100);
	assert_fault(cms_sign(signer, signer_key, NULL, VIEW("content"), small), INTERNAL);
	assert_fault(cms_encrypt(buf_view(devices[0].der), false, VIEW("content"), other), INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_forms_open_with_every_kind_of_device_key),
		cmocka_unit_test(no_other_device_opens_it),
		cmocka_unit_test(an_authenticated_bundle_that_was_changed_opens_to_nothing_else),
		cmocka_unit_test(the_same_content_is_never_encrypted_to_the_same_bytes),
		cmocka_unit_test(the_default_form_is_authenticated_with_todays_algorithms),
		cmocka_unit_test(the_other_form_has_what_older_readers_know),
		cmocka_unit_test(the_one_recipient_is_named_by_issuer_and_serial),
		cmocka_unit_test(an_empty_and_a_large_content_are_encrypted_too),
		cmocka_unit_test(what_is_no_certificate_can_not_be_encrypted_to),
		cmocka_unit_test(what_is_signed_verifies_under_the_enrolment_ca_and_no_other),
		cmocka_unit_test(what_was_signed_can_not_be_changed),
		cmocka_unit_test(the_signature_carries_its_certificate_and_sha_256),
		cmocka_unit_test(output_that_does_not_fit_is_an_error),
	};
	return cmocka_run_group_tests(tests, make_all, free_all);
}
