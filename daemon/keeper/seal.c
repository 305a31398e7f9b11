/* Seals and unseals. Keeper only. Every call is OpenSSL's; the binding is all that is decided here. */
#include "seal.h"

#include "encode.h"
#include "fault.h"
#include "openssl_ptr.h"

#include <openssl/err.h>
#include <openssl/modes.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

enum { BINDING_MAX_BYTES = 512 };

const char *const seal_parts[SEAL_PARTS] = { [SEAL_MODERN] = "modern", [SEAL_LEGACY] = "legacy" };

static pthread_once_t fetched = PTHREAD_ONCE_INIT;
static EVP_CIPHER *gcm, *ecb, *wrap_pad;
static EVP_MD *sha256, *sha1;

/* Once: a fetch by name costs more than the encryption of a small record. */
static void fetch(void)
{
	gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	wrap_pad = EVP_CIPHER_fetch(NULL, "AES-256-WRAP-PAD", NULL);
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	if (!gcm || !ecb || !wrap_pad || !sha256 || !sha1)
		abort(); /* a few hundred bytes, at the start: without them no row could be read until the next one */
}

static int broken(const char *what)
{
	ERR_clear_error();
	return fail(FAULT_INTERNAL, "OpenSSL could not %s", what);
}

static EVP_CIPHER_CTX *wrapping_context(const struct key256 *key_secret)
{
	pthread_once(&fetched, fetch);
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	if (context && EVP_EncryptInit_ex2(context, wrap_pad, key_secret->at, NULL, NULL) == 1)
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

int seal_new_key(const struct keyring *keyring, struct key256 *ret_secret, uint8_t *ret_wrapped)
{
	const struct key256 *key_secret = keyring_wrapping_key(keyring, view_text(keyring_wrapping_id(keyring, 0)));
	CIPHER_CTX context = key_secret ? wrapping_context(key_secret) : NULL;
	int len = 0;
	if (!context || RAND_priv_bytes(ret_secret->at, sizeof ret_secret->at) != 1 ||
	    EVP_CipherUpdate(context, ret_wrapped, &len, ret_secret->at, sizeof ret_secret->at) != 1 ||
	    len != SEAL_WRAPPED_BYTES)
		return broken("wrap a data key");
	return 0;
}

/* Decrypts one block, as CRYPTO_128_unwrap_pad() wants it. One that can not be decrypted is zeros, which fail its check. */
static void decrypt_block(const uint8_t in[16], uint8_t out[16], const void *context)
{
	int len = 0;
	if (EVP_DecryptUpdate((EVP_CIPHER_CTX *)(uintptr_t)context, out, &len, in, 16) != 1)
		memset(out, 0, 16);
}

/* RFC 5649 by OpenSSL's function for it, with the block cipher of its own choice: the cipher AES-256-WRAP-PAD takes one
 * in plain C, which makes eight keys as dear as everything that is sealed under them. */
int seal_open_key(const struct keyring *keyring, struct view key_id, struct view wrapped, struct key256 *ret_secret)
{
	const struct key256 *key_secret = keyring_wrapping_key(keyring, key_id);
	if (!key_secret)
		return fail(FAULT_TAMPERED, "it names a wrapping key that this keyring does not have");
	if (wrapped.len != SEAL_WRAPPED_BYTES)
		return fail(FAULT_TAMPERED, "its data key does not unwrap");
	pthread_once(&fetched, fetch);
	uint8_t unwrapped[SEAL_WRAPPED_BYTES];
	CIPHER_CTX context = EVP_CIPHER_CTX_new();
	if (!context || EVP_DecryptInit_ex2(context, ecb, key_secret->at, NULL, NULL) != 1 ||
	    EVP_CIPHER_CTX_set_padding(context, 0) != 1)
		return broken("unwrap a data key");
	size_t len = CRYPTO_128_unwrap_pad(context, NULL, unwrapped, wrapped.p, wrapped.len, decrypt_block);
	bool opened = len == sizeof ret_secret->at;
	if (opened)
		memcpy(ret_secret->at, unwrapped, sizeof ret_secret->at);
	explicit_bzero(unwrapped, sizeof unwrapped);
	ERR_clear_error();
	return opened ? 0 : fail(FAULT_TAMPERED, "its data key does not unwrap");
}

/* A context that has taken the nonce and the binding, ready for the text. */
static EVP_CIPHER_CTX *gcm_context(const struct key256 *key_secret, const struct binding *binding, const char *part,
				   const uint8_t *nonce, int encrypt)
{
	pthread_once(&fetched, fetch);
	BUF bound = buf_new(BINDING_MAX_BYTES);
	if (!bound)
		return NULL;
	buf_put_bytes(bound, view_text("pfxd sealed 1"));
	buf_put_bytes(bound, view_text(part));
	buf_put_bytes(bound, binding->record);
	buf_put_bytes(bound, binding->owner);
	buf_put_bytes(bound, binding->sha256);
	buf_put_bytes(bound, binding->key_id);
	int len;
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	if (buf_ok(bound) && context && EVP_CipherInit_ex2(context, gcm, key_secret->at, nonce, encrypt, NULL) == 1 &&
	    EVP_CipherUpdate(context, NULL, &len, buf_data(bound), (int)buf_len(bound)) == 1)
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

int seal(const struct key256 *key_secret, const struct binding *binding, const char *part, struct view plain,
	 struct buf *ret)
{
	int len = 0, rest = 0;
	uint8_t *nonce = buf_reserve(ret, SEAL_NONCE_BYTES + plain.len + SEAL_TAG_BYTES);
	if (!nonce || plain.len > INT32_MAX || RAND_bytes(nonce, SEAL_NONCE_BYTES) != 1)
		return broken("seal a record");
	uint8_t *text = nonce + SEAL_NONCE_BYTES, *tag = text + plain.len;
	CIPHER_CTX context = gcm_context(key_secret, binding, part, nonce, 1);
	if (!context || EVP_CipherUpdate(context, text, &len, plain.p, (int)plain.len) != 1 ||
	    EVP_CipherFinal_ex(context, text + len, &rest) != 1 ||
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES, tag) != 1)
		return broken("seal a record");
	return 0;
}

int unseal(const struct key256 *key_secret, const struct binding *binding, const char *part, struct view sealed,
	   struct buf *ret_secret)
{
	struct view nonce, text;
	uint8_t tag[SEAL_TAG_BYTES];
	if (sealed.len < SEAL_NONCE_BYTES + SEAL_TAG_BYTES || !view_get(&sealed, SEAL_NONCE_BYTES, &nonce) ||
	    !view_get(&sealed, sealed.len - SEAL_TAG_BYTES, &text))
		return fail(FAULT_TAMPERED, "its sealed part \"%s\" is cut short", part);
	memcpy(tag, sealed.p, sizeof tag);
	size_t start = buf_len(ret_secret);
	uint8_t *at = buf_reserve(ret_secret, text.len);
	if (!at && !buf_overflowed(ret_secret))
		return fail(FAULT_UNAVAILABLE, "no memory to unseal a record");
	if (!at)
		return fail(FAULT_TAMPERED, "its sealed part \"%s\" is larger than any that is sealed", part);
	CIPHER_CTX context = gcm_context(key_secret, binding, part, nonce.p, 0);
	int len = 0, rest = 0;
	if (!context)
		return broken("unseal a record");
	if (EVP_CipherUpdate(context, at, &len, text.p, (int)text.len) == 1 &&
	    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_BYTES, tag) == 1 &&
	    EVP_CipherFinal_ex(context, at + len, &rest) == 1)
		return 0;
	buf_truncate(ret_secret, start);
	ERR_clear_error();
	return fail(FAULT_TAMPERED, "its sealed part \"%s\" does not open: it was changed, or belongs elsewhere", part);
}

int digest_sha256(struct view bytes, uint8_t ret[static 32])
{
	pthread_once(&fetched, fetch);
	return EVP_Digest(bytes.p, bytes.len, ret, NULL, sha256, NULL) == 1 ? 0 : broken("compute a digest");
}

int digest_sha1(struct view bytes, uint8_t ret[static 20])
{
	pthread_once(&fetched, fetch);
	return EVP_Digest(bytes.p, bytes.len, ret, NULL, sha1, NULL) == 1 ? 0 : broken("compute a digest");
}
