/* The PKCS#12 files that devices get: one shrouded key and one certificate, made here from the start.
 *
 *   PKCS12_MODERN   PBES2, PBKDF2-HMAC-SHA256, AES-256-CBC; HMAC-SHA256 as the MAC
 *   PKCS12_LEGACY   pbeWithSHAAnd3-KeyTripleDES-CBC; HMAC-SHA1 as the MAC
 *
 * Salts of 8 bytes, both bags with the certificate's SHA-1 as localKeyID. The password is 256 random bits, so
 * iterations add nothing; 2 and not 1, because there are readers that take 1 for an error. */
#ifndef PFXD_OPENER_MAKE_PKCS12_H
#define PFXD_OPENER_MAKE_PKCS12_H

#include "ciphers.h"

enum { PKCS12_MADE_ITERATIONS = 2, PKCS12_MADE_SALT_BYTES = 8 };

enum pkcs12_form { PKCS12_MODERN, PKCS12_LEGACY };

/* Writes one into ret, which is empty before and holds PKCS12_MAX_BYTES. password_secret is ASCII, of
 * PKCS12_PASSWORD_CHARS; thumbprint the certificate's SHA-1. INTERNAL; TOO_EXPENSIVE without memory or room. */
int make_pkcs12(const struct ciphers *ciphers, enum pkcs12_form form, struct view pkcs8_secret, struct view certificate,
		struct view thumbprint, struct view password_secret, struct buf *ret);

#endif
