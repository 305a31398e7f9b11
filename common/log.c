/* Log lines. Every program. Values are escaped, so that nobody's name can forge a line. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *log_program = "pfxd";
static unsigned log_max = LOG_LEVEL_INFO;
static bool log_names = true;
static bool log_priorities;

void log_init(const char *program, unsigned level, bool names)
{
	log_program = program;
	log_max = level;
	log_names = names;
	log_priorities = getenv("JOURNAL_STREAM") != NULL;
}

/* Appends text to line, escaping what could end the value or the line. Returns the new length. */
static size_t put_escaped(char *line, size_t len, struct view text)
{
	for (size_t i = 0; i < text.len && len + 8 < LOG_LINE_MAX; i++) {
		uint8_t c = text.p[i];
		if (c < 0x20 || c == 0x7f)
			len += (size_t)snprintf(line + len, LOG_LINE_MAX - len, "\\x%02x", c);
		else if (c == '"' || c == '\\')
			line[len++] = '\\', line[len++] = (char)c;
		else
			line[len++] = (char)c;
	}
	return len;
}

void log_event(enum log_level level, const struct log_field *fields, const char *format, ...)
{
	char line[LOG_LINE_MAX], sentence[LOG_LINE_MAX / 2];
	if (level > log_max)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(sentence, sizeof sentence, format, args);
	va_end(args);
	size_t len = log_priorities ? (size_t)snprintf(line, sizeof line, "<%d>", (int)level) : 0;
	len += (size_t)snprintf(line + len, sizeof line - len, "%s: ", log_program);
	for (const char *p = sentence; *p && len + 8 < LOG_LINE_MAX; p++)
		line[len++] = (unsigned char)*p < 0x20 ? ' ' : *p;
	for (; fields && fields->name; fields++) {
		size_t need = strlen(fields->name) + 4;
		if (fields->value.len == 0 || (fields->person && !log_names) || len + need + 8 >= LOG_LINE_MAX)
			continue;
		len += (size_t)snprintf(line + len, sizeof line - len, " %s=\"", fields->name);
		len = put_escaped(line, len, fields->value);
		line[len++] = '"';
	}
	line[len++] = '\n';
	/* One write a line: lines of several processes do not mix. There is nobody to tell when it fails. */
	ssize_t written = write(STDERR_FILENO, line, len);
	(void)written;
}
