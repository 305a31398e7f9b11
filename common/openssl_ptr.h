/* OpenSSL's objects, freed on every way out of a block: PKEY key = NULL; */
#ifndef PFXD_OPENSSL_PTR_H
#define PFXD_OPENSSL_PTR_H

#include <openssl/cms.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define OPENSSL_PTR(type, name, release) \
	static inline void name##p(type **p) { release(*p); }
OPENSSL_PTR(EVP_PKEY, free_pkey, EVP_PKEY_free)
OPENSSL_PTR(EVP_PKEY_CTX, free_pkey_ctx, EVP_PKEY_CTX_free)
OPENSSL_PTR(EVP_CIPHER_CTX, free_cipher_ctx, EVP_CIPHER_CTX_free)
OPENSSL_PTR(EVP_MD_CTX, free_md_ctx, EVP_MD_CTX_free)
OPENSSL_PTR(X509, free_x509, X509_free)
OPENSSL_PTR(BIO, free_bio, BIO_free_all)
OPENSSL_PTR(CMS_ContentInfo, free_cms, CMS_ContentInfo_free)
#undef OPENSSL_PTR

#define PKEY __attribute__((cleanup(free_pkeyp))) EVP_PKEY *
#define PKEY_CTX __attribute__((cleanup(free_pkey_ctxp))) EVP_PKEY_CTX *
#define CIPHER_CTX __attribute__((cleanup(free_cipher_ctxp))) EVP_CIPHER_CTX *
#define MD_CTX __attribute__((cleanup(free_md_ctxp))) EVP_MD_CTX *
#define CERTIFICATE __attribute__((cleanup(free_x509p))) X509 *
#define BIO_PTR __attribute__((cleanup(free_biop))) BIO *
#define CMS __attribute__((cleanup(free_cmsp))) CMS_ContentInfo *

#endif
