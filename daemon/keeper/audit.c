/* Writes and verifies the audit chain. Keeper only. Records hold ids and codes, never a secret. */
#include "audit.h"

#include "fault.h"
#include "protocol.h"
#include "rows.h"
#include "seal.h"
#include "text.h"
#include "wallclock.h"

#include <stdarg.h>
#include <stdio.h>

enum {
	RECORD_MAX_BYTES = 8 * 1024,
	DIFFERENCES_MAX = 1000,
	VERIFY_PAGE = 1000, /* records read at a time */
};

struct head {
	uint64_t sequence;
	uint8_t chain[32];
};

static int head_mac(const struct keyring *keyring, const struct head *head, uint8_t ret[static 32])
{
	BUF b = buf_new(RECORD_MAX_BYTES);
	if (!b)
		return fail(FAULT_UNAVAILABLE, "no memory for the audit head");
	buf_put_bytes(b, view_text("audit head"));
	buf_put_u64(b, head->sequence);
	buf_put(b, head->chain, sizeof head->chain);
	return hmac_make(keyring_audit_key(keyring), b, ret);
}

static int head_read(const struct keyring *keyring, struct connection *c, struct head *ret)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	int rc = statement_get(c, SQL_audit_head_get, &s);
	if (rc == 0 && (rc = statement_step(s)) == 0)
		return fail(FAULT_TAMPERED, "the head of the audit chain is gone");
	if (rc < 0)
		return rc;
	struct view chain = column_view(s, 1);
	ret->sequence = (uint64_t)column_number(s, 0);
	if (chain.len != sizeof ret->chain)
		return fail(FAULT_TAMPERED, "the head of the audit chain was changed");
	memcpy(ret->chain, chain.p, sizeof ret->chain);
	rc = head_mac(keyring, ret, mac);
	if (rc == 0 && !view_equal_secret(column_view(s, 2), view_of(mac, sizeof mac)))
		rc = fail(FAULT_TAMPERED,
			  "the head of the audit chain was changed, or was not written under this keyring");
	return rc;
}

static int head_write(const struct keyring *keyring, struct connection *c, const struct head *head)
{
	uint8_t mac[32];
	STATEMENT s = NULL;
	int rc = head_mac(keyring, head, mac);
	if (rc == 0)
		rc = statement_get(c, SQL_audit_head_put, &s);
	if (rc < 0)
		return rc;
	bind_number(s, 1, (int64_t)head->sequence);
	bind_blob(s, 2, view_of(head->chain, sizeof head->chain));
	bind_blob(s, 3, view_of(mac, sizeof mac));
	return statement_run(s);
}

int audit_begin(struct keyring *keyring, struct connection *c)
{
	struct head head = { 0 };
	return head_write(keyring, c, &head);
}

/* The columns of a record in order, as texts but for the two numbers. */
struct row {
	uint64_t sequence;
	int64_t at;
	struct view event, actor, user_id, object, detail, request_id;
};

static int record_mac(const struct keyring *keyring, const uint8_t previous[static 32], const struct row *row,
		      uint8_t ret[static 32])
{
	BUF b = buf_new(RECORD_MAX_BYTES);
	if (!b)
		return fail(FAULT_UNAVAILABLE, "no memory for an audit record");
	buf_put_bytes(b, view_text("audit record"));
	buf_put(b, previous, 32);
	buf_put_u64(b, row->sequence);
	buf_put_u64(b, (uint64_t)row->at);
	buf_put_bytes(b, row->event);
	buf_put_bytes(b, row->actor);
	buf_put_bytes(b, row->user_id);
	buf_put_bytes(b, row->object);
	buf_put_bytes(b, row->detail);
	buf_put_bytes(b, row->request_id);
	if (buf_overflowed(b))
		return fail(FAULT_TAMPERED, "audit record %llu is larger than any that this service writes",
			    (unsigned long long)row->sequence);
	if (!buf_ok(b))
		return fail(FAULT_UNAVAILABLE, "no memory for an audit record");
	return hmac_make(keyring_audit_key(keyring), b, ret);
}

static int insert(struct connection *c, const struct row *row, const uint8_t mac[static 32])
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_audit_insert, &s);
	if (rc < 0)
		return rc;
	bind_number(s, 1, (int64_t)row->sequence);
	bind_number(s, 2, row->at);
	bind_text(s, 3, row->event);
	bind_text(s, 4, row->actor);
	bind_text(s, 5, row->user_id);
	bind_text(s, 6, row->object);
	bind_text(s, 7, row->detail);
	bind_text(s, 8, row->request_id);
	bind_blob(s, 9, view_of(mac, 32));
	rc = statement_run(s);
	if (rc == -FAULT_AGAIN)
		return fail(FAULT_TAMPERED, "audit record %llu is there already, past the head of the chain",
			    (unsigned long long)row->sequence);
	return rc;
}

