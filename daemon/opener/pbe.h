/* Password-based encryption: PBES1 of PKCS#12 (RFC 7292 C) and PBES2 (RFC 8018 6.2). */
#ifndef PFXD_OPENER_PBE_H
#define PFXD_OPENER_PBE_H

#include "ciphers.h"
#include "derive.h"
#include "pfx_work.h"

struct pbe {
	struct derive derive;
	enum cipher cipher;
	uint8_t iv[CIPHER_IV_MAX_BYTES]; /* of PBES2 */
};

/* Reads an AlgorithmIdentifier; derives nothing. MALFORMED_PKCS12, UNSUPPORTED_ALGORITHM (naming the OID),
 * TOO_EXPENSIVE (a salt, or memory of scrypt). */
int pbe_read(const X509_ALGOR *algorithm, const struct ciphers *ciphers, struct pbe *ret);

/* What one attempt costs, in units of pfx_work.h. */
uint64_t pbe_work(const struct pbe *pbe);

/* Decrypts a SEQUENCE into ret, which is empty before. The first attempt was charged by the caller; one with another
 * form of the password, where none is proved yet, is charged to work. The caller has checked the MAC, so a failure
 * is MALFORMED_PKCS12, never a wrong password. */
int pbe_decrypt(const struct pbe *pbe, const struct ciphers *ciphers, struct password *password, struct work *work,
		struct view in, struct buf *ret);

#endif
