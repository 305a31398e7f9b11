/* The walk through the layers of a PFX (RFC 7292 4): AuthenticatedSafe, SafeContents, SafeBags.
 *
 * In two passes, because of the order that safety asks for: bags_read() takes what is in the clear and adds up what
 * the encrypted rest will cost; then the caller checks the MAC; then bags_decrypt() opens the rest. */
#ifndef PFXD_OPENER_BAGS_H
#define PFXD_OPENER_BAGS_H

#include "ciphers.h"
#include "contents.h"
#include "password.h"
#include "pfx_work.h"
#include "report.h"

enum {
	SAFES_MAX = 512,         /* ContentInfos in one AuthenticatedSafe */
	BAGS_MAX = 2048,         /* in all layers together */
	BAG_DEPTH_MAX = 4,       /* SafeContents inside of SafeContents */
	ATTRIBUTES_MAX = 64,     /* of one bag */
	ENCRYPTED_KEYS_MAX = 4 * PFX_KEYS_MAX,
};

struct bags;

/* All that is passed must outlive the walk; contents and report are filled. NULL without memory. */
struct bags *bags_new(const struct ciphers *ciphers, struct work *work, struct contents *contents,
		      struct report *report);
void bags_free(struct bags *b);

/* Reads an AuthenticatedSafe. MALFORMED_PKCS12, TOO_EXPENSIVE; what is of an unknown kind goes to the report. */
int bags_read(struct bags *b, struct view authenticated_safe);
/* True when the password opens the first safe or the first key that bags_read() found encrypted. With a MAC that does
 * not verify that tells a file that was changed from a wrong password: a wrong one yields a SEQUENCE of the right
 * length once in 2^28 tries or so. What it costs was charged, or is, as in bags_decrypt(). */
bool bags_open_with(struct bags *b, struct password *password);
/* Opens what bags_read() found encrypted, and what is found in there. */
int bags_decrypt(struct bags *b, struct password *password);

static inline void bags_freep(struct bags **b) { bags_free(*b); }
#define BAGS __attribute__((cleanup(bags_freep))) struct bags *

#endif
