/* The enrolment CA: makes itself, the bundle signer, and device certificates (RFC 5280). */
#ifndef PFXD_CA_H
#define PFXD_CA_H

#include "buf.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

enum {
	CA_YEARS = 20,
	CA_DEVICE_DAYS = 730,
	CA_LEAST_DAYS = 180, /* that one must still last which somebody else signed; and how long it may at most */
	CA_MOST_YEARS = 40,
};

/* The extended key usage of the bundle signer and of nothing else that the CA issues: id-kp-documentSigning (RFC
 * 9336). A device that verifies a bundle insists on it: a device certificate must not be able to sign bundles. */
#define CA_BUNDLE_SIGNER_EKU "1.3.6.1.5.5.7.3.36"

/* Makes a P-256 key and its self-signed CA certificate. The caller frees both. INTERNAL on failure. */
int ca_make(EVP_PKEY **ret_key, X509 **ret_certificate);

/* Makes a P-256 key and its certificate by the CA, which ends with the CA's own. INTERNAL on failure. */
int ca_make_bundle_signer(EVP_PKEY *ca_key, X509 *ca_certificate, EVP_PKEY **ret_key, X509 **ret_certificate);

/* Certifies a device's public key: EKU clientAuth; KU by the kind of key; SAN urn:uuid: of device and user; the
 * subject names the device alone. INTERNAL on failure. */
int ca_issue(EVP_PKEY *ca_key, X509 *ca_certificate, EVP_PKEY *device_key, const char *device_id, const char *user_id,
	     X509 **ret_certificate);

/* The SHA-256 of a certificate. INTERNAL on failure. */
int ca_fingerprint(X509 *certificate, uint8_t ret[static 32]);

/* Appends the DER of a certificate. INTERNAL on failure. */
int ca_encode(X509 *certificate, struct buf *ret);

#endif
