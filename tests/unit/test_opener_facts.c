/* What is understood of a PFX: bags, passwords, pairs, usages, dates, addresses, chains; each warning at its edge. */
#include "opener_writer.h"

#include "text.h"

#include <openssl/x509v3.h>

/* One identity of key_ec(0) with this certificate, and what else is in bags (NULL: nothing). Takes x and bags over. */
static struct opened open_with(X509 *x, STACK_OF(PKCS12_SAFEBAG) *bags, uint8_t usages)
{
	bags = bags ? bags : bags_begin();
	put_key(bags, key_ec(0), NULL, 0, 0, "");
	put_certificate(bags, x, NULL);
	X509_free(x);
	begin(NULL);
	finish(bags, "x", scratch);
	return open_wish(buf_view(scratch), view_text("x"), WORK_ENOUGH, usages);
}

static struct opened open_plain(STACK_OF(PKCS12_SAFEBAG) *bags)
{
	return open_with(make_plain("Anna", key_ec(0)), bags, 0);
}

static bool is_told(const struct opened *o, const char *code, const char *words)
{
	for (size_t i = 0; i < o->warnings; i++)
		if (view_is(o->warning[i].code, code) &&
		    memmem(o->warning[i].detail.p, o->warning[i].detail.len, words, strlen(words)))
			return true;
	return false;
}

/* ---- bags ---- */

static void what_is_no_identity_is_passed_over_with_a_warning_that_names_it(void **state)
{
	(void)state;
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *now = ASN1_TIME_set(NULL, now_seconds());
	X509_CRL_set1_lastUpdate(crl, now);
	assert_true(X509_CRL_sign(crl, key_ec(0), EVP_sha256()) > 0);
	sk_PKCS12_SAFEBAG_push(bags, PKCS12_SAFEBAG_create_crl(crl));
	sk_PKCS12_SAFEBAG_push(bags, PKCS12_SAFEBAG_create_secret(NID_pkcs7_data, V_ASN1_OCTET_STRING,
								  (const uint8_t *)"key", 3));
	OPENED o = open_plain(bags);
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.warnings, 2);
	assert_true(is_told(&o, "bag_ignored", "a revocation list was passed over"));
	assert_true(is_told(&o, "bag_ignored", "a secret that is not a private key was passed over"));
	X509_CRL_free(crl);
	ASN1_TIME_free(now);
}

static void bags_and_certificates_of_unknown_types_are_passed_over_by_their_numbers(void **state)
{
	(void)state;
	put_identity();
	size_t mark = der_mark(&d);
	DER_PUT(&d, 5, 0);
	WRAP_BAG(mark, 6, 3, 0x2a, 3, 4);
	mark = der_mark(&d);
	DER_PUT(&d, 0x16, 1, 's');
	der_wrap(&d, DER_CONTEXT_0, mark);
	DER_PUT(&d, 6, 10, OID_PKCS(9, 22, 2)); /* sdsiCertificate */
	der_wrap(&d, DER_SEQUENCE, mark);
	WRAP_BAG(mark, OID_CERT_BAG);
	finish_contents(sizeof room);
	OPENED o = open_scratch();
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.warnings, 2);
	assert_true(is_told(&o, "bag_ignored", "a bag of the type 1.2.3.4 was passed over"));
	assert_true(is_told(&o, "bag_ignored", "a certificate that is not of X.509 was passed over"));
}

/* ContentInfo of data around SafeContents. */
static void put_safe_of(size_t mark)
{
	der_wrap(&d, DER_SEQUENCE, mark);
	wrap_data(mark);
}

