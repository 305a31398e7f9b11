/* Makes the TLS certificates of `pfxd --dev`. pfxctl. The CA's key never leaves this file: what it signed is all
 * that it will ever sign. */
#include "tls_pair.h"

#include "../shared/openssl_more.h"
#include "../shared/trouble.h"
#include "certificate.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>

static X509 *make_ca(EVP_PKEY *key)
{
	uint8_t mark[4];
	char name[64];
	if (RAND_bytes(mark, sizeof mark) != 1)
		return NULL;
	/* Browsers and trust stores mix up two CAs of one name. */
	snprintf(name, sizeof name, "pfxd dev TLS CA %02x%02x%02x%02x", mark[0], mark[1], mark[2], mark[3]);
	CERTIFICATE x = certificate_begin(key, NULL, name, TLS_PAIR_DAYS);
	if (!x || !certificate_extend(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !certificate_extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !certificate_extend(x, x, NID_subject_key_identifier, "hash") || !X509_sign(x, key, EVP_sha256()))
		return NULL;
	X509 *taken = x;
	x = NULL;
	return taken;
}

static X509 *make_server(EVP_PKEY *key, EVP_PKEY *ca_key, X509 *ca)
{
	CERTIFICATE x = certificate_begin(key, ca, "localhost", TLS_PAIR_DAYS);
	if (!x || !certificate_extend(x, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    !certificate_extend(x, ca, NID_key_usage, "critical,digitalSignature") ||
	    !certificate_extend(x, ca, NID_ext_key_usage, "serverAuth") ||
	    !certificate_extend(x, ca, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1") ||
	    !certificate_extend(x, ca, NID_subject_key_identifier, "hash") ||
	    !certificate_extend(x, ca, NID_authority_key_identifier, "keyid") || !X509_sign(x, ca_key, EVP_sha256()))
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
