/* Makes PKCS#12 files. Opener, PFX kind. Never writes anything outside wiping buffers. Everything is written from its
 * end to its beginning: read the functions from bottom to top. RFC 7292 4. */
#include "make_pkcs12.h"

#include "der.h"
#include "fault.h"
#include "kdf.h"
#include "protocol.h"
#include "wipe.h"

#include <openssl/objects.h>
#include <openssl/rand.h>
#include <string.h>

/* Object identifiers, with tag and length. */
#define OID_PKCS(...) 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, __VA_ARGS__
#define OID_DATA               0x06, 9, OID_PKCS(7, 1)
#define OID_ENCRYPTED_DATA     0x06, 9, OID_PKCS(7, 6)
#define OID_LOCAL_KEY_ID       0x06, 9, OID_PKCS(9, 21)
#define OID_X509_CERTIFICATE   0x06, 10, OID_PKCS(9, 22, 1)
#define OID_PBES2              0x06, 9, OID_PKCS(5, 13)
#define OID_PBKDF2             0x06, 9, OID_PKCS(5, 12)
#define OID_SHROUDED_KEY_BAG   0x06, 11, OID_PKCS(12, 10, 1, 2)
#define OID_CERT_BAG           0x06, 11, OID_PKCS(12, 10, 1, 3)
#define OID_PBE_SHA1_3DES      0x06, 10, OID_PKCS(12, 1, 3)
#define OID_HMAC_SHA256        0x06, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 9
#define OID_AES256_CBC         0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 3, 4, 1, 42
#define OID_SHA256             0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 3, 4, 2, 1
#define OID_SHA1               0x06, 5, 0x2b, 0x0e, 3, 2, 26
#define DER_NULL               0x05, 0
#define DER_ITERATIONS         0x02, 1, PKCS12_MADE_ITERATIONS

/* One of the two encryptions, or the MAC. */
struct random_part {
	uint8_t salt[PKCS12_MADE_SALT_BYTES];
	uint8_t iv[CIPHER_IV_MAX_BYTES];
};

struct maker {
	const struct ciphers *ciphers;
	enum pkcs12_form form;
	struct view password_secret;
	uint8_t bmp_secret[2 * PKCS12_PASSWORD_CHARS + 2];
	struct random_part certificate, key, mac;
	struct der der;
	struct buf *scratch_secret; /* what is encrypted, one after the other */
};

static void maker_done(struct maker *m)
{
	buf_free(m->scratch_secret);
	explicit_bzero(m, sizeof *m);
}

static struct view salt_of(const struct random_part *part)
{
	return view_of(part->salt, sizeof part->salt);
}

/* AlgorithmIdentifier of the encryption. */
static void put_algorithm(struct maker *m, const struct random_part *part)
{
	struct der *d = &m->der;
	size_t all = der_mark(d);
	if (m->form == PKCS12_LEGACY) {
		DER_PUT(d, DER_ITERATIONS);
		der_put_value(d, DER_OCTETS, salt_of(part));
		der_wrap(d, DER_SEQUENCE, all);
		DER_PUT(d, OID_PBE_SHA1_3DES);
		der_wrap(d, DER_SEQUENCE, all);
		return;
	}
	der_put_value(d, DER_OCTETS, view_of(part->iv, sizeof part->iv));
	DER_PUT(d, OID_AES256_CBC);
	der_wrap(d, DER_SEQUENCE, all);
	size_t kdf = der_mark(d);
	DER_PUT(d, OID_HMAC_SHA256, DER_NULL);
	der_wrap(d, DER_SEQUENCE, kdf);
	DER_PUT(d, DER_ITERATIONS);
	der_put_value(d, DER_OCTETS, salt_of(part));
	der_wrap(d, DER_SEQUENCE, kdf);
	DER_PUT(d, OID_PBKDF2);
	der_wrap(d, DER_SEQUENCE, kdf);
	der_wrap(d, DER_SEQUENCE, all);
	DER_PUT(d, OID_PBES2);
	der_wrap(d, DER_SEQUENCE, all);
}

