/* A writer of PFX files that nothing holds back, and the file that it writes: for the tests of what a PFX must not be.
 * The password is "x". */
#ifndef PFXD_TESTS_OPENER_WRITER_H
#define PFXD_TESTS_OPENER_WRITER_H

#include "opener_maker.h"

#include "opener/kdf.h"

static struct buf *scratch; /* the file; emptied before each test */
static uint8_t room[FILE_MAX_BYTES];
static struct der d;

static inline int begin(void **state)
{
	(void)state;
	if (!scratch)
		scratch = buf_new(FILE_MAX_BYTES);
	buf_reset(scratch);
	der_init(&d, room, sizeof room);
	return scratch ? 0 : -1;
}

/* d is written from its end to its beginning. */

#define OID_PKCS(...) 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, __VA_ARGS__
#define OID_DATA            0x06, 9, OID_PKCS(7, 1)
#define OID_SIGNED          0x06, 9, OID_PKCS(7, 2)
#define OID_ENVELOPED       0x06, 9, OID_PKCS(7, 3)
#define OID_ENCRYPTED       0x06, 9, OID_PKCS(7, 6)
#define OID_X509_CERTIFICATE 0x06, 10, OID_PKCS(9, 22, 1)
#define OID_CERT_BAG        0x06, 11, OID_PKCS(12, 10, 1, 3)
#define OID_KEY_BAG         0x06, 11, OID_PKCS(12, 10, 1, 1)
#define OID_SHROUDED_BAG    0x06, 11, OID_PKCS(12, 10, 1, 2)
#define OID_CRL_BAG         0x06, 11, OID_PKCS(12, 10, 1, 4)
#define OID_NESTED_BAG      0x06, 11, OID_PKCS(12, 10, 1, 6)
#define OID_PBMAC1          0x06, 9, OID_PKCS(5, 14)
#define OID_PBKDF2          0x06, 9, OID_PKCS(5, 12)
#define OID_PBE_3DES        0x06, 10, OID_PKCS(12, 1, 3)
#define OID_HMAC_SHA256     0x06, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9
#define OID_SHA1            0x06, 5, 0x2b, 0x0e, 3, 2, 26
#define SALT                0x04, 8, 1, 2, 3, 4, 5, 6, 7, 8

/* Around what was written since mark: ContentInfo of data. */
static inline void wrap_data(size_t mark)
{
	der_wrap(&d, DER_OCTETS, mark);
	der_wrap(&d, DER_CONTEXT_0, mark);
	DER_PUT(&d, OID_DATA);
	der_wrap(&d, DER_SEQUENCE, mark);
}

/* Around the value written since mark: a SafeBag of the type. */
#define WRAP_BAG(mark, ...) \
	do { \
		der_wrap(&d, DER_CONTEXT_0, (mark)); \
		DER_PUT(&d, __VA_ARGS__); \
		der_wrap(&d, DER_SEQUENCE, (mark)); \
	} while (0)

/* MacData with SHA-1 that is right for content and the password "x" at one iteration; iterations: a whole INTEGER that
 * stands there instead. */
static inline void put_mac(struct view content, struct view iterations)
{
	const struct hash *sha1 = hash_by_nid(NID_sha1);
	static const uint8_t salt[] = { 1, 2, 3, 4, 5, 6, 7, 8 }, x[] = { 0, 'x', 0, 0 };
	uint8_t key[20], digest[20];
	kdf_pkcs12(sha1, view_of(x, sizeof x), view_of(salt, sizeof salt), KDF_ID_MAC, 1, key, sizeof key);
	hash_hmac(sha1, view_of(key, sizeof key), content, digest);
	size_t all = der_mark(&d);
	der_put(&d, iterations);
	DER_PUT(&d, SALT);
	size_t info = der_mark(&d);
	der_put_value(&d, DER_OCTETS, view_of(digest, sizeof digest));
	size_t algorithm = der_mark(&d);
	DER_PUT(&d, OID_SHA1, 5, 0);
	der_wrap(&d, DER_SEQUENCE, algorithm);
	der_wrap(&d, DER_SEQUENCE, info);
	der_wrap(&d, DER_SEQUENCE, all);
}

