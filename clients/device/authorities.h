/* The enrolment CAs that a device believes: that of its enrolment, and those that bundles tell it of. */
#ifndef PFXD_DEVICE_AUTHORITIES_H
#define PFXD_DEVICE_AUTHORITIES_H

#include "state.h"

#include <jansson.h>

enum {
	AUTHORITIES_MAX = 16,    /* of a bundle, and of enrol-ca.pem */
	AUTHORITY_CHAIN_MAX = 8, /* a CA and what is above it */
};

/* Reads the enrolment CAs that a verified bundle names. *ret stays NULL where they are those that the device knows;
 * else the caller frees it. EXIT_REFUSED where they are none, or where the one is not among them that issued the
 * device's own certificate: who follows that could not come back. */
int authorities_read(const json_t *bundle, const struct credentials *credentials, STACK_OF(X509) **ret);

/* Makes these the ones that the device believes from now on, and no others. */
int authorities_keep(const struct state *state, STACK_OF(X509) *authorities);

#endif
