/* The keyring's text: what was made is read, and nothing else is. */
#include "keeper_fixture.h"

#include "../../daemon/keeper/ca.h"

#include "encode.h"
#include "frame.h"
#include "openssl_ptr.h"


#include <fcntl.h>
#include <sys/stat.h>

static const uint8_t first_token[32] = { 0xab, [31] = 0xcd };
static struct buf *made, *text; /* the keyring of all tests; and one that a test makes of it */
static struct keyring *keyring; /* what a test read, until it ends */
static char folder[] = "/tmp/test-keyring-XXXXXX", path[64];

static int make_all(void **state)
{
	(void)state;
	made = buf_new(KEYRING_MAX_BYTES);
	text = buf_new(4 * KEYRING_MAX_BYTES);
	if (!made || !text || !mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/keyring", folder);
	return keyring_make(view_of(first_token, sizeof first_token), made);
}

static int free_all(void **state)
{
	(void)state;
	buf_free(made);
	buf_free(text);
	return rmdir(folder);
}

static int begin(void **state)
{
	(void)state;
	buf_reset(text);
	return 0;
}

static int end(void **state)
{
	(void)state;
	keyring_free(keyring);
	keyring = NULL;
	unlink(path);
	return 0;
}

static int parse(void)
{
	keyring_free(keyring);
	keyring = NULL;
	return keyring_parse(buf_view(text), &keyring);
}

/* Line n of the keyring that was made, from 1, with its end. */
static struct view line(unsigned n)
{
	struct view rest = buf_view(made), taken = { 0 };
	while (n-- > 0) {
		const uint8_t *stop = memchr(rest.p, '\n', rest.len);
		assert_non_null(stop);
		assert_true(view_get(&rest, (size_t)(stop - rest.p) + 1, &taken));
	}
	return taken;
}

enum { HEAD = 1, WRAP, ROWS_KEY, AUDIT, FIRST_TOKEN, CA, SIGNER, LINES = SIGNER };

static void put_line(unsigned n)
{
	struct view v = line(n);
	buf_put(text, v.p, v.len);
}

static void put_all_but(unsigned left_out)
{
	buf_reset(text);
	for (unsigned n = 1; n <= LINES; n++)
		if (n != left_out)
			put_line(n);
}

TEST(what_was_made_is_read)
{
	put_all_but(0);
	assert_true(view_equal(buf_view(text), buf_view(made))); /* so the lines are those that this file knows */
	assert_done(parse());
	assert_true(view_equal(keyring_first_token(keyring), view_of(first_token, sizeof first_token)));
	assert_int_equal(strlen(keyring_wrapping_id(keyring, 0)), KEYRING_ID_CHARS);
	assert_non_null(keyring_wrapping_key(keyring, view_text(keyring_wrapping_id(keyring, 0))));
	assert_null(keyring_wrapping_key(keyring, VIEW("00000000x")));
	assert_non_null(keyring_ca_certificate(keyring, 0));
	assert_null(keyring_ca_certificate(keyring, 1));
	assert_null(keyring_ca_key(keyring, KEYRING_CAS_MAX));
	assert_int_equal(X509_check_private_key(keyring_signer_certificate(keyring, 0),
						keyring_signer_key(keyring, 0)), 1);
	assert_int_equal(X509_verify(keyring_signer_certificate(keyring, 0), keyring_ca_key(keyring, 0)), 1);
}

TEST(the_keys_of_a_keyring_are_all_different)
{
	put_all_but(0);
	assert_done(parse());
	const struct key256 *wrapping = keyring_wrapping_key(keyring, view_text(keyring_wrapping_id(keyring, 0)));
	struct hmac_key *keys[] = { keyring_rows_key(keyring), keyring_audit_key(keyring), hmac_key_new(wrapping) };
	uint8_t macs[COUNT_OF(keys)][HMAC_BYTES];
	BUF nothing = buf_of(1);
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		assert_done(hmac_make(keys[i], nothing, macs[i]));
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		assert_memory_not_equal(macs[i], macs[(i + 1) % COUNT_OF(keys)], HMAC_BYTES);
	hmac_key_free(keys[2]);
}

TEST(two_keyrings_have_nothing_in_common)
{
	BUF other = buf_of(KEYRING_MAX_BYTES);
	assert_done(keyring_make(view_of(first_token, sizeof first_token), other));
	const char *their_text = buf_text(other);
	for (unsigned n = WRAP; n <= LINES; n++) {
		char mine[4096];
		assert_true(text_copy(line(n), mine, sizeof mine));
		if (n != FIRST_TOKEN)
			assert_null(strstr(their_text, mine));
	}
}

TEST(a_keyring_that_lacks_any_line_but_the_first_token_is_refused)
{
	for (unsigned n = 1; n <= LINES; n++) {
		put_all_but(n);
		if (n != FIRST_TOKEN)
			assert_fault(parse(), MALFORMED_REQUEST);
	}
	put_all_but(FIRST_TOKEN);
	assert_done(parse());
	assert_int_equal(keyring_first_token(keyring).len, 0);
}

TEST(a_keyring_that_was_cut_anywhere_is_refused)
{
	for (size_t len = 0; len + 1 < buf_len(made); len += len < 400 ? 1 : 7) {
		buf_reset(text);
		buf_put(text, buf_data(made), len);
		assert_fault(parse(), MALFORMED_REQUEST);
	}
}

TEST(a_damaged_line_is_named_by_its_number)
{
	for (unsigned n = WRAP; n <= LINES; n++) {
		char number[16];
		put_all_but(0);
		size_t at = (size_t)(line(n).p - buf_data(made)) + line(n).len / 2;
		/* A letter that no base64 and no hex has. */
		*(uint8_t *)(uintptr_t)(buf_data(text) + at) = '!';
		assert_fault(parse(), MALFORMED_REQUEST);
		snprintf(number, sizeof number, "line %u", n);
		assert_told(number);
	}
}

TEST(a_line_of_an_unknown_kind_is_refused)
{
	static const char *const strange[] = {
		"\n", "hello\n", "wrap\n", "Rows AAAA\n", " \n", "# comment\n", "rows\n"
	};
	for (size_t i = 0; i < COUNT_OF(strange); i++) {
		put_all_but(0);
		buf_put_text(text, strange[i]);
		assert_fault(parse(), MALFORMED_REQUEST);
		assert_told("line 8");
	}
}

TEST(keys_that_there_is_one_of_are_not_taken_twice)
{
	static const unsigned once[] = { ROWS_KEY, AUDIT, FIRST_TOKEN, SIGNER, WRAP };
	for (size_t i = 0; i < COUNT_OF(once); i++) {
		put_all_but(0);
		put_line(once[i]);
		assert_fault(parse(), MALFORMED_REQUEST);
	}
}

TEST(a_key_of_another_length_is_refused)
{
	static const size_t lengths[] = { 0, 1, 31, 33, 64 };
	static const uint8_t bytes[64];
	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		put_all_but(ROWS_KEY);
		buf_put_text(text, "rows ");
		base64_encode(view_of(bytes, lengths[i]), text);
		buf_put_text(text, "\n");
		assert_fault(parse(), MALFORMED_REQUEST);
	}
}

