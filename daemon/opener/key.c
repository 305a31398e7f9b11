/* Public keys, and what is common to both halves. Opener. Never raises anything to a power. */
#include "key_parts.h"

#include "ber.h"
#include "fault.h"
#include "kdf.h"
#include "own.h"
#include "protocol.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

struct rsa_public {
	BIGNUM *n, *e;
};

ASN1_SEQUENCE(RSA_PUBLIC_PARTS) = {
	ASN1_SIMPLE(struct rsa_public, n, BIGNUM),
	ASN1_SIMPLE(struct rsa_public, e, BIGNUM),
} static_ASN1_SEQUENCE_END_name(struct rsa_public, RSA_PUBLIC_PARTS)

ASN1_SEQUENCE(PUBLIC_KEY_INFO) = {
	ASN1_SIMPLE(struct public_key_info, algorithm, X509_ALGOR),
	ASN1_SIMPLE(struct public_key_info, bits, ASN1_BIT_STRING),
} ASN1_SEQUENCE_END_name(struct public_key_info, PUBLIC_KEY_INFO)

static void rsa_public_freep(struct rsa_public **p)
{
	ASN1_item_free((ASN1_VALUE *)*p, ASN1_ITEM_rptr(RSA_PUBLIC_PARTS));
}

static const struct curve curves[] = {
	{ NID_X9_62_prime256v1, 256, "P-256" },
	{ NID_secp384r1, 384, "P-384" },
	{ NID_secp521r1, 521, "P-521" },
	{ NID_brainpoolP256r1, 256, "brainpoolP256r1" },
	{ NID_brainpoolP320r1, 320, "brainpoolP320r1" },
	{ NID_brainpoolP384r1, 384, "brainpoolP384r1" },
	{ NID_brainpoolP512r1, 512, "brainpoolP512r1" },
	{ NID_brainpoolP256t1, 256, "brainpoolP256t1" },
	{ NID_brainpoolP320t1, 320, "brainpoolP320t1" },
	{ NID_brainpoolP384t1, 384, "brainpoolP384t1" },
	{ NID_brainpoolP512t1, 512, "brainpoolP512t1" },
};

const struct curve *curve_by_nid(int nid)
{
	for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
		if (curves[i].nid == nid)
			return &curves[i];
	return NULL;
}

/* ---- what a key is bound to: RFC 4055 3.1 ---- */

static const char pss_clause[] = "RFC 4055 3.1: RSASSA-PSS-params";

static int check_pss_hash(const X509_ALGOR *algorithm)
{
	char oid[OID_TEXT_MAX];
	const ASN1_OBJECT *object = NULL;
	if (algorithm)
		X509_ALGOR_get0(&object, NULL, NULL, algorithm);
	if (!algorithm || hash_by_nid(OBJ_obj2nid(object)))
		return 0;
	return fail(FAULT_UNSUPPORTED_ALGORITHM, "%s with the hash %s are not supported", pss_clause,
		    oid_text(object, oid));
}

static int check_pss_mask(const X509_ALGOR *algorithm)
{
	char oid[OID_TEXT_MAX];
	const ASN1_OBJECT *object = NULL;
	int type = V_ASN1_UNDEF;
	const void *value = NULL;
	if (!algorithm)
		return 0;
	X509_ALGOR_get0(&object, &type, &value, algorithm);
	if (OBJ_obj2nid(object) != NID_mgf1 || type != V_ASN1_SEQUENCE || !value)
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "%s with the mask generation %s are not supported",
			    pss_clause, oid_text(object, oid));
	OWNED(X509_ALGOR) hash = ber_decode(asn1_view(value), ASN1_ITEM_rptr(X509_ALGOR), pss_clause);
	return hash ? check_pss_hash(hash) : -FAULT_MALFORMED_PKCS12;
}

