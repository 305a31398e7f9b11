/* What a PFX turned out to hold: private keys and certificates, each once, in the order of the file. */
#ifndef PFXD_OPENER_CONTENTS_H
#define PFXD_OPENER_CONTENTS_H

#include "certificate.h"
#include "key.h"
#include "protocol.h"
#include "report.h"

enum {
	PFX_KEYS_MAX = PFX_IDENTITIES_MAX,
	PFX_CERTIFICATES_MAX = PFX_IDENTITIES_MAX + PFX_CHAIN_MAX,
	LOCAL_ID_MAX_BYTES = 64, /* makers use 4 or 20; of longer ones the beginning is compared */
	THUMBPRINT_BYTES = 20,
};

struct local_id {
	size_t len; /* 0: none */
	uint8_t at[LOCAL_ID_MAX_BYTES];
};

struct found_key {
	struct private_key *key;
	struct local_id local_id;
	bool paired;
};

struct found_certificate {
	struct certificate *parts;
	struct buf *der;
	struct public_key public;
	int public_fault;       /* why public can not be used, or 0 */
	struct local_id local_id;
	uint8_t thumbprint[THUMBPRINT_BYTES]; /* SHA-1 */
	bool is_ca;
	bool paired;
	bool issuer_known;      /* issuer was looked for */
	struct found_certificate *issuer;
};

struct contents {
	struct found_key keys[PFX_KEYS_MAX];
	struct found_certificate certificates[PFX_CERTIFICATES_MAX];
	size_t key_count, certificate_count;
	unsigned signature_checks; /* made so far to choose between issuers */
};

/* A new empty one, or NULL. Free with contents_free(). */
struct contents *contents_new(void);
void contents_free(struct contents *c);

/* Adds a PKCS#8 key, unless it is there already. TOO_EXPENSIVE beyond PFX_KEYS_MAX; errors of private_key_read(). */
int contents_add_key(struct contents *c, struct view pkcs8, const struct local_id *id);
/* Adds an X.509 certificate, unless it is there already. TOO_EXPENSIVE beyond PFX_CERTIFICATES_MAX; MALFORMED_PKCS12
 * for what is none. One with a key that is not supported is kept: it may be somebody's issuer. */
int contents_add_certificate(struct contents *c, struct view der, const struct local_id *id);

static inline void contents_freep(struct contents **c) { contents_free(*c); }
#define CONTENTS __attribute__((cleanup(contents_freep))) struct contents *

static inline struct view thumbprint(const struct found_certificate *c)
{
	return view_of(c->thumbprint, THUMBPRINT_BYTES);
}

#endif
