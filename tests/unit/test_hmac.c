/* HMACs under a key that is used again and again, by many threads at once. */
#include "keeper_fixture.h"

#include "../../daemon/keeper/hmac.h"

#include <openssl/hmac.h>
#include <pthread.h>

enum { THREADS = 48, TURNS = 200 }; /* more than contexts are kept */

static const struct key256 data_key = { "0123456789abcdef0123456789abcde" };
static struct hmac_key *key;

static int make_key(void **state)
{
	(void)state;
	key = hmac_key_new(&data_key);
	return key ? 0 : -1;
}

static int free_key(void **state)
{
	(void)state;
	hmac_key_free(key);
	return 0;
}

/* By OpenSSL's own function for it. */
static void wanted(const struct buf *fields, uint8_t ret[static HMAC_BYTES])
{
	assert_non_null(
		HMAC(EVP_sha256(), data_key.at, sizeof data_key.at, buf_data(fields), buf_len(fields), ret, NULL));
}

TEST(it_is_hmac_with_sha_256_each_time)
{
	uint8_t mac[HMAC_BYTES], other[HMAC_BYTES];
	BUF fields = buf_of(KIB);
	for (unsigned n = 0; n < 300; n++) {
		assert_done(hmac_make(key, fields, mac));
		wanted(fields, other);
		assert_memory_equal(mac, other, sizeof mac);
		buf_put_u8(fields, (uint8_t)n);
	}
}

TEST(fields_that_did_not_fit_get_none_and_the_next_ones_do)
{
	uint8_t mac[HMAC_BYTES], other[HMAC_BYTES];
	BUF fields = buf_of(2);
	buf_put_text(fields, "abc");
	assert_fault(hmac_make(key, fields, mac), INTERNAL);
	buf_reset(fields);
	assert_done(hmac_make(key, fields, mac));
	wanted(fields, other);
	assert_memory_equal(mac, other, sizeof mac);
}

static void *make_many(void *arg)
{
	unsigned wrong = 0;
	uint8_t mac[HMAC_BYTES], other[HMAC_BYTES];
	BUF fields = buf_of(KIB);
	for (unsigned n = 0; n < TURNS; n++) {
		buf_printf(fields, "%u of %p", n, arg);
		wanted(fields, other);
		wrong += hmac_make(key, fields, mac) < 0 || memcmp(mac, other, sizeof mac) != 0;
		buf_reset(fields);
	}
	return (void *)(uintptr_t)wrong;
}

TEST(threads_do_not_get_into_each_others_way)
{
	pthread_t threads[THREADS];
	char numbers[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_many, &numbers[i]), 0);
	for (size_t i = 0; i < THREADS; i++) {
		void *wrong = NULL;
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

TEST(another_key_gives_another)
{
	uint8_t mac[HMAC_BYTES], other[HMAC_BYTES];
	struct key256 changed = data_key;
	changed.at[KEY256_BYTES - 1] ^= 1;
	struct hmac_key *another = hmac_key_new(&changed);
	assert_non_null(another);
	BUF fields = buf_of(KIB);
	assert_done(hmac_make(key, fields, mac));
	assert_done(hmac_make(another, fields, other));
	assert_memory_not_equal(mac, other, sizeof mac);
	hmac_key_free(another);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_hmac_with_sha_256_each_time),
		cmocka_unit_test(fields_that_did_not_fit_get_none_and_the_next_ones_do),
		cmocka_unit_test(threads_do_not_get_into_each_others_way),
		cmocka_unit_test(another_key_gives_another),
	};
	return cmocka_run_group_tests(tests, make_key, free_key);
}
