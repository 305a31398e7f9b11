/* The keeper's local socket: what root on the server may ask it without a token. */
#ifndef PFXD_PFXCTL_LOCAL_H
#define PFXD_PFXCTL_LOCAL_H

#include "protocol.h"
#include "server.h"

#define LOCAL_SOCKET "keeper-local.sock" /* in the folder of the sockets */

enum { LOCAL_ANSWER_SECONDS = 60, LOCAL_VERIFY_SECONDS = 3600 };

/* Asks for a verb that has no fields; *ret_fields is the answer, bytes of answer. EXIT_LATER if the keeper is not there
 * or does not answer within seconds; EXIT_REFUSED, with its sentence, if it says no. */
int local_ask(const struct server *server, enum verb verb, unsigned seconds, struct buf *answer,
	      struct view *ret_fields);

#endif
