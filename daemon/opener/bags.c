/* Safes and bags. Opener, PFX kind. Never derives before what it would cost is charged. */
#include "bags.h"

#include "ber.h"
#include "fault.h"
#include "own.h"
#include "pbe.h"

#include <openssl/asn1t.h>
#include <openssl/pkcs12.h>
#include <stdlib.h>
#include <string.h>

/* RFC 7292 4.2. OpenSSL's own SafeBag reads a nested SafeContents as a SET, and gives no way to walk one by one. */
struct safe_bag {
	ASN1_OBJECT *id;
	ASN1_TYPE *value;
	STACK_OF(X509_ATTRIBUTE) *attributes;
};

ASN1_SEQUENCE(PFX_SAFE_BAG) = {
	ASN1_SIMPLE(struct safe_bag, id, ASN1_OBJECT),
	ASN1_EXP(struct safe_bag, value, ASN1_ANY, 0),
	ASN1_SET_OF_OPT(struct safe_bag, attributes, X509_ATTRIBUTE),
} static_ASN1_SEQUENCE_END_name(struct safe_bag, PFX_SAFE_BAG)

/* RFC 7292 4.2.3 */
struct cert_bag {
	ASN1_OBJECT *type;
	ASN1_TYPE *value;
};

ASN1_SEQUENCE(PFX_CERT_BAG) = {
	ASN1_SIMPLE(struct cert_bag, type, ASN1_OBJECT),
	ASN1_EXP(struct cert_bag, value, ASN1_ANY, 0),
} static_ASN1_SEQUENCE_END_name(struct cert_bag, PFX_CERT_BAG)

static void safe_bag_freep(struct safe_bag **p) { ASN1_item_free((ASN1_VALUE *)*p, ASN1_ITEM_rptr(PFX_SAFE_BAG)); }
static void cert_bag_freep(struct cert_bag **p) { ASN1_item_free((ASN1_VALUE *)*p, ASN1_ITEM_rptr(PFX_CERT_BAG)); }

/* A shrouded key that waits for the password. */
struct shrouded {
	X509_SIG *sig;
	struct local_id local_id;
};

struct bags {
	const struct ciphers *ciphers;
	struct work *work;
	struct contents *contents;
	struct report *report;
	size_t safe_count, bag_count, encrypted_count, shrouded_count;
	PKCS7 *encrypted[SAFES_MAX];
	struct shrouded shrouded[ENCRYPTED_KEYS_MAX];
};

struct bags *bags_new(const struct ciphers *ciphers, struct work *work, struct contents *contents,
		      struct report *report)
{
	struct bags *b = calloc(1, sizeof *b);
	if (!b)
		return NULL;
	b->ciphers = ciphers;
	b->work = work;
	b->contents = contents;
	b->report = report;
	return b;
}

void bags_free(struct bags *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->encrypted_count; i++)
		PKCS7_free(b->encrypted[i]);
	for (size_t i = 0; i < b->shrouded_count; i++)
		X509_SIG_free(b->shrouded[i].sig);
	free(b);
}

static int left_out(struct bags *b, int rc)
{
	return rc < 0 ? report_left_out(b->report, rc, view_of("", 0)) : 0;
}

/* ---- bags ---- */

/* RFC 2985 5.5.2: localKeyID is one OCTET STRING. Anything else is as good as none. */
static int read_local_id(const struct safe_bag *bag, struct local_id *ret)
{
	ret->len = 0;
	int count = sk_X509_ATTRIBUTE_num(bag->attributes);
	if (count > ATTRIBUTES_MAX)
		return fail(FAULT_TOO_EXPENSIVE, "RFC 7292 4.2: more than %d attributes on one bag", ATTRIBUTES_MAX);
	for (int i = 0; i < count; i++) {
		X509_ATTRIBUTE *a = sk_X509_ATTRIBUTE_value(bag->attributes, i);
		if (OBJ_obj2nid(X509_ATTRIBUTE_get0_object(a)) != NID_localKeyID)
			continue;
		struct view id = asn1_view(X509_ATTRIBUTE_get0_data(a, 0, V_ASN1_OCTET_STRING, NULL));
		ret->len = id.len < LOCAL_ID_MAX_BYTES ? id.len : LOCAL_ID_MAX_BYTES;
		memcpy(ret->at, id.p, ret->len);
	}
	return 0;
}

static int read_key_bag(struct bags *b, const struct safe_bag *bag, const struct local_id *id)
{
	struct view der;
	if (!asn1_sequence(bag->value, &der))
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4.2.1: a KeyBag that is not a PrivateKeyInfo");
	return left_out(b, contents_add_key(b->contents, der, id));
}

