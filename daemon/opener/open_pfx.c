/* From the bytes of a PFX to the answer, in order. Opener, PFX kind. Never derives before the sum of the work is known
 * to be within the request's bound. */
#include "open_pfx.h"

#include "bags.h"
#include "ber.h"
#include "facts.h"
#include "fault.h"
#include "mac.h"
#include "make_pkcs12.h"
#include "own.h"
#include "pair.h"
#include "test_faults.h"
#include "text.h"
#include "x509_text.h"

#include <openssl/asn1t.h>
#include <openssl/pkcs7.h>
#include <string.h>

/* RFC 7292 4 */
struct pfx {
	ASN1_INTEGER *version;
	PKCS7 *auth_safe;
	struct mac_data *mac;
};

ASN1_SEQUENCE(PFX_PDU) = {
	ASN1_SIMPLE(struct pfx, version, ASN1_INTEGER),
	ASN1_SIMPLE(struct pfx, auth_safe, PKCS7),
	ASN1_OPT(struct pfx, mac, PFX_MAC_DATA),
} static_ASN1_SEQUENCE_END_name(struct pfx, PFX_PDU)

static void pfx_freep(struct pfx **p)
{
	ASN1_item_free((ASN1_VALUE *)*p, ASN1_ITEM_rptr(PFX_PDU));
}

/* ---- what is no PFX ---- */

/* Reads the header of a SEQUENCE (X.690 8.1); its length is 0 where it is indefinite. Returns the header's bytes, or 0
 * where there is none. */
static size_t read_header(struct view file, uint64_t *ret_len)
{
	if (file.len < 2 || file.p[0] != (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED))
		return 0;
	size_t octets = file.p[1] > 0x80 ? file.p[1] & 0x7fu : 0;
	if (octets > sizeof(uint32_t) || file.len < 2 + octets)
		return 0;
	*ret_len = octets == 0 ? file.p[1] & 0x7fu : 0;
	for (size_t i = 0; i < octets; i++)
		*ret_len = *ret_len << 8 | file.p[2 + i];
	return 2 + octets;
}

/* What is malformed gets a sentence on what to do, with the decoder's own behind it. A PFX begins with its version, an
 * INTEGER of one byte; a certificate has a SEQUENCE there. */
static int refuse_file(struct view file)
{
	static const char pem[] = "-----BEGIN ";
	char why[FAULT_DETAIL_MAX];
	uint64_t len = 0;
	size_t at = read_header(file, &len);
	snprintf(why, sizeof why, "%s", fault_detail());
	if (at == 0 && file.len > 0 && memmem(file.p, file.len, pem, strlen(pem)))
		return fail(FAULT_MALFORMED_PKCS12, "this is PEM, and not a PFX: make one with openssl pkcs12 -export "
			    "-in CERTIFICATE -inkey KEY -out FILE.pfx (%s)", why);
	if (at == 0 || file.len < at + 2 || file.p[at] != V_ASN1_INTEGER || file.p[at + 1] != 1)
		return fail(FAULT_MALFORMED_PKCS12, "this is not a PFX file: give the .pfx or .p12 that was exported "
			    "with its private key (%s)", why);
	if (file.len - at < len)
		return fail(FAULT_MALFORMED_PKCS12, "the end of this PFX is missing: copy or export it again (%s)",
			    why);
	return fail(FAULT_MALFORMED_PKCS12, "this PFX is damaged, or was not made well: copy or export it again (%s)",
		    why);
}

enum { PFX_VERSION = 3, EXPIRES_SOON_SECONDS = 30 * 86400 };

