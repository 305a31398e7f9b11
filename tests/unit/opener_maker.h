/* Makes keys, certificates and PFX files for the tests of the opener, with OpenSSL. What fails here ends the test. */
#ifndef PFXD_TESTS_OPENER_MAKER_H
#define PFXD_TESTS_OPENER_MAKER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* the table of errors has one, too */

#include "buf.h"
#include "fault.h"
#include "opener/ciphers.h"
#include "opener/der.h"
#include "opener/open_pfx.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX_BYTES = 1 << 20, DAY = 86400, WORK_ENOUGH = 20000000 };

/* One key of each kind for the whole run: RSA keys take their time. */
static inline EVP_PKEY *key_rsa(int n)
{
	static EVP_PKEY *keys[3];
	if (!keys[n])
		keys[n] = EVP_RSA_gen(2048);
	assert_non_null(keys[n]);
	return keys[n];
}

static inline EVP_PKEY *key_ec(int n)
{
	static EVP_PKEY *keys[8];
	if (!keys[n])
		keys[n] = EVP_EC_gen("P-256");
	assert_non_null(keys[n]);
	return keys[n];
}

/* Of an encoding that is freed. */
static inline struct buf *taken(unsigned char *der, int len)
{
	struct buf *b = buf_new(FILE_MAX_BYTES);
	assert_true(len > 0);
	buf_put(b, der, (size_t)len);
	OPENSSL_free(der);
	return b;
}

static inline struct buf *pkcs8_of(EVP_PKEY *key)
{
	unsigned char *der = NULL;
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
	PKCS8_PRIV_KEY_INFO_free(info);
	return taken(der, len);
}

struct certificate_wish {
	const char *subject, *issuer;    /* common names; issuer NULL: self-issued */
	const char *email;               /* in the subject */
	EVP_PKEY *key, *signer;          /* signer NULL: self-signed */
	long begins, ends;               /* seconds from now; 0: yesterday, in a year */
	const char *extensions[8][2];    /* OpenSSL's name and value */
};

static inline void set_name(X509_NAME *name, const char *text)
{
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text, -1, -1, 0),
			 1);
}

static inline X509 *make_certificate(const struct certificate_wish *w)
{
	static long serial = 0x1000;
	X509 *x = X509_new();
	assert_non_null(x);
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	set_name(X509_get_subject_name(x), w->subject);
	if (w->email)
		X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_pkcs9_emailAddress, MBSTRING_UTF8,
					   (const unsigned char *)w->email, -1, -1, 0);
	set_name(X509_get_issuer_name(x), w->issuer ? w->issuer : w->subject);
	X509_gmtime_adj(X509_getm_notBefore(x), w->begins ? w->begins : -DAY);
	X509_gmtime_adj(X509_getm_notAfter(x), w->ends ? w->ends : 365 * DAY);
	X509_set_pubkey(x, w->key);
	for (size_t i = 0; i < 8 && w->extensions[i][0]; i++) {
		X509V3_CTX ctx;
		X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
		X509_EXTENSION *e = X509V3_EXT_nconf(NULL, &ctx, w->extensions[i][0], w->extensions[i][1]);
		assert_non_null(e);
		X509_add_ext(x, e, -1);
		X509_EXTENSION_free(e);
	}
	assert_true(X509_sign(x, w->signer ? w->signer : w->key, EVP_sha256()) > 0);
	return x;
}

static inline X509 *make_plain(const char *subject, EVP_PKEY *key)
{
	const struct certificate_wish w = { .subject = subject, .key = key };
	return make_certificate(&w);
}

/* ---- files, bag by bag ---- */

static inline STACK_OF(PKCS12_SAFEBAG) *bags_begin(void)
{
	return sk_PKCS12_SAFEBAG_new_null();
}

static inline void add_local_id(PKCS12_SAFEBAG *bag, const char *id)
{
	if (id)
		assert_int_equal(PKCS12_add_localkeyid(bag, (unsigned char *)id, (int)strlen(id)), 1);
}

/* pbe_nid 0: a plain KeyBag. */
static inline void put_key(STACK_OF(PKCS12_SAFEBAG) *bags, EVP_PKEY *key, const char *id, int pbe_nid, int iterations,
			   const char *password)
{
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
	PKCS12_SAFEBAG *bag = pbe_nid ? PKCS12_SAFEBAG_create_pkcs8_encrypt(pbe_nid, password, (int)strlen(password),
									    NULL, 0,
									    iterations, p8)
				      : PKCS12_SAFEBAG_create0_p8inf(p8);
	if (pbe_nid)
		PKCS8_PRIV_KEY_INFO_free(p8);
	assert_non_null(bag);
	add_local_id(bag, id);
	sk_PKCS12_SAFEBAG_push(bags, bag);
}

