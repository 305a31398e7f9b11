/* Whether the clock can be believed. Certificates and tokens end by it, so a wrong one lets in or locks out.
 *
 * A clock that is behind the latest time on record stops what would give out or use up authority: issuing and tokens.
 * One that jumped ahead stops nothing, for it may be right; but it is told, also to who is refused because of it. */
#ifndef PFXD_WALLCLOCK_H
#define PFXD_WALLCLOCK_H

#include "fault.h"
#include "keeper.h"

enum {
	CLOCK_BEHIND_SECONDS = 300,       /* behind the latest record, and no more is issued */
	CLOCK_JUMP_SECONDS = 86400,       /* ahead between two looks, by more than the time that passed */
	CLOCK_GAP_SECONDS = 90 * 86400,   /* between the last record and a start */
};

/* Reads what is on record of the time. At the start. */
int wallclock_read(struct keeper *k);
/* Before the first record in a copy that is to be restored, k: it gets the latest time that it or the service knows. */
int wallclock_inherit(struct keeper *k, struct connection *c, const struct keeper *from);
/* Looks at the clock, and remembers that it jumped. UNAVAILABLE, with a sentence, while it is behind or under
 * suspicion. On the thread of the health checks. */
int wallclock_look(struct keeper *k);

/* UNAVAILABLE while it is behind or under suspicion. For who is about to do what only a right clock may decide. */
int wallclock_settled(const struct keeper *k);
/* UNAVAILABLE while the clock is behind. For who is about to issue something, or to let a token in. */
int wallclock_check(const struct keeper *k);
/* Refuses what has ended by the clock: fail(fault, sentence), with a word on a clock that is under suspicion. */
int wallclock_expired(const struct keeper *k, enum fault fault, const char *sentence);

/* Notes the time of an audit record, in its transaction. */
int wallclock_record(struct keeper *k, struct connection *c, int64_t at);

#endif