static void key_and_certificate_find_each_other_across_safes_and_nested_safe_contents(void **state)
{
	(void)state;
	unsigned char *key = NULL, *certificate = NULL;
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key_ec(0));
	X509 *x = make_plain("Anna", key_ec(0));
	int key_len = i2d_PKCS8_PRIV_KEY_INFO(info, &key), len = i2d_X509(x, &certificate);
	/* Three safes: a key two deep, nothing, a certificate. */
	put_plain_key(view_of(key, (size_t)key_len));
	for (int i = 0; i < 2; i++) {
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		WRAP_BAG(sizeof room, OID_NESTED_BAG);
	}
	put_safe_of(sizeof room);
	put_safe_of(der_mark(&d));
	size_t mark = der_mark(&d);
	put_plain_certificate(view_of(certificate, (size_t)len));
	put_safe_of(mark);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	finish_pfx(sizeof room, view_of(one_iteration, 3), NULL);
	OPENED o = open_scratch();
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.identities, 1);
	assert_int_equal(o.warnings, 0);
	OPENSSL_free(key);
	OPENSSL_free(certificate);
	PKCS8_PRIV_KEY_INFO_free(info);
	X509_free(x);
}

/* ---- passwords ---- */

/* A file under a BMPString and under bytes: what a maker took for the password. */
static struct opened open_under(const char *made, int made_len, struct view asked)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	X509 *x = make_plain("Anna", key_ec(0));
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key_ec(0));
	STACK_OF(PKCS7) *safes = NULL;
	X509_ALGOR *pbe = PKCS5_pbe2_set(EVP_aes_256_cbc(), 1, NULL, 0);
	sk_PKCS12_SAFEBAG_push(bags, PKCS12_SAFEBAG_create0_pkcs8(PKCS8_set0_pbe(made, made_len, p8, pbe)));
	put_certificate(bags, x, NULL);
	assert_int_equal(PKCS12_add_safe(&safes, bags, -1, 0, NULL), 1);
	PKCS12 *p12 = PKCS12_add_safes(safes, 0);
	assert_int_equal(PKCS12_set_mac(p12, made, made_len, NULL, 0, 1, EVP_sha256()), 1);
	int len = i2d_PKCS12(p12, NULL);
	begin(NULL);
	uint8_t *at = buf_reserve(scratch, (size_t)len);
	i2d_PKCS12(p12, &at);
	PKCS12_free(p12);
	PKCS8_PRIV_KEY_INFO_free(p8);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	X509_free(x);
	return open_wish(buf_view(scratch), asked, WORK_ENOUGH, 0);
}

static void a_nul_in_a_password_does_not_end_it(void **state)
{
	(void)state;
	OPENED whole = open_under("a\0b", 3, view_of("a\0b", 3));
	assert_int_equal(whole.rc, 0);
	OPENED beginning = open_under("a\0b", 3, view_of("a", 1));
	assert_refused(beginning, FAULT_WRONG_PASSWORD, "try the one");
	OPENED other = open_under("a", 1, view_of("a\0b", 3));
	assert_refused(other, FAULT_WRONG_PASSWORD, "try the one");
}

static void a_composed_and_a_decomposed_character_are_two_passwords(void **state)
{
	(void)state;
	static const char composed[] = "caf\xc3\xa9", decomposed[] = "cafe\xcc\x81";
	OPENED same = open_under(decomposed, -1, view_text(decomposed));
	assert_int_equal(same.rc, 0);
	OPENED other = open_under(composed, -1, view_text(decomposed));
	assert_refused(other, FAULT_WRONG_PASSWORD, "try the one");
}

static void a_password_that_is_no_utf_8_is_taken_as_bytes(void **state)
{
	(void)state;
	OPENED o = open_under("M\xfcller", -1, view_text("M\xfcller"));
	assert_int_equal(o.rc, 0);
	OPENED control = open_under("a\xc2\x85\n", -1, view_text("a\xc2\x85\n"));
	assert_int_equal(control.rc, 0);
}

/* ---- pairs ---- */

static void local_key_ids_that_are_long_or_empty_do_no_harm(void **state)
{
	(void)state;
	static char longer[2 * 64 + 1];
	memset(longer, 'i', sizeof longer - 1);
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	X509 *a = make_plain("A", key_ec(0)), *b = make_plain("B", key_ec(1));
	put_key(bags, key_ec(0), longer, 0, 0, "");
	put_key(bags, key_ec(1), longer, 0, 0, "");
	put_certificate(bags, a, longer);
	put_certificate(bags, b, "");
	assert_int_equal(PKCS12_add_friendlyname_utf8(sk_PKCS12_SAFEBAG_value(bags, 3), "b", 1), 1);
	begin(NULL);
	finish(bags, "x", scratch);
	OPENED o = open_scratch();
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.identities, 2);
	assert_int_equal(o.warnings, 0);
	X509_free(a);
	X509_free(b);
}

