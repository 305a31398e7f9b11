/* Keys, read without EVP: a hostile key meets nothing but multiplication and division. OpenSSL's decoders cost more
 * than all the rest of an import and test what nobody asked for. */
#ifndef PFXD_OPENER_KEY_H
#define PFXD_OPENER_KEY_H

#include "buf.h"

#include <openssl/asn1t.h>
#include <openssl/x509.h>

enum {
	RSA_MIN_BITS = 1024,   /* below it a key protects nothing */
	RSA_GOOD_BITS = 2048,  /* below it an identity is imported with a warning */
	RSA_MAX_BITS = 16384,
	EC_POINT_MAX_BYTES = 1 + 2 * 66,
	PUBLIC_KEY_MAX_BYTES = 8 + 2 * (RSA_MAX_BITS / 8),
};

enum key_family { KEY_RSA = 1, KEY_EC };

struct public_key {
	enum key_family family;
	bool pss;               /* RSA bound to RSASSA-PSS (RFC 4055 3.1): it can only sign */
	int curve;              /* NID, of EC */
	unsigned bits;
	struct buf *canonical;  /* RSA: modulus and exponent, each with its length; EC: the uncompressed point */
};

/* SubjectPublicKeyInfo, RFC 5280 4.1 */
struct public_key_info {
	X509_ALGOR *algorithm;
	ASN1_BIT_STRING *bits;
};
DECLARE_ASN1_ITEM(PUBLIC_KEY_INFO)

struct private_key {
	struct public_key public;
	struct buf *pkcs8_secret; /* DER, without attributes */
};

/* Reads a SubjectPublicKeyInfo. UNSUPPORTED_ALGORITHM (naming the OID), MALFORMED_PKCS12, WEAK_KEY below
 * RSA_MIN_BITS. public_key_done() frees what is in it, also after an error. */
int public_key_read(const struct public_key_info *info, struct public_key *ret);
void public_key_done(struct public_key *key);
bool public_key_equal(const struct public_key *a, const struct public_key *b);

/* The n-th number (0 modulus, 1 exponent) of a canonical RSA key, without leading zeros. */
struct view public_key_number(const struct public_key *key, int n);

/* Reads PKCS#8 (RFC 5208), checks that the parts of the key belong together, and encodes it anew. Errors as above, and
 * KEY_MISMATCH when the private part is not of the public one. New; free with private_key_free(). */
int private_key_read(struct view pkcs8, struct private_key **ret);
void private_key_free(struct private_key *key);

/* "RSA-2048", "RSA-PSS-2048", "P-256", "brainpoolP256r1". ret has room for KEY_ALGORITHM_MAX_BYTES + 1. */
void key_algorithm(const struct public_key *key, char *ret);

#define PUBLIC_KEY __attribute__((cleanup(public_key_done))) struct public_key

#endif
