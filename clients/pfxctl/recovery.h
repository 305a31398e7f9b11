/* The copy of the keyring for safe-keeping: CMS under a recovery passphrase (RFC 5652 6.2.4 around RFC 5083), which
 * OpenSSL alone opens as well. */
#ifndef PFXD_PFXCTL_RECOVERY_H
#define PFXD_PFXCTL_RECOVERY_H

#include "buf.h"

enum {
	RECOVERY_GROUPS = 7,
	RECOVERY_GROUP_CHARS = 4,
	RECOVERY_PASSPHRASE_CHARS = RECOVERY_GROUPS * (RECOVERY_GROUP_CHARS + 1) - 1,
	RECOVERY_MAX_BYTES = 256 * 1024, /* of an export */
};

/* 32 characters that passphrases and shares are written in: no l for 1, no o for 0. */
extern const char recovery_alphabet[];

/* Appends a new passphrase of 140 random bits: seven groups of four characters, none of which look alike. */
int recovery_make_passphrase(struct buf *ret_secret);

/* Appends the export: a few lines that say how to open it, then PEM. It is opened once before this returns. */
int recovery_seal(struct view keyring_secret, struct view passphrase_secret, struct buf *ret);

/* Opens an export. EXIT_LOCAL if it is none; EXIT_REFUSED if the passphrase does not open it. A passphrase of ours may
 * be in capitals, and without dashes or with blanks for them. */
int recovery_open(struct view export, struct view passphrase_secret, struct buf *ret_secret);

#endif
