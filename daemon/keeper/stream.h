/* What goes over the local socket between a request and its answer: how far it is, and the bytes of a file. */
#ifndef PFXD_STREAM_H
#define PFXD_STREAM_H

#include "protocol.h"

/* How far something is that takes long, told to who asked for it. */
struct progress {
	int fd; /* of the connection */
	enum stage stage;
	int64_t told_ms; /* 0: nothing of this stage yet */
};

void progress_begin(struct progress *p, enum stage stage);
/* As db_watch has it; p is a struct progress. Tells the first, the last, and now and then one between. UNAVAILABLE when
 * nobody waits for it any more, or this keeper is to end. */
int progress_tell(void *p, uint64_t done, uint64_t total);

/* Sends the file at path, all of it. Its size and SHA-256 are told of the bytes that were sent. */
int stream_send(struct progress *p, const char *path, uint64_t *ret_bytes, uint8_t ret_sha256[static 32]);
/* Says that a file of so many bytes is wanted, and writes what comes into a new one at path, synced. CLOSED or
 * BAD_FRAME when it does not come; UNAVAILABLE when it can not be written. */
int stream_receive(struct progress *p, uint64_t bytes, const char *path, uint8_t ret_sha256[static 32]);

#endif
