/* Pairing. Opener, PFX kind. Never pairs what an attribute claims and the public keys deny. */
#include "pair.h"

#include "ber.h"
#include "fault.h"
#include "own.h"

#include <openssl/err.h>
#include <openssl/evp.h>

static struct found_key *key_of(struct contents *c, const struct found_certificate *certificate)
{
	for (size_t i = 0; i < c->key_count; i++)
		if (public_key_equal(&c->keys[i].key->public, &certificate->public))
			return &c->keys[i];
	return NULL;
}

int pair_all(struct contents *c, struct pairs *ret)
{
	ret->count = 0;
	for (size_t i = 0; i < c->certificate_count; i++) {
		struct found_certificate *certificate = &c->certificates[i];
		struct found_key *key = certificate->public_fault ? NULL : key_of(c, certificate);
		if (!key)
			continue;
		if (ret->count == PFX_IDENTITIES_MAX)
			return fail(FAULT_TOO_EXPENSIVE, "more than %d identities in one PFX: split it",
				    PFX_IDENTITIES_MAX);
		key->paired = certificate->paired = true;
		ret->at[ret->count++] = (struct pair){ .key = key, .certificate = certificate };
	}
	return 0;
}

/* ---- leftovers ---- */

/* The certificate that claims to be that key's: by localKeyID, or for being the only other thing in the file. */
static struct found_certificate *claimant(struct contents *c, const struct found_key *key)
{
	struct view id = view_of(key->local_id.at, key->local_id.len);
	for (size_t i = 0; i < c->certificate_count && id.len > 0; i++)
		if (view_equal(id, view_of(c->certificates[i].local_id.at, c->certificates[i].local_id.len)))
			return &c->certificates[i];
	if (c->certificate_count == 1 && c->key_count == 1)
		return &c->certificates[0];
	return NULL;
}

/* Reads the public key again, for the sentence on why it can not be used. */
static int report_public_fault(const struct found_certificate *certificate, struct report *report)
{
	PUBLIC_KEY again = { 0 };
	return report_left_out(report, public_key_read(certificate->parts->body->key, &again), thumbprint(certificate));
}

static int report_key(struct contents *c, const struct found_key *key, struct report *report)
{
	char algorithm[KEY_ALGORITHM_MAX_BYTES + 1];
	key_algorithm(&key->key->public, algorithm);
	struct found_certificate *claims = claimant(c, key);
	if (!claims || claims->paired) {
		int rc = fail(FAULT_NO_CERTIFICATE, "no certificate in the file is that of a key (%s): "
			      "export the key with its certificate", algorithm);
		return report_left_out(report, rc, view_of("", 0));
	}
	claims->paired = true; /* told here */
	if (claims->public_fault)
		return report_public_fault(claims, report);
	int rc = fail(FAULT_KEY_MISMATCH, "the certificate that goes with a key (%s) holds another one: "
		      "export the key with its own certificate", algorithm);
	return report_left_out(report, rc, thumbprint(claims));
}

static int report_certificate(const struct found_certificate *certificate, struct report *report)
{
	if (certificate->is_ca)
		return 0;
	if (certificate->public_fault)
		return report_public_fault(certificate, report);
	int rc = fail(FAULT_NO_PRIVATE_KEY, "the private key of a certificate is not in the file: "
		      "export it again with its key");
	return report_left_out(report, rc, thumbprint(certificate));
}

