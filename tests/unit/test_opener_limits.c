/* Every limit of a PFX at its edge: what is exactly as much as is allowed opens, one more is refused with the limit's
 * own code. Work has test_opener_work.c, keys test_opener_keys.c. */
#include "opener_writer.h"

#include "opener/bags.h"
#include "opener/derive.h"
#include "opener/kdf.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>

static void put_crl_bag(void)
{
	size_t mark = der_mark(&d);
	DER_PUT(&d, 5, 0);
	WRAP_BAG(mark, OID_CRL_BAG);
}

static struct opened open_contents(void)
{
	finish_contents(sizeof room);
	return open_scratch();
}

#define assert_opens(opened) \
	do { \
		if ((opened).rc < 0) \
			print_error("%s\n", fault_detail()); \
		assert_int_equal((opened).rc, 0); \
	} while (0)

/* ---- what is counted ---- */

static void two_thousand_and_forty_eight_bags_open_and_one_more_does_not(void **state)
{
	(void)state;
	for (size_t more = 0; more < 2; more++) {
		begin(NULL);
		for (size_t i = 2; i < BAGS_MAX + more; i++)
			put_crl_bag();
		put_identity();
		OPENED o = open_contents();
		if (more)
			assert_refused(o, FAULT_TOO_EXPENSIVE, "more than 2048 bags");
		else
			assert_opens(o);
	}
}

static void bags_in_nested_safe_contents_are_counted_with_the_rest(void **state)
{
	(void)state;
	for (size_t more = 0; more < 2; more++) {
		begin(NULL);
		for (size_t i = 3; i < BAGS_MAX + more; i++)
			put_crl_bag();
		put_identity();
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		WRAP_BAG(sizeof room, OID_NESTED_BAG);
		OPENED o = open_contents();
		if (more)
			assert_refused(o, FAULT_TOO_EXPENSIVE, "more than 2048 bags");
		else
			assert_opens(o);
	}
}

static void five_hundred_and_twelve_safes_open_and_one_more_does_not(void **state)
{
	(void)state;
	for (size_t more = 0; more < 2; more++) {
		begin(NULL);
		for (size_t i = 1; i < SAFES_MAX + more; i++) {
			size_t mark = der_mark(&d);
			der_wrap(&d, DER_SEQUENCE, mark);
			wrap_data(mark);
		}
		size_t mark = der_mark(&d);
		put_identity();
		der_wrap(&d, DER_SEQUENCE, mark);
		wrap_data(mark);
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		finish_pfx(sizeof room, view_of(one_iteration, 3), NULL);
		OPENED o = open_scratch();
		if (more)
			assert_refused(o, FAULT_TOO_EXPENSIVE, "more than 512 safes");
		else
			assert_opens(o);
	}
}

static void an_identity_opens_four_deep_in_safe_contents_and_not_five_deep(void **state)
{
	(void)state;
	for (unsigned depth = 0; depth <= BAG_DEPTH_MAX + 1; depth++) {
		begin(NULL);
		put_identity();
		for (unsigned i = 0; i < depth; i++) {
			der_wrap(&d, DER_SEQUENCE, sizeof room);
			WRAP_BAG(sizeof room, OID_NESTED_BAG);
		}
		OPENED o = open_contents();
		if (depth > BAG_DEPTH_MAX)
			assert_refused(o, FAULT_MALFORMED_PKCS12, "nested deeper than 4");
		else
			assert_opens(o);
	}
}

static void sixty_four_attributes_of_a_bag_are_read_and_one_more_is_not(void **state)
{
	(void)state;
	for (size_t more = 0; more < 2; more++) {
		begin(NULL);
		for (size_t i = 0; i < ATTRIBUTES_MAX + more; i++)
			DER_PUT(&d, 0x30, 7, 0x06, 1, 0x2a, 0x31, 2, 5, 0);
		der_wrap(&d, DER_SET, sizeof room);
		size_t value = der_mark(&d);
		DER_PUT(&d, 5, 0);
		der_wrap(&d, DER_CONTEXT_0, value);
		DER_PUT(&d, OID_CRL_BAG);
		der_wrap(&d, DER_SEQUENCE, sizeof room);
		put_identity();
		OPENED o = open_contents();
		if (more)
			assert_refused(o, FAULT_TOO_EXPENSIVE, "more than 64 attributes");
		else
			assert_opens(o);
	}
}

