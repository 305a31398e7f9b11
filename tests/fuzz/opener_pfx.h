/* What the two targets for PFX files share: opening one, and what must hold of every answer. */
#ifndef PFXD_FUZZ_OPENER_PFX_H
#define PFXD_FUZZ_OPENER_PFX_H

#include "fuzz.h"
#include "protocol.h"

enum { FUZZ_WORK_MAX = 10000 }; /* three derivations of 2,048 iterations, and a little: a run takes milliseconds */

void fuzz_open_pfx(struct view pfx, struct view password);

#endif
