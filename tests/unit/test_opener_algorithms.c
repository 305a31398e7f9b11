/* Every form in which makers encrypt and authenticate a PFX: each made by OpenSSL, and opened. */
#include "opener_writer.h"

#include <openssl/hmac.h>
#include <openssl/provider.h>

/* With RC2 and RC4 in it. */
static OSSL_LIB_CTX *maker_context(void)
{
	static OSSL_LIB_CTX *ctx;
	if (!ctx) {
		ctx = OSSL_LIB_CTX_new();
		assert_non_null(OSSL_PROVIDER_load(ctx, "legacy"));
		assert_non_null(OSSL_PROVIDER_load(ctx, "default"));
	}
	return ctx;
}

/* Key and certificate, each encrypted under pbe (NID of PBES1, or of a cipher of PBES2) with prf. */
static STACK_OF(PKCS7) *make_safes(int pbe, int prf, const char *password)
{
	OSSL_LIB_CTX *ctx = maker_context();
	STACK_OF(PKCS12_SAFEBAG) *keys = bags_begin(), *certificates = bags_begin();
	STACK_OF(PKCS7) *safes = NULL;
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key_ec(0));
	const EVP_CIPHER *cipher = prf ? EVP_get_cipherbynid(pbe) : NULL;
	X509 *x = make_plain("Anna", key_ec(0));
	X509_SIG *sig = prf ? PKCS8_set0_pbe_ex(password, (int)strlen(password), p8,
						PKCS5_pbe2_set_iv_ex(cipher, 3, NULL, 0, NULL, prf, ctx), ctx, NULL)
			    : PKCS8_encrypt_ex(pbe, NULL, password, (int)strlen(password), NULL, 0, 3, p8, ctx, NULL);
	assert_non_null(sig);
	sk_PKCS12_SAFEBAG_push(keys, PKCS12_SAFEBAG_create0_pkcs8(sig));
	put_certificate(certificates, x, NULL);
	assert_int_equal(PKCS12_add_safe(&safes, keys, -1, 0, NULL), 1);
	assert_int_equal(PKCS12_add_safe_ex(&safes, certificates, pbe, 3, password, ctx, NULL), 1);
	sk_PKCS12_SAFEBAG_pop_free(keys, PKCS12_SAFEBAG_free);
	sk_PKCS12_SAFEBAG_pop_free(certificates, PKCS12_SAFEBAG_free);
	PKCS8_PRIV_KEY_INFO_free(p8);
	X509_free(x);
	return safes;
}

static void assert_opens_with(const char *password)
{
	OPENED o = open_it(scratch, password);
	if (o.rc < 0)
		print_error("%s\n", fault_detail());
	assert_int_equal(o.rc, 0);
	assert_int_equal(o.identities, 1);
	assert_int_equal(o.warnings, 0);
	assert_made_key(&o, 0, key_ec(0));
	OPENED wrong = open_it(scratch, "another one");
	assert_refused(wrong, FAULT_WRONG_PASSWORD, "try the one");
}

/* The passwords whose forms differ: nothing, ASCII, Latin-1, inside and outside of the BMP. */
static const char *const passwords[] = { "", "x", "pässwörd", "пароль€", "🔑 key" };
enum { PASSWORDS = sizeof passwords / sizeof *passwords };

static void every_cipher_of_pbes1_opens_with_every_password(void **state)
{
	(void)state;
	static const int nids[] = {
		NID_pbe_WithSHA1And3_Key_TripleDES_CBC, NID_pbe_WithSHA1And2_Key_TripleDES_CBC,
		NID_pbe_WithSHA1And128BitRC2_CBC, NID_pbe_WithSHA1And40BitRC2_CBC, NID_pbe_WithSHA1And128BitRC4,
		NID_pbe_WithSHA1And40BitRC4,
	};
	for (size_t i = 0; i < sizeof nids / sizeof *nids * PASSWORDS; i++) {
		const char *password = passwords[i % PASSWORDS];
		begin(NULL);
		finish_safes(make_safes(nids[i / PASSWORDS], 0, password), password, 0, 3, scratch);
		assert_opens_with(password);
	}
}

static const int prfs[] = { NID_hmacWithSHA1, NID_hmacWithSHA224, NID_hmacWithSHA256, NID_hmacWithSHA384,
			    NID_hmacWithSHA512 };

