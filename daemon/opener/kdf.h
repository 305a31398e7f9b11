/* Hashes, HMAC, and the two ways of PKCS#12 to make a key of a password.
 *
 * Why not EVP: one HMAC step of OpenSSL 3.0's PBKDF2 copies two EVP contexts, and derivation is most of what an
 * import costs. The loops here keep hash states on the stack and take half the time; the compression is
 * OpenSSL's own. */
#ifndef PFXD_OPENER_KDF_H
#define PFXD_OPENER_KDF_H

#include "buf.h"

enum {
	HASH_MAX_BYTES = 64,
	SALT_MAX_BYTES = 1024,        /* makers use 8 to 64 */
	BMP_PASSWORD_MAX_BYTES = 2050, /* PASSWORD_MAX_BYTES characters and the two zero bytes at the end */
	DERIVED_MAX_BYTES = 128,      /* the longest key or IV that anybody asks for */
};

struct hash {
	int nid, hmac_nid;
	size_t size, block; /* bytes */
};

/* The row of SHA-1, SHA-224, SHA-256, SHA-384 or SHA-512, or NULL for any other. */
const struct hash *hash_by_nid(int nid);
const struct hash *hash_by_hmac_nid(int nid);

/* ret has room for h->size. */
void hash_digest(const struct hash *h, struct view data, uint8_t *ret);
void hash_hmac(const struct hash *h, struct view key_secret, struct view data, uint8_t *ret);

enum kdf_id { KDF_ID_KEY = 1, KDF_ID_IV = 2, KDF_ID_MAC = 3 }; /* RFC 7292 B.3 */

/* RFC 7292 B.2: len bytes, at most DERIVED_MAX_BYTES. bmp_secret is a BMPString with its end, or nothing. Salt and
 * password are within SALT_MAX_BYTES and BMP_PASSWORD_MAX_BYTES. */
void kdf_pkcs12(const struct hash *h, struct view bmp_secret, struct view salt, enum kdf_id id, uint64_t iterations,
		uint8_t *ret, size_t len);
/* RFC 8018 5.2 with HMAC of h: len bytes, at most DERIVED_MAX_BYTES. The salt is within SALT_MAX_BYTES. */
void kdf_pbkdf2(const struct hash *h, struct view password_secret, struct view salt, uint64_t iterations, uint8_t *ret,
		size_t len);

/* What deriving len bytes costs, in units of pfx_work.h. Saturates. */
uint64_t kdf_work(const struct hash *h, size_t salt_len, uint64_t iterations, size_t len);
/* The units that this process has spent so far: counted in the loops, not computed. */
uint64_t kdf_work_done(void);
/* Adds what another library spends. */
void kdf_work_add(uint64_t units);

#endif