/* Keeps it until the MAC was checked. One of an unknown algorithm is left out here: the rest may do without. */
static int read_shrouded_bag(struct bags *b, const struct safe_bag *bag, const struct local_id *id)
{
	struct view der;
	if (!asn1_sequence(bag->value, &der))
		return fail(FAULT_MALFORMED_PKCS12,
			    "RFC 7292 4.2.2: a PKCS8ShroudedKeyBag without EncryptedPrivateKeyInfo");
	if (b->shrouded_count == ENCRYPTED_KEYS_MAX)
		return fail(FAULT_TOO_EXPENSIVE, "more than %d encrypted private keys in one PFX", ENCRYPTED_KEYS_MAX);
	X509_SIG *sig = ber_decode(der, ASN1_ITEM_rptr(X509_SIG), "RFC 5208 6: EncryptedPrivateKeyInfo");
	if (!sig)
		return -FAULT_MALFORMED_PKCS12;
	b->shrouded[b->shrouded_count++] = (struct shrouded){ .sig = sig, .local_id = *id };
	const X509_ALGOR *algorithm;
	X509_SIG_get0(sig, &algorithm, NULL);
	struct pbe pbe;
	int rc = pbe_read(algorithm, b->ciphers, &pbe);
	if (rc == 0)
		return work_charge(b->work, pbe_work(&pbe));
	b->shrouded_count--;
	X509_SIG_free(sig);
	return left_out(b, rc);
}

static int ignore(struct bags *b, const char *what)
{
	report_note(b->report, "bag_ignored", view_of("", 0), "%s was passed over", what);
	return 0;
}

static int read_cert_bag(struct bags *b, const struct safe_bag *bag, const struct local_id *id)
{
	struct view der;
	__attribute__((cleanup(cert_bag_freep))) struct cert_bag *cert = NULL;
	if (asn1_sequence(bag->value, &der))
		cert = ber_decode(der, ASN1_ITEM_rptr(PFX_CERT_BAG), "RFC 7292 4.2.3: CertBag");
	else
		fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4.2.3: a CertBag that is not a SEQUENCE");
	if (!cert)
		return -FAULT_MALFORMED_PKCS12;
	if (OBJ_obj2nid(cert->type) != NID_x509Certificate)
		return ignore(b, "a certificate that is not of X.509");
	if (cert->value->type != V_ASN1_OCTET_STRING)
		return fail(FAULT_MALFORMED_PKCS12,
			    "RFC 7292 4.2.3: an X.509 certificate that is not in an OCTET STRING");
	return left_out(b, contents_add_certificate(b->contents, asn1_view(cert->value->value.octet_string), id));
}

static int read_safe_contents(struct bags *b, struct view contents, unsigned depth);

static int read_nested(struct bags *b, const struct safe_bag *bag, unsigned depth)
{
	struct view der;
	if (!asn1_sequence(bag->value, &der))
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4.2.6: a SafeContentsBag that is not a SEQUENCE");
	return read_safe_contents(b, der, depth + 1);
}

static int read_bag(struct bags *b, const struct safe_bag *bag, unsigned depth)
{
	struct local_id id;
	char oid[OID_TEXT_MAX], what[OID_TEXT_MAX + 32];
	int rc = read_local_id(bag, &id);
	if (rc < 0)
		return rc;
	switch (OBJ_obj2nid(bag->id)) {
	case NID_keyBag: return read_key_bag(b, bag, &id);
	case NID_pkcs8ShroudedKeyBag: return read_shrouded_bag(b, bag, &id);
	case NID_certBag: return read_cert_bag(b, bag, &id);
	case NID_safeContentsBag: return read_nested(b, bag, depth);
	case NID_crlBag: return ignore(b, "a revocation list");
	case NID_secretBag: return ignore(b, "a secret that is not a private key");
	}
	snprintf(what, sizeof what, "a bag of the type %s", oid_text(bag->id, oid));
	return ignore(b, what);
}

static int read_safe_contents(struct bags *b, struct view contents, unsigned depth)
{
	struct ber_list list;
	if (depth > BAG_DEPTH_MAX)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4.2.6: SafeContents nested deeper than %d",
			    BAG_DEPTH_MAX);
	int rc = ber_list_open(contents, "RFC 7292 4.2: SafeContents", &list);
	while (rc == 0) {
		__attribute__((cleanup(safe_bag_freep))) struct safe_bag *bag =
			ber_list_next(&list, ASN1_ITEM_rptr(PFX_SAFE_BAG));
		if (!bag)
			return list.failed ? -FAULT_MALFORMED_PKCS12 : 0;
		if (++b->bag_count > BAGS_MAX)
			return fail(FAULT_TOO_EXPENSIVE, "RFC 7292 4.2: more than %d bags in one PFX", BAGS_MAX);
		rc = read_bag(b, bag, depth);
	}
	return rc;
}

/* ---- safes ---- */

static const PKCS7_ENC_CONTENT *encrypted_content(const PKCS7 *safe)
{
	const PKCS7_ENCRYPT *e = safe->d.encrypted;
	return e && e->enc_data && e->enc_data->algorithm && e->enc_data->enc_data ? e->enc_data : NULL;
}

