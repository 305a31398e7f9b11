/* Key derivation. Opener. Never decides how much work is right: pfx_work.c has done so before. */
#define OPENSSL_SUPPRESS_DEPRECATED /* kdf.h says why the low-level hashes */
#include "kdf.h"

#include "wipe.h"

#include <openssl/obj_mac.h>
#include <openssl/sha.h>
#include <string.h>

static const struct hash hashes[] = {
	{ NID_sha1, NID_hmacWithSHA1, SHA_DIGEST_LENGTH, SHA_CBLOCK },
	{ NID_sha224, NID_hmacWithSHA224, SHA224_DIGEST_LENGTH, SHA256_CBLOCK },
	{ NID_sha256, NID_hmacWithSHA256, SHA256_DIGEST_LENGTH, SHA256_CBLOCK },
	{ NID_sha384, NID_hmacWithSHA384, SHA384_DIGEST_LENGTH, SHA512_CBLOCK },
	{ NID_sha512, NID_hmacWithSHA512, SHA512_DIGEST_LENGTH, SHA512_CBLOCK },
};
enum { HASHES = sizeof hashes / sizeof *hashes, BLOCK_MAX_BYTES = SHA512_CBLOCK };

const struct hash *hash_by_nid(int nid)
{
	for (size_t i = 0; i < HASHES; i++)
		if (hashes[i].nid == nid)
			return &hashes[i];
	return NULL;
}

const struct hash *hash_by_hmac_nid(int nid)
{
	for (size_t i = 0; i < HASHES; i++)
		if (hashes[i].hmac_nid == nid)
			return &hashes[i];
	return NULL;
}

struct state {
	union {
		SHA_CTX sha1;
		SHA256_CTX sha256;
		SHA512_CTX sha512;
	};
};

static void state_init(struct state *s, const struct hash *h)
{
	switch (h->nid) {
	case NID_sha1: SHA1_Init(&s->sha1); break;
	case NID_sha224: SHA224_Init(&s->sha256); break;
	case NID_sha256: SHA256_Init(&s->sha256); break;
	case NID_sha384: SHA384_Init(&s->sha512); break;
	default: SHA512_Init(&s->sha512);
	}
}

static inline void state_update(struct state *s, const struct hash *h, const void *p, size_t len)
{
	if (h->nid == NID_sha1)
		SHA1_Update(&s->sha1, p, len);
	else if (h->block == SHA256_CBLOCK)
		SHA256_Update(&s->sha256, p, len);
	else
		SHA512_Update(&s->sha512, p, len);
}

/* The state itself knows whether it is a shortened one. */
static inline void state_final(struct state *s, const struct hash *h, uint8_t *ret)
{
	if (h->nid == NID_sha1)
		SHA1_Final(ret, &s->sha1);
	else if (h->block == SHA256_CBLOCK)
		SHA256_Final(ret, &s->sha256);
	else
		SHA512_Final(ret, &s->sha512);
}

static uint64_t work_done;

uint64_t kdf_work_done(void)
{
	return work_done;
}

void kdf_work_add(uint64_t units)
{
	work_done += units;
}

void hash_digest(const struct hash *h, struct view data, uint8_t *ret)
{
	struct state s;
	state_init(&s, h);
	state_update(&s, h, data.p, data.len);
	state_final(&s, h, ret);
	explicit_bzero(&s, sizeof s);
}

/* ---- HMAC, RFC 2104 ---- */

struct hmac {
	struct state inner, outer; /* after the padded key */
};

static void hmac_init(struct hmac *m, const struct hash *h, struct view key_secret)
{
	uint8_t block_secret[BLOCK_MAX_BYTES] = { 0 };
	if (key_secret.len > h->block)
		hash_digest(h, key_secret, block_secret);
	else if (key_secret.len > 0)
		memcpy(block_secret, key_secret.p, key_secret.len);
	for (size_t i = 0; i < h->block; i++)
		block_secret[i] ^= 0x36;
	state_init(&m->inner, h);
	state_update(&m->inner, h, block_secret, h->block);
	for (size_t i = 0; i < h->block; i++)
		block_secret[i] ^= 0x36 ^ 0x5c;
	state_init(&m->outer, h);
	state_update(&m->outer, h, block_secret, h->block);
	explicit_bzero(block_secret, sizeof block_secret);
}

/* ret = HMAC(a | b), with b for what comes in two parts. s is the caller's, who wipes it. */
static inline void hmac_run(const struct hmac *m, const struct hash *h, struct state *s, struct view a, struct view b,
			    uint8_t *ret)
{
	*s = m->inner;
	state_update(s, h, a.p, a.len);
	if (b.len > 0)
		state_update(s, h, b.p, b.len);
	state_final(s, h, ret);
	*s = m->outer;
	state_update(s, h, ret, h->size);
	state_final(s, h, ret);
}

