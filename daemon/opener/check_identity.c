/* Reads the PKCS#12 files of a stored identity as an import reads those that come from outside. Opener, PFX kind: the
 * keeper reads neither, also not what it has sealed itself. */
#include "check_identity.h"

#include "fault.h"
#include "make_pkcs12.h"
#include "open_pfx.h"

#include <openssl/sha.h>

enum { MADE_WORK_MAX = 1000 * PKCS12_MADE_ITERATIONS }; /* a file of ours costs a few units for each iteration */

static int check_contents(const struct contents *contents, struct view sha256)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	const struct found_certificate *c = &contents->certificates[0];
	if (contents->key_count != 1)
		return fail(FAULT_NO_PRIVATE_KEY, "a stored PKCS#12 file holds %zu keys", contents->key_count);
	if (contents->certificate_count != 1)
		return fail(FAULT_MALFORMED_PKCS12, "a stored PKCS#12 file holds %zu certificates",
			    contents->certificate_count);
	SHA256(buf_data(c->der), buf_len(c->der), digest);
	if (!view_equal(view_of(digest, sizeof digest), sha256))
		return fail(FAULT_NO_CERTIFICATE, "a stored PKCS#12 file holds another certificate");
	if (c->public_fault < 0 || !public_key_equal(&contents->keys[0].key->public, &c->public))
		return fail(FAULT_KEY_MISMATCH, "the key is not that of the certificate");
	return 0;
}

static int check_file(const struct ciphers *ciphers, struct view stored_secret, struct view sha256)
{
	struct msg_open_pfx request = { .max_work = MADE_WORK_MAX, .pfx_secret = stored_secret };
	REPORT report = { 0 };
	CONTENTS contents = contents_new();
	if (!contents || !report_init(&report))
		return fail(FAULT_TOO_EXPENSIVE, "no memory left to check an identity");
	if (!view_get(&request.pfx_secret, PKCS12_PASSWORD_CHARS, &request.password_secret))
		return fail(FAULT_MALFORMED_PKCS12, "a stored PKCS#12 file is cut short");
	int rc = read_pfx(ciphers, &request, contents, &report);
	return rc < 0 ? rc : check_contents(contents, sha256);
}

int check_identity(const struct ciphers *ciphers, const struct msg_check_identity *m)
{
	int rc = check_file(ciphers, m->modern_secret, m->sha256);
	return rc < 0 ? rc : check_file(ciphers, m->legacy_secret, m->sha256);
}