int audit_append(struct keeper *k, struct connection *c, const struct audit_record *record)
{
	struct head head;
	if (atomic_load(&k->audit_broken))
		return fail(FAULT_UNAVAILABLE,
			    "the audit chain was found changed, so nothing can be recorded and nothing "
			    "is done: see pfxctl audit verify");
	int rc = head_read(k->keyring, c, &head);
	if (rc < 0)
		return rc;
	const struct row row = { head.sequence + 1, now_seconds(), view_text(record->event), record->actor,
				 record->user_id, record->object, record->detail, record->request_id };
	uint8_t mac[32];
	rc = record_mac(k->keyring, head.chain, &row, mac);
	if (rc == 0)
		rc = insert(c, &row, mac);
	if (rc == 0)
		rc = wallclock_record(k, c, row.at);
	if (rc < 0)
		return rc;
	head.sequence++;
	memcpy(head.chain, mac, sizeof head.chain);
	return head_write(k->keyring, c, &head);
}

int audit_length(struct keeper *k, struct connection *c, uint64_t *ret)
{
	struct head head;
	int rc = head_read(k->keyring, c, &head);
	if (rc == 0)
		*ret = head.sequence;
	return rc;
}

/* ---- verification ---- */

struct verification {
	const struct keyring *keyring;
	struct head at; /* what was verified so far */
	struct buf *differences;
	unsigned count;
};

static int differ(struct verification *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int differ(struct verification *v, const char *format, ...)
{
	char text[512];
	if (++v->count > DIFFERENCES_MAX)
		return 0;
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (v->count == DIFFERENCES_MAX)
		snprintf(text, sizeof text, "and more: only the first %d are told", DIFFERENCES_MAX - 1);
	/* It may hold what somebody else put into a column. */
	if (!text_is_clean(view_text(text)))
		for (char *p = text; *p; p++)
			if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
				*p = '?';
	const struct msg_string string = { view_text(text) };
	return put_string(v->differences, &string);
}

static int verify_record(struct verification *v, struct statement *s)
{
	const struct row row = {
		.sequence = (uint64_t)column_number(s, 0), .at = column_number(s, 1), .event = column_view(s, 2),
		.actor = column_view(s, 3), .user_id = column_view(s, 4), .object = column_view(s, 5),
		.detail = column_view(s, 6), .request_id = column_view(s, 7),
	};
	struct view stored = column_view(s, 8);
	uint8_t mac[32] = { 0 };
	bool follows = row.sequence == v->at.sequence + 1;
	int rc = 0;
	if (!follows)
		rc = differ(v, "audit records %llu to %llu are gone", (unsigned long long)v->at.sequence + 1,
			    (unsigned long long)row.sequence - 1);
	if (rc == 0)
		rc = record_mac(v->keyring, v->at.chain, &row, mac);
	if (rc == -FAULT_TAMPERED)
		rc = differ(v, "%s", fault_detail());
	else if (rc == 0 && follows && !view_equal(stored, view_of(mac, sizeof mac)))
		rc = differ(v, "audit record %llu was changed, or the one before it", (unsigned long long)row.sequence);
	/* Goes on from what is stored, so that one changed record is told once. */
	v->at.sequence = row.sequence;
	if (stored.len == sizeof v->at.chain)
		memcpy(v->at.chain, stored.p, sizeof v->at.chain);
	return rc;
}

/* Records begin with 1. What stands before it is in no chain, and must not be believed by the comparison of states. */
static int verify_beginning(struct verification *v, struct connection *c)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_audit_before_first, &s);
	if (rc == 0)
		rc = statement_step(s);
	if (rc > 0 && column_number(s, 0) > 0)
		return differ(v, "%lld audit records stand before the first one", (long long)column_number(s, 0));
	return rc < 0 ? rc : 0;
}

static int verify_page(struct verification *v, struct connection *c, unsigned *ret_records)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_audit_after, &s);
	if (rc < 0)
		return rc;
	bind_number(s, 1, (int64_t)v->at.sequence);
	bind_number(s, 2, VERIFY_PAGE);
	*ret_records = 0;
	while ((rc = statement_step(s)) > 0) {
		rc = verify_record(v, s);
		if (rc < 0)
			return rc;
		++*ret_records;
	}
	return rc;
}

