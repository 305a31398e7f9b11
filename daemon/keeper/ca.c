/* The enrolment CA. Keeper issues with it; pfxctl makes it together with a keyring. Certifies public keys that were
 * checked elsewhere; reads no certificate but its own. */
#include "ca.h"

#include "certificate.h"
#include "fault.h"
#include "openssl_ptr.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>

static int broken(const char *what)
{
	ERR_clear_error();
	return fail(FAULT_INTERNAL, "OpenSSL could not %s", what);
}

int ca_make(EVP_PKEY **ret_key, X509 **ret_certificate)
{
	uint8_t mark[4];
	char name[64];
	PKEY key = EVP_EC_gen("P-256");
	if (!key || RAND_bytes(mark, sizeof mark) != 1)
		return broken("make the enrolment CA's key");
	/* Two CAs of one company, before and after a rotation, must not have one name. */
	snprintf(name, sizeof name, "pfxd enrolment CA %02x%02x%02x%02x", mark[0], mark[1], mark[2], mark[3]);
	CERTIFICATE x = certificate_begin(key, NULL, name, CA_YEARS * 365 + CA_YEARS / 4);
	if (!x || !certificate_extend(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !certificate_extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !certificate_extend(x, x, NID_subject_key_identifier, "hash") || !X509_sign(x, key, EVP_sha256()))
		return broken("make the enrolment CA's certificate");
	*ret_key = key;
	*ret_certificate = x;
	key = NULL;
	x = NULL;
	return 0;
}

int ca_make_bundle_signer(EVP_PKEY *ca_key, X509 *ca_certificate, EVP_PKEY **ret_key, X509 **ret_certificate)
{
	PKEY key = EVP_EC_gen("P-256");
	if (!key)
		return broken("make the bundle signer's key");
	CERTIFICATE x = certificate_begin(key, ca_certificate, "pfxd bundle signer", 1);
	if (!x || X509_set1_notAfter(x, X509_get0_notAfter(ca_certificate)) != 1 ||
	    !certificate_extend(x, ca_certificate, NID_basic_constraints, "critical,CA:FALSE") ||
	    !certificate_extend(x, ca_certificate, NID_key_usage, "critical,digitalSignature") ||
	    !certificate_extend(x, ca_certificate, NID_ext_key_usage, CA_BUNDLE_SIGNER_EKU) ||
	    !certificate_extend(x, ca_certificate, NID_subject_key_identifier, "hash") ||
	    !certificate_extend(x, ca_certificate, NID_authority_key_identifier, "keyid") ||
	    !X509_sign(x, ca_key, EVP_sha256()))
		return broken("make the bundle signer's certificate");
	*ret_key = key;
	*ret_certificate = x;
	key = NULL;
	x = NULL;
	return 0;
}

int ca_issue(EVP_PKEY *ca_key, X509 *ca_certificate, EVP_PKEY *device_key, const char *device_id, const char *user_id,
	     X509 **ret_certificate)
{
	char names[128];
	bool rsa = EVP_PKEY_get_base_id(device_key) == EVP_PKEY_RSA;
	snprintf(names, sizeof names, "URI:urn:uuid:%s,URI:urn:uuid:%s", device_id, user_id);
	CERTIFICATE x = certificate_begin(device_key, ca_certificate, device_id, CA_DEVICE_DAYS);
	/* The issuer's end bounds the device's: a chain must not outlive its root. */
	if (x && X509_cmp_time(X509_get0_notAfter(ca_certificate), NULL) > 0 &&
	    ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(ca_certificate)) > 0)
		X509_set1_notAfter(x, X509_get0_notAfter(ca_certificate));
	if (!x || !certificate_extend(x, ca_certificate, NID_basic_constraints, "critical,CA:FALSE") ||
	    !certificate_extend(x, ca_certificate, NID_key_usage,
			   rsa ? "critical,digitalSignature,keyEncipherment" :
				 "critical,digitalSignature,keyAgreement") ||
	    !certificate_extend(x, ca_certificate, NID_ext_key_usage, "clientAuth") ||
	    !certificate_extend(x, ca_certificate, NID_subject_alt_name, names) ||
	    !certificate_extend(x, ca_certificate, NID_subject_key_identifier, "hash") ||
	    !certificate_extend(x, ca_certificate, NID_authority_key_identifier, "keyid") ||
	    !X509_sign(x, ca_key, EVP_sha256()))
		return broken("issue a device certificate");
	*ret_certificate = x;
	x = NULL;
	return 0;
}

int ca_fingerprint(X509 *certificate, uint8_t ret[static 32])
{
	unsigned len = 0;
	if (X509_digest(certificate, EVP_sha256(), ret, &len) == 1 && len == 32)
		return 0;
	return broken("compute the fingerprint of a certificate");
}

int ca_encode(X509 *certificate, struct buf *ret)
{
	int len = i2d_X509(certificate, NULL);
	uint8_t *at = len > 0 ? buf_reserve(ret, (size_t)len) : NULL;
	if (!at || i2d_X509(certificate, &at) != len)
		return broken("encode a certificate");
	return 0;
}
