/* Answers VERIFY_IDENTITIES. Keeper only. Takes its time, so that nobody who pulls waits for it: one identity at a
 * time, with a pause after it, no transaction open meanwhile, and an opener of its own. What was unsealed is wiped at
 * once. */
#include "identities.h"

#include "copies.h"
#include "encode.h"
#include "fault.h"
#include "frame.h"
#include "log.h"
#include "openers.h"
#include "sealed.h"
#include "serve.h"
#include "users.h"
#include "wipe.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

enum {
	ID_TOLD_MAX = 64,       /* bytes of the id of a row that somebody may have made */
	ID_MAX_BYTES_STORED = 1000000000, /* of any text in SQLite */
	WORK_MS = 10,           /* so much, and then a pause of PAUSES times as long */
	PAUSES = 2,
	TRIES = 2,              /* before an opener's word is believed that a key does not fit */
	OPENER_TRIES = 20,      /* where none can be had */
	OPENER_PAUSE_MS = 1000,
	LOGGED_MAX = 20,        /* identities that are told in the log one by one */
	RESULT_MAX = 96,
};

#define RESULT_NAME "verified"

struct verifying {
	struct keeper *k;       /* whose openers are asked */
	struct keeper *of;      /* whose identities: k itself, or a copy's */
	const char *of_what;
	struct progress progress;
	bool only_unseal;       /* at once, and without an opener */
	uint64_t total, done, readable;
	bool begun;
	struct buf *last_id;    /* of the one that was looked at last, once it has begun */
	struct buf *unreadable; /* of msg_string */
	unsigned told;
};

/* One identity as it is stored: nothing of it is opened yet. */
struct stored {
	struct row_identity row;
	int row_rc;             /* why the row can not be believed */
	char row_why[FAULT_DETAIL_MAX];
	struct sealed sealed;
};

static void stored_done(struct stored *s)
{
	row_identity_done(&s->row);
	sealed_done(&s->sealed);
}
#define STORED __attribute__((cleanup(stored_done))) struct stored

/* ---- reading one ---- */

/* The next one after the last. 1: there is one; 0: there is none. */
static int fetch(struct verifying *v, struct stored *ret)
{
	READER c = NULL;
	STATEMENT s = NULL;
	int rc = db_read(v->of->db, &c);
	if (rc == 0)
		rc = statement_get(c, SQL_identity_from, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, buf_view(v->last_id));
	rc = statement_step(s);
	if (rc > 0 && v->begun && view_equal(column_view(s, 0), buf_view(v->last_id)))
		rc = statement_step(s);
	if (rc <= 0)
		return rc;
	v->begun = true;
	ret->row_rc = load_identity(v->of->keyring, s, &ret->row);
	if (ret->row_rc == 0)
		ret->row_rc = sealed_read(s, columns_identity + 1, SEALED_ALL, &ret->sealed);
	if (ret->row_rc < 0)
		strcpy(ret->row_why, fault_detail());
	/* However long it is, what comes after it is to be found. The statement has the last one until it is done. */
	struct view id = column_view(s, 0);
	BUF copy = buf_new(id.len + 1);
	if (copy)
		buf_put(copy, id.p, id.len);
	statement_done(s);
	s = NULL;
	buf_reset(v->last_id);
	if (copy)
		buf_put(v->last_id, buf_data(copy), buf_len(copy));
	return copy && buf_ok(copy) && buf_ok(v->last_id) ? 1 : fail(FAULT_UNAVAILABLE, "no memory for an identity's id");
}

/* ---- opening it ---- */

static int put_request(const struct row_identity *row, const struct opened *opened, struct buf *request_secret)
{
	const struct msg_check_identity m = {
		.sha256 = row->sha256,
		.modern_secret = buf_view(opened->parts_secret[SEAL_MODERN]),
		.legacy_secret = buf_view(opened->parts_secret[SEAL_LEGACY]),
	};
	frame_begin(request_secret, VERB_CHECK_IDENTITY);
	return put_check_identity(request_secret, &m);
}

/* An opener may end for other reasons than what it reads: that a key does not fit must be said twice. Where there is no
 * opener it is waited for, for an identity is not unreadable because a process could not be started. */
static int ask_opener(struct verifying *v, struct buf *request_secret)
{
	int rc = -FAULT_UNAVAILABLE, said = 0;
	for (int try = 0; try < OPENER_TRIES && said < TRIES && rc < 0; try++) {
		if (try > 0 && rc == -FAULT_UNAVAILABLE)
			poll(NULL, 0, OPENER_PAUSE_MS);
		int gone = progress_tell(&v->progress, v->done, v->total);
		if (gone < 0)
			return gone;
		rc = openers_check_identity(v->k->openers, request_secret);
		said += rc < 0 && rc != -FAULT_UNAVAILABLE;
	}
	/* UNAVAILABLE would end the verification, anything else is about this identity. */
	return rc;
}

