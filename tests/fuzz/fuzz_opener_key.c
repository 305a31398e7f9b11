/* Private keys, PKCS#8, as a PFX holds them. What is taken is encoded anew: OpenSSL must read that, and find the same
 * public half in it. */
#define OPENSSL_SUPPRESS_DEPRECATED /* numbers are easier to compare in an RSA and an EC_KEY */
#include "fuzz.h"

#include "opener/key.h"
#include "opener/own.h"
#include "protocol.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

static void check_rsa(const struct public_key *public, const EVP_PKEY *key)
{
	const RSA *rsa = EVP_PKEY_get0_RSA(key);
	MUST(rsa && EVP_PKEY_get_bits(key) == (int)public->bits);
	MUST(public->bits >= RSA_MIN_BITS && public->bits <= RSA_MAX_BITS);
	for (int i = 0; i < 2; i++) {
		struct view octets = public_key_number(public, i);
		OWNED(BIGNUM) number = BN_bin2bn(octets.p, (int)octets.len, NULL);
		MUST(number && BN_cmp(number, i ? RSA_get0_e(rsa) : RSA_get0_n(rsa)) == 0);
	}
}

static void check_ec(const struct public_key *public, const EVP_PKEY *key)
{
	const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(key);
	uint8_t *octets = NULL;
	MUST(ec && EC_GROUP_get_curve_name(EC_KEY_get0_group(ec)) == public->curve);
	size_t len = EC_POINT_point2buf(EC_KEY_get0_group(ec), EC_KEY_get0_public_key(ec),
					POINT_CONVERSION_UNCOMPRESSED, &octets, NULL);
	MUST(view_equal(view_of(octets, len), buf_view(public->canonical)));
	MUST(EC_KEY_check_key(ec) == 1);
	OPENSSL_free(octets);
}

static void check(const struct private_key *key)
{
	char name[KEY_ALGORITHM_MAX_BYTES + 1];
	struct view pkcs8 = buf_view(key->pkcs8_secret);
	const uint8_t *p = pkcs8.p;
	MUST(buf_ok(key->pkcs8_secret) && pkcs8.len > 0 && pkcs8.len <= KEY_MAX_BYTES);
	key_algorithm(&key->public, name);
	MUST(name[0]);
	EVP_PKEY *read = d2i_AutoPrivateKey(NULL, &p, (long)pkcs8.len);
	MUST(read && p == pkcs8.p + pkcs8.len);
	if (key->public.family == KEY_RSA)
		check_rsa(&key->public, read);
	else
		check_ec(&key->public, read);
	EVP_PKEY_free(read);

	/* What was encoded anew is read as the same, and encoded the same. */
	struct private_key *again = NULL;
	MUST(private_key_read(pkcs8, &again) == 0);
	MUST(view_equal(buf_view(again->pkcs8_secret), pkcs8) && public_key_equal(&again->public, &key->public));
	private_key_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct private_key *key = NULL;
	int rc = private_key_read(view_of(data, size), &key);
	MUST(rc == 0 || rc == -FAULT_MALFORMED_PKCS12 || rc == -FAULT_UNSUPPORTED_ALGORITHM || rc == -FAULT_WEAK_KEY ||
	     rc == -FAULT_KEY_MISMATCH);
	MUST((rc == 0) == (key != NULL));
	MUST(rc == 0 || fault_detail()[0]);
	if (key)
		check(key);
	private_key_free(key);
	ERR_clear_error();
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return fuzz_mutate_der(data, size, max, seed, 0);
}
