/* Answers of the administrators' socket, but for IMPORT. Keeper only. The caller's role was checked in serve.c. */
#include "ca.h"
#include "devices.h"
#include "encode.h"
#include "fault.h"
#include "history.h"
#include "seal.h"
#include "serve.h"
#include "token.h"

#include <stdio.h>

/* ---- reading ---- */

int answer_history(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	READER c = NULL;
	ROW(user, user);
	HISTORY history = { .count = 0 };
	struct msg_user m;
	BUF list = buf_new(LIST_MAX_BYTES);
	int rc = list ? read_user(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory for a list");
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = users_find(k->keyring, c, m.upn, &user);
	if (rc == 0)
		rc = history_read(k->keyring, c, user.id, now_seconds(), true, &history);
	/* An importer sees what it imported. */
	if (rc == 0)
		rc = history_put_facts(&history, role_of(who->token.role) == ROLE_IMPORTER ? who->token.id :
				       view_text(NULL),
				       list);
	const struct msg_identities message = { buf_view(list) };
	return rc < 0 ? rc : put_identities(answer, &message);
}

int answer_user(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	READER c = NULL;
	ROW(user, user);
	struct msg_user m;
	int rc = read_user(fields, &m);
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = users_find(k->keyring, c, m.upn, &user);
	return rc < 0 ? rc : users_put_facts(k->keyring, c, &user, answer);
}

/* The users whose folded names come after `after`; *ret_more is the last one's when there are more. */
static int put_users_page(struct keeper *k, struct connection *c, struct view after, uint32_t limit, struct buf *list,
		     struct buf *ret_more)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_user_names_after, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, after);
	bind_number(s, 2, (int64_t)limit + 1);
	BUF last = buf_new(CURSOR_MAX_BYTES);
	if (!last)
		return fail(FAULT_UNAVAILABLE, "no memory for a list");
	for (uint32_t n = 0; (rc = statement_step(s)) > 0; n++) {
		ROW(user, user);
		if (n == limit) {
			base64url_encode(buf_view(last), ret_more);
			return 0;
		}
		struct view name = column_view(s, 0);
		buf_reset(last);
		buf_put(last, name.p, name.len);
		rc = users_get(k->keyring, c, column_view(s, 1), &user);
		if (rc == 0)
			rc = users_put_facts(k->keyring, c, &user, list);
		if (rc < 0)
			return rc;
	}
	return rc;
}

/* A cursor is the base64url of where the last page ended; the decoder knows base64, so it is translated and padded. */
static int decode_cursor(struct view cursor, struct buf *ret)
{
	BUF text = buf_new(2 * CURSOR_MAX_BYTES);
	if (!text)
		return fail(FAULT_UNAVAILABLE, "no memory for a cursor");
	for (size_t i = 0; i < cursor.len; i++)
		buf_put_u8(text, cursor.p[i] == '-' ? '+' : cursor.p[i] == '_' ? '/' : cursor.p[i]);
	while (buf_len(text) % 4)
		buf_put_u8(text, '=');
	if (base64_decode(buf_view(text), ret) < 0 || !text_is_clean(buf_view(ret)))
		return fail(FAULT_MALFORMED_REQUEST, "cursor is not one that this service gave");
	return 0;
}

