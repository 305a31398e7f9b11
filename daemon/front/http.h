/* A listener: HTTP on an inherited socket, with TLS or without. */
#ifndef PFXD_HTTP_H
#define PFXD_HTTP_H

#include "config.h"
#include "deadline.h"
#include "limit.h"
#include "metrics.h"
#include "pulse.h"
#include "route.h"
#include "work.h"

#include <stdatomic.h>

struct MHD_Daemon;
struct health;

/* A body that is refused is read to its end all the same, because a client that is still sending when the connection
 * closes may never see the answer. Above this the connection just ends. */
enum { DISCARD_MAX_BYTES = 64 * MIB };

enum { HEALTH_CONNECTIONS_MAX = 64 };

struct http {
	/* Set by the caller before http_start(), and kept by it. */
	const struct config *config;
	enum role role;            /* ROLE_HEALTH: without TLS */
	int socket;
	unsigned threads;
	struct work *work, *imports; /* NULL where every route is ROUTE_INLINE */
	struct health *health;       /* for ROLE_HEALTH */
	struct metrics *metrics;
	/* The listener's own. */
	struct deadlines *deadlines;
	struct limit *failures;
	struct pulse *pulse;
	struct MHD_Daemon *daemon;
	atomic_uint in_flight;
	atomic_bool draining;
};

/* Starts to answer. INTERNAL or UNAVAILABLE with a sentence. */
int http_start(struct http *h);

/* Connections that are open. */
unsigned http_connections(const struct http *h);

/* Asks every thread whether it turns; http_has_turned() is true once each has since. */
void http_pulse(struct http *h);
bool http_has_turned(struct http *h);

/* Stops taking connections; those that are open get their answers, and end with them. */
void http_quiesce(struct http *h);
/* True once no connection is left and none can come; ends those that wait for nothing. greeting_over: also those that
 * have not said a word by now. */
bool http_is_drained(struct http *h, bool greeting_over);
/* Ends the threads and frees; for a listener that is drained, or the library could not be stopped. */
void http_stop(struct http *h);

/* A token was refused: counts against the address that it came from. */
void http_count_refused(const struct request *r);

#endif