TEST(a_key_with_another_keys_certificate_is_refused)
{
	/* The CA's key, the signer's certificate. */
	struct view ca = line(CA), signer = line(SIGNER);
	const uint8_t *ca_end = memrchr(ca.p, ' ', ca.len), *signer_certificate = memrchr(signer.p, ' ', signer.len);
	for (unsigned n = HEAD; n < CA; n++)
		put_line(n);
	buf_put(text, ca.p, (size_t)(ca_end - ca.p));
	buf_put(text, signer_certificate, signer.len - (size_t)(signer_certificate - signer.p));
	assert_fault(parse(), MALFORMED_REQUEST);
	assert_told("line 6");
}

static void put_wrapping(unsigned id)
{
	uint8_t key[32];
	memset(key, (int)id, sizeof key);
	buf_printf(text, "wrap %08x ", id);
	base64_encode(view_of(key, sizeof key), text);
	buf_put_u8(text, '\n');
}

TEST(wrapping_keys_are_found_by_id_and_the_first_is_for_what_is_new)
{
	put_line(HEAD);
	for (unsigned id = 1; id <= KEYRING_WRAPPING_KEYS_MAX; id++)
		put_wrapping(id);
	for (unsigned n = ROWS_KEY; n <= LINES; n++)
		put_line(n);
	assert_done(parse());
	assert_string_equal(keyring_wrapping_id(keyring, 0), "00000001");
	assert_int_equal(keyring_wrapping_key(keyring, VIEW("00000010"))->at[0], 16);
	assert_null(keyring_wrapping_key(keyring, VIEW("00000011")));
	put_wrapping(KEYRING_WRAPPING_KEYS_MAX + 1);
	assert_fault(parse(), MALFORMED_REQUEST);
}