int answer_users(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	READER c = NULL;
	struct msg_listing m;
	BUF list = buf_new(LIST_MAX_BYTES);
	BUF after = buf_new(2 * CURSOR_MAX_BYTES);
	BUF more = buf_new(2 * CURSOR_MAX_BYTES);
	int rc = list && after && more ? read_listing(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory for a list");
	if (rc == 0)
		rc = decode_cursor(m.cursor, after);
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = put_users_page(k, c, buf_view(after), m.limit, list, more);
	const struct msg_users message = { buf_view(list), buf_view(more) };
	return rc < 0 ? rc : put_users(answer, &message);
}

int answer_devices(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	READER c = NULL;
	ROW(user, user);
	struct msg_listing m;
	char more[DEVICE_CURSOR_MAX] = "";
	BUF list = buf_new(LIST_MAX_BYTES);
	int rc = list ? read_listing(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory for a list");
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0 && m.user.len)
		rc = users_find(k->keyring, c, m.user, &user);
	if (rc == 0)
		rc = devices_put_page(k->keyring, c, m.user.len ? &user : NULL, m.cursor, m.limit, list, more);
	const struct msg_devices message = { buf_view(list), view_text(more) };
	return rc < 0 ? rc : put_devices(answer, &message);
}

int answer_tokens(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	READER c = NULL;
	struct msg_admin m;
	BUF list = buf_new(LIST_MAX_BYTES);
	int rc = list ? read_admin(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory for a list");
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = tokens_put_facts(k->keyring, c, list);
	const struct msg_tokens message = { buf_view(list) };
	return rc < 0 ? rc : put_tokens(answer, &message);
}

static int put_record(struct statement *s, struct buf *list)
{
	const struct msg_audit_facts facts = {
		.sequence = (uint64_t)column_number(s, 0), .at = column_number(s, 1), .event = column_view(s, 2),
		.actor = column_view(s, 3), .user = column_view(s, 4), .object = column_view(s, 5),
		.detail = column_view(s, 6), .request_id = column_view(s, 7),
	};
	return put_audit_facts(list, &facts);
}

int answer_audit(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	READER c = NULL;
	STATEMENT s = NULL;
	struct msg_listing m;
	uint64_t after = 0, n = 0;
	char more[24] = "";
	BUF list = buf_new(LIST_MAX_BYTES);
	int rc = list ? read_listing(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory for a list");
	if (rc == 0 && m.cursor.len && !number_parse(m.cursor, INT64_MAX, &after))
		rc = fail(FAULT_MALFORMED_REQUEST, "cursor is not one that this service gave");
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = statement_get(c, SQL_audit_after, &s);
	if (rc < 0)
		return rc;
	bind_number(s, 1, (int64_t)after);
	bind_number(s, 2, (int64_t)m.limit + 1);
	while ((rc = statement_step(s)) > 0 && n++ < m.limit) {
		after = (uint64_t)column_number(s, 0);
		rc = put_record(s, list);
		if (rc < 0)
			return rc;
	}
	if (rc > 0)
		snprintf(more, sizeof more, "%llu", (unsigned long long)after);
	const struct msg_audit message = { buf_view(list), view_text(more) };
	return rc < 0 ? rc : put_audit(answer, &message);
}

int answer_verify_audit(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	struct msg_admin m;
	int rc = read_admin(fields, &m);
	return rc < 0 ? rc : audit_put_verification(k, answer);
}

int answer_ca(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	struct msg_admin m;
	BUF pem = buf_new(2 * KEYRING_MAX_BYTES);
	int rc = pem ? read_admin(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory for a certificate");
	for (size_t i = 0; rc == 0 && keyring_ca_certificate(k->keyring, i); i++)
		rc = keyring_put_ca_pem(k->keyring, i, pem);
	const struct msg_ca message = { buf_view(pem) };
	return rc < 0 ? rc : put_ca(answer, &message);
}

/* ---- writing: each reads its message, then does the rest as one job of the writer ---- */

struct act {
	struct keeper *k;
	const struct actor *actor;
	union {
		struct msg_user user;
		struct msg_rename rename;
		struct msg_identity_ref identity;
		struct msg_object object;
		struct msg_enrolment enrolment;
		struct msg_token token;
	} m;
	char id[UUID_TEXT + 1]; /* of what is made */
	uint8_t token_sha256[32];
	int64_t expires_at;
	struct buf *answer;
};

/* Devices are told to remove what the user had. */
static int remember_removal(struct keeper *k, struct connection *c, const struct row_identity *row)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	const struct row_removal removal = { .user_id = row->user_id, .sha1 = row->sha1, .at = now_seconds() };
	int rc = statement_get(c, SQL_removal_put, &s);
	if (rc == 0)
		rc = bind_removal(k->keyring, s, &removal, mac);
	return rc < 0 ? rc : statement_run(s);
}

static int forget_identity(struct keeper *k, struct connection *c, const struct actor *actor,
			   const struct row_identity *row)
{
	STATEMENT s = NULL;
	char sha256[65];
	hex_encode(row->sha256, sha256);
	int rc = statement_get(c, SQL_identity_delete, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, row->id);
	rc = statement_run(s);
	if (rc == 0)
		rc = remember_removal(k, c, row);
	const struct audit_record r = {
		.event = "identity.delete", .actor = actor->id, .user_id = row->user_id, .object = row->id,
		.detail = view_text(sha256), .request_id = actor->request_id,
	};
	if (rc == 0)
		rc = audit_append(k, c, &r);
	if (rc == 0) {
		atomic_fetch_add(&k->counters.deletions, 1);
		atomic_store(&k->log_holds_deleted, true);
	}
	return rc;
}

static int delete_identity(struct connection *c, void *arg)
{
	struct act *a = arg;
	ROW(user, user);
	HISTORY history = { .count = 0 };
	struct view thumbprint = a->m.identity.thumbprint;
	int rc = users_find(a->k->keyring, c, a->m.identity.upn, &user);
	if (rc == 0)
		rc = history_read(a->k->keyring, c, user.id, now_seconds(), true, &history);
	for (size_t i = 0; rc == 0 && i < history.count; i++)
		if (view_equal(thumbprint, history.at[i].row.sha1) || view_equal(thumbprint, history.at[i].row.sha256))
			return forget_identity(a->k, c, a->actor, &history.at[i].row);
	return rc < 0 ? rc : fail(FAULT_NOT_FOUND, "the user has no certificate with this thumbprint");
}

int answer_delete_identity(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)answer;
	struct act a = { .k = k, .actor = &who->actor };
	int rc = read_identity_ref(fields, &a.m.identity);
	return rc < 0 ? rc : tokens_write(k, &who->token, delete_identity, &a);
}

static int rename_user(struct connection *c, void *arg)
{
	struct act *a = arg;
	ROW(user, user);
	int rc = users_rename(a->k, c, a->actor, a->m.rename.upn, a->m.rename.new_upn);
	if (rc == 0)
		rc = users_find(a->k->keyring, c, a->m.rename.new_upn, &user);
	return rc < 0 ? rc : users_put_facts(a->k->keyring, c, &user, a->answer);
}

int answer_rename_user(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	struct act a = { .k = k, .actor = &who->actor, .answer = answer };
	int rc = read_rename(fields, &a.m.rename);
	return rc < 0 ? rc : tokens_write(k, &who->token, rename_user, &a);
}

static int retire_user(struct connection *c, void *arg)
{
	struct act *a = arg;
	ROW(user, user);
	HISTORY history = { .count = 0 };
	int rc = users_find(a->k->keyring, c, a->m.user.upn, &user);
	if (rc == 0)
		rc = devices_revoke_all(a->k, c, a->actor, user.id);
	if (rc == 0)
		rc = history_read(a->k->keyring, c, user.id, now_seconds(), true, &history);
	for (size_t i = 0; rc == 0 && i < history.count; i++)
		rc = forget_identity(a->k, c, a->actor, &history.at[i].row);
	return rc < 0 ? rc : users_retire(a->k, c, a->actor, &user);
}

int answer_retire_user(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)answer;
	struct act a = { .k = k, .actor = &who->actor };
	int rc = read_user(fields, &a.m.user);
	return rc < 0 ? rc : tokens_write(k, &who->token, retire_user, &a);
}

static int revoke_device(struct connection *c, void *arg)
{
	struct act *a = arg;
	return devices_revoke(a->k, c, a->actor, a->m.object.id);
}

int answer_revoke_device(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)answer;
	struct act a = { .k = k, .actor = &who->actor };
	int rc = read_object(fields, &a.m.object);
	return rc < 0 ? rc : tokens_write(k, &who->token, revoke_device, &a);
}

