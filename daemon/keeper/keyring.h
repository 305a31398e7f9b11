/* The keyring: every key that opens or authenticates what is stored. One small text file, one key a line:
 *
 *   pfxd-keyring 1
 *   wrap ID BASE64             256-bit wrapping key; ID is 8 hex digits. The first one wraps what is new; the others
 *                              open what was wrapped before
 *   rows BASE64                256-bit HMAC key of rows that carry authority
 *   audit BASE64               256-bit HMAC key of the audit chain
 *   first-token HEX            SHA-256 of the administrator's token that a new database starts with; may be taken out
 *                              once there is another one, so that an emptied database lets nobody in
 *   ca BASE64 BASE64 ...       enrolment CA: PKCS#8 and certificate, DER; then the certificates above it, root last,
 *                              where it is not its own root. The first one issues; all are trusted
 *   bundle-signer BASE64 BASE64
 *                              of the CA on the line before it
 *   ca-request BASE64          PKCS#8 of a CA whose certificate somebody else is asked to sign; there may be one
 */
#ifndef PFXD_KEYRING_H
#define PFXD_KEYRING_H

#include "buf.h"
#include "hmac.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

enum {
	KEYRING_MAX_BYTES = 64 * 1024,
	KEYRING_WRAPPING_KEYS_MAX = 16,
	KEYRING_CAS_MAX = 8,
	KEYRING_CHAIN_MAX = 4, /* certificates above a CA */
	KEYRING_ID_CHARS = 8,
};

struct keyring;

/* Makes new keys and a new enrolment CA, and appends the text to ret_secret. first_token_sha256 has 32 bytes. */
int keyring_make(struct view first_token_sha256, struct buf *ret_secret);

/* Each appends what it makes as a line of a keyring: a new wrapping key with a new id; a CA and the bundle signer that
 * it certifies, two lines; a key that waits for its certificate. chain: above the CA, root last; NULL for none. */
int keyring_put_wrapping(struct buf *ret_secret);
int keyring_put_ca(EVP_PKEY *key, X509 *certificate, const STACK_OF(X509) *chain, struct buf *ret_secret);
int keyring_put_request(EVP_PKEY *key, struct buf *ret_secret);

/* Reads the text. MALFORMED_REQUEST, naming the line, for anything that is not of this form; also
 * where a key is missing. The caller frees *ret, which wipes it. */
int keyring_parse(struct view text_secret, struct keyring **ret);
/* Reads the file at path; "" means the systemd credential called keyring. It must be readable by its owner alone. */
int keyring_open(const char *path, struct keyring **ret);
void keyring_free(struct keyring *keyring);

/* The id of wrapping key i, newest first: number 0 is for what is new. NULL past the last. And the key with an id, or
 * NULL. Owned by the keyring. */
const char *keyring_wrapping_id(const struct keyring *keyring, size_t i);
const struct key256 *keyring_wrapping_key(const struct keyring *keyring, struct view id);
/* The keys of rows that carry authority, and of audit records. Owned by the keyring. */
struct hmac_key *keyring_rows_key(const struct keyring *keyring);
struct hmac_key *keyring_audit_key(const struct keyring *keyring);
/* 32 bytes, or none. */
struct view keyring_first_token(const struct keyring *keyring);

/* CA number i, newest first: number 0 issues. The certificates above it, issuer first; its bundle signer. NULL past the
 * last. Owned by the keyring. */
X509 *keyring_ca_certificate(const struct keyring *keyring, size_t i);
EVP_PKEY *keyring_ca_key(const struct keyring *keyring, size_t i);
const STACK_OF(X509) *keyring_ca_chain(const struct keyring *keyring, size_t i);
X509 *keyring_signer_certificate(const struct keyring *keyring, size_t i);
EVP_PKEY *keyring_signer_key(const struct keyring *keyring, size_t i);
/* The key of ca-request, or NULL. Owned by the keyring. */
EVP_PKEY *keyring_request_key(const struct keyring *keyring);

/* Which CA issued a certificate, by the names and key ids in both. UNAUTHORIZED if none of these did; UNAVAILABLE
 * without memory. */
int keyring_ca_of(const struct keyring *keyring, X509 *certificate, size_t *ret);
/* The same of a device certificate's DER, which is not read where the names and key ids of the CAs alone tell: a
 * thousand times as fast. INTERNAL for one that can not be read. */
int keyring_ca_of_der(const struct keyring *keyring, struct view der, size_t *ret);
/* Appends CA number i and the certificates above it as PEM, issuer first, root last. */
int keyring_put_ca_pem(const struct keyring *keyring, size_t i, struct buf *ret);

#endif
