/* One line an event, on standard error: a sentence, then key="value" fields. Under systemd each line begins with its
 * priority, as sd-daemon(3) has it. Never a secret; and where `names` is off, no field that names a person. */
#ifndef PFXD_LOG_H
#define PFXD_LOG_H

#include "buf.h"

enum log_level { LOG_LEVEL_CRITICAL = 2, LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_NOTICE = 5,
		 LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

struct log_field {
	const char *name;  /* NULL ends the list */
	struct view value; /* an empty one is left out */
	bool person;       /* names a person: left out where log.names is 0 */
};

/* program is kept, not copied. Until it is called everything from level 6 up to 2 is written. */
void log_init(const char *program, unsigned level, bool names);

/* Writes one line with at most LOG_LINE_MAX bytes. fields may be NULL. */
enum { LOG_LINE_MAX = 2048 };
void log_event(enum log_level level, const struct log_field *fields, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_line(level, ...) log_event((level), NULL, __VA_ARGS__)

#endif
