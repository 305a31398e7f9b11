/* Shares of the recovery passphrase: what restores it, and what does not, by a sentence that names the share. */
#include "unit.h"

#include "../../clients/pfxctl/recovery.h"
#include "../../clients/pfxctl/shares.h"
#include "../../clients/shared/trouble.h"

#include <libgfshare.h>
#include <openssl/rand.h>

static struct buf *passphrase;
static unsigned random_bytes; /* that were asked for by their name as private */

int __real_RAND_priv_bytes(unsigned char *at, int count);
int __wrap_RAND_priv_bytes(unsigned char *at, int count);
int __wrap_RAND_priv_bytes(unsigned char *at, int count)
{
	random_bytes += (unsigned)count;
	return __real_RAND_priv_bytes(at, count);
}

static int make_passphrase(void **state)
{
	(void)state;
	passphrase = buf_new(256);
	return passphrase && recovery_make_passphrase(passphrase) == EXIT_DONE ? 0 : -1;
}

static int free_passphrase(void **state)
{
	(void)state;
	buf_free(passphrase);
	return 0;
}

static void make(unsigned threshold, unsigned count, struct share *ret, struct buf *text)
{
	buf_reset(text);
	assert_int_equal(shares_make(buf_view(passphrase), threshold, count, text), EXIT_DONE);
	assert_int_equal(buf_len(text), count * (SHARE_CHARS + 1));
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(share_read(view_of(buf_data(text) + i * (SHARE_CHARS + 1), SHARE_CHARS + 1), "a "
													      "file", &ret[i]),
				 EXIT_DONE);
}

static int combine(const struct share *shares, unsigned count)
{
	BUF again = buf_of(256);
	int rc = shares_combine(shares, count, again);
	if (rc == EXIT_DONE)
		assert_true(view_equal(buf_view(again), buf_view(passphrase)));
	return rc;
}

static void assert_said(const char *part)
{
	if (!strstr(trouble_text(), part))
		print_error("%s is not in: %s\n", part, trouble_text());
	assert_non_null(strstr(trouble_text(), part));
}

TEST(any_so_many_shares_restore_it_in_any_order)
{
	struct share all[5];
	BUF text = buf_of(4096);
	make(3, 5, all, text);
	for (unsigned a = 0; a < 5; a++)
		for (unsigned b = 0; b < 5; b++)
			for (unsigned c = 0; c < 5; c++) {
				const struct share some[] = { all[a], all[b], all[c] };
				if (a != b && b != c && a != c)
					assert_int_equal(combine(some, 3), EXIT_DONE);
			}
	gfshare_fill_rand = NULL; /* as in a program that makes none */
	assert_int_equal(combine(all, 4), EXIT_DONE);
	assert_int_equal(combine(all, 5), EXIT_DONE);
}

TEST(fewer_are_refused_and_say_nothing_of_it)
{
	struct share all[5], few[2];
	BUF text = buf_of(4096);
	BUF guess = buf_of(256);
	make(3, 5, all, text);
	assert_int_equal(combine(all, 2), EXIT_REFUSED);
	assert_said("3 of these shares restore the passphrase, and here are 2");
	assert_int_equal(combine(all, 1), EXIT_REFUSED);
	/* Who changes the number that says how many, with a checksum that fits, gets another passphrase. */
	memcpy(few, all, sizeof few);
	few[0].bytes_secret[2] = few[1].bytes_secret[2] = 2;
	assert_int_equal(shares_combine(few, 2, guess), EXIT_DONE);
	assert_false(view_equal(buf_view(guess), buf_view(passphrase)));
}

TEST(the_limits_of_how_many_are_kept)
{
	struct share all[SHARES_MOST];
	BUF text = buf_of(8192);
	make(SHARES_LEAST, SHARES_LEAST, all, text);
	make(SHARES_MOST, SHARES_MOST, all, text);
	assert_int_equal(combine(all, SHARES_MOST), EXIT_DONE);
	assert_int_equal(combine(all, SHARES_MOST - 1), EXIT_REFUSED);
	assert_int_equal(shares_make(buf_view(passphrase), SHARES_LEAST - 1, 5, text), EXIT_USAGE);
	assert_int_equal(shares_make(buf_view(passphrase), 4, 3, text), EXIT_USAGE);
	assert_int_equal(shares_make(buf_view(passphrase), 2, SHARES_MOST + 1, text), EXIT_USAGE);
}

