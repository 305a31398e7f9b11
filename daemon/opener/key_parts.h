/* What key.c and private_key.c share; nobody else's. */
#ifndef PFXD_OPENER_KEY_PARTS_H
#define PFXD_OPENER_KEY_PARTS_H

#include "key.h"

#include <openssl/bn.h>
#include <openssl/ec.h>

struct curve {
	int nid;
	unsigned bits;
	const char *name;
};

/* The row of a named curve that is supported, or NULL. */
const struct curve *curve_by_nid(int nid);

/* Sets family, pss, curve, and for EC bits. UNSUPPORTED_ALGORITHM names the OID. */
int key_kind_read(const X509_ALGOR *algorithm, struct public_key *ret);

/* An empty key; false, with a sentence, without memory. */
bool public_key_init(struct public_key *ret);

/* Fill in canonical, and bits for RSA, after checking bounds. Errors as public_key_read(). */
int rsa_public_set(struct public_key *ret, const BIGNUM *n, const BIGNUM *e);
int ec_public_set(struct public_key *ret, const EC_GROUP *group, struct view octets);
int ec_public_set_point(struct public_key *ret, const EC_GROUP *group, const EC_POINT *point);

#endif
