/* What happened, told as events: a number and its sentence (events.h), then key="value" fields. On standard error as
 * one line each; where a sink is set, to that. Where standard error is the journal, a line begins with its priority, as
 * sd-daemon(3) has it. Never a secret; and where `names` is off, no field that names a person. */
#ifndef PFXD_LOG_H
#define PFXD_LOG_H

#include "buf.h"
#include "events.h"

enum log_level { LOG_LEVEL_CRITICAL = 2, LOG_LEVEL_ERROR = 3, LOG_LEVEL_WARNING = 4, LOG_LEVEL_NOTICE = 5,
		 LOG_LEVEL_INFO = 6, LOG_LEVEL_DEBUG = 7 };

enum log_kind {
	LOG_PLAIN,
	LOG_PERSON, /* names a person, or may: left out where log.names is 0 */
	LOG_WORDS,  /* words with a space between: a field of this name for each */
};

struct log_field {
	const char *name;  /* lower-case letters and underscores; NULL ends the list */
	struct view value; /* an empty one is left out */
	enum log_kind kind;
};

/* What a sink gets. */
struct log_record {
	const char *program;
	enum log_level level;
	unsigned number;        /* 0: no event */
	const char *message_id; /* 32 hexadecimal digits; NULL: no event */
	struct view message;    /* the line without program and end: clean UTF-8 */
	const struct log_field *fields;
	bool names;
};

/* program is kept, not copied. Until it is called everything from level 6 up to 2 is written. */
void log_init(const char *program, unsigned level, bool names);
/* Changes these two; other threads may log meanwhile. */
void log_set(unsigned level, bool names);

/* Where records go from now on; before there are threads. A sink that returns false has not taken the record, which is
 * then written as a line. */
typedef bool log_sink(const struct log_record *record);
void log_set_sink(log_sink *sink);
/* Whether standard error is a stream to the journal (systemd.exec(5), JOURNAL_STREAM). */
bool log_is_journal(void);

/* Tells the event at its own level. fields may be NULL. A line has at most LOG_LINE_MAX bytes: fields that do not fit
 * are left out of it. */
enum { LOG_LINE_MAX = 2048 };
void log_event(enum event event, const struct log_field *fields);
/* The same at another level. */
void log_event_at(enum log_level level, enum event event, const struct log_field *fields);
/* The same with one field `detail`, a text of the service's own: it reads "sentence: text". Never a person's name. */
void log_detail(enum event event, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line that is no event: for finding faults. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* For sinks. Whether the record tells this field. */
static inline bool log_tells(const struct log_record *record, const struct log_field *field)
{
	return field->value.len > 0 && (field->kind != LOG_PERSON || record->names);
}
/* Takes the next value off rest, which begins as the field's value. False when there is no more. */
bool log_next_value(const struct log_field *field, struct view *rest, struct view *ret);

#endif
