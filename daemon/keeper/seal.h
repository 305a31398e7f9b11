/* Sealing what is stored: AES-256-GCM under a data key of the identity's own, which is wrapped by a keyring key with
 * AES key wrap with padding (RFC 5649). What is sealed is bound to its record, owner, certificate, wrapping key and
 * part, so that no sealed bytes open in another place. Sealed: nonce (12) | ciphertext | tag (16). */
#ifndef PFXD_SEAL_H
#define PFXD_SEAL_H

#include "keyring.h"

enum {
	SEAL_NONCE_BYTES = 12,
	SEAL_TAG_BYTES = 16,
	SEAL_WRAPPED_BYTES = 40, /* of a 256-bit key */
};

/* The sealed parts of an identity, in the order of their columns: PKCS#12 files in two forms. */
enum { SEAL_MODERN, SEAL_LEGACY, SEAL_PARTS };
extern const char *const seal_parts[SEAL_PARTS];

/* What sealed bytes are bound to, all of it authenticated and none of it secret. */
struct binding {
	struct view record, owner, sha256, key_id;
};

/* Makes a data key and wraps it under the keyring's newest wrapping key; ret_wrapped has SEAL_WRAPPED_BYTES. */
int seal_new_key(const struct keyring *keyring, struct key256 *ret_secret, uint8_t *ret_wrapped);

/* Unwraps a data key. TAMPERED if the keyring has no such wrapping key or the bytes do not unwrap. */
int seal_open_key(const struct keyring *keyring, struct view key_id, struct view wrapped, struct key256 *ret_secret);

/* Appends plain, sealed, to ret. part is one of seal_parts, or "probe". */
int seal(const struct key256 *key_secret, const struct binding *binding, const char *part, struct view plain,
	 struct buf *ret);

/* Appends what was sealed to ret_secret. TAMPERED if it was sealed otherwise or changed: nothing is appended then. */
int unseal(const struct key256 *key_secret, const struct binding *binding, const char *part, struct view sealed,
	   struct buf *ret_secret);

/* SHA-256 and SHA-1 of bytes; SHA-1 only where a thumbprint has to be one. */
int digest_sha256(struct view bytes, uint8_t ret[static 32]);
int digest_sha1(struct view bytes, uint8_t ret[static 20]);

#endif
