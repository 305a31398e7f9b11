/* Private keys. Opener, PFX kind. Never tests a hostile number for being prime, and never signs: that the parts belong
 * together is a matter of a few multiplications and divisions. */
#include "key_parts.h"

#include "ber.h"
#include "fault.h"
#include "own.h"
#include "protocol.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <stdlib.h>

/* RFC 8017 A.1.2 */
struct rsa_private {
	ASN1_INTEGER *version;
	BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *qinv;
	ASN1_TYPE *others; /* of a key with more than two primes */
};

ASN1_SEQUENCE(RSA_PRIVATE_PARTS) = {
	ASN1_SIMPLE(struct rsa_private, version, ASN1_INTEGER),
	ASN1_SIMPLE(struct rsa_private, n, BIGNUM),
	ASN1_SIMPLE(struct rsa_private, e, BIGNUM),
	ASN1_SIMPLE(struct rsa_private, d, CBIGNUM),
	ASN1_SIMPLE(struct rsa_private, p, CBIGNUM),
	ASN1_SIMPLE(struct rsa_private, q, CBIGNUM),
	ASN1_SIMPLE(struct rsa_private, dp, CBIGNUM),
	ASN1_SIMPLE(struct rsa_private, dq, CBIGNUM),
	ASN1_SIMPLE(struct rsa_private, qinv, CBIGNUM),
	ASN1_OPT(struct rsa_private, others, ASN1_ANY),
} static_ASN1_SEQUENCE_END_name(struct rsa_private, RSA_PRIVATE_PARTS)

enum { EC_VERSION_1 = 1 };

/* RFC 5915 3 */
struct ec_private {
	ASN1_INTEGER *version;
	ASN1_OCTET_STRING *number;
	ASN1_TYPE *parameters;
	ASN1_BIT_STRING *public;
};

ASN1_SEQUENCE(EC_PRIVATE_PARTS) = {
	ASN1_SIMPLE(struct ec_private, version, ASN1_INTEGER),
	ASN1_SIMPLE(struct ec_private, number, ASN1_OCTET_STRING),
	ASN1_EXP_OPT(struct ec_private, parameters, ASN1_ANY, 0),
	ASN1_EXP_OPT(struct ec_private, public, ASN1_BIT_STRING, 1),
} static_ASN1_SEQUENCE_END_name(struct ec_private, EC_PRIVATE_PARTS)

static void rsa_private_freep(struct rsa_private **p)
{
	ASN1_item_free((ASN1_VALUE *)*p, ASN1_ITEM_rptr(RSA_PRIVATE_PARTS));
}

static void ec_private_freep(struct ec_private **p)
{
	ASN1_item_free((ASN1_VALUE *)*p, ASN1_ITEM_rptr(EC_PRIVATE_PARTS));
}

static int no_memory(void)
{
	ERR_clear_error();
	return fail(FAULT_TOO_EXPENSIVE, "no memory left for a private key");
}

/* RFC 8017 3.2: a * b = 1 mod m. 1 yes, 0 no, -1 no memory. */
static int is_inverse(const BIGNUM *a, const BIGNUM *b, const BIGNUM *m, BN_CTX *ctx)
{
	OWNED(BIGNUM) x = BN_new();
	if (!x || BN_is_zero(m) || BN_mul(x, a, b, ctx) != 1 || BN_nnmod(x, x, m, ctx) != 1)
		return x && BN_is_zero(m) ? 0 : -1;
	return BN_is_one(x);
}

/* RFC 8017 3.2: n = p q; e d = e dP = 1 mod p - 1, the same for q; q qInv = 1 mod p. */
static int rsa_check(const struct rsa_private *k, BN_CTX *ctx)
{
	OWNED(BIGNUM) n = BN_new();
	OWNED(BIGNUM) p1 = BN_dup(k->p);
	OWNED(BIGNUM) q1 = BN_dup(k->q);
	if (!n || !p1 || !q1 || BN_mul(n, k->p, k->q, ctx) != 1)
		return no_memory();
	if (BN_cmp(n, k->n) != 0 || BN_is_one(k->p) || BN_is_one(k->q))
		return fail(FAULT_KEY_MISMATCH, "RFC 8017 3.2: the primes of an RSA key are not those of its modulus");
	if (BN_sub_word(p1, 1) != 1 || BN_sub_word(q1, 1) != 1)
		return no_memory();
	const int holds[] = {
		is_inverse(k->e, k->d, p1, ctx), is_inverse(k->e, k->d, q1, ctx), is_inverse(k->e, k->dp, p1, ctx),
		is_inverse(k->e, k->dq, q1, ctx), is_inverse(k->q, k->qinv, k->p, ctx),
	};
	for (size_t i = 0; i < sizeof holds / sizeof *holds; i++) {
		if (holds[i] < 0)
			return no_memory();
		if (holds[i] == 0)
			return fail(FAULT_KEY_MISMATCH,
				    "RFC 8017 3.2: the exponents of an RSA key do not belong together");
	}
	return 0;
}

