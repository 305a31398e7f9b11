/* CHECK_IDENTITY: whether a key that is kept fits the certificate that is kept with it. */
#include "opener_maker.h"

#include "opener/check_identity.h"
#include "protocol.h"

static struct buf *key_der(EVP_PKEY *key)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	struct buf *b = buf_new(KEY_MAX_BYTES);
	uint8_t *der = NULL;
	int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
	assert_true(len > 0);
	buf_put(b, der, (size_t)len);
	OPENSSL_free(der);
	PKCS8_PRIV_KEY_INFO_free(info);
	return b;
}

static struct buf *certificate_der(EVP_PKEY *key)
{
	X509 *certificate = make_certificate(&(struct certificate_wish){ .subject = "Ann", .key = key });
	struct buf *b = buf_new(CERTIFICATE_MAX_BYTES);
	uint8_t *der = NULL;
	int len = i2d_X509(certificate, &der);
	assert_true(len > 0);
	buf_put(b, der, (size_t)len);
	OPENSSL_free(der);
	X509_free(certificate);
	return b;
}

static int check(const struct buf *certificate, const struct buf *key)
{
	const struct msg_check_identity m = { .certificate = buf_view(certificate), .key_secret = buf_view(key) };
	return check_identity(&m);
}

static void a_key_fits_its_own_certificate_and_no_other(void **state)
{
	(void)state;
	EVP_PKEY *const keys[] = { key_rsa(0), key_rsa(1), key_ec(0), key_ec(1) };
	for (size_t i = 0; i < 4; i++) {
		BUF certificate = certificate_der(keys[i]);
		for (size_t j = 0; j < 4; j++) {
			BUF key = key_der(keys[j]);
			assert_int_equal(check(certificate, key), i == j ? 0 : -FAULT_KEY_MISMATCH);
		}
	}
}

static void what_is_cut_short_or_longer_is_no_identity(void **state)
{
	(void)state;
	BUF certificate = certificate_der(key_ec(0));
	BUF key = key_der(key_ec(0));
	BUF longer = buf_new(CERTIFICATE_MAX_BYTES);
	const struct view c = buf_view(certificate), k = buf_view(key);
	for (size_t cut = 0; cut < c.len; cut += 7) {
		const struct msg_check_identity m = { .certificate = view_of(c.p, cut), .key_secret = k };
		assert_int_equal(check_identity(&m), -FAULT_MALFORMED_PKCS12);
	}
	for (size_t cut = 0; cut < k.len; cut++) {
		const struct msg_check_identity m = { .certificate = c, .key_secret = view_of(k.p, cut) };
		assert_int_equal(check_identity(&m), -FAULT_MALFORMED_PKCS12);
	}
	buf_put(longer, c.p, c.len);
	buf_put_u8(longer, 0);
	assert_int_equal(check(longer, key), -FAULT_MALFORMED_PKCS12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_fits_its_own_certificate_and_no_other),
		cmocka_unit_test(what_is_cut_short_or_longer_is_no_identity),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
