/* HMAC-SHA-256 (RFC 2104) under the keys of the keyring. To make a context of OpenSSL's and put a key into it takes
 * longer than the HMAC of a row: contexts that have the key are kept, and used by one thread at a time. */
#ifndef PFXD_HMAC_H
#define PFXD_HMAC_H

#include "buf.h"
#include "wipe.h"

enum { HMAC_BYTES = 32 };

struct hmac_key;

/* NULL without memory. The caller frees it, which wipes the key. */
struct hmac_key *hmac_key_new(const struct key256 *key_secret);
void hmac_key_free(struct hmac_key *key);

/* Of fields, which the caller has put into one buffer with their lengths. INTERNAL when they did not fit there. */
int hmac_make(struct hmac_key *key, const struct buf *fields, uint8_t ret[static HMAC_BYTES]);

#endif
