/* A bounded buffer that wipes itself, and a view: a pointer and a length into somebody else's bytes.
 *
 * Everything that passes between rooms is written with buf_put_*() and read with view_get_*(), in pairs: the same
 * type, the same order. Integers are big-endian. */
#ifndef PFXD_BUF_H
#define PFXD_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

struct view {
	const uint8_t *p;
	size_t len;
};

/* Returns a new empty buffer that never holds more than max bytes, or NULL without memory. Free with buf_free(). */
struct buf *buf_new(size_t max);
/* Wipes and frees; NULL is fine. */
void buf_free(struct buf *b);
/* Wipes and empties; the buffer can be used again, and a failure is forgotten. */
void buf_reset(struct buf *b);

/* The bytes in it. Valid until the next buf_put_*(), buf_reserve(), buf_reset() or buf_free(). */
const uint8_t *buf_data(const struct buf *b);
size_t buf_len(const struct buf *b);
struct view buf_view(const struct buf *b);

/* Appending never fails at once: a put that finds no room or no memory marks the buffer, and so does each later one.
 * Ask buf_ok() once, at the end. */
bool buf_ok(const struct buf *b);
/* Whether what failed first was a put that would not have fitted into max bytes, and not the memory: for whoever takes
 * what is too large for damaged. */
bool buf_overflowed(const struct buf *b);
void buf_put(struct buf *b, const void *p, size_t len);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_bytes(struct buf *b, struct view v);       /* u32 length, then the bytes */
void buf_put_text(struct buf *b, const char *text);     /* the text without length or end */
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes room for about len bytes more at once, for what would else grow, move and wipe step by step. Only a saving:
 * marks nothing, and what is put may be less or more. */
void buf_make_room(struct buf *b, size_t len);
/* Appends len bytes for the caller to write, and returns where; NULL (and marked) if they do not fit. */
uint8_t *buf_reserve(struct buf *b, size_t len);
/* Shortens to len bytes, wiping the rest. len must not exceed buf_len(). */
void buf_truncate(struct buf *b, size_t len);
/* Writes v over the four bytes at offset, which must be there. */
void buf_poke_u32(struct buf *b, size_t offset, uint32_t v);
/* The NUL-terminated text in b (the end is not counted), or NULL if memory ran out. */
const char *buf_text(struct buf *b);

/* Each takes its bytes off the front of v. False, with v and *ret untouched, if v is too short. */
bool view_get_u8(struct view *v, uint8_t *ret);
bool view_get_u32(struct view *v, uint32_t *ret);
bool view_get_u64(struct view *v, uint64_t *ret);
bool view_get(struct view *v, size_t len, struct view *ret);
bool view_get_bytes(struct view *v, size_t max, struct view *ret); /* also false if longer than max */

struct view view_of(const void *p, size_t len);
struct view view_text(const char *text); /* NULL is "" */
bool view_equal(struct view a, struct view b);
bool view_equal_secret(struct view a, struct view b); /* the time depends on the lengths alone */
bool view_is(struct view v, const char *text);

static inline void buf_freep(struct buf **b) { buf_free(*b); }
#define BUF __attribute__((cleanup(buf_freep))) struct buf *

#endif
