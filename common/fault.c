/* The table of errors, read out. Every program; knows no input but its own format strings. */
#include "fault.h"

#include "text.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
	int status;
	const char *code;
	int level;
	const char *title;
} table[FAULT_COUNT] = {
	[FAULT_OK] = { 200, "ok", 7, "Done" },
#define F(name, status, code, level, title) [FAULT_##name] = { status, code, level, title },
	FAULTS(F)
#undef F
};

static _Thread_local char detail[FAULT_DETAIL_MAX];

/* Cuts at a whole character: a sentence that ends in half a UTF-8 sequence would make the JSON around it invalid. */
static void trim_partial_utf8(char *text, size_t len)
{
	size_t i = len;
	while (i > 0 && ((unsigned char)text[i - 1] & 0xc0) == 0x80)
		i--;
	if (i > 0 && (unsigned char)text[i - 1] >= 0xc0)
		text[i - 1] = '\0';
}

void fault_say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int len = vsnprintf(detail, sizeof detail, format, args);
	va_end(args);
	if (len >= (int)sizeof detail)
		trim_partial_utf8(detail, sizeof detail - 1);
	text_make_clean(detail);
}

const char *fault_detail(void)
{
	return detail;
}

static enum fault known(int code)
{
	return code <= 0 && -code < FAULT_COUNT ? (enum fault)-code : FAULT_INTERNAL;
}

int fault_status(int code)
{
	return table[known(code)].status;
}

int fault_level(int code)
{
	return table[known(code)].level;
}

const char *fault_code(int code)
{
	return fault_is_public(code) ? table[known(code)].code : "internal";
}

const char *fault_title(int code)
{
	return fault_is_public(code) ? table[known(code)].title : table[FAULT_INTERNAL].title;
}

int fault_is_public(int code)
{
	return known(code) < FAULT_BAD_FRAME;
}

int fault_is_own(int code)
{
	return known(code) >= FAULT_INTERNAL;
}
