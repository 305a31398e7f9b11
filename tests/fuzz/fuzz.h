/* What the fuzz targets share. A target is one file, fuzz_ROOM_WHAT.c, with LLVMFuzzerTestOneInput(); it links the room
 * that it is named for. HACKING.md tells how to run one and how to replay a find.
 *
 * The same input always takes the same way: random bytes and the clock are fixed (fuzz.c), so that a find can be
 * replayed and a stored corpus reaches next year what it reaches today. */
#ifndef PFXD_FUZZ_H
#define PFXD_FUZZ_H

#include "buf.h"
#include "fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max); /* libFuzzer's own */

/* What must hold for every input. A find says which one did not. */
#define MUST(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

enum { FUZZ_NOW = 1795478400 }; /* 2026-11-24T00:00:00Z, as now_seconds() has it in a fuzz target */

/* Makes the random bytes of OpenSSL the same in every run, from the beginning of a row of them. */
void fuzz_fix_random(void);

/* Takes the part of v before the first mark, and the mark. All of v, where there is no mark. */
struct view fuzz_take_until(struct view *v, const char *mark);

/* A new buffer, or the end of the run. */
struct buf *fuzz_buf(size_t max);
/* Appends everything in the file at path. */
void fuzz_read_file(const char *path, struct buf *ret);

/* The path of a file that holds exactly bytes, until the next call. */
const char *fuzz_file(struct view bytes);

/* Changes one element of the DER in data, or what the element holds, and puts right the lengths around it; sometimes
 * leaves them wrong. prefix: bytes at the front that are no DER. For LLVMFuzzerCustomMutator(). */
size_t fuzz_mutate_der(uint8_t *data, size_t size, size_t max, unsigned seed, size_t prefix);

/* How the fields of a message lie in a frame. */
struct fuzz_layout {
	size_t count;
	struct {
		size_t at, len;  /* of what it holds */
		bool has_length; /* a u32 stands before it */
	} field[32];
};

/* In a target with frames the input has them one after the other, each a verb and its fields; this stands between. */
#define FUZZ_FRAME_MARK "\n%%\n"

/* The place of a connection to another room (frames.c has --wrap's unix_connect() and connection_is_stale()). */

/* The fields of a frame that is sent, and its verb. It must be a whole one. */
struct view fuzz_sent(const struct buf *b, uint8_t *ret_verb);
/* Receives the next frame of the input into b. False when there is none left. */
bool fuzz_receive(struct view *input, struct buf *b, uint8_t *ret_verb, struct view *ret_fields);

/* Changes one field of one frame, and puts right the length before it; or a whole frame. fuzz_frame_layout() is the
 * target's own: it finds the fields of a frame, none where the verb has no message there. prefix: bytes at the front
 * that are no frames. For LLVMFuzzerCustomMutator(). */
size_t fuzz_mutate_frames(uint8_t *data, size_t size, size_t max, unsigned seed, size_t prefix);
void fuzz_frame_layout(uint8_t verb, struct view fields, struct fuzz_layout *ret);

/* Finds the fields of a message, as far as they are there. */
#define FUZZ_WIDTH_u8 1
#define FUZZ_WIDTH_u32 4
#define FUZZ_WIDTH_u64 8
#define FUZZ_WIDTH_time 8
#define FUZZ_WIDTH_text 0
#define FUZZ_WIDTH_bytes 0
#define FUZZ_WIDTH_secret 0
#define FUZZ_WIDTH_list 0
#define FUZZ_ADD_FIELD(type, name, limit) fuzz_add_field(ret, &rest, fields.p, FUZZ_WIDTH_##type);
#define FUZZ_LAYOUT(message) \
	do { \
		struct view rest = fields; \
		(void)rest; \
		FIELDS_##message(FUZZ_ADD_FIELD) \
	} while (0)
void fuzz_add_field(struct fuzz_layout *l, struct view *rest, const uint8_t *base, size_t width);

#endif