static void a_key_alone_is_a_warning_that_names_its_kind(void **state)
{
	(void)state;
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	put_key(bags, key_rsa(0), NULL, 0, 0, "");
	OPENED o = open_plain(bags);
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.identities, 1);
	assert_true(is_told(&o, "no_certificate", "RSA-2048"));
}

static void what_can_not_be_taken_is_a_warning_beside_what_can(void **state)
{
	(void)state;
	EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), *weak = EVP_RSA_gen(768);
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	put_key(bags, ed, NULL, 0, 0, "");
	put_key(bags, weak, NULL, 0, 0, "");
	put_key(bags, key_ec(1), NULL, 0, 0, "");
	const struct certificate_wish server = { .subject = "Server", .key = key_ec(1),
						 .extensions = { { "extendedKeyUsage", "serverAuth" } } };
	X509 *x = make_certificate(&server);
	put_certificate(bags, x, NULL);
	X509_free(x);
	OPENED o = open_plain(bags);
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.identities, 1);
	assert_int_equal(o.warnings, 3);
	assert_true(is_told(&o, "unsupported_algorithm", "1.3.101.112"));
	assert_true(is_told(&o, "weak_key", "768 bits"));
	assert_true(is_told(&o, "not_for_mail", "RFC 8550"));
	EVP_PKEY_free(ed);
	EVP_PKEY_free(weak);
}

/* ---- usages ---- */

static struct opened open_usages(const char *key_usage, const char *extended, uint8_t wanted)
{
	struct certificate_wish w = { .subject = "Anna", .key = key_ec(0) };
	size_t n = 0;
	if (key_usage)
		w.extensions[n][0] = "keyUsage", w.extensions[n++][1] = key_usage;
	if (extended)
		w.extensions[n][0] = "extendedKeyUsage", w.extensions[n][1] = extended;
	return open_with(make_certificate(&w), NULL, wanted);
}

static void extended_usages_permit_mail_if_one_of_them_does(void **state)
{
	(void)state;
	static const struct {
		const char *key_usage, *extended;
		uint8_t expected; /* 0: not for mail */
	} rows[] = {
		{ NULL, "serverAuth,anyExtendedKeyUsage", USAGE_ALL },
		{ NULL, "serverAuth,clientAuth,codeSigning,timeStamping", 0 },
		{ NULL, "1.3.6.1.4.1.311.10.3.4", 0 }, /* Windows' file encryption */
		{ "nonRepudiation", "emailProtection", USAGE_SIGNING },
		{ "digitalSignature,nonRepudiation", "anyExtendedKeyUsage", USAGE_SIGNING },
		{ "keyAgreement,decipherOnly", "emailProtection", USAGE_ENCRYPTION },
		{ "keyAgreement", "serverAuth", 0 },
		{ "cRLSign,keyCertSign", "emailProtection", 0 },
		{ "dataEncipherment", "emailProtection", 0 },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		OPENED o = open_usages(rows[i].key_usage, rows[i].extended, 0);
		if (!rows[i].expected) {
			assert_refused(o, FAULT_NOT_FOR_MAIL, "RFC 8550 4.4");
			continue;
		}
		assert_int_equal(o.rc, 0);
		assert_int_equal(o.identity[0].usages, rows[i].expected);
	}
}

static void usages_that_the_caller_names_are_taken_whatever_the_certificate_says(void **state)
{
	(void)state;
	static const uint8_t wanted[] = { USAGE_ENCRYPTION, USAGE_SIGNING, USAGE_ALL };
	for (size_t i = 0; i < sizeof wanted; i++) {
		OPENED server = open_usages("digitalSignature", "serverAuth", wanted[i]);
		assert_int_equal(server.identity[0].usages, wanted[i]);
		OPENED both = open_usages(NULL, NULL, wanted[i]);
		assert_int_equal(both.identity[0].usages, wanted[i]);
	}
}