/* Before any arithmetic: nothing in the key is longer than its modulus. */
static bool rsa_is_bounded(const struct rsa_private *k)
{
	int bits = BN_num_bits(k->n);
	return BN_num_bits(k->d) <= bits && BN_num_bits(k->p) <= bits && BN_num_bits(k->q) <= bits &&
	       BN_num_bits(k->dp) <= bits && BN_num_bits(k->dq) <= bits && BN_num_bits(k->qinv) <= bits;
}

static int read_rsa(struct view der, struct private_key *ret, uint8_t **ret_secret, int *ret_len)
{
	__attribute__((cleanup(rsa_private_freep))) struct rsa_private *k =
		ber_decode(der, ASN1_ITEM_rptr(RSA_PRIVATE_PARTS), "RFC 8017 A.1.2: RSAPrivateKey");
	if (!k)
		return -FAULT_MALFORMED_PKCS12;
	if (k->others || ASN1_INTEGER_get(k->version) != 0)
		return fail(FAULT_UNSUPPORTED_ALGORITHM, "RFC 8017 A.1.2: an RSA key of more than two primes");
	int rc = rsa_public_set(&ret->public, k->n, k->e);
	if (rc < 0)
		return rc;
	if (!rsa_is_bounded(k) || BN_is_zero(k->p) || BN_is_zero(k->q))
		return fail(FAULT_MALFORMED_PKCS12,
			    "RFC 8017 A.1.2: a part of an RSA key is zero or longer than its modulus");
	OWNED(BN_CTX) ctx = BN_CTX_new();
	rc = ctx ? rsa_check(k, ctx) : no_memory();
	if (rc < 0)
		return rc;
	*ret_len = ASN1_item_i2d((ASN1_VALUE *)k, ret_secret, ASN1_ITEM_rptr(RSA_PRIVATE_PARTS));
	return *ret_len > 0 ? 0 : no_memory();
}

/* The point of the number, which must be the one that the key names, if it names one. */
static int ec_check(const EC_GROUP *group, const struct ec_private *k, const BIGNUM *number, struct public_key *ret)
{
	if (BN_is_zero(number) || BN_cmp(number, EC_GROUP_get0_order(group)) >= 0)
		return fail(FAULT_MALFORMED_PKCS12,
			    "RFC 5915 3: a private key that is not below the order of its curve");
	OWNED(EC_POINT) point = EC_POINT_new(group);
	if (!point || EC_POINT_mul(group, point, number, NULL, NULL, NULL) != 1)
		return no_memory();
	int rc = ec_public_set_point(ret, group, point);
	if (rc < 0 || !k->public)
		return rc;
	PUBLIC_KEY named;
	if (!public_key_init(&named))
		return -FAULT_TOO_EXPENSIVE;
	rc = ec_public_set(&named, group, asn1_view(k->public));
	if (rc < 0)
		return rc;
	return view_equal(buf_view(named.canonical), buf_view(ret->canonical)) ? 0
		: fail(FAULT_KEY_MISMATCH,
		       "RFC 5915 3: the public key inside an EC key is not that of the private one");
}

/* RFC 5915 3: the number as long as the order, no parameters (PKCS#8 has them), and the point, which some readers
 * need. */
static int ec_encode(const EC_GROUP *group, struct ec_private *k, const BIGNUM *number, const struct public_key *public,
		     uint8_t **ret_secret, int *ret_len)
{
	uint8_t octets_secret[EC_POINT_MAX_BYTES];
	int len = (EC_GROUP_order_bits(group) + 7) / 8;
	struct view point = buf_view(public->canonical);
	if (!k->public)
		k->public = ASN1_BIT_STRING_new();
	ASN1_TYPE_free(k->parameters);
	k->parameters = NULL;
	bool ok = k->public && BN_bn2binpad(number, octets_secret, len) == len &&
		  ASN1_OCTET_STRING_set(k->number, octets_secret, len) == 1 &&
		  ASN1_BIT_STRING_set(k->public, (unsigned char *)point.p, (int)point.len) == 1;
	explicit_bzero(octets_secret, sizeof octets_secret);
	if (!ok)
		return no_memory();
	k->public->flags &= ~(ASN1_STRING_FLAG_BITS_LEFT | 7);
	k->public->flags |= ASN1_STRING_FLAG_BITS_LEFT;
	*ret_len = ASN1_item_i2d((ASN1_VALUE *)k, ret_secret, ASN1_ITEM_rptr(EC_PRIVATE_PARTS));
	return *ret_len > 0 ? 0 : no_memory();
}

