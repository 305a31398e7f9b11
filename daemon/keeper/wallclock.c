/* Watches the clock. Keeper only. The latest time on record is kept in memory; it goes into the database once records
 * are made that are earlier, so that it can not be forgotten by a restart. */
#include "wallclock.h"

#include "audit.h"
#include "encode.h"
#include "protocol.h"
#include "seal.h"
#include "serve.h"
#include "text.h"

#include <stdio.h>
#include <time.h>

#define CLOCK_NAME "clock"

enum { MARKS_MAX_BYTES = 64 };

/* mark: the latest time on record. before: the time before a jump that nobody accepted yet, or 0. */
struct marks {
	int64_t mark, before;
};

/* ---- in the database ---- */

static int marks_mac(const struct keyring *keyring, struct view marks, uint8_t ret[static HMAC_BYTES])
{
	BUF b = buf_new(2 * MARKS_MAX_BYTES);
	if (!b)
		return fail(FAULT_UNAVAILABLE, "no memory for the clock's marks");
	buf_put_bytes(b, view_text("clock marks"));
	buf_put_bytes(b, marks);
	return hmac_make(keyring_rows_key(keyring), b, ret);
}

/* What was not written under this keyring counts as nothing. */
static int read_marks(const struct keyring *keyring, struct connection *c, struct marks *ret)
{
	STATEMENT s = NULL;
	uint8_t mac[HMAC_BYTES];
	struct view marks;
	uint64_t mark, before;
	*ret = (struct marks){ 0 };
	int rc = statement_get(c, SQL_meta_get, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, view_text(CLOCK_NAME));
	rc = statement_step(s);
	if (rc <= 0)
		return rc;
	struct view value = column_view(s, 0);
	if (!view_get(&value, 16, &marks))
		return 0;
	rc = marks_mac(keyring, marks, mac);
	if (rc == 0 && view_equal_secret(value, view_of(mac, sizeof mac)) && view_get_u64(&marks, &mark) &&
	    view_get_u64(&marks, &before))
		*ret = (struct marks){ (int64_t)mark, (int64_t)before };
	return rc;
}

static int write_marks(const struct keyring *keyring, struct connection *c, struct marks marks)
{
	STATEMENT s = NULL;
	uint8_t mac[HMAC_BYTES];
	BUF value = buf_new(MARKS_MAX_BYTES);
	if (!value)
		return fail(FAULT_UNAVAILABLE, "no memory for the clock's marks");
	buf_put_u64(value, (uint64_t)marks.mark);
	buf_put_u64(value, (uint64_t)marks.before);
	int rc = marks_mac(keyring, buf_view(value), mac);
	if (rc == 0)
		rc = statement_get(c, SQL_meta_put, &s);
	if (rc < 0)
		return rc;
	buf_put(value, mac, sizeof mac);
	bind_text(s, 1, view_text(CLOCK_NAME));
	bind_blob(s, 2, buf_view(value));
	return statement_run(s);
}

static int last_record(struct connection *c, int64_t *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_audit_last_at, &s);
	if (rc == 0)
		rc = statement_step(s);
	*ret = rc > 0 ? column_number(s, 0) : 0;
	return rc < 0 ? rc : 0;
}

/* ---- marks ---- */

/* A record that is earlier than another one: from now on the last record does not tell the latest time. */
int wallclock_record(struct keeper *k, struct connection *c, int64_t at)
{
	struct marks stored;
	int64_t mark = atomic_load(&k->clock_mark);
	if (at >= mark) {
		atomic_store(&k->clock_mark, at);
		return 0;
	}
	int rc = read_marks(k->keyring, c, &stored);
	if (rc < 0 || stored.mark >= mark)
		return rc;
	stored.mark = mark;
	return write_marks(k->keyring, c, stored);
}

static int keep_before(struct connection *c, void *arg)
{
	struct keeper *k = arg;
	struct marks stored;
	int rc = read_marks(k->keyring, c, &stored);
	if (rc < 0)
		return rc;
	stored.before = atomic_load(&k->clock_before);
	return write_marks(k->keyring, c, stored);
}

int wallclock_inherit(struct keeper *k, struct connection *c, const struct keeper *from)
{
	struct marks stored;
	int64_t mark, known = atomic_load(&from->clock_mark);
	int rc = last_record(c, &mark);
	if (rc == 0)
		rc = read_marks(k->keyring, c, &stored);
	if (rc < 0)
		return rc;
	mark = stored.mark > mark ? stored.mark : mark;
	atomic_store(&k->clock_mark, known > mark ? known : mark);
	return 0;
}

/* If it can not be written now the next look does it. */
static void suspect(struct keeper *k, int64_t before)
{
	atomic_store(&k->clock_before, before);
	k->clock_unsaved = db_write(k->db, keep_before, k) < 0;
}

