/* New keys and the requests (PKCS#10, RFC 2986) that ask for their certificates. */
#ifndef PFXD_DEVICE_KEYS_H
#define PFXD_DEVICE_KEYS_H

#include "state.h"

/* The key and request that wait for an answer: those on disk, or new ones, which are on disk when this returns. kind
 * is "rsa2048", "rsa3072", "rsa4096", "p256", "p384", or NULL for what is there, else p256. EXIT_USAGE for another
 * kind. The caller frees *ret_key; ret_csr gets PEM. */
int keys_pending(const struct state *state, const char *kind, EVP_PKEY **ret_key, struct buf *ret_csr);

/* The kind of a key, in the words above; NULL for another. */
const char *keys_kind(const EVP_PKEY *key);

#endif
