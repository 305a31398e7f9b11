/* Answers ENROLL and RENEW: certifies a device's key. Keeper only. A token or a signature is checked before an opener
 * reads the request; the keeper itself never parses it. */
#include "ca.h"
#include "certificate.h"
#include "devices.h"
#include "encode.h"
#include "fault.h"
#include "frame.h"
#include "openers.h"
#include "openssl_ptr.h"
#include "seal.h"
#include "serve.h"
#include "wallclock.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

enum { TRIES = 3, SIGNATURE_INTEGER_MAX = 49, LEAST_RSA_BITS = 2048, MOST_RSA_BITS = 4096 };

/* ---- from a request to a key ---- */

static int decode_csr(struct view pem, struct buf *ret)
{
	int rc = pem_decode("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", pem, ret);
	if (rc == 0 || rc == -FAULT_UNAVAILABLE)
		return rc;
	return fail(FAULT_MALFORMED_CSR, "csr is not a PEM block -----BEGIN CERTIFICATE REQUEST-----");
}

static bool put_rsa(OSSL_PARAM_BLD *build, const struct msg_opened_csr *m, BIGNUM *n, BIGNUM *e)
{
	return n && e && BN_bin2bn(m->modulus.p, (int)m->modulus.len, n) && BN_set_word(e, m->exponent) &&
	       OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
	       OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
}

static bool put_ec(OSSL_PARAM_BLD *build, const struct msg_opened_csr *m)
{
	const char *curve = m->kind == DEVICE_KEY_P256 ? "P-256" : "P-384";
	return OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve, 0) &&
	       OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, m->point.p, m->point.len);
}

