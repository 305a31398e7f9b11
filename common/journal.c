/* Sends log records to systemd-journald, in its native protocol. Front, keeper, and pfxctl where a timer runs it. Values
 * go as they are: the protocol tells their length, so that none can forge a field. */
#define SD_JOURNAL_SUPPRESS_LOCATION /* it would be this file's, always */
#include "journal.h"

#include "log.h"

#include <ctype.h>
#include <string.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

struct entry {
	struct buf *text;
	size_t ends[JOURNAL_FIELDS_MAX], count; /* of each "NAME=value" in text */
	bool full;
};

static void end_field(struct entry *e)
{
	if (e->count == JOURNAL_FIELDS_MAX)
		e->full = true;
	else
		e->ends[e->count++] = buf_len(e->text);
}

static void put_own(struct entry *e, const char *name, struct view value)
{
	buf_put_text(e->text, name);
	buf_put_u8(e->text, '=');
	buf_put(e->text, value.p, value.len);
	end_field(e);
}

static void put_number(struct entry *e, const char *name, unsigned number)
{
	buf_printf(e->text, "%s=%u", name, number);
	end_field(e);
}

/* request_id becomes PFXD_REQUEST_ID. */
static void put_field(struct entry *e, const struct log_field *field)
{
	struct view rest = field->value, value;
	while (log_next_value(field, &rest, &value)) {
		buf_put_text(e->text, "PFXD_");
		for (const char *c = field->name; *c; c++)
			buf_put_u8(e->text, (uint8_t)toupper((unsigned char)*c));
		buf_put_u8(e->text, '=');
		buf_put(e->text, value.p, value.len);
		end_field(e);
	}
}

/* The program without what stands behind its name: both fronts are pfxd-front, and their units tell them apart. */
static struct view identifier(const struct log_record *r)
{
	return view_of(r->program, strcspn(r->program, " "));
}

static void fill(struct entry *e, const struct log_record *r)
{
	put_own(e, "MESSAGE", r->message);
	put_number(e, "PRIORITY", r->level);
	put_own(e, "SYSLOG_IDENTIFIER", identifier(r));
	if (r->message_id) {
		put_own(e, "MESSAGE_ID", view_text(r->message_id));
		put_number(e, "PFXD_EVENT", r->number);
	}
	for (const struct log_field *f = r->fields; f && f->name; f++)
		if (log_tells(r, f))
			put_field(e, f);
}

static bool send(const struct log_record *r)
{
	struct iovec fields[JOURNAL_FIELDS_MAX];
	BUF text = buf_new(JOURNAL_ENTRY_MAX_BYTES);
	struct entry e = { .text = text };
	if (!text)
		return false;
	fill(&e, r);
	if (e.full || !buf_ok(text))
		return false;
	size_t begin = 0;
	for (size_t i = 0; i < e.count; begin = e.ends[i++])
		fields[i] = (struct iovec){ (void *)(uintptr_t)(buf_data(text) + begin), e.ends[i] - begin };
	return sd_journal_sendv(fields, (int)e.count) >= 0;
}

void journal_start(void)
{
	/* Where a sandbox leaves the socket out, libsystemd would drop entries without a word. */
	if (log_is_journal() && access(JOURNAL_SOCKET, W_OK) == 0)
		log_set_sink(send);
}