void hash_hmac(const struct hash *h, struct view key_secret, struct view data, uint8_t *ret)
{
	struct hmac m;
	struct state s;
	hmac_init(&m, h, key_secret);
	hmac_run(&m, h, &s, data, view_of("", 0), ret);
	explicit_bzero(&m, sizeof m);
	explicit_bzero(&s, sizeof s);
}

/* ---- PBKDF2, RFC 8018 5.2 ---- */

static void pbkdf2_block(const struct hmac *m, const struct hash *h, struct view salt, uint32_t index,
			 uint64_t iterations, uint8_t *ret)
{
	const uint8_t number[4] = { (uint8_t)(index >> 24), (uint8_t)(index >> 16), (uint8_t)(index >> 8),
				    (uint8_t)index };
	struct state s;
	uint8_t u_secret[HASH_MAX_BYTES];
	hmac_run(m, h, &s, salt, view_of(number, sizeof number), u_secret);
	memcpy(ret, u_secret, h->size);
	work_done += 1 + salt.len / h->block;
	for (uint64_t i = 1; i < iterations; i++, work_done++) {
		hmac_run(m, h, &s, view_of(u_secret, h->size), view_of("", 0), u_secret);
		for (size_t j = 0; j < h->size; j++)
			ret[j] ^= u_secret[j];
	}
	explicit_bzero(&s, sizeof s);
	explicit_bzero(u_secret, sizeof u_secret);
}

void kdf_pbkdf2(const struct hash *h, struct view password_secret, struct view salt, uint64_t iterations, uint8_t *ret,
		size_t len)
{
	struct hmac m;
	uint8_t block_secret[HASH_MAX_BYTES];
	hmac_init(&m, h, password_secret);
	uint32_t index = 1;
	for (size_t at = 0; at < len; at += h->size) {
		size_t n = len - at < h->size ? len - at : h->size;
		pbkdf2_block(&m, h, salt, index++, iterations, block_secret);
		memcpy(ret + at, block_secret, n);
	}
	explicit_bzero(&m, sizeof m);
	explicit_bzero(block_secret, sizeof block_secret);
}

/* ---- PKCS#12, RFC 7292 B.2 ---- */

enum { I_MAX_BYTES = SALT_MAX_BYTES + BMP_PASSWORD_MAX_BYTES + 2 * BLOCK_MAX_BYTES };

/* Appends v repeated to a whole number of blocks; nothing if v is empty. Returns the bytes written. */
static size_t repeat(uint8_t *at, struct view v, size_t block)
{
	size_t len = (v.len + block - 1) / block * block;
	for (size_t i = 0; i < len; i++)
		at[i] = v.p[i % v.len];
	return len;
}

/* Step 6 C: adds B + 1 to every block of I, as numbers. */
static void add_block(uint8_t *i_secret, size_t len, const uint8_t *b_secret, size_t block)
{
	for (size_t at = 0; at < len; at += block) {
		unsigned carry = 1;
		for (size_t k = block; k-- > 0;) {
			carry += (unsigned)i_secret[at + k] + b_secret[k];
			i_secret[at + k] = (uint8_t)carry;
			carry >>= 8;
		}
	}
}

void kdf_pkcs12(const struct hash *h, struct view bmp_secret, struct view salt, enum kdf_id id, uint64_t iterations,
		uint8_t *ret, size_t len)
{
	uint8_t d[BLOCK_MAX_BYTES], b_secret[BLOCK_MAX_BYTES] = { 0 }, a_secret[HASH_MAX_BYTES] = { 0 };
	uint8_t i_secret[I_MAX_BYTES] = { 0 };
	struct state s;
	memset(d, (int)id, sizeof d);
	size_t i_len = repeat(i_secret, salt, h->block);
	i_len += repeat(i_secret + i_len, bmp_secret, h->block);
	for (size_t at = 0; at < len; at += h->size) {
		state_init(&s, h);
		state_update(&s, h, d, h->block);
		state_update(&s, h, i_secret, i_len);
		state_final(&s, h, a_secret);
		work_done += 1 + salt.len / h->block;
		for (uint64_t k = 1; k < iterations; k++, work_done++) {
			state_init(&s, h);
			state_update(&s, h, a_secret, h->size);
			state_final(&s, h, a_secret);
		}
		memcpy(ret + at, a_secret, len - at < h->size ? len - at : h->size);
		for (size_t k = 0; k < h->block; k++)
			b_secret[k] = a_secret[k % h->size];
		add_block(i_secret, i_len, b_secret, h->block);
	}
	explicit_bzero(&s, sizeof s);
	explicit_bzero(a_secret, sizeof a_secret);
	explicit_bzero(b_secret, sizeof b_secret);
	explicit_bzero(i_secret, sizeof i_secret);
}

uint64_t kdf_work(const struct hash *h, size_t salt_len, uint64_t iterations, size_t len)
{
	uint64_t blocks = (len + h->size - 1) / h->size, work;
	bool over = __builtin_add_overflow(iterations, salt_len / h->block, &work);
	return over || __builtin_mul_overflow(work, blocks, &work) ? UINT64_MAX : work;
}