static int add_enrolment(struct connection *c, void *arg)
{
	struct act *a = arg;
	ROW(user, user);
	char user_id[UUID_TEXT + 1];
	int rc = users_find(a->k->keyring, c, a->m.enrolment.upn, &user);
	if (rc == 0) {
		text_copy(user.id, user_id, sizeof user_id);
	} else if (rc == -FAULT_NOT_FOUND) {
		uuid_make(user_id);
		rc = users_create(a->k, c, a->actor, view_text(user_id), a->m.enrolment.upn);
	}
	const struct row_enrolment row = {
		.token_sha256 = view_of(a->token_sha256, 32), .id = view_text(a->id), .user_id = view_text(user_id),
		.name = a->m.enrolment.name, .platform = a->m.enrolment.platform, .created_at = now_seconds(),
		.expires_at = a->expires_at,
	};
	if (rc == 0)
		rc = enrolments_insert(a->k->keyring, c, &row);
	const struct audit_record r = { .event = "enrolment.create", .actor = a->actor->id, .user_id = row.user_id,
					.object = row.id, .detail = row.name, .request_id = a->actor->request_id };
	return rc < 0 ? rc : audit_append(a->k, c, &r);
}

int answer_add_enrolment(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	struct act a = { .k = k, .actor = &who->actor };
	BUF token_secret = buf_new(TOKEN_CHARS);
	int rc = token_secret ? read_enrolment(fields, &a.m.enrolment) : fail(FAULT_UNAVAILABLE,
									      "no memory for a token");
	if (rc == 0)
		rc = token_make(token_secret, a.token_sha256);
	if (rc < 0)
		return rc;
	uuid_make(a.id);
	a.expires_at = now_seconds() + a.m.enrolment.expires_in;
	rc = tokens_write(k, &who->token, add_enrolment, &a);
	const struct msg_enrolment_made message = { buf_view(token_secret), a.expires_at };
	return rc < 0 ? rc : put_enrolment_made(answer, &message);
}

