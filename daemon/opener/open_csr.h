/* VERB_OPEN_CSR: the key of a PKCS#10 request (RFC 2986), once its owner has proved to have the private half. */
#ifndef PFXD_OPENER_OPEN_CSR_H
#define PFXD_OPENER_OPEN_CSR_H

#include "protocol.h"

enum { CSR_RSA_MIN_BITS = 2048, CSR_RSA_MAX_BITS = 4096 };

/* Appends the fields of opened_csr to answer: modulus and exponent without leading zeros, or the uncompressed point;
 * both stand byte for byte in the request. Subject and extensions are not looked at.
 *
 * MALFORMED_CSR; UNSUPPORTED_ALGORITHM for keys and signatures of other algorithms, naming the OID, for RSA above
 * CSR_RSA_MAX_BITS, and for MD5; WEAK_KEY for RSA below CSR_RSA_MIN_BITS and for keys bound to RSA-PSS, to which none
 * can encrypt; BAD_PROOF_OF_POSSESSION. An RSA exponent is odd, 3 <= e < 2^64. Nothing is verified before the key
 * is within these bounds. */
int open_csr(const struct msg_open_csr *request, struct buf *answer);

#endif
