/* What a PFX that is well, or nearly well, gives: makers, passwords, pairing, facts, and the files that are made. */
#include "opener_maker.h"

#include "encode.h"

static struct buf *scratch; /* emptied before each test */

static int empty_scratch(void **state)
{
	(void)state;
	if (!scratch)
		scratch = buf_new(FILE_MAX_BYTES);
	buf_reset(scratch);
	return scratch ? 0 : -1;
}

/* ---- makers and algorithms ---- */

static void check_made_file(struct view file, const char *password, EVP_PKEY *key, X509 *x, int cipher_nid)
{
	const uint8_t *p = file.p;
	PKCS12 *p12 = d2i_PKCS12(NULL, &p, (long)file.len);
	EVP_PKEY *got_key = NULL;
	X509 *got = NULL;
	assert_non_null(p12);
	assert_ptr_equal(p, file.p + file.len);
	assert_int_equal(PKCS12_parse(p12, password, &got_key, &got, NULL), 1);
	assert_int_equal(EVP_PKEY_eq(got_key, key), 1);
	assert_int_equal(X509_cmp(got, x), 0);
	STACK_OF(PKCS7) *safes = PKCS12_unpack_authsafes(p12);
	PKCS7 *encrypted = sk_PKCS7_value(safes, 0);
	assert_true(PKCS7_type_is_encrypted(encrypted));
	const ASN1_OBJECT *algorithm;
	X509_ALGOR_get0(&algorithm, NULL, NULL, encrypted->d.encrypted->enc_data->algorithm);
	assert_int_equal(OBJ_obj2nid(algorithm), cipher_nid);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	EVP_PKEY_free(got_key);
	X509_free(got);
	PKCS12_free(p12);
}

static void a_file_of_openssl_gives_its_key_and_two_files_that_openssl_opens(void **state)
{
	(void)state;
	EVP_PKEY *keys[] = { key_rsa(0), key_ec(0) };
	for (size_t i = 0; i < 2; i++) {
		X509 *x = make_plain("Anna", keys[i]);
		X509_up_ref(x);
		buf_reset(scratch);
		make_file(keys[i], x, "secret", NID_aes_256_cbc, NID_aes_256_cbc, 2048, scratch);
		OPENED o = open_it(scratch, "secret");
		assert_int_equal(o.rc, 0);
		assert_int_equal(o.identities, 1);
		assert_made_key(&o, 0, keys[i]);
		check_made_file(o.identity[0].modern_secret, "0000000000000000000000000000000000000000000", keys[i], x,
				NID_pbes2);
		check_made_file(o.identity[0].legacy_secret, "0000000000000000000000000000000000000000000", keys[i], x,
				NID_pbe_WithSHA1And3_Key_TripleDES_CBC);
		X509_free(x);
	}
}

static void every_cipher_of_pkcs12_opens(void **state)
{
	(void)state;
	static const int nids[] = {
		NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_pbe_WithSHA1And2_Key_TripleDES_CBC, NID_aes_128_cbc,
			NID_aes_192_cbc,
		NID_aes_256_cbc, NID_des_ede3_cbc,
	};
	for (size_t i = 0; i < sizeof nids / sizeof *nids; i++) {
		buf_reset(scratch);
		make_file(key_ec(0), make_plain("Anna", key_ec(0)), "x", nids[i], nids[i], 3, scratch);
		OPENED o = open_it(scratch, "x");
		assert_int_equal(o.rc, 0);
	}
}

static void the_files_of_other_makers_open(void **state)
{
	(void)state;
	static const struct {
		const char *path, *password;
		size_t identities, chain;
	} files[] = {
		{ "tests/data/pfx/nss-default.p12", "1234", 1, 2 },
		{ "tests/data/pfx/nss-rc2-40.p12", "1234", 1, 2 },
		{ "tests/data/pfx/nss-unicode.p12", "pässwörd€", 1, 2 },
		{ "tests/data/pfx/gnutls-aes-256.p12", "1234", 1, 1 },
		{ "tests/data/pfx/gnutls-arcfour.p12", "1234", 1, 1 },
		{ "tests/data/pfx/gnutls-null-password.p12", "", 1, 0 },
		{ "tests/data/pfx/gnutls-empty-password.p12", "", 1, 0 },
		{ "tests/data/pfx/java-two-and-a-secret.p12", "123456", 2, 2 },
		{ "tests/data/pfx/java-legacy.p12", "123456", 1, 2 },
		{ "tests/data/pfx/openssl-legacy.p12", "1234", 1, 2 },
	};
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		buf_reset(scratch);
		read_file(files[i].path, scratch);
		OPENED o = open_it(scratch, files[i].password);
		if (o.rc < 0)
			print_error("%s: %s\n", files[i].path, fault_detail());
		assert_int_equal(o.rc, 0);
		assert_int_equal(o.identities, files[i].identities);
		assert_int_equal(o.chain, files[i].chain);
		OPENED wrong = open_it(scratch, "something else");
		assert_refused(wrong, FAULT_WRONG_PASSWORD, "RFC 7292 5.1");
	}
}

