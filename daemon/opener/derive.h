/* How a key is made of a password, as an AlgorithmIdentifier says it: PBES1 of PKCS#12 (RFC 7292 C), PBKDF2
 * (RFC 8018 A.2), scrypt (RFC 7914 7). Read and bounded first, charged second, run last. */
#ifndef PFXD_OPENER_DERIVE_H
#define PFXD_OPENER_DERIVE_H

#include "kdf.h"
#include "password.h"

#include <openssl/x509.h>

enum { SCRYPT_MAX_BYTES = 64 << 20 }; /* of memory; makers use 16 MiB */

enum derive_scheme { DERIVE_PKCS12, DERIVE_PBKDF2, DERIVE_SCRYPT };

struct derive {
	enum derive_scheme scheme;
	const struct hash *hash;
	uint64_t iterations;      /* scrypt: N */
	uint64_t r, p;            /* of scrypt */
	uint64_t key_bytes;       /* as the file says; 0 where it does not */
	size_t salt_len;
	uint8_t salt[SALT_MAX_BYTES];
};

/* Reads a keyDerivationFunc: PBKDF2 or scrypt. MALFORMED_PKCS12, UNSUPPORTED_ALGORITHM (naming the OID),
 * TOO_EXPENSIVE (memory of scrypt, size of a salt). */
int derive_read(const X509_ALGOR *kdf, struct derive *ret);
/* The same of what a MAC or PBES1 gives. NULL iterations is 1 (RFC 7292 4: DEFAULT 1). */
int derive_read_pkcs12(const struct hash *hash, const ASN1_OCTET_STRING *salt, const ASN1_INTEGER *iterations,
		       const char *clause, struct derive *ret);

/* What deriving len bytes costs, in units of pfx_work.h. */
uint64_t derive_work(const struct derive *d, size_t len);
/* Derives len bytes, at most DERIVED_MAX_BYTES, with the form of the password that is given. id is for
 * DERIVE_PKCS12 alone. TOO_EXPENSIVE without memory. */
int derive_run(const struct derive *d, struct view password_secret, enum kdf_id id, uint8_t *ret, size_t len);

#endif
