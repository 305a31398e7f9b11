/* PKCS#10 requests of devices. Opener, CSR kind. Never verifies with a key that it has not bounded. */
#include "open_csr.h"

#include "ber.h"
#include "fault.h"
#include "key.h"
#include "own.h"
#include "test_faults.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>

/* RFC 2986 4. Not X509_REQ: that type decodes the key as it reads. */
struct csr_body {
	ASN1_INTEGER *version;
	X509_NAME *subject;
	struct public_key_info *key;
	STACK_OF(X509_ATTRIBUTE) *attributes;
};

struct csr {
	struct csr_body *body;
	X509_ALGOR *algorithm;
	ASN1_BIT_STRING *signature;
};

ASN1_SEQUENCE(CSR_BODY) = {
	ASN1_SIMPLE(struct csr_body, version, ASN1_INTEGER),
	ASN1_SIMPLE(struct csr_body, subject, X509_NAME),
	ASN1_SIMPLE(struct csr_body, key, PUBLIC_KEY_INFO),
	ASN1_IMP_SET_OF_OPT(struct csr_body, attributes, X509_ATTRIBUTE, 0), /* some makers leave an empty one out */
} static_ASN1_SEQUENCE_END_name(struct csr_body, CSR_BODY)

ASN1_SEQUENCE(CSR) = {
	ASN1_SIMPLE(struct csr, body, CSR_BODY),
	ASN1_SIMPLE(struct csr, algorithm, X509_ALGOR),
	ASN1_SIMPLE(struct csr, signature, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END_name(struct csr, CSR)

static void csr_freep(struct csr **p)
{
	ASN1_item_free((ASN1_VALUE *)*p, ASN1_ITEM_rptr(CSR));
}

enum { CSR_VERSION_1 = 0 };

/* What a sentence about PKCS#12 says of a certificate's key is true of a request's; the code is another. */
static int as_csr(int rc)
{
	char detail[FAULT_DETAIL_MAX];
	if (rc != -FAULT_MALFORMED_PKCS12)
		return rc;
	snprintf(detail, sizeof detail, "%s", fault_detail());
	return fail(FAULT_MALFORMED_CSR, "%s", detail);
}

static int check_rsa(const struct public_key *key)
{
	if (key->pss)
		return fail(FAULT_WEAK_KEY, "RFC 4055 3.1: nothing can be encrypted to a key that is bound to RSA-PSS");
	if (key->bits < CSR_RSA_MIN_BITS)
		return fail(FAULT_WEAK_KEY, "an RSA key of %u bits; at least %d are needed", key->bits,
			    CSR_RSA_MIN_BITS);
	if (key->bits > CSR_RSA_MAX_BITS)
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "an RSA key of %u bits; at most %d are supported", key->bits,
			    CSR_RSA_MAX_BITS);
	if (public_key_number(key, 1).len > sizeof(uint64_t))
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "an RSA key with an exponent of more than 64 bits");
	return 0;
}

/* RFC 5480 2.2: only the uncompressed form, because the keeper finds the point in the request byte for byte. */
static int check_ec(const struct public_key *key, struct view encoded)
{
	char name[KEY_ALGORITHM_MAX_BYTES + 1];
	key_algorithm(key, name);
	if (key->curve != NID_X9_62_prime256v1 && key->curve != NID_secp384r1)
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "keys on the curve %s are not supported for devices", name);
	if (!view_equal(encoded, buf_view(key->canonical)))
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "RFC 5480 2.2: a point that is not in its uncompressed form");
	return 0;
}

static bool is_good_hash(int nid)
{
	return nid == NID_sha1 || nid == NID_sha224 || nid == NID_sha256 || nid == NID_sha384 || nid == NID_sha512;
}

/* RFC 4055 3.1: the hash of RSASSA-PSS stands in its parameters; SHA-1 where it does not. */
static int pss_hash(const X509_ALGOR *algorithm)
{
	const ASN1_OBJECT *hash = NULL;
	int type;
	const void *value;
	X509_ALGOR_get0(NULL, &type, &value, algorithm);
	OWNED(RSA_PSS_PARAMS) params = type == V_ASN1_SEQUENCE && value
		? ber_decode(asn1_view(value), ASN1_ITEM_rptr(RSA_PSS_PARAMS), "RFC 4055 3.1") : NULL;
	if (!params || !params->hashAlgorithm)
		return params ? NID_sha1 : NID_undef;
	X509_ALGOR_get0(&hash, NULL, NULL, params->hashAlgorithm);
	return OBJ_obj2nid(hash);
}

/* The signature is no certificate's: SHA-1 proves possession as well as SHA-256. MD5 is a sign of something old. */
static int check_signature_algorithm(const X509_ALGOR *algorithm)
{
	char oid[OID_TEXT_MAX];
	const ASN1_OBJECT *object = NULL;
	int hash = NID_undef, key = NID_undef;
	X509_ALGOR_get0(&object, NULL, NULL, algorithm);
	OBJ_find_sigid_algs(OBJ_obj2nid(object), &hash, &key);
	if (OBJ_obj2nid(object) == NID_rsassaPss)
		hash = pss_hash(algorithm);
	if (!is_good_hash(hash))
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "signatures of the algorithm %s are not supported",
			    oid_text(object, oid));
	return 0;
}

/* The first time that OpenSSL sees the key: everything else about it is known by now. */
static int verify(struct view der)
{
	const uint8_t *p = der.p;
	OWNED(X509_REQ) csr = d2i_X509_REQ(NULL, &p, (long)der.len);
	EVP_PKEY *key = csr ? X509_REQ_get0_pubkey(csr) : NULL;
	bool right = key && X509_REQ_verify(csr, key) == 1;
	ERR_clear_error();
	if (right)
		return 0;
	return fail(FAULT_BAD_PROOF_OF_POSSESSION, "RFC 2986 4.2: the request is not signed by the key that it holds");
}

static int put(const struct public_key *key, struct buf *answer)
{
	struct msg_opened_csr m = { .kind = DEVICE_KEY_RSA };
	if (key->family == KEY_RSA) {
		struct view exponent = public_key_number(key, 1);
		m.modulus = public_key_number(key, 0);
		for (size_t i = 0; i < exponent.len; i++)
			m.exponent = m.exponent << 8 | exponent.p[i];
	} else {
		m.kind = key->curve == NID_secp384r1 ? DEVICE_KEY_P384 : DEVICE_KEY_P256;
		m.point = buf_view(key->canonical);
	}
	return put_opened_csr(answer, &m);
}

int open_csr(const struct msg_open_csr *request, struct buf *answer)
{
	test_fault(request->csr);
	__attribute__((cleanup(csr_freep))) struct csr *csr =
		ber_decode(request->csr, ASN1_ITEM_rptr(CSR), "RFC 2986 4.2: CertificationRequest");
	PUBLIC_KEY key = { 0 };
	if (!csr)
		return as_csr(-FAULT_MALFORMED_PKCS12);
	if (ASN1_INTEGER_get(csr->body->version) != CSR_VERSION_1)
		return fail(FAULT_MALFORMED_CSR, "RFC 2986 4.1: a request of another version than 1");
	int rc = as_csr(public_key_read(csr->body->key, &key));
	if (rc == 0)
		rc = key.family == KEY_RSA ? check_rsa(&key) : check_ec(&key, asn1_view(csr->body->key->bits));
	if (rc == 0)
		rc = check_signature_algorithm(csr->algorithm);
	if (rc == 0)
		rc = verify(request->csr);
	return rc < 0 ? rc : put(&key, answer);
}
