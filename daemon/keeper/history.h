/* A user's identities in the order in which they are shown and delivered, and which of them is current. */
#ifndef PFXD_HISTORY_H
#define PFXD_HISTORY_H

#include "protocol.h"
#include "rows.h"

struct history {
	struct identity {
		struct row_identity row;
		uint8_t current_for; /* a set of enum usage */
		bool delivered;      /* of those that only sign the newest alone, or none */
	} *at;
	size_t count;
};

/* Reads all identities of the user, newest first, at the moment now. The caller gives it back with history_done(). */
int history_read(const struct keyring *keyring, struct connection *c, struct view user_id, int64_t now,
		 bool deliver_signing, struct history *ret);
void history_done(struct history *h);
#define HISTORY __attribute__((cleanup(history_done))) struct history

/* Appends msg_identity_facts of each identity to ret. imported_by: only those of this token; empty: all. */
int history_put_facts(const struct history *h, struct view imported_by, struct buf *ret);
int identity_put_facts(const struct identity *identity, struct buf *ret);

/* Sorts and marks; history_read() does it. Separate for its tests. */
void history_arrange(struct history *h, int64_t now, bool deliver_signing);

#endif