/* TAMPERED or what the opener said: this one can not be read. UNAVAILABLE: it is not known. */
static int open_stored(struct verifying *v, const struct stored *stored)
{
	OPENED opened = { { NULL } };
	BUF request_secret = buf_new(2 * STORED_PKCS12_MAX_BYTES + KIB);
	if (!request_secret)
		return fail(FAULT_UNAVAILABLE, "no memory for an identity");
	if (stored->row_rc < 0)
		return fail((enum fault)-stored->row_rc, "%s", stored->row_why);
	int rc = sealed_open(v->of->keyring, &stored->row, &stored->sealed, &opened);
	if (rc == 0 && !v->only_unseal)
		rc = put_request(&stored->row, &opened, request_secret);
	return rc < 0 || v->only_unseal ? rc : ask_opener(v, request_secret);
}

/* ---- telling ---- */

/* Whose it is, for root: a name, where the user's record can be believed. */
static void owner_of(struct verifying *v, const struct stored *stored, char ret[static UPN_MAX_BYTES + 1])
{
	READER c = NULL;
	ROW(user, user);
	ret[0] = '\0';
	if (stored->row_rc == 0 && db_read(v->of->db, &c) == 0 &&
	    users_get(v->of->keyring, c, stored->row.user_id, &user) == 0)
		text_copy(user.upn, ret, UPN_MAX_BYTES + 1);
}

static void log_unreadable(const struct verifying *v, const char *detail)
{
	const struct log_field fields[] = {
		{ "of", view_text(v->of_what), LOG_PLAIN }, { "detail", view_text(detail), LOG_PLAIN }, { 0 },
	};
	log_event(EVENT_UNREADABLE, fields);
}

static int tell_unreadable(struct verifying *v, const struct stored *stored)
{
	char detail[FAULT_DETAIL_MAX + ID_TOLD_MAX + 16], line[FAULT_DETAIL_MAX + ID_TOLD_MAX + UPN_MAX_BYTES + 80];
	char upn[UPN_MAX_BYTES + 1], sha1[41] = "";
	snprintf(detail, sizeof detail, "identity %.*s: %s",
		 (int)(buf_len(v->last_id) < ID_TOLD_MAX ? buf_len(v->last_id) : ID_TOLD_MAX),
		 (const char *)buf_data(v->last_id), fault_detail());
	if (stored->row_rc == 0)
		hex_encode(view_of(stored->row.sha1.p, stored->row.sha1.len < 20 ? stored->row.sha1.len : 20), sha1);
	owner_of(v, stored, upn);
	snprintf(line, sizeof line, "%s%s%s%s%s", upn, *upn ? ", " : "", sha1, *sha1 ? ", " : "", detail);
	if (++v->told <= LOGGED_MAX)
		log_unreadable(v, detail);
	if (v->told == LOGGED_MAX + 1)
		log_unreadable(v, "and more, which are not logged: pfxctl verify names them");
	if (v->told == UNREADABLE_MAX + 1) {
		const struct msg_string more = { view_text("and more: only the first ones are named") };
		return put_string(v->unreadable, &more);
	}
	if (v->told > UNREADABLE_MAX)
		return 0;
	/* It may hold what somebody else put into a column. */
	text_make_clean(line);
	const struct msg_string string = { view_text(line) };
	return put_string(v->unreadable, &string);
}

static void log_verified(const struct verifying *v)
{
	char readable[24], total[24];
	snprintf(readable, sizeof readable, "%llu", (unsigned long long)v->readable);
	snprintf(total, sizeof total, "%llu", (unsigned long long)v->done);
	const struct log_field fields[] = {
		{ "readable", view_text(readable), LOG_PLAIN },
		{ "total", view_text(total), LOG_PLAIN },
		{ "of", view_text(v->of_what), LOG_PLAIN },
		{ 0 },
	};
	log_event(EVENT_VERIFIED, fields);
}

/* ---- all of them ---- */

static int count(struct verifying *v)
{
	struct inventory found;
	int rc = copy_count(v->of->db, &found);
	v->total = found.identities;
	return rc;
}

static int verify_one(struct verifying *v, const struct stored *stored)
{
	int rc = open_stored(v, stored);
	if (rc == -FAULT_UNAVAILABLE)
		return rc;
	v->done++;
	v->readable += rc == 0;
	return rc < 0 ? tell_unreadable(v, stored) : 0;
}

/* Some may come or go meanwhile: what is told in the end is how many were looked at. */
static int verify_next(struct verifying *v, bool *ret_more)
{
	STORED stored = { .row_rc = 0 };
	int rc = fetch(v, &stored);
	*ret_more = rc > 0;
	return rc > 0 ? verify_one(v, &stored) : rc;
}

