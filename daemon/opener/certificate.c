/* Certificates. Opener, PFX kind. Never computes with what it reads. */
#include "certificate.h"

#include "ber.h"
#include "fault.h"
#include "own.h"

#include <openssl/asn1t.h>

/* What ASN1_SEQUENCE_enc() would say if it took a struct without a typedef. */
static const ASN1_AUX CERTIFICATE_BODY_aux = {
	.flags = ASN1_AFLG_ENCODING, .enc_offset = offsetof(struct certificate_body, as_it_came),
};

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
} static_ASN1_SEQUENCE_END_ref(struct certificate_body, CERTIFICATE_BODY)

ASN1_SEQUENCE(CERTIFICATE) = {
	ASN1_SIMPLE(struct certificate, body, CERTIFICATE_BODY),
	ASN1_SIMPLE(struct certificate, algorithm, X509_ALGOR),
	ASN1_SIMPLE(struct certificate, signature, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END_name(struct certificate, CERTIFICATE)

/* OpenSSL, when it reads one, keeps the part that is signed and writes the rest anew: that must give the same bytes, or
 * it has another thumbprint. Bits behind the end of the signature would be lost. */
static bool is_written_the_same(const struct certificate *c, struct view der)
{
	uint8_t *again = NULL;
	int len = ASN1_item_i2d((const ASN1_VALUE *)c, &again, ASN1_ITEM_rptr(CERTIFICATE));
	bool same = len > 0 && view_equal(view_of(again, (size_t)len), der);
	OPENSSL_free(again);
	return same;
}

struct certificate *certificate_read(struct view der)
{
	struct certificate *c = ber_decode(der, ASN1_ITEM_rptr(CERTIFICATE), "RFC 5280 4.1: Certificate");
	/* The bytes themselves are passed on, so they must be what every reader takes, and takes for the same. */
	if (!c || (ber_is_der(der) && is_written_the_same(c, der)))
		return c;
	certificate_free(c);
	fail(FAULT_MALFORMED_PKCS12, "RFC 5280 4.1: a certificate that is not in DER");
	return NULL;
}

void certificate_free(struct certificate *c)
{
	ASN1_item_free((ASN1_VALUE *)c, ASN1_ITEM_rptr(CERTIFICATE));
}

int certificate_extension(const struct certificate *c, int nid, const char *clause, void **ret)
{
	int at = X509v3_get_ext_by_NID(c->body->extensions, nid, -1);
	*ret = NULL;
	if (at < 0)
		return 0;
	if (X509v3_get_ext_by_NID(c->body->extensions, nid, at) >= 0)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 5280 4.2: %s is there twice", clause);
	X509_EXTENSION *extension = X509v3_get_ext(c->body->extensions, at);
	/* Not X509V3_EXT_d2i(): that one takes bytes behind the value. */
	*ret = ber_decode(asn1_view(X509_EXTENSION_get_data(extension)), ASN1_ITEM_ptr(X509V3_EXT_get_nid(nid)->it),
			  clause);
	return *ret ? 0 : -FAULT_MALFORMED_PKCS12;
}

bool certificate_is_self_issued(const struct certificate *c)
{
	return X509_NAME_cmp(c->body->subject, c->body->issuer) == 0;
}

int certificate_is_ca(const struct certificate *c, bool *ret)
{
	void *found;
	int rc = certificate_extension(c, NID_basic_constraints, "RFC 5280 4.2.1.9: the basic constraints", &found);
	OWNED(BASIC_CONSTRAINTS) constraints = found;
	*ret = constraints ? constraints->ca : !c->body->version && certificate_is_self_issued(c);
	return rc;
}
