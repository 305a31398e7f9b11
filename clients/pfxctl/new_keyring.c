/* Makes the first secrets of a service. pfxctl, on the server. */
#include "new_keyring.h"

#include "../../daemon/keeper/keyring.h"
#include "../shared/trouble.h"
#include "encode.h"
#include "fault.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

int new_token(struct buf *ret_token_secret, uint8_t ret_sha256[static 32])
{
	KEY256 random_secret;
	size_t before = buf_len(ret_token_secret), len;
	if (RAND_priv_bytes(random_secret.at, sizeof random_secret.at) != 1)
		return trouble(EXIT_LOCAL, "no random bytes");
	base64url_encode(view_of(random_secret.at, sizeof random_secret.at), ret_token_secret);
	len = buf_len(ret_token_secret) - before;
	if (!buf_ok(ret_token_secret) ||
	    EVP_Digest(buf_data(ret_token_secret) + before, len, ret_sha256, NULL, EVP_sha256(), NULL) != 1)
		return trouble(EXIT_LOCAL, "OpenSSL could not hash the token");
	return EXIT_DONE;
}

int new_keyring(struct buf *ret_token_secret, struct buf *ret_keyring_secret)
{
	uint8_t sha256[32];
	int rc = new_token(ret_token_secret, sha256);
	if (rc)
		return rc;
	if (keyring_make(view_of(sha256, sizeof sha256), ret_keyring_secret) < 0)
		return trouble(EXIT_LOCAL, "can not make the keyring: %s", fault_detail());
	return EXIT_DONE;
}
