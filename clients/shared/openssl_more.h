/* More of OpenSSL's objects, freed on every way out of a block, and its objects as PEM in our buffers. */
#ifndef PFXD_CLIENTS_OPENSSL_MORE_H
#define PFXD_CLIENTS_OPENSSL_MORE_H

#include "openssl_ptr.h"
#include "buf.h"

#include <openssl/pkcs12.h>

static inline void free_reqp(X509_REQ **p) { X509_REQ_free(*p); }
static inline void free_storep(X509_STORE **p) { X509_STORE_free(*p); }
static inline void free_store_ctxp(X509_STORE_CTX **p) { X509_STORE_CTX_free(*p); }
static inline void free_pkcs12p(PKCS12 **p) { PKCS12_free(*p); }
static inline void free_chainp(STACK_OF(X509) **p) { sk_X509_pop_free(*p, X509_free); }

#define REQUEST __attribute__((cleanup(free_reqp))) X509_REQ *
#define STORE __attribute__((cleanup(free_storep))) X509_STORE *
#define STORE_CTX __attribute__((cleanup(free_store_ctxp))) X509_STORE_CTX *
#define PKCS12_PTR __attribute__((cleanup(free_pkcs12p))) PKCS12 *
#define CHAIN __attribute__((cleanup(free_chainp))) STACK_OF(X509) *

/* Each appends PEM; false if OpenSSL fails. A key is PKCS#8, not encrypted. */
bool pem_put_key(struct buf *ret_secret, EVP_PKEY *key);
bool pem_put_certificate(struct buf *ret, X509 *certificate);

/* For every reader of PEM: what is encrypted is not ours, and without this OpenSSL would ask the terminal for a
 * passphrase, whatever kind of block it is. */
int pem_no_passphrase(char *buf, int size, int writing, void *user);

/* NULL if text holds none. The caller frees. */
EVP_PKEY *pem_read_key(struct view text_secret);
X509 *pem_read_certificate(struct view text);
/* Every certificate in text, in order; NULL if one is damaged, if there are more than most, or without memory. */
STACK_OF(X509) *pem_read_certificates(struct view text, int most);

#endif
