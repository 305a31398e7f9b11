/* PKCS#10 requests: what a device sends. Each input is read as it is, and then once more with its signature replaced by
 * a right one of a key that the seeds hold: mutations of what is signed would all end at the signature. */
#include "fuzz.h"

#include "opener/der.h"
#include "opener/open_csr.h"
#include "opener/own.h"
#include "text.h"

#include <openssl/asn1.h>
#include <openssl/err.h>

#define OID_ECDSA_WITH_SHA256 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2

static void check_kind(const struct msg_opened_csr *m)
{
	switch (m->kind) {
	case DEVICE_KEY_RSA:
		MUST(m->modulus.len >= CSR_RSA_MIN_BITS / 8 && m->modulus.len <= CSR_RSA_MAX_BITS / 8);
		MUST(m->modulus.p[0] != 0 && (m->modulus.p[m->modulus.len - 1] & 1));
		MUST(m->exponent >= 3 && (m->exponent & 1) && m->point.len == 0);
		return;
	case DEVICE_KEY_P256:
		MUST(m->point.len == 65 && m->point.p[0] == 4 && m->modulus.len == 0 && m->exponent == 0);
		return;
	default:
		MUST(m->kind == DEVICE_KEY_P384);
		MUST(m->point.len == 97 && m->point.p[0] == 4 && m->modulus.len == 0 && m->exponent == 0);
	}
}

/* The key that comes back stands in the request byte for byte, and OpenSSL finds its signature right. */
static void check_answer(struct view answer, struct view csr)
{
	struct msg_opened_csr m;
	MUST(read_opened_csr(answer, &m) == 0);
	check_kind(&m);
	struct view number = m.kind == DEVICE_KEY_RSA ? m.modulus : m.point;
	MUST(memmem(csr.p, csr.len, number.p, number.len));
	const uint8_t *p = csr.p;
	OWNED(X509_REQ) request = d2i_X509_REQ(NULL, &p, (long)csr.len);
	MUST(request && p == csr.p + csr.len);
	MUST(X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) == 1);
}

/* 0, or the fault. */
static int open_one(struct view csr)
{
	BUF answer = fuzz_buf(FRAME_MAX_BYTES);
	const struct msg_open_csr request = { .csr = csr };
	int rc = open_csr(&request, answer);
	if (rc == 0) {
		check_answer(buf_view(answer), csr);
	} else {
		MUST(rc == -FAULT_MALFORMED_CSR || rc == -FAULT_UNSUPPORTED_ALGORITHM || rc == -FAULT_WEAK_KEY ||
		     rc == -FAULT_BAD_PROOF_OF_POSSESSION);
		MUST(fault_detail()[0] && text_is_clean(view_text(fault_detail())));
		MUST(buf_len(answer) == 0);
	}
	ERR_clear_error();
	return rc;
}

/* The key with which the seeds are signed. */
static EVP_PKEY *signing_key(void)
{
	static EVP_PKEY *key;
	if (!key) {
		fuzz_fix_random();
		key = EVP_EC_gen("P-256");
	}
	MUST(key);
	return key;
}

/* Its public half, as a request holds it. */
static struct view signing_point(void)
{
	static uint8_t point[65];
	size_t len = 0;
	MUST(EVP_PKEY_get_octet_string_param(signing_key(), "pub", point, sizeof point, &len) == 1);
	MUST(len == sizeof point);
	return view_of(point, len);
}

/* The SEQUENCE with which v begins, header and all; empty where there is none. */
static struct view first_sequence(struct view v)
{
	const uint8_t *p = v.p;
	long len;
	int tag, class;
	int how = ASN1_get_object(&p, &len, &tag, &class, (long)v.len);
	ERR_clear_error();
	bool found = !(how & 0x80) && !(how & 1) && tag == V_ASN1_SEQUENCE && class == V_ASN1_UNIVERSAL;
	return found ? view_of(v.p, (size_t)(p - v.p) + (size_t)len) : view_of("", 0);
}

/* A request of this body (CertificationRequestInfo), signed. */
static struct view sign(struct view body, uint8_t *room, size_t size)
{
	uint8_t signature[80];
	size_t len = sizeof signature;
	struct der d;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	fuzz_fix_random();
	MUST(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, signing_key()) == 1 &&
	     EVP_DigestSign(context, signature, &len, body.p, body.len) == 1);
	EVP_MD_CTX_free(context);
	der_init(&d, room, size);
	der_put(&d, view_of(signature, len));
	DER_PUT(&d, 0);
	der_wrap(&d, (enum der_tag)0x03, size);
	size_t algorithm = der_mark(&d);
	DER_PUT(&d, OID_ECDSA_WITH_SHA256);
	der_wrap(&d, DER_SEQUENCE, algorithm);
	der_put(&d, body);
	der_wrap(&d, DER_SEQUENCE, size);
	return d.failed ? view_of("", 0) : der_since(&d, size);
}

/* PFXD_FUZZ_SEEDS=folder: a request of the signing key, for the folder. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[4096];
	uint8_t *der = NULL;
	(void)argc;
	(void)argv;
	if (!getenv("PFXD_FUZZ_SEEDS"))
		return 0;
	OWNED(X509_REQ) request = X509_REQ_new();
	MUST(request && X509_REQ_set_pubkey(request, signing_key()) == 1);
	MUST(X509_REQ_sign(request, signing_key(), EVP_sha256()) > 0);
	int len = i2d_X509_REQ(request, &der);
	snprintf(path, sizeof path, "%s/own", getenv("PFXD_FUZZ_SEEDS"));
	FILE *f = fopen(path, "wb");
	MUST(f && fwrite(der, 1, (size_t)len, f) == (size_t)len && fclose(f) == 0);
	OPENSSL_free(der);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t room[CSR_MAX_BYTES];
	if (size == 0 || size > CSR_MAX_BYTES)
		return 0;
	open_one(view_of(data, size));
	struct view whole = first_sequence(view_of(data, size));
	const uint8_t *p = whole.p;
	long len;
	int tag, class;
	if (whole.len == 0 || whole.len != size)
		return 0;
	ASN1_get_object(&p, &len, &tag, &class, (long)whole.len);
	struct view body = first_sequence(view_of(p, (size_t)len));
	struct view csr = body.len ? sign(body, room, sizeof room) : body;
	if (csr.len == 0)
		return 0;
	/* What holds another key is signed by the wrong one. */
	int rc = open_one(csr);
	struct view own = signing_point();
	MUST(rc < 0 || memmem(csr.p, csr.len, own.p, own.len));
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return fuzz_mutate_der(data, size, max, seed, 0);
}
