/* X.509 certificates, as a PFX holds them: what they say of themselves, and who issued whom. The input is one
 * certificate or several, one behind the other. */
#include "fuzz.h"

#include "opener/ber.h"
#include "opener/facts.h"
#include "opener/own.h"
#include "opener/pair.h"
#include "text.h"

#include <openssl/err.h>

static void check_name(const struct buf *name)
{
	MUST(buf_ok(name) && buf_len(name) <= DISTINGUISHED_NAME_MAX_BYTES && text_is_clean(buf_view(name)));
}

static bool is_serial(const char *text)
{
	size_t len = strlen(text), sign = text[0] == '-';
	return len - sign >= 2 && (len - sign) % 2 == 0 && len <= SERIAL_MAX_CHARS &&
	       strspn(text + sign, "0123456789abcdef") == len - sign;
}

static void check_addresses(struct view list)
{
	struct msg_string seen[EMAILS_MAX];
	size_t count = 0;
	for (; list.len > 0; count++) {
		MUST(count < EMAILS_MAX && get_string(&list, &seen[count]) == 0);
		MUST(seen[count].value.len > 0 && seen[count].value.len <= EMAIL_MAX_BYTES);
		for (size_t i = 0; i < count; i++)
			MUST(!view_equal(seen[i].value, seen[count].value));
	}
}

/* Where OpenSSL reads the certificate, too, it finds the same dates in it. */
static void check_dates(const struct found_certificate *c, const struct facts *facts)
{
	const uint8_t *p = buf_data(c->der);
	OWNED(X509) x = d2i_X509(NULL, &p, (long)buf_len(c->der));
	ERR_clear_error();
	if (!x)
		return;
	ASN1_TIME *begins = ASN1_TIME_set(NULL, facts->not_before), *ends = ASN1_TIME_set(NULL, facts->not_after);
	MUST(begins && ASN1_TIME_compare(begins, X509_get0_notBefore(x)) == 0);
	MUST(ends && ASN1_TIME_compare(ends, X509_get0_notAfter(x)) == 0);
	ASN1_TIME_free(begins);
	ASN1_TIME_free(ends);
}

static void check_facts(const struct found_certificate *c)
{
	FACTS facts = { 0 };
	int rc = facts_read(c, &facts);
	MUST(rc == 0 || rc == -FAULT_MALFORMED_PKCS12);
	check_name(facts.subject);
	check_name(facts.issuer);
	MUST(strlen(facts.key_algorithm) <= KEY_ALGORITHM_MAX_BYTES);
	if (rc < 0)
		return;
	MUST(is_serial(facts.serial));
	MUST((facts.usages & ~USAGE_ALL) == 0);
	MUST(!(c->public.pss && (facts.usages & USAGE_ENCRYPTION)));
	check_addresses(buf_view(facts.emails));
	check_dates(c, &facts);
}

static void check_key(const struct found_certificate *c)
{
	char name[KEY_ALGORITHM_MAX_BYTES + 1];
	if (c->public_fault) {
		MUST(fault_status(c->public_fault) == 422);
		return;
	}
	key_algorithm(&c->public, name);
	MUST(name[0] && buf_len(c->public.canonical) > 0);
	MUST(c->public.family == KEY_EC || (c->public.bits >= RSA_MIN_BITS && c->public.bits <= RSA_MAX_BITS));
}

/* Each link is by name, nobody is there twice, and what is complete ends in one who issued itself. */
static void check_chain(struct contents *c, struct found_certificate *leaf)
{
	static struct pair pair;
	pair = (struct pair){ .certificate = leaf };
	pair_chain(c, &pair);
	const struct found_certificate *last = leaf;
	MUST(pair.chain_count <= PFX_CHAIN_MAX);
	for (size_t i = 0; i < pair.chain_count; i++) {
		const struct found_certificate *issuer = pair.chain[i];
		MUST(X509_NAME_cmp(issuer->parts->body->subject, last->parts->body->issuer) == 0 && issuer != leaf);
		for (size_t j = 0; j < i; j++)
			MUST(pair.chain[j] != issuer);
		last = issuer;
	}
	MUST(pair.chain_complete == certificate_is_self_issued(last->parts));
}

/* Takes one element off the front, whatever it is; the rest, where that can not be told. */
static struct view take_one(struct view *v)
{
	const uint8_t *p = v->p;
	long len;
	int tag, class;
	int how = ASN1_get_object(&p, &len, &tag, &class, (long)v->len);
	size_t n = (how & 0x81) ? v->len : (size_t)(p - v->p) + (size_t)len;
	struct view one;
	MUST(view_get(v, n, &one));
	ERR_clear_error();
	return one;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CONTENTS contents = contents_new();
	const struct local_id none = { .len = 0 };
	MUST(contents);
	for (struct view rest = view_of(data, size); rest.len > 0;) {
		size_t before = contents->certificate_count;
		int rc = contents_add_certificate(contents, take_one(&rest), &none);
		MUST(rc == 0 || rc == -FAULT_MALFORMED_PKCS12 || rc == -FAULT_TOO_EXPENSIVE);
		MUST(contents->certificate_count <= PFX_CERTIFICATES_MAX);
		MUST(contents->certificate_count == before || contents->certificate_count == before + 1);
		MUST(rc == 0 || (fault_detail()[0] && contents->certificate_count == before));
	}
	for (size_t i = 0; i < contents->certificate_count; i++) {
		check_key(&contents->certificates[i]);
		check_facts(&contents->certificates[i]);
		check_chain(contents, &contents->certificates[i]);
	}
	MUST(contents->signature_checks <= 64 + PFX_CERTIFICATES_MAX);
	ERR_clear_error();
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return fuzz_mutate_der(data, size, max, seed, 0);
}
