/* PEM to and from OpenSSL's objects. Both clients. Keys pass through wiping buffers only. */
#include "openssl_more.h"

#include "encode.h"

#include <openssl/err.h>
#include <openssl/pem.h>

bool pem_put_key(struct buf *ret_secret, EVP_PKEY *key)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;
	BUF der_secret = buf_new(len > 0 ? (size_t)len : 0);
	uint8_t *at = der_secret && len > 0 ? buf_reserve(der_secret, (size_t)len) : NULL;
	bool done = at && i2d_PKCS8_PRIV_KEY_INFO(info, &at) == len;
	PKCS8_PRIV_KEY_INFO_free(info);
	if (done)
		pem_encode("PRIVATE KEY", buf_view(der_secret), ret_secret);
	return done && buf_ok(ret_secret);
}

bool pem_put_certificate(struct buf *ret, X509 *certificate)
{
	int len = i2d_X509(certificate, NULL);
	BUF der = buf_new(len > 0 ? (size_t)len : 0);
	uint8_t *at = der && len > 0 ? buf_reserve(der, (size_t)len) : NULL;
	if (!at || i2d_X509(certificate, &at) != len)
		return false;
	pem_encode("CERTIFICATE", buf_view(der), ret);
	return buf_ok(ret);
}

static BIO *reader(struct view text)
{
	return text.len <= INT_MAX ? BIO_new_mem_buf(text.p, (int)text.len) : NULL;
}

int pem_no_passphrase(char *buf, int size, int writing, void *user)
{
	(void)buf, (void)size, (void)writing, (void)user;
	return -1;
}

EVP_PKEY *pem_read_key(struct view text_secret)
{
	BIO_PTR bio = reader(text_secret);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, pem_no_passphrase, NULL) : NULL;
	ERR_clear_error();
	return key;
}

X509 *pem_read_certificate(struct view text)
{
	BIO_PTR bio = reader(text);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, pem_no_passphrase, NULL) : NULL;
	ERR_clear_error();
	return certificate;
}

STACK_OF(X509) *pem_read_certificates(struct view text, int most)
{
	BIO_PTR bio = reader(text);
	CHAIN chain = sk_X509_new_null();
	if (!bio || !chain)
		return NULL;
	for (;;) {
		X509 *certificate = PEM_read_bio_X509(bio, NULL, pem_no_passphrase, NULL);
		if (!certificate)
			break;
		if (sk_X509_num(chain) == most || sk_X509_push(chain, certificate) <= 0) {
			X509_free(certificate);
			return NULL;
		}
	}
	bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	if (!at_end)
		return NULL;
	STACK_OF(X509) *taken = chain;
	chain = NULL;
	return taken;
}
