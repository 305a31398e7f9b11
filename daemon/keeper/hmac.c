/* Makes HMACs. Keeper only. Every call is OpenSSL's. */
#include "hmac.h"

#include "fault.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

enum {
	IDLE_MAX = 32,            /* contexts that are kept; more threads at once make their own */
	BEGINS_ANEW = 0x30000030, /* OpenSSL 3.0.3: before it a context that was used goes on, and gives another HMAC */
};

struct hmac_key {
	pthread_mutex_t lock;
	EVP_MAC_CTX *first; /* never used: the others are made after it */
	EVP_MAC_CTX *idle[IDLE_MAX];
	unsigned count;
};

static EVP_MAC_CTX *make_context(const struct key256 *key_secret)
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
				      OSSL_PARAM_construct_end() };
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *context = mac ? EVP_MAC_CTX_new(mac) : NULL;
	EVP_MAC_free(mac);
	if (context && EVP_MAC_init(context, key_secret->at, sizeof key_secret->at, params) == 1)
		return context;
	EVP_MAC_CTX_free(context);
	ERR_clear_error();
	return NULL;
}

struct hmac_key *hmac_key_new(const struct key256 *key_secret)
{
	struct hmac_key *key = calloc(1, sizeof *key);
	if (!key)
		return NULL;
	pthread_mutex_init(&key->lock, NULL);
	key->first = make_context(key_secret);
	if (key->first)
		return key;
	hmac_key_free(key);
	return NULL;
}

void hmac_key_free(struct hmac_key *key)
{
	if (!key)
		return;
	while (key->count > 0)
		EVP_MAC_CTX_free(key->idle[--key->count]);
	EVP_MAC_CTX_free(key->first);
	pthread_mutex_destroy(&key->lock);
	free(key);
}

static EVP_MAC_CTX *take(struct hmac_key *key)
{
	pthread_mutex_lock(&key->lock);
	EVP_MAC_CTX *context = key->count > 0 ? key->idle[--key->count] : EVP_MAC_CTX_dup(key->first);
	pthread_mutex_unlock(&key->lock);
	return context;
}

static void give_back(struct hmac_key *key, EVP_MAC_CTX *context)
{
	pthread_mutex_lock(&key->lock);
	bool kept = key->count < IDLE_MAX && OpenSSL_version_num() >= BEGINS_ANEW;
	if (kept)
		key->idle[key->count++] = context;
	pthread_mutex_unlock(&key->lock);
	if (!kept)
		EVP_MAC_CTX_free(context);
}

int hmac_make(struct hmac_key *key, const struct buf *fields, uint8_t ret[static HMAC_BYTES])
{
	size_t len = 0;
	EVP_MAC_CTX *context = buf_ok(fields) ? take(key) : NULL;
	if (context && EVP_MAC_init(context, NULL, 0, NULL) == 1 &&
	    EVP_MAC_update(context, buf_data(fields), buf_len(fields)) == 1 &&
	    EVP_MAC_final(context, ret, &len, HMAC_BYTES) == 1) {
		give_back(key, context);
		return 0;
	}
	EVP_MAC_CTX_free(context);
	ERR_clear_error();
	return fail(FAULT_INTERNAL, "OpenSSL could not compute an HMAC");
}
