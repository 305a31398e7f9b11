/* The audit chain: every import, release, enrolment, revocation, deletion and administrative act, each record under
 * HMAC(record before, record). What can not be recorded is not done. */
#ifndef PFXD_AUDIT_H
#define PFXD_AUDIT_H

#include "keeper.h"

/* actor is an administrator token's or a device's id, or "service"; object is what it was done to. */
struct audit_record {
	const char *event;
	struct view actor, user_id, object, detail, request_id;
};

/* Writes the first, empty head into a new database. */
int audit_begin(struct keyring *keyring, struct connection *c);

/* Appends in the transaction of c. UNAVAILABLE when the chain was found broken; TAMPERED when its head is. */
int audit_append(struct keeper *k, struct connection *c, const struct audit_record *record);

/* How many records there are by the head of the chain. TAMPERED when that is. */
int audit_length(struct keeper *k, struct connection *c, uint64_t *ret);

/* Follows the whole chain and appends each thing that is wrong to ret_differences, a list of msg_string; then the
 * same for users, devices, enrolments, tokens and identities: their state as the chain tells it against their rows, and
 * every row's own HMAC.
 * *ret_records is how many records there are. 0 also when there are differences. */
int audit_verify(struct keeper *k, struct connection *c, uint64_t *ret_records, struct buf *ret_differences);

/* Does so and appends msg_verification to answer. */
int audit_put_verification(struct keeper *k, struct buf *answer);

/* The chain alone. */
int audit_verify_chain(struct keeper *k, struct connection *c, uint64_t *ret_records, struct buf *ret_differences);

#endif
