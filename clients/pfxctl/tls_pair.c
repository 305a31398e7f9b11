/* Makes the first TLS certificate of a server. pfxctl. The CA's key never leaves this file: what it signed is all that
 * it will ever sign. */
#include "tls_pair.h"

#include "../shared/openssl_more.h"
#include "../shared/trouble.h"
#include "certificate.h"
#include "text.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

static X509 *make_ca(EVP_PKEY *key)
{
	uint8_t mark[4];
	char name[64];
	if (RAND_bytes(mark, sizeof mark) != 1)
		return NULL;
	/* Browsers and trust stores mix up two CAs of one name. */
	snprintf(name, sizeof name, "pfxd TLS CA %02x%02x%02x%02x", mark[0], mark[1], mark[2], mark[3]);
	CERTIFICATE x = certificate_begin(key, NULL, name, TLS_PAIR_DAYS);
	if (!x || !certificate_extend(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !certificate_extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !certificate_extend(x, x, NID_subject_key_identifier, "hash") || !X509_sign(x, key, EVP_sha256()))
		return NULL;
	X509 *taken = x;
	x = NULL;
	return taken;
}

static X509 *make_server(EVP_PKEY *key, EVP_PKEY *ca_key, X509 *ca, const char *names)
{
	CERTIFICATE x = certificate_begin(key, ca, "pfxd server", TLS_PAIR_DAYS);
	if (!x || !certificate_extend(x, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    !certificate_extend(x, ca, NID_key_usage, "critical,digitalSignature") ||
	    !certificate_extend(x, ca, NID_ext_key_usage, "serverAuth") ||
	    !certificate_extend(x, ca, NID_subject_alt_name, names) ||
	    !certificate_extend(x, ca, NID_subject_key_identifier, "hash") ||
	    !certificate_extend(x, ca, NID_authority_key_identifier, "keyid") || !X509_sign(x, ca_key, EVP_sha256()))
		return NULL;
	X509 *taken = x;
	x = NULL;
	return taken;
}

/* ---- names ---- */

static bool is_address(const char *name)
{
	uint8_t bytes[sizeof(struct in6_addr)];
	return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* As in the DNS (RFC 1123 2.1): nothing in it can be taken for another part of the extension. */
static bool is_host(const char *name)
{
	size_t label = 0;
	const char *at = name[0] == '*' && name[1] == '.' ? name + 2 : name;
	for (; *at; at++) {
		bool letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9');
		if (!letter && (label == 0 || (*at != '-' && *at != '.')))
			return false;
		label = *at == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return label > 0;
}

static int put_name(const char *name, struct buf *ret)
{
	bool address = is_address(name);
	if (!address && !is_host(name))
		return trouble(EXIT_USAGE, "\"%s\" is no name of a host and no address", name);
	buf_printf(ret, "%s%s:%s", buf_len(ret) > 0 ? "," : "", address ? "IP" : "DNS", name);
	return EXIT_DONE;
}

/* As x509v3_config(5) writes alternative names. */
static int put_names(const char *names, struct buf *ret)
{
	char name[TLS_NAME_MAX_CHARS + 1];
	int rc = EXIT_DONE;
	for (size_t count = 0; rc == EXIT_DONE; count++) {
		size_t len = strcspn(names, ",");
		if (count == TLS_NAMES_MAX)
			return trouble(EXIT_USAGE, "more than %d names for one certificate", TLS_NAMES_MAX);
		if (!text_copy(view_of(names, len), name, sizeof name))
			return trouble(EXIT_USAGE, "a name has more than %d characters", TLS_NAME_MAX_CHARS);
		rc = put_name(name, ret);
		if (!names[len])
			break;
		names += len + 1;
	}
	return rc;
}

int tls_pair_make(const char *names, struct buf *ret_ca, struct buf *ret_certificates, struct buf *ret_key_secret)
{
	BUF extension = buf_new(TLS_NAMES_MAX * (TLS_NAME_MAX_CHARS + 8));
	int rc = extension ? put_names(names, extension) : trouble(EXIT_LOCAL, "no memory");
	if (rc)
		return rc;
	PKEY ca_key = EVP_EC_gen("P-256");
	PKEY key = EVP_EC_gen("P-256");
	CERTIFICATE ca = ca_key ? make_ca(ca_key) : NULL;
	CERTIFICATE server = ca && key ? make_server(key, ca_key, ca, buf_text(extension)) : NULL;
	if (!server || !pem_put_certificate(ret_ca, ca) || !pem_put_certificate(ret_certificates, server) ||
	    !pem_put_certificate(ret_certificates, ca) || !pem_put_key(ret_key_secret, key)) {
		ERR_clear_error();
		return trouble(EXIT_LOCAL, "OpenSSL could not make the TLS certificate");
	}
	return EXIT_DONE;
}
