/* The renewal of the device's certificate. */
#ifndef PFXD_DEVICE_RENEW_H
#define PFXD_DEVICE_RENEW_H

#include "state.h"

/* True past half of the certificate's life. */
bool renewal_is_due(const X509 *certificate);

/* Makes a new key of the same kind, asks for its certificate, signed by the present key, and puts both in place.
 * credentials are those of before; load them again afterwards. */
int renew(struct state *state, const struct credentials *credentials);

#endif