static void a_file_with_a_key_alone_has_no_certificate(void **state)
{
	(void)state;
	read_file("tests/data/pfx/gnutls-key-only.p12", scratch);
	OPENED o = open_it(scratch, "1234");
	assert_refused(o, FAULT_NO_CERTIFICATE, "no certificate");
}

static void the_vectors_of_rfc_9579_open_or_are_refused(void **state)
{
	(void)state;
	/* A.4 and A.5 are wrong in the MAC alone: the password opens what is encrypted. */
	static const enum fault expected[] = { FAULT_OK, FAULT_OK, FAULT_OK, FAULT_MALFORMED_PKCS12,
					       FAULT_MALFORMED_PKCS12, FAULT_MALFORMED_PKCS12 };
	for (size_t i = 0; i < 6; i++) {
		char path[64];
		snprintf(path, sizeof path, "tests/data/rfc9579/a%zu.b64", i + 1);
		BUF text = buf_new(FILE_MAX_BYTES);
		read_file(path, text);
		buf_reset(scratch);
		assert_int_equal(base64_decode(buf_view(text), scratch), 0);
		OPENED o = open_it(scratch, "1234");
		assert_int_equal(o.rc, -(int)expected[i]);
		OPENED wrong = open_it(scratch, "1235");
		assert_int_equal(wrong.rc, i == 5 ? -FAULT_MALFORMED_PKCS12 : -FAULT_WRONG_PASSWORD);
	}
}

/* A file whose key is under scrypt. Large: the cost is raised to 266 MB after the encryption. */
static void make_scrypt_file(bool large)
{
	X509_ALGOR *pbe = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, 1024, 8, 1);
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key_ec(0));
	X509_SIG *sig = PKCS8_set0_pbe("x", 1, p8, pbe);
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	X509 *x = make_plain("Anna", key_ec(0));
	assert_non_null(sig);
	sk_PKCS12_SAFEBAG_push(bags, PKCS12_SAFEBAG_create0_pkcs8(sig));
	put_certificate(bags, x, NULL);
	if (large) {
		X509_ALGOR *algorithm;
		X509_SIG_getm(sig, &algorithm, NULL);
		const void *value;
		int type;
		X509_ALGOR_get0(NULL, &type, &value, algorithm);
		const ASN1_STRING *parameters = value;
		uint8_t *at = memmem(ASN1_STRING_get0_data(parameters), (size_t)ASN1_STRING_length(parameters),
				     "\x02\x02\x04\x00\x02\x01\x08", 7);
		assert_non_null(at);
		at[2] = 0x40; /* N = 16384 */
		at[6] = 0x7f; /* r = 127 */
	}
	buf_reset(scratch);
	finish(bags, "x", scratch);
	X509_free(x);
	PKCS8_PRIV_KEY_INFO_free(p8);
}

static void a_key_under_scrypt_opens_within_bounds(void **state)
{
	(void)state;
	make_scrypt_file(false);
	OPENED o = open_it(scratch, "x");
	assert_int_equal(o.rc, 0);
	OPENED bounded = open_wish(buf_view(scratch), view_text("x"), 16384, 0);
	assert_refused(bounded, FAULT_TOO_EXPENSIVE, "16432 rounds");
	make_scrypt_file(true);
	OPENED large = open_it(scratch, "x");
	assert_refused(large, FAULT_TOO_EXPENSIVE, "memory");
}

/* ---- passwords ---- */

static void a_wrong_password_is_not_taken_for_anything_else(void **state)
{
	(void)state;
	make_file(key_ec(0), make_plain("Anna", key_ec(0)), "right", NID_aes_256_cbc, NID_aes_256_cbc, 3, scratch);
	static const char *const wrong[] = { "wrong", "", "Right", "right ", "päss", "𝄞" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		OPENED o = open_it(scratch, wrong[i]);
		assert_refused(o, FAULT_WRONG_PASSWORD, "");
	}
}

