/* Log lines. Every program. Values are escaped, so that nobody's name can forge a line. */
#include "log.h"

#include "text.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { END_BYTES = 8 }; /* kept free for a last escape or quote, and the line's end */

static const struct {
	unsigned number;
	enum log_level level;
	const char *message_id, *sentence;
} events[EVENT_COUNT] = {
	[EVENT_NONE] = { 0, LOG_LEVEL_DEBUG, NULL, NULL },
#define E(name, number, level, id, sentence, fields) [EVENT_##name] = { number, LOG_LEVEL_##level, id, sentence },
	EVENTS(E)
#undef E
};

static const char *log_program = "pfxd";
static atomic_uint log_max = LOG_LEVEL_INFO;
static atomic_bool log_names = true;
static bool log_priorities;
static log_sink *log_to;

void log_init(const char *program, unsigned level, bool names)
{
	log_program = program;
	log_priorities = log_is_journal();
	log_set(level, names);
}

void log_set(unsigned level, bool names)
{
	atomic_store(&log_max, level);
	atomic_store(&log_names, names);
}

void log_set_sink(log_sink *sink)
{
	log_to = sink;
}

bool log_is_journal(void)
{
	unsigned long long device, inode;
	char more;
	struct stat s;
	const char *stream = getenv("JOURNAL_STREAM");
	return stream && sscanf(stream, "%llu:%llu%c", &device, &inode, &more) == 2 &&
	       fstat(STDERR_FILENO, &s) == 0 && s.st_dev == device && s.st_ino == inode;
}

/* ---- lines ---- */

struct line {
	char at[LOG_LINE_MAX];
	size_t len;
};

static bool has_room(const struct line *l, size_t len)
{
	return l->len + len + END_BYTES <= LOG_LINE_MAX;
}

/* Escapes what could end the line, and what is no text: a journal shows nothing of a message that is none. */
static void put_clean(struct line *l, struct view text, bool quoted)
{
	while (text.len > 0) {
		uint32_t code = 0;
		size_t len = text_sequence(text, &code), taken = len ? len : 1;
		bool clean = len > 0 && code >= 0x20 && (code < 0x7f || code >= 0xa0);
		bool marked = quoted && (code == '"' || code == '\\');
		if (!has_room(l, clean ? len + marked : 4 * taken))
			return;
		if (marked)
			l->at[l->len++] = '\\';
		for (size_t i = 0; i < taken; i++)
			if (clean)
				l->at[l->len++] = (char)text.p[i];
			else
				l->len += (size_t)snprintf(l->at + l->len, 5, "\\x%02x", text.p[i]);
		text = view_of(text.p + taken, text.len - taken);
	}
}

static void put_text(struct line *l, const char *text)
{
	put_clean(l, view_text(text), false);
}

bool log_next_value(const struct log_field *field, struct view *rest, struct view *ret)
{
	if (rest->len == 0)
		return false;
	const uint8_t *space = field->kind == LOG_WORDS ? memchr(rest->p, ' ', rest->len) : NULL;
	size_t len = space ? (size_t)(space - rest->p) : rest->len, taken = space ? len + 1 : len;
	*ret = view_of(rest->p, len);
	*rest = view_of(rest->p + taken, rest->len - taken);
	return true;
}

static void put_field(struct line *l, const struct log_field *field)
{
	struct view rest = field->value, value;
	while (log_next_value(field, &rest, &value)) {
		if (!has_room(l, strlen(field->name) + END_BYTES))
			return;
		put_text(l, " ");
		put_text(l, field->name);
		put_text(l, "=\"");
		put_clean(l, value, true);
		l->at[l->len++] = '"';
	}
}

/* "2001 request failure", or nothing where it is no event. */
static void put_event(struct line *l, enum event event)
{
	char number[16];
	if (event == EVENT_NONE)
		return;
	snprintf(number, sizeof number, "%u ", events[event].number);
	put_text(l, number);
	put_text(l, events[event].sentence);
}

/* text: what stands in the message for the fields; NULL: they stand there themselves. */
static void tell(enum log_level level, enum event event, const char *text, const struct log_field *fields)
{
	struct line l = { .len = 0 };
	struct log_record r = { .program = log_program, .level = level, .number = events[event].number,
				.message_id = events[event].message_id, .fields = fields,
				.names = atomic_load(&log_names) };
	if (log_priorities)
		l.len = (size_t)snprintf(l.at, sizeof l.at, "<%d>", (int)level);
	put_text(&l, log_program);
	put_text(&l, ": ");
	size_t begin = l.len;
	put_event(&l, event);
	if (text && event != EVENT_NONE)
		put_text(&l, ": ");
	if (text)
		put_text(&l, text);
	for (const struct log_field *f = text ? NULL : fields; f && f->name; f++)
		if (log_tells(&r, f))
			put_field(&l, f);
	r.message = view_of(l.at + begin, l.len - begin);
	if (log_to && log_to(&r))
		return;
	l.at[l.len++] = '\n';
	/* One write a line: lines of several processes do not mix. There is nobody to tell when it fails. */
	ssize_t written = write(STDERR_FILENO, l.at, l.len);
	(void)written;
}

/* ---- what is told ---- */

void log_event_at(enum log_level level, enum event event, const struct log_field *fields)
{
	if (level <= atomic_load(&log_max))
		tell(level, event, NULL, fields);
}

void log_event(enum event event, const struct log_field *fields)
{
	log_event_at(events[event].level, event, fields);
}

void log_detail(enum event event, const char *format, ...)
{
	char text[LOG_LINE_MAX / 2];
	va_list args;
	if (events[event].level > atomic_load(&log_max))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	const struct log_field fields[] = { { "detail", view_text(text), LOG_PLAIN }, { 0 } };
	tell(events[event].level, event, text, fields);
}

void log_line(enum log_level level, const char *format, ...)
{
	char text[LOG_LINE_MAX / 2];
	va_list args;
	if (level > atomic_load(&log_max))
		return;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	tell(level, EVENT_NONE, text, NULL);
}
