/* What other libraries make of a PFX, for test_differential.py: it asks on standard input and is answered on standard
 * output. A question is a byte (the verb) and its fields, each with a length of 32 bits; an answer is one field.
 *
 *   O  pfx, password                    everything that OpenSSL finds in it, its legacy provider loaded
 *   G  pfx, password                    everything that GnuTLS finds in it
 *   K  pfx, password, certificate       the key in it, as OpenSSL reads it, and whether it is the certificate's
 *   E, D  cipher, key, iv, data         encrypts, decrypts: an answer of bytes
 *
 * Lines of O and G: "key HEX", "certificate HEX", "broken WHAT" for a part that it can not read; or "refused WHY". */
#include <gnutls/gnutls.h>
#include <gnutls/pkcs12.h>
#include <gnutls/x509.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_MAX_BYTES = 8 << 20, ANSWER_MAX_BYTES = 1 << 20, DEPTH_MAX = 16 };

struct field {
	unsigned char *p;
	size_t len;
};

static char answer[ANSWER_MAX_BYTES];
static size_t answer_len;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(answer + answer_len, sizeof answer - answer_len, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < sizeof answer - answer_len)
		answer_len += (size_t)n;
}

static void say_digest(const char *what, const EVP_MD *md, const void *p, size_t len)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	if (EVP_Digest(p, len, digest, &size, md, NULL) != 1)
		abort();
	say("%s ", what);
	for (unsigned i = 0; i < size; i++)
		say("%02x", digest[i]);
	say("\n");
}

/* The public half as its SubjectPublicKeyInfo, and the number that nobody else has. */
static void say_key(const EVP_PKEY *key)
{
	BIGNUM *number = NULL;
	unsigned char *spki = NULL, all[16384];
	const char *name = EVP_PKEY_is_a(key, "EC") ? OSSL_PKEY_PARAM_PRIV_KEY : OSSL_PKEY_PARAM_RSA_D;
	int len = i2d_PUBKEY(key, &spki), bytes = 0;
	if (len > 0 && EVP_PKEY_get_bn_param(key, name, &number) == 1)
		bytes = BN_num_bytes(number);
	if (len <= 0 || bytes == 0 || (size_t)len + (size_t)bytes > sizeof all) {
		say("broken a key without its halves\n");
	} else {
		memcpy(all, spki, (size_t)len);
		BN_bn2bin(number, all + len);
		say_digest("key", EVP_sha256(), all, (size_t)len + (size_t)bytes);
	}
	BN_free(number);
	OPENSSL_free(spki);
}

static void say_pkcs8(const unsigned char *p, long len)
{
	EVP_PKEY *key = NULL;
	PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, len);
	if (info)
		key = EVP_PKCS82PKEY(info);
	if (key)
		say_key(key);
	else
		say("broken a private key\n");
	EVP_PKEY_free(key);
	PKCS8_PRIV_KEY_INFO_free(info);
}

static void ask_pair(const struct field *pfx, const struct field *password, const struct field *certificate)
{
	const unsigned char *p = pfx->p, *q = certificate->p;
	EVP_PKEY *key = NULL;
	X509 *x = d2i_X509(NULL, &q, (long)certificate->len), *beside = NULL;
	PKCS12 *p12 = d2i_PKCS12(NULL, &p, (long)pfx->len);
	if (p12 && PKCS12_parse(p12, (const char *)password->p, &key, &beside, NULL) == 1 && key)
		say_key(key);
	else
		say("broken a private key\n");
	if (!key || !x || X509_check_private_key(x, key) != 1)
		say("broken a key that is not the certificate's\n");
	PKCS12_free(p12);
	EVP_PKEY_free(key);
	X509_free(beside);
	X509_free(x);
	ERR_clear_error();
}

/* ---- OpenSSL ---- */

static void openssl_key(const PKCS8_PRIV_KEY_INFO *info)
{
	EVP_PKEY *key = info ? EVP_PKCS82PKEY(info) : NULL;
	if (key)
		say_key(key);
	else
		say("broken a private key\n");
	EVP_PKEY_free(key);
}

static void openssl_certificate(const PKCS12_SAFEBAG *bag)
{
	unsigned char *der = NULL;
	X509 *x = PKCS12_SAFEBAG_get1_cert(bag);
	int len = x ? i2d_X509(x, &der) : -1;
	if (len > 0)
		say_digest("certificate", EVP_sha256(), der, (size_t)len);
	else
		say("broken a certificate\n");
	OPENSSL_free(der);
	X509_free(x);
}

