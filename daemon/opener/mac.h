/* The MAC of a PFX (RFC 7292 4, 5.1; RFC 9579 for PBMAC1). */
#ifndef PFXD_OPENER_MAC_H
#define PFXD_OPENER_MAC_H

#include "derive.h"
#include "pfx_work.h"

enum { PBMAC1_KEY_MAX_BYTES = DERIVED_MAX_BYTES };

/* RFC 7292 4: MacData */
struct mac_data {
	X509_SIG *mac; /* DigestInfo has the same syntax */
	ASN1_OCTET_STRING *salt;
	ASN1_INTEGER *iterations;
};
DECLARE_ASN1_ITEM(PFX_MAC_DATA)

struct mac {
	struct derive derive;     /* of the MAC's key */
	const struct hash *hash;  /* of the HMAC */
	size_t key_bytes;
	struct view expected;     /* bytes of data */
};

/* Reads it; derives nothing. MAC_MISSING for NULL, MALFORMED_PKCS12, UNSUPPORTED_ALGORITHM (naming the OID). data must
 * outlive ret. */
int mac_read(const struct mac_data *data, struct mac *ret);
/* What one attempt costs. */
uint64_t mac_work(const struct mac *mac);
/* Tries the forms of the password one after the other, and marks the one that is right. The first was charged by the
 * caller; each further one is charged to work. WRONG_PASSWORD, TOO_EXPENSIVE. */
int mac_check(const struct mac *mac, struct view content, struct password *password, struct work *work);

#endif
