/* Splits the recovery passphrase and puts it together again. pfxctl, as root on the server. The arithmetic is
 * libgfshare's; its random bytes are OpenSSL's. */
#include "shares.h"

#include "../shared/trouble.h"
#include "recovery.h"

#include <libgfshare.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

enum {
	VERSION = 1,
	SECRET_BYTES = 18,
	SET_BYTES = 4,
	CHECK_BYTES = 5,
	SHARE_BYTES = sizeof ((struct share *)0)->bytes_secret,
	SYMBOL_BITS = 5,
	SECRET_SYMBOLS = RECOVERY_GROUPS * RECOVERY_GROUP_CHARS,
	SHARE_SYMBOLS = SHARE_GROUPS * SHARE_GROUP_CHARS,
	/* in a share */
	AT_VERSION = 0, AT_NUMBER = 1, AT_THRESHOLD = 2, AT_SET = 3, AT_SECRET = AT_SET + SET_BYTES,
	AT_CHECK = AT_SECRET + SECRET_BYTES,
};

_Static_assert(AT_CHECK + CHECK_BYTES == SHARE_BYTES && SHARE_BYTES * 8 == SHARE_SYMBOLS * SYMBOL_BITS,
	       "a share has no bits to spare");

/* ---- symbols of five bits ---- */

/* Appends count symbols in groups, with dashes between. */
static void put_symbols(const uint8_t *bytes_secret, size_t count, struct buf *ret_secret)
{
	for (size_t i = 0; i < count; i++) {
		unsigned value = 0;
		for (size_t bit = i * SYMBOL_BITS; bit < (i + 1) * SYMBOL_BITS; bit++)
			value = value << 1 | (bytes_secret[bit / 8] >> (7 - bit % 8) & 1);
		if (i > 0 && i % SHARE_GROUP_CHARS == 0)
			buf_put_u8(ret_secret, '-');
		buf_put_u8(ret_secret, (uint8_t)recovery_alphabet[value]);
	}
}

/* However it was typed: capitals, and blanks or nothing for the dashes. False unless it is count symbols. */
static bool get_symbols(struct view text_secret, size_t count, uint8_t *ret_secret, size_t size)
{
	size_t bit = 0;
	memset(ret_secret, 0, size);
	for (size_t i = 0; i < text_secret.len; i++) {
		uint8_t c = text_secret.p[i];
		if (c == '-' || c == ' ' || c == '\t' || c == '\r')
			continue;
		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c - 'A' + 'a');
		const char *at = c ? strchr(recovery_alphabet, c) : NULL;
		if (!at || bit == count * SYMBOL_BITS)
			return false;
		for (int n = SYMBOL_BITS - 1; n >= 0; n--, bit++)
			if ((at - recovery_alphabet) >> n & 1)
				ret_secret[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	}
	return bit == count * SYMBOL_BITS;
}

/* ---- making ---- */

/* The library's own would be random(), or nothing. What it asks for must not go on without them. */
static void fill_random(unsigned char *bytes, unsigned int count)
{
	if (RAND_priv_bytes(bytes, (int)count) != 1)
		abort();
}

static bool checksum(const uint8_t *share_secret, uint8_t ret[static CHECK_BYTES])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	bool done = EVP_Digest(share_secret, AT_CHECK, digest, NULL, EVP_sha256(), NULL) == 1;
	memcpy(ret, digest, CHECK_BYTES);
	return done;
}

static bool put_share(gfshare_ctx *split, unsigned i, const uint8_t *head, struct buf *ret_secret)
{
	struct share share = { .name = NULL };
	memcpy(share.bytes_secret, head, AT_SECRET);
	share.bytes_secret[AT_NUMBER] = (uint8_t)(i + 1);
	gfshare_ctx_enc_getshare(split, (unsigned char)i, share.bytes_secret + AT_SECRET);
	bool done = checksum(share.bytes_secret, share.bytes_secret + AT_CHECK);
	put_symbols(share.bytes_secret, SHARE_SYMBOLS, ret_secret);
	buf_put_u8(ret_secret, '\n');
	explicit_bzero(&share, sizeof share);
	return done;
}

static bool split_all(const uint8_t *secret, unsigned threshold, unsigned count, struct buf *ret_secret)
{
	uint8_t numbers[SHARES_MOST], head[AT_SECRET] = { [AT_VERSION] = VERSION, [AT_THRESHOLD] = (uint8_t)threshold };
	uint8_t copy_secret[SECRET_BYTES];
	for (unsigned i = 0; i < count; i++)
		numbers[i] = (uint8_t)(i + 1);
	gfshare_fill_rand = fill_random;
	gfshare_ctx *split = gfshare_ctx_init_enc(numbers, count, (unsigned char)threshold, SECRET_BYTES);
	if (!split || RAND_bytes(head + AT_SET, SET_BYTES) != 1) {
		if (split)
			gfshare_ctx_free(split);
		return false;
	}
	memcpy(copy_secret, secret, sizeof copy_secret);
	gfshare_ctx_enc_setsecret(split, copy_secret);
	explicit_bzero(copy_secret, sizeof copy_secret);
	bool done = true;
	for (unsigned i = 0; done && i < count; i++)
		done = put_share(split, i, head, ret_secret);
	gfshare_ctx_free(split);
	return done && buf_ok(ret_secret);
}

