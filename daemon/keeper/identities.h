/* The proof that what is stored can still be read: every identity is unsealed, in both forms, and an opener shows that
 * each holds its certificate and the key of it. */
#ifndef PFXD_IDENTITIES_H
#define PFXD_IDENTITIES_H

#include "keeper.h"
#include "stream.h"

/* Takes over what the last verification found, so that /metrics tells it after a restart too. */
int identities_recall(struct keeper *k);

/* Unseals every identity of a copy, at once and without an opener. Those that can not be read are logged, and
 * *ret_unreadable is how many they are. */
int identities_unseal_all(struct keeper *of, struct progress *p, uint64_t *ret_unreadable);

#endif
