/* Text that comes from outside and text that goes there. Every program. */
#include "text.h"

#include "encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

size_t text_sequence(struct view v, uint32_t *ret)
{
	const uint8_t *p = v.p;
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
	if (len == 0 || len > v.len)
		return 0;
	uint32_t code = len == 1 ? p[0] : p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret = code;
	return len;
}

bool text_is_utf8(struct view v)
{
	while (v.len > 0) {
		uint32_t code;
		size_t len = text_sequence(v, &code);
		if (len == 0)
			return false;
		v = view_of(v.p + len, v.len - len);
	}
	return true;
}

static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

bool text_is_clean(struct view v)
{
	while (v.len > 0) {
		uint32_t code;
		size_t len = text_sequence(v, &code);
		if (len == 0 || is_control(code))
			return false;
		v.p += len;
		v.len -= len;
	}
	return true;
}

void text_make_clean(char *text)
{
	while (*text) {
		uint32_t code;
		size_t len = text_sequence(view_text(text), &code);
		bool clean = len > 0 && !is_control(code);
		for (size_t i = 0; i < (len ? len : 1); i++, text++)
			if (!clean)
				*text = '?';
	}
}

bool text_copy(struct view v, char *ret, size_t size)
{
	if (v.len >= size || (v.len && memchr(v.p, 0, v.len)))
		return false;
	if (v.len)
		memcpy(ret, v.p, v.len);
	ret[v.len] = '\0';
	return true;
}

void uuid_make(char ret[static UUID_TEXT + 1])
{
	uint8_t b[16];
	if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
		abort(); /* the kernel promises this for so few bytes */
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	char hex[2 * sizeof b + 1];
	hex_encode(view_of(b, sizeof b), hex);
	snprintf(ret, UUID_TEXT + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

bool uuid_is_valid(struct view v)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	if (v.len != UUID_TEXT)
		return false;
	for (size_t i = 0; i < UUID_TEXT; i++) {
		uint8_t c = v.p[i];
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
		if (form[i] == '-' ? c != '-' : !hex)
			return false;
	}
	return true;
}

int64_t now_seconds(void)
{
	return (int64_t)time(NULL);
}

void time_format(int64_t seconds, char ret[static TIME_TEXT + 1])
{
	const int64_t YEAR_0000 = -62167219200, YEAR_9999_ENDS = 253402300799;
	time_t t = (time_t)(seconds < YEAR_0000 ? YEAR_0000 : seconds > YEAR_9999_ENDS ? YEAR_9999_ENDS : seconds);
	struct tm tm;
	gmtime_r(&t, &tm);
	snprintf(ret, TIME_TEXT + 1, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)(tm.tm_year + 1900) % 10000,
		 (unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100,
		 (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

bool number_parse(struct view v, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;
	if (v.len == 0 || v.len > 20)
		return false;
	for (size_t i = 0; i < v.len; i++) {
		unsigned digit = (unsigned)v.p[i] - '0';
		if (digit > 9 || n > (UINT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	if (n > max)
		return false;
	*ret = n;
	return true;
}

void number_grouped(uint64_t number, char ret[static NUMBER_GROUPED_MAX])
{
	char digits[24];
	int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
	for (int i = 0; i < count; i++) {
		if (i > 0 && (count - i) % 3 == 0)
			*ret++ = ',';
		*ret++ = digits[i];
	}
	*ret = '\0';
}