static inline void put_certificate(STACK_OF(PKCS12_SAFEBAG) *bags, X509 *x, const char *id)
{
	PKCS12_SAFEBAG *bag = PKCS12_SAFEBAG_create_cert(x);
	assert_non_null(bag);
	add_local_id(bag, id);
	sk_PKCS12_SAFEBAG_push(bags, bag);
}

/* Appends a PKCS#12 of these safes with a SHA-256 MAC to ret; salt_len 0: as long as OpenSSL has it. Takes safes
 * over. */
static inline void finish_safes(STACK_OF(PKCS7) *safes, const char *password, int salt_len, int iterations,
				struct buf *ret)
{
	PKCS12 *p12 = PKCS12_add_safes(safes, 0);
	assert_non_null(p12);
	assert_int_equal(PKCS12_set_mac(p12, password, -1, NULL, salt_len, iterations, EVP_sha256()), 1);
	int len = i2d_PKCS12(p12, NULL);
	uint8_t *at = buf_reserve(ret, (size_t)len);
	assert_non_null(at);
	i2d_PKCS12(p12, &at);
	PKCS12_free(p12);
	sk_PKCS7_pop_free(safes, PKCS7_free);
}

/* The same of these bags, in one safe in the clear; takes bags over. */
static inline void finish(STACK_OF(PKCS12_SAFEBAG) *bags, const char *password, struct buf *ret)
{
	STACK_OF(PKCS7) *safes = NULL;
	assert_int_equal(PKCS12_add_safe(&safes, bags, -1, 0, NULL), 1);
	finish_safes(safes, password, 0, 16, ret);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
}

/* What `openssl pkcs12 -export` writes. Takes x over. */
static inline void make_file(EVP_PKEY *key, X509 *x, const char *password, int key_nid, int cert_nid, int iterations,
			     struct buf *ret)
{
	PKCS12 *p12 = PKCS12_create(password, NULL, key, x, NULL, key_nid, cert_nid, iterations, iterations, 0);
	assert_non_null(p12);
	int len = i2d_PKCS12(p12, NULL);
	uint8_t *at = buf_reserve(ret, (size_t)len);
	assert_non_null(at);
	i2d_PKCS12(p12, &at);
	PKCS12_free(p12);
	X509_free(x);
}

/* ---- opening ---- */

enum { IDENTITIES_SEEN = 8, WARNINGS_SEEN = 16 };

struct opened {
	int rc; /* 0, or -fault */
	struct buf *answer;
	size_t identities, chain, warnings;
	struct msg_opened_identity identity[IDENTITIES_SEEN];
	struct msg_opened_certificate certificate[IDENTITIES_SEEN];
	struct msg_warning warning[WARNINGS_SEEN];
};

static inline void opened_done(struct opened *o)
{
	buf_free(o->answer);
}

#define OPENED __attribute__((cleanup(opened_done))) struct opened

static inline const struct ciphers *test_ciphers(void)
{
	static struct ciphers ciphers;
	if (!ciphers.ctx)
		assert_true(ciphers_load(&ciphers));
	return &ciphers;
}

/* The n-th password is its number, padded: known to the tests. */
static inline struct view test_passwords(void)
{
	static char all[PFX_IDENTITIES_MAX * PKCS12_PASSWORD_CHARS + 1];
	for (int i = 0; i < PFX_IDENTITIES_MAX; i++)
		snprintf(all + i * PKCS12_PASSWORD_CHARS, PKCS12_PASSWORD_CHARS + 1, "%043d", i);
	return view_of(all, sizeof all - 1);
}

static inline void read_answer(struct opened *o)
{
	struct msg_opened_pfx m;
	assert_int_equal(read_opened_pfx(buf_view(o->answer), &m), 0);
	for (; m.identities.len > 0 && o->identities < IDENTITIES_SEEN; o->identities++)
		assert_int_equal(get_opened_identity(&m.identities, &o->identity[o->identities]), 0);
	for (; m.chain.len > 0 && o->chain < IDENTITIES_SEEN; o->chain++)
		assert_int_equal(get_opened_certificate(&m.chain, &o->certificate[o->chain]), 0);
	for (; m.warnings.len > 0 && o->warnings < WARNINGS_SEEN; o->warnings++)
		assert_int_equal(get_warning(&m.warnings, &o->warning[o->warnings]), 0);
}