/* A shrouded key of key_ec(0), count times. */
static struct opened open_shrouded(size_t count)
{
	X509 *x = make_plain("Anna", key_ec(0));
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key_ec(0));
	X509_SIG *sig = PKCS8_encrypt(-1, EVP_aes_128_cbc(), "x", 1, NULL, 0, 1, p8);
	for (size_t i = 0; i < count; i++) {
		unsigned char *der = NULL;
		int len = i2d_X509_SIG(sig, &der);
		const unsigned char *p = der;
		sk_PKCS12_SAFEBAG_push(bags, PKCS12_SAFEBAG_create0_pkcs8(d2i_X509_SIG(NULL, &p, len)));
		OPENSSL_free(der);
	}
	put_certificate(bags, x, NULL);
	begin(NULL);
	finish(bags, "x", scratch);
	X509_SIG_free(sig);
	PKCS8_PRIV_KEY_INFO_free(p8);
	X509_free(x);
	return open_scratch();
}

static void two_hundred_and_fifty_six_encrypted_keys_open_and_one_more_does_not(void **state)
{
	(void)state;
	OPENED most = open_shrouded(ENCRYPTED_KEYS_MAX);
	assert_opens(most);
	OPENED more = open_shrouded(ENCRYPTED_KEYS_MAX + 1);
	assert_refused(more, FAULT_TOO_EXPENSIVE, "more than 256 encrypted private keys");
}

/* Files of different keys, each with a certificate or not. */
static void make_many(size_t keys, size_t certificates_each)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	for (size_t i = 0; i < keys; i++) {
		EVP_PKEY *key = EVP_EC_gen("P-256");
		put_key(bags, key, NULL, 0, 0, "");
		for (size_t k = 0; k < certificates_each; k++) {
			X509 *x = make_plain("Anna", key);
			put_certificate(bags, x, NULL);
			X509_free(x);
		}
		EVP_PKEY_free(key);
	}
	begin(NULL);
	finish(bags, "x", scratch);
}

static void sixty_four_keys_with_certificates_open_and_a_key_more_does_not(void **state)
{
	(void)state;
	make_many(PFX_KEYS_MAX, 1);
	OPENED most = open_scratch();
	assert_opens(most);
	make_many(PFX_KEYS_MAX + 1, 1);
	OPENED more = open_scratch();
	assert_refused(more, FAULT_TOO_EXPENSIVE, "more than 64 private keys");
}

static void one_key_under_sixty_four_certificates_opens_and_under_one_more_does_not(void **state)
{
	(void)state;
	make_many(1, PFX_IDENTITIES_MAX);
	OPENED most = open_scratch();
	assert_opens(most);
	make_many(1, PFX_IDENTITIES_MAX + 1);
	OPENED more = open_scratch();
	assert_refused(more, FAULT_TOO_EXPENSIVE, "more than 64 identities");
}

static void put_issuers(STACK_OF(PKCS12_SAFEBAG) *bags, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char name[32];
		snprintf(name, sizeof name, "CA %zu", i);
		const struct certificate_wish w = { .subject = name, .key = key_ec(1),
						    .extensions = { { "basicConstraints", "critical,CA:TRUE" } } };
		X509 *x = make_certificate(&w);
		put_certificate(bags, x, NULL);
		X509_free(x);
	}
}

static void make_with_issuers(size_t count)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	X509 *x = make_plain("Anna", key_ec(0));
	put_key(bags, key_ec(0), NULL, 0, 0, "");
	put_certificate(bags, x, NULL);
	put_issuers(bags, count);
	begin(NULL);
	finish(bags, "x", scratch);
	X509_free(x);
}

static void a_hundred_and_twenty_eight_certificates_open_and_one_more_does_not(void **state)
{
	(void)state;
	make_with_issuers(PFX_CERTIFICATES_MAX - 1);
	OPENED most = open_scratch();
	assert_opens(most);
	make_with_issuers(PFX_CERTIFICATES_MAX);
	OPENED more = open_scratch();
	assert_refused(more, FAULT_TOO_EXPENSIVE, "more than 128 certificates");
}

