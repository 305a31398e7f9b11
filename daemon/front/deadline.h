/* The connections of one listener, each with a moment at which it ends whatever it is doing: the HTTP library knows
 * time limits for silence only, and a client that sends a byte a second is never silent. */
#ifndef PFXD_DEADLINE_H
#define PFXD_DEADLINE_H

#include "limit.h"

#include <stdbool.h>
#include <stdint.h>

enum phase { PHASE_GREETING, PHASE_REQUEST, PHASE_IDLE, PHASE_ENDED };

/* One connection. Owned by the table; valid from deadline_add() to deadline_remove(). */
struct peer {
	struct peer *next, *previous; /* of those that share a place in the table */
	int fd;
	enum phase phase;
	int64_t since_ms, deadline_ms; /* the phase's beginning and end */
	struct address address;
	bool refused; /* by the HTTP library itself; see refusal.h */
};

struct deadlines;

/* NULL without memory. */
struct deadlines *deadline_table_new(void);
/* The table must be empty. */
void deadline_table_free(struct deadlines *d);

/* Enters a connection, which ends in seconds unless deadline_set() moves that. NULL without memory. */
struct peer *deadline_add(struct deadlines *d, int fd, struct address address, uint32_t seconds);
void deadline_set(struct deadlines *d, struct peer *peer, enum phase phase, uint32_t seconds);
/* Must be called before the descriptor is closed. */
void deadline_remove(struct deadlines *d, struct peer *peer);

unsigned deadline_count(struct deadlines *d);
/* How many of them come from an address. */
unsigned deadline_count_from(struct deadlines *d, struct address address);
/* Shuts down, for another one, the connection that has been in its phase longest. False if there is none. */
bool deadline_end_longest(struct deadlines *d);
/* Shuts down every connection whose time is over. */
void deadline_sweep(struct deadlines *d);
/* For the end of the service: shuts down every connection that waits for its next request, and, when all is true,
 * those too that have not said a word. One whose next request has come, or whose first has begun, stays. */
void deadline_end_idle(struct deadlines *d, bool all);

#endif
