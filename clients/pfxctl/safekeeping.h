/* The copy for safe-keeping that commands insist on which make or change a keyring. */
#ifndef PFXD_PFXCTL_SAFEKEEPING_H
#define PFXD_PFXCTL_SAFEKEEPING_H

#include "commands.h"
#include "file_set.h"

struct safekeeping {
	struct buf *passphrase_secret, *export;
};
void safekeeping_done(struct safekeeping *s);

/* EXIT_USAGE unless one of --export and --no-export was given. why: the sentence for who gave neither, which goes on
 * with what to give. */
int safekeeping_check(const struct cli *cli, const char *why);
/* Makes the export under a new passphrase, and adds it to the files, and the passphrase where --passphrase-out says. It
 * does nothing with --no-export. */
int safekeeping_add(struct safekeeping *s, const struct cli *cli, struct view keyring_secret, struct file_set *files);
/* Shows the passphrase, unless it goes to a file. */
int safekeeping_show(const struct safekeeping *s, const struct cli *cli);
void safekeeping_tell(const struct cli *cli);

#endif
