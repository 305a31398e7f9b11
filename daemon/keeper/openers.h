/* The keeper's side of the openers: a few connections, each to a process that takes hostile bytes apart. One that has
 * served nobody is kept connected, so that its start is not waited for. Where openers end at once, or none can be
 * reached, the keeper connects less and less often, up to a few seconds apart. */
#ifndef PFXD_OPENERS_H
#define PFXD_OPENERS_H

#include "keeper.h"
#include "protocol.h"

struct openers;

/* Connects to nothing yet; openers_check() does. config stays the caller's. The caller frees it. */
int openers_new(const struct config *config, struct counters *counters, struct openers **ret);
void openers_free(struct openers *openers);

/* Has an opener do what the frame in request says; *ret_fields is its answer, bytes of answer. A PFX opener that has
 * served one administrator token (token_id) never serves another.
 * Errors: what the opener says; MALFORMED_PKCS12 or MALFORMED_CSR when it died of the request; TOO_EXPENSIVE when it
 * took too long; UNAVAILABLE when none could be reached or all were busy. */
int openers_pfx(struct openers *openers, struct view token_id, struct buf *request, struct buf *answer,
		struct view *ret_fields);
int openers_csr(struct openers *openers, struct buf *request, struct buf *answer, struct view *ret_fields);

/* Has an opener of its own, at low priority, look whether both files of an identity hold its certificate and the key
 * of it: request is the frame of CHECK_IDENTITY. KEY_MISMATCH and the like, of status 422, when it does not,
 * UNAVAILABLE as above. openers_check_done() ends that opener. */
int openers_check_identity(struct openers *openers, struct buf *request);
void openers_check_done(struct openers *openers);

/* Whether an opener of that kind answers: the spare, or a new one, which then is the spare. SOCKET_PFX_OPENER or
 * SOCKET_CSR_OPENER. */
int openers_check(struct openers *openers, enum socket_kind kind);

/* How many are connected. */
unsigned openers_count(struct openers *openers);

#endif
