/* What the commands share that change the enrolment CA. */
#ifndef PFXD_PFXCTL_CA_CHANGE_H
#define PFXD_PFXCTL_CA_CHANGE_H

#include "keyring_change.h"

/* Makes this the newest enrolment CA, with an export as the options say, and brings the keeper to issue by it. chain:
 * above it, or NULL. drop_request: the key that waited is this one's. */
int ca_change_add(struct change *c, EVP_PKEY *key, X509 *ca, const STACK_OF(X509) *chain, bool drop_request);

/* The same as begun by a command that was cut short: EXIT_DONE, and *ret_done, if that is all there is to do. */
int ca_change_go_on(struct change *c, bool *ret_done);

#endif
