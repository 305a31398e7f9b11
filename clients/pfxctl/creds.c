/* Seals and opens the keyring with systemd-creds, which has the formats and the TPM. pfxctl, as root on the server. The
 * keyring passes by pipes. */
#include "creds.h"

#include "../../daemon/keeper/keyring.h"
#include "../shared/file.h"
#include "../shared/trouble.h"
#include "child.h"
#include "encode.h"

#include <string.h>

#define CREDS_PROGRAM "/usr/bin/systemd-creds"
#define CREDS_NAME    "--name=keyring" /* as in LoadCredentialEncrypted= of the keeper's unit */
#define TPM_DEVICE    "/dev/tpmrm0"

enum { CREDS_SECONDS = 90 }; /* a TPM is slow, and may be busy */

const char *creds_usual_key(void)
{
	return file_exists(TPM_DEVICE) ? "host+tpm2" : "host";
}

static int run(const char *const *arguments, struct view input_secret, struct buf *ret_secret)
{
	char said[CHILD_SAID_MAX];
	int status = 0;
	const struct child child = { .program = CREDS_PROGRAM, .arguments = arguments, .input_secret = input_secret,
				     .seconds = CREDS_SECONDS };
	if (!file_exists(CREDS_PROGRAM))
		return trouble(EXIT_LOCAL, "there is no %s, which seals the keyring to this machine: install systemd "
			       "250 or later", CREDS_PROGRAM);
	int rc = child_run(&child, ret_secret, said, &status);
	if (rc == EXIT_DONE && status != 0)
		rc = trouble(EXIT_LOCAL, "%s %s ended with status %d: %s", CREDS_PROGRAM, arguments[1], status,
			     said[0] ? said : "it did not say why");
	return rc;
}

int creds_open(struct view sealed, struct buf *ret_secret)
{
	static const char *const arguments[] = { "systemd-creds", "decrypt", CREDS_NAME, "--newline=no", "-", "-",
						 NULL };
	return run(arguments, sealed, ret_secret);
}

int creds_seal(struct view keyring_secret, const char *with_key, struct buf *ret)
{
	bool tpm = strcmp(with_key, "host+tpm2") == 0;
	const char *const arguments[] = { "systemd-creds", "encrypt", CREDS_NAME,
					  tpm ? "--with-key=host+tpm2" : "--with-key=host",
					  "--tpm2-pcrs=", "-", "-", NULL };
	BUF again_secret = buf_new(KEYRING_MAX_BYTES);
	size_t before = buf_len(ret);
	if (!again_secret)
		return trouble(EXIT_LOCAL, "no memory");
	int rc = run(arguments, keyring_secret, ret);
	if (rc == EXIT_DONE)
		rc = creds_open(view_of(buf_data(ret) + before, buf_len(ret) - before), again_secret);
	if (rc == EXIT_DONE && !view_equal_secret(buf_view(again_secret), keyring_secret))
		rc = trouble(EXIT_LOCAL, "%s opened something else than it had sealed", CREDS_PROGRAM);
	return rc;
}

/* Sealed text begins with the id of how it was sealed, in systemd's creds-util.h CRED_AES256_GCM_BY_HOST. */
bool creds_needs_tpm(struct view sealed)
{
	static const uint8_t by_host[] = { 0x5a, 0x1c, 0x6a, 0x86, 0xdf, 0x9d, 0x40, 0x96,
					   0xb1, 0xd5, 0xa6, 0x5e, 0x08, 0x62, 0xf1, 0x9a };
	BUF bytes = buf_new(CREDS_MAX_BYTES);
	return bytes && base64_decode(sealed, bytes) == 0 && buf_len(bytes) >= sizeof by_host &&
	       !view_equal(view_of(buf_data(bytes), sizeof by_host), view_of(by_host, sizeof by_host));
}