static inline struct opened open_wish(struct view pfx, struct view password, uint64_t max_work, uint8_t usages)
{
	struct opened o = { .answer = buf_new(FRAME_MAX_BYTES) };
	const struct msg_open_pfx m = { .max_work = max_work, .usages = usages, .pfx_secret = pfx,
					.password_secret = password, .passwords_secret = test_passwords() };
	o.rc = open_pfx(test_ciphers(), &m, o.answer);
	if (o.rc == 0)
		read_answer(&o);
	return o;
}

static inline struct opened open_it(const struct buf *pfx, const char *password)
{
	return open_wish(buf_view(pfx), view_text(password), WORK_ENOUGH, 0);
}

/* Of a file that was made for a device: the PKCS#8 in its shrouded bag, byte for byte. The n-th identity's file has the
 * n-th password. */
static inline void made_pkcs8(struct view file, size_t n, struct buf *ret)
{
	const uint8_t *p = file.p;
	struct view password = test_passwords();
	unsigned char *plain = NULL;
	int len = 0;
	PKCS12 *p12 = d2i_PKCS12(NULL, &p, (long)file.len);
	assert_non_null(p12);
	assert_ptr_equal(p, file.p + file.len);
	STACK_OF(PKCS7) *safes = PKCS12_unpack_authsafes(p12);
	assert_int_equal(sk_PKCS7_num(safes), 2);
	STACK_OF(PKCS12_SAFEBAG) *bags = PKCS12_unpack_p7data(sk_PKCS7_value(safes, 1));
	assert_int_equal(sk_PKCS12_SAFEBAG_num(bags), 1);
	const X509_SIG *sig = PKCS12_SAFEBAG_get0_pkcs8(sk_PKCS12_SAFEBAG_value(bags, 0));
	const X509_ALGOR *algorithm;
	const ASN1_OCTET_STRING *sealed;
	assert_non_null(sig);
	X509_SIG_get0(sig, &algorithm, &sealed);
	assert_non_null(PKCS12_pbe_crypt(algorithm, (const char *)password.p + n * PKCS12_PASSWORD_CHARS,
					 PKCS12_PASSWORD_CHARS, ASN1_STRING_get0_data(sealed),
					 ASN1_STRING_length(sealed), &plain, &len, 0));
	buf_put(ret, plain, (size_t)len);
	OPENSSL_clear_free(plain, (size_t)len);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	sk_PKCS7_pop_free(safes, PKCS7_free);
	PKCS12_free(p12);
}

/* That both files of the n-th identity hold this key, in the same bytes. */
static inline void assert_made_key(const struct opened *o, size_t n, EVP_PKEY *key)
{
	BUF modern = buf_new(KEY_MAX_BYTES);
	BUF legacy = buf_new(KEY_MAX_BYTES);
	made_pkcs8(o->identity[n].modern_secret, n, modern);
	made_pkcs8(o->identity[n].legacy_secret, n, legacy);
	assert_true(buf_ok(modern) && view_equal(buf_view(modern), buf_view(legacy)));
	const uint8_t *p = buf_data(modern);
	PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)buf_len(modern));
	assert_ptr_equal(p, buf_data(modern) + buf_len(modern));
	EVP_PKEY *got = EVP_PKCS82PKEY(info);
	assert_int_equal(EVP_PKEY_eq(got, key), 1);
	EVP_PKEY_free(got);
	PKCS8_PRIV_KEY_INFO_free(info);
}

static inline bool has_warning(const struct opened *o, const char *code)
{
	for (size_t i = 0; i < o->warnings; i++)
		if (view_is(o->warning[i].code, code))
			return true;
	return false;
}

#define assert_refused(opened, expected, words) \
	do { \
		assert_string_equal(fault_code((opened).rc), fault_code(-(int)(expected))); \
		assert_non_null(strstr(fault_detail(), (words))); \
	} while (0)

static inline void read_file(const char *path, struct buf *ret)
{
	FILE *f = fopen(path, "rb");
	uint8_t block[4096];
	assert_non_null(f);
	for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
		buf_put(ret, block, n);
	fclose(f);
	assert_true(buf_ok(ret) && buf_len(ret) > 0);
}

#endif