/* Encrypts plain into scratch_secret. */
static bool encrypt(struct maker *m, struct random_part *part, struct view plain)
{
	KEY256 key_secret;
	struct view bmp_secret = view_of(m->bmp_secret, sizeof m->bmp_secret);
	const struct hash *sha1 = hash_by_nid(NID_sha1);
	bool modern = m->form == PKCS12_MODERN;
	if (modern) {
		kdf_pbkdf2(hash_by_nid(NID_sha256), m->password_secret, salt_of(part), PKCS12_MADE_ITERATIONS,
			   key_secret.at,
			   cipher_key_bytes(CIPHER_AES256));
	} else {
		kdf_pkcs12(sha1, bmp_secret, salt_of(part), KDF_ID_KEY, PKCS12_MADE_ITERATIONS, key_secret.at,
			   cipher_key_bytes(CIPHER_DES3));
		kdf_pkcs12(sha1, bmp_secret, salt_of(part), KDF_ID_IV, PKCS12_MADE_ITERATIONS, part->iv,
			   cipher_iv_bytes(CIPHER_DES3));
	}
	buf_reset(m->scratch_secret);
	return cipher_run(m->ciphers, modern ? CIPHER_AES256 : CIPHER_DES3, true, key_secret.at, part->iv, plain,
			  m->scratch_secret);
}

/* SET OF one attribute: localKeyID. */
static void put_attributes(struct maker *m, struct view thumbprint)
{
	size_t mark = der_mark(&m->der);
	der_put_value(&m->der, DER_OCTETS, thumbprint);
	der_wrap(&m->der, DER_SET, mark);
	DER_PUT(&m->der, OID_LOCAL_KEY_ID);
	der_wrap(&m->der, DER_SEQUENCE, mark);
	der_wrap(&m->der, DER_SET, mark);
}

/* ContentInfo of type data around SafeContents of one bag with the encrypted key. */
static bool put_key_safe(struct maker *m, struct view pkcs8_secret, struct view thumbprint)
{
	struct der *d = &m->der;
	if (!encrypt(m, &m->key, pkcs8_secret))
		return false;
	size_t all = der_mark(d);
	put_attributes(m, thumbprint);
	size_t value = der_mark(d);
	der_put_value(d, DER_OCTETS, buf_view(m->scratch_secret));
	put_algorithm(m, &m->key);
	der_wrap(d, DER_SEQUENCE, value);
	der_wrap(d, DER_CONTEXT_0, value);
	DER_PUT(d, OID_SHROUDED_KEY_BAG);
	der_wrap(d, DER_SEQUENCE, all); /* SafeBag */
	der_wrap(d, DER_SEQUENCE, all); /* SafeContents */
	der_wrap(d, DER_OCTETS, all);
	der_wrap(d, DER_CONTEXT_0, all);
	DER_PUT(d, OID_DATA);
	der_wrap(d, DER_SEQUENCE, all);
	return true;
}

/* SafeContents of one bag with the certificate, written where the encrypted form of it will be written over it. */
static bool encrypt_certificate(struct maker *m, struct view certificate, struct view thumbprint)
{
	struct der *d = &m->der;
	size_t all = der_mark(d);
	put_attributes(m, thumbprint);
	size_t value = der_mark(d);
	der_put_value(d, DER_OCTETS, certificate);
	der_wrap(d, DER_CONTEXT_0, value);
	DER_PUT(d, OID_X509_CERTIFICATE);
	der_wrap(d, DER_SEQUENCE, value);
	der_wrap(d, DER_CONTEXT_0, value);
	DER_PUT(d, OID_CERT_BAG);
	der_wrap(d, DER_SEQUENCE, all);
	der_wrap(d, DER_SEQUENCE, all);
	bool ok = !d->failed && encrypt(m, &m->certificate, der_since(d, all));
	d->left = all;
	return ok;
}

/* ContentInfo of type encryptedData. */
static bool put_certificate_safe(struct maker *m, struct view certificate, struct view thumbprint)
{
	struct der *d = &m->der;
	if (!encrypt_certificate(m, certificate, thumbprint))
		return false;
	size_t all = der_mark(d);
	der_put_value(d, DER_CONTEXT_0_PRIMITIVE, buf_view(m->scratch_secret));
	put_algorithm(m, &m->certificate);
	DER_PUT(d, OID_DATA);
	der_wrap(d, DER_SEQUENCE, all);
	DER_PUT(d, DER_INTEGER, 1, 0);
	der_wrap(d, DER_SEQUENCE, all);
	der_wrap(d, DER_CONTEXT_0, all);
	DER_PUT(d, OID_ENCRYPTED_DATA);
	der_wrap(d, DER_SEQUENCE, all);
	return true;
}