static size_t chain_length(const struct opened *o)
{
	struct msg_opened_pfx m;
	struct msg_opened_certificate one;
	size_t count = 0;
	assert_int_equal(read_opened_pfx(buf_view(o->answer), &m), 0);
	for (; m.chain.len > 0; count++)
		assert_int_equal(get_opened_certificate(&m.chain, &one), 0);
	return count;
}

static void sixty_four_issuers_are_passed_on_and_of_more_it_is_told(void **state)
{
	(void)state;
	make_with_issuers(PFX_CHAIN_MAX);
	OPENED most = open_scratch();
	assert_opens(most);
	assert_int_equal(chain_length(&most), PFX_CHAIN_MAX);
	assert_false(has_warning(&most, "chain_incomplete"));
	make_with_issuers(PFX_CHAIN_MAX + 1);
	OPENED more = open_scratch();
	assert_opens(more);
	assert_int_equal(chain_length(&more), PFX_CHAIN_MAX);
	assert_true(has_warning(&more, "chain_incomplete"));
}

/* ---- what is measured ---- */

/* A file with one identity, whose encrypted key this is. Takes sig over. */
static void make_with_key(X509_SIG *sig, int mac_salt_len)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	STACK_OF(PKCS7) *safes = NULL;
	X509 *x = make_plain("Anna", key_ec(0));
	assert_non_null(sig);
	sk_PKCS12_SAFEBAG_push(bags, PKCS12_SAFEBAG_create0_pkcs8(sig));
	put_certificate(bags, x, NULL);
	assert_int_equal(PKCS12_add_safe(&safes, bags, -1, 0, NULL), 1);
	begin(NULL);
	finish_safes(safes, "x", mac_salt_len, 1, scratch);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	X509_free(x);
}

static X509_SIG *encrypted_with_salt(bool pbes2, int len)
{
	static uint8_t salt[SALT_MAX_BYTES + 1];
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key_ec(0));
	X509_ALGOR *pbe = pbes2 ? PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), 1, salt, len, NULL, NID_hmacWithSHA256)
				: PKCS5_pbe_set(NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 1, salt, len);
	X509_SIG *sig = PKCS8_set0_pbe("x", 1, p8, pbe);
	PKCS8_PRIV_KEY_INFO_free(p8);
	return sig;
}

static void a_salt_of_a_kilobyte_opens_and_a_longer_one_does_not(void **state)
{
	(void)state;
	for (int more = 0; more < 2; more++) {
		for (int where = 0; where < 3; where++) {
			int len = SALT_MAX_BYTES + more;
			make_with_key(encrypted_with_salt(where != 0, where == 2 ? 8 : len), where == 2 ? len : 8);
			OPENED o = open_scratch();
			if (more)
				assert_refused(o, FAULT_TOO_EXPENSIVE, "a salt of 1025 bytes, 1024 are allowed");
			else
				assert_opens(o);
		}
	}
}

static void set_number(ASN1_INTEGER *at, uint64_t value)
{
	assert_int_equal(ASN1_INTEGER_set_uint64(at, value), 1);
}

/* AES-256 under a key of zeros and an IV of zeros, or under a key that scrypt makes, where it is within reason. */
static void encrypt_key(uint64_t n, uint64_t r, uint64_t p, ASN1_OCTET_STRING *ret)
{
	static const uint8_t salt[8], iv[16];
	uint8_t key[32] = { 0 }, out[512];
	unsigned char *der = NULL;
	int len = 0, last = 0;
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key_ec(0));
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int size = i2d_PKCS8_PRIV_KEY_INFO(p8, &der);
	EVP_PBE_scrypt("x", 1, salt, sizeof salt, n, r, p, 200 << 20, key, sizeof key);
	ERR_clear_error();
	assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, key, iv), 1);
	assert_int_equal(EVP_EncryptUpdate(ctx, out, &len, der, size), 1);
	assert_int_equal(EVP_EncryptFinal_ex(ctx, out + len, &last), 1);
	ASN1_STRING_set(ret, out, len + last);
	EVP_CIPHER_CTX_free(ctx);
	OPENSSL_free(der);
	PKCS8_PRIV_KEY_INFO_free(p8);
}