static void free_chain(STACK_OF(X509) **chain)
{
	sk_X509_pop_free(*chain, X509_free);
}

static void put_new_ca(const STACK_OF(X509) *chain)
{
	PKEY key = NULL;
	CERTIFICATE ca = NULL;
	assert_done(ca_make(&key, &ca));
	assert_done(keyring_put_ca(key, ca, chain, text));
}

TEST(cas_are_trusted_up_to_their_most_each_with_a_signer_of_its_own_and_the_first_issues)
{
	put_all_but(0);
	for (int i = 1; i < KEYRING_CAS_MAX; i++)
		put_new_ca(NULL);
	assert_done(parse());
	for (size_t i = 0; i < KEYRING_CAS_MAX; i++)
		for (size_t j = 0; j < KEYRING_CAS_MAX; j++)
			assert_int_equal(i == j, X509_verify(keyring_signer_certificate(keyring, i),
							     keyring_ca_key(keyring, j)));
	assert_null(keyring_ca_certificate(keyring, KEYRING_CAS_MAX));
	assert_null(keyring_signer_key(keyring, KEYRING_CAS_MAX));
	put_new_ca(NULL);
	assert_fault(parse(), MALFORMED_REQUEST);
}

TEST(a_ca_without_a_signer_or_with_that_of_another_is_refused)
{
	struct view ca = line(CA), signer = line(SIGNER);
	put_all_but(0);
	put_new_ca(NULL);
	buf_truncate(text, buf_len(text) - 10);
	assert_fault(parse(), MALFORMED_REQUEST);
	/* The first one's signer after the second CA. */
	put_all_but(0);
	size_t before = buf_len(text);
	put_new_ca(NULL);
	const uint8_t *end = memchr(buf_data(text) + before, '\n', buf_len(text) - before);
	buf_truncate(text, (size_t)(end + 1 - buf_data(text)));
	assert_fault(parse(), MALFORMED_REQUEST);
	assert_told("cut short");
	buf_put(text, signer.p, signer.len);
	assert_fault(parse(), MALFORMED_REQUEST);
	assert_told("line 9");
	/* Two CAs, one after the other. */
	put_all_but(SIGNER);
	buf_put(text, ca.p, ca.len);
	assert_fault(parse(), MALFORMED_REQUEST);
	assert_told("line 7");
}

TEST(a_ca_of_somebody_elses_has_what_is_above_it_up_to_the_most)
{
	__attribute__((cleanup(free_chain))) STACK_OF(X509) *chain = sk_X509_new_null();
	put_all_but(0);
	for (int i = 0; i <= KEYRING_CHAIN_MAX; i++) {
		PKEY key = NULL;
		X509 *above = NULL;
		assert_done(ca_make(&key, &above));
		assert_true(sk_X509_push(chain, above) > 0);
		if (i + 1 == KEYRING_CHAIN_MAX)
			put_new_ca(chain);
	}
	assert_done(parse());
	assert_int_equal(sk_X509_num(keyring_ca_chain(keyring, 0)), 0);
	assert_int_equal(sk_X509_num(keyring_ca_chain(keyring, 1)), KEYRING_CHAIN_MAX);
	BUF pem = buf_of(KEYRING_MAX_BYTES);
	assert_done(keyring_put_ca_pem(keyring, 1, pem));
	int blocks = 0;
	for (const char *at = buf_text(pem); (at = strstr(at, "-----BEGIN")); at++)
		blocks++;
	assert_int_equal(blocks, KEYRING_CHAIN_MAX + 1);
	put_new_ca(chain);
	assert_fault(parse(), MALFORMED_REQUEST);
	assert_told("line 10");
}