static void put_mac(struct maker *m, struct view content)
{
	struct der *d = &m->der;
	bool modern = m->form == PKCS12_MODERN;
	const struct hash *hash = hash_by_nid(modern ? NID_sha256 : NID_sha1);
	uint8_t key_secret[HASH_MAX_BYTES], digest[HASH_MAX_BYTES];
	kdf_pkcs12(hash, view_of(m->bmp_secret, sizeof m->bmp_secret), salt_of(&m->mac), KDF_ID_MAC,
		   PKCS12_MADE_ITERATIONS, key_secret, hash->size);
	hash_hmac(hash, view_of(key_secret, hash->size), content, digest);
	explicit_bzero(key_secret, sizeof key_secret);
	size_t all = der_mark(d);
	DER_PUT(d, DER_ITERATIONS);
	der_put_value(d, DER_OCTETS, salt_of(&m->mac));
	size_t info = der_mark(d);
	der_put_value(d, DER_OCTETS, view_of(digest, hash->size));
	size_t algorithm = der_mark(d);
	if (modern)
		DER_PUT(d, OID_SHA256, DER_NULL);
	else
		DER_PUT(d, OID_SHA1, DER_NULL);
	der_wrap(d, DER_SEQUENCE, algorithm);
	der_wrap(d, DER_SEQUENCE, info);
	der_wrap(d, DER_SEQUENCE, all);
}

/* The MAC stands behind what it covers, so the AuthenticatedSafe is written, set aside, and written again. */
static int write_pfx(struct maker *m, struct view pkcs8_secret, struct view certificate, struct view thumbprint)
{
	struct der *d = &m->der;
	size_t all = der_mark(d);
	bool ok = put_key_safe(m, pkcs8_secret, thumbprint) && put_certificate_safe(m, certificate, thumbprint);
	der_wrap(d, DER_SEQUENCE, all);
	if (!ok || d->failed)
		return fail(FAULT_TOO_EXPENSIVE, "an identity is too large for a PKCS#12 file");
	buf_reset(m->scratch_secret);
	buf_put(m->scratch_secret, der_since(d, all).p, der_since(d, all).len);
	if (!buf_ok(m->scratch_secret))
		return fail(FAULT_TOO_EXPENSIVE, "no memory left for a PKCS#12 file");
	d->left = all;
	put_mac(m, buf_view(m->scratch_secret));
	size_t content = der_mark(d);
	der_put_value(d, DER_OCTETS, buf_view(m->scratch_secret));
	der_wrap(d, DER_CONTEXT_0, content);
	DER_PUT(d, OID_DATA);
	der_wrap(d, DER_SEQUENCE, content);
	DER_PUT(d, DER_INTEGER, 1, 3);
	der_wrap(d, DER_SEQUENCE, all);
	return d->failed ? fail(FAULT_TOO_EXPENSIVE, "an identity is too large for a PKCS#12 file") : 0;
}

static int maker_init(struct maker *m)
{
	m->scratch_secret = buf_new(PKCS12_MAX_BYTES);
	if (!m->scratch_secret)
		return fail(FAULT_TOO_EXPENSIVE, "no memory left for a PKCS#12 file");
	for (size_t i = 0; i < m->password_secret.len; i++)
		m->bmp_secret[2 * i + 1] = m->password_secret.p[i];
	uint8_t random[3 * sizeof(struct random_part)];
	if (RAND_bytes(random, sizeof random) != 1)
		return fail(FAULT_INTERNAL, "no random numbers");
	memcpy(&m->certificate, random, sizeof m->certificate);
	memcpy(&m->key, random + sizeof m->key, sizeof m->key);
	memcpy(&m->mac, random + 2 * sizeof m->mac, sizeof m->mac);
	return 0;
}

/* Beside key and certificate: a bag around each, both layers' algorithms, the MAC. */
enum { FRAMEWORK_BYTES = 1024 };

int make_pkcs12(const struct ciphers *ciphers, enum pkcs12_form form, struct view pkcs8_secret, struct view certificate,
		struct view thumbprint, struct view password_secret, struct buf *ret)
{
	__attribute__((cleanup(maker_done))) struct maker m = { .ciphers = ciphers, .form = form,
								.password_secret = password_secret };
	if (password_secret.len != PKCS12_PASSWORD_CHARS)
		return fail(FAULT_INTERNAL, "a password of %zu characters for a PKCS#12 file", password_secret.len);
	int rc = maker_init(&m);
	if (rc < 0)
		return rc;
	size_t size = pkcs8_secret.len + certificate.len + FRAMEWORK_BYTES;
	uint8_t *room = buf_reserve(ret, size);
	if (!room)
		return fail(FAULT_TOO_EXPENSIVE, "no memory left for a PKCS#12 file");
	der_init(&m.der, room, size);
	rc = write_pfx(&m, pkcs8_secret, certificate, thumbprint);
	if (rc < 0)
		return rc;
	size_t len = size - m.der.left;
	memmove(room, room + m.der.left, len);
	buf_truncate(ret, len);
	return 0;
}
