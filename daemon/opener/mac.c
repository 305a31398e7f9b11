/* The MAC. Opener, PFX kind. Never compares but in constant time, and never believes a length of the file. */
#include "mac.h"

#include "ber.h"
#include "fault.h"
#include "own.h"
#include "wipe.h"

#include <openssl/asn1t.h>

ASN1_SEQUENCE(PFX_MAC_DATA) = {
	ASN1_SIMPLE(struct mac_data, mac, X509_SIG),
	ASN1_SIMPLE(struct mac_data, salt, ASN1_OCTET_STRING),
	ASN1_OPT(struct mac_data, iterations, ASN1_INTEGER),
} ASN1_SEQUENCE_END_name(struct mac_data, PFX_MAC_DATA)

/* RFC 9579 5 and RFC 8018 A.5. PBMAC1-params is a pair of AlgorithmIdentifiers, as PBES2-params is. The salt and the
 * iterations of MacData are not looked at. */
static int read_pbmac1(struct view parameters, struct mac *ret)
{
	char oid[OID_TEXT_MAX];
	const ASN1_OBJECT *scheme = NULL;
	OWNED(PBE2PARAM) p = ber_decode(parameters, ASN1_ITEM_rptr(PBE2PARAM), "RFC 8018 A.5: PBMAC1-params");
	if (!p)
		return -FAULT_MALFORMED_PKCS12;
	int rc = derive_read(p->keyfunc, &ret->derive);
	if (rc < 0)
		return rc;
	X509_ALGOR_get0(&scheme, NULL, NULL, p->keyfunc);
	if (ret->derive.scheme != DERIVE_PBKDF2)
		return fail(FAULT_UNSUPPORTED_ALGORITHM,
			    "RFC 9579 6: PBMAC1 with %s is not supported: " EXPORT_AGAIN,
			    oid_text(scheme, oid));
	scheme = NULL;
	if (p->encryption)
		X509_ALGOR_get0(&scheme, NULL, NULL, p->encryption);
	ret->hash = hash_by_hmac_nid(OBJ_obj2nid(scheme));
	if (!ret->hash)
		return fail(FAULT_UNSUPPORTED_ALGORITHM,
			    "RFC 8018 B.3: the message authentication scheme %s is not supported: " EXPORT_AGAIN,
			    oid_text(scheme, oid));
	if (ret->derive.key_bytes == 0)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 9579 6: the key length of PBMAC1 is missing");
	if (ret->derive.key_bytes > PBMAC1_KEY_MAX_BYTES)
		return fail(FAULT_TOO_EXPENSIVE, "RFC 9579 6: PBMAC1 with a key of more than %d bytes",
			    PBMAC1_KEY_MAX_BYTES);
	ret->key_bytes = (size_t)ret->derive.key_bytes;
	return 0;
}

static int read_hash(const struct mac_data *data, const ASN1_OBJECT *object, struct mac *ret)
{
	char oid[OID_TEXT_MAX];
	ret->hash = hash_by_nid(OBJ_obj2nid(object));
	if (!ret->hash)
		return fail(FAULT_UNSUPPORTED_ALGORITHM,
			    "RFC 7292 5.1: a MAC with the hash %s is not supported: " EXPORT_AGAIN,
			    oid_text(object, oid));
	ret->key_bytes = ret->hash->size;
	return derive_read_pkcs12(ret->hash, data->salt, data->iterations, "RFC 7292 4: the MAC's iteration count",
				  &ret->derive);
}

int mac_read(const struct mac_data *data, struct mac *ret)
{
	if (!data)
		return fail(FAULT_MAC_MISSING, "RFC 7292 4: without a MAC nothing tells whether the file was changed: "
			    "export it again with one");
	const X509_ALGOR *algorithm = NULL;
	const ASN1_OCTET_STRING *digest = NULL;
	const ASN1_OBJECT *object = NULL;
	int type = 0;
	const void *value = NULL;
	X509_SIG_get0(data->mac, &algorithm, &digest);
	if (algorithm)
		X509_ALGOR_get0(&object, &type, &value, algorithm);
	ret->expected = asn1_view(digest);
	int rc;
	if (OBJ_obj2nid(object) != NID_pbmac1)
		rc = read_hash(data, object, ret);
	else if (type == V_ASN1_SEQUENCE && value)
		rc = read_pbmac1(asn1_view(value), ret);
	else
		rc = fail(FAULT_MALFORMED_PKCS12, "RFC 9579 5: PBMAC1 without parameters");
	if (rc == 0 && ret->expected.len != ret->hash->size)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 7292 4: a MAC of %zu bytes where its hash has %zu",
			    ret->expected.len,
			    ret->hash->size);
	return rc;
}

uint64_t mac_work(const struct mac *mac)
{
	return derive_work(&mac->derive, mac->key_bytes);
}

static int attempt(const struct mac *mac, struct view content, struct view password_secret, bool *ret_right)
{
	uint8_t key_secret[DERIVED_MAX_BYTES], digest[HASH_MAX_BYTES];
	int rc = derive_run(&mac->derive, password_secret, KDF_ID_MAC, key_secret, mac->key_bytes);
	if (rc == 0)
		hash_hmac(mac->hash, view_of(key_secret, mac->key_bytes), content, digest);
	explicit_bzero(key_secret, sizeof key_secret);
	*ret_right = rc == 0 && view_equal_secret(view_of(digest, mac->hash->size), mac->expected);
	return rc;
}

int mac_check(const struct mac *mac, struct view content, struct password *password, struct work *work)
{
	bool bmp = mac->derive.scheme == DERIVE_PKCS12, right = false;
	int forms = bmp ? password->bmp_forms : password->bytes_forms;
	for (int i = 0; i < forms; i++) {
		struct view form_secret = buf_view(bmp ? password->bmp_secret[i] : password->bytes_secret[i]);
		int rc = i > 0 ? work_charge(work, mac_work(mac)) : 0;
		if (rc == 0)
			rc = attempt(mac, content, form_secret, &right);
		if (rc < 0)
			return rc;
		if (!right)
			continue;
		*(bmp ? &password->bmp_right : &password->bytes_right) = i;
		return 0;
	}
	return fail(FAULT_WRONG_PASSWORD, "RFC 7292 5.1: the MAC does not verify with this password");
}
