/* Administrators' tokens and their roles. Only the SHA-256 of a token is kept. */
#ifndef PFXD_TOKENS_H
#define PFXD_TOKENS_H

#include "users.h"

enum role {
	ROLE_IMPORTER = 1, /* imports, and sees what it imported */
	ROLE_ENROLLER = 2, /* makes enrolments, lists and revokes devices */
	ROLE_AUDITOR = 4,  /* reads */
	ROLE_OPERATOR = 8, /* health and backup */
	ROLE_ADMIN = 16,   /* everything */
	ROLE_ANY = 31,
};

/* The role called name, or 0. */
int role_of(struct view name);

/* Finds the token and checks that its role is one of roles (a set of enum role). UNAUTHORIZED for an unknown or
 * expired one, FORBIDDEN for another role. */
int tokens_authorize(struct keeper *k, struct connection *c, struct view token_secret, int roles,
		     struct row_token *ret);

/* db_write() by an administrator: in the same transaction it is looked whether the token is still there. UNAUTHORIZED
 * if it was revoked or has expired since it was checked. */
int tokens_write(struct keeper *k, const struct row_token *token, int (*job)(struct connection *c, void *arg),
		 void *arg);

/* Adds a token under the given id, whose SHA-256 is given; expires_at 0: never. */
int tokens_add(struct keeper *k, struct connection *c, const struct actor *actor, const struct row_token *row);

/* NOT_FOUND; CONFLICT for the last admin token that is valid. */
int tokens_delete(struct keeper *k, struct connection *c, const struct actor *actor, struct view id);

/* After a restore: ends every token, each with its audit record, and adds one of role admin whose SHA-256 is given.
 * *ret_count is how many were ended. */
int tokens_replace_all(struct keeper *k, struct connection *c, const struct actor *actor, struct view sha256,
		       uint64_t *ret_count);

/* Appends msg_token_facts of every token to ret. */
int tokens_put_facts(const struct keyring *keyring, struct connection *c, struct buf *ret);

#endif
