/* Makes the first secrets of a service. pfxctl, on the server. */
#include "new_keyring.h"

#include "../../daemon/keeper/keyring.h"
#include "../shared/trouble.h"
#include "fault.h"
#include "token.h"

int new_token(struct buf *ret_token_secret, uint8_t ret_sha256[static 32])
{
	if (token_make(ret_token_secret, ret_sha256) < 0)
		return trouble(EXIT_LOCAL, "can not make a token: %s", fault_detail());
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
