/* A TLS certificate to begin with, until the server has one of a CA that its clients know. Not the enrolment CA. */
#ifndef PFXD_PFXCTL_TLS_PAIR_H
#define PFXD_PFXCTL_TLS_PAIR_H

#include "buf.h"

enum { TLS_PAIR_DAYS = 825, TLS_NAMES_MAX = 16, TLS_NAME_MAX_CHARS = 253 };

/* Makes a CA, has it sign a certificate for names (of hosts and addresses, with commas between), and forgets the CA's
 * key. Appends the CA's certificate, the server's with the CA's after it, and the server's key: PEM, P-256. EXIT_USAGE
 * for what is no name; EXIT_LOCAL on failure. */
int tls_pair_make(const char *names, struct buf *ret_ca, struct buf *ret_certificates, struct buf *ret_key_secret);

#endif
