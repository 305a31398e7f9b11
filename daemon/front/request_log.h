/* The one event of a request. */
#ifndef PFXD_REQUEST_LOG_H
#define PFXD_REQUEST_LOG_H

struct request;

/* Tells how a request ended: REQUEST_DONE or REQUEST_FAILED, the latter also where it has got no answer. Probes are told
 * for debugging only. */
void request_log(struct request *r);

#endif
