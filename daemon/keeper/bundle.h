/* What a device pulls: JSON with the owner's identities, signed (CMS SignedData, RFC 5652) by the bundle signer, in
 * an envelope that only the device's key opens (CMS AuthEnvelopedData, RFC 5083, or EnvelopedData). */
#ifndef PFXD_BUNDLE_H
#define PFXD_BUNDLE_H

#include "devices.h"
#include "history.h"

enum { BUNDLE_ETAG_CHARS = 26 }; /* W/"…" around 22 characters */

/* What a bundle is made of. */
struct bundle {
	const struct shown *shown;
	struct history history;
	struct buf *removed;    /* SHA-1 thumbprints, 20 bytes each */
	bool enveloped;         /* EnvelopedData, for readers that know no better */
	bool legacy;            /* the PKCS#12 form that the device's platform reads */
};

/* Reads what the owner of the device has. The caller gives it back with bundle_done(). */
int bundle_read(struct keeper *k, struct connection *c, const struct shown *shown, bool enveloped, int64_t now,
		struct bundle *ret);
void bundle_done(struct bundle *b);
#define BUNDLE __attribute__((cleanup(bundle_done))) struct bundle

/* The entity tag: of contents, recipient key, form, query and enrolment CAs. Opens nothing. */
int bundle_etag(const struct keyring *keyring, const struct bundle *b, char ret[static BUNDLE_ETAG_CHARS + 1]);

/* Unseals, builds, signs and encrypts; appends the DER of the CMS to ret. TAMPERED, naming the identity, if one does
 * not open: nothing is delivered then. */
int bundle_make(struct keeper *k, struct connection *c, const struct bundle *b, int64_t now, struct buf *ret);

/* True when devices of this platform ("ios-17", "android", "Windows Server 2016" …) read 3DES with SHA-1 only, or may
 * be such. See docs/platforms.md. */
bool platform_is_legacy(struct view platform);

#endif