static int read_content(const struct pfx *pfx, struct view *ret)
{
	char oid[OID_TEXT_MAX];
	if (ASN1_INTEGER_get(pfx->version) != PFX_VERSION)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4: a PFX of another version than 3");
	int nid = OBJ_obj2nid(pfx->auth_safe->type);
	if (nid == NID_pkcs7_signed)
		return fail(FAULT_UNSUPPORTED_ALGORITHM,
			    "RFC 7292 3.1: integrity by a signature (1.2.840.113549.1.7.2): "
			    "export it again under a password");
	if (nid != NID_pkcs7_data)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4: an authSafe of the type %s",
			    oid_text(pfx->auth_safe->type, oid));
	if (!pfx->auth_safe->d.data)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4: an authSafe without content");
	*ret = asn1_view(pfx->auth_safe->d.data);
	return 0;
}

int read_pfx(const struct ciphers *ciphers, const struct msg_open_pfx *request, struct contents *contents,
	     struct report *report)
{
	__attribute__((cleanup(pfx_freep))) struct pfx *pfx =
		ber_decode(request->pfx_secret, ASN1_ITEM_rptr(PFX_PDU), "RFC 7292 4: PFX");
	PASSWORD password = { 0 };
	struct work work = { .max = request->max_work };
	struct mac mac;
	struct view content;
	if (!pfx)
		return -FAULT_MALFORMED_PKCS12;
	BAGS bags = bags_new(ciphers, &work, contents, report);
	int rc = bags ? password_init(&password, request->password_secret)
		      : fail(FAULT_TOO_EXPENSIVE, "no memory left to open a PFX");
	if (rc == 0)
		rc = read_content(pfx, &content);
	if (rc == 0)
		rc = mac_read(pfx->mac, &mac);
	if (rc == 0)
		rc = work_charge(&work, mac_work(&mac));
	if (rc == 0)
		rc = bags_read(bags, content);
	if (rc == 0)
		rc = mac_check(&mac, content, &password, &work);
	if (rc == -FAULT_WRONG_PASSWORD && bags_open_with(bags, &password))
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 5.1: the password opens what is encrypted, and the MAC "
			    "does not verify: what it covers was changed, or it is under another password");
	if (rc == -FAULT_WRONG_PASSWORD)
		return fail(FAULT_WRONG_PASSWORD, "the password does not open this file: try the one with which it was "
			    "exported (RFC 7292 5.1: the MAC does not verify with it)");
	return rc < 0 ? rc : bags_decrypt(bags, &password);
}

/* ---- the answer ---- */

struct answer {
	const struct ciphers *ciphers;
	const struct msg_open_pfx *request;
	struct contents *contents;
	struct report *report;
	struct buf *identities, *chain; /* lists of opened_identity, of opened_certificate */
	size_t identity_count;
	size_t listed_count;
	bool chain_is_cut;
	const struct found_certificate *listed[PFX_CHAIN_MAX];
};

/* The index of c in the list of the chain, adding it if it is new; PFX_CHAIN_MAX when there is no room. */
static size_t list_certificate(struct answer *a, const struct found_certificate *c)
{
	for (size_t i = 0; i < a->listed_count; i++)
		if (a->listed[i] == c)
			return i;
	a->chain_is_cut |= a->listed_count == PFX_CHAIN_MAX;
	if (a->listed_count == PFX_CHAIN_MAX)
		return PFX_CHAIN_MAX;
	const struct msg_opened_certificate m = { .certificate = buf_view(c->der) };
	put_opened_certificate(a->chain, &m);
	a->listed[a->listed_count] = c;
	return a->listed_count++;
}

static size_t list_chain(struct answer *a, struct pair *pair, uint8_t *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < pair->chain_count; i++) {
		size_t index = list_certificate(a, pair->chain[i]);
		if (index == PFX_CHAIN_MAX)
			break;
		ret[n++] = (uint8_t)index;
	}
	return n;
}

