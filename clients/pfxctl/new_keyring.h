/* A new keyring with its enrolment CA, and the administrator's token that a new database begins with. */
#ifndef PFXD_PFXCTL_NEW_KEYRING_H
#define PFXD_PFXCTL_NEW_KEYRING_H

#include "buf.h"

/* Appends a new token of an administrator; ret_sha256 is what a keeper knows of it. EXIT_LOCAL. */
int new_token(struct buf *ret_token_secret, uint8_t ret_sha256[static 32]);

/* Appends a new token, and the text of a new keyring that knows its hash. EXIT_LOCAL. */
int new_keyring(struct buf *ret_token_secret, struct buf *ret_keyring_secret);

#endif
