/* The enrolment CA. Keeper issues with it; pfxctl makes it together with a keyring. Certifies public keys that were
 * checked elsewhere; reads no certificate but its own. */
#include "ca.h"

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

/* RFC 5280 4.1.2.2: positive, at most 20 octets. 127 random bits. */
static bool set_serial(X509 *x)
{
	uint8_t serial[16];
	if (RAND_bytes(serial, sizeof serial) != 1)
		return false;
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
	BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
	bool done = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
	BN_free(number);
	return done;
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	bool done = extension && X509_add_ext(x, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return done;
}

static bool set_name(X509 *x, const char *common_name)
{
	X509_NAME *name = X509_get_subject_name(x);
	return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const uint8_t *)"pfxd", -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)common_name, -1, -1, 0) == 1;
}

/* A version 3 certificate with everything but extensions and signature. issuer NULL: self-signed. */
static X509 *begin(EVP_PKEY *key, X509 *issuer, const char *common_name, long days)
{
	X509 *x = X509_new();
	if (x && X509_set_version(x, X509_VERSION_3) == 1 && set_serial(x) && set_name(x, common_name) &&
	    X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x)) == 1 &&
	    X509_gmtime_adj(X509_getm_notBefore(x), -CA_BACKDATE_SECONDS) &&
	    X509_time_adj_ex(X509_getm_notAfter(x), (int)days, 0, NULL) && X509_set_pubkey(x, key) == 1)
		return x;
	X509_free(x);
	return NULL;
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
	CERTIFICATE x = begin(key, NULL, name, CA_YEARS * 365L + CA_YEARS / 4);
	if (!x || !add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !add_extension(x, x, NID_subject_key_identifier, "hash") || !X509_sign(x, key, EVP_sha256()))
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
	CERTIFICATE x = begin(key, ca_certificate, "pfxd bundle signer", 1);
	if (!x || X509_set1_notAfter(x, X509_get0_notAfter(ca_certificate)) != 1 ||
	    !add_extension(x, ca_certificate, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(x, ca_certificate, NID_key_usage, "critical,digitalSignature") ||
	    !add_extension(x, ca_certificate, NID_ext_key_usage, CA_BUNDLE_SIGNER_EKU) ||
	    !add_extension(x, ca_certificate, NID_subject_key_identifier, "hash") ||
	    !add_extension(x, ca_certificate, NID_authority_key_identifier, "keyid") ||
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
	CERTIFICATE x = begin(device_key, ca_certificate, device_id, CA_DEVICE_DAYS);
	/* The issuer's end bounds the device's: a chain must not outlive its root. */
	if (x && X509_cmp_time(X509_get0_notAfter(ca_certificate), NULL) > 0 &&
	    ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(ca_certificate)) > 0)
		X509_set1_notAfter(x, X509_get0_notAfter(ca_certificate));
	if (!x || !add_extension(x, ca_certificate, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(x, ca_certificate, NID_key_usage,
			   rsa ? "critical,digitalSignature,keyEncipherment" :
				 "critical,digitalSignature,keyAgreement") ||
	    !add_extension(x, ca_certificate, NID_ext_key_usage, "clientAuth") ||
	    !add_extension(x, ca_certificate, NID_subject_alt_name, names) ||
	    !add_extension(x, ca_certificate, NID_subject_key_identifier, "hash") ||
	    !add_extension(x, ca_certificate, NID_authority_key_identifier, "keyid") ||
	    !X509_sign(x, ca_key, EVP_sha256()))
		return broken("issue a device certificate");
	*ret_certificate = x;
	x = NULL;
	return 0;
}

int ca_encode(X509 *certificate, struct buf *ret)
{
	int len = i2d_X509(certificate, NULL);
	uint8_t *at = len > 0 ? buf_reserve(ret, (size_t)len) : NULL;
	if (!at || i2d_X509(certificate, &at) != len)
		return broken("encode a certificate");
	return 0;
}
