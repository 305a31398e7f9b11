/* A certificate that the service issued: the answer to an enrolment and to a renewal. */
#ifndef PFXD_DEVICE_ISSUED_H
#define PFXD_DEVICE_ISSUED_H

#include "state.h"

struct issued {
	char device_id[UUID_TEXT + 1];
	X509 *certificate;
	STACK_OF(X509) *chain; /* issuer first, root last */
};

/* Reads the answer and checks it: the certificate is for key and names the device, and it chains to the root of its
 * chain. At a renewal anchors are the enrolment CAs that the device knows, and one of them must have issued it, else
 * EXIT_REFUSED with the code "unknown_ca"; NULL at an enrolment. EXIT_REFUSED with a sentence. Free with
 * issued_done(). */
int issued_read(struct view answer, EVP_PKEY *key, STACK_OF(X509) *anchors, struct issued *ret);
void issued_done(struct issued *issued);
#define ISSUED __attribute__((cleanup(issued_done))) struct issued

/* Whether one of these CAs itself issued the certificate, which may be used in TLS. */
bool issued_by_one_of(X509 *certificate, STACK_OF(X509) *cas);

/* Puts the certificate and its pending key in the place of the device's own. */
int issued_store(const struct state *state, const struct issued *issued);

/* A store that trusts these certificates themselves, whoever issued them, for any purpose. NULL without memory. */
X509_STORE *store_of(STACK_OF(X509) *anchors);

#endif
