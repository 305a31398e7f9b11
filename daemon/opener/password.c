/* Forms of a password. Opener, PFX kind. Never keeps one outside a wiping buffer. */
#include "password.h"

#include "fault.h"
#include "kdf.h"
#include "protocol.h"
#include "text.h"

#include <string.h>

static void put_unit(struct buf *b, uint32_t unit)
{
	buf_put_u8(b, (uint8_t)(unit >> 8));
	buf_put_u8(b, (uint8_t)unit);
}

/* Takes one code point off well-formed UTF-8. */
static uint32_t take_code(struct view *v)
{
	uint8_t first = v->p[0];
	size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	uint32_t code = len == 1 ? first : first & (0x7fu >> len);
	for (size_t i = 1; i < len; i++)
		code = code << 6 | (v->p[i] & 0x3f);
	v->p += len;
	v->len -= len;
	return code;
}

static void put_bmp(struct buf *b, struct view utf8)
{
	while (utf8.len > 0) {
		uint32_t code = take_code(&utf8);
		if (code >= 0x10000) {
			put_unit(b, 0xd800 + ((code - 0x10000) >> 10));
			code = 0xdc00 + ((code - 0x10000) & 0x3ff);
		}
		put_unit(b, code);
	}
	put_unit(b, 0);
}

static void put_bytes_as_bmp(struct buf *b, struct view bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		put_unit(b, bytes.p[i]);
	put_unit(b, 0);
}

/* False, with b empty, where a character is not of Latin-1. */
static bool put_latin1(struct buf *b, struct view utf8)
{
	while (utf8.len > 0) {
		uint32_t code = take_code(&utf8);
		if (code > 0xff) {
			buf_reset(b);
			return false;
		}
		buf_put_u8(b, (uint8_t)code);
	}
	return true;
}

static bool is_ascii(struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] >= 0x80)
			return false;
	return true;
}

/* text_is_clean() also refuses control characters, which a password may hold: ASCII is passed over, and the C1
 * controls are put by. */
static bool is_utf8(struct view v)
{
	while (v.len > 0) {
		bool control = v.len > 1 && v.p[0] == 0xc2 && v.p[1] >= 0x80 && v.p[1] < 0xa0;
		size_t len = v.p[0] < 0x80 ? 1 : v.p[0] < 0xe0 ? 2 : v.p[0] < 0xf0 ? 3 : 4;
		if (len > v.len || (len > 1 && !control && !text_is_clean(view_of(v.p, len))))
			return false;
		v.p += len;
		v.len -= len;
	}
	return true;
}

static void fill(struct password *p, struct view text_secret)
{
	bool ascii = is_ascii(text_secret), utf8 = ascii || is_utf8(text_secret);
	if (utf8)
		put_bmp(p->bmp_secret[p->bmp_forms++], text_secret);
	if (!ascii)
		put_bytes_as_bmp(p->bmp_secret[p->bmp_forms++], text_secret);
	if (text_secret.len == 0)
		p->bmp_forms++; /* no bytes at all */
	buf_put(p->bytes_secret[p->bytes_forms++], text_secret.p, text_secret.len);
	if (utf8 && !ascii && put_latin1(p->bytes_secret[1], text_secret))
		p->bytes_forms++;
}

int password_init(struct password *p, struct view text_secret)
{
	*p = (struct password){ .bmp_right = PASSWORD_UNKNOWN, .bytes_right = PASSWORD_UNKNOWN };
	for (int i = 0; i < PASSWORD_FORMS_MAX; i++) {
		p->bmp_secret[i] = buf_new(BMP_PASSWORD_MAX_BYTES);
		p->bytes_secret[i] = buf_new(PASSWORD_MAX_BYTES);
		if (!p->bmp_secret[i] || !p->bytes_secret[i])
			return fail(FAULT_TOO_EXPENSIVE, "no memory left for the password");
	}
	fill(p, text_secret);
	for (int i = 0; i < PASSWORD_FORMS_MAX; i++)
		if (!buf_ok(p->bmp_secret[i]) || !buf_ok(p->bytes_secret[i]))
			return fail(FAULT_TOO_EXPENSIVE, "the password is longer than %d bytes", PASSWORD_MAX_BYTES);
	return 0;
}

void password_done(struct password *p)
{
	for (int i = 0; i < PASSWORD_FORMS_MAX; i++) {
		buf_free(p->bmp_secret[i]);
		buf_free(p->bytes_secret[i]);
	}
}
