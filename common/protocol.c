/* Writers and readers of every message, made from the lists in protocol.h. Every room. */
#include "protocol.h"

#include "fault.h"
#include "text.h"

static bool put_u8(struct buf *b, uint8_t v, uint64_t max) { buf_put_u8(b, v); return v <= max; }
static bool put_u32(struct buf *b, uint32_t v, uint64_t max) { buf_put_u32(b, v); return v <= max; }
static bool put_u64(struct buf *b, uint64_t v, uint64_t max) { buf_put_u64(b, v); return v <= max; }
static bool put_time(struct buf *b, int64_t v, uint64_t max) { (void)max; buf_put_u64(b, (uint64_t)v); return true; }
static bool put_bytes(struct buf *b, struct view v, uint64_t max) { buf_put_bytes(b, v); return v.len <= max; }
static bool put_secret(struct buf *b, struct view v, uint64_t max) { return put_bytes(b, v, max); }
static bool put_list(struct buf *b, struct view v, uint64_t max) { return put_bytes(b, v, max); }
static bool put_text(struct buf *b, struct view v, uint64_t max) { return put_bytes(b, v, max) && text_is_clean(v); }

static bool get_u8(struct view *v, uint8_t *ret, uint64_t max) { return view_get_u8(v, ret) && *ret <= max; }
static bool get_u32(struct view *v, uint32_t *ret, uint64_t max) { return view_get_u32(v, ret) && *ret <= max; }
static bool get_u64(struct view *v, uint64_t *ret, uint64_t max) { return view_get_u64(v, ret) && *ret <= max; }
static bool get_bytes(struct view *v, struct view *ret, uint64_t max) { return view_get_bytes(v, max, ret); }
static bool get_secret(struct view *v, struct view *ret, uint64_t max) { return get_bytes(v, ret, max); }
static bool get_list(struct view *v, struct view *ret, uint64_t max) { return get_bytes(v, ret, max); }

static bool get_text(struct view *v, struct view *ret, uint64_t max)
{
	return get_bytes(v, ret, max) && text_is_clean(*ret);
}

static bool get_time(struct view *v, int64_t *ret, uint64_t max)
{
	uint64_t n;
	(void)max;
	if (!view_get_u64(v, &n))
		return false;
	*ret = (int64_t)n;
	return true;
}

#define PUT_FIELD(type, name, limit) \
	if (!put_##type(b, m->name, limit)) \
		return fail(FAULT_MALFORMED_REQUEST, "%s is too long, too large, or not clean UTF-8 (limit %llu)", \
			    #name, (unsigned long long)(limit));
#define GET_FIELD(type, name, limit) \
	if (!get_##type(v, &ret->name, limit)) \
		return fail(FAULT_BAD_FRAME, "%s: the field " #name " is missing, too long or not text", __func__);

#define M(name) \
	int put_##name(struct buf *b, const struct msg_##name *m) \
	{ \
		(void)m; \
		FIELDS_##name(PUT_FIELD) \
		if (buf_ok(b)) \
			return 0; \
		return buf_overflowed(b) ? fail(FAULT_INTERNAL, "a message did not fit its buffer: " #name) : \
					   fail(FAULT_UNAVAILABLE, "no memory for a message: " #name); \
	} \
	int get_##name(struct view *v, struct msg_##name *ret) \
	{ \
		(void)v; \
		(void)ret; \
		FIELDS_##name(GET_FIELD) \
		return 0; \
	} \
	int read_##name(struct view v, struct msg_##name *ret) \
	{ \
		int rc = get_##name(&v, ret); \
		if (rc == 0 && v.len > 0) \
			return fail(FAULT_BAD_FRAME, "%zu bytes too many after the message " #name, v.len); \
		return rc; \
	}
MESSAGES(M)
#undef M

int verb_sockets(uint8_t verb)
{
	switch (verb) {
#define V(name, number, sockets) case number: return sockets;
		VERBS(V)
#undef V
	}
	return 0;
}

const char *verb_name(uint8_t verb)
{
	switch (verb) {
#define V(name, number, sockets) case number: return #name;
		VERBS(V)
#undef V
	}
	return "?";
}
