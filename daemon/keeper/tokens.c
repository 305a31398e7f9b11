/* The table tokens. Keeper only. Decides who an administrator is. */
#include "tokens.h"

#include "fault.h"
#include "seal.h"
#include "wallclock.h"

enum { TOKENS_MAX = 10000 };

static const char expired[] = "this administrator token has expired: ask an administrator for a new one";

static const struct {
	const char *name;
	enum role role;
} roles_by_name[] = {
	{ "importer", ROLE_IMPORTER }, { "enroller", ROLE_ENROLLER }, { "auditor", ROLE_AUDITOR },
	{ "operator", ROLE_OPERATOR }, { "admin", ROLE_ADMIN },
};

int role_of(struct view name)
{
	for (size_t i = 0; i < sizeof roles_by_name / sizeof roles_by_name[0]; i++)
		if (view_is(name, roles_by_name[i].name))
			return (int)roles_by_name[i].role;
	return 0;
}

static int find(const struct keyring *keyring, struct connection *c, enum sql sql, struct view key, bool is_text,
		struct row_token *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, sql, &s);
	if (rc < 0)
		return rc;
	if (is_text)
		bind_text(s, 1, key);
	else
		bind_blob(s, 1, key);
	rc = statement_step(s);
	if (rc == 0)
		return fail(FAULT_NOT_FOUND, "there is no such token");
	return rc < 0 ? rc : load_token(keyring, s, ret);
}

int tokens_authorize(struct keeper *k, struct connection *c, struct view token_secret, int roles, struct row_token *ret)
{
	uint8_t hash[32];
	int rc = digest_sha256(token_secret, hash);
	if (rc == 0)
		rc = find(k->keyring, c, SQL_token_by_hash, view_of(hash, sizeof hash), false, ret);
	if (rc == -FAULT_NOT_FOUND)
		return fail(FAULT_UNAUTHORIZED, "this administrator token is unknown, or was revoked");
	if (rc < 0)
		return rc;
	if (ret->expires_at && ret->expires_at <= now_seconds())
		return wallclock_expired(k, FAULT_UNAUTHORIZED, expired);
	if (!(role_of(ret->role) & roles))
		return fail(FAULT_FORBIDDEN, "a token with the role %.*s may not do this", (int)ret->role.len,
			    (const char *)ret->role.p);
	return 0;
}

struct writing {
	struct keeper *k;
	const struct row_token *token;
	int (*job)(struct connection *c, void *arg);
	void *arg;
};

static int check_and_run(struct connection *c, void *arg)
{
	const struct writing *w = arg;
	ROW(token, token);
	int rc = find(w->k->keyring, c, SQL_token_get, w->token->id, true, &token);
	if (rc == -FAULT_NOT_FOUND)
		return fail(FAULT_UNAUTHORIZED, "this administrator token was revoked");
	if (rc == 0 && token.expires_at && token.expires_at <= now_seconds())
		return wallclock_expired(w->k, FAULT_UNAUTHORIZED, expired);
	return rc < 0 ? rc : w->job(c, w->arg);
}

int tokens_write(struct keeper *k, const struct row_token *token, int (*job)(struct connection *c, void *arg),
		 void *arg)
{
	struct writing w = { .k = k, .token = token, .job = job, .arg = arg };
	return db_write(k->db, check_and_run, &w);
}

static int insert(const struct keyring *keyring, struct connection *c, const struct row_token *row)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	int rc = statement_get(c, SQL_token_insert, &s);
	if (rc == 0)
		rc = bind_token(keyring, s, row, mac);
	return rc < 0 ? rc : statement_run(s);
}

/* Admin tokens that could take this one's place: for one that lasts only others that last, for they will be there when
 * those that expire are gone. */
static int count_successors(struct connection *c, const struct row_token *token, int64_t *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_tokens_count_lasting_admins, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, token->id);
	bind_number(s, 2, token->expires_at ? now_seconds() : INT64_MAX);
	rc = statement_step(s);
	if (rc > 0)
		*ret = column_number(s, 0);
	return rc < 0 ? rc : 0;
}

int tokens_add(struct keeper *k, struct connection *c, const struct actor *actor, const struct row_token *row)
{
	int64_t have = 0;
	int rc = statement_number(c, SQL_tokens_count, &have);
	if (rc == 0 && have >= TOKENS_MAX)
		return fail(FAULT_CONFLICT, "there are %d tokens already: revoke some first", TOKENS_MAX);
	if (rc == 0)
		rc = insert(k->keyring, c, row);
	const struct audit_record r = { .event = "token.create", .actor = actor->id, .object = row->id,
					.detail = row->role, .request_id = actor->request_id };
	return rc < 0 ? rc : audit_append(k, c, &r);
}

static int forget(struct keeper *k, struct connection *c, const struct actor *actor, const struct row_token *row)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_token_delete, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, row->id);
	rc = statement_run(s);
	const struct audit_record r = { .event = "token.delete", .actor = actor->id, .object = row->id,
					.detail = row->role, .request_id = actor->request_id };
	return rc < 0 ? rc : audit_append(k, c, &r);
}

int tokens_delete(struct keeper *k, struct connection *c, const struct actor *actor, struct view id)
{
	ROW(token, token);
	int64_t successors = 1;
	int rc = find(k->keyring, c, SQL_token_get, id, true, &token);
	if (rc == 0 && view_is(token.role, "admin"))
		rc = count_successors(c, &token, &successors);
	if (rc == 0 && successors == 0)
		return fail(FAULT_CONFLICT, "this is the last admin token%s: make another one first",
			    token.expires_at ? "" : " that does not expire");
	return rc < 0 ? rc : forget(k, c, actor, &token);
}

/* One after the other, because the change is of the table that is read. */
static int forget_all(struct keeper *k, struct connection *c, const struct actor *actor, uint64_t *ret_count)
{
	for (*ret_count = 0;; ++*ret_count) {
		ROW(token, row);
		STATEMENT s = NULL;
		int rc = statement_get(c, SQL_tokens_all, &s);
		if (rc < 0)
			return rc;
		bind_number(s, 1, 1);
		rc = statement_step(s);
		if (rc <= 0)
			return rc;
		rc = load_token(k->keyring, s, &row);
		statement_done(s);
		if (rc == 0)
			rc = forget(k, c, actor, &row);
		if (rc < 0)
			return rc;
	}
}

int tokens_replace_all(struct keeper *k, struct connection *c, const struct actor *actor, struct view sha256,
		       uint64_t *ret_count)
{
	char id[UUID_TEXT + 1];
	uuid_make(id);
	const struct row_token row = { .id = view_text(id), .token_sha256 = sha256, .name = view_text("restored"),
				       .role = view_text("admin"), .created_at = now_seconds() };
	int rc = forget_all(k, c, actor, ret_count);
	return rc < 0 ? rc : tokens_add(k, c, actor, &row);
}

int tokens_put_facts(const struct keyring *keyring, struct connection *c, struct buf *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_tokens_all, &s);
	if (rc < 0)
		return rc;
	bind_number(s, 1, TOKENS_MAX);
	while ((rc = statement_step(s)) > 0) {
		ROW(token, row);
		rc = load_token(keyring, s, &row);
		const struct msg_token_facts facts = { .id = row.id, .name = row.name, .role = row.role,
						       .created_at = row.created_at, .expires_at = row.expires_at };
		if (rc == 0)
			rc = put_token_facts(ret, &facts);
		if (rc < 0)
			return rc;
	}
	return rc;
}
