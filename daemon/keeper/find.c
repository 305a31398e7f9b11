/* Whose is the certificate to which a mail was encrypted, and which of the user's devices have it. Keeper only. */
#include "devices.h"
#include "fault.h"
#include "history.h"
#include "serve.h"

/* What the device's receipts say of the identity; without one, when it pulled last. */
static int ask_holder(struct connection *c, const struct msg_device_facts *device, const struct identity *identity,
		      struct buf *list)
{
	STATEMENT s = NULL;
	BUF record = buf_new(LIST_MAX_BYTES);
	int rc = record ? put_device_facts(record, device) : fail(FAULT_UNAVAILABLE, "no memory for a list");
	if (rc == 0)
		rc = statement_get(c, SQL_receipt_get, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, device->id);
	bind_blob(s, 2, identity->row.sha1);
	bind_blob(s, 3, identity->row.sha256);
	rc = statement_step(s);
	if (rc < 0)
		return rc;
	struct msg_holder holder = { .device = buf_view(record), .holds = HOLDS_NOT };
	if (rc > 0) {
		holder.holds = column_number(s, 0) ? HOLDS_INSTALLED : HOLDS_FAILED;
		holder.error = column_view(s, 1);
		holder.at = column_number(s, 2);
	} else if (identity->delivered && device->last_pull_at >= identity->row.imported_at) {
		holder.holds = HOLDS_DELIVERED;
	}
	return put_holder(list, &holder);
}

static int put_holders(const struct keyring *keyring, struct connection *c, const struct row_user *user,
		       const struct identity *identity, struct buf *list)
{
	char cursor[DEVICE_CURSOR_MAX] = "", more[DEVICE_CURSOR_MAX];
	BUF page = buf_new(LIST_MAX_BYTES);
	if (!page)
		return fail(FAULT_UNAVAILABLE, "no memory for a list");
	do {
		buf_reset(page);
		int rc = devices_put_page(keyring, c, user, view_text(cursor), LIST_LIMIT_MAX, page, more);
		for (struct view rest = buf_view(page); rc == 0 && rest.len > 0;) {
			struct msg_device_facts device;
			rc = get_device_facts(&rest, &device);
			if (rc == 0)
				rc = ask_holder(c, &device, identity, list);
		}
		if (rc < 0)
			return rc;
		memcpy(cursor, more, sizeof cursor);
	} while (*cursor);
	return 0;
}

/* The identity is looked for in its user's history: only there are its row's HMAC and what it is current for known. */
static int put_found(const struct keyring *keyring, struct connection *c, struct view id, struct view user_id,
		     struct buf *list)
{
	ROW(user, user);
	HISTORY history = { .count = 0 };
	BUF facts = buf_new(LIST_MAX_BYTES);
	BUF holders = buf_new(LIST_MAX_BYTES);
	const struct identity *identity = NULL;
	int rc = facts && holders ? users_get(keyring, c, user_id, &user) : fail(FAULT_UNAVAILABLE,
										 "no memory for a list");
	if (rc == 0)
		rc = history_read(keyring, c, user_id, now_seconds(), true, &history);
	for (size_t i = 0; rc == 0 && i < history.count; i++)
		if (view_equal(history.at[i].row.id, id))
			identity = &history.at[i];
	if (rc < 0 || !identity)
		return rc < 0 ? rc : fail(FAULT_TAMPERED, "identity %.*s is not in its user's history", (int)id.len,
					  (const char *)id.p);
	rc = identity_put_facts(identity, facts);
	if (rc == 0)
		rc = put_holders(keyring, c, &user, identity, holders);
	const struct msg_found_identity found = { user.upn, buf_view(facts), buf_view(holders) };
	return rc < 0 ? rc : put_found_identity(list, &found);
}

static int select_found(struct connection *c, const struct msg_recipient *m, struct statement **ret)
{
	bool by_key = m->key_identifier.len > 0;
	int rc = statement_get(c, by_key ? SQL_identities_of_key_identifier : SQL_identities_of_recipient, ret);
	if (rc < 0)
		return rc;
	if (by_key) {
		bind_blob(*ret, 1, m->key_identifier);
	} else {
		bind_text(*ret, 1, m->issuer);
		bind_text(*ret, 2, m->serial);
	}
	bind_number(*ret, by_key ? 2 : 3, FOUND_IDENTITIES_MAX + 1);
	return 0;
}

int answer_find_identity(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	READER c = NULL;
	STATEMENT s = NULL;
	struct msg_recipient m;
	BUF list = buf_new(LIST_MAX_BYTES);
	int rc = list ? read_recipient(fields, &m) : fail(FAULT_UNAVAILABLE, "no memory for a list");
	if (rc == 0)
		rc = db_read(k->db, &c);
	if (rc == 0)
		rc = select_found(c, &m, &s);
	if (rc < 0)
		return rc;
	for (unsigned n = 0; (rc = statement_step(s)) > 0; n++) {
		if (n == FOUND_IDENTITIES_MAX)
			return fail(FAULT_CONFLICT, "more than %d users have this certificate", FOUND_IDENTITIES_MAX);
		rc = put_found(k->keyring, c, column_view(s, 0), column_view(s, 1), list);
		if (rc < 0)
			return rc;
	}
	const struct msg_found_identities message = { buf_view(list) };
	return rc < 0 ? rc : put_found_identities(answer, &message);
}
