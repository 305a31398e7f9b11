/* Certificates. Opener, PFX kind. Never computes with what it reads. */
#include "certificate.h"

#include "ber.h"
#include "fault.h"
#include "own.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>

ASN1_SEQUENCE(CERTIFICATE_BODY) = {
	ASN1_EXP_OPT(struct certificate_body, version, ASN1_INTEGER, 0),
	ASN1_SIMPLE(struct certificate_body, serial, ASN1_INTEGER),
	ASN1_SIMPLE(struct certificate_body, algorithm, X509_ALGOR),
	ASN1_SIMPLE(struct certificate_body, issuer, X509_NAME),
	ASN1_SIMPLE(struct certificate_body, validity, X509_VAL),
	ASN1_SIMPLE(struct certificate_body, subject, X509_NAME),
	ASN1_SIMPLE(struct certificate_body, key, PUBLIC_KEY_INFO),
	ASN1_IMP_OPT(struct certificate_body, issuer_id, ASN1_BIT_STRING, 1),
	ASN1_IMP_OPT(struct certificate_body, subject_id, ASN1_BIT_STRING, 2),
	ASN1_EXP_SEQUENCE_OF_OPT(struct certificate_body, extensions, X509_EXTENSION, 3),
} static_ASN1_SEQUENCE_END_name(struct certificate_body, CERTIFICATE_BODY)

ASN1_SEQUENCE(CERTIFICATE) = {
	ASN1_SIMPLE(struct certificate, body, CERTIFICATE_BODY),
	ASN1_SIMPLE(struct certificate, algorithm, X509_ALGOR),
	ASN1_SIMPLE(struct certificate, signature, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END_name(struct certificate, CERTIFICATE)

struct certificate *certificate_read(struct view der)
{
	/* The bytes themselves are passed on, so they must be what every reader takes. */
	if (der.len > 1 && der.p[1] == 0x80) {
		fail(FAULT_MALFORMED_PKCS12, "RFC 5280 4.1: a certificate that is not in DER");
		return NULL;
	}
	return ber_decode(der, ASN1_ITEM_rptr(CERTIFICATE), "RFC 5280 4.1: Certificate");
}

void certificate_free(struct certificate *c)
{
	ASN1_item_free((ASN1_VALUE *)c, ASN1_ITEM_rptr(CERTIFICATE));
}

int certificate_extension(const struct certificate *c, int nid, const char *clause, void **ret)
{
	int critical;
	*ret = X509V3_get_d2i(c->body->extensions, nid, &critical, NULL);
	ERR_clear_error();
	if (*ret || critical == -1)
		return 0;
	return fail(FAULT_MALFORMED_PKCS12, "%s is malformed, or there twice", clause);
}

bool certificate_is_self_issued(const struct certificate *c)
{
	return X509_NAME_cmp(c->body->subject, c->body->issuer) == 0;
}

bool certificate_is_ca(const struct certificate *c)
{
	void *found;
	int rc = certificate_extension(c, NID_basic_constraints, "RFC 5280 4.2.1.9: the basic constraints", &found);
	OWNED(BASIC_CONSTRAINTS) constraints = found;
	if (constraints)
		return constraints->ca;
	return rc == 0 && !c->body->version && certificate_is_self_issued(c);
}