static int ca_of_der(X509 *certificate, size_t *ret)
{
	BUF der = buf_of(CERTIFICATE_MAX_BYTES);
	assert_done(ca_encode(certificate, der));
	return keyring_ca_of_der(keyring, buf_view(der), ret);
}

TEST(a_certificate_is_found_to_be_of_the_ca_that_issued_it_and_of_no_other)
{
	PKEY key = EVP_EC_gen("P-256");
	size_t n = 99;
	put_all_but(0);
	put_new_ca(NULL);
	put_new_ca(NULL);
	assert_done(parse());
	for (size_t i = 0; i < 3; i++) {
		CERTIFICATE device = NULL;
		assert_done(ca_issue(keyring_ca_key(keyring, i), keyring_ca_certificate(keyring, i), key, "d",
				     "u", &device));
		assert_done(keyring_ca_of(keyring, device, &n));
		assert_int_equal(n, i);
		assert_done(ca_of_der(device, &n));
		assert_int_equal(n, i);
	}
	PKEY other_key = NULL;
	CERTIFICATE other = NULL;
	CERTIFICATE device = NULL;
	assert_done(ca_make(&other_key, &other));
	assert_done(ca_issue(other_key, other, key, "d", "u", &device));
	assert_fault(keyring_ca_of(keyring, device, &n), UNAUTHORIZED);
	assert_told("retired");
	assert_fault(ca_of_der(device, &n), UNAUTHORIZED);
	assert_fault(keyring_ca_of_der(keyring, VIEW("none at all"), &n), INTERNAL);
}

/* As a company may call them: then the key identifiers tell. */
TEST(of_two_cas_of_one_name_the_one_that_issued_a_certificate_is_found_by_its_der)
{
	PKEY key = EVP_EC_gen("P-256");
	PKEY ca_key = NULL;
	CERTIFICATE ca = NULL;
	size_t n = 99;
	put_all_but(0);
	assert_done(parse());
	X509_NAME *name = X509_get_subject_name(keyring_ca_certificate(keyring, 0));
	assert_done(ca_make(&ca_key, &ca));
	assert_int_equal(X509_set_subject_name(ca, name), 1);
	assert_int_equal(X509_set_issuer_name(ca, name), 1);
	assert_true(X509_sign(ca, ca_key, EVP_sha256()) > 0);
	CERTIFICATE of_none = NULL; /* its CA has that name, and is not in the keyring */
	assert_done(ca_issue(ca_key, ca, key, "d", "u", &of_none));
	assert_fault(ca_of_der(of_none, &n), UNAUTHORIZED);
	assert_done(keyring_put_ca(ca_key, ca, NULL, text));
	assert_done(parse());
	for (size_t i = 0; i < 2; i++) {
		CERTIFICATE device = NULL;
		assert_done(ca_issue(keyring_ca_key(keyring, i), keyring_ca_certificate(keyring, i), key, "d", "u",
				     &device));
		assert_done(ca_of_der(device, &n));
		assert_int_equal(n, i);
	}
}

TEST(one_key_may_wait_for_its_certificate)
{
	PKEY key = EVP_EC_gen("P-256");
	put_all_but(0);
	assert_done(parse());
	assert_null(keyring_request_key(keyring));
	assert_done(keyring_put_request(key, text));
	assert_done(parse());
	assert_int_equal(EVP_PKEY_eq(keyring_request_key(keyring), key), 1);
	assert_done(keyring_put_request(key, text));
	assert_fault(parse(), MALFORMED_REQUEST);
	assert_told("line 9");
}

