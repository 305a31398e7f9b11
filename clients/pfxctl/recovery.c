/* Makes and opens exports of the keyring. pfxctl, as root on the server. The passphrase has 140 random bits, so its
 * derivation need not be slow. */
#include "recovery.h"

#include "../../daemon/keeper/keyring.h"
#include "../shared/openssl_more.h"
#include "../shared/trouble.h"
#include "encode.h"
#include "fault.h"
#include "text.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>
#include <unistd.h>

enum { HOST_NAME_MAX_CHARS = 64, PASSPHRASE_MAX_BYTES = 1024 };

const char recovery_alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";

/* ---- the passphrase ---- */

int recovery_make_passphrase(struct buf *ret_secret)
{
	KEY256 random_secret;
	if (RAND_priv_bytes(random_secret.at, sizeof random_secret.at) != 1)
		return trouble(EXIT_LOCAL, "no random bytes");
	for (size_t i = 0; i < RECOVERY_GROUPS * RECOVERY_GROUP_CHARS; i++) {
		if (i > 0 && i % RECOVERY_GROUP_CHARS == 0)
			buf_put_u8(ret_secret, '-');
		buf_put_u8(ret_secret, (uint8_t)recovery_alphabet[random_secret.at[i] % (sizeof recovery_alphabet - 1)]);
	}
	return buf_ok(ret_secret) ? EXIT_DONE : trouble(EXIT_LOCAL, "no memory");
}

/* As it was made, from how somebody typed it. False if it can be none of ours. */
static bool tidy(struct view typed_secret, struct buf *ret_secret)
{
	size_t count = 0;
	for (size_t i = 0; i < typed_secret.len; i++) {
		uint8_t c = typed_secret.p[i];
		if (c == '-' || c == ' ' || c == '\t')
			continue;
		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c - 'A' + 'a');
		if (count > 0 && count % RECOVERY_GROUP_CHARS == 0)
			buf_put_u8(ret_secret, '-');
		buf_put_u8(ret_secret, c);
		count++;
	}
	return count == RECOVERY_GROUPS * RECOVERY_GROUP_CHARS && buf_ok(ret_secret);
}

/* ---- sealing ---- */

/* OpenSSL takes the passphrase over and frees it, which wipes it: see wipe_free.c. */
static bool add_passphrase(CMS_ContentInfo *cms, struct view passphrase_secret)
{
	uint8_t *own_secret = OPENSSL_memdup(passphrase_secret.p, passphrase_secret.len);
	if (own_secret && CMS_add0_recipient_password(cms, -1, NID_undef, NID_undef, own_secret,
						      (ossl_ssize_t)passphrase_secret.len, EVP_aes_256_cbc()))
		return true;
	OPENSSL_free(own_secret);
	return false;
}

static bool encode(CMS_ContentInfo *cms, struct buf *ret)
{
	int len = i2d_CMS_ContentInfo(cms, NULL);
	uint8_t *at = len > 0 ? buf_reserve(ret, (size_t)len) : NULL;
	return at && i2d_CMS_ContentInfo(cms, &at) == len;
}

static bool seal(struct view keyring_secret, struct view passphrase_secret, struct buf *ret_der)
{
	BIO_PTR content_secret = BIO_new_mem_buf(keyring_secret.p, (int)keyring_secret.len);
	CMS cms = CMS_encrypt(NULL, NULL, EVP_aes_256_gcm(), CMS_BINARY | CMS_PARTIAL);
	bool done = content_secret && cms && add_passphrase(cms, passphrase_secret) &&
		    CMS_final(cms, content_secret, NULL, CMS_BINARY) == 1 && encode(cms, ret_der);
	ERR_clear_error();
	return done;
}

