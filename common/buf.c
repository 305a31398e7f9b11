/* The buffer in which secrets rest and frames are built. Every program. Every byte that it gives up is wiped. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct buf {
	uint8_t *data;
	size_t len, size, max;
	bool failed, overflowed;
};

enum { BUF_FIRST_SIZE = 256 };

struct buf *buf_new(size_t max)
{
	struct buf *b = calloc(1, sizeof *b);
	if (b)
		b->max = max;
	return b;
}

/* Behind len there is never anything: what makes a buffer shorter wipes. */
static void release(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->len);
	free(b->data);
}

void buf_free(struct buf *b)
{
	if (!b)
		return;
	release(b);
	free(b);
}

void buf_reset(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->len);
	b->len = 0;
	b->failed = b->overflowed = false;
}

const uint8_t *buf_data(const struct buf *b)
{
	static const uint8_t nothing[1];
	return b->data ? b->data : nothing;
}

size_t buf_len(const struct buf *b)
{
	return b->len;
}

struct view buf_view(const struct buf *b)
{
	return view_of(buf_data(b), b->len);
}

bool buf_ok(const struct buf *b)
{
	return !b->failed;
}

bool buf_overflowed(const struct buf *b)
{
	return b->overflowed;
}

/* Moves to a larger block. Never realloc(): it would leave the old bytes behind where it is not our own. */
static bool grow(struct buf *b, size_t need)
{
	size_t size = b->size ? b->size : BUF_FIRST_SIZE;
	while (size < need)
		size *= 2;
	uint8_t *data = malloc(size);
	if (!data)
		return false;
	if (b->data)
		memcpy(data, b->data, b->len);
	release(b);
	b->data = data;
	b->size = size;
	return true;
}

void buf_make_room(struct buf *b, size_t len)
{
	if (len > b->max - b->len)
		len = b->max - b->len;
	if (b->len + len > b->size)
		grow(b, b->len + len);
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
	if (!b->failed && len > b->max - b->len)
		b->overflowed = true;
	if (b->failed || len > b->max - b->len || (b->len + len > b->size && !grow(b, b->len + len))) {
		b->failed = true;
		return NULL;
	}
	if (!b->data && !grow(b, 1)) {
		b->failed = true;
		return NULL;
	}
	uint8_t *at = b->data + b->len;
	b->len += len;
	return at;
}

void buf_truncate(struct buf *b, size_t len)
{
	if (len >= b->len)
		return;
	explicit_bzero(b->data + len, b->len - len);
	b->len = len;
}

void buf_put(struct buf *b, const void *p, size_t len)
{
	uint8_t *at = buf_reserve(b, len);
	if (at && len)
		memcpy(at, p, len);
}

static void encode(uint8_t *at, uint64_t v, size_t width)
{
	for (size_t i = width; i-- > 0; v >>= 8)
		at[i] = (uint8_t)v;
}

static void put_number(struct buf *b, uint64_t v, size_t width)
{
	uint8_t *at = buf_reserve(b, width);
	if (at)
		encode(at, v, width);
}

void buf_put_u8(struct buf *b, uint8_t v)
{
	put_number(b, v, 1);
}

void buf_put_u32(struct buf *b, uint32_t v)
{
	put_number(b, v, 4);
}

void buf_put_u64(struct buf *b, uint64_t v)
{
	put_number(b, v, 8);
}

void buf_put_bytes(struct buf *b, struct view v)
{
	if (v.len > UINT32_MAX) {
		b->failed = true;
		return;
	}
	buf_put_u32(b, (uint32_t)v.len);
	buf_put(b, v.p, v.len);
}

void buf_put_text(struct buf *b, const char *text)
{
	buf_put(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	uint8_t *at = len < 0 ? NULL : buf_reserve(b, (size_t)len + 1);
	if (!at)
		return;
	va_start(args, format);
	vsnprintf((char *)at, (size_t)len + 1, format, args);
	va_end(args);
	buf_truncate(b, b->len - 1);
}

void buf_poke_u32(struct buf *b, size_t offset, uint32_t v)
{
	if (offset + 4 <= b->len)
		encode(b->data + offset, v, 4);
}

const char *buf_text(struct buf *b)
{
	if (b->failed || (b->len == b->size && !grow(b, b->len + 1)))
		return NULL;
	b->data[b->len] = '\0';
	return (const char *)b->data;
}

bool view_get(struct view *v, size_t len, struct view *ret)
{
	if (v->len < len)
		return false;
	*ret = view_of(v->p, len);
	v->p += len;
	v->len -= len;
	return true;
}

static bool get_number(struct view *v, size_t width, uint64_t *ret)
{
	struct view at;
	if (!view_get(v, width, &at))
		return false;
	*ret = 0;
	for (size_t i = 0; i < width; i++)
		*ret = *ret << 8 | at.p[i];
	return true;
}

bool view_get_u8(struct view *v, uint8_t *ret)
{
	uint64_t n;
	if (!get_number(v, 1, &n))
		return false;
	*ret = (uint8_t)n;
	return true;
}

bool view_get_u32(struct view *v, uint32_t *ret)
{
	uint64_t n;
	if (!get_number(v, 4, &n))
		return false;
	*ret = (uint32_t)n;
	return true;
}

bool view_get_u64(struct view *v, uint64_t *ret)
{
	return get_number(v, 8, ret);
}

bool view_get_bytes(struct view *v, size_t max, struct view *ret)
{
	struct view rest = *v;
	uint32_t len;
	if (!view_get_u32(&rest, &len) || len > max || !view_get(&rest, len, ret))
		return false;
	*v = rest;
	return true;
}

struct view view_of(const void *p, size_t len)
{
	return (struct view){ .p = p, .len = len };
}

struct view view_text(const char *text)
{
	return text ? view_of(text, strlen(text)) : view_of("", 0);
}

bool view_equal(struct view a, struct view b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool view_equal_secret(struct view a, struct view b)
{
	if (a.len != b.len)
		return false;
	volatile uint8_t differ = 0;
	for (size_t i = 0; i < a.len; i++)
		differ |= (uint8_t)(a.p[i] ^ b.p[i]);
	return differ == 0;
}

bool view_is(struct view v, const char *text)
{
	return view_equal(v, view_text(text));
}