/* PBES2 with scrypt of any parameters: OpenSSL makes none that are out of its own bounds. */
static X509_SIG *encrypted_with_scrypt(uint64_t n, uint64_t r, uint64_t p)
{
	static uint8_t salt[8], iv[16];
	X509_SIG *sig = X509_SIG_new();
	X509_ALGOR *algorithm;
	ASN1_OCTET_STRING *data;
	X509_ALGOR *pbe = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), salt, sizeof salt, iv, 2, 1, 1);
	const void *value;
	int type;
	X509_ALGOR_get0(NULL, &type, &value, pbe);
	PBE2PARAM *both = ASN1_item_unpack(value, ASN1_ITEM_rptr(PBE2PARAM));
	X509_ALGOR_get0(NULL, &type, &value, both->keyfunc);
	SCRYPT_PARAMS *params = ASN1_item_unpack(value, ASN1_ITEM_rptr(SCRYPT_PARAMS));
	set_number(params->costParameter, n);
	set_number(params->blockSize, r);
	set_number(params->parallelizationParameter, p);
	X509_ALGOR_set0(both->keyfunc, OBJ_nid2obj(NID_id_scrypt), V_ASN1_SEQUENCE,
			ASN1_item_pack(params, ASN1_ITEM_rptr(SCRYPT_PARAMS), NULL));
	X509_SIG_getm(sig, &algorithm, &data);
	X509_ALGOR_set0(algorithm, OBJ_nid2obj(NID_pbes2), V_ASN1_SEQUENCE,
			ASN1_item_pack(both, ASN1_ITEM_rptr(PBE2PARAM), NULL));
	encrypt_key(n, r, p, data);
	SCRYPT_PARAMS_free(params);
	PBE2PARAM_free(both);
	X509_ALGOR_free(pbe);
	return sig;
}

/* Memory: 128 * N * r, and 128 * r * p. */
static void scrypt_within_64_mib_opens_and_beyond_it_does_not(void **state)
{
	(void)state;
	static const struct {
		uint64_t n, r, p;
		enum fault expected;
	} rows[] = {
		{ 2, 1, 1, FAULT_OK }, { 16384, 8, 1, FAULT_OK }, { 65536, 8, 1, FAULT_OK }, { 2, 8, 65536, FAULT_OK },
		{ 65536, 9, 1, FAULT_TOO_EXPENSIVE }, { 131072, 8, 1, FAULT_TOO_EXPENSIVE },
		{ 2, 8, 65537, FAULT_TOO_EXPENSIVE }, { 2, 524289, 1, FAULT_TOO_EXPENSIVE },
		{ UINT64_C(1) << 62, 1, 1, FAULT_TOO_EXPENSIVE }, { 2, UINT64_MAX / 2, 2, FAULT_TOO_EXPENSIVE },
		{ UINT64_C(1) << 63, UINT64_C(1) << 63, UINT64_C(1) << 63, FAULT_TOO_EXPENSIVE },
		{ 1, 1, 1, FAULT_MALFORMED_PKCS12 }, { 1023, 8, 1, FAULT_MALFORMED_PKCS12 },
		{ 1024, 0, 1, FAULT_MALFORMED_PKCS12 }, { 1024, 8, 0, FAULT_MALFORMED_PKCS12 },
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		make_with_key(encrypted_with_scrypt(rows[i].n, rows[i].r, rows[i].p), 8);
		OPENED o = open_scratch();
		if (rows[i].expected)
			assert_refused(o, rows[i].expected, "RFC 7914");
		else
			assert_opens(o);
	}
}

/* ---- certificates ---- */

/* One identity with this certificate. Takes x over. */
static struct opened open_certificate(X509 *x)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	put_key(bags, key_ec(0), NULL, 0, 0, "");
	put_certificate(bags, x, NULL);
	begin(NULL);
	finish(bags, "x", scratch);
	X509_free(x);
	return open_scratch();
}

/* Of len bytes, filled up by an extension that nobody knows. */
static X509 *certificate_of_bytes(int len)
{
	static uint8_t filling[CERTIFICATE_MAX_BYTES + 1];
	int filled = len - 2000;
	for (;;) {
		X509 *x = make_plain("Anna", key_ec(0));
		ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
		ASN1_OCTET_STRING_set(octets, filling, filled);
		ASN1_OBJECT *oid = OBJ_txt2obj("1.2.3.4", 1);
		X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, octets);
		X509_add_ext(x, e, -1);
		assert_true(X509_sign(x, key_ec(0), EVP_sha256()) > 0); /* its length varies by a byte or two */
		ASN1_OBJECT_free(oid);
		X509_EXTENSION_free(e);
		ASN1_OCTET_STRING_free(octets);
		int is = i2d_X509(x, NULL);
		if (is == len)
			return x;
		filled += len - is;
		X509_free(x);
	}
}

