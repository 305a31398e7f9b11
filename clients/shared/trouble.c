/* Troubles and the disarming of text that comes from a server. Both clients. Writes to no file by itself. */
#include "trouble.h"

#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TROUBLE_TEXT_MAX = 1200, TROUBLE_CODE_MAX = 64 };

static char text[TROUBLE_TEXT_MAX];
static char code[TROUBLE_CODE_MAX];

static const char *const usual_codes[] = {
	[EXIT_DONE] = "done",         [EXIT_REFUSED] = "failed",   [EXIT_USAGE] = "usage",
	[EXIT_LATER] = "unreachable", [EXIT_LOCAL] = "local_file", [EXIT_PARTLY] = "partly",
};

const char exit_status_help[] =
	"EXIT STATUS\n"
	"    0  done\n"
	"    1  the server refused, or what it sent can not be used\n"
	"    2  the command line or the configuration is wrong\n"
	"    3  the server can not be reached, or can not do it now: try again later\n"
	"    4  a file or folder on this machine can not be read or written\n"
	"    5  partly done: some of several failed, and each was named\n";

__attribute__((format(printf, 3, 0)))
static void record(enum exit_status how, const char *word, const char *format, va_list args)
{
	char new_text[TROUBLE_TEXT_MAX]; /* an argument may be the old text */
	vsnprintf(new_text, sizeof new_text, format, args);
	if (word != code) /* else it stays */
		snprintf(code, sizeof code, "%s", word && word[0] ? word : usual_codes[how]);
	memcpy(text, new_text, sizeof text);
	text_disarm(text);
	text_disarm(code);
}

int trouble(enum exit_status how, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	record(how, NULL, format, args);
	va_end(args);
	return (int)how;
}

int trouble_coded(enum exit_status how, const char *word, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	record(how, word, format, args);
	va_end(args);
	return (int)how;
}

const char *trouble_text(void)
{
	return text;
}

const char *trouble_code(void)
{
	return code;
}

static bool is_harmless(uint32_t point)
{
	bool control = point < 0x20 || (point >= 0x7f && point < 0xa0);
	bool direction = point == 0x061c || point == 0x200e || point == 0x200f ||
			 (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
	return !control && !direction;
}

void text_disarm(char *at)
{
	while (*at) {
		uint32_t point = 0;
		size_t len = text_sequence(view_text(at), &point);
		if (len == 0 || !is_harmless(point)) {
			len = len ? len : 1;
			memset(at, '?', len);
		}
		at += len;
	}
}
