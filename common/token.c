/* Makes tokens, of administrators and of enrolments. Keeper, and pfxctl on the server. */
#include "token.h"

#include "encode.h"
#include "fault.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

int token_make(struct buf *ret_secret, uint8_t ret_sha256[static 32])
{
	KEY256 bytes_secret;
	size_t start = buf_len(ret_secret);
	if (RAND_priv_bytes(bytes_secret.at, sizeof bytes_secret.at) != 1) {
		ERR_clear_error();
		return fail(FAULT_INTERNAL, "OpenSSL has no random bytes");
	}
	base64url_encode(view_of(bytes_secret.at, sizeof bytes_secret.at), ret_secret);
	if (!buf_ok(ret_secret))
		return fail(FAULT_UNAVAILABLE, "no memory for a token");
	if (EVP_Digest(buf_data(ret_secret) + start, buf_len(ret_secret) - start, ret_sha256, NULL, EVP_sha256(), NULL) == 1)
		return 0;
	ERR_clear_error();
	return fail(FAULT_INTERNAL, "OpenSSL could not hash a token");
}
