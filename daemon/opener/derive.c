/* Key derivation by AlgorithmIdentifier. Opener, PFX kind. Never runs what it was not asked to: reading one derives
 * nothing. */
#include "derive.h"

#include "ber.h"
#include "fault.h"
#include "own.h"
#include "pfx_work.h"

#include <openssl/evp.h>
#include <openssl/err.h>
#include <string.h>

static int copy_salt(struct view salt, const char *clause, struct derive *ret)
{
	if (salt.len > SALT_MAX_BYTES)
		return fail(FAULT_TOO_EXPENSIVE, "%s: a salt of %zu bytes, %d are allowed", clause, salt.len,
			    SALT_MAX_BYTES);
	memcpy(ret->salt, salt.p, salt.len);
	ret->salt_len = salt.len;
	return 0;
}

int derive_read_pkcs12(const struct hash *hash, const ASN1_OCTET_STRING *salt, const ASN1_INTEGER *iterations,
		       const char *clause, struct derive *ret)
{
	ret->scheme = DERIVE_PKCS12;
	ret->hash = hash;
	ret->key_bytes = 0;
	ret->iterations = 1;
	int rc = iterations ? count_read(iterations, clause, &ret->iterations) : 0;
	return rc < 0 ? rc : copy_salt(asn1_view(salt), clause, ret);
}

/* RFC 8018 A.2: the PRF, hmacWithSHA1 where none is named. */
static int read_prf(const X509_ALGOR *prf, struct derive *ret)
{
	char oid[OID_TEXT_MAX];
	const ASN1_OBJECT *object = NULL;
	if (prf)
		X509_ALGOR_get0(&object, NULL, NULL, prf);
	ret->hash = hash_by_hmac_nid(prf ? OBJ_obj2nid(object) : NID_hmacWithSHA1);
	if (!ret->hash)
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "RFC 8018 A.2: PBKDF2 with the function %s is not supported: "
			    EXPORT_AGAIN, oid_text(object, oid));
	return 0;
}

static int read_pbkdf2(struct view parameters, struct derive *ret)
{
	OWNED(PBKDF2PARAM) p = ber_decode(parameters, ASN1_ITEM_rptr(PBKDF2PARAM), "RFC 8018 A.2: PBKDF2-params");
	if (!p)
		return -FAULT_MALFORMED_PKCS12;
	if (!p->salt || p->salt->type != V_ASN1_OCTET_STRING)
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "RFC 8018 A.2: a salt that is not given as octets");
	ret->scheme = DERIVE_PBKDF2;
	int rc = count_read(p->iter, "RFC 8018 A.2: the iteration count", &ret->iterations);
	if (rc == 0 && p->keylength)
		rc = count_read(p->keylength, "RFC 8018 A.2: the key length", &ret->key_bytes);
	if (rc == 0)
		rc = read_prf(p->prf, ret);
	return rc < 0 ? rc : copy_salt(asn1_view(p->salt->value.octet_string), "RFC 8018 A.2", ret);
}

/* RFC 7914 2: N a power of two above 1, r * p below 2^30; and our own bound on memory. */
static int check_scrypt(const struct derive *d)
{
	uint64_t n = d->iterations, bytes;
	if (n < 2 || (n & (n - 1)) != 0)
		return n == UINT64_MAX ? fail(FAULT_TOO_EXPENSIVE, "RFC 7914 2: a cost parameter beyond 64 bits")
				       : fail(FAULT_MALFORMED_PKCS12, "RFC 7914 2: N is not a power of two");
	bool over = __builtin_mul_overflow(n, d->r, &bytes) || bytes > SCRYPT_MAX_BYTES / 128;
	over |= d->p > SCRYPT_MAX_BYTES / 128 || d->r > SCRYPT_MAX_BYTES / 128 || d->r * d->p > SCRYPT_MAX_BYTES / 128;
	if (over)
		return fail(FAULT_TOO_EXPENSIVE, "RFC 7914 2: scrypt would take more than %d bytes of memory",
			    SCRYPT_MAX_BYTES);
	return 0;
}

static int read_scrypt(struct view parameters, struct derive *ret)
{
	OWNED(SCRYPT_PARAMS) p = ber_decode(parameters, ASN1_ITEM_rptr(SCRYPT_PARAMS), "RFC 7914 7: scrypt-params");
	if (!p)
		return -FAULT_MALFORMED_PKCS12;
	ret->scheme = DERIVE_SCRYPT;
	ret->hash = hash_by_nid(NID_sha256);
	int rc = count_read(p->costParameter, "RFC 7914 7: the cost parameter", &ret->iterations);
	if (rc == 0)
		rc = count_read(p->blockSize, "RFC 7914 7: the block size", &ret->r);
	if (rc == 0)
		rc = count_read(p->parallelizationParameter, "RFC 7914 7: the parallelization parameter", &ret->p);
	if (rc == 0 && p->keyLength)
		rc = count_read(p->keyLength, "RFC 7914 7: the key length", &ret->key_bytes);
	if (rc == 0)
		rc = check_scrypt(ret);
	return rc < 0 ? rc : copy_salt(asn1_view(p->salt), "RFC 7914 7", ret);
}

int derive_read(const X509_ALGOR *kdf, struct derive *ret)
{
	const ASN1_OBJECT *object = NULL;
	char oid[OID_TEXT_MAX];
	int type = 0;
	const void *value = NULL;
	if (kdf)
		X509_ALGOR_get0(&object, &type, &value, kdf);
	ret->key_bytes = 0;
	int nid = object ? OBJ_obj2nid(object) : NID_undef;
	if (nid != NID_id_pbkdf2 && nid != NID_id_scrypt)
		return fail(FAULT_UNSUPPORTED_ALGORITHM,
			    "RFC 8018 A.4: the key derivation function %s is not supported: " EXPORT_AGAIN,
			    oid_text(object, oid));
	if (type != V_ASN1_SEQUENCE || !value)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 8018 A.4: a key derivation function without parameters");
	return nid == NID_id_pbkdf2 ? read_pbkdf2(asn1_view(value), ret) : read_scrypt(asn1_view(value), ret);
}

uint64_t derive_work(const struct derive *d, size_t len)
{
	uint64_t work;
	if (d->scheme != DERIVE_SCRYPT)
		return kdf_work(d->hash, d->salt_len, d->iterations, len);
	/* check_scrypt() has bounded all three; the two more are for PBKDF2 before and after. */
	if (__builtin_mul_overflow(2 * d->r * d->p, d->iterations + 2, &work))
		return UINT64_MAX;
	return work;
}

int derive_run(const struct derive *d, struct view password_secret, enum kdf_id id, uint8_t *ret, size_t len)
{
	struct view salt = view_of(d->salt, d->salt_len);
	if (d->scheme == DERIVE_PKCS12)
		kdf_pkcs12(d->hash, password_secret, salt, id, d->iterations, ret, len);
	if (d->scheme == DERIVE_PBKDF2)
		kdf_pbkdf2(d->hash, password_secret, salt, d->iterations, ret, len);
	if (d->scheme != DERIVE_SCRYPT)
		return 0;
	kdf_work_add(derive_work(d, len));
	/* OpenSSL counts a little more memory than check_scrypt() does. */
	if (EVP_PBE_scrypt((const char *)password_secret.p, password_secret.len, salt.p, salt.len, d->iterations, d->r,
			   d->p, 4ull * SCRYPT_MAX_BYTES, ret, len) == 1)
		return 0;
	ERR_clear_error();
	return fail(FAULT_TOO_EXPENSIVE, "scrypt ran out of memory");
}
