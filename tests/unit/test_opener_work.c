/* What a PFX may cost. Spent work is counted in the loops of kdf.c; here the count is compared with the bound. */
#include "opener_writer.h"

#include "opener/pfx_work.h"

/* Of one identity that was opened: two files are made, each with two encryptions and a MAC of two iterations. Modern:
 * three blocks. Legacy: two of a key and one of an IV, twice, and one. */
enum { MADE_WORK = 2 * (3 + 2 * 3 + 1) };

static uint64_t spent_since(uint64_t before)
{
	return kdf_work_done() - before;
}

/* ---- the writer ---- */

struct choice {
	int key_pbe, safe_pbe; /* NIDs: of PBES1, or a cipher of PBES2 */
	int key_iterations, safe_iterations, mac_iterations;
	const char *password;
};

/* A file with one shrouded key in the clear, and in an encrypted safe a second one with both certificates: what that
 * one costs shows only when the safe is open. */
static void make_layers(const struct choice *c)
{
	STACK_OF(PKCS12_SAFEBAG) *outer = bags_begin(), *inner = bags_begin();
	STACK_OF(PKCS7) *safes = NULL;
	put_key(outer, key_ec(0), "1", c->key_pbe, c->key_iterations, c->password);
	put_key(inner, key_ec(1), "2", c->key_pbe, c->key_iterations, c->password);
	for (int i = 0; i < 2; i++) {
		X509 *x = make_plain("Anna", key_ec(i));
		put_certificate(inner, x, i ? "2" : "1");
		X509_free(x);
	}
	assert_int_equal(PKCS12_add_safe(&safes, outer, -1, 0, NULL), 1);
	assert_int_equal(PKCS12_add_safe(&safes, inner, c->safe_pbe, c->safe_iterations, c->password), 1);
	finish_safes(safes, c->password, 0, c->mac_iterations, scratch);
	sk_PKCS12_SAFEBAG_pop_free(outer, PKCS12_SAFEBAG_free);
	sk_PKCS12_SAFEBAG_pop_free(inner, PKCS12_SAFEBAG_free);
}

static struct opened open_bounded(const char *password, uint64_t max)
{
	return open_wish(buf_view(scratch), view_text(password), max, 0);
}

/* ---- the bound ---- */

/* Opens the file under every bound from nothing to enough. Returns the least that is enough. */
static uint64_t try_every_bound(const char *password, size_t identities)
{
	for (uint64_t max = 0;; max++) {
		uint64_t before = kdf_work_done();
		OPENED o = open_bounded(password, max);
		uint64_t spent = spent_since(before);
		if (o.rc == 0) {
			assert_int_equal(o.identities, identities);
			assert_int_equal(spent, max + identities * MADE_WORK);
			return max;
		}
		assert_refused(o, FAULT_TOO_EXPENSIVE, "rounds of hashing");
		assert_true(spent <= max);
		assert_true(max < 10000);
	}
}

static void whatever_the_bound_no_more_is_spent_and_all_that_is_charged_is(void **state)
{
	(void)state;
	static const struct {
		struct choice choice;
		const char *password; /* with which it is opened */
		uint64_t least;
	} rows[] = {
		/* SHA-1: a key of 24 bytes takes two blocks and its IV one; the MAC is of SHA-256. */
		{ { NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 5, 7, 3, "x" }, "x",
		  3 + 5 * 3 + 7 * 3 + 5 * 3 },
		/* HMAC-SHA-256: one block of 32 bytes, and the IV is in the file. */
		{ { NID_aes_256_cbc, NID_aes_256_cbc, 5, 7, 3, "x" }, "x", 3 + 5 + 7 + 5 },
		/* Nobody says which form of an empty password it is. */
		{ { NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_aes_256_cbc, 5, 7, 3, "" }, "", 3 + 5 * 3 + 7 + 5 * 3 },
		/* Latin-1: the MAC is tried in two forms, then the safe, and by then it is known. */
		{ { NID_aes_256_cbc, NID_aes_256_cbc, 5, 7, 3, "M\xfcller" }, "Müller", 3 + 5 + 2 * 7 + 5 },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		begin(NULL);
		make_layers(&rows[i].choice);
		assert_int_equal(try_every_bound(rows[i].password, 2), rows[i].least);
	}
}

static void what_is_seen_in_the_clear_is_refused_before_anything_is_derived(void **state)
{
	(void)state;
	const struct choice c = { NID_aes_256_cbc, NID_aes_256_cbc, 50, 70, 30, "x" };
	make_layers(&c);
	for (uint64_t max = 0; max < 30 + 50 + 70; max++) {
		uint64_t before = kdf_work_done();
		OPENED o = open_bounded("x", max);
		assert_refused(o, FAULT_TOO_EXPENSIVE, "");
		assert_int_equal(spent_since(before), 0);
	}
}

static void a_wrong_password_in_two_forms_costs_no_more_than_the_bound(void **state)
{
	(void)state;
	const struct choice c = { NID_aes_256_cbc, NID_aes_256_cbc, 50, 70, 30, "x" };
	make_layers(&c);
	for (uint64_t max = 150; max < 300; max++) {
		uint64_t before = kdf_work_done();
		OPENED o = open_bounded("Müller", max);
		/* The MAC twice, and the safe twice, to tell a wrong password from a file that was changed. */
		assert_int_equal(o.rc, max < 150 + 30 ? -FAULT_TOO_EXPENSIVE : -FAULT_WRONG_PASSWORD);
		assert_true(spent_since(before) <= max);
	}
}

