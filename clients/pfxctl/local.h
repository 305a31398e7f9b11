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

/* For an answer whose fields can not be read: EXIT_REFUSED, with the sentence. */
int local_other_version(void);

/* A question whose answer takes long: how far it is goes to a terminal meanwhile, and files over the connection. */
struct local_talk {
	struct buf *question; /* a frame with its fields */
	enum verb verb;
	int file;             /* open for reading, sent when the keeper wants it; -1: none */
	uint64_t file_bytes;
	int (*on_size)(void *arg, uint64_t bytes);    /* of a file that comes; NULL: none is due */
	int (*on_part)(void *arg, struct view bytes); /* of it */
	void *arg;
	bool until_end;       /* wait until this keeper has ended, too */
};
/* Results as local_ask(). EXIT_LOCAL where file can not be read, or on_size() or on_part() says so. */
int local_talk(const struct server *server, const struct local_talk *talk, struct buf *answer, struct view *ret_fields);

#endif
