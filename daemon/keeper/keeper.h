/* What the keeper's parts share: made in main(), then read by every thread. */
#ifndef PFXD_KEEPER_H
#define PFXD_KEEPER_H

#include "config.h"
#include "db.h"
#include "keyring.h"

#include <stdatomic.h>

/* Numbers for /metrics: they only grow. */
#define COUNTERS(C) \
	C(imports,     "Identities that were imported") \
	C(releases,    "Bundles that were released to devices") \
	C(unchanged,   "Pulls that were answered 304") \
	C(enrolments,  "Devices that were enrolled") \
	C(revocations, "Devices that were revoked") \
	C(deletions,   "Identities that were deleted") \
	C(refusals,    "Requests that were refused for want of a right") \
	C(opener_deaths, "Openers that died or overran at a request") \
	C(tampered,    "Records that were found changed")

struct counters {
#define C(name, help) atomic_uint_fast64_t name;
	COUNTERS(C)
#undef C
};

struct keeper {
	struct config config;
	struct keyring *keyring;
	struct db *db;
	struct openers *openers;
	struct health *health;
	struct rotation *rotation;
	struct counters counters;
	atomic_bool audit_broken;      /* the chain was found changed: nothing is recorded or released any more */
	atomic_bool copying, verifying; /* a backup or a restore, and a verification of identities, is under way */
	/* The last verification of identities: when (0: never), of how many, and how many of them could be read. */
	atomic_int_fast64_t verified_at;
	atomic_uint_fast64_t verified, readable;
	atomic_bool log_holds_deleted; /* an identity was deleted and the database's log not emptied since */
	atomic_int_fast64_t users_before_count; /* that may be made before users are counted anew: see users_create() */
	/* The latest time on record; the time before a jump ahead that nobody accepted, or 0. See wallclock.h. */
	atomic_int_fast64_t clock_mark, clock_before;
	int64_t clock_looked_at, clock_looked_boot; /* of the health checks' thread alone */
	bool clock_unsaved;
	/* Identities: sealed anew since the start; under an older wrapping key; of those, such as do not open. */
	atomic_uint_fast64_t rewrapped, to_rewrap, not_rewrapped;
	/* As inspect_count() counted them last; ending: device certificates that end within so many days. When all of it was
	 * counted; 0: not yet, and then these numbers mean nothing. */
	atomic_uint_fast64_t identities, ending_7, ending_30, ending_90;
	atomic_int_fast64_t counted_ms;
	uint64_t counted_changes; /* of the health checks' thread alone: the identities after how many changes */
};

#endif