static void note_chain(struct answer *a, const struct pair *pair)
{
	BUF issuer = buf_new(DISTINGUISHED_NAME_MAX_BYTES);
	const struct found_certificate *last = pair->certificate;
	if (pair->chain_count > 0)
		last = pair->chain[pair->chain_count - 1];
	const char *name = "?";
	if (issuer && name_text(last->parts->body->issuer, issuer) == 0) {
		/* Cut, so that it leaves room for the sentence; a whole name may have 4 KiB. */
		size_t len = buf_len(issuer) < 300 ? buf_len(issuer) : 300;
		while (len > 0 && len < buf_len(issuer) && (buf_data(issuer)[len] & 0xc0) == 0x80)
			len--;
		buf_truncate(issuer, len);
		name = buf_text(issuer);
	}
	report_note(a->report, "chain_incomplete", thumbprint(pair->certificate),
		    "the file does not hold the certificate of the issuer \"%s\"", name ? name : "?");
}

static void note_dates(struct answer *a, const struct pair *pair, const struct facts *facts)
{
	char text[TIME_TEXT + 1];
	int64_t now = now_seconds();
	struct view id = thumbprint(pair->certificate);
	if (facts->not_before > now) {
		time_format(facts->not_before, text);
		report_note(a->report, "not_yet_valid", id, "the certificate is valid from %s on", text);
	}
	time_format(facts->not_after, text);
	if (facts->not_after < now)
		report_note(a->report, "expired", id, "the certificate expired at %s", text);
	else if (facts->not_after - now <= EXPIRES_SOON_SECONDS)
		report_note(a->report, "expires_soon", id, "the certificate expires at %s", text);
}

static void note_all(struct answer *a, const struct pair *pair, const struct facts *facts)
{
	note_dates(a, pair, facts);
	if (pair->certificate->public.family == KEY_RSA && pair->certificate->public.bits < RSA_GOOD_BITS)
		report_note(a->report, "weak_key", thumbprint(pair->certificate), "an RSA key of %u bits is weak",
			    pair->certificate->public.bits);
	if (!pair->chain_complete)
		note_chain(a, pair);
}

static int put_files(struct answer *a, struct pair *pair, const struct facts *facts, struct view password_secret)
{
	BUF modern_secret = buf_new(PKCS12_MAX_BYTES);
	BUF legacy_secret = buf_new(PKCS12_MAX_BYTES);
	uint8_t chain[PFX_CHAIN_MAX];
	struct view key_secret = buf_view(pair->key->key->pkcs8_secret), der = buf_view(pair->certificate->der);
	struct view id = thumbprint(pair->certificate);
	if (!modern_secret || !legacy_secret)
		return fail(FAULT_TOO_EXPENSIVE, "no memory left for a PKCS#12 file");
	int rc = make_pkcs12(a->ciphers, PKCS12_MODERN, key_secret, der, id, password_secret, modern_secret);
	if (rc == 0)
		rc = make_pkcs12(a->ciphers, PKCS12_LEGACY, key_secret, der, id, password_secret, legacy_secret);
	if (rc < 0)
		return rc;
	size_t chain_count = list_chain(a, pair, chain);
	const struct msg_opened_identity m = {
		.certificate = der, .modern_secret = buf_view(modern_secret),
		.legacy_secret = buf_view(legacy_secret), .subject = buf_view(facts->subject),
		.issuer = buf_view(facts->issuer), .serial = view_text(facts->serial),
		.key_identifier = view_of(facts->key_identifier, facts->key_identifier_bytes),
		.not_before = facts->not_before, .not_after = facts->not_after, .usages = facts->usages,
		.key_algorithm = view_text(facts->key_algorithm),
		.emails = buf_view(facts->emails), .chain = view_of(chain, chain_count),
	};
	return put_opened_identity(a->identities, &m);
}

/* The n-th identity has the n-th password. */
static int next_password(const struct answer *a, struct view *ret)
{
	struct view all = a->request->passwords_secret;
	for (size_t i = 0; i <= a->identity_count; i++)
		if (!view_get(&all, PKCS12_PASSWORD_CHARS, ret))
			return fail(FAULT_INTERNAL, "the request has fewer passwords than the PFX has identities");
	return 0;
}