static void openssl_bags(const STACK_OF(PKCS12_SAFEBAG) *bags, const char *password, int len, int depth)
{
	for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags) && depth < DEPTH_MAX; i++) {
		const PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);
		PKCS8_PRIV_KEY_INFO *info = NULL;
		switch (PKCS12_SAFEBAG_get_nid(bag)) {
		case NID_keyBag:
			openssl_key(PKCS12_SAFEBAG_get0_p8inf(bag));
			break;
		case NID_pkcs8ShroudedKeyBag:
			info = PKCS12_decrypt_skey(bag, password, len);
			openssl_key(info);
			PKCS8_PRIV_KEY_INFO_free(info);
			break;
		case NID_certBag:
			openssl_certificate(bag);
			break;
		case NID_safeContentsBag:
			openssl_bags(PKCS12_SAFEBAG_get0_safes(bag), password, len, depth + 1);
		}
	}
}

static void openssl_safes(PKCS12 *p12, const char *password, int len)
{
	STACK_OF(PKCS7) *safes = PKCS12_unpack_authsafes(p12);
	if (!safes)
		say("refused the safes\n");
	for (int i = 0; i < sk_PKCS7_num(safes); i++) {
		PKCS7 *safe = sk_PKCS7_value(safes, i);
		STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
		if (PKCS7_type_is_data(safe))
			bags = PKCS12_unpack_p7data(safe);
		else if (PKCS7_type_is_encrypted(safe))
			bags = PKCS12_unpack_p7encdata(safe, password, len);
		if (!bags)
			say("broken a safe\n");
		openssl_bags(bags, password, len, 0);
		sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	}
	sk_PKCS7_pop_free(safes, PKCS7_free);
}

static int has_pbmac1(const PKCS12 *p12)
{
	const X509_ALGOR *algorithm = NULL;
	const ASN1_OBJECT *object = NULL;
	PKCS12_get0_mac(NULL, &algorithm, NULL, NULL, p12);
	if (algorithm)
		X509_ALGOR_get0(&object, NULL, NULL, algorithm);
	return OBJ_obj2nid(object) == NID_pbmac1;
}

/* OpenSSL before 3.4 has no PBMAC1: then it reads the file as `openssl pkcs12 -nomacver` does. */
static void ask_openssl(const struct field *pfx, const struct field *password)
{
	const unsigned char *p = pfx->p;
	const char *text = (const char *)password->p;
	int len = (int)password->len;
	PKCS12 *p12 = d2i_PKCS12(NULL, &p, (long)pfx->len);
	if (!p12) {
		say("refused the file\n");
	} else if (!PKCS12_mac_present(p12)) {
		say("refused its missing MAC\n");
	} else if (PKCS12_verify_mac(p12, text, len) == 1) {
		openssl_safes(p12, text, len);
	} else if (len == 0 && PKCS12_verify_mac(p12, NULL, 0) == 1) {
		openssl_safes(p12, NULL, 0);
	} else if (has_pbmac1(p12)) {
		say("unverified\n");
		openssl_safes(p12, text, len);
	} else {
		say("refused the MAC\n");
	}
	PKCS12_free(p12);
	ERR_clear_error();
}

/* ---- GnuTLS ---- */

static void gnutls_key(const gnutls_datum_t *data, const char *password, int plain)
{
	gnutls_x509_privkey_t key;
	gnutls_datum_t out = { 0 };
	if (gnutls_x509_privkey_init(&key) < 0)
		abort();
	int rc = gnutls_x509_privkey_import_pkcs8(key, data, GNUTLS_X509_FMT_DER, plain ? NULL : password,
						  plain ? GNUTLS_PKCS_PLAIN : password ? 0 : GNUTLS_PKCS_NULL_PASSWORD);
	if (rc == 0)
		rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_DER, NULL, GNUTLS_PKCS_PLAIN, &out);
	if (rc == 0)
		say_pkcs8(out.data, (long)out.size);
	else
		say("broken a private key: %s\n", gnutls_strerror(rc));
	gnutls_free(out.data);
	gnutls_x509_privkey_deinit(key);
}

static void gnutls_element(gnutls_pkcs12_bag_t bag, unsigned i, const char *password)
{
	gnutls_datum_t data;
	int type = gnutls_pkcs12_bag_get_type(bag, i);
	if (gnutls_pkcs12_bag_get_data(bag, i, &data) < 0)
		say("broken an element\n");
	else if (type == GNUTLS_BAG_CERTIFICATE)
		say_digest("certificate", EVP_sha256(), data.data, data.size);
	else if (type == GNUTLS_BAG_PKCS8_KEY || type == GNUTLS_BAG_PKCS8_ENCRYPTED_KEY)
		gnutls_key(&data, password, type == GNUTLS_BAG_PKCS8_KEY);
}

