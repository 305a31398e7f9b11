/* Whether what is stored of an identity is what a device needs to read mail. */
#ifndef PFXD_OPENER_CHECK_IDENTITY_H
#define PFXD_OPENER_CHECK_IDENTITY_H

#include "ciphers.h"

struct msg_check_identity;

/* 0: each of the two files opens with its password, and holds the certificate with this SHA-256 and its key.
 * KEY_MISMATCH for another key, NO_CERTIFICATE for another certificate; for what can not be read, what open_pfx()
 * would say of it. */
int check_identity(const struct ciphers *ciphers, const struct msg_check_identity *m);

#endif
