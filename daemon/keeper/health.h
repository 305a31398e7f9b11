/* Whether the service can do its work: checked for real every few seconds, and told from the last result. */
#ifndef PFXD_HEALTH_H
#define PFXD_HEALTH_H

#include "keeper.h"

/* Puts the value that the health check unseals into a new database. */
int health_prepare(struct keeper *k, struct connection *c);
/* Seals it anew where it is under an older wrapping key; and the id of the key that it is under. */
int health_rewrap(struct keeper *k);
int health_probe_id(struct connection *c, char ret[static KEYRING_ID_CHARS + 1]);
/* Whether that value opens under this keyring. TAMPERED, with a sentence for the administrator, if not. */
int health_check_keyring(struct keeper *k);

/* The id of the keyring's key under which that value was sealed. TAMPERED where there is none. */
int health_wrapping_id(struct db *db, char ret[static KEYRING_ID_CHARS + 1]);

/* Starts two threads: one checks, and empties the database's log after deletions; the other verifies the audit chain,
 * at the start and once a day. Returns when both have done so once, or after a few seconds. */
int health_start(struct keeper *k);
void health_stop(struct keeper *k);

#endif
