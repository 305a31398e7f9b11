/* An X.509 certificate (RFC 5280 4.1), taken apart without X509: that type decodes the public key as it reads, which
 * is arithmetic with numbers of a stranger's choice, and costs more than all the rest of it. */
#ifndef PFXD_OPENER_CERTIFICATE_H
#define PFXD_OPENER_CERTIFICATE_H

#include "key.h"

struct certificate_body {
	ASN1_ENCODING as_it_came;
	ASN1_INTEGER *version; /* NULL: 1 */
	ASN1_INTEGER *serial;
	X509_ALGOR *algorithm;
	X509_NAME *issuer, *subject;
	X509_VAL *validity;
	struct public_key_info *key;
	ASN1_BIT_STRING *issuer_id, *subject_id;
	STACK_OF(X509_EXTENSION) *extensions;
};

struct certificate {
	struct certificate_body *body;
	X509_ALGOR *algorithm;
	ASN1_BIT_STRING *signature;
};

/* Reads der, whole. NULL with the sentence of a MALFORMED_PKCS12. Free with certificate_free(). */
struct certificate *certificate_read(struct view der);
void certificate_free(struct certificate *c);

/* An extension as OpenSSL decodes it; *ret is NULL where there is none. MALFORMED_PKCS12 where it can not be read or
 * stands there twice; clause names it. The caller frees it with the function of its type. */
int certificate_extension(const struct certificate *c, int nid, const char *clause, void **ret);

bool certificate_is_self_issued(const struct certificate *c);
/* Whether it may issue others: basicConstraints says so, or it is of version 1 and self-issued. MALFORMED_PKCS12 for
 * constraints that can not be read. */
int certificate_is_ca(const struct certificate *c, bool *ret);

#endif