TEST(a_first_token_that_is_no_sha_256_makes_no_keyring)
{
	assert_fault(keyring_make(view_of(first_token, 31), text), INTERNAL);
	assert_fault(keyring_make(VIEW(""), text), INTERNAL);
}

/* ---- files ---- */

static int open_file(struct view content, mode_t mode)
{
	FD fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content.p, content.len), content.len);
	assert_int_equal(fchmod(fd, mode), 0);
	return keyring_open(path, &keyring);
}

TEST(a_file_that_is_its_owners_alone_is_opened)
{
	assert_done(open_file(buf_view(made), 0600));
	keyring_free(keyring);
	assert_done(open_file(buf_view(made), 0400));
}

TEST(a_file_that_others_can_read_is_refused)
{
	static const mode_t modes[] = { 0640, 0604, 0620, 0602, 0610, 0601, 0666 };
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		assert_fault(open_file(buf_view(made), modes[i]), FORBIDDEN);
		assert_told("chmod");
	}
}

TEST(a_file_that_is_empty_or_too_large_is_refused)
{
	assert_fault(open_file(VIEW(""), 0600), MALFORMED_REQUEST);
	memset(buf_reserve(text, KEYRING_MAX_BYTES + 1), '\n', KEYRING_MAX_BYTES + 1);
	assert_fault(open_file(buf_view(text), 0600), MALFORMED_REQUEST);
}

TEST(what_is_no_file_is_not_opened)
{
	assert_fault(keyring_open(path, &keyring), NOT_FOUND);
	assert_told(path);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	assert_fault(keyring_open(path, &keyring), NOT_FOUND);
	assert_true(keyring_open(folder, &keyring) < 0);
}

TEST(without_a_path_the_credential_is_opened)
{
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_fault(keyring_open("", &keyring), NOT_FOUND);
	assert_done(open_file(buf_view(made), 0400));
	keyring_free(keyring);
	keyring = NULL;
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	assert_done(keyring_open("", &keyring));
	unsetenv("CREDENTIALS_DIRECTORY");
}

#define keyring_test(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		keyring_test(what_was_made_is_read),
		keyring_test(the_keys_of_a_keyring_are_all_different),
		keyring_test(two_keyrings_have_nothing_in_common),
		keyring_test(a_keyring_that_lacks_any_line_but_the_first_token_is_refused),
		keyring_test(a_keyring_that_was_cut_anywhere_is_refused),
		keyring_test(a_damaged_line_is_named_by_its_number),
		keyring_test(a_line_of_an_unknown_kind_is_refused),
		keyring_test(keys_that_there_is_one_of_are_not_taken_twice),
		keyring_test(a_key_of_another_length_is_refused),
		keyring_test(a_key_with_another_keys_certificate_is_refused),
		keyring_test(wrapping_keys_are_found_by_id_and_the_first_is_for_what_is_new),
		keyring_test(cas_are_trusted_up_to_their_most_each_with_a_signer_of_its_own_and_the_first_issues),
		keyring_test(a_ca_without_a_signer_or_with_that_of_another_is_refused),
		keyring_test(a_ca_of_somebody_elses_has_what_is_above_it_up_to_the_most),
		keyring_test(a_certificate_is_found_to_be_of_the_ca_that_issued_it_and_of_no_other),
		keyring_test(of_two_cas_of_one_name_the_one_that_issued_a_certificate_is_found_by_its_der),
		keyring_test(one_key_may_wait_for_its_certificate),
		keyring_test(a_first_token_that_is_no_sha_256_makes_no_keyring),
		keyring_test(a_file_that_is_its_owners_alone_is_opened),
		keyring_test(a_file_that_others_can_read_is_refused),
		keyring_test(a_file_that_is_empty_or_too_large_is_refused),
		keyring_test(what_is_no_file_is_not_opened),
		keyring_test(without_a_path_the_credential_is_opened),
	};
	return cmocka_run_group_tests(tests, make_all, free_all);
}