int pair_leftovers(struct contents *c, struct report *report)
{
	for (size_t i = 0; i < c->key_count; i++) {
		int rc = c->keys[i].paired ? 0 : report_key(c, &c->keys[i], report);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < c->certificate_count; i++) {
		int rc = c->certificates[i].paired ? 0 : report_certificate(&c->certificates[i], report);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- chains ---- */

/* RFC 5280 4.2.1.1: 2 when the identifiers agree, 1 when one is missing, 0 when they differ. */
static int identifiers_agree(const struct certificate *issuer, const struct certificate *subject)
{
	void *of_issuer, *of_subject;
	certificate_extension(issuer, NID_subject_key_identifier, "RFC 5280 4.2.1.2", &of_issuer);
	certificate_extension(subject, NID_authority_key_identifier, "RFC 5280 4.2.1.1", &of_subject);
	OWNED(ASN1_OCTET_STRING) own = of_issuer;
	OWNED(AUTHORITY_KEYID) authority = of_subject;
	if (!own || !authority || !authority->keyid)
		return 1;
	return ASN1_OCTET_STRING_cmp(authority->keyid, own) == 0 ? 2 : 0;
}

enum { ISSUER_RSA_MAX_BITS = 8192 }; /* of a signature that is worth its check */

static bool signature_is_by(const struct found_certificate *issuer, const struct found_certificate *subject)
{
	if (issuer->public_fault || (issuer->public.family == KEY_RSA && issuer->public.bits > ISSUER_RSA_MAX_BITS))
		return false;
	const uint8_t *p = buf_data(issuer->der), *q = buf_data(subject->der);
	OWNED(X509) one = d2i_X509(NULL, &p, (long)buf_len(issuer->der));
	OWNED(X509) other = d2i_X509(NULL, &q, (long)buf_len(subject->der));
	EVP_PKEY *key = one ? X509_get0_pubkey(one) : NULL;
	bool right = key && other && X509_verify(other, key) == 1;
	ERR_clear_error();
	return right;
}

/* How well issuer fits; 0 not at all. Signatures are looked at only to choose between several. */
static int fit(const struct found_certificate *issuer, const struct found_certificate *subject, bool check_signature)
{
	if (issuer == subject || X509_NAME_cmp(issuer->parts->body->subject, subject->parts->body->issuer) != 0)
		return 0;
	int agree = identifiers_agree(issuer->parts, subject->parts);
	if (agree == 0)
		return 0;
	return agree + (issuer->is_ca ? 2 : 0) + (check_signature && signature_is_by(issuer, subject) ? 4 : 0);
}

enum { SIGNATURE_CHECKS_MAX = 64 }; /* for one PFX: a hostile key may take milliseconds each */

static struct found_certificate *find_issuer(struct contents *c, const struct found_certificate *subject)
{
	struct found_certificate *best = NULL;
	int best_fit = 0, candidates = 0;
	for (size_t i = 0; i < c->certificate_count; i++)
		candidates += fit(&c->certificates[i], subject, false) > 0;
	for (size_t i = 0; i < c->certificate_count && candidates > 0; i++) {
		bool check = candidates > 1 && c->signature_checks < SIGNATURE_CHECKS_MAX;
		int one = fit(&c->certificates[i], subject, check);
		c->signature_checks += check && one > 0;
		if (one > best_fit) {
			best = &c->certificates[i];
			best_fit = one;
		}
	}
	return best;
}

static struct found_certificate *issuer_of(struct contents *c, struct found_certificate *subject)
{
	if (!subject->issuer_known)
		subject->issuer = find_issuer(c, subject);
	subject->issuer_known = true;
	return subject->issuer;
}

static bool is_in_chain(const struct pair *pair, const struct found_certificate *c)
{
	for (size_t i = 0; i < pair->chain_count; i++)
		if (pair->chain[i] == c)
			return true;
	return c == pair->certificate;
}

void pair_chain(struct contents *c, struct pair *pair)
{
	struct found_certificate *last = pair->certificate;
	pair->chain_count = 0;
	while (!certificate_is_self_issued(last->parts) && pair->chain_count < PFX_CHAIN_MAX) {
		struct found_certificate *issuer = issuer_of(c, last);
		if (!issuer || is_in_chain(pair, issuer))
			break;
		pair->chain[pair->chain_count++] = issuer;
		last = issuer;
	}
	pair->chain_complete = certificate_is_self_issued(last->parts);
}