static void a_usage_without_a_bit_is_not_for_mail(void **state)
{
	(void)state;
	X509 *x = make_plain("Anna", key_ec(0));
	ASN1_BIT_STRING *none = ASN1_BIT_STRING_new();
	assert_int_equal(X509_add1_ext_i2d(x, NID_key_usage, none, 1, 0), 1);
	assert_true(X509_sign(x, key_ec(0), EVP_sha256()) > 0);
	ASN1_BIT_STRING_free(none);
	OPENED o = open_with(x, NULL, 0);
	assert_refused(o, FAULT_NOT_FOR_MAIL, "RFC 8550 4.4");
}

/* ---- dates ---- */

/* Valid from and to these seconds from now. Tried again where the clock went on meanwhile: then it was another edge. */
static struct opened open_dates(int64_t begins, int64_t ends)
{
	for (;;) {
		int64_t now = now_seconds();
		X509 *x = make_plain("Anna", key_ec(0));
		ASN1_TIME_set(X509_getm_notBefore(x), now + begins);
		ASN1_TIME_set(X509_getm_notAfter(x), now + ends);
		assert_true(X509_sign(x, key_ec(0), EVP_sha256()) > 0);
		struct opened o = open_with(x, NULL, 0);
		if (now_seconds() == now)
			return o;
		opened_done(&o);
	}
}

static void warnings_about_dates_begin_and_end_at_their_second(void **state)
{
	(void)state;
	static const struct {
		int64_t begins, ends;
		const char *warning; /* NULL: none */
	} rows[] = {
		{ -DAY, 30 * DAY + 1, NULL }, { -DAY, 30 * DAY, "expires_soon" }, { -DAY, 1, "expires_soon" },
		{ -DAY, 0, "expires_soon" }, /* RFC 5280 4.1.2.5: to notAfter, inclusive */
		{ -DAY, -1, "expired" }, { -3650 * DAY, -3000 * DAY, "expired" },
		{ 0, 300 * DAY, NULL }, { 1, 300 * DAY, "not_yet_valid" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		OPENED o = open_dates(rows[i].begins, rows[i].ends);
		assert_int_equal(o.rc, 0);
		assert_int_equal(o.warnings, rows[i].warning ? 1 : 0);
		if (rows[i].warning)
			assert_true(view_is(o.warning[0].code, rows[i].warning));
	}
	OPENED both = open_dates(10, 20);
	assert_true(has_warning(&both, "not_yet_valid") && has_warning(&both, "expires_soon"));
	OPENED backwards = open_dates(DAY, -DAY);
	assert_true(has_warning(&backwards, "not_yet_valid") && has_warning(&backwards, "expired"));
}

/* ---- addresses ---- */

/* That an identity with these names has this address and no other. Takes names over. */
static void assert_only_address_of(GENERAL_NAMES *names, const char *address)
{
	struct msg_string one;
	X509 *x = make_plain("Anna", key_ec(0));
	assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0), 1);
	assert_true(X509_sign(x, key_ec(0), EVP_sha256()) > 0);
	GENERAL_NAMES_free(names);
	OPENED o = open_with(x, NULL, 0);
	assert_int_equal(o.rc, 0);
	assert_int_equal(read_string(o.identity[0].emails, &one), 0);
	assert_true(view_is(one.value, address));
}

static void addresses_that_are_no_text_are_left_out(void **state)
{
	(void)state;
	static const char *const texts[] = { "a\0@example.org", "a\n@example.org", "good@example.org" };
	static const size_t lengths[] = { 14, 14, 16 };
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	for (size_t i = 0; i < 3; i++) {
		GENERAL_NAME *name = GENERAL_NAME_new();
		ASN1_IA5STRING *address = ASN1_IA5STRING_new();
		ASN1_STRING_set(address, texts[i], (int)lengths[i]);
		GENERAL_NAME_set0_value(name, GEN_EMAIL, address);
		sk_GENERAL_NAME_push(names, name);
	}
	assert_only_address_of(names, "good@example.org");
}

