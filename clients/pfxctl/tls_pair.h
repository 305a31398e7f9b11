/* A TLS certificate for trying pfxd out on one machine. Not the enrolment CA. */
#ifndef PFXD_PFXCTL_TLS_PAIR_H
#define PFXD_PFXCTL_TLS_PAIR_H

#include "buf.h"

enum { TLS_PAIR_DAYS = 825 };

/* Makes a CA, has it sign a certificate for localhost, 127.0.0.1 and ::1, and forgets the CA's key. Appends the CA's
 * certificate, the server's with the CA's after it, and the server's key: PEM, P-256. EXIT_LOCAL on failure. */
int tls_pair_make(struct buf *ret_ca, struct buf *ret_certificates, struct buf *ret_key_secret);

#endif