/* Keeps it until the MAC was checked. Takes safe over when it does, and then sets it to NULL. */
static int read_encrypted(struct bags *b, PKCS7 **safe)
{
	const PKCS7_ENC_CONTENT *content = encrypted_content(*safe);
	if (!content)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 2315 13: EncryptedData without content");
	if (OBJ_obj2nid(content->content_type) != NID_pkcs7_data)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4.1: EncryptedData of what is not data");
	struct pbe pbe;
	int rc = pbe_read(content->algorithm, b->ciphers, &pbe);
	if (rc < 0)
		return left_out(b, rc);
	b->encrypted[b->encrypted_count++] = *safe;
	*safe = NULL;
	return work_charge(b->work, pbe_work(&pbe));
}

static int read_safe(struct bags *b, PKCS7 **safe)
{
	char oid[OID_TEXT_MAX];
	switch (OBJ_obj2nid((*safe)->type)) {
	case NID_pkcs7_data:
		if (!(*safe)->d.data)
			return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4.1: a ContentInfo without content");
		return read_safe_contents(b, asn1_view((*safe)->d.data), 0);
	case NID_pkcs7_encrypted:
		return read_encrypted(b, safe);
	case NID_pkcs7_enveloped:
		return left_out(b, fail(FAULT_UNSUPPORTED_ALGORITHM,
					"RFC 7292 3.1: bags encrypted to a public key (1.2.840.113549.1.7.3): "
					"export it again under a password"));
	}
	return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4.1: content of the type %s in an AuthenticatedSafe",
		    oid_text((*safe)->type, oid));
}

int bags_read(struct bags *b, struct view authenticated_safe)
{
	struct ber_list list;
	int rc = ber_list_open(authenticated_safe, "RFC 7292 4.1: AuthenticatedSafe", &list);
	while (rc == 0) {
		OWNED(PKCS7) safe = ber_list_next(&list, ASN1_ITEM_rptr(PKCS7));
		if (!safe)
			return list.failed ? -FAULT_MALFORMED_PKCS12 : 0;
		if (++b->safe_count > SAFES_MAX)
			return fail(FAULT_TOO_EXPENSIVE, "RFC 7292 4.1: more than %d safes in one PFX", SAFES_MAX);
		rc = read_safe(b, &safe);
	}
	return rc;
}

/* ---- after the MAC ---- */

static int decrypt(struct bags *b, struct password *password, const X509_ALGOR *algorithm, const ASN1_STRING *data,
		   struct buf **ret_secret)
{
	struct pbe pbe;
	struct view in = asn1_view(data);
	*ret_secret = buf_new(in.len + CIPHER_IV_MAX_BYTES);
	if (!*ret_secret)
		return fail(FAULT_TOO_EXPENSIVE, "no memory left to decrypt %zu bytes", in.len);
	int rc = pbe_read(algorithm, b->ciphers, &pbe);
	return rc < 0 ? rc : pbe_decrypt(&pbe, b->ciphers, password, b->work, in, *ret_secret);
}

static int open_encrypted(struct bags *b, struct password *password, const PKCS7 *safe)
{
	BUF plain_secret = NULL;
	const PKCS7_ENC_CONTENT *content = encrypted_content(safe);
	int rc = !content ? fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4.1: an encrypted safe without content") :
			    decrypt(b, password, content->algorithm, content->enc_data, &plain_secret);
	return rc < 0 ? rc : read_safe_contents(b, buf_view(plain_secret), 0);
}

static int open_shrouded(struct bags *b, struct password *password, const struct shrouded *shrouded)
{
	BUF plain_secret = NULL;
	const X509_ALGOR *algorithm;
	const ASN1_OCTET_STRING *data;
	X509_SIG_get0(shrouded->sig, &algorithm, &data);
	int rc = decrypt(b, password, algorithm, data, &plain_secret);
	if (rc == 0)
		rc = contents_add_key(b->contents, buf_view(plain_secret), &shrouded->local_id);
	return left_out(b, rc);
}

bool bags_open_with(struct bags *b, struct password *password)
{
	BUF safe_secret = NULL;
	BUF key_secret = NULL;
	const X509_ALGOR *algorithm;
	const ASN1_OCTET_STRING *data;
	if (b->encrypted_count > 0) {
		const PKCS7_ENC_CONTENT *content = encrypted_content(b->encrypted[0]);
		if (content && decrypt(b, password, content->algorithm, content->enc_data, &safe_secret) == 0)
			return true;
	}
	if (b->shrouded_count == 0)
		return false;
	X509_SIG_get0(b->shrouded[0].sig, &algorithm, &data);
	return decrypt(b, password, algorithm, data, &key_secret) == 0;
}

int bags_decrypt(struct bags *b, struct password *password)
{
	for (size_t i = 0; i < b->encrypted_count; i++) {
		int rc = open_encrypted(b, password, b->encrypted[i]);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < b->shrouded_count; i++) {
		int rc = open_shrouded(b, password, &b->shrouded[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}