static void a_password_outside_the_basic_plane_opens_in_every_cipher(void **state)
{
	(void)state;
	static const int nids[] = { NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_aes_256_cbc };
	for (size_t i = 0; i < 2; i++) {
		buf_reset(scratch);
		make_file(key_ec(0), make_plain("Anna", key_ec(0)), "𝄞ß€", nids[i], nids[i], 3, scratch);
		OPENED o = open_it(scratch, "𝄞ß€");
		assert_int_equal(o.rc, 0);
	}
}

static void a_password_that_a_maker_took_as_latin_1_opens(void **state)
{
	(void)state;
	static const int nids[] = { NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_aes_256_cbc };
	for (size_t i = 0; i < 2; i++) {
		buf_reset(scratch);
		make_file(key_ec(0), make_plain("Anna", key_ec(0)), "M\xfcller", nids[i], nids[i], 3, scratch);
		OPENED o = open_it(scratch, "Müller");
		assert_int_equal(o.rc, 0);
	}
}

static void an_empty_password_opens_in_both_encodings(void **state)
{
	(void)state;
	static const char *const passwords[] = { NULL, "" };
	for (size_t i = 0; i < 2; i++) {
		buf_reset(scratch);
		make_file(key_ec(0), make_plain("Anna", key_ec(0)), passwords[i],
			  NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
			  NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 3, scratch);
		OPENED o = open_it(scratch, "");
		assert_int_equal(o.rc, 0);
	}
}

/* ---- pairing ---- */

static void many_identities_are_paired_by_their_public_keys_whatever_local_key_id_says(void **state)
{
	(void)state;
	static const char *const lies[][4] = { { "1", "2", "1", "2" }, { "1", "2", "2", "1" }, { "1", "1", "1", "1" },
					       { NULL, NULL, NULL, NULL }, { "", "1", "1", "" } };
	X509 *a = make_plain("A", key_ec(0)), *b = make_plain("B", key_ec(1));
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
		STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
		put_key(bags, key_ec(0), lies[i][0], 0, 0, "");
		put_key(bags, key_ec(1), lies[i][1], NID_aes_256_cbc, 2, "x");
		put_certificate(bags, a, lies[i][2]);
		put_certificate(bags, b, lies[i][3]);
		buf_reset(scratch);
		finish(bags, "x", scratch);
		OPENED o = open_it(scratch, "x");
		assert_int_equal(o.rc, 0);
		assert_int_equal(o.identities, 2);
		assert_int_equal(o.warnings, 0);
		assert_true(view_is(o.identity[0].subject, "CN=A"));
		assert_made_key(&o, 0, key_ec(0));
		assert_made_key(&o, 1, key_ec(1));
	}
	X509_free(a);
	X509_free(b);
}

static void a_key_that_is_renewed_gives_an_identity_for_each_certificate(void **state)
{
	(void)state;
	X509 *a = make_plain("A", key_ec(0)), *b = make_plain("A", key_ec(0));
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	put_key(bags, key_ec(0), "1", 0, 0, "");
	put_key(bags, key_ec(0), "2", 0, 0, "");
	put_certificate(bags, a, "1");
	put_certificate(bags, b, "2");
	put_certificate(bags, b, "2");
	finish(bags, "x", scratch);
	OPENED o = open_it(scratch, "x");
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.identities, 2);
	X509_free(a);
	X509_free(b);
}

static void what_is_not_whole_is_a_warning_beside_what_is(void **state)
{
	(void)state;
	X509 *a = make_plain("A", key_ec(0)), *b = make_plain("B", key_ec(1)), *c = make_plain("C", key_ec(2));
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	put_key(bags, key_ec(0), "1", 0, 0, "");
	put_certificate(bags, a, "1");
	put_key(bags, key_ec(3), "2", 0, 0, "");
	put_certificate(bags, b, "2");
	put_certificate(bags, c, NULL);
	put_key(bags, key_ec(4), "4", 0, 0, "");
	finish(bags, "x", scratch);
	OPENED o = open_it(scratch, "x");
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.identities, 1);
	assert_int_equal(o.warnings, 3);
	assert_true(has_warning(&o, "key_mismatch"));
	assert_true(has_warning(&o, "no_certificate"));
	assert_true(has_warning(&o, "no_private_key"));
	X509_free(a);
	X509_free(b);
	X509_free(c);
}

