/* Lifts secrets out of JSON. Front and clients. Knows strings and members and leaves the rest to the JSON library. */
#include "json_lift.h"

#include "encode.h"
#include "fault.h"
#include "text.h"

#include <string.h>

enum { KEY_MAX_BYTES_COMPARED = 64 };

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct view skip_space(struct view v)
{
	while (v.len > 0 && is_space(v.p[0]))
		v = view_of(v.p + 1, v.len - 1);
	return v;
}

/* Reads the four digits of a \u escape. */
static bool hex4(struct view *v, uint32_t *ret)
{
	struct view digits;
	uint8_t two[2];
	if (!view_get(v, 4, &digits) || !hex_decode(digits, two, sizeof two))
		return false;
	*ret = (uint32_t)two[0] << 8 | two[1];
	return true;
}

static void put_utf8(struct buf *b, uint32_t code)
{
	if (code < 0x80) {
		buf_put_u8(b, (uint8_t)code);
	} else if (code < 0x800) {
		buf_put_u8(b, (uint8_t)(0xc0 | code >> 6));
		buf_put_u8(b, (uint8_t)(0x80 | (code & 0x3f)));
	} else if (code < 0x10000) {
		buf_put_u8(b, (uint8_t)(0xe0 | code >> 12));
		buf_put_u8(b, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
		buf_put_u8(b, (uint8_t)(0x80 | (code & 0x3f)));
	} else {
		buf_put_u8(b, (uint8_t)(0xf0 | code >> 18));
		buf_put_u8(b, (uint8_t)(0x80 | (code >> 12 & 0x3f)));
		buf_put_u8(b, (uint8_t)(0x80 | (code >> 6 & 0x3f)));
		buf_put_u8(b, (uint8_t)(0x80 | (code & 0x3f)));
	}
}

/* A \u escape, its first two characters read; a high surrogate takes its low half with it. */
static bool unescape_u(struct view *v, struct buf *ret)
{
	uint32_t code, low;
	struct view mark;
	if (!hex4(v, &code) || (code >= 0xdc00 && code <= 0xdfff))
		return false;
	if (code >= 0xd800 && code <= 0xdbff) {
		if (!view_get(v, 2, &mark) || memcmp(mark.p, "\\u", 2) != 0 || !hex4(v, &low) || low < 0xdc00 ||
		    low > 0xdfff)
			return false;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	}
	put_utf8(ret, code);
	return true;
}

static bool unescape_one(struct view *v, struct buf *ret)
{
	static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	uint8_t c;
	if (!view_get_u8(v, &c))
		return false;
	if (c == 'u')
		return unescape_u(v, ret);
	const char *at = c ? strchr(letters, c) : NULL;
	if (!at)
		return false;
	buf_put_u8(ret, (uint8_t)values[at - letters]);
	return true;
}

/* Takes a string token off the front of v; *ret is what stands between its quotes. */
static int take_string(struct view *v, struct view *ret)
{
	for (size_t i = 1; i < v->len; i++) {
		if (v->p[i] == '"') {
			*ret = view_of(v->p + 1, i - 1);
			*v = view_of(v->p + i + 1, v->len - i - 1);
			return 0;
		}
		if (v->p[i] < 0x20)
			return fail(FAULT_MALFORMED_REQUEST, "not JSON: a control character in a string");
		if (v->p[i] == '\\')
			i++;
	}
	return fail(FAULT_MALFORMED_REQUEST, "not JSON: a string does not end");
}

/* Appends what the raw content of a string token means. */
static int unescape(struct view raw, struct buf *ret)
{
	while (raw.len > 0) {
		const uint8_t *slash = memchr(raw.p, '\\', raw.len);
		size_t plain = slash ? (size_t)(slash - raw.p) : raw.len;
		buf_put(ret, raw.p, plain);
		raw = view_of(raw.p + plain, raw.len - plain);
		if (raw.len == 0)
			break;
		raw = view_of(raw.p + 1, raw.len - 1);
		if (!unescape_one(&raw, ret))
			return fail(FAULT_MALFORMED_REQUEST, "not JSON: a wrong escape in a string");
	}
	return 0;
}

static int is_wanted(struct view raw, const char *const names[], bool *ret)
{
	*ret = false;
	if (raw.len > 6 * KEY_MAX_BYTES_COMPARED)
		return 0;
	BUF name = buf_new(6 * KEY_MAX_BYTES_COMPARED);
	if (!name)
		return fail(FAULT_UNAVAILABLE, "no memory for a body");
	int rc = unescape(raw, name);
	/* A name that is not whole might be that of a secret, which must not stay in the text. */
	if (rc == 0 && !buf_ok(name) && !buf_overflowed(name))
		rc = fail(FAULT_UNAVAILABLE, "no memory for a body");
	for (; rc == 0 && *names; names++)
		*ret |= view_is(buf_view(name), *names);
	return rc;
}

static int lift_one(struct view raw, unsigned number, struct buf *plain, struct buf *secrets)
{
	size_t start = buf_len(secrets);
	buf_put_u32(secrets, 0);
	int rc = unescape(raw, secrets);
	if (rc < 0)
		return rc;
	struct view secret = view_of(buf_data(secrets) + start + 4, buf_ok(secrets) ? buf_len(secrets) - start - 4 : 0);
	if (!text_is_utf8(secret))
		return fail(FAULT_MALFORMED_REQUEST, "the body is not UTF-8");
	buf_poke_u32(secrets, start, (uint32_t)secret.len);
	buf_printf(plain, "\"%u\"", number);
	return 0;
}

int json_lift(struct view json, const char *const names[], struct buf *ret_plain, struct buf *ret_secrets)
{
	bool lift_next = false;
	unsigned number = 0;
	while (json.len > 0) {
		const uint8_t *start = json.p;
		struct view raw;
		if (json.p[0] != '"') {
			if (json.p[0] != ':' && !is_space(json.p[0]))
				lift_next = false;
			buf_put_u8(ret_plain, json.p[0]);
			json = view_of(json.p + 1, json.len - 1);
			continue;
		}
		int rc = take_string(&json, &raw);
		struct view after = skip_space(json);
		bool is_name = after.len > 0 && after.p[0] == ':';
		if (rc == 0 && lift_next && !is_name) {
			rc = lift_one(raw, number++, ret_plain, ret_secrets);
			lift_next = false;
		} else {
			buf_put(ret_plain, start, (size_t)(json.p - start));
			if (rc == 0 && is_name)
				rc = is_wanted(raw, names, &lift_next);
		}
		if (rc < 0)
			return rc;
	}
	if (buf_overflowed(ret_plain) || buf_overflowed(ret_secrets))
		return fail(FAULT_TOO_LARGE, "the JSON text is too large");
	return buf_ok(ret_plain) && buf_ok(ret_secrets) ? 0 : fail(FAULT_UNAVAILABLE, "no memory for a body");
}

bool json_lifted(const struct buf *secrets, const char *text, struct view *ret)
{
	uint64_t number;
	struct view rest = buf_view(secrets), secret;
	if (!number_parse(view_text(text), UINT32_MAX, &number))
		return false;
	do {
		if (!view_get_bytes(&rest, SIZE_MAX, &secret))
			return false;
	} while (number-- > 0);
	*ret = secret;
	return true;
}
