/* Facts of a certificate. Opener, PFX kind. Never passes on a byte that is not clean text. */
#include "facts.h"

#include "ber.h"
#include "encode.h"
#include "fault.h"
#include "own.h"
#include "text.h"
#include "x509_text.h"

#include <openssl/err.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* ---- dates ---- */

static int read_time(const ASN1_TIME *t, int64_t *ret)
{
	struct tm tm = { 0 };
	if (!t || ASN1_TIME_to_tm(t, &tm) != 1) {
		ERR_clear_error();
		return fail(FAULT_MALFORMED_PKCS12, "RFC 5280 4.1.2.5: a date that is none");
	}
	*ret = (int64_t)timegm(&tm);
	return 0;
}

/* ---- usages ---- */

static int is_for_mail(const struct certificate *c, bool *ret)
{
	void *found;
	int rc = certificate_extension(c, NID_ext_key_usage, "RFC 5280 4.2.1.12: the extended key usage", &found);
	OWNED(EXTENDED_KEY_USAGE) usages = found;
	*ret = !usages;
	for (int i = 0; i < sk_ASN1_OBJECT_num(usages); i++) {
		int nid = OBJ_obj2nid(sk_ASN1_OBJECT_value(usages, i));
		*ret |= nid == NID_email_protect || nid == NID_anyExtendedKeyUsage;
	}
	return rc;
}

enum key_usage_bit { DIGITAL_SIGNATURE = 0, NON_REPUDIATION = 1, KEY_ENCIPHERMENT = 2, KEY_AGREEMENT = 4 };

static int read_key_usage(const struct found_certificate *c, uint8_t *ret)
{
	void *found;
	int rc = certificate_extension(c->parts, NID_key_usage, "RFC 5280 4.2.1.3: the key usage", &found);
	OWNED(ASN1_BIT_STRING) bits = found;
	*ret = USAGE_ALL;
	if (rc < 0 || !bits)
		return rc;
	*ret = 0;
	if (ASN1_BIT_STRING_get_bit(bits, DIGITAL_SIGNATURE) || ASN1_BIT_STRING_get_bit(bits, NON_REPUDIATION))
		*ret |= USAGE_SIGNING;
	if (ASN1_BIT_STRING_get_bit(bits, c->public.family == KEY_RSA ? KEY_ENCIPHERMENT : KEY_AGREEMENT))
		*ret |= USAGE_ENCRYPTION;
	return 0;
}

static int read_usages(const struct found_certificate *c, uint8_t *ret)
{
	bool mail;
	int rc = is_for_mail(c->parts, &mail);
	if (rc == 0)
		rc = read_key_usage(c, ret);
	if (!mail)
		*ret = 0;
	if (c->public.pss)
		*ret &= (uint8_t)~USAGE_ENCRYPTION;
	return rc;
}

/* ---- addresses ---- */

struct addresses {
	struct buf *list;
	size_t count;
	struct view seen[EMAILS_MAX];
};

/* An address that is not clean text, or too long, is none. list does not move: its room was reserved at once. */
static void put_address(struct addresses *a, struct view v)
{
	if (v.len == 0 || v.len > EMAIL_MAX_BYTES || a->count == EMAILS_MAX || !text_is_clean(v))
		return;
	for (size_t i = 0; i < a->count; i++)
		if (a->seen[i].len == v.len && strncasecmp((const char *)a->seen[i].p, (const char *)v.p, v.len) == 0)
			return;
	const struct msg_string m = { .value = v };
	put_string(a->list, &m);
	if (buf_ok(a->list))
		a->seen[a->count++] = view_of(buf_data(a->list) + buf_len(a->list) - v.len, v.len);
}