static void a_file_without_anything_whole_is_refused_for_its_first_reason(void **state)
{
	(void)state;
	X509 *a = make_plain("A", key_ec(0));
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	put_key(bags, key_ec(1), NULL, 0, 0, "");
	put_certificate(bags, a, NULL);
	finish(bags, "x", scratch);
	OPENED mismatch = open_it(scratch, "x");
	assert_refused(mismatch, FAULT_KEY_MISMATCH, "holds another");
	bags = bags_begin();
	put_certificate(bags, a, NULL);
	buf_reset(scratch);
	finish(bags, "x", scratch);
	OPENED alone = open_it(scratch, "x");
	assert_refused(alone, FAULT_NO_PRIVATE_KEY, "");
	buf_reset(scratch);
	finish(bags_begin(), "x", scratch);
	OPENED empty = open_it(scratch, "x");
	assert_refused(empty, FAULT_NO_PRIVATE_KEY, "certificates: 0");
	X509_free(a);
}

/* ---- chains ---- */

static X509 *make_link(const char *subject, const char *issuer, EVP_PKEY *key, EVP_PKEY *signer)
{
	const struct certificate_wish w = { .subject = subject, .issuer = issuer, .key = key, .signer = signer,
					    .extensions = { { "basicConstraints", "critical,CA:TRUE" } } };
	return make_certificate(&w);
}

static void a_chain_is_in_order_whatever_the_order_in_the_file(void **state)
{
	(void)state;
	const struct certificate_wish w = { .subject = "Leaf", .issuer = "Low", .key = key_ec(0), .signer = key_ec(1) };
	X509 *all[] = { make_link("Root", NULL, key_ec(3), NULL), make_link("Middle", "Root", key_ec(2), key_ec(3)),
			make_link("Low", "Middle", key_ec(4), key_ec(2)), /* of that name, but not the signer */
			make_certificate(&w), make_link("Low", "Middle", key_ec(1), key_ec(2)) };
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	for (size_t i = 0; i < 5; i++)
		put_certificate(bags, all[i], NULL);
	put_key(bags, key_ec(0), NULL, 0, 0, "");
	finish(bags, "x", scratch);
	OPENED o = open_it(scratch, "x");
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.identities, 1);
	assert_int_equal(o.chain, 4);
	assert_int_equal(o.warnings, 0);
	static const size_t expected[] = { 4, 1, 0 };
	assert_int_equal(o.identity[0].chain.len, 3);
	for (size_t i = 0; i < 3; i++) {
		uint8_t *der = NULL;
		int len = i2d_X509(all[expected[i]], &der);
		assert_true(view_equal(o.certificate[o.identity[0].chain.p[i]].certificate, view_of(der, (size_t)len)));
		OPENSSL_free(der);
	}
	for (size_t i = 0; i < 5; i++)
		X509_free(all[i]);
}

static void issuers_that_issue_each_other_end_the_chain(void **state)
{
	(void)state;
	const struct certificate_wish w = { .subject = "Leaf", .issuer = "A", .key = key_ec(0), .signer = key_ec(1) };
	X509 *all[] = { make_certificate(&w), make_link("A", "B", key_ec(1), key_ec(2)),
		       make_link("B", "A", key_ec(2), key_ec(1)) };
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	put_key(bags, key_ec(0), NULL, 0, 0, "");
	for (size_t i = 0; i < 3; i++)
		put_certificate(bags, all[i], NULL);
	finish(bags, "x", scratch);
	OPENED o = open_it(scratch, "x");
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.identity[0].chain.len, 2);
	assert_true(has_warning(&o, "chain_incomplete"));
	for (size_t i = 0; i < 3; i++)
		X509_free(all[i]);
}

/* ---- facts ---- */

static struct opened open_one(const struct certificate_wish *w, uint8_t usages)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	X509 *x = make_certificate(w);
	put_key(bags, w->key, NULL, 0, 0, "");
	put_certificate(bags, x, NULL);
	X509_free(x);
	buf_reset(scratch);
	finish(bags, "x", scratch);
	return open_wish(buf_view(scratch), view_text("x"), WORK_ENOUGH, usages);
}

