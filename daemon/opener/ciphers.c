/* Ciphers. Opener. Never opens a file after ciphers_load(). */
#include "ciphers.h"

#include "fault.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/provider.h>

static const struct {
	const char *name;
	bool legacy;
	size_t key_bytes, iv_bytes;
} table[CIPHER_COUNT] = {
#define C(name, ossl, legacy, key, iv) [CIPHER_##name] = { ossl, legacy, key, iv },
	CIPHERS(C)
#undef C
};

bool ciphers_load(struct ciphers *c)
{
	*c = (struct ciphers){ .legacy = OSSL_LIB_CTX_new(), .ctx = EVP_CIPHER_CTX_new() };
	if (c->legacy)
		c->legacy_provider = OSSL_PROVIDER_load(c->legacy, "legacy");
	for (size_t i = 0; i < CIPHER_COUNT; i++)
		if (!table[i].legacy || c->legacy_provider)
			c->at[i] = EVP_CIPHER_fetch(table[i].legacy ? c->legacy : NULL, table[i].name, NULL);
	ERR_clear_error();
	if (c->ctx && c->at[CIPHER_AES256] && c->at[CIPHER_DES3])
		return true;
	fail(FAULT_INTERNAL, "the default provider of OpenSSL has no AES or no 3DES");
	return false;
}

size_t cipher_key_bytes(enum cipher id)
{
	return table[id].key_bytes;
}

size_t cipher_iv_bytes(enum cipher id)
{
	return table[id].iv_bytes;
}

static bool run(EVP_CIPHER_CTX *ctx, struct view in, struct buf *ret)
{
	size_t start = buf_len(ret);
	int len = 0, last = 0;
	uint8_t *at = buf_reserve(ret, in.len + CIPHER_IV_MAX_BYTES);
	if (!at || in.len > INT_MAX - CIPHER_IV_MAX_BYTES)
		return false;
	if (EVP_CipherUpdate(ctx, at, &len, in.p, (int)in.len) != 1 || EVP_CipherFinal_ex(ctx, at + len, &last) != 1) {
		buf_truncate(ret, start);
		return false;
	}
	buf_truncate(ret, start + (size_t)len + (size_t)last);
	return true;
}

bool cipher_run(const struct ciphers *c, enum cipher id, bool encrypt, const uint8_t *key_secret, const uint8_t *iv,
		struct view in, struct buf *ret)
{
	bool ok = c->at[id] && EVP_CipherInit_ex2(c->ctx, c->at[id], key_secret, iv, encrypt, NULL) == 1 &&
		  run(c->ctx, in, ret);
	EVP_CIPHER_CTX_reset(c->ctx); /* wipes the key schedule */
	ERR_clear_error();
	return ok;
}
