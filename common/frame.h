/* Frames over a stream socket: u32 length | u8 verb | fields. The length counts verb and fields. */
#ifndef PFXD_FRAME_H
#define PFXD_FRAME_H

#include "buf.h"
#include "clock.h"

enum { FRAME_HEADER_BYTES = 5 };

/* Begins a frame in an empty buffer; the caller then puts the fields, and frame_send() fills the length in. */
void frame_begin(struct buf *b, uint8_t verb);

/* Sends the frame in b. deadline_ms is a moment of clock_ms(); -1 waits for ever.
 * Errors: CLOSED, TIMED_OUT, INTERNAL when the buffer is marked as failed. */
int frame_send(int fd, struct buf *b, int64_t deadline_ms);

/* Reads one frame of at most max bytes of fields into b, which is emptied first; *ret_verb and *ret_fields (bytes of
 * b) are set on success. Errors: CLOSED (also between frames, when the peer is done), TIMED_OUT, BAD_FRAME when the
 * frame announces more than max; UNAVAILABLE without memory: what is sent then is not read, and the connection is of
 * no more use. */
int frame_receive(int fd, struct buf *b, size_t max, int64_t deadline_ms, uint8_t *ret_verb, struct view *ret_fields);

/* Connects to the stream socket at path, which is relative to the working directory if it does not begin with '/'.
 * Returns the descriptor, close-on-exec and non-blocking, or UNAVAILABLE with a sentence; never waits. */
int unix_connect(const char *path);

/* True when an idle connection can not be used any more: closed by the peer, or with bytes that nobody asked for. */
bool connection_is_stale(int fd);

static inline void closep(int *fd);
#define FD __attribute__((cleanup(closep))) int

#include <unistd.h>
static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#endif
