/* Tokens: 256 random bits as text, of which services keep the hash alone. */
#ifndef PFXD_TOKEN_H
#define PFXD_TOKEN_H

#include "buf.h"
#include "wipe.h"

/* A new token: 256 random bits in base64url, TOKEN_CHARS long, appended to ret_secret; and its SHA-256. */
int token_make(struct buf *ret_secret, uint8_t ret_sha256[static 32]);

#endif