/* Takes what was written since mark as the AuthenticatedSafe and makes a whole PFX of it, in scratch. mac NULL: the
 * right one; else the bytes that stand in its place. */
static inline void finish_pfx(size_t mark, struct view iterations, const struct view *mac)
{
	BUF content = buf_new(FILE_MAX_BYTES);
	buf_put(content, der_since(&d, mark).p, der_since(&d, mark).len);
	der_init(&d, room, sizeof room);
	if (mac)
		der_put(&d, *mac);
	else
		put_mac(buf_view(content), iterations);
	size_t safe = der_mark(&d);
	der_put(&d, buf_view(content));
	wrap_data(safe);
	DER_PUT(&d, DER_INTEGER, 1, 3);
	der_wrap(&d, DER_SEQUENCE, sizeof room);
	assert_false(d.failed);
	buf_reset(scratch);
	buf_put(scratch, der_since(&d, sizeof room).p, der_since(&d, sizeof room).len);
}

static const uint8_t one_iteration[] = { 2, 1, 1 };

/* The same around SafeContents. */
static inline void finish_contents(size_t mark)
{
	der_wrap(&d, DER_SEQUENCE, mark);
	wrap_data(mark);
	der_wrap(&d, DER_SEQUENCE, mark);
	finish_pfx(mark, view_of(one_iteration, sizeof one_iteration), NULL);
}

static inline struct opened open_scratch(void)
{
	return open_it(scratch, "x");
}

/* A KeyBag of these bytes. */
static inline void put_plain_key(struct view pkcs8)
{
	size_t mark = der_mark(&d);
	der_put(&d, pkcs8);
	WRAP_BAG(mark, OID_KEY_BAG);
}

/* A CertBag of these bytes, which X509 need not take. */
static inline void put_plain_certificate(struct view der)
{
	size_t mark = der_mark(&d);
	der_put_value(&d, DER_OCTETS, der);
	der_wrap(&d, DER_CONTEXT_0, mark);
	DER_PUT(&d, OID_X509_CERTIFICATE);
	der_wrap(&d, DER_SEQUENCE, mark);
	WRAP_BAG(mark, OID_CERT_BAG);
}

/* Key and certificate of key_ec(0), in plain bags. */
static inline void put_identity(void)
{
	unsigned char *key = NULL, *certificate = NULL;
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key_ec(0));
	X509 *x = make_plain("Anna", key_ec(0));
	int key_len = i2d_PKCS8_PRIV_KEY_INFO(info, &key), len = i2d_X509(x, &certificate);
	put_plain_certificate(view_of(certificate, (size_t)len));
	put_plain_key(view_of(key, (size_t)key_len));
	OPENSSL_free(key);
	OPENSSL_free(certificate);
	PKCS8_PRIV_KEY_INFO_free(info);
	X509_free(x);
}

/* Around what was written since each of the marks: the parameters of PBKDF2, the AlgorithmIdentifier of PBMAC1 (RFC 9579)
 * with the function that the MAC is made by, DigestInfo, MacData. */
static inline void finish_pbmac1(size_t kdf, size_t algorithm, size_t info, size_t all)
{
	der_wrap(&d, DER_SEQUENCE, kdf);
	DER_PUT(&d, OID_PBKDF2);
	der_wrap(&d, DER_SEQUENCE, kdf);
	der_wrap(&d, DER_SEQUENCE, algorithm);
	DER_PUT(&d, OID_PBMAC1);
	der_wrap(&d, DER_SEQUENCE, algorithm);
	der_wrap(&d, DER_SEQUENCE, info);
	der_wrap(&d, DER_SEQUENCE, all);
}

#endif
