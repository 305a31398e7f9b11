/* Text forms of bytes. Every program. Strict: what an encoder would not have written is refused. */
#include "encode.h"

#include "fault.h"

#include <stdio.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(struct view text, struct buf *ret)
{
	uint32_t bits = 0;
	unsigned digits = 0, padding = 0;
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.p[i];
		if (c == '\r' || c == '\n')
			continue;
		int d = digit(c);
		if (c == '=') {
			padding++;
			d = 0;
		} else if (d < 0 || padding) {
			return fail(FAULT_MALFORMED_REQUEST, "not base64: a wrong character at offset %zu", i);
		}
		bits = bits << 6 | (uint32_t)d;
		if (++digits % 4)
			continue;
		uint8_t three[3] = { (uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits };
		if (padding > 2 || (padding && three[3 - padding] != 0))
			return fail(FAULT_MALFORMED_REQUEST, "not base64: wrong padding at offset %zu", i);
		buf_put(ret, three, 3 - padding);
		explicit_bzero(three, sizeof three);
	}
	if (digits % 4)
		return fail(FAULT_MALFORMED_REQUEST, "not base64: %u characters are missing at the end",
			    4 - digits % 4);
	if (buf_overflowed(ret))
		return fail(FAULT_TOO_LARGE, "the decoded bytes are too many");
	return buf_ok(ret) ? 0 : fail(FAULT_UNAVAILABLE, "no memory to decode base64");
}

static void encode(struct view v, const char *letters, bool padded, struct buf *ret)
{
	size_t rest = v.len % 3, end = rest == 0 ? 0 : padded ? 4 : rest + 1;
	uint8_t *at = buf_reserve(ret, v.len / 3 * 4 + end);
	if (!at)
		return;
	for (; v.len >= 3; v = view_of(v.p + 3, v.len - 3)) {
		uint32_t bits = (uint32_t)v.p[0] << 16 | (uint32_t)v.p[1] << 8 | v.p[2];
		*at++ = (uint8_t)letters[bits >> 18];
		*at++ = (uint8_t)letters[bits >> 12 & 63];
		*at++ = (uint8_t)letters[bits >> 6 & 63];
		*at++ = (uint8_t)letters[bits & 63];
	}
	if (rest == 0)
		return;
	uint32_t bits = (uint32_t)v.p[0] << 16 | (rest == 2 ? (uint32_t)v.p[1] << 8 : 0);
	const char four[4] = { letters[bits >> 18], letters[bits >> 12 & 63],
			       rest == 2 ? letters[bits >> 6 & 63] : '=', '=' };
	memcpy(at, four, end);
}

void base64_encode(struct view bytes, struct buf *ret)
{
	encode(bytes, alphabet, true, ret);
}

void base64url_encode(struct view bytes, struct buf *ret)
{
	encode(bytes, url_alphabet, false, ret);
}

void hex_encode(struct view bytes, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < bytes.len; i++) {
		*ret++ = digits[bytes.p[i] >> 4];
		*ret++ = digits[bytes.p[i] & 15];
	}
	*ret = '\0';
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(struct view text, uint8_t *ret, size_t len)
{
	if (text.len != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		ret[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool is_escaped(uint8_t c)
{
	return c == '"' || c == '\\' || c < 0x20;
}

/* Escaped is what must be: quotation mark, reverse solidus, and control characters. */
void json_quote(struct view utf8, struct buf *ret)
{
	buf_put_u8(ret, '"');
	while (utf8.len > 0) {
		size_t plain = 0;
		while (plain < utf8.len && !is_escaped(utf8.p[plain]))
			plain++;
		buf_put(ret, utf8.p, plain);
		utf8 = view_of(utf8.p + plain, utf8.len - plain);
		if (utf8.len == 0)
			break;
		buf_printf(ret, *utf8.p < 0x20 ? "\\u%04x" : "\\%c", *utf8.p);
		utf8 = view_of(utf8.p + 1, utf8.len - 1);
	}
	buf_put_u8(ret, '"');
}

void pem_encode(const char *label, struct view der, struct buf *ret)
{
	enum { LINE_BYTES = 48 };
	buf_printf(ret, "-----BEGIN %s-----\n", label);
	for (size_t i = 0; i < der.len; i += LINE_BYTES) {
		size_t n = der.len - i < LINE_BYTES ? der.len - i : LINE_BYTES;
		base64_encode(view_of(der.p + i, n), ret);
		buf_put_u8(ret, '\n');
	}
	buf_printf(ret, "-----END %s-----\n", label);
}

/* Finds "-----BEGIN label-----" and its end; *ret is what stands between. */
static bool armour(const char *label, struct view text, struct view *ret)
{
	char begin[80], end[80];
	int begin_len = snprintf(begin, sizeof begin, "-----BEGIN %s-----", label);
	int end_len = snprintf(end, sizeof end, "-----END %s-----", label);
	const uint8_t *from = memmem(text.p, text.len, begin, (size_t)begin_len);
	if (!from)
		return false;
	from += begin_len;
	size_t left = text.len - (size_t)(from - text.p);
	const uint8_t *to = memmem(from, left, end, (size_t)end_len);
	if (!to)
		return false;
	*ret = view_of(from, (size_t)(to - from));
	return true;
}

int pem_decode(const char *label, const char *label2, struct view text, struct buf *ret)
{
	struct view inner;
	if (!armour(label, text, &inner) && !(label2 && armour(label2, text, &inner)))
		return fail(FAULT_MALFORMED_REQUEST, "there is no PEM block -----BEGIN %s-----", label);
	return base64_decode(inner, ret);
}