int shares_make(struct view passphrase_secret, unsigned threshold, unsigned count, struct buf *ret_secret)
{
	uint8_t secret[SECRET_BYTES];
	if (threshold < SHARES_LEAST || threshold > count || count > SHARES_MOST)
		return trouble(EXIT_USAGE, "--shares takes K/N: K of N shares restore it, K from %d to N, N at most %d",
			       (int)SHARES_LEAST, (int)SHARES_MOST);
	bool done = get_symbols(passphrase_secret, SECRET_SYMBOLS, secret, sizeof secret) &&
		    split_all(secret, threshold, count, ret_secret);
	explicit_bzero(secret, sizeof secret);
	return done ? EXIT_DONE : trouble(EXIT_LOCAL, "can not make shares: no memory, or no random bytes");
}

/* ---- restoring ---- */

int share_read(struct view text_secret, const char *name, struct share *ret)
{
	uint8_t check[CHECK_BYTES];
	bool found = false;
	*ret = (struct share){ .name = name };
	while (!found && text_secret.len > 0) {
		const uint8_t *end = memchr(text_secret.p, '\n', text_secret.len);
		size_t len = end ? (size_t)(end - text_secret.p) : text_secret.len;
		found = get_symbols(view_of(text_secret.p, len), SHARE_SYMBOLS, ret->bytes_secret, SHARE_BYTES);
		len += end != NULL;
		text_secret = view_of(text_secret.p + len, text_secret.len - len);
	}
	if (!found)
		return trouble_coded(EXIT_REFUSED, "bad_share", "%s holds no share: one has %d groups of %d "
								"characters", name,
				     (int)SHARE_GROUPS, (int)SHARE_GROUP_CHARS);
	if (!checksum(ret->bytes_secret, check) || memcmp(check, ret->bytes_secret + AT_CHECK, CHECK_BYTES) != 0)
		return trouble_coded(EXIT_REFUSED, "bad_share", "the share in %s is damaged: a character of it is "
				     "another than the one that was written", name);
	if (ret->bytes_secret[AT_VERSION] != VERSION)
		return trouble_coded(EXIT_REFUSED, "bad_share", "the share in %s is of a newer pfxd", name);
	return EXIT_DONE;
}

/* All of one passphrase, each once, and enough of them. */
static int check_together(const struct share *shares, unsigned count)
{
	unsigned threshold = shares[0].bytes_secret[AT_THRESHOLD];
	for (unsigned i = 0; i < count; i++)
		for (unsigned j = 0; j < i; j++) {
			const uint8_t *a = shares[i].bytes_secret, *b = shares[j].bytes_secret;
			if (memcmp(a + AT_THRESHOLD, b + AT_THRESHOLD, 1 + SET_BYTES) != 0)
				return trouble_coded(EXIT_REFUSED, "foreign_share", "%s and %s are shares of different "
						     "passphrases", shares[j].name, shares[i].name);
			if (a[AT_NUMBER] == b[AT_NUMBER])
				return trouble_coded(EXIT_REFUSED, "bad_share", "%s and %s are one and the same share, "
						     "number %u", shares[j].name, shares[i].name, (unsigned)a[AT_NUMBER]);
		}
	if (count < threshold)
		return trouble_coded(EXIT_REFUSED, "too_few_shares", "%u of these shares restore the passphrase, and "
								     "here %s %u",
				     threshold, count == 1 ? "is" : "are", count);
	return EXIT_DONE;
}

int shares_combine(const struct share *shares, unsigned count, struct buf *ret_passphrase_secret)
{
	uint8_t numbers[SHARES_MOST], secret[SECRET_BYTES];
	if (count == 0 || count > SHARES_MOST)
		return trouble(EXIT_USAGE, "from 1 to %d shares", (int)SHARES_MOST);
	int rc = check_together(shares, count);
	if (rc)
		return rc;
	for (unsigned i = 0; i < count; i++)
		numbers[i] = shares[i].bytes_secret[AT_NUMBER];
	gfshare_fill_rand = fill_random; /* it overwrites with it what it frees */
	gfshare_ctx *together = gfshare_ctx_init_dec(numbers, count, SECRET_BYTES);
	if (!together)
		return trouble(EXIT_LOCAL, "no memory");
	for (unsigned i = 0; i < count; i++) {
		uint8_t part_secret[SECRET_BYTES];
		memcpy(part_secret, shares[i].bytes_secret + AT_SECRET, sizeof part_secret);
		gfshare_ctx_dec_giveshare(together, (unsigned char)i, part_secret);
		explicit_bzero(part_secret, sizeof part_secret);
	}
	gfshare_ctx_dec_extract(together, secret);
	gfshare_ctx_free(together);
	put_symbols(secret, SECRET_SYMBOLS, ret_passphrase_secret);
	explicit_bzero(secret, sizeof secret);
	return buf_ok(ret_passphrase_secret) ? EXIT_DONE : trouble(EXIT_LOCAL, "no memory");
}