static void usages_are_those_of_rfc_8550(void **state)
{
	(void)state;
	static const struct {
		bool rsa;
		const char *key_usage, *extended;
		int expected; /* 0: not for mail */
	} rows[] = {
		{ true, NULL, NULL, USAGE_ALL },
		{ true, "digitalSignature", NULL, USAGE_SIGNING },
		{ true, "nonRepudiation", "emailProtection", USAGE_SIGNING },
		{ true, "keyEncipherment", NULL, USAGE_ENCRYPTION },
		{ true, "digitalSignature,keyEncipherment", "clientAuth,emailProtection", USAGE_ALL },
		{ true, "dataEncipherment", NULL, 0 },
		{ true, "keyAgreement", NULL, 0 },
		{ true, NULL, "clientAuth", 0 },
		{ true, NULL, "anyExtendedKeyUsage", USAGE_ALL },
		{ false, "keyAgreement", "emailProtection", USAGE_ENCRYPTION },
		{ false, "keyEncipherment", NULL, 0 },
		{ false, "digitalSignature,keyAgreement", NULL, USAGE_ALL },
		{ false, "keyCertSign,cRLSign", NULL, 0 },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct certificate_wish w = { .subject = "Anna", .key = rows[i].rsa ? key_rsa(0) : key_ec(0) };
		size_t n = 0;
		if (rows[i].key_usage)
			w.extensions[n][0] = "keyUsage", w.extensions[n++][1] = rows[i].key_usage;
		if (rows[i].extended)
			w.extensions[n][0] = "extendedKeyUsage", w.extensions[n][1] = rows[i].extended;
		OPENED o = open_one(&w, 0);
		if (rows[i].expected)
			assert_int_equal(o.identity[0].usages, rows[i].expected);
		else
			assert_refused(o, FAULT_NOT_FOR_MAIL, "RFC 8550");
		OPENED told = open_one(&w, USAGE_ENCRYPTION);
		assert_int_equal(told.rc, 0);
		assert_int_equal(told.identity[0].usages, USAGE_ENCRYPTION);
	}
}

static void dates_make_warnings_and_never_an_error(void **state)
{
	(void)state;
	static const struct {
		long begins, ends;
		const char *warning;
	} rows[] = { { -20 * DAY, -DAY, "expired" }, { DAY, 90 * DAY, "not_yet_valid" },
		    { -DAY, 20 * DAY, "expires_soon" } };
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const struct certificate_wish w = { .subject = "Anna", .key = key_ec(0), .begins = rows[i].begins,
						    .ends = rows[i].ends };
		OPENED o = open_one(&w, 0);
		assert_int_equal(o.rc, 0);
		assert_int_equal(o.warnings, 1);
		assert_true(view_is(o.warning[0].code, rows[i].warning));
		assert_int_equal(o.warning[0].thumbprint.len, 20);
		assert_int_equal(o.identity[0].not_after - o.identity[0].not_before, rows[i].ends - rows[i].begins);
	}
}

static void addresses_come_from_all_three_places_and_once_each(void **state)
{
	(void)state;
	const struct certificate_wish w = {
		.subject = "Anna", .email = "third@example.org", .key = key_ec(0),
		.extensions = { { "subjectAltName", "email:Anna@example.org,email:anna@EXAMPLE.org,URI:x:y,"
						    "otherName:1.3.6.1.5.5.7.8.9;UTF8:second@example.org,"
						    "email:THIRD@example.org,otherName:1.2.3;UTF8:no@example.org" } } };
	static const char *const expected[] = { "Anna@example.org", "second@example.org", "THIRD@example.org" };
	OPENED o = open_one(&w, 0);
	assert_int_equal(o.rc, 0);
	for (size_t i = 0; i < 3; i++) {
		struct msg_string one;
		assert_int_equal(get_string(&o.identity[0].emails, &one), 0);
		assert_true(view_is(one.value, expected[i]));
	}
	assert_int_equal(o.identity[0].emails.len, 0);
}

