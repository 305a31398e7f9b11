/* The keyring's own life: new keys are put on record, and what is under an older one is sealed anew. */
#ifndef PFXD_ROTATION_H
#define PFXD_ROTATION_H

#include "keeper.h"

/* Starts a thread that records which wrapping keys and CAs came and went since the last start, then seals the test
 * value and every identity anew that is under an older wrapping key. It tries again until that is done, and looks
 * again every minute. */
int rotation_start(struct keeper *k);
/* Ends it after the batch that is under way. */
void rotation_stop(struct keeper *k);
/* What it does each time. tell: log what does not open. */
int rotation_turn(struct keeper *k, bool tell, const atomic_bool *stopping);

/* Appends the counts as msg_health_metric. */
int rotation_put_metrics(struct keeper *k, struct buf *ret);

#endif