static int add_token(struct connection *c, void *arg)
{
	struct act *a = arg;
	const struct row_token row = { .id = view_text(a->id), .token_sha256 = view_of(a->token_sha256, 32),
				       .name = a->m.token.name, .role = a->m.token.role, .created_at = now_seconds(),
				       .expires_at = a->expires_at };
	return tokens_add(a->k, c, a->actor, &row);
}

int answer_add_token(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	struct act a = { .k = k, .actor = &who->actor };
	BUF token_secret = buf_new(TOKEN_CHARS);
	int rc = token_secret ? read_token(fields, &a.m.token) : fail(FAULT_UNAVAILABLE, "no memory for a token");
	if (rc == 0 && !role_of(a.m.token.role))
		rc = fail(FAULT_MALFORMED_REQUEST, "role must be importer, enroller, auditor, operator or admin");
	if (rc == 0)
		rc = token_make(token_secret, a.token_sha256);
	if (rc < 0)
		return rc;
	uuid_make(a.id);
	a.expires_at = a.m.token.expires_in ? now_seconds() + a.m.token.expires_in : 0;
	rc = tokens_write(k, &who->token, add_token, &a);
	const struct msg_token_made message = { view_text(a.id), buf_view(token_secret), a.expires_at };
	return rc < 0 ? rc : put_token_made(answer, &message);
}

static int delete_token(struct connection *c, void *arg)
{
	struct act *a = arg;
	return tokens_delete(a->k, c, a->actor, a->m.object.id);
}

int answer_delete_token(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)answer;
	struct act a = { .k = k, .actor = &who->actor };
	int rc = read_object(fields, &a.m.object);
	return rc < 0 ? rc : tokens_write(k, &who->token, delete_token, &a);
}
