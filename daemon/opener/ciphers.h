/* The block and stream ciphers of PKCS#12 files, fetched once. RC2 and RC4 come from the legacy provider in a library
 * context of its own, so that nothing but this table can reach them. */
#ifndef PFXD_OPENER_CIPHERS_H
#define PFXD_OPENER_CIPHERS_H

#include "buf.h"

#include <openssl/evp.h>

/*        name      OpenSSL's name  legacy key, IV bytes */
#define CIPHERS(C) \
	C(AES128,   "AES-128-CBC",  false, 16, 16) \
	C(AES192,   "AES-192-CBC",  false, 24, 16) \
	C(AES256,   "AES-256-CBC",  false, 32, 16) \
	C(DES3,     "DES-EDE3-CBC", false, 24, 8) \
	C(DES2,     "DES-EDE-CBC",  false, 16, 8) \
	C(RC2_128,  "RC2-CBC",      true,  16, 8) \
	C(RC2_40,   "RC2-40-CBC",   true,  5,  8) \
	C(RC4_128,  "RC4",          true,  16, 0) \
	C(RC4_40,   "RC4-40",       true,  5,  0)

enum cipher {
#define C(name, ossl, legacy, key, iv) CIPHER_##name,
	CIPHERS(C)
#undef C
	CIPHER_COUNT
};

enum { CIPHER_KEY_MAX_BYTES = 32, CIPHER_IV_MAX_BYTES = 16 };

struct ciphers {
	OSSL_LIB_CTX *legacy;
	OSSL_PROVIDER *legacy_provider;
	EVP_CIPHER *at[CIPHER_COUNT]; /* NULL where this machine has it not */
	EVP_CIPHER_CTX *ctx;
};

/* Loads what is there; call before locking in, because the legacy provider is a file. False, with a sentence, when
 * not even the default provider's are. A missing legacy provider leaves its ciphers NULL. */
bool ciphers_load(struct ciphers *c);

size_t cipher_key_bytes(enum cipher id);
size_t cipher_iv_bytes(enum cipher id);

/* Appends the result to ret. False when the padding is wrong or memory ran out. */
bool cipher_run(const struct ciphers *c, enum cipher id, bool encrypt, const uint8_t *key_secret, const uint8_t *iv,
		struct view in, struct buf *ret);

#endif
