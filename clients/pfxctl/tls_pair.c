/* Makes the TLS certificates of `pfxd --dev`. pfxctl. The CA's key never leaves this file: what it signed is all
 * that it will ever sign. */
#include "tls_pair.h"

#include "../shared/openssl_more.h"
#include "../shared/trouble.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>

enum { BACKDATE_SECONDS = 300, SERIAL_BYTES = 16 };

static bool set_serial(X509 *x)
{
	uint8_t serial[SERIAL_BYTES];
	if (RAND_bytes(serial, sizeof serial) != 1)
		return false;
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and of full length */
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

static bool set_name(X509 *x, const char *name)
{
	return X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const uint8_t *)name, -1, -1,
					  0) == 1;
}

/* A version 3 certificate with everything but extensions and signature. issuer NULL: self-signed. */
static X509 *begin(EVP_PKEY *key, X509 *issuer, const char *name)
{
	CERTIFICATE x = X509_new();
	if (!x || X509_set_version(x, X509_VERSION_3) != 1 || !set_serial(x) || !set_name(x, name) ||
	    X509_set_issuer_name(x, X509_get_subject_name(issuer ? issuer : x)) != 1 ||
	    !X509_gmtime_adj(X509_getm_notBefore(x), -BACKDATE_SECONDS) ||
	    !X509_time_adj_ex(X509_getm_notAfter(x), TLS_PAIR_DAYS, 0, NULL) || X509_set_pubkey(x, key) != 1)
		return NULL;
	X509 *taken = x;
	x = NULL;
	return taken;
}

static X509 *make_ca(EVP_PKEY *key)
{
	uint8_t mark[4];
	char name[64];
	if (RAND_bytes(mark, sizeof mark) != 1)
		return NULL;
	/* Browsers and trust stores mix up two CAs of one name. */
	snprintf(name, sizeof name, "pfxd dev TLS CA %02x%02x%02x%02x", mark[0], mark[1], mark[2], mark[3]);
	CERTIFICATE x = begin(key, NULL, name);
	if (!x || !add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !add_extension(x, x, NID_subject_key_identifier, "hash") || !X509_sign(x, key, EVP_sha256()))
		return NULL;
	X509 *taken = x;
	x = NULL;
	return taken;
}

static X509 *make_server(EVP_PKEY *key, EVP_PKEY *ca_key, X509 *ca)
{
	CERTIFICATE x = begin(key, ca, "localhost");
	if (!x || !add_extension(x, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(x, ca, NID_key_usage, "critical,digitalSignature") ||
	    !add_extension(x, ca, NID_ext_key_usage, "serverAuth") ||
	    !add_extension(x, ca, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1") ||
	    !add_extension(x, ca, NID_subject_key_identifier, "hash") ||
	    !add_extension(x, ca, NID_authority_key_identifier, "keyid") || !X509_sign(x, ca_key, EVP_sha256()))
		return NULL;
	X509 *taken = x;
	x = NULL;
	return taken;
}

int tls_pair_make(struct buf *ret_ca, struct buf *ret_certificates, struct buf *ret_key_secret)
{
	PKEY ca_key = EVP_EC_gen("P-256");
	PKEY key = EVP_EC_gen("P-256");
	CERTIFICATE ca = ca_key ? make_ca(ca_key) : NULL;
	CERTIFICATE server = ca && key ? make_server(key, ca_key, ca) : NULL;
	if (!server || !pem_put_certificate(ret_ca, ca) || !pem_put_certificate(ret_certificates, server) ||
	    !pem_put_certificate(ret_certificates, ca) || !pem_put_key(ret_key_secret, key)) {
		ERR_clear_error();
		return trouble(EXIT_LOCAL, "OpenSSL could not make the TLS certificate");
	}
	return EXIT_DONE;
}