static void every_cipher_of_pbes2_opens_with_every_function_and_password(void **state)
{
	(void)state;
	static const int nids[] = { NID_aes_128_cbc, NID_aes_192_cbc, NID_aes_256_cbc, NID_des_ede3_cbc };
	for (size_t i = 0; i < 4 * 5 * PASSWORDS; i++) {
		const char *password = passwords[i % PASSWORDS];
		begin(NULL);
		finish_safes(make_safes(nids[i / PASSWORDS % 4], prfs[i / PASSWORDS / 4], password), password, 0, 3,
			     scratch);
		assert_opens_with(password);
	}
}

static void every_hash_of_a_mac_opens_with_every_password(void **state)
{
	(void)state;
	const EVP_MD *const hashes[] = { EVP_sha1(), EVP_sha224(), EVP_sha256(), EVP_sha384(), EVP_sha512() };
	for (size_t i = 0; i < 5 * PASSWORDS; i++) {
		const char *password = passwords[i % PASSWORDS];
		STACK_OF(PKCS7) *safes = make_safes(NID_aes_256_cbc, NID_hmacWithSHA256, password);
		PKCS12 *p12 = PKCS12_add_safes(safes, 0);
		/* One iteration: the count is left out. */
		int iterations = i / PASSWORDS % 2 ? 1 : 5;
		assert_int_equal(PKCS12_set_mac(p12, password, -1, NULL, 0, iterations, hashes[i / PASSWORDS]), 1);
		int len = i2d_PKCS12(p12, NULL);
		begin(NULL);
		uint8_t *at = buf_reserve(scratch, (size_t)len);
		i2d_PKCS12(p12, &at);
		PKCS12_free(p12);
		sk_PKCS7_pop_free(safes, PKCS7_free);
		assert_opens_with(password);
	}
}

/* ---- PBMAC1 ---- */

enum { PBMAC1_ITERATIONS = 3 };

static void put_function(int nid)
{
	static const uint8_t head[] = { 0x06, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2 };
	const ASN1_OBJECT *oid = OBJ_nid2obj(nid);
	size_t mark = der_mark(&d);
	DER_PUT(&d, OBJ_get0_data(oid)[OBJ_length(oid) - 1]);
	der_put(&d, view_of(head, sizeof head));
	der_wrap(&d, DER_SEQUENCE, mark);
}

/* MacData with what OpenSSL's PBKDF2 and HMAC compute over content; 0 for prf: the default, HMAC-SHA-1, is left out. */
static void put_pbmac1(struct view content, const char *password, int prf, int scheme, int key_len)
{
	static const uint8_t salt[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	uint8_t key[128], digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;
	int prf_hash = NID_sha1, hash = NID_undef;
	static const int hmacs[][2] = { { NID_hmacWithSHA1, NID_sha1 }, { NID_hmacWithSHA224, NID_sha224 },
					{ NID_hmacWithSHA256, NID_sha256 }, { NID_hmacWithSHA384, NID_sha384 },
					{ NID_hmacWithSHA512, NID_sha512 } };
	for (size_t i = 0; i < 5; i++) {
		prf_hash = hmacs[i][0] == prf ? hmacs[i][1] : prf_hash;
		hash = hmacs[i][0] == scheme ? hmacs[i][1] : hash;
	}
	assert_int_equal(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, sizeof salt, PBMAC1_ITERATIONS,
					   EVP_get_digestbynid(prf_hash), key_len, key), 1);
	assert_non_null(HMAC(EVP_get_digestbynid(hash), key, key_len, content.p, content.len, digest, &digest_len));
	size_t all = der_mark(&d);
	DER_PUT(&d, SALT); /* of MacData, which nobody looks at; the count is left out */
	size_t info = der_mark(&d);
	der_put_value(&d, DER_OCTETS, view_of(digest, digest_len));
	size_t algorithm = der_mark(&d);
	put_function(scheme);
	size_t kdf = der_mark(&d);
	if (prf)
		put_function(prf);
	DER_PUT(&d, SALT, 2, 1, PBMAC1_ITERATIONS, 2, 1, (uint8_t)key_len);
	finish_pbmac1(kdf, algorithm, info, all);
}