int wallclock_read(struct keeper *k)
{
	READER c = NULL;
	struct marks stored = { 0 };
	int64_t last = 0;
	int rc = db_read(k->db, &c);
	if (rc == 0)
		rc = last_record(c, &last);
	if (rc == 0)
		rc = read_marks(k->keyring, c, &stored);
	db_read_done(c);
	c = NULL;
	if (rc < 0)
		return rc;
	int64_t mark = last > stored.mark ? last : stored.mark;
	atomic_store(&k->clock_mark, mark);
	atomic_store(&k->clock_before, stored.before);
	if (!stored.before && mark > 0 && now_seconds() - mark > CLOCK_GAP_SECONDS)
		suspect(k, mark);
	return 0;
}

/* ---- looking ---- */

int wallclock_check(const struct keeper *k)
{
	char now[TIME_TEXT + 1], mark[TIME_TEXT + 1];
	int64_t at = now_seconds(), latest = atomic_load(&k->clock_mark);
	if (at >= latest - CLOCK_BEHIND_SECONDS)
		return 0;
	time_format(at, now);
	time_format(latest, mark);
	return fail(FAULT_UNAVAILABLE,
		    "the clock of the server says %s, and records were made until %s: nothing is issued and no token "
		    "is taken until it is set, or accepted with pfxctl clock accept", now, mark);
}

static int64_t boot_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec;
}

/* By how much the clock went further than the time that passed since the last look. */
static void look_for_jump(struct keeper *k, int64_t now)
{
	int64_t passed = boot_seconds(), last = k->clock_looked_at;
	int64_t ahead = last ? now - last - (passed - k->clock_looked_boot) : 0;
	k->clock_looked_at = now;
	k->clock_looked_boot = passed;
	if (ahead > CLOCK_JUMP_SECONDS && !atomic_load(&k->clock_before))
		suspect(k, last);
}

/* The sentence on a jump; "" if there was none. */
static void put_doubt(const struct keeper *k, char ret[static FAULT_DETAIL_MAX])
{
	char was[TIME_TEXT + 1], now[TIME_TEXT + 1];
	int64_t before = atomic_load(&k->clock_before);
	ret[0] = '\0';
	if (!before)
		return;
	time_format(before, was);
	time_format(now_seconds(), now);
	snprintf(ret, FAULT_DETAIL_MAX, "the clock of the server went from %s to %s at once, and may be "
					"wrong", was, now);
}

int wallclock_settled(const struct keeper *k)
{
	char doubt[FAULT_DETAIL_MAX];
	put_doubt(k, doubt);
	int rc = wallclock_check(k);
	return rc == 0 && doubt[0] ? fail(FAULT_UNAVAILABLE, "%s: set it, or accept it with pfxctl clock "
							     "accept", doubt) : rc;
}

int wallclock_look(struct keeper *k)
{
	int64_t now = now_seconds(), before = atomic_load(&k->clock_before);
	look_for_jump(k, now);
	if (before && now - before < CLOCK_JUMP_SECONDS) /* it was set back */
		suspect(k, 0);
	else if (k->clock_unsaved)
		suspect(k, before);
	return wallclock_settled(k);
}

int wallclock_expired(const struct keeper *k, enum fault fault, const char *sentence)
{
	char doubt[FAULT_DETAIL_MAX];
	put_doubt(k, doubt);
	return fail(fault, "%s%s%s", sentence, doubt[0] ? "; but " : "", doubt);
}

/* ---- accepting ---- */

/* The record goes by the old mark, and so writes it: what is accepted is written after it. */
static int accept_now(struct connection *c, void *arg)
{
	struct keeper *k = arg;
	char was[TIME_TEXT + 1];
	const struct marks accepted = { .mark = now_seconds() };
	time_format(atomic_load(&k->clock_mark), was);
	const struct audit_record r = { .event = "clock.accept", .actor = view_text("service"),
					.detail = view_text(was) };
	int rc = audit_append(k, c, &r);
	if (rc == 0)
		rc = write_marks(k->keyring, c, accepted);
	if (rc == 0)
		atomic_store(&k->clock_mark, accepted.mark);
	return rc;
}

int answer_clock_accept(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	struct msg_nothing m;
	int64_t mark = atomic_load(&k->clock_mark);
	int rc = read_nothing(fields, &m);
	if (rc == 0)
		rc = db_write(k->db, accept_now, k);
	if (rc == 0)
		atomic_store(&k->clock_before, 0);
	else if (atomic_load(&k->clock_mark) < mark) /* it was not committed */
		atomic_store(&k->clock_mark, mark);
	const struct msg_clock message = { .now = now_seconds(), .mark = mark };
	return rc < 0 ? rc : put_clock(answer, &message);
}
