/* Password-based encryption, the reading side. Opener, PFX kind. Never derives in pbe_read(). */
#include "pbe.h"

#include "ber.h"
#include "fault.h"
#include "own.h"
#include "wipe.h"

#include <string.h>

static const struct {
	int nid;
	enum cipher cipher;
} pbes1[] = {
	{ NID_pbe_WithSHA1And128BitRC4, CIPHER_RC4_128 },
	{ NID_pbe_WithSHA1And40BitRC4, CIPHER_RC4_40 },
	{ NID_pbe_WithSHA1And3_Key_TripleDES_CBC, CIPHER_DES3 },
	{ NID_pbe_WithSHA1And2_Key_TripleDES_CBC, CIPHER_DES2 },
	{ NID_pbe_WithSHA1And128BitRC2_CBC, CIPHER_RC2_128 },
	{ NID_pbe_WithSHA1And40BitRC2_CBC, CIPHER_RC2_40 },
}, pbes2[] = {
	{ NID_aes_128_cbc, CIPHER_AES128 },
	{ NID_aes_192_cbc, CIPHER_AES192 },
	{ NID_aes_256_cbc, CIPHER_AES256 },
	{ NID_des_ede3_cbc, CIPHER_DES3 },
};

static int unsupported(const char *what, const ASN1_OBJECT *object)
{
	char oid[OID_TEXT_MAX];
	return fail(FAULT_UNSUPPORTED_ALGORITHM, "%s %s is not supported: " EXPORT_AGAIN, what, oid_text(object, oid));
}

static int read_pbes1(struct view parameters, struct pbe *ret)
{
	OWNED(PBEPARAM) p = ber_decode(parameters, ASN1_ITEM_rptr(PBEPARAM), "RFC 7292 C: pkcs-12PbeParams");
	if (!p)
		return -FAULT_MALFORMED_PKCS12;
	if (!p->iter)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 C: the iteration count is missing");
	return derive_read_pkcs12(hash_by_nid(NID_sha1), p->salt, p->iter, "RFC 7292 C: the iteration count",
				  &ret->derive);
}

/* RFC 8018 B.2: the IV is the parameter. */
static int read_pbes2_cipher(const X509_ALGOR *algorithm, struct pbe *ret)
{
	const ASN1_OBJECT *object = NULL;
	int type = 0;
	const void *value = NULL;
	if (algorithm)
		X509_ALGOR_get0(&object, &type, &value, algorithm);
	int nid = object ? OBJ_obj2nid(object) : NID_undef;
	for (size_t i = 0; i < sizeof pbes2 / sizeof *pbes2; i++) {
		if (pbes2[i].nid != nid)
			continue;
		ret->cipher = pbes2[i].cipher;
		struct view iv = type == V_ASN1_OCTET_STRING ? asn1_view(value) : view_of("", 0);
		if (iv.len != cipher_iv_bytes(ret->cipher))
			return fail(FAULT_MALFORMED_PKCS12, "RFC 8018 B.2: an initialization vector of %zu bytes",
				    iv.len);
		memcpy(ret->iv, iv.p, iv.len);
		return 0;
	}
	return unsupported("RFC 8018 A.4: the encryption scheme", object);
}

static int read_pbes2(struct view parameters, struct pbe *ret)
{
	OWNED(PBE2PARAM) p = ber_decode(parameters, ASN1_ITEM_rptr(PBE2PARAM), "RFC 8018 A.4: PBES2-params");
	if (!p)
		return -FAULT_MALFORMED_PKCS12;
	int rc = derive_read(p->keyfunc, &ret->derive);
	if (rc == 0)
		rc = read_pbes2_cipher(p->encryption, ret);
	if (rc == 0 && ret->derive.key_bytes && ret->derive.key_bytes != cipher_key_bytes(ret->cipher))
		return fail(FAULT_MALFORMED_PKCS12, "RFC 8018 A.4: a key length that is not the cipher's");
	return rc;
}

