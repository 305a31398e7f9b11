/* Cleanup by attribute for what OpenSSL hands out: OWNED(X509) x = d2i_X509(...); is freed on every way out. */
#ifndef PFXD_OPENER_OWN_H
#define PFXD_OPENER_OWN_H

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define OWNED(type) __attribute__((cleanup(type##_freep))) type *
#define DEFINE_OWNED(type, free_function) \
	static inline void type##_freep(type **p) { free_function(*p); }

DEFINE_OWNED(ASN1_BIT_STRING, ASN1_BIT_STRING_free)
DEFINE_OWNED(ASN1_OCTET_STRING, ASN1_OCTET_STRING_free)
DEFINE_OWNED(BASIC_CONSTRAINTS, BASIC_CONSTRAINTS_free)
DEFINE_OWNED(BIGNUM, BN_clear_free)
DEFINE_OWNED(BIO, BIO_free_all)
DEFINE_OWNED(BN_CTX, BN_CTX_free)
DEFINE_OWNED(EC_GROUP, EC_GROUP_free)
DEFINE_OWNED(EC_POINT, EC_POINT_free)
DEFINE_OWNED(EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)
DEFINE_OWNED(EXTENDED_KEY_USAGE, EXTENDED_KEY_USAGE_free)
DEFINE_OWNED(GENERAL_NAMES, GENERAL_NAMES_free)
DEFINE_OWNED(AUTHORITY_KEYID, AUTHORITY_KEYID_free)
DEFINE_OWNED(PBE2PARAM, PBE2PARAM_free)
DEFINE_OWNED(PBEPARAM, PBEPARAM_free)
DEFINE_OWNED(PBKDF2PARAM, PBKDF2PARAM_free)
DEFINE_OWNED(PKCS7, PKCS7_free)
DEFINE_OWNED(PKCS8_PRIV_KEY_INFO, PKCS8_PRIV_KEY_INFO_free)
DEFINE_OWNED(RSA_PSS_PARAMS, RSA_PSS_PARAMS_free)
DEFINE_OWNED(SCRYPT_PARAMS, SCRYPT_PARAMS_free)
DEFINE_OWNED(X509, X509_free)
DEFINE_OWNED(X509_ALGOR, X509_ALGOR_free)
DEFINE_OWNED(X509_REQ, X509_REQ_free)

#endif