static void an_address_outside_of_ascii_is_read_from_smtp_utf8_mailbox(void **state)
{
	(void)state;
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_TYPE *address = ASN1_TYPE_new();
	ASN1_UTF8STRING *text = ASN1_UTF8STRING_new();
	ASN1_STRING_set(text, "änne@exämple.org", -1);
	ASN1_TYPE_set(address, V_ASN1_UTF8STRING, text);
	assert_int_equal(GENERAL_NAME_set0_othername(name, OBJ_txt2obj("1.3.6.1.5.5.7.8.9", 1), address), 1);
	sk_GENERAL_NAME_push(names, name);
	assert_only_address_of(names, "änne@exämple.org");
}

static void a_certificate_that_is_there_twice_is_one_identity_with_the_id_that_either_has(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
		X509 *x = make_plain("Anna", key_ec(0));
		put_key(bags, key_ec(0), "id", 0, 0, "");
		put_certificate(bags, x, first ? "id" : NULL);
		put_certificate(bags, x, first ? NULL : "id");
		X509_free(x);
		begin(NULL);
		finish(bags, "x", scratch);
		OPENED o = open_scratch();
		assert_int_equal(o.rc, 0);
		assert_int_equal(o.identities, 1);
		assert_int_equal(o.warnings, 0);
	}
}

/* ---- chains ---- */

static void a_chain_without_its_root_is_told_with_the_name_that_is_missing(void **state)
{
	(void)state;
	const struct certificate_wish leaf = { .subject = "Anna", .issuer = "Middle", .key = key_ec(0),
					       .signer = key_ec(1) };
	const struct certificate_wish middle = { .subject = "Middle", .issuer = "Root, of \"all\"", .key = key_ec(1),
						 .signer = key_ec(2),
						 .extensions = { { "basicConstraints", "critical,CA:TRUE" } } };
	OPENED none = open_with(make_certificate(&leaf), NULL, 0);
	assert_int_equal(none.identity[0].chain.len, 0);
	assert_true(is_told(&none, "chain_incomplete", "CN=Middle"));
	assert_int_equal(none.warning[0].thumbprint.len, 20);
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	X509 *issuer = make_certificate(&middle);
	put_certificate(bags, issuer, NULL);
	X509_free(issuer);
	OPENED one = open_with(make_certificate(&leaf), bags, 0);
	assert_int_equal(one.identity[0].chain.len, 1);
	assert_int_equal(one.warnings, 1);
	assert_true(is_told(&one, "chain_incomplete", "CN=Root\\, of \\\"all\\\""));
}

static void a_long_name_that_is_missing_is_cut_between_two_characters(void **state)
{
	(void)state;
	const struct certificate_wish leaf = { .subject = "Anna", .issuer = "x", .key = key_ec(0), .signer = key_ec(1) };
	for (int odd = 0; odd < 2; odd++) {
		X509 *x = make_certificate(&leaf);
		if (odd)
			set_name(X509_get_issuer_name(x), "yy");
		for (int i = 0; i < 6; i++)
			set_name(X509_get_issuer_name(x), "ééééééééééééééééééééééééééééééé");
		OPENED o = open_with(x, NULL, 0);
		assert_int_equal(o.rc, 0);
		assert_true(is_told(&o, "chain_incomplete", "é\""));
		assert_false(is_told(&o, "chain_incomplete", "not text"));
	}
}

static void a_certificate_without_a_key_that_issues_nothing_is_no_chain(void **state)
{
	(void)state;
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	X509 *other = make_plain("Bob", key_ec(1));
	const struct certificate_wish ca = { .subject = "CA", .key = key_ec(2),
					     .extensions = { { "basicConstraints", "critical,CA:TRUE" } } };
	X509 *issuer = make_certificate(&ca);
	put_certificate(bags, other, NULL);
	put_certificate(bags, issuer, NULL);
	X509_free(other);
	X509_free(issuer);
	OPENED o = open_plain(bags);
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.chain, 1);
	assert_int_equal(o.warnings, 1);
	assert_true(is_told(&o, "no_private_key", "private key of a certificate"));
}

