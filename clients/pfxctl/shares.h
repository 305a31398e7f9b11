/* The recovery passphrase in shares, of which some number restores it and fewer tell nothing: Shamir's scheme over
 * GF(2^8), by libgfshare. A share is a text that can be printed and typed, of 12 groups of four characters:
 *
 *   version (1) | its number (1) | how many restore (1) | set (4) | share of the 140 bits (18) | checksum (5)
 *
 * The set is random and the same in all shares of one passphrase; the checksum is the start of the SHA-256 of all
 * before it. Neither says anything of the secret. */
#ifndef PFXD_PFXCTL_SHARES_H
#define PFXD_PFXCTL_SHARES_H

#include "buf.h"

enum {
	SHARES_LEAST = 2,  /* that restore: with one, every share would be the passphrase */
	SHARES_MOST = 16,
	SHARE_GROUPS = 12,
	SHARE_GROUP_CHARS = 4,
	SHARE_CHARS = SHARE_GROUPS * (SHARE_GROUP_CHARS + 1) - 1,
	SHARE_MAX_BYTES = 4096, /* of a file that holds one */
};

/* Appends count shares of a passphrase that recovery_make_passphrase() made, a line each; threshold of them restore it.
 * EXIT_LOCAL. */
int shares_make(struct view passphrase_secret, unsigned threshold, unsigned count, struct buf *ret_secret);

/* A share as it was read, until it is combined. */
struct share {
	uint8_t bytes_secret[30];
	const char *name; /* of its file, for sentences */
};

/* Finds the share in the text of a file. EXIT_REFUSED, naming the file, if there is none, or one that was copied
 * wrongly. */
int share_read(struct view text_secret, const char *name, struct share *ret);

/* Restores the passphrase. EXIT_REFUSED, naming the shares, for too few, for one that is given twice, and for such as
 * are of different passphrases. */
int shares_combine(const struct share *shares, unsigned count, struct buf *ret_passphrase_secret);

#endif