static int put_identity(struct answer *a, struct pair *pair)
{
	FACTS facts = { 0 };
	struct view id = thumbprint(pair->certificate), password_secret;
	int rc = facts_read(pair->certificate, &facts);
	if (rc < 0)
		return report_left_out(a->report, rc, id);
	if (a->request->usages)
		facts.usages = a->request->usages;
	if (!facts.usages)
		rc = fail(FAULT_NOT_FOR_MAIL, "RFC 8550 4.4: the usages of the certificate leave none for mail: "
			  "name usages to import it all the same");
	if (rc < 0)
		return report_left_out(a->report, rc, id);
	rc = next_password(a, &password_secret);
	if (rc < 0)
		return rc;
	pair_chain(a->contents, pair);
	note_all(a, pair, &facts);
	rc = put_files(a, pair, &facts, password_secret);
	a->identity_count++;
	return rc;
}

/* Issuers in the file that no identity leads to (another path, crossed signatures) come after those that one does. */
static void list_other_issuers(struct answer *a)
{
	for (size_t i = 0; i < a->contents->certificate_count; i++)
		if (a->contents->certificates[i].is_ca && !a->contents->certificates[i].paired)
			list_certificate(a, &a->contents->certificates[i]);
}

static int nothing_whole(const struct answer *a)
{
	int rc;
	if (report_fail_first(a->report, &rc))
		return rc;
	if (a->contents->key_count > 0)
		return fail(FAULT_NO_CERTIFICATE, "the PFX holds no certificate of its private keys: "
			    "export it again with the certificate");
	return fail(FAULT_NO_PRIVATE_KEY,
		    "the PFX holds no private key (certificates: %zu): export it again with its key",
		    a->contents->certificate_count);
}

static int put_answer(struct answer *a, struct buf *ret)
{
	static struct pairs pairs; /* 33 KiB, without a secret: not for the stack */
	int rc = pair_all(a->contents, &pairs);
	for (size_t i = 0; i < pairs.count && rc == 0; i++)
		rc = put_identity(a, &pairs.at[i]);
	if (rc == 0)
		rc = pair_leftovers(a->contents, a->report);
	if (rc < 0)
		return rc;
	if (a->identity_count == 0)
		return nothing_whole(a);
	list_other_issuers(a);
	if (a->chain_is_cut)
		report_note(a->report, "chain_incomplete", view_of("", 0),
			    "the file holds more than %d certificates of issuers: the rest was left out",
			    PFX_CHAIN_MAX);
	if (!buf_ok(a->identities) || !buf_ok(a->chain) || !buf_ok(a->report->warnings))
		return fail(FAULT_TOO_EXPENSIVE, "no memory left for the answer");
	const struct msg_opened_pfx m = { .identities = buf_view(a->identities), .chain = buf_view(a->chain),
					  .warnings = buf_view(a->report->warnings) };
	return put_opened_pfx(ret, &m);
}

int open_pfx(const struct ciphers *ciphers, const struct msg_open_pfx *request, struct buf *answer)
{
	test_fault(request->pfx_secret);
	REPORT report = { 0 };
	CONTENTS contents = contents_new();
	BUF identities_secret = buf_new(FRAME_MAX_BYTES);
	BUF chain = buf_new(LIST_MAX_BYTES);
	if (!report_init(&report) || !contents || !identities_secret || !chain)
		return fail(FAULT_TOO_EXPENSIVE, "no memory left to open a PFX");
	struct answer a = { .ciphers = ciphers, .request = request, .contents = contents, .report = &report,
			    .identities = identities_secret, .chain = chain };
	int rc = read_pfx(ciphers, request, contents, &report);
	if (rc == 0)
		rc = put_answer(&a, answer);
	return rc == -FAULT_MALFORMED_PKCS12 ? refuse_file(request->pfx_secret) : rc;
}
