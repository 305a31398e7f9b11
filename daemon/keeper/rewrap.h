/* Sealing identities anew when the keyring has a new wrapping key. */
#ifndef PFXD_REWRAP_H
#define PFXD_REWRAP_H

#include "keeper.h"

/* Of one transaction: who waits for the writer waits for no more. */
enum { REWRAP_BATCH_ROWS = 16, REWRAP_BATCH_BYTES = 1024 * 1024 };

/* Seals every identity that is under an older wrapping key anew under the newest one, batch by batch, until none is
 * left or stopping. One that does not open stays as it is: it is counted, and with tell it is logged. UNAVAILABLE if
 * the database can not be used right now: the next call goes on. */
int rewrap_all(struct keeper *k, bool tell, const atomic_bool *stopping);

/* How many identities are under this wrapping key. */
int rewrap_count(struct connection *c, const char *key_id, uint64_t *ret);

#endif