static void names_are_clean_text_whatever_is_in_them(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		int len, type;
		const char *expected;
	} rows[] = {
		{ "a\0b", 3, V_ASN1_UTF8STRING, "CN=a\\00b" },
		{ "a\nb,c", 5, V_ASN1_UTF8STRING, "CN=a\\0Ab\\,c" },
		{ "\xc3\xa4", 2, V_ASN1_UTF8STRING, "CN=ä" },
		{ "\xc2\x85", 2, V_ASN1_UTF8STRING, "CN=?" },
		{ "\xe4", 1, V_ASN1_T61STRING, "CN=ä" },
		{ "\x20\xac", 2, V_ASN1_BMPSTRING, "CN=€" },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		X509 *x = X509_new();
		X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, rows[i].type,
					   (const unsigned char *)rows[i].bytes, rows[i].len, -1, 0);
		set_name(X509_get_issuer_name(x), "I");
		X509_gmtime_adj(X509_getm_notBefore(x), -DAY);
		X509_gmtime_adj(X509_getm_notAfter(x), 300 * DAY);
		X509_set_pubkey(x, key_ec(0));
		assert_true(X509_sign(x, key_ec(0), EVP_sha256()) > 0);
		STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
		put_key(bags, key_ec(0), NULL, 0, 0, "");
		put_certificate(bags, x, NULL);
		X509_free(x);
		buf_reset(scratch);
		finish(bags, "x", scratch);
		OPENED o = open_it(scratch, "x");
		assert_int_equal(o.rc, 0);
		assert_true(view_is(o.identity[0].subject, rows[i].expected));
		assert_true(view_is(o.identity[0].serial, "00"));
	}
}

static void weak_rsa_keys_are_told_and_weaker_ones_refused(void **state)
{
	(void)state;
	EVP_PKEY *key = EVP_RSA_gen(1024);
	const struct certificate_wish w = { .subject = "Anna", .key = key };
	OPENED o = open_one(&w, 0);
	assert_int_equal(o.rc, 0);
	assert_true(view_is(o.identity[0].key_algorithm, "RSA-1024"));
	assert_true(has_warning(&o, "weak_key"));
	EVP_PKEY_free(key);
	key = EVP_RSA_gen(768);
	const struct certificate_wish weaker = { .subject = "Anna", .key = key };
	OPENED refused = open_one(&weaker, 0);
	assert_refused(refused, FAULT_WEAK_KEY, "768 bits");
	EVP_PKEY_free(key);
}

static void a_key_of_another_algorithm_is_named_by_its_number(void **state)
{
	(void)state;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *x = X509_new();
	set_name(X509_get_subject_name(x), "Ed");
	set_name(X509_get_issuer_name(x), "Ed");
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), DAY);
	X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, NULL) > 0);
	make_file(key, x, "x", NID_aes_256_cbc, NID_aes_256_cbc, 2, scratch);
	OPENED o = open_it(scratch, "x");
	assert_refused(o, FAULT_UNSUPPORTED_ALGORITHM, "1.3.101.112");
	EVP_PKEY_free(key);
}

#define TEST(name) cmocka_unit_test_setup(name, empty_scratch)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_of_openssl_gives_its_key_and_two_files_that_openssl_opens),
		TEST(every_cipher_of_pkcs12_opens),
		TEST(the_files_of_other_makers_open),
		TEST(a_file_with_a_key_alone_has_no_certificate),
		TEST(the_vectors_of_rfc_9579_open_or_are_refused),
		TEST(a_key_under_scrypt_opens_within_bounds),
		TEST(a_wrong_password_is_not_taken_for_anything_else),
		TEST(a_password_outside_the_basic_plane_opens_in_every_cipher),
		TEST(a_password_that_a_maker_took_as_latin_1_opens),
		TEST(an_empty_password_opens_in_both_encodings),
		TEST(many_identities_are_paired_by_their_public_keys_whatever_local_key_id_says),
		TEST(a_key_that_is_renewed_gives_an_identity_for_each_certificate),
		TEST(what_is_not_whole_is_a_warning_beside_what_is),
		TEST(a_file_without_anything_whole_is_refused_for_its_first_reason),
		TEST(a_chain_is_in_order_whatever_the_order_in_the_file),
		TEST(issuers_that_issue_each_other_end_the_chain),
		TEST(usages_are_those_of_rfc_8550),
		TEST(dates_make_warnings_and_never_an_error),
		TEST(addresses_come_from_all_three_places_and_once_each),
		TEST(names_are_clean_text_whatever_is_in_them),
		TEST(weak_rsa_keys_are_told_and_weaker_ones_refused),
		TEST(a_key_of_another_algorithm_is_named_by_its_number),
	};
	return cmocka_run_group_tests_name("opener_pfx", tests, NULL, NULL);
}