static int verify_head(struct verification *v, struct connection *c)
{
	struct head head;
	int rc = head_read(v->keyring, c, &head);
	if (rc == -FAULT_TAMPERED)
		return differ(v, "%s", fault_detail());
	if (rc == 0 && (head.sequence != v->at.sequence || memcmp(head.chain, v->at.chain, sizeof head.chain) != 0))
		rc = differ(v,
			    "the audit chain should end with record %llu and ends with %llu: records at its end were "
			    "removed, added or changed", (unsigned long long)head.sequence,
			    (unsigned long long)v->at.sequence);
	return rc;
}

static int follow(struct verification *v, struct connection *c, uint64_t *ret_records)
{
	unsigned page = VERIFY_PAGE;
	int rc = verify_beginning(v, c);
	*ret_records = 0;
	while (rc == 0 && page == VERIFY_PAGE) {
		rc = verify_page(v, c, &page);
		*ret_records += page;
	}
	return rc < 0 ? rc : verify_head(v, c);
}

/* A chain that could not be followed to its end for another reason than a busy machine is no sound one either: a record
 * that was made so that it can not be read must not keep the rest from being looked at. */
static int follow_chain(struct keeper *k, struct verification *v, struct connection *c, uint64_t *ret_records)
{
	int rc = follow(v, c, ret_records);
	if ((rc == 0 && v->count > 0) || (rc < 0 && rc != -FAULT_UNAVAILABLE))
		atomic_store(&k->audit_broken, true);
	return rc;
}

int audit_verify_chain(struct keeper *k, struct connection *c, uint64_t *ret_records, struct buf *ret_differences)
{
	struct verification v = { .keyring = k->keyring, .differences = ret_differences };
	return follow_chain(k, &v, c, ret_records);
}

static int compare_state(struct verification *v, struct connection *c, enum sql sql)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, sql, &s);
	while (rc == 0 && (rc = statement_step(s)) > 0) {
		struct view text = column_view(s, 0);
		rc = differ(v, "%.*s", (int)text.len, (const char *)text.p);
	}
	return rc;
}

/* Loads every row of one table: its HMAC is checked on the way. */
#define R(table) \
	static int verify_all_##table(struct verification *v, struct connection *c) \
	{ \
		STATEMENT s = NULL; \
		int rc = statement_get(c, SQL_all_##table, &s); \
		while (rc == 0 && (rc = statement_step(s)) > 0) { \
			ROW(table, row); \
			rc = load_##table(v->keyring, s, &row); \
			if (rc == -FAULT_TAMPERED) \
				rc = differ(v, "%s", fault_detail()); \
		} \
		return rc; \
	}
ROWS(R)
#undef R

static int verify_rows(struct verification *v, struct connection *c)
{
	int rc = 0;
#define R(table) if (rc == 0) rc = verify_all_##table(v, c);
	ROWS(R)
#undef R
	return rc;
}

int audit_verify(struct keeper *k, struct connection *c, uint64_t *ret_records, struct buf *ret_differences)
{
	static const enum sql states[] = { SQL_differ_devices, SQL_differ_certificates, SQL_differ_enrolments,
					   SQL_differ_tokens, SQL_differ_identities, SQL_differ_usages,
					   SQL_differ_users, SQL_differ_names };
	struct verification v = { .keyring = k->keyring, .differences = ret_differences };
	int rc = follow_chain(k, &v, c, ret_records);
	if (rc == 0)
		rc = verify_rows(&v, c);
	for (size_t i = 0; rc == 0 && i < sizeof states / sizeof states[0]; i++)
		rc = compare_state(&v, c, states[i]);
	/* Tables that can not be read as they were made are no better than records that were changed. */
	if (rc < 0 && rc != -FAULT_UNAVAILABLE)
		atomic_store(&k->audit_broken, true);
	return rc;
}

int audit_put_verification(struct keeper *k, struct buf *answer)
{
	READER c = NULL;
	struct msg_verification message = { .ok = 0 };
	BUF differences = buf_new(LIST_MAX_BYTES);
	int rc = differences ? db_read(k->db, &c) : fail(FAULT_UNAVAILABLE, "no memory for a list");
	if (rc == 0)
		rc = audit_verify(k, c, &message.records, differences);
	if (rc < 0)
		return rc;
	message.differences = buf_view(differences);
	message.ok = buf_len(differences) == 0;
	return put_verification(answer, &message);
}
