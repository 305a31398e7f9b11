/* Makes device keys. pfx-device. A key is on disk before anybody is asked to certify it. */
#include "keys.h"

#include "../shared/trouble.h"
#include "encode.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

static const struct kind {
	const char *name, *curve; /* curve NULL: RSA */
	unsigned bits;
} kinds[] = {
	{ "rsa2048", NULL, 2048 }, { "rsa3072", NULL, 3072 }, { "rsa4096", NULL, 4096 },
	{ "p256", "P-256", 256 },  { "p384", "P-384", 384 },
};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };
static const char default_kind[] = "p256";

static const struct kind *find_kind(const char *name)
{
	for (const struct kind *kind = kinds; kind < kinds + KIND_COUNT; kind++)
		if (strcmp(name, kind->name) == 0)
			return kind;
	return NULL;
}

const char *keys_kind(const EVP_PKEY *key)
{
	for (const struct kind *kind = kinds; kind < kinds + KIND_COUNT; kind++)
		if (EVP_PKEY_get_base_id(key) == (kind->curve ? EVP_PKEY_EC : EVP_PKEY_RSA) &&
		    EVP_PKEY_get_bits(key) == (int)kind->bits)
			return kind->name;
	return NULL;
}

/* The server looks at the key and at the signature; the subject is its own affair. */
static X509_REQ *make_request(EVP_PKEY *key)
{
	REQUEST request = X509_REQ_new();
	if (!request || X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
	    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_UTF8,
				       (const uint8_t *)"pfx-device", -1, -1, 0) != 1 ||
	    X509_REQ_set_pubkey(request, key) != 1 || X509_REQ_sign(request, key, EVP_sha256()) <= 0)
		return NULL;
	X509_REQ *taken = request;
	request = NULL;
	return taken;
}

static bool put_request(struct buf *ret, X509_REQ *request)
{
	int len = i2d_X509_REQ(request, NULL);
	BUF der = buf_new(len > 0 ? (size_t)len : 0);
	uint8_t *at = der && len > 0 ? buf_reserve(der, (size_t)len) : NULL;
	if (!at || i2d_X509_REQ(request, &at) != len)
		return false;
	pem_encode("CERTIFICATE REQUEST", buf_view(der), ret);
	return buf_ok(ret);
}

static int make_pending(const struct state *state, const struct kind *kind, EVP_PKEY **ret_key, struct buf *ret_csr)
{
	PKEY key = kind->curve ? EVP_EC_gen(kind->curve) : EVP_RSA_gen(kind->bits);
	REQUEST request = key ? make_request(key) : NULL;
	BUF pem_secret = buf_new(KEY_MAX_BYTES);
	if (!request || !pem_secret || !pem_put_key(pem_secret, key) || !put_request(ret_csr, request)) {
		ERR_clear_error();
		return trouble(EXIT_LOCAL, "OpenSSL could not make a key and its request");
	}
	int rc = state_write(state, "pending.key", pem_secret);
	if (rc == EXIT_DONE)
		rc = state_write(state, "pending.csr", ret_csr);
	if (rc)
		return rc;
	*ret_key = key;
	key = NULL;
	return EXIT_DONE;
}

/* What an earlier run left: a key and a request for it. False, with nothing in ret_csr, if it is not whole. */
static bool read_pending(const struct state *state, const char *kind, EVP_PKEY **ret_key, struct buf *ret_csr)
{
	BUF pem_secret = buf_new(KEY_MAX_BYTES);
	BUF der = buf_new(CSR_MAX_BYTES);
	if (!pem_secret || !der || state_read(state, "pending.key", KEY_MAX_BYTES - 1, pem_secret) != EXIT_DONE ||
	    state_read(state, "pending.csr", CSR_MAX_BYTES - 1, ret_csr) != EXIT_DONE)
		return false;
	PKEY key = pem_read_key(buf_view(pem_secret));
	REQUEST request = NULL;
	if (key && pem_decode("CERTIFICATE REQUEST", NULL, buf_view(ret_csr), der) == 0) {
		const uint8_t *at = buf_data(der);
		request = d2i_X509_REQ(NULL, &at, (long)buf_len(der));
	}
	ERR_clear_error();
	const char *found = key ? keys_kind(key) : NULL;
	if (!request || X509_REQ_check_private_key(request, key) != 1 || !found || (kind && strcmp(kind, found) != 0)) {
		ERR_clear_error();
		buf_reset(ret_csr);
		return false;
	}
	*ret_key = key;
	key = NULL;
	return true;
}

int keys_pending(const struct state *state, const char *kind, EVP_PKEY **ret_key, struct buf *ret_csr)
{
	const struct kind *wanted = find_kind(kind ? kind : default_kind);
	if (!wanted)
		return trouble(EXIT_USAGE, "--key takes rsa2048, rsa3072, rsa4096, p256 or p384");
	if (read_pending(state, kind, ret_key, ret_csr))
		return EXIT_DONE;
	buf_reset(ret_csr);
	return make_pending(state, wanted, ret_key, ret_csr);
}