static void put_name(struct addresses *a, const GENERAL_NAME *name)
{
	static const uint8_t smtp_utf8_mailbox[] = { 0x2b, 6, 1, 5, 5, 7, 8, 9 }; /* RFC 9598 3 */
	if (name->type == GEN_EMAIL)
		put_address(a, asn1_view(name->d.rfc822Name));
	if (name->type != GEN_OTHERNAME || !name->d.otherName->value)
		return;
	const OTHERNAME *other = name->d.otherName;
	struct view oid = view_of(OBJ_get0_data(other->type_id), OBJ_length(other->type_id));
	bool mailbox = view_equal(oid, view_of(smtp_utf8_mailbox, sizeof smtp_utf8_mailbox));
	if (mailbox && other->value->type == V_ASN1_UTF8STRING)
		put_address(a, asn1_view(other->value->value.utf8string));
}

static void put_subject_addresses(struct addresses *a, const X509_NAME *subject)
{
	int i = -1;
	while ((i = X509_NAME_get_index_by_NID(subject, NID_pkcs9_emailAddress, i)) >= 0) {
		const ASN1_STRING *s = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i));
		unsigned char *utf8 = NULL;
		int len = ASN1_STRING_to_UTF8(&utf8, s);
		if (len > 0)
			put_address(a, view_of(utf8, (size_t)len));
		OPENSSL_free(utf8);
	}
	ERR_clear_error();
}

static int read_emails(const struct certificate *c, struct buf *list)
{
	struct addresses a = { .list = list };
	void *found;
	if (!buf_reserve(list, EMAILS_MAX_BYTES))
		return fail(FAULT_TOO_EXPENSIVE, "no memory left for addresses");
	buf_truncate(list, 0);
	int rc = certificate_extension(c, NID_subject_alt_name, "RFC 5280 4.2.1.6: the subject alternative name",
				       &found);
	OWNED(GENERAL_NAMES) names = found;
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		put_name(&a, sk_GENERAL_NAME_value(names, i));
	put_subject_addresses(&a, c->body->subject);
	return rc;
}

/* Mail may name its recipient by it. One that can not be read, or is there twice, is none: it decides nothing. */
static void read_key_identifier(const struct certificate *c, struct facts *ret)
{
	void *found;
	ret->key_identifier_bytes = 0;
	int rc = certificate_extension(c, NID_subject_key_identifier, "RFC 5280 4.2.1.2: the subject key identifier",
				       &found);
	OWNED(ASN1_OCTET_STRING) octets = found;
	struct view id = asn1_view(octets);
	if (rc == 0 && octets && id.len <= sizeof ret->key_identifier) {
		memcpy(ret->key_identifier, id.p, id.len);
		ret->key_identifier_bytes = id.len;
	}
}

int facts_read(const struct found_certificate *c, struct facts *ret)
{
	*ret = (struct facts){ .subject = buf_new(DISTINGUISHED_NAME_MAX_BYTES),
			       .issuer = buf_new(DISTINGUISHED_NAME_MAX_BYTES),
			       .emails = buf_new(EMAILS_MAX_BYTES) };
	if (!ret->subject || !ret->issuer || !ret->emails)
		return fail(FAULT_TOO_EXPENSIVE, "no memory left for the facts of a certificate");
	const struct certificate_body *body = c->parts->body;
	int rc = name_text(body->subject, ret->subject);
	if (rc == 0)
		rc = name_text(body->issuer, ret->issuer);
	if (rc == 0)
		rc = serial_text(body->serial, ret->serial);
	if (rc == 0)
		rc = read_time(body->validity->notBefore, &ret->not_before);
	if (rc == 0)
		rc = read_time(body->validity->notAfter, &ret->not_after);
	if (rc == 0)
		rc = read_usages(c, &ret->usages);
	if (rc == 0)
		rc = read_emails(c->parts, ret->emails);
	read_key_identifier(c->parts, ret);
	key_algorithm(&c->public, ret->key_algorithm);
	return rc;
}

void facts_done(struct facts *f)
{
	buf_free(f->subject);
	buf_free(f->issuer);
	buf_free(f->emails);
}
