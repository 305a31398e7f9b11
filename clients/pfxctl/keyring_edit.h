/* Changing the text of a keyring: see daemon/keeper/keyring.h for its lines. */
#ifndef PFXD_PFXCTL_KEYRING_EDIT_H
#define PFXD_PFXCTL_KEYRING_EDIT_H

#include "buf.h"

/* What is put in, with its line ends, and what is left out. An empty view puts nothing in. */
struct keyring_edit {
	struct view wrapping_secret; /* becomes the first one */
	struct view ca_secret;       /* a CA and its bundle signer: becomes the first one */
	struct view request_secret;
	bool drop_old_wrapping;      /* all but the first that there was */
	bool drop_request;
	unsigned drop_cas;           /* bit i: CA number i of before, with its signer */
};

/* Appends the changed text, which is read once to see that it is a keyring. EXIT_LOCAL, with a sentence where it has
 * its most wrapping keys or CAs already. */
int keyring_edit(struct view text_secret, const struct keyring_edit *edit, struct buf *ret_secret);

#endif