static int verify_all(struct verifying *v)
{
	bool more = true;
	int64_t began_ms = clock_ms();
	int rc = count(v);
	progress_begin(&v->progress, STAGE_VERIFYING);
	while (rc == 0 && more) {
		rc = progress_tell(&v->progress, v->done, v->total > v->done ? v->total : v->done);
		if (rc == 0)
			rc = verify_next(v, &more);
		int64_t worked_ms = clock_ms() - began_ms;
		if (worked_ms < WORK_MS || v->only_unseal)
			continue;
		wipe_traces();
		poll(NULL, 0, (int)(worked_ms * PAUSES));
		began_ms = clock_ms();
	}
	if (!v->only_unseal)
		openers_check_done(v->k->openers);
	return rc;
}

int identities_unseal_all(struct keeper *of, struct progress *p, uint64_t *ret_unreadable)
{
	BUF last_id = buf_new(ID_MAX_BYTES_STORED);
	BUF unreadable = buf_new(LIST_MAX_BYTES);
	struct verifying v = { .k = of, .of = of, .of_what = "a backup", .progress = *p, .only_unseal = true,
			       .last_id = last_id, .unreadable = unreadable };
	int rc = last_id && unreadable ? verify_all(&v) : fail(FAULT_UNAVAILABLE, "no memory for a list");
	*ret_unreadable = v.done - v.readable;
	return rc;
}

/* ---- what it found, kept ---- */

static void publish(struct keeper *k, int64_t at, uint64_t total, uint64_t readable)
{
	atomic_store(&k->verified, total);
	atomic_store(&k->readable, readable);
	atomic_store(&k->verified_at, at);
}

static int store_result(struct connection *c, void *arg)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_meta_put, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, view_text(RESULT_NAME));
	bind_blob(s, 2, view_text(arg));
	return statement_run(s);
}

/* A result that can not be stored is told none the less. */
static void keep_result(struct verifying *v, int64_t at)
{
	char result[RESULT_MAX];
	snprintf(result, sizeof result, "%" PRId64 " %" PRIu64 " %" PRIu64, at, v->done, v->readable);
	publish(v->k, at, v->done, v->readable);
	if (db_write(v->k->db, store_result, result) < 0)
		log_line(LOG_LEVEL_DEBUG, "the result of the verification is not kept: %s", fault_detail());
}

int identities_recall(struct keeper *k)
{
	READER c = NULL;
	STATEMENT s = NULL;
	char result[RESULT_MAX] = "";
	int64_t at;
	uint64_t total, readable;
	int rc = db_read(k->db, &c);
	if (rc == 0)
		rc = statement_get(c, SQL_meta_get, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, view_text(RESULT_NAME));
	rc = statement_step(s);
	if (rc > 0 && text_copy(column_view(s, 0), result, sizeof result) &&
	    sscanf(result, "%" SCNd64 " %" SCNu64 " %" SCNu64, &at, &total, &readable) == 3)
		publish(k, at, total, readable);
	return rc < 0 ? rc : 0;
}

/* ---- the answer ---- */

/* A file that was handed over is looked at as one that is to be restored, and its identities are then verified. */
static int open_file(struct verifying *v, uint64_t bytes, struct copy *copy)
{
	uint8_t sha256[32];
	int rc = copy_need_room(v->k, bytes);
	if (rc == 0)
		rc = stream_receive(&v->progress, bytes, copy->path, sha256);
	if (rc == 0)
		rc = copy_open(copy, "this file", &v->progress);
	v->of = &copy->opened;
	v->of_what = "a backup";
	return rc;
}

static int put_result(struct verifying *v, int64_t at, struct buf *answer)
{
	const struct msg_verified m = { .total = v->done, .readable = v->readable, .at = at,
					.unreadable = buf_view(v->unreadable) };
	return put_verified(answer, &m);
}

int answer_verify_identities(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	COPY copy = { .taken = NULL };
	struct msg_verify m;
	BUF last_id = buf_new(ID_MAX_BYTES_STORED);
	BUF unreadable = buf_new(LIST_MAX_BYTES);
	struct verifying v = { .k = k, .of = k, .of_what = "the database", .progress = { .fd = who->fd },
			       .last_id = last_id, .unreadable = unreadable };
	int rc = last_id && unreadable ? read_verify(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory for a list");
	if (rc == 0)
		rc = copy_begin_verify(k, &copy);
	if (rc == 0 && m.bytes > 0)
		rc = open_file(&v, m.bytes, &copy);
	if (rc == 0)
		rc = verify_all(&v);
	if (rc < 0)
		return rc;
	int64_t at = now_seconds();
	log_verified(&v);
	if (m.bytes == 0)
		keep_result(&v, at);
	return put_result(&v, at, answer);
}