/* ---- the key identifier ---- */

/* Of a certificate with these bytes as the value of its subject key identifier, once or twice. */
static struct opened open_key_identifier(struct view value, int times)
{
	X509 *x = make_plain("Anna", key_ec(0));
	ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
	assert_int_equal(ASN1_OCTET_STRING_set(octets, value.p, (int)value.len), 1);
	for (int i = 0; i < times; i++) {
		X509_EXTENSION *e = X509_EXTENSION_create_by_NID(NULL, NID_subject_key_identifier, 0, octets);
		assert_int_equal(X509_add_ext(x, e, -1), 1);
		X509_EXTENSION_free(e);
	}
	assert_true(X509_sign(x, key_ec(0), EVP_sha256()) > 0);
	ASN1_OCTET_STRING_free(octets);
	return open_with(x, NULL, 0);
}

static void a_key_identifier_is_told_and_one_that_is_none_refuses_nothing(void **state)
{
	(void)state;
	uint8_t value[2 + KEY_IDENTIFIER_MAX_BYTES + 1] = { 4 };
	for (uint8_t len = KEY_IDENTIFIER_MAX_BYTES - 1; len <= KEY_IDENTIFIER_MAX_BYTES + 1; len++) {
		value[1] = len;
		memset(value + 2, 7, len);
		OPENED o = open_key_identifier(view_of(value, 2u + len), 1);
		assert_int_equal(o.rc, 0);
		bool fits = len <= KEY_IDENTIFIER_MAX_BYTES;
		assert_true(view_equal(o.identity[0].key_identifier, view_of(value + 2, fits ? len : 0)));
	}
	value[1] = 3;
	OPENED twice = open_key_identifier(view_of(value, 5), 2);
	OPENED cut = open_key_identifier(view_of(value, 4), 1);
	OPENED none = open_plain(NULL);
	assert_int_equal(twice.rc | cut.rc | none.rc, 0);
	assert_int_equal(twice.identity[0].key_identifier.len, 0);
	assert_int_equal(cut.identity[0].key_identifier.len, 0);
	assert_int_equal(none.identity[0].key_identifier.len, 0);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_no_identity_is_passed_over_with_a_warning_that_names_it),
		TEST(bags_and_certificates_of_unknown_types_are_passed_over_by_their_numbers),
		TEST(key_and_certificate_find_each_other_across_safes_and_nested_safe_contents),
		TEST(a_nul_in_a_password_does_not_end_it),
		TEST(a_composed_and_a_decomposed_character_are_two_passwords),
		TEST(a_password_that_is_no_utf_8_is_taken_as_bytes),
		TEST(local_key_ids_that_are_long_or_empty_do_no_harm),
		TEST(a_key_alone_is_a_warning_that_names_its_kind),
		TEST(what_can_not_be_taken_is_a_warning_beside_what_can),
		TEST(extended_usages_permit_mail_if_one_of_them_does),
		TEST(usages_that_the_caller_names_are_taken_whatever_the_certificate_says),
		TEST(a_usage_without_a_bit_is_not_for_mail),
		TEST(warnings_about_dates_begin_and_end_at_their_second),
		TEST(addresses_that_are_no_text_are_left_out),
		TEST(an_address_outside_of_ascii_is_read_from_smtp_utf8_mailbox),
		TEST(a_key_identifier_is_told_and_one_that_is_none_refuses_nothing),
		TEST(a_long_name_that_is_missing_is_cut_between_two_characters),
		TEST(a_certificate_that_is_there_twice_is_one_identity_with_the_id_that_either_has),
		TEST(a_chain_without_its_root_is_told_with_the_name_that_is_missing),
		TEST(a_certificate_without_a_key_that_issues_nothing_is_no_chain),
	};
	return cmocka_run_group_tests_name("opener_facts", tests, NULL, NULL);
}