static void gnutls_bags(gnutls_pkcs12_t p12, const char *password)
{
	for (int i = 0;; i++) {
		gnutls_pkcs12_bag_t bag;
		if (gnutls_pkcs12_bag_init(&bag) < 0)
			abort();
		int rc = gnutls_pkcs12_get_bag(p12, i, bag);
		if (rc == 0 && gnutls_pkcs12_bag_get_type(bag, 0) == GNUTLS_BAG_ENCRYPTED)
			rc = gnutls_pkcs12_bag_decrypt(bag, password);
		int count = rc == 0 ? gnutls_pkcs12_bag_get_count(bag) : 0;
		for (int k = 0; k < count; k++)
			gnutls_element(bag, (unsigned)k, password);
		gnutls_pkcs12_bag_deinit(bag);
		if (rc == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
			return;
		if (rc < 0)
			say("broken a safe: %s\n", gnutls_strerror(rc));
		if (i > 1024)
			return;
	}
}

static void ask_gnutls(const struct field *pfx, const struct field *password)
{
	gnutls_pkcs12_t p12;
	const gnutls_datum_t data = { pfx->p, (unsigned)pfx->len };
	const char *text = (const char *)password->p;
	if (gnutls_pkcs12_init(&p12) < 0)
		abort();
	int rc = gnutls_pkcs12_import(p12, &data, GNUTLS_X509_FMT_DER, 0);
	int verified = rc == 0 ? gnutls_pkcs12_verify_mac(p12, text) : rc;
	if (rc == 0 && verified < 0 && *text == '\0') {
		text = NULL;
		verified = gnutls_pkcs12_verify_mac(p12, NULL);
	}
	if (verified < 0)
		say("refused %s: %s\n", rc < 0 ? "the file" : "the MAC", gnutls_strerror(verified));
	else
		gnutls_bags(p12, text);
	gnutls_pkcs12_deinit(p12);
}

/* ---- ciphers ---- */

static void run_cipher(int encrypt, const struct field *f)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, (const char *)f[0].p, NULL);
	int len = 0, last = 0;
	if (!ctx || !cipher || f[3].len + 64 > sizeof answer)
		abort();
	unsigned char *at = (unsigned char *)answer;
	if (EVP_CipherInit_ex2(ctx, cipher, f[1].p, f[2].p, encrypt, NULL) == 1 &&
	    EVP_CipherUpdate(ctx, at, &len, f[3].p, (int)f[3].len) == 1 &&
	    EVP_CipherFinal_ex(ctx, at + len, &last) == 1)
		answer_len = (size_t)len + (size_t)last;
	EVP_CIPHER_free(cipher);
	EVP_CIPHER_CTX_free(ctx);
	ERR_clear_error();
}

/* ---- questions ---- */

static int read_field(struct field *ret)
{
	unsigned char header[4];
	if (fread(header, 1, 4, stdin) != 4)
		return 0;
	size_t len = (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3];
	if (len > FIELD_MAX_BYTES)
		abort();
	ret->p = calloc(1, len + 1); /* with a zero behind it, for those that want a string */
	ret->len = len;
	return ret->p && fread(ret->p, 1, len, stdin) == len;
}

static int read_fields(int count, struct field *ret)
{
	for (int i = 0; i < count; i++)
		if (!read_field(&ret[i]))
			return 0;
	return 1;
}

static void answer_question(int verb, const struct field *f)
{
	answer_len = 0;
	switch (verb) {
	case 'O': ask_openssl(&f[0], &f[1]); break;
	case 'G': ask_gnutls(&f[0], &f[1]); break;
	case 'K': ask_pair(&f[0], &f[1], &f[2]); break;
	default: run_cipher(verb == 'E', f);
	}
	const unsigned char header[4] = { (unsigned char)(answer_len >> 24), (unsigned char)(answer_len >> 16),
					  (unsigned char)(answer_len >> 8), (unsigned char)answer_len };
	fwrite(header, 1, 4, stdout);
	fwrite(answer, 1, answer_len, stdout);
	fflush(stdout);
}

int main(void)
{
	OSSL_PROVIDER *legacy = OSSL_PROVIDER_load(NULL, "legacy"), *own = OSSL_PROVIDER_load(NULL, "default");
	if (!legacy || !own || gnutls_global_init() < 0)
		return 1;
	for (int verb; (verb = getchar()) != EOF;) {
		static const char verbs[] = "KOGED";
		static const int counts[] = { 3, 2, 2, 4, 4 };
		struct field f[4] = { { 0 } };
		const char *at = strchr(verbs, verb);
		if (!at || !verb || !read_fields(counts[at - verbs], f))
			return 1;
		answer_question(verb, f);
		for (int i = 0; i < 4; i++)
			free(f[i].p);
	}
	return 0;
}