static void a_certificate_of_64_kib_opens_and_a_longer_one_does_not(void **state)
{
	(void)state;
	OPENED most = open_certificate(certificate_of_bytes(CERTIFICATE_MAX_BYTES));
	assert_opens(most);
	OPENED more = open_certificate(certificate_of_bytes(CERTIFICATE_MAX_BYTES + 1));
	assert_refused(more, FAULT_MALFORMED_PKCS12, "more than 65536 bytes");
}

static void a_serial_number_of_64_octets_opens_and_a_longer_one_does_not(void **state)
{
	(void)state;
	static uint8_t octets[SERIAL_MAX_CHARS / 2 + 1] = { 0x7f };
	for (int more = 0; more < 2; more++) {
		X509 *x = make_plain("Anna", key_ec(0));
		assert_int_equal(ASN1_STRING_set(X509_get_serialNumber(x), octets, SERIAL_MAX_CHARS / 2 + more), 1);
		assert_true(X509_sign(x, key_ec(0), EVP_sha256()) > 0);
		OPENED o = open_certificate(x);
		if (more) {
			assert_refused(o, FAULT_MALFORMED_PKCS12, "a serial number of 65 octets");
			continue;
		}
		assert_opens(o);
		assert_int_equal(o.identity[0].serial.len, SERIAL_MAX_CHARS);
	}
}

/* A name of as many bytes as RFC 4514 text. */
static X509 *certificate_with_name(size_t len)
{
	static char text[DISTINGUISHED_NAME_MAX_BYTES + 2];
	X509 *x = make_plain("Anna", key_ec(0));
	X509_NAME *name = X509_NAME_new();
	memset(text, 'a', len - 3); /* behind "CN=" */
	text[len - 3] = '\0';
	ASN1_STRING_TABLE_add(NID_commonName, 1, sizeof text, DIRSTRING_TYPE, 0);
	set_name(name, text);
	X509_set_subject_name(x, name);
	X509_NAME_free(name);
	assert_true(X509_sign(x, key_ec(0), EVP_sha256()) > 0);
	return x;
}

static void a_name_is_cut_where_it_is_longer_than_4_kib(void **state)
{
	(void)state;
	OPENED most = open_certificate(certificate_with_name(DISTINGUISHED_NAME_MAX_BYTES - 3));
	assert_opens(most);
	struct view subject = most.identity[0].subject;
	assert_int_equal(subject.len, DISTINGUISHED_NAME_MAX_BYTES - 3);
	assert_int_equal(subject.p[subject.len - 1], 'a');
	OPENED more = open_certificate(certificate_with_name(DISTINGUISHED_NAME_MAX_BYTES - 2));
	assert_opens(more);
	subject = more.identity[0].subject;
	assert_int_equal(subject.len, DISTINGUISHED_NAME_MAX_BYTES);
	assert_memory_equal(subject.p + subject.len - 4, "a...", 4);
}

/* count addresses of len bytes, each another one. */
static struct opened open_addresses(size_t count, size_t len)
{
	X509 *x = make_plain("Anna", key_ec(0));
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	for (size_t i = 0; i < count; i++) {
		char text[EMAIL_MAX_BYTES + 2];
		memset(text, 'a', sizeof text);
		text[snprintf(text, sizeof text, "%03zu", i)] = '@';
		GENERAL_NAME *name = GENERAL_NAME_new();
		ASN1_IA5STRING *address = ASN1_IA5STRING_new();
		ASN1_STRING_set(address, text, (int)len);
		GENERAL_NAME_set0_value(name, GEN_EMAIL, address);
		sk_GENERAL_NAME_push(names, name);
	}
	assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0), 1);
	assert_true(X509_sign(x, key_ec(0), EVP_sha256()) > 0);
	GENERAL_NAMES_free(names);
	return open_certificate(x);
}

static size_t addresses(const struct opened *o)
{
	struct view rest = o->identity[0].emails;
	struct msg_string one;
	size_t count = 0;
	for (; rest.len > 0; count++)
		assert_int_equal(get_string(&rest, &one), 0);
	return count;
}

