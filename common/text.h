/* Small things that have a textual form: UTF-8, UUIDs, times. */
#ifndef PFXD_TEXT_H
#define PFXD_TEXT_H

#include "buf.h"

enum {
	UUID_TEXT = 36,  /* characters of a UUID, without end */
	TIME_TEXT = 20,  /* 2026-11-24T10:00:00Z */
};

/* The length of the well-formed UTF-8 sequence (RFC 3629 section 4) at the start of v, which is not empty, and its code
 * point; 0 if there is none. */
size_t text_sequence(struct view v, uint32_t *ret);
/* True when v is well-formed UTF-8, control characters included. */
bool text_is_utf8(struct view v);
/* True when v is well-formed UTF-8 without control characters (C0, DEL, C1). */
bool text_is_clean(struct view v);
/* Makes it clean: a '?' for each byte that is part of no well-formed UTF-8, or of a control character. */
void text_make_clean(char *text);
/* Copies v into ret (size bytes, ended). False if it does not fit or holds a NUL. */
bool text_copy(struct view v, char *ret, size_t size);

/* A random UUID (RFC 9562, version 4) by the kernel's generator. */
void uuid_make(char ret[static UUID_TEXT + 1]);
bool uuid_is_valid(struct view v);

/* As people read it: 1,204. */
enum { NUMBER_GROUPED_MAX = 32 };
void number_grouped(uint64_t number, char ret[static NUMBER_GROUPED_MAX]);

/* Seconds since 1970, as the system's clock has it. */
int64_t now_seconds(void);
/* RFC 3339, UTC, whole seconds. Years outside 0000-9999 are clamped to them. */
void time_format(int64_t seconds, char ret[static TIME_TEXT + 1]);

/* Reads a decimal number of at most max; false for anything else, a sign and an empty text included. */
bool number_parse(struct view v, uint64_t max, uint64_t *ret);

#endif
