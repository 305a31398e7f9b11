/* Making certificates (RFC 5280), with OpenSSL: the beginning that all of them share, and extensions by their names.
 * For the programs that link OpenSSL. */
#ifndef PFXD_CERTIFICATE_H
#define PFXD_CERTIFICATE_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

enum { CERTIFICATE_BACKDATE_SECONDS = 300 }; /* so that a clock that is a little slow can use it at once */

/* A version 3 certificate for key with a random serial, O=pfxd and the common name, valid for days, without extensions
 * and signature. issuer NULL: self-signed. NULL on failure; the caller frees it. */
X509 *certificate_begin(EVP_PKEY *key, X509 *issuer, const char *common_name, int days);

/* Adds an extension, written as in openssl's x509v3_config(5). */
bool certificate_extend(X509 *x, X509 *issuer, int nid, const char *value);

/* When a certificate begins and ends to be valid, in seconds since 1970. 0 for a time that is none. */
int64_t certificate_begins(const X509 *x);
int64_t certificate_ends(const X509 *x);

#endif