static void addresses_are_bounded_in_number_and_length(void **state)
{
	(void)state;
	OPENED most = open_addresses(EMAILS_MAX, EMAIL_MAX_BYTES);
	assert_opens(most);
	assert_int_equal(addresses(&most), EMAILS_MAX);
	OPENED more = open_addresses(EMAILS_MAX + 1, EMAIL_MAX_BYTES);
	assert_opens(more);
	assert_int_equal(addresses(&more), EMAILS_MAX);
	OPENED longer = open_addresses(1, EMAIL_MAX_BYTES + 1);
	assert_opens(longer);
	assert_int_equal(addresses(&longer), 0);
}

/* ---- issuers ---- */

static X509 *make_issuer(EVP_PKEY *key)
{
	const struct certificate_wish w = { .subject = "CA", .key = key,
					    .extensions = { { "basicConstraints", "critical,CA:TRUE" } } };
	return make_certificate(&w);
}

/* Whether the issuer that signed is found behind so many of its name that did not. */
static bool finds_signer_behind(size_t others, EVP_PKEY *signer)
{
	const struct certificate_wish w = { .subject = "Leaf", .issuer = "CA", .key = key_ec(0), .signer = signer };
	STACK_OF(PKCS12_SAFEBAG) *bags = bags_begin();
	X509 *leaf = make_certificate(&w), *right = make_issuer(signer);
	put_key(bags, key_ec(0), NULL, 0, 0, "");
	put_certificate(bags, leaf, NULL);
	for (size_t i = 0; i < others; i++) {
		X509 *x = make_issuer(key_ec(2));
		put_certificate(bags, x, NULL);
		X509_free(x);
	}
	put_certificate(bags, right, NULL);
	begin(NULL);
	finish(bags, "x", scratch);
	OPENED o = open_scratch();
	assert_opens(o);
	unsigned char *der = NULL;
	int len = i2d_X509(right, &der);
	bool found = view_equal(o.certificate[o.identity[0].chain.p[0]].certificate, view_of(der, (size_t)len));
	OPENSSL_free(der);
	X509_free(leaf);
	X509_free(right);
	return found;
}

static void of_issuers_with_one_name_sixty_four_are_asked_for_their_signature(void **state)
{
	(void)state;
	assert_true(finds_signer_behind(1, key_ec(1)));
	assert_true(finds_signer_behind(63, key_ec(1)));
	assert_false(finds_signer_behind(64, key_ec(1)));
}

/* An RSA key of sixteen small primes: it signs, and is made at once. */
static EVP_PKEY *quick_rsa(int bits)
{
	BN_CTX *ctx = BN_CTX_new();
	BIGNUM *n = BN_new(), *phi = BN_new(), *e = BN_new(), *p = BN_new();
	EVP_PKEY *key = NULL;
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BN_set_word(e, 65537);
	do {
		BN_one(n);
		BN_one(phi);
		for (int i = 0; i < 16; i++) {
			/* The last one is as long as what is missing. */
			int part = i < 15 ? bits / 16 : bits - BN_num_bits(n);
			assert_int_equal(BN_generate_prime_ex2(p, part, 0, NULL, NULL, NULL, ctx), 1);
			BN_mul(n, n, p, ctx);
			BN_sub_word(p, 1);
			BN_mul(phi, phi, p, ctx);
		}
	} while (BN_num_bits(n) != bits || !BN_mod_inverse(p, e, phi, ctx));
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
	OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_D, p);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY_CTX *maker = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	assert_int_equal(EVP_PKEY_fromdata_init(maker), 1);
	assert_int_equal(EVP_PKEY_fromdata(maker, &key, EVP_PKEY_KEYPAIR, params), 1);
	EVP_PKEY_CTX_free(maker);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_free(n);
	BN_free(phi);
	BN_free(e);
	BN_free(p);
	BN_CTX_free(ctx);
	return key;
}

static void a_signature_by_rsa_of_more_than_8192_bits_is_not_worth_its_check(void **state)
{
	(void)state;
	EVP_PKEY *largest = quick_rsa(8192), *larger = quick_rsa(8200);
	assert_true(finds_signer_behind(1, largest));
	assert_false(finds_signer_behind(1, larger));
	EVP_PKEY_free(largest);
	EVP_PKEY_free(larger);
}