static void put_preface(struct buf *ret)
{
	char host[HOST_NAME_MAX_CHARS + 1] = "", now[TIME_TEXT + 1];
	gethostname(host, sizeof host - 1);
	text_disarm(host);
	time_format(now_seconds(), now);
	buf_printf(ret, "A keyring of pfxd, copied on %s at %s. It opens with its recovery passphrase:\n"
		   "  pfxctl keyring import FILE\n"
		   "  openssl cms -decrypt -inform PEM -in FILE -pwri_password PASSPHRASE\n", host, now);
}

int recovery_seal(struct view keyring_secret, struct view passphrase_secret, struct buf *ret)
{
	BUF der = buf_new(RECOVERY_MAX_BYTES);
	BUF again_secret = buf_new(KEYRING_MAX_BYTES);
	size_t before = buf_len(ret);
	if (!der || !again_secret || !seal(keyring_secret, passphrase_secret, der))
		return trouble(EXIT_LOCAL, "OpenSSL could not encrypt the export of the keyring");
	put_preface(ret);
	pem_encode("CMS", buf_view(der), ret);
	if (!buf_ok(ret))
		return trouble(EXIT_LOCAL, "no memory for the export");
	int rc = recovery_open(view_of(buf_data(ret) + before, buf_len(ret) - before), passphrase_secret, again_secret);
	if (rc == EXIT_DONE && !view_equal_secret(buf_view(again_secret), keyring_secret))
		rc = trouble(EXIT_LOCAL, "the export of the keyring holds something else");
	return rc;
}

/* ---- opening ---- */

static bool try(struct view der, struct view passphrase_secret, struct buf *ret_secret)
{
	const uint8_t *at = der.p, *bytes_secret = NULL;
	CMS cms = d2i_CMS_ContentInfo(NULL, &at, (long)der.len);
	BIO_PTR content_secret = BIO_new(BIO_s_mem());
	uint8_t *own_secret = OPENSSL_memdup(passphrase_secret.p, passphrase_secret.len);
	bool opened = cms && content_secret && own_secret &&
		      CMS_decrypt_set1_password(cms, own_secret, (ossl_ssize_t)passphrase_secret.len) == 1 &&
		      CMS_decrypt(cms, NULL, NULL, NULL, content_secret, CMS_BINARY) == 1;
	long len = opened ? BIO_get_mem_data(content_secret, &bytes_secret) : 0;
	if (len > 0)
		buf_put(ret_secret, bytes_secret, (size_t)len);
	OPENSSL_free(own_secret);
	ERR_clear_error();
	return opened && buf_ok(ret_secret);
}

static bool is_encrypted(struct view der)
{
	const uint8_t *at = der.p;
	CMS cms = d2i_CMS_ContentInfo(NULL, &at, (long)der.len);
	int kind = cms && at == der.p + der.len ? OBJ_obj2nid(CMS_get0_type(cms)) : NID_undef;
	ERR_clear_error();
	return kind == NID_id_smime_ct_authEnvelopedData || kind == NID_pkcs7_enveloped;
}

int recovery_open(struct view export, struct view passphrase_secret, struct buf *ret_secret)
{
	BUF der = buf_new(RECOVERY_MAX_BYTES);
	BUF tidy_secret = buf_new(2 * PASSPHRASE_MAX_BYTES);
	if (!der || !tidy_secret)
		return trouble(EXIT_LOCAL, "no memory");
	if (pem_decode("CMS", "PKCS7", export, der) < 0 || !is_encrypted(buf_view(der)))
		return trouble(EXIT_LOCAL, "this is no export of a keyring: it has no block -----BEGIN CMS----- that "
			       "is whole");
	if (try(buf_view(der), passphrase_secret, ret_secret))
		return EXIT_DONE;
	buf_reset(ret_secret);
	if (tidy(passphrase_secret, tidy_secret) && try(buf_view(der), buf_view(tidy_secret), ret_secret))
		return EXIT_DONE;
	return trouble_coded(EXIT_REFUSED, "wrong_passphrase", "this passphrase does not open the export: it has %d "
			     "groups of %d characters, and is not that of another export", RECOVERY_GROUPS,
			     RECOVERY_GROUP_CHARS);
}
