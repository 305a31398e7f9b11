/* How much a file may cost, added up before any of it is spent.
 *
 * One unit is one iteration for one block of hash output, about 0.1 to 0.5 microseconds of one core:
 *   PKCS#12 derivation and PBKDF2   (iterations + blocks that the salt fills) * ceil(bytes derived / bytes of the hash)
 *   scrypt                          2 * (N + 2) * r * p
 * Sums and products saturate. The MAC and all that is encrypted in the clear is charged before the first derivation.
 * What is visible only after an outer layer was decrypted, and a second form of a password, are charged to the same
 * sum before they are derived: whatever a file holds, and whatever the password, no more than the bound is spent. */
#ifndef PFXD_OPENER_PFX_WORK_H
#define PFXD_OPENER_PFX_WORK_H

#include <openssl/asn1.h>
#include <stdint.h>

struct work {
	uint64_t max, total;
};

/* Adds units; TOO_EXPENSIVE, naming the sum and the bound, when the sum is over it. */
int work_charge(struct work *w, uint64_t units);

/* A count (iterations, a key length, a parameter of scrypt), UINT64_MAX for one that is larger.
 * MALFORMED_PKCS12 for zero, a negative one, and NULL; clause names it: "RFC 8018 A.2: the iteration count". */
int count_read(const ASN1_INTEGER *number, const char *clause, uint64_t *ret);

#endif