/* ---- requests ---- */

static void a_password_has_1024_bytes_at_most(void **state)
{
	(void)state;
	static char text[PASSWORD_MAX_BYTES + 2];
	memset(text, 'p', PASSWORD_MAX_BYTES);
	static const int nids[] = { NID_aes_256_cbc, NID_pbe_WithSHA1And3_Key_TripleDES_CBC };
	for (size_t i = 0; i < 2; i++) {
		begin(NULL);
		make_file(key_ec(0), make_plain("Anna", key_ec(0)), text, nids[i], nids[i], 1, scratch);
		OPENED o = open_it(scratch, text);
		assert_opens(o);
		text[PASSWORD_MAX_BYTES - 1] = 'q';
		OPENED last = open_it(scratch, text);
		assert_refused(last, FAULT_WRONG_PASSWORD, "password");
		text[PASSWORD_MAX_BYTES - 1] = 'p';
	}
	text[PASSWORD_MAX_BYTES] = 'p';
	BUF frame = buf_new(FILE_MAX_BYTES);
	struct msg_open_pfx m = { .pfx_secret = buf_view(scratch), .password_secret = view_text(text) };
	assert_int_equal(put_open_pfx(frame, &m), -FAULT_MALFORMED_REQUEST);
	assert_non_null(strstr(fault_detail(), "password"));
}

static void a_file_of_2_mib_is_read_and_a_longer_one_does_not_fit_a_request(void **state)
{
	(void)state;
	BUF file = buf_new(PFX_MAX_BYTES + 1);
	BUF frame = buf_new(PFX_MAX_BYTES + KIB);
	uint8_t *at = buf_reserve(file, PFX_MAX_BYTES);
	memset(at, 0, PFX_MAX_BYTES);
	/* A SEQUENCE of that size; there is no PFX in it, but it is looked at. */
	memcpy(at, "\x30\x83\x1f\xff\xfb", 5);
	OPENED o = open_it(file, "x");
	assert_refused(o, FAULT_MALFORMED_PKCS12, "not a PFX");
	struct msg_open_pfx m = { .pfx_secret = buf_view(file), .password_secret = view_text("x") };
	assert_int_equal(put_open_pfx(frame, &m), 0);
	buf_put_u8(file, 0);
	buf_reset(frame);
	m.pfx_secret = buf_view(file);
	assert_int_equal(put_open_pfx(frame, &m), -FAULT_MALFORMED_REQUEST);
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(two_thousand_and_forty_eight_bags_open_and_one_more_does_not),
		TEST(bags_in_nested_safe_contents_are_counted_with_the_rest),
		TEST(five_hundred_and_twelve_safes_open_and_one_more_does_not),
		TEST(an_identity_opens_four_deep_in_safe_contents_and_not_five_deep),
		TEST(sixty_four_attributes_of_a_bag_are_read_and_one_more_is_not),
		TEST(two_hundred_and_fifty_six_encrypted_keys_open_and_one_more_does_not),
		TEST(sixty_four_keys_with_certificates_open_and_a_key_more_does_not),
		TEST(one_key_under_sixty_four_certificates_opens_and_under_one_more_does_not),
		TEST(a_hundred_and_twenty_eight_certificates_open_and_one_more_does_not),
		TEST(sixty_four_issuers_are_passed_on_and_of_more_it_is_told),
		TEST(a_salt_of_a_kilobyte_opens_and_a_longer_one_does_not),
		TEST(scrypt_within_64_mib_opens_and_beyond_it_does_not),
		TEST(a_certificate_of_64_kib_opens_and_a_longer_one_does_not),
		TEST(a_serial_number_of_64_octets_opens_and_a_longer_one_does_not),
		TEST(a_name_is_cut_where_it_is_longer_than_4_kib),
		TEST(addresses_are_bounded_in_number_and_length),
		TEST(of_issuers_with_one_name_sixty_four_are_asked_for_their_signature),
		TEST(a_signature_by_rsa_of_more_than_8192_bits_is_not_worth_its_check),
		TEST(a_password_has_1024_bytes_at_most),
		TEST(a_file_of_2_mib_is_read_and_a_longer_one_does_not_fit_a_request),
	};
	return cmocka_run_group_tests_name("opener_limits", tests, NULL, NULL);
}
