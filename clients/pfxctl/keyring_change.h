/* Changing the keyring of a service that runs: the file is replaced whole, and then the keeper is brought to read it.
 * Whatever is killed in between, the next command finds how far it came. */
#ifndef PFXD_PFXCTL_KEYRING_CHANGE_H
#define PFXD_PFXCTL_KEYRING_CHANGE_H

#include "../../daemon/keeper/keyring.h"
#include "file_set.h"
#include "keyring_edit.h"
#include "protocol.h"
#include "safekeeping.h"
#include "server.h"

/* What the keeper tells of the keyring that it runs with. */
struct keeper_keys {
	struct buf *answer;
	struct msg_rotation m; /* views into answer */
	uint64_t old_needed;   /* what is still under older wrapping keys */
};

struct change {
	const struct cli *cli;
	struct server server;
	int lock;                /* of server_lock_keyring() */
	struct buf *text_secret; /* the keyring as it is on disk */
	struct keyring *keyring;
	struct keeper_keys keeper;
	struct safekeeping safekeeping;
	struct file_set files;
};

/* Reads the keyring on disk and asks the keeper, which must run. EXIT_LATER while another pfxctl changes the keyring,
 * or without a keeper. */
int change_begin(const struct cli *cli, struct change *ret);
void change_done(struct change *c);
#define CHANGE __attribute__((cleanup(change_done))) struct change

/* Whether an earlier change is still to be brought to its end: the keeper does not run with the keyring that is on
 * disk, or nobody has seen yet that it does. */
bool change_is_under_way(const struct change *c);

/* Puts the changed keyring in the place of the old one, sealed as that was, with an export before it where the options
 * ask for one. The old one stays beside it as NAME.before until change_finish(). */
int change_place(struct change *c, const struct keyring_edit *edit, bool with_export);

/* Restarts the keeper where systemd runs, and waits until it runs with the keyring on disk. EXIT_LATER, with what to
 * do, where somebody else has to restart it. */
int change_settle(struct change *c);

/* Removes the old keyring: the change is done. */
int change_finish(const struct change *c);
/* Both: brings to its end what was begun. */
int change_complete(struct change *c);

/* Asks the keeper again. EXIT_LATER if it is not there. */
int change_ask(struct change *c);

#endif