/* The number that stands in a file behind these words, without its commas. */
static uint64_t number_behind(const char *path, const char *words)
{
	BUF text = buf_new(FILE_MAX_BYTES);
	uint64_t n = 0;
	read_file(path, text);
	buf_put_u8(text, 0);
	const char *at = strstr((const char *)buf_data(text), words);
	assert_non_null(at);
	for (at += strlen(words); (*at >= '0' && *at <= '9') || *at == ','; at++)
		n = *at == ',' ? n : 10 * n + (uint64_t)(*at - '0');
	return n;
}

/* What the configuration allows unless it says otherwise. */
static uint64_t documented_bound(void)
{
	uint64_t bound = number_behind("conf/pfxd.conf", "#max_work = ");
	assert_int_equal(number_behind("docs/makers.md", "| rounds of hashing | "), bound);
	assert_int_equal(number_behind("docs/makers.md", "| work | "), bound);
	return bound;
}

static void the_most_that_a_file_costs_is_24_million_rounds_as_the_documents_say(void **state)
{
	(void)state;
	const uint64_t bound = documented_bound();
	assert_int_equal(bound, 24000000);
	for (uint32_t more = 0; more < 2; more++) {
		const uint32_t n = (uint32_t)bound + more;
		const uint8_t iterations[] = { 2, 4, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
					       (uint8_t)n };
		begin(NULL);
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		finish_pfx(sizeof room, view_of(iterations, sizeof iterations), NULL);
		uint64_t before = kdf_work_done();
		OPENED o = open_bounded("x", bound);
		if (more)
			assert_refused(o, FAULT_TOO_EXPENSIVE, "24000001 rounds of hashing; 24000000 are allowed");
		else
			assert_refused(o, FAULT_WRONG_PASSWORD, ""); /* the MAC is that of one iteration */
		assert_int_equal(spent_since(before), more ? 0 : bound);
	}
}

/* ---- what is added up ---- */

static void salts_and_key_lengths_count(void **state)
{
	(void)state;
	const struct hash *sha1 = hash_by_nid(NID_sha1), *sha512 = hash_by_nid(NID_sha512);
	assert_int_equal(kdf_work(sha1, 8, 1000, 20), 1000);
	assert_int_equal(kdf_work(sha1, 8, 1000, 21), 2000);
	assert_int_equal(kdf_work(sha1, 63, 1000, 20), 1000);
	assert_int_equal(kdf_work(sha1, 64, 1000, 20), 1001);
	assert_int_equal(kdf_work(sha1, 1024, 1000, 40), 2 * 1016);
	assert_int_equal(kdf_work(sha512, 1024, 1000, 128), 2 * 1008);
	assert_true(kdf_work(sha1, 64, UINT64_MAX, 20) == UINT64_MAX);
	assert_true(kdf_work(sha1, 0, UINT64_MAX / 2, 60) == UINT64_MAX);
	/* And they are what is spent. */
	uint8_t out[DERIVED_MAX_BYTES];
	static const uint8_t salt[SALT_MAX_BYTES];
	static const size_t lengths[] = { 0, 8, 64, 127, 128, 1024 };
	for (size_t i = 0; i < 6; i++) {
		uint64_t before = kdf_work_done();
		kdf_pkcs12(sha1, view_text("x"), view_of(salt, lengths[i]), KDF_ID_KEY, 10, out, 24);
		assert_int_equal(spent_since(before), kdf_work(sha1, lengths[i], 10, 24));
		before = kdf_work_done();
		kdf_pbkdf2(sha512, view_text("x"), view_of(salt, lengths[i]), 10, out, 128);
		assert_int_equal(spent_since(before), kdf_work(sha512, lengths[i], 10, 128));
	}
}

static void sums_that_overflow_are_too_expensive(void **state)
{
	(void)state;
	struct work w = { .max = UINT64_MAX - 1 };
	assert_int_equal(work_charge(&w, UINT64_MAX - 1), 0);
	assert_int_equal(work_charge(&w, 1), -FAULT_TOO_EXPENSIVE);
	assert_int_equal(work_charge(&w, UINT64_MAX), -FAULT_TOO_EXPENSIVE);
	assert_true(w.total == UINT64_MAX);
	assert_int_equal(work_charge(&w, 0), -FAULT_TOO_EXPENSIVE);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(whatever_the_bound_no_more_is_spent_and_all_that_is_charged_is),
		TEST(what_is_seen_in_the_clear_is_refused_before_anything_is_derived),
		TEST(a_wrong_password_in_two_forms_costs_no_more_than_the_bound),
		TEST(the_most_that_a_file_costs_is_24_million_rounds_as_the_documents_say),
		TEST(salts_and_key_lengths_count),
		TEST(sums_that_overflow_are_too_expensive),
	};
	return cmocka_run_group_tests_name("opener_work", tests, NULL, NULL);
}