/* What is said again around the number: readers differ in which of two curves they take. */
static int ec_check_frame(const struct ec_private *k, int curve)
{
	if (ASN1_INTEGER_get(k->version) != EC_VERSION_1)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 5915 3: an EC key of another version than 1");
	const ASN1_TYPE *parameters = k->parameters;
	if (parameters && (parameters->type != V_ASN1_OBJECT || OBJ_obj2nid(parameters->value.object) != curve))
		return fail(FAULT_MALFORMED_PKCS12, "RFC 5915 3: the curve inside an EC key is not the one outside");
	return 0;
}

static int read_ec(struct view der, struct private_key *ret, uint8_t **ret_secret, int *ret_len)
{
	__attribute__((cleanup(ec_private_freep))) struct ec_private *k =
		ber_decode(der, ASN1_ITEM_rptr(EC_PRIVATE_PARTS), "RFC 5915 3: ECPrivateKey");
	if (!k)
		return -FAULT_MALFORMED_PKCS12;
	int rc = ec_check_frame(k, ret->public.curve);
	struct view octets = asn1_view(k->number);
	if (rc < 0)
		return rc;
	if (octets.len > EC_POINT_MAX_BYTES / 2)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 5915 3: a private key longer than that of any curve");
	OWNED(EC_GROUP) group = EC_GROUP_new_by_curve_name(ret->public.curve);
	OWNED(BIGNUM) number = BN_bin2bn(octets.p, (int)octets.len, NULL);
	if (!group || !number)
		return no_memory();
	rc = ec_check(group, k, number, &ret->public);
	return rc < 0 ? rc : ec_encode(group, k, number, &ret->public, ret_secret, ret_len);
}

/* Puts key_secret, which it takes over, into a PKCS#8 of the same algorithm as from. The parameters of a plain RSA
 * key are NULL (RFC 3279 2.3.1), whatever they were. */
static int wrap(const PKCS8_PRIV_KEY_INFO *from, uint8_t *key_secret, int len, struct private_key *ret)
{
	const X509_ALGOR *algorithm = NULL, *copy = NULL;
	OWNED(PKCS8_PRIV_KEY_INFO) to = PKCS8_PRIV_KEY_INFO_new();
	if (!to || PKCS8_pkey_set0(to, OBJ_nid2obj(NID_rsaEncryption), 0, V_ASN1_NULL, NULL, key_secret, len) != 1) {
		OPENSSL_clear_free(key_secret, (size_t)len);
		return no_memory();
	}
	PKCS8_pkey_get0(NULL, NULL, NULL, &algorithm, from);
	PKCS8_pkey_get0(NULL, NULL, NULL, &copy, to);
	/* What PKCS8_pkey_get0() gives is a part of `to`, and const only by its name. */
	if ((ret->public.family == KEY_EC || ret->public.pss) && X509_ALGOR_copy((X509_ALGOR *)copy, algorithm) != 1)
		return no_memory();
	int size = i2d_PKCS8_PRIV_KEY_INFO(to, NULL);
	uint8_t *at = size > 0 ? buf_reserve(ret->pkcs8_secret, (size_t)size) : NULL;
	return at && i2d_PKCS8_PRIV_KEY_INFO(to, &at) == size ? 0 : no_memory();
}

static int read_into(const PKCS8_PRIV_KEY_INFO *info, struct private_key *ret)
{
	const uint8_t *p = NULL;
	int len = 0, key_len = 0;
	uint8_t *key_secret = NULL;
	const X509_ALGOR *algorithm = NULL;
	if (PKCS8_pkey_get0(NULL, &p, &len, &algorithm, info) != 1 || !p || len <= 0)
		return fail(FAULT_MALFORMED_PKCS12, "RFC 5208 5: a key that holds nothing");
	int rc = key_kind_read(algorithm, &ret->public);
	if (rc < 0)
		return rc;
	struct view der = view_of(p, (size_t)len);
	rc = ret->public.family == KEY_RSA ? read_rsa(der, ret, &key_secret, &key_len)
					   : read_ec(der, ret, &key_secret, &key_len);
	return rc < 0 ? rc : wrap(info, key_secret, key_len, ret);
}

int private_key_read(struct view pkcs8, struct private_key **ret)
{
	OWNED(PKCS8_PRIV_KEY_INFO) info =
		ber_decode(pkcs8, ASN1_ITEM_rptr(PKCS8_PRIV_KEY_INFO), "RFC 5208 5: PrivateKeyInfo");
	if (!info)
		return -FAULT_MALFORMED_PKCS12;
	struct private_key *key = calloc(1, sizeof *key);
	if (key)
		key->pkcs8_secret = buf_new(KEY_MAX_BYTES);
	int rc = key && key->pkcs8_secret && public_key_init(&key->public) ? read_into(info, key) : no_memory();
	if (rc < 0)
		private_key_free(key);
	else
		*ret = key;
	return rc;
}

void private_key_free(struct private_key *key)
{
	if (!key)
		return;
	public_key_done(&key->public);
	buf_free(key->pkcs8_secret);
	free(key);
}
