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
	struct sealed *sealed;  /* of each of the history, where it is delivered; NULL: not taken yet */
	struct buf *above;      /* the certificates above them: digest and DER of each, once */
	bool enveloped;         /* EnvelopedData, for readers that know no better */
	bool legacy;            /* the PKCS#12 form that the device's platform reads */
};

/* Reads what the owner of the device has. The caller gives it back with bundle_done(). */
int bundle_read(struct keeper *k, struct connection *c, const struct shown *shown, bool enveloped, int64_t now,
		struct bundle *ret);
/* Copies what will be opened, of the same moment, and as it is: sealed. TAMPERED, naming what is damaged. */
int bundle_take(struct connection *c, struct bundle *b);
/* 1 as long as everything that was taken is still there; 0 when some of it was deleted since. */
int bundle_is_there(struct connection *c, const struct bundle *b);
void bundle_done(struct bundle *b);
#define BUNDLE __attribute__((cleanup(bundle_done))) struct bundle

/* The entity tag: of contents, recipient key, form, query and enrolment CAs. Opens nothing. */
int bundle_etag(const struct keyring *keyring, const struct bundle *b, char ret[static BUNDLE_ETAG_CHARS + 1]);

/* Unseals what was taken, builds, signs and encrypts; appends the DER of the CMS to ret. TAMPERED, naming the
 * identity, if one does not open: nothing is delivered then. */
int bundle_make(const struct keyring *keyring, const struct bundle *b, int64_t now, struct buf *ret);

/* True when devices of this platform ("ios-17", "android", "Windows Server 2016" …) read 3DES with SHA-1 only, or may
 * be such. See docs/platforms.md. */
bool platform_is_legacy(struct view platform);

#endif