/* A public key from bounded numbers: OpenSSL checks that a point is on its curve. NULL if it is none. */
static EVP_PKEY *key_of(const struct msg_opened_csr *m)
{
	EVP_PKEY *key = NULL;
	bool rsa = m->kind == DEVICE_KEY_RSA;
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	PKEY_CTX context = EVP_PKEY_CTX_new_from_name(NULL, rsa ? "RSA" : "EC", NULL);
	BIGNUM *n = BN_new(), *e = BN_new();
	bool put = build && context && (rsa ? put_rsa(build, m, n, e) : put_ec(build, m));
	OSSL_PARAM *params = put ? OSSL_PARAM_BLD_to_param(build) : NULL;
	if (params && EVP_PKEY_fromdata_init(context) == 1 &&
	    EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_free(n);
	BN_free(e);
	ERR_clear_error();
	return key;
}

/* What the opener says is bounded here once more: it has just read hostile bytes. */
static bool plausible(const struct msg_opened_csr *m)
{
	switch (m->kind) {
	case DEVICE_KEY_RSA:
		return m->modulus.len >= LEAST_RSA_BITS / 8 && m->modulus.len <= MOST_RSA_BITS / 8 &&
		       m->modulus.p[0] >= 0x80 && (m->modulus.p[m->modulus.len - 1] & 1) &&
		       (m->exponent & 1) && m->exponent >= 3;
	case DEVICE_KEY_P256:
		return m->point.len == 65 && m->point.p[0] == 4;
	case DEVICE_KEY_P384:
		return m->point.len == 97 && m->point.p[0] == 4;
	default:
		return false;
	}
}

/* The key must stand in the request byte for byte, encoded as RFC 5280 has it: an opener that was taken over can not
 * put another one in its place. */
static bool occurs_in(EVP_PKEY *key, struct view csr)
{
	uint8_t *spki = NULL;
	int len = i2d_PUBKEY(key, &spki);
	bool found = len > 0 && memmem(csr.p, csr.len, spki, (size_t)len) != NULL;
	OPENSSL_free(spki);
	return found;
}

static int open_csr(struct keeper *k, struct view csr, EVP_PKEY **ret)
{
	BUF request = buf_new(CSR_MAX_BYTES + KIB);
	BUF opened = buf_new(FRAME_MAX_BYTES);
	struct view fields = { 0 };
	struct msg_opened_csr m = { 0 };
	if (!request || !opened)
		return fail(FAULT_UNAVAILABLE, "no memory for a request");
	const struct msg_open_csr message = { csr };
	frame_begin(request, VERB_OPEN_CSR);
	int rc = put_open_csr(request, &message);
	if (rc == 0)
		rc = openers_csr(k->openers, request, opened, &fields);
	if (rc < 0)
		return rc;
	errno = 0;
	PKEY key = read_opened_csr(fields, &m) == 0 && plausible(&m) ? key_of(&m) : NULL;
	bool found = key && occurs_in(key, csr);
	if (!found && errno == ENOMEM)
		return fail(FAULT_UNAVAILABLE, "no memory for a key");
	if (!found)
		return fail(FAULT_MALFORMED_CSR,
			    "the public key that was read does not stand in the request as RFC 5280 "
			    "encodes it (uncompressed point, named curve)");
	*ret = key;
	key = NULL;
	return 0;
}

/* ---- from a key to a certificate ---- */

struct issued {
	char device_id[UUID_TEXT + 1];
	char fingerprint[FINGERPRINT_CHARS + 1];
	uint8_t csr_sha256[32];
	struct buf *der;
	int64_t not_after;
};

static int issue(struct keeper *k, EVP_PKEY *key, struct view user_id, struct issued *ret)
{
	CERTIFICATE certificate = NULL;
	char user[UUID_TEXT + 1];
	uint8_t digest[32];
	text_copy(user_id, user, sizeof user);
	errno = 0;
	buf_free(ret->der);
	ret->der = buf_new(CERTIFICATE_MAX_BYTES);
	int rc = ret->der ? ca_issue(keyring_ca_key(k->keyring, 0), keyring_ca_certificate(k->keyring, 0), key,
				     ret->device_id, user, &certificate) :
			    fail(FAULT_UNAVAILABLE, "no memory for a certificate");
	if (rc == 0)
		rc = ca_encode(certificate, ret->der);
	if (rc == 0)
		rc = digest_sha256(buf_view(ret->der), digest);
	if (rc == 0)
		hex_encode(view_of(digest, sizeof digest), ret->fingerprint);
	/* OpenSSL does not look at every allocation. What it makes without memory may lack something. */
	if (errno == ENOMEM)
		return fail(FAULT_UNAVAILABLE, "no memory for a certificate");
	if (rc == 0 && (ret->not_after = certificate_ends(certificate)) == 0)
		rc = fail(FAULT_INTERNAL, "a certificate without an end");
	return rc;
}

/* Of the CA that issued this certificate: an answer that is given again may be older than the newest CA. */
static int put_chain(const struct keyring *keyring, struct view der, struct buf *ret)
{
	size_t n;
	int rc = keyring_ca_of_der(keyring, der, &n);
	return rc < 0 ? rc : keyring_put_ca_pem(keyring, n, ret);
}

static int put_answer(const struct keyring *keyring, const char *device_id, struct view der, struct buf *answer)
{
	BUF certificate = buf_new(CERTIFICATE_MAX_BYTES);
	BUF chain = buf_new(2 * KEYRING_MAX_BYTES);
	if (!certificate || !chain)
		return fail(FAULT_UNAVAILABLE, "no memory for a certificate");
	pem_encode("CERTIFICATE", der, certificate);
	int rc = put_chain(keyring, der, chain);
	if (rc == 0 && (!buf_ok(certificate) || !buf_ok(chain)))
		return fail(FAULT_UNAVAILABLE, "no memory for a certificate");
	const struct msg_enrolled message = { view_text(device_id), buf_view(certificate), buf_view(chain) };
	return rc < 0 ? rc : put_enrolled(answer, &message);
}

/* ---- enrolling ---- */

struct enrolling {
	struct keeper *k;
	struct msg_enroll m;
	struct issued issued;
};

static struct row_device_certificate certificate_row(const struct issued *issued)
{
	return (struct row_device_certificate){
		.fingerprint = view_text(issued->fingerprint), .device_id = view_text(issued->device_id),
		.der = buf_view(issued->der), .issued_at = now_seconds(), .not_after = issued->not_after,
		.csr_sha256 = view_of(issued->csr_sha256, 32),
	};
}

static int record(struct keeper *k, struct connection *c, const char *event, struct view user_id, struct view object,
		  struct view detail, struct view request_id)
{
	const struct audit_record r = {
		.event = event, .actor = view_text("service"), .user_id = user_id, .object = object,
		.detail = detail, .request_id = request_id,
	};
	return audit_append(k, c, &r);
}

static int insert_device(struct enrolling *e, struct connection *c, const struct row_enrolment *enrolment)
{
	const struct row_device device = { .id = view_text(e->issued.device_id), .user_id = enrolment->user_id,
					   .name = enrolment->name, .platform = enrolment->platform,
					   .state = STATE_ACTIVE, .enrolled_at = now_seconds() };
	const struct row_device_certificate certificate = certificate_row(&e->issued);
	int rc = devices_check_room(c, enrolment->user_id);
	if (rc == 0)
		rc = devices_insert(e->k->keyring, c, &device);
	if (rc == 0)
		rc = devices_add_certificate(e->k->keyring, c, &certificate);
	if (rc == 0)
		rc = record(e->k, c, "device.enrol", device.user_id, device.id, enrolment->id, e->m.request_id);
	return rc < 0 ? rc : record(e->k, c, "certificate.issue", device.user_id, certificate.fingerprint, device.id,
				    e->m.request_id);
}

/* The token is spent, the device made and both recorded in one transaction. */
static int store(struct connection *c, void *arg)
{
	struct enrolling *e = arg;
	ROW(enrolment, enrolment);
	ROW(user, user);
	int rc = enrolments_find(e->k->keyring, c, e->m.token_secret, &enrolment);
	if (rc == 0 && enrolment.spent_at)
		return fail(FAULT_AGAIN, "the enrolment token was spent in the meantime");
	if (rc == 0)
		rc = users_get(e->k->keyring, c, enrolment.user_id, &user);
	if (rc == 0 && user.state != STATE_ACTIVE)
		rc = fail(FAULT_FORBIDDEN, "the user was retired");
	if (rc == 0)
		rc = insert_device(e, c, &enrolment);
	if (rc < 0)
		return rc;
	enrolment.spent_at = now_seconds();
	enrolment.device_id = view_text(e->issued.device_id);
	enrolment.csr_sha256 = view_of(e->issued.csr_sha256, 32);
	rc = enrolments_spend(e->k->keyring, c, &enrolment);
	return rc < 0 ? rc : record(e->k, c, "enrolment.spend", enrolment.user_id, enrolment.id, enrolment.device_id,
				    e->m.request_id);
}

/* An answer that was lost on the way: the same token with the same request, within ENROLMENT_REPLAY_SECONDS. */
static int replay(struct keeper *k, struct connection *c, const struct row_enrolment *enrolment, struct view csr_sha256,
		  struct buf *answer)
{
	ROW(device_certificate, certificate);
	char device_id[UUID_TEXT + 1];
	if (!view_equal(enrolment->csr_sha256, csr_sha256) ||
	    now_seconds() > enrolment->spent_at + ENROLMENT_REPLAY_SECONDS)
		return fail(FAULT_TOKEN_SPENT,
			    "this enrolment token was used already: ask an administrator for a new one");
	int rc = devices_still_active(k->keyring, c, enrolment->device_id, enrolment->user_id);
	if (rc == 0)
		rc = devices_certificate_for(k->keyring, c, enrolment->device_id, csr_sha256, &certificate);
	if (rc == -FAULT_NOT_FOUND)
		rc = fail(FAULT_TOKEN_SPENT, "this enrolment token was used already, and the device has renewed since");
	text_copy(enrolment->device_id, device_id, sizeof device_id);
	return rc < 0 ? rc : put_answer(k->keyring, device_id, certificate.der, answer);
}

/* Looks at the token alone. 1: it was spent, and the answer is put if it may be had again. */
static int check_token(struct enrolling *e, struct buf *csr, struct row_enrolment *enrolment, struct buf *answer)
{
	READER c = NULL;
	ROW(user, user);
	int rc = db_read(e->k->db, &c);
	if (rc == 0)
		rc = enrolments_find(e->k->keyring, c, e->m.token_secret, enrolment);
	if (rc == 0 && !enrolment->spent_at && enrolment->expires_at <= now_seconds())
		rc = wallclock_expired(e->k, FAULT_TOKEN_EXPIRED,
				   "this enrolment token has expired: ask an administrator for a new one");
	if (rc == 0)
		rc = users_get(e->k->keyring, c, enrolment->user_id, &user);
	if (rc == 0 && user.state != STATE_ACTIVE)
		rc = fail(FAULT_FORBIDDEN, "the user was retired");
	if (rc == 0 && (rc = decode_csr(e->m.csr, csr)) < 0 && enrolment->spent_at)
		rc = fail(FAULT_TOKEN_SPENT,
			  "this enrolment token was used already: ask an administrator for a new one");
	if (rc == 0)
		rc = digest_sha256(buf_view(csr), e->issued.csr_sha256);
	if (rc == 0 && enrolment->spent_at) {
		rc = replay(e->k, c, enrolment, view_of(e->issued.csr_sha256, 32), answer);
		return rc < 0 ? rc : 1;
	}
	return rc;
}

static int enroll(struct enrolling *e, struct buf *answer)
{
	BUF csr = buf_new(CSR_MAX_BYTES);
	ROW(enrolment, enrolment);
	PKEY key = NULL;
	int rc = csr ? check_token(e, csr, &enrolment, answer) : fail(FAULT_UNAVAILABLE, "no memory for a request");
	if (rc == 0)
		rc = open_csr(e->k, buf_view(csr), &key);
	else
		return rc < 0 ? rc : 0;
	if (rc == 0)
		rc = issue(e->k, key, enrolment.user_id, &e->issued);
	if (rc == 0)
		rc = db_write(e->k->db, store, e);
	if (rc < 0)
		return rc;
	atomic_fetch_add(&e->k->counters.enrolments, 1);
	return put_answer(e->k->keyring, e->issued.device_id, buf_view(e->issued.der), answer);
}

int answer_enroll(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	struct enrolling e = { .k = k };
	size_t start = buf_len(answer);
	uuid_make(e.issued.device_id);
	int rc = read_enroll(fields, &e.m);
	if (rc == 0)
		rc = wallclock_check(k);
	/* Lost a race for the token: what is said is then what a later caller would be told. */
	if (rc == 0)
		rc = -FAULT_AGAIN;
	for (int try = 0; rc == -FAULT_AGAIN && try < TRIES; try++) {
		buf_truncate(answer, start);
		rc = enroll(&e, answer);
	}
	buf_free(e.issued.der);
	return rc;
}

/* ---- renewing ---- */

/* The one thing in ASN.1 from outside that the keeper reads: ECDSA-Sig-Value, two INTEGERs (RFC 3279 2.2.3). Its shape
 * is checked here, exactly, before OpenSSL sees it. */
static bool is_ecdsa_signature(struct view v)
{
	uint8_t tag, len;
	if (!view_get_u8(&v, &tag) || tag != 0x30 || !view_get_u8(&v, &len) || len >= 0x80 || len != v.len)
		return false;
	for (int i = 0; i < 2; i++) {
		struct view number;
		if (!view_get_u8(&v, &tag) || tag != 0x02 || !view_get_u8(&v, &len) || len == 0 ||
		    len > SIGNATURE_INTEGER_MAX || !view_get(&v, len, &number) || number.p[0] >= 0x80)
			return false;
	}
	return v.len == 0;
}

/* The device's present key must have signed the request: front alone can not renew. */
static int check_signature(const struct row_device_certificate *present, struct view csr, struct view signature)
{
	const uint8_t *at = present->der.p;
	errno = 0;
	CERTIFICATE certificate = d2i_X509(NULL, &at, (long)present->der.len);
	EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
	MD_CTX context = EVP_MD_CTX_new();
	if (!key || !context)
		return fail(FAULT_INTERNAL, "a device certificate can not be read");
	bool shaped = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA || is_ecdsa_signature(signature);
	bool good = shaped && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestVerify(context, signature.p, signature.len, csr.p, csr.len) == 1;
	ERR_clear_error();
	if (!good && errno == ENOMEM)
		return fail(FAULT_UNAVAILABLE, "no memory to check a signature");
	return good ? 0 : fail(FAULT_BAD_PROOF_OF_POSSESSION,
			       "signature is not one by the device's present key over the "
						  "DER of the request, with SHA-256");
}

struct renewing {
	struct keeper *k;
	struct msg_renew m;
	struct issued issued;
};

/* A renewal with another key that was asked for before and never used: it ends, so that there are two at most. */
static int end_unused(struct connection *c, const struct renewing *r, const struct shown *shown)
{
	ROW(device_certificate, unused);
	int rc = devices_successor(r->k->keyring, c, shown->device.id, shown->certificate.fingerprint, &unused);
	if (rc == -FAULT_NOT_FOUND)
		return 0;
	if (rc == 0 && view_equal(unused.csr_sha256, view_of(r->issued.csr_sha256, 32)))
		return fail(FAULT_AGAIN, "the same renewal was answered in the meantime");
	return rc < 0 ? rc : devices_end_certificate(r->k, c, &shown->device, unused.fingerprint, r->m.request_id);
}

/* The certificate that asks stays good until the new one is used, for the answer may be lost. */
static int store_renewal(struct connection *c, void *arg)
{
	struct renewing *r = arg;
	SHOWN shown = { .last_pull_at = 0 };
	struct row_device_certificate certificate = certificate_row(&r->issued);
	int rc = devices_shown(r->k, c, r->m.fingerprint, now_seconds(), &shown);
	certificate.replaces = shown.certificate.fingerprint;
	if (rc == 0)
		rc = end_unused(c, r, &shown);
	if (rc == 0)
		rc = devices_add_certificate(r->k->keyring, c, &certificate);
	return rc < 0 ? rc : record(r->k, c, "certificate.issue", shown.user.id, certificate.fingerprint,
				    shown.device.id, r->m.request_id);
}

/* Everything that is checked before the request is parsed. 1: the same request was answered before, and its answer,
 * which may have been lost, is put again. */
static int check_renewal(struct renewing *r, struct buf *csr, struct shown *shown, struct buf *answer)
{
	READER c = NULL;
	ROW(device_certificate, successor);
	int rc = db_read(r->k->db, &c);
	if (rc == 0)
		rc = devices_shown(r->k, c, r->m.fingerprint, now_seconds(), shown);
	if (rc == 0)
		rc = decode_csr(r->m.csr, csr);
	if (rc == 0)
		rc = check_signature(&shown->certificate, buf_view(csr), r->m.signature);
	if (rc == 0)
		rc = digest_sha256(buf_view(csr), r->issued.csr_sha256);
	if (rc < 0)
		return rc;
	text_copy(shown->device.id, r->issued.device_id, sizeof r->issued.device_id);
	rc = devices_successor(r->k->keyring, c, shown->device.id, shown->certificate.fingerprint, &successor);
	if (rc == -FAULT_NOT_FOUND || (rc == 0 && !view_equal(successor.csr_sha256, view_of(r->issued.csr_sha256, 32))))
		return 0;
	if (rc == 0)
		rc = put_answer(r->k->keyring, r->issued.device_id, successor.der, answer);
	return rc < 0 ? rc : 1;
}

static int renew(struct renewing *r, struct buf *answer)
{
	PKEY key = NULL;
	SHOWN shown = { .last_pull_at = 0 };
	BUF csr = buf_new(CSR_MAX_BYTES);
	int rc = csr ? check_renewal(r, csr, &shown, answer) : fail(FAULT_UNAVAILABLE, "no memory for a request");
	if (rc == 0)
		rc = devices_confirm(r->k, &shown, r->m.request_id);
	else
		return rc < 0 ? rc : 0;
	if (rc == 0)
		rc = open_csr(r->k, buf_view(csr), &key);
	if (rc == 0)
		rc = issue(r->k, key, shown.user.id, &r->issued);
	if (rc == 0)
		rc = db_write(r->k->db, store_renewal, r);
	return rc < 0 ? rc : put_answer(r->k->keyring, r->issued.device_id, buf_view(r->issued.der), answer);
}

int answer_renew(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	struct renewing r = { .k = k };
	size_t start = buf_len(answer);
	int rc = read_renew(fields, &r.m);
	if (rc == 0)
		rc = wallclock_check(k);
	/* Lost a race against the same renewal: then its answer is this one's too. */
	if (rc == 0)
		rc = -FAULT_AGAIN;
	for (int try = 0; rc == -FAULT_AGAIN && try < TRIES; try++) {
		buf_truncate(answer, start);
		rc = renew(&r, answer);
	}
	buf_free(r.issued.der);
	return rc;
}