TEST(one_character_that_was_copied_wrongly_is_seen)
{
	struct share all[2], again;
	BUF text = buf_of(4096);
	make(2, 2, all, text);
	for (size_t i = 0; i < SHARE_CHARS; i++) {
		char typed[SHARE_CHARS + 1] = "";
		memcpy(typed, buf_data(text), SHARE_CHARS);
		if (typed[i] == '-')
			continue;
		typed[i] = typed[i] == 'a' ? 'b' : 'a';
		assert_int_equal(share_read(view_text(typed), "drawer", &again), EXIT_REFUSED);
		assert_said("drawer");
		assert_said("damaged");
	}
}

TEST(a_share_may_be_typed_in_capitals_and_without_dashes)
{
	struct share all[2], again;
	BUF text = buf_of(4096);
	BUF typed = buf_of(4096);
	make(2, 2, all, text);
	buf_put_text(typed, "Share 1 of 2, as it was printed.\n\n   ");
	for (size_t i = 0; i < SHARE_CHARS; i++) {
		uint8_t c = buf_data(text)[i];
		buf_put_u8(typed, c == '-' ? ' ' : c >= 'a' && c <= 'z' ? (uint8_t)(c - 'a' + 'A') : c);
	}
	buf_put_text(typed, "\r\n\n");
	assert_int_equal(share_read(buf_view(typed), "typed", &again), EXIT_DONE);
	assert_memory_equal(again.bytes_secret, all[0].bytes_secret, sizeof again.bytes_secret);
	assert_int_equal(share_read(VIEW("no share\n"), "other", &again), EXIT_REFUSED);
	assert_said("other holds no share");
	assert_int_equal(share_read(VIEW(""), "empty", &again), EXIT_REFUSED);
}

TEST(shares_of_different_passphrases_and_the_same_one_twice_are_named)
{
	struct share one[3], other[3];
	BUF text = buf_of(4096);
	make(2, 3, one, text);
	make(2, 3, other, text); /* of the same passphrase, even */
	one[0].name = "mine";
	other[1].name = "yours";
	const struct share mixed[] = { one[0], other[1] }, twice[] = { one[0], one[0] };
	assert_int_equal(combine(mixed, 2), EXIT_REFUSED);
	assert_said("mine and yours are shares of different passphrases");
	assert_int_equal(combine(twice, 2), EXIT_REFUSED);
	assert_said("one and the same share, number 1");
}

/* The library asks for a byte of each coefficient: (threshold - 1) for each byte of the secret. Without its function
 * set it would not run; with its own it would take random(). */
TEST(the_random_bytes_of_the_library_are_openssls)
{
	struct share all[5], again[5];
	BUF text = buf_of(4096);
	random_bytes = 0;
	make(3, 5, all, text);
	assert_true(random_bytes >= 2 * 18);
	make(3, 5, again, text);
	for (size_t i = 0; i < 5; i++)
		assert_memory_not_equal(all[i].bytes_secret + 7, again[i].bytes_secret + 7, 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_so_many_shares_restore_it_in_any_order),
		cmocka_unit_test(fewer_are_refused_and_say_nothing_of_it),
		cmocka_unit_test(the_limits_of_how_many_are_kept),
		cmocka_unit_test(one_character_that_was_copied_wrongly_is_seen),
		cmocka_unit_test(a_share_may_be_typed_in_capitals_and_without_dashes),
		cmocka_unit_test(shares_of_different_passphrases_and_the_same_one_twice_are_named),
		cmocka_unit_test(the_random_bytes_of_the_library_are_openssls),
	};
	return cmocka_run_group_tests(tests, make_passphrase, free_passphrase);
}
