/* CMS (RFC 5652, 5083, 5084): signing and encrypting a bundle. */
#ifndef PFXD_CMS_H
#define PFXD_CMS_H

#include "buf.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

/* Appends the DER of SignedData around content, attached, with the signer's certificate and those above it, SHA-256.
 * above may be NULL. */
int cms_sign(X509 *certificate, EVP_PKEY *key, STACK_OF(X509) *above, struct view content, struct buf *ret_secret);

/* Appends the DER of content encrypted to the RSA or EC key in a certificate, DER, which is named by issuer and serial.
 * enveloped false: AuthEnvelopedData, AES-256-GCM; RSA-OAEP with SHA-256, or ECDH with SHA-256 KDF and AES-256 wrap.
 * True: EnvelopedData, AES-256-CBC; RSA PKCS#1 v1.5, or ECDH with SHA-1 KDF and AES-128 wrap. */
int cms_encrypt(struct view recipient, bool enveloped, struct view content_secret, struct buf *ret);

#endif
