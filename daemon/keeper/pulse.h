/* Whether the keeper still answers: it asks itself, as a front would, for something that stands in the database. */
#ifndef PFXD_PULSE_H
#define PFXD_PULSE_H

#include "serve.h"

struct pulse {
	struct server *server;
	int fd; /* our end; -1: nothing is asked */
	bool answered;
};

/* Asks, on a new connection with a thread of its own; unless the last question still waits for its answer. */
void pulse_begin(struct pulse *p);
/* Whether the last question was answered. An error is an answer too: a disk that is full or gone is not mended by
 * another keeper. */
bool pulse_has_answered(struct pulse *p);

#endif
