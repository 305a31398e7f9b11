/* The keyring as systemd keeps it: sealed to this machine by systemd-creds(1), under the name by which the keeper's
 * unit asks for it. */
#ifndef PFXD_PFXCTL_CREDS_H
#define PFXD_PFXCTL_CREDS_H

#include "buf.h"

enum { CREDS_MAX_BYTES = 256 * 1024 }; /* of a sealed keyring */

/* What a keyring is sealed with here, as --with-key takes it: "host+tpm2" where there is a TPM, else "host". */
const char *creds_usual_key(void);

/* Seals, opens what it sealed to see that it can, and appends the sealed text. with_key: "host" or "host+tpm2". A TPM
 * is bound to no PCR: what they measure changes with the next update. EXIT_LOCAL. */
int creds_seal(struct view keyring_secret, const char *with_key, struct buf *ret);

/* Opens sealed text. EXIT_LOCAL, with what systemd-creds says, if it was sealed elsewhere or can not be opened. */
int creds_open(struct view sealed, struct buf *ret_secret);

/* Whether sealed text needs more than the host's own key. */
bool creds_needs_tpm(struct view sealed);

#endif
