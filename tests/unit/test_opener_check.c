/* CHECK_IDENTITY: whether both files that are kept of an identity hold the certificate of its record, and its key. */
#include "opener_maker.h"

#include "opener/check_identity.h"
#include "opener/make_pkcs12.h"
#include "protocol.h"

#include <openssl/sha.h>

enum { PLACES = 2 }; /* enum pkcs12_form */

/* What is kept: in each place a password, then a file. */
static struct buf *kept[PLACES];

static const char password[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ";

static int make_kept(void **state)
{
	(void)state;
	for (int place = 0; place < PLACES; place++)
		kept[place] = buf_new(FILE_MAX_BYTES);
	return kept[0] && kept[1] && strlen(password) == PKCS12_PASSWORD_CHARS ? 0 : -1;
}

static int free_kept(void **state)
{
	(void)state;
	for (int place = 0; place < PLACES; place++)
		buf_free(kept[place]);
	return 0;
}

static struct buf *der_of(X509 *x)
{
	unsigned char *der = NULL;
	int len = i2d_X509(x, &der);
	return taken(der, len);
}

/* ---- what is kept ---- */

static void keep(int place, struct view file)
{
	buf_reset(kept[place]);
	buf_put_text(kept[place], password);
	buf_put(kept[place], file.p, file.len);
}

/* A file as the opener makes it, of any key and any certificate. */
static void keep_made(int place, EVP_PKEY *key, X509 *x)
{
	BUF pkcs8 = pkcs8_of(key);
	BUF der = der_of(x);
	BUF file = buf_new(PKCS12_MAX_BYTES);
	uint8_t sha1[SHA_DIGEST_LENGTH];
	SHA1(buf_data(der), buf_len(der), sha1);
	assert_int_equal(make_pkcs12(test_ciphers(), (enum pkcs12_form)place, buf_view(pkcs8), buf_view(der),
				     view_of(sha1, sizeof sha1), view_text(password), file), 0);
	keep(place, buf_view(file));
}

static void keep_both(EVP_PKEY *key, X509 *x)
{
	for (int place = 0; place < PLACES; place++)
		keep_made(place, key, x);
}

/* Takes bags over. */
static void keep_bags(int place, STACK_OF(PKCS12_SAFEBAG) *bags, int mac_iterations)
{
	BUF file = buf_new(FILE_MAX_BYTES);
	STACK_OF(PKCS7) *safes = NULL;
	assert_int_equal(PKCS12_add_safe(&safes, bags, -1, 0, NULL), 1);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	finish_safes(safes, password, 8, mac_iterations, file);
	keep(place, buf_view(file));
}

/* ---- asking ---- */

static int check_views(struct view modern, struct view legacy, X509 *x)
{
	uint8_t sha256[SHA256_DIGEST_LENGTH];
	BUF der = der_of(x);
	SHA256(buf_data(der), buf_len(der), sha256);
	const struct msg_check_identity m = { .sha256 = view_of(sha256, sizeof sha256), .modern_secret = modern,
					      .legacy_secret = legacy };
	return check_identity(test_ciphers(), &m);
}

static int check(X509 *x)
{
	return check_views(buf_view(kept[PKCS12_MODERN]), buf_view(kept[PKCS12_LEGACY]), x);
}

/* With so many bytes of what is kept in a place. */
static int check_cut(int place, size_t len, X509 *x)
{
	struct view views[PLACES] = { buf_view(kept[0]), buf_view(kept[1]) };
	views[place].len = len;
	return check_views(views[PKCS12_MODERN], views[PKCS12_LEGACY], x);
}

#define assert_check(x, fault, words) \
	do { \
		assert_string_equal(fault_code(check(x)), fault_code(-(int)(fault))); \
		assert_non_null(strstr(fault_detail(), (words))); \
	} while (0)

/* ---- */

static void both_files_of_an_import_fit_its_certificate(void **state)
{
	(void)state;
	EVP_PKEY *const keys[] = { key_rsa(0), key_ec(0) };
	for (size_t i = 0; i < 2; i++) {
		X509 *x = make_plain("Ann", keys[i]);
		BUF pfx = buf_new(FILE_MAX_BYTES);
		BUF modern = buf_new(FILE_MAX_BYTES);
		BUF legacy = buf_new(FILE_MAX_BYTES);
		X509_up_ref(x);
		make_file(keys[i], x, "x", NID_aes_256_cbc, NID_aes_256_cbc, 2, pfx);
		OPENED o = open_it(pfx, "x");
		assert_int_equal(o.identities, 1);
		buf_put(modern, test_passwords().p, PKCS12_PASSWORD_CHARS);
		buf_put(modern, o.identity[0].modern_secret.p, o.identity[0].modern_secret.len);
		buf_put(legacy, test_passwords().p, PKCS12_PASSWORD_CHARS);
		buf_put(legacy, o.identity[0].legacy_secret.p, o.identity[0].legacy_secret.len);
		assert_int_equal(check_views(buf_view(modern), buf_view(legacy), x), 0);
		X509_free(x);
	}
}

static void a_key_fits_its_own_certificate_and_no_other(void **state)
{
	(void)state;
	EVP_PKEY *const keys[] = { key_rsa(0), key_rsa(1), key_ec(0), key_ec(1) };
	for (size_t i = 0; i < 4; i++) {
		X509 *x = make_plain("Ann", keys[i]);
		for (size_t j = 0; j < 4; j++)
			for (int place = 0; place < PLACES; place++) {
				keep_both(keys[i], x);
				keep_made(place, keys[j], x);
				assert_int_equal(check(x), i == j ? 0 : -FAULT_KEY_MISMATCH);
			}
		X509_free(x);
	}
}

static void a_key_that_is_none_of_the_certificates_does_not_fit(void **state)
{
	(void)state;
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	const struct certificate_wish w = { .subject = "Ann", .key = key, .signer = key_ec(1) };
	X509 *x = make_certificate(&w); /* of a key that no import takes */
	keep_both(key_ec(0), x);
	assert_check(x, FAULT_KEY_MISMATCH, "not that of the certificate");
	X509_free(x);
	EVP_PKEY_free(key);
}

static void the_certificate_is_that_of_the_record(void **state)
{
	(void)state;
	X509 *ann = make_plain("Ann", key_ec(0));
	X509 *const others[] = { make_plain("Ann", key_ec(0)) /* a renewed one */, make_plain("Ben", key_ec(1)) };
	EVP_PKEY *const keys[] = { key_ec(0), key_ec(1) };
	for (size_t i = 0; i < 2; i++) {
		for (int place = 0; place < PLACES; place++) {
			keep_both(key_ec(0), ann);
			assert_int_equal(check(ann), 0);
			keep_made(place, keys[i], others[i]);
			assert_check(ann, FAULT_NO_CERTIFICATE, "another certificate");
		}
		X509_free(others[i]);
	}
	X509_free(ann);
}

static void a_sha256_that_is_none_is_of_no_certificate(void **state)
{
	(void)state;
	X509 *x = make_plain("Ann", key_ec(0));
	uint8_t sha256[SHA256_DIGEST_LENGTH];
	BUF der = der_of(x);
	SHA256(buf_data(der), buf_len(der), sha256);
	keep_both(key_ec(0), x);
	for (size_t len = 0; len <= sizeof sha256; len++) {
		const struct msg_check_identity m = { .sha256 = view_of(sha256, len),
						      .modern_secret = buf_view(kept[PKCS12_MODERN]),
						      .legacy_secret = buf_view(kept[PKCS12_LEGACY]) };
		int rc = check_identity(test_ciphers(), &m);
		assert_int_equal(rc, len == sizeof sha256 ? 0 : -FAULT_NO_CERTIFICATE);
	}
	X509_free(x);
}

static void a_file_opens_with_its_own_password_alone(void **state)
{
	(void)state;
	X509 *x = make_plain("Ann", key_ec(0));
	for (int place = 0; place < PLACES; place++)
		for (size_t i = 0; i < PKCS12_PASSWORD_CHARS; i++) {
			BUF other = buf_new(FILE_MAX_BYTES);
			keep_both(key_ec(0), x);
			buf_put(other, buf_data(kept[place]), buf_len(kept[place]));
			uint8_t *bytes = (uint8_t *)(uintptr_t)buf_data(other);
			bytes[i] = '_';
			struct view views[PLACES] = { buf_view(kept[0]), buf_view(kept[1]) };
			views[place] = buf_view(other);
			assert_int_equal(check_views(views[PKCS12_MODERN], views[PKCS12_LEGACY], x),
					 -FAULT_WRONG_PASSWORD);
		}
	X509_free(x);
}

static void what_is_cut_short_or_longer_is_no_identity(void **state)
{
	(void)state;
	X509 *x = make_plain("Ann", key_ec(0));
	for (int place = 0; place < PLACES; place++) {
		keep_both(key_ec(0), x);
		for (size_t len = 0; len < buf_len(kept[place]); len++)
			assert_int_equal(check_cut(place, len, x), -FAULT_MALFORMED_PKCS12);
		assert_int_equal(check(x), 0);
		buf_put_u8(kept[place], 0);
		assert_check(x, FAULT_MALFORMED_PKCS12, "1 bytes too many");
	}
	X509_free(x);
}

static void garbage_is_no_identity(void **state)
{
	(void)state;
	X509 *x = make_plain("Ann", key_ec(0));
	for (int place = 0; place < PLACES; place++) {
		keep_both(key_ec(0), x);
		keep(place, view_text("no file at all"));
		assert_int_equal(check(x), -FAULT_MALFORMED_PKCS12);
	}
	X509_free(x);
}

static void a_file_holds_one_key_and_one_certificate(void **state)
{
	(void)state;
	X509 *ann = make_plain("Ann", key_ec(0)), *ben = make_plain("Ben", key_ec(1));
	static const struct {
		int keys, certificates;
		enum fault expected;
		const char *words;
	} rows[] = {
		{ 1, 1, FAULT_OK, "" }, { 0, 0, FAULT_NO_PRIVATE_KEY, "0 keys" },
		{ 0, 1, FAULT_NO_PRIVATE_KEY, "0 keys" }, { 2, 1, FAULT_NO_PRIVATE_KEY, "2 keys" },
		{ 2, 2, FAULT_NO_PRIVATE_KEY, "2 keys" }, { 1, 0, FAULT_MALFORMED_PKCS12, "0 certificates" },
		{ 1, 2, FAULT_MALFORMED_PKCS12, "2 certificates" },
	};
	for (size_t i = 0; i < PLACES * sizeof rows / sizeof *rows; i++) {
		int place = i % PLACES, row = (int)i / PLACES;
		STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
		for (int n = 0; n < rows[row].keys; n++)
			put_key(bags, key_ec(n), NULL, NID_aes_256_cbc, 2, password);
		for (int n = 0; n < rows[row].certificates; n++)
			put_certificate(bags, n == 0 ? ann : ben, NULL);
		keep_both(key_ec(0), ann);
		keep_bags(place, bags, 2);
		if (rows[row].expected)
			assert_check(ann, rows[row].expected, rows[row].words);
		else
			assert_int_equal(check(ann), 0);
	}
	X509_free(ann);
	X509_free(ben);
}

/* A thousand times what a file of ours costs for each derivation. */
static void a_file_that_costs_more_than_one_of_ours_is_not_opened(void **state)
{
	(void)state;
	enum { MOST = 2000 }; /* of the MAC alone: bags in the clear, and a salt of less than a block */
	X509 *x = make_plain("Ann", key_ec(0));
	for (int place = 0; place < PLACES; place++)
		for (int more = 0; more < 2; more++) {
			STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
			put_key(bags, key_ec(0), NULL, 0, 0, "");
			put_certificate(bags, x, NULL);
			keep_both(key_ec(0), x);
			keep_bags(place, bags, MOST + more);
			if (more)
				assert_check(x, FAULT_TOO_EXPENSIVE, "2001 rounds");
			else
				assert_int_equal(check(x), 0);
		}
	X509_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_files_of_an_import_fit_its_certificate),
		cmocka_unit_test(a_key_fits_its_own_certificate_and_no_other),
		cmocka_unit_test(a_key_that_is_none_of_the_certificates_does_not_fit),
		cmocka_unit_test(the_certificate_is_that_of_the_record),
		cmocka_unit_test(a_sha256_that_is_none_is_of_no_certificate),
		cmocka_unit_test(a_file_opens_with_its_own_password_alone),
		cmocka_unit_test(what_is_cut_short_or_longer_is_no_identity),
		cmocka_unit_test(garbage_is_no_identity),
		cmocka_unit_test(a_file_holds_one_key_and_one_certificate),
		cmocka_unit_test(a_file_that_costs_more_than_one_of_ours_is_not_opened),
	};
	return cmocka_run_group_tests(tests, make_kept, free_kept);
}
