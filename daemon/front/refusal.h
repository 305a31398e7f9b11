/* Answers that libmicrohttpd gives by itself, before any request is there for on_request(): headers that are too long,
 * a length that is no number, a version that it does not speak. They get a request id and a body like all others. */
#ifndef PFXD_REFUSAL_H
#define PFXD_REFUSAL_H

#include <microhttpd.h>

/* Queues a reply of our own, as MHD_queue_response() does where nothing stands before it. */
enum MHD_Result queue_own_reply(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response);

#endif
