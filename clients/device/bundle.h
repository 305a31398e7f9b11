/* A bundle: CMS to this device, around CMS by the service, around JSON. Bytes from outside until they are verified. */
#ifndef PFXD_DEVICE_BUNDLE_H
#define PFXD_DEVICE_BUNDLE_H

#include "state.h"

#include <jansson.h>

struct bundle_identity {
	char thumbprint[2 * 20 + 1];      /* SHA-1, lower-case hex */
	char thumbprint_sha256[2 * 32 + 1];
	char not_before[TIME_TEXT + 1];
	struct buf *pkcs12_secret;        /* DER; empty where its base64 is damaged */
	struct view password_secret;      /* into the bundle */
	json_t *facts;                    /* what the bundle says of it, without secrets; owned by the bundle */
};

struct bundle {
	char user[UPN_MAX_BYTES + 1];
	char issued_at[TIME_TEXT + 1];
	json_t *json;
	struct buf *secrets_secret;
	struct bundle_identity *identities;
	size_t count;
};

/* Decrypts and verifies: appends the JSON. EXIT_REFUSED unless the signer is the bundle signer of the CA that the
 * device keeps; then nothing was appended. */
int bundle_open(struct view cms, const struct credentials *credentials, struct buf *ret_json_secret);

/* Reads the JSON and holds it against what the device knows: it must be for this device and not from before the last
 * one that was accepted. EXIT_REFUSED with a sentence. Free with bundle_done(). */
int bundle_read(struct view json_secret, const struct state *state, struct bundle *ret);
void bundle_done(struct bundle *bundle);
#define BUNDLE __attribute__((cleanup(bundle_done))) struct bundle

/* True for lower-case hex of exactly this many bytes. */
bool thumbprint_is_valid(const char *text, size_t bytes);

#endif