/* Readers do not take a key for one whose parameters they can not follow, so it is no use to pass it on. */
static int check_pss(int type, const void *value)
{
	uint64_t salt = 0, trailer = 1;
	if (type == V_ASN1_UNDEF)
		return 0;
	if (type != V_ASN1_SEQUENCE || !value)
		return fail(FAULT_MALFORMED_PKCS12, "%s are not a SEQUENCE", pss_clause);
	OWNED(RSA_PSS_PARAMS) p = ber_decode(asn1_view(value), ASN1_ITEM_rptr(RSA_PSS_PARAMS), pss_clause);
	if (!p)
		return -FAULT_MALFORMED_PKCS12;
	if ((p->saltLength && ASN1_INTEGER_get_uint64(&salt, p->saltLength) != 1) || salt > RSA_MAX_BITS / 8 ||
	    (p->trailerField && ASN1_INTEGER_get_uint64(&trailer, p->trailerField) != 1) || trailer != 1) {
		ERR_clear_error();
		return fail(FAULT_MALFORMED_PKCS12, "%s with a salt length or a trailer that is none", pss_clause);
	}
	int rc = check_pss_hash(p->hashAlgorithm);
	return rc < 0 ? rc : check_pss_mask(p->maskGenAlgorithm);
}

int key_kind_read(const X509_ALGOR *algorithm, struct public_key *ret)
{
	char oid[OID_TEXT_MAX];
	const ASN1_OBJECT *object = NULL;
	int type = 0;
	const void *value = NULL;
	if (algorithm)
		X509_ALGOR_get0(&object, &type, &value, algorithm);
	int nid = object ? OBJ_obj2nid(object) : NID_undef;
	ret->pss = nid == NID_rsassaPss;
	ret->family = nid == NID_rsaEncryption || ret->pss ? KEY_RSA : KEY_EC;
	if (ret->family == KEY_RSA)
		return ret->pss ? check_pss(type, value) : 0;
	if (nid != NID_X9_62_id_ecPublicKey)
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "keys of the algorithm %s are not supported: use RSA or EC",
			    oid_text(object, oid));
	if (type != V_ASN1_OBJECT || !value)
		return fail(FAULT_UNSUPPORTED_ALGORITHM,
			    "RFC 5480 2.1.1: a key of the algorithm %s that does not name its curve: use one that does",
			    oid_text(object, oid));
	const struct curve *curve = curve_by_nid(OBJ_obj2nid(value));
	if (!curve)
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "keys on the curve %s are not supported: "
			    "use P-256, P-384, P-521, or a Brainpool curve of 256 bits or more", oid_text(value, oid));
	ret->curve = curve->nid;
	ret->bits = curve->bits;
	return 0;
}

static void put_number(struct buf *b, const BIGNUM *n)
{
	buf_put_u32(b, (uint32_t)BN_num_bytes(n));
	uint8_t *at = buf_reserve(b, (size_t)BN_num_bytes(n));
	if (at)
		BN_bn2bin(n, at);
}

int rsa_public_set(struct public_key *ret, const BIGNUM *n, const BIGNUM *e)
{
	int bits = BN_num_bits(n);
	if (bits > RSA_MAX_BITS)
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "an RSA key of %d bits; at most %d are supported", bits,
			    RSA_MAX_BITS);
	if (bits < RSA_MIN_BITS)
		return fail(FAULT_WEAK_KEY, "an RSA key of %d bits; at least %d are needed: use a longer one", bits,
			    RSA_MIN_BITS);
	if (!BN_is_odd(n) || !BN_is_odd(e) || BN_is_one(e) || BN_cmp(e, n) >= 0)
		return fail(FAULT_MALFORMED_PKCS12,
			    "RFC 8017 3.1: an even modulus, or an exponent that is even, 1, or not below it");
	ret->bits = (unsigned)bits;
	put_number(ret->canonical, n);
	put_number(ret->canonical, e);
	return buf_ok(ret->canonical) ? 0 : fail(FAULT_TOO_EXPENSIVE, "no memory left for a public key");
}

