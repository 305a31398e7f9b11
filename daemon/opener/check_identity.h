/* Whether a key that is kept fits the certificate that is kept with it. */
#ifndef PFXD_OPENER_CHECK_IDENTITY_H
#define PFXD_OPENER_CHECK_IDENTITY_H

#include "buf.h"

struct msg_check_identity;

/* 0: it fits. KEY_MISMATCH if it does not; for what can not be read, what open_pfx() would say of it. */
int check_identity(const struct msg_check_identity *m);

#endif