/* True, with the row's cipher, when nid is one of PBES1's. */
static bool is_pbes1(int nid, enum cipher *ret)
{
	for (size_t i = 0; i < sizeof pbes1 / sizeof *pbes1; i++) {
		if (pbes1[i].nid != nid)
			continue;
		*ret = pbes1[i].cipher;
		return true;
	}
	return false;
}

int pbe_read(const X509_ALGOR *algorithm, const struct ciphers *ciphers, struct pbe *ret)
{
	const ASN1_OBJECT *object = NULL;
	int type = 0;
	const void *value = NULL;
	if (algorithm)
		X509_ALGOR_get0(&object, &type, &value, algorithm);
	int nid = object ? OBJ_obj2nid(object) : NID_undef;
	bool first = is_pbes1(nid, &ret->cipher);
	if (!first && nid != NID_pbes2)
		return unsupported("RFC 7292 C: the encryption algorithm", object);
	if (type != V_ASN1_SEQUENCE || !value)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 C: an encryption algorithm without parameters");
	int rc = first ? read_pbes1(asn1_view(value), ret) : read_pbes2(asn1_view(value), ret);
	if (rc == 0 && !ciphers->at[ret->cipher])
		return unsupported("on this machine, the encryption algorithm", object);
	return rc;
}

uint64_t pbe_work(const struct pbe *pbe)
{
	uint64_t work = derive_work(&pbe->derive, cipher_key_bytes(pbe->cipher)), iv = 0;
	if (pbe->derive.scheme == DERIVE_PKCS12 && cipher_iv_bytes(pbe->cipher) > 0)
		iv = derive_work(&pbe->derive, cipher_iv_bytes(pbe->cipher));
	return __builtin_add_overflow(work, iv, &work) ? UINT64_MAX : work;
}

/* One form of the password. What comes out must be one SEQUENCE: one in 256 wrong keys gives a right padding, and RC4
 * has none. wolfSSL pads for RC4 too: that is malformed and not another password, so the decoder is to say it. */
static int attempt(const struct pbe *pbe, const struct ciphers *ciphers, struct view password_secret, struct view in,
		   struct buf *ret, bool *ret_right)
{
	KEY256 key_secret;
	uint8_t iv[CIPHER_IV_MAX_BYTES];
	memcpy(iv, pbe->iv, sizeof iv);
	int rc = derive_run(&pbe->derive, password_secret, KDF_ID_KEY, key_secret.at, cipher_key_bytes(pbe->cipher));
	if (rc < 0)
		return rc;
	if (pbe->derive.scheme == DERIVE_PKCS12)
		rc = derive_run(&pbe->derive, password_secret, KDF_ID_IV, iv, cipher_iv_bytes(pbe->cipher));
	buf_reset(ret);
	bool ok = cipher_run(ciphers, pbe->cipher, false, key_secret.at, iv, in, ret);
	if (!ok && !buf_ok(ret))
		return fail(FAULT_TOO_EXPENSIVE, "no memory left to decrypt %zu bytes", in.len);
	*ret_right = ok && ber_is_sequence(buf_view(ret), CIPHER_IV_MAX_BYTES);
	return rc;
}

int pbe_decrypt(const struct pbe *pbe, const struct ciphers *ciphers, struct password *password, struct work *work,
		struct view in, struct buf *ret)
{
	bool bmp = pbe->derive.scheme == DERIVE_PKCS12, right = false;
	int *proved = bmp ? &password->bmp_right : &password->bytes_right;
	int forms = bmp ? password->bmp_forms : password->bytes_forms;
	int first = *proved == PASSWORD_UNKNOWN ? 0 : *proved, last = *proved == PASSWORD_UNKNOWN ? forms - 1 : *proved;
	for (int i = first; i <= last && !right; i++) {
		struct view form_secret = buf_view(bmp ? password->bmp_secret[i] : password->bytes_secret[i]);
		int rc = i > first ? work_charge(work, pbe_work(pbe)) : 0;
		if (rc == 0)
			rc = attempt(pbe, ciphers, form_secret, in, ret, &right);
		if (rc < 0)
			return rc;
		if (right)
			*proved = i;
	}
	if (!right)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4.1: what is encrypted can not be decrypted with the "
			    "password of the MAC: export it again");
	return 0;
}