static int read_rsa(struct view bits, struct public_key *ret)
{
	__attribute__((cleanup(rsa_public_freep))) struct rsa_public *key =
		ber_decode(bits, ASN1_ITEM_rptr(RSA_PUBLIC_PARTS), "RFC 8017 A.1.1: RSAPublicKey");
	return key ? rsa_public_set(ret, key->n, key->e) : -FAULT_MALFORMED_PKCS12;
}

int ec_public_set(struct public_key *ret, const EC_GROUP *group, struct view octets)
{
	OWNED(EC_POINT) point = EC_POINT_new(group);
	if (!point || EC_POINT_oct2point(group, point, octets.p, octets.len, NULL) != 1) {
		ERR_clear_error();
		return fail(FAULT_MALFORMED_PKCS12, "RFC 5480 2.2: a public key that is not a point of its curve");
	}
	return ec_public_set_point(ret, group, point);
}

int ec_public_set_point(struct public_key *ret, const EC_GROUP *group, const EC_POINT *point)
{
	uint8_t octets[EC_POINT_MAX_BYTES];
	size_t len = EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, octets, sizeof octets, NULL);
	if (len < 2) /* infinity takes one octet */
		return fail(FAULT_MALFORMED_PKCS12, "RFC 5480 2.2: the public key is the point at infinity");
	buf_put(ret->canonical, octets, len);
	return buf_ok(ret->canonical) ? 0 : fail(FAULT_TOO_EXPENSIVE, "no memory left for a public key");
}

static int read_ec(struct view bits, struct public_key *ret)
{
	OWNED(EC_GROUP) group = EC_GROUP_new_by_curve_name(ret->curve);
	if (!group)
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "this OpenSSL does not have the curve %s",
			    OBJ_nid2sn(ret->curve));
	return ec_public_set(ret, group, bits);
}

bool public_key_init(struct public_key *ret)
{
	*ret = (struct public_key){ .canonical = buf_new(PUBLIC_KEY_MAX_BYTES) };
	if (!ret->canonical)
		fail(FAULT_TOO_EXPENSIVE, "no memory left for a public key");
	return ret->canonical;
}

int public_key_read(const struct public_key_info *info, struct public_key *ret)
{
	struct view bits = asn1_view(info->bits);
	if (!public_key_init(ret))
		return -FAULT_TOO_EXPENSIVE;
	int rc = key_kind_read(info->algorithm, ret);
	if (rc < 0)
		return rc;
	return ret->family == KEY_RSA ? read_rsa(bits, ret) : read_ec(bits, ret);
}

void public_key_done(struct public_key *key)
{
	buf_free(key->canonical);
	key->canonical = NULL;
}

/* Whether the key is bound to PSS is not compared: some makers bind the certificate and not the key. */
bool public_key_equal(const struct public_key *a, const struct public_key *b)
{
	return a->canonical && b->canonical && a->family == b->family && a->curve == b->curve &&
	       view_equal(buf_view(a->canonical), buf_view(b->canonical));
}

struct view public_key_number(const struct public_key *key, int n)
{
	struct view v = buf_view(key->canonical), number = view_of("", 0);
	for (int i = 0; i <= n; i++)
		if (!view_get_bytes(&v, PUBLIC_KEY_MAX_BYTES, &number))
			return view_of("", 0);
	return number;
}

void key_algorithm(const struct public_key *key, char *ret)
{
	const struct curve *curve = curve_by_nid(key->curve);
	if (key->family == KEY_RSA)
		snprintf(ret, KEY_ALGORITHM_MAX_BYTES + 1, "RSA-%s%u", key->pss ? "PSS-" : "", key->bits);
	else
		snprintf(ret, KEY_ALGORITHM_MAX_BYTES + 1, "%s", curve ? curve->name : "EC");
}