static void make_pbmac1(const char *password, int prf, int scheme, int key_len)
{
	STACK_OF(PKCS7) *safes = make_safes(NID_aes_256_cbc, NID_hmacWithSHA256, password);
	unsigned char *content = NULL;
	int len = ASN1_item_i2d((ASN1_VALUE *)safes, &content, ASN1_ITEM_rptr(PKCS12_AUTHSAFES));
	assert_true(len > 0);
	begin(NULL);
	put_pbmac1(view_of(content, (size_t)len), password, prf, scheme, key_len);
	BUF mac = buf_new(KIB);
	buf_put(mac, der_since(&d, sizeof room).p, der_since(&d, sizeof room).len);
	begin(NULL);
	der_put(&d, view_of(content, (size_t)len));
	const struct view v = buf_view(mac);
	finish_pfx(sizeof room, v, &v);
	OPENSSL_free(content);
	sk_PKCS7_pop_free(safes, PKCS7_free);
}

static void every_pbmac1_opens_with_every_function_scheme_and_password(void **state)
{
	(void)state;
	for (size_t i = 0; i < 6 * 5 * PASSWORDS; i++) {
		int prf = i / PASSWORDS / 5 < 5 ? prfs[i / PASSWORDS / 5] : 0;
		make_pbmac1(passwords[i % PASSWORDS], prf, prfs[i / PASSWORDS % 5], 32);
		assert_opens_with(passwords[i % PASSWORDS]);
	}
}

static void a_pbmac1_key_of_any_length_opens(void **state)
{
	(void)state;
	static const int lengths[] = { 1, 20, 32, 64, 65, 127 };
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		make_pbmac1("x", NID_hmacWithSHA256, NID_hmacWithSHA512, lengths[i]);
		assert_opens_with("x");
	}
}

/* ---- BER ---- */

/* A file of make_safes() again, the way old NSS writes one: every outer length is indefinite, and the content is a
 * string in pieces of a thousand bytes. */
static void make_ber(struct view content, struct view mac)
{
	static const uint8_t head[] = { 0x30, 0x80, 2, 1, 3, 0x30, 0x80, OID_DATA, 0xa0, 0x80, 0x24, 0x80 };
	begin(NULL);
	buf_put(scratch, head, sizeof head);
	for (size_t at = 0; at < content.len; at += 1000) {
		size_t n = content.len - at < 1000 ? content.len - at : 1000;
		const uint8_t piece[] = { 4, 0x82, (uint8_t)(n >> 8), (uint8_t)n };
		buf_put(scratch, piece, sizeof piece);
		buf_put(scratch, content.p + at, n);
	}
	buf_put(scratch, "\0\0\0\0\0\0", 6);
	buf_put(scratch, mac.p, mac.len);
	buf_put(scratch, "\0\0", 2);
}

static void a_file_in_ber_with_its_strings_in_pieces_opens(void **state)
{
	(void)state;
	STACK_OF(PKCS7) *safes = make_safes(NID_aes_256_cbc, NID_hmacWithSHA256, "x");
	unsigned char *der = NULL;
	int len = ASN1_item_i2d((ASN1_VALUE *)safes, &der, ASN1_ITEM_rptr(PKCS12_AUTHSAFES));
	struct view content = view_of(der, (size_t)len);
	BUF mac = buf_new(KIB);
	begin(NULL);
	put_mac(content, view_of(one_iteration, sizeof one_iteration));
	buf_put(mac, der_since(&d, sizeof room).p, der_since(&d, sizeof room).len);
	make_ber(content, buf_view(mac));
	assert_opens_with("x");
	/* An end that is missing, and one too many. */
	buf_truncate(scratch, buf_len(scratch) - 2);
	OPENED shorter = open_scratch();
	assert_refused(shorter, FAULT_MALFORMED_PKCS12, "copy or export it again");
	buf_put(scratch, "\0\0\0\0", 4);
	OPENED longer = open_scratch();
	assert_refused(longer, FAULT_MALFORMED_PKCS12, "2 bytes too many");
	OPENSSL_free(der);
	sk_PKCS7_pop_free(safes, PKCS7_free);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_cipher_of_pbes1_opens_with_every_password),
		TEST(every_cipher_of_pbes2_opens_with_every_function_and_password),
		TEST(every_hash_of_a_mac_opens_with_every_password),
		TEST(every_pbmac1_opens_with_every_function_scheme_and_password),
		TEST(a_pbmac1_key_of_any_length_opens),
		TEST(a_file_in_ber_with_its_strings_in_pieces_opens),
	};
	return cmocka_run_group_tests_name("opener_algorithms", tests, NULL, NULL);
}
