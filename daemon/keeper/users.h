/* Users and what they are called. A UPN is compared without regard to case; earlier UPNs stay as aliases. */
#ifndef PFXD_USERS_H
#define PFXD_USERS_H

#include "audit.h"
#include "protocol.h"
#include "rows.h"
#include "text.h"

/* Who does something and for which request: what goes into the audit record. */
struct actor {
	struct view id, request_id;
};

/* The active user called upn, or NOT_FOUND. TAMPERED if a record on the way is. */
int users_find(const struct keyring *keyring, struct connection *c, struct view upn, struct row_user *ret);
/* The user with this id, also a retired one. TAMPERED if the record is gone. */
int users_get(const struct keyring *keyring, struct connection *c, struct view id, struct row_user *ret);

/* Makes the user under the given id, in the transaction of c. AGAIN if somebody else made one of that name first. */
int users_create(struct keeper *k, struct connection *c, const struct actor *actor, struct view id, struct view upn);

/* Gives the user a new UPN and keeps the old one as an alias. CONFLICT if the new one is somebody else's. */
int users_rename(struct keeper *k, struct connection *c, const struct actor *actor, struct view upn,
		 struct view new_upn);

/* Ends a user: names are freed, and the row stays for the audit. Devices and identities are the caller's. */
int users_retire(struct keeper *k, struct connection *c, const struct actor *actor, const struct row_user *user);

/* Appends msg_user_facts of one user to ret. */
int users_put_facts(const struct keyring *keyring, struct connection *c, const struct row_user *user, struct buf *ret);

#endif
