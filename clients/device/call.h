/* Calls of the device interface. */
#ifndef PFXD_DEVICE_CALL_H
#define PFXD_DEVICE_CALL_H

#include "../shared/http.h"
#include "state.h"

/* Asks the server of state for path, with the device's certificate if identified. EXIT_DONE for 2xx and 304; a device
 * that was revoked, or whose certificate is not accepted, is told so in words, and the first is kept in state. ret is
 * initialised on every way out; free it with http_answer_done(). */
int call_server(struct state *state, const char *ca_file, bool identified, const struct http_request *request,
		struct http_answer *ret);

/* The same, as an enrolled device, trusting server-ca.pem. request->url is a path. */
int call_as_device(struct state *state, const struct http_request *request, struct http_answer *ret);

#endif
