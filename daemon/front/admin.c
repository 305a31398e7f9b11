/* The administrators' interface. Front. Straight lines: read the request, ask the keeper, reply. A token or a password
 * is only ever in a struct buf. */
#include "admin.h"

#include "encode.h"
#include "facts.h"
#include "fault.h"
#include "keeper_client.h"
#include "request.h"

#include <string.h>

/* What every message of an administrator begins with. */
#define ADMIN(r) .request_id = view_text((r)->id), .token_secret = buf_view((r)->token_secret)

enum { ROLE_MAX_BYTES = 16, STATE_MAX_BYTES = 16, SECRET_ANSWER_MAX_BYTES = 8 * KIB };

/* ---- certificates ---- */

static int reply_imported(struct request *r, const struct msg_imported *m)
{
	json_t *certificates = NULL, *warnings = NULL;
	int rc = facts_list(m->identities, facts_identity, &certificates);
	if (rc == 0)
		rc = facts_list(m->warnings, facts_warning, &warnings);
	if (rc != 0) {
		json_decref(certificates);
		return rc;
	}
	json_t *answer = json_pack("{s:o, s:o}", "certificates", certificates, "warnings", warnings);
	return reply_json(r, m->created ? 201 : 200, answer);
}

int admin_import(struct request *r, struct keeper *k)
{
	struct msg_import m = { ADMIN(r) };
	struct msg_imported done;
	const struct field fields[] = {
		{ "pkcs12", FIELD_BASE64_SECRET, true, 0, PFX_MAX_BYTES, &m.pfx_secret },
		{ "password", FIELD_SECRET, true, 0, PASSWORD_MAX_BYTES, &m.password_secret },
		{ "usages", FIELD_USAGES, false, 0, 0, &m.usages },
		{ 0 },
	};
	int rc = request_upn(r, &m.upn);
	if (rc == 0)
		rc = body_read(&r->body, fields);
	if (rc == 0)
		rc = keeper_import(k, &m, &done);
	return rc == 0 ? reply_imported(r, &done) : rc;
}

int admin_history(struct request *r, struct keeper *k)
{
	struct msg_user m = { ADMIN(r) };
	struct msg_identities history;
	json_t *certificates;
	int rc = request_upn(r, &m.upn);
	if (rc == 0)
		rc = keeper_history(k, &m, &history);
	if (rc == 0)
		rc = facts_list(history.identities, facts_identity, &certificates);
	return rc == 0 ? reply_json(r, 200, json_pack("{s:o}", "certificates", certificates)) : rc;
}

int admin_delete_identity(struct request *r, struct keeper *k)
{
	struct msg_identity_ref m = { ADMIN(r) };
	struct msg_nothing nothing;
	uint8_t thumbprint[THUMBPRINT_MAX_BYTES];
	int rc = request_upn(r, &m.upn);
	if (rc == 0)
		rc = request_thumbprint(r, thumbprint, &m.thumbprint);
	if (rc == 0)
		rc = keeper_delete_identity(k, &m, &nothing);
	return rc == 0 ? reply_nothing(r, 204) : rc;
}

/* The recipient of a mail, as RFC 5652 6.2.1 names one. */
static int recipient_of(const struct request *r, struct msg_recipient *ret, uint8_t key[static KEY_IDENTIFIER_MAX_BYTES])
{
	const char *issuer = uri_query(&r->uri, "issuer"), *serial = uri_query(&r->uri, "serialNumber");
	const char *identifier = uri_query(&r->uri, "subjectKeyIdentifier");
	if (!identifier == !(issuer && serial) || !issuer != !serial)
		return fail(FAULT_MALFORMED_REQUEST,
			    "give issuer and serialNumber, or subjectKeyIdentifier: one of both and not more");
	if (!identifier) {
		ret->issuer = view_text(issuer);
		ret->serial = view_text(serial);
		return 0;
	}
	size_t len = strlen(identifier) / 2;
	if (len == 0 || len > KEY_IDENTIFIER_MAX_BYTES || !hex_decode(view_text(identifier), key, len))
		return fail(FAULT_MALFORMED_REQUEST, "subjectKeyIdentifier is 1 to %d bytes in hexadecimal digits",
			    KEY_IDENTIFIER_MAX_BYTES);
	ret->key_identifier = view_of(key, len);
	return 0;
}

int admin_find_identity(struct request *r, struct keeper *k)
{
	struct msg_recipient m = { ADMIN(r) };
	struct msg_found_identities answer;
	uint8_t key[KEY_IDENTIFIER_MAX_BYTES];
	json_t *certificates;
	int rc = recipient_of(r, &m, key);
	if (rc == 0)
		rc = keeper_find_identity(k, &m, &answer);
	if (rc == 0)
		rc = facts_list(answer.found, facts_found_identity, &certificates);
	return rc == 0 ? reply_json(r, 200, json_pack("{s:o}", "certificates", certificates)) : rc;
}

/* ---- enrolments ---- */

/* A buffer for an answer that holds a token, which is bytes to the frame and must be text here. */
static int begin_secret_answer(struct view token_secret, struct buf **ret)
{
	if (!text_is_clean(token_secret))
		return fail(FAULT_BAD_FRAME, "the keeper made a token that is not text");
	*ret = buf_new(SECRET_ANSWER_MAX_BYTES);
	return *ret ? 0 : fail(FAULT_INTERNAL, "no memory for an answer");
}

static int reply_enrolment(struct request *r, const struct msg_enrolment_made *m)
{
	char expires_at[TIME_TEXT + 1];
	struct buf *body;
	int rc = begin_secret_answer(m->token_secret, &body);
	if (rc < 0)
		return rc;
	time_format(m->expires_at, expires_at);
	buf_put_text(body, "{\"token\":");
	json_quote(m->token_secret, body);
	buf_printf(body, ",\"expiresAt\":\"%s\"}", expires_at);
	return reply_bytes(r, 201, "application/json", body, buf_view(body));
}

int admin_add_enrolment(struct request *r, struct keeper *k)
{
	struct msg_enrolment m = { ADMIN(r), .expires_in = ENROLMENT_SECONDS_DEFAULT };
	struct msg_enrolment_made made;
	const struct field fields[] = {
		{ "name", FIELD_TEXT, true, 1, NAME_MAX_BYTES, &m.name },
		{ "platform", FIELD_TEXT, false, 0, PLATFORM_MAX_BYTES, &m.platform },
		{ "expiresIn", FIELD_NUMBER, false, 1, ENROLMENT_SECONDS_MAX, &m.expires_in },
		{ 0 },
	};
	int rc = request_upn(r, &m.upn);
	if (rc == 0)
		rc = body_read(&r->body, fields);
	if (rc == 0)
		rc = keeper_add_enrolment(k, &m, &made);
	return rc == 0 ? reply_enrolment(r, &made) : rc;
}

/* ---- lists ---- */

/* The parameters that every list takes. */
static int listing_of(const struct request *r, struct msg_listing *ret)
{
	const char *limit = uri_query(&r->uri, "limit");
	uint64_t number = LIST_LIMIT_DEFAULT;
	if (limit && (!number_parse(view_text(limit), LIST_LIMIT_MAX, &number) || number == 0))
		return fail(FAULT_MALFORMED_REQUEST, "limit must be a whole number from 1 to %d", LIST_LIMIT_MAX);
	ret->limit = (uint32_t)number;
	ret->cursor = view_text(uri_query(&r->uri, "cursor"));
	if (ret->cursor.len > CURSOR_MAX_BYTES)
		return fail(FAULT_MALFORMED_REQUEST, "cursor is longer than %d bytes", CURSOR_MAX_BYTES);
	return 0;
}

static int reply_list(struct request *r, const char *name, struct view list, facts_reader *read, struct view next)
{
	json_t *array;
	int rc = facts_list(list, read, &array);
	if (rc != 0)
		return rc;
	json_t *answer = json_pack("{s:o}", name, array);
	if (next.len > 0)
		json_object_set_new(answer, "nextCursor", json_text(next));
	return reply_json(r, 200, answer);
}

int admin_users(struct request *r, struct keeper *k)
{
	struct msg_listing m = { ADMIN(r) };
	struct msg_users found;
	int rc = listing_of(r, &m);
	if (rc == 0)
		rc = keeper_users(k, &m, &found);
	return rc == 0 ? reply_list(r, "users", found.users, facts_user, found.next_cursor) : rc;
}

int admin_devices(struct request *r, struct keeper *k)
{
	struct msg_listing m = { ADMIN(r) };
	struct msg_devices found;
	const char *user = uri_query(&r->uri, "user");
	int rc = listing_of(r, &m);
	if (rc == 0 && user)
		rc = check_upn(m.user = view_text(user));
	if (rc == 0)
		rc = keeper_devices(k, &m, &found);
	return rc == 0 ? reply_list(r, "devices", found.devices, facts_device, found.next_cursor) : rc;
}

int admin_audit(struct request *r, struct keeper *k)
{
	struct msg_listing m = { ADMIN(r) };
	struct msg_audit found;
	int rc = listing_of(r, &m);
	if (rc == 0)
		rc = keeper_audit(k, &m, &found);
	return rc == 0 ? reply_list(r, "records", found.records, facts_audit, found.next_cursor) : rc;
}

int admin_verify_audit(struct request *r, struct keeper *k)
{
	const struct msg_admin m = { ADMIN(r) };
	struct msg_verification found;
	json_t *differences;
	int rc = keeper_verify_audit(k, &m, &found);
	if (rc == 0)
		rc = facts_list(found.differences, facts_string, &differences);
	if (rc != 0)
		return rc;
	return reply_json(r, 200, json_pack("{s:b, s:I, s:o}", "ok", (int)found.ok, "records",
					    (json_int_t)found.records, "differences", differences));
}

/* ---- users and devices ---- */

int admin_user(struct request *r, struct keeper *k)
{
	struct msg_user m = { ADMIN(r) };
	struct msg_user_facts user;
	int rc = request_upn(r, &m.upn);
	if (rc == 0)
		rc = keeper_user(k, &m, &user);
	return rc == 0 ? reply_json(r, 200, facts_of_user(&user)) : rc;
}

int admin_rename_user(struct request *r, struct keeper *k)
{
	struct msg_rename m = { ADMIN(r) };
	struct msg_user_facts user;
	const struct field fields[] = {
		{ "upn", FIELD_TEXT, true, 1, UPN_MAX_BYTES, &m.new_upn },
		{ 0 },
	};
	int rc = request_upn(r, &m.upn);
	if (rc == 0)
		rc = body_read(&r->body, fields);
	if (rc == 0)
		rc = keeper_rename_user(k, &m, &user);
	return rc == 0 ? reply_json(r, 200, facts_of_user(&user)) : rc;
}

int admin_retire_user(struct request *r, struct keeper *k)
{
	struct msg_user m = { ADMIN(r) };
	struct msg_nothing nothing;
	int rc = request_upn(r, &m.upn);
	if (rc == 0)
		rc = keeper_retire_user(k, &m, &nothing);
	return rc == 0 ? reply_nothing(r, 204) : rc;
}

int admin_revoke_device(struct request *r, struct keeper *k)
{
	struct msg_object m = { ADMIN(r) };
	struct msg_nothing nothing;
	int rc = request_object_id(r, &m.id);
	if (rc == 0)
		rc = keeper_revoke_device(k, &m, &nothing);
	return rc == 0 ? reply_nothing(r, 204) : rc;
}

/* What can be set is that one that is held becomes active. */
int admin_release_device(struct request *r, struct keeper *k)
{
	struct msg_object m = { ADMIN(r) };
	struct msg_device_facts device;
	struct view state = { 0 };
	const struct field fields[] = {
		{ "state", FIELD_TEXT, true, 1, STATE_MAX_BYTES, &state },
		{ 0 },
	};
	int rc = request_object_id(r, &m.id);
	if (rc == 0)
		rc = body_read(&r->body, fields);
	if (rc == 0 && !view_is(state, "active"))
		rc = fail(FAULT_MALFORMED_REQUEST, "state can be set to active alone; DELETE revokes a device");
	if (rc == 0)
		rc = keeper_release_device(k, &m, &device);
	return rc == 0 ? reply_json(r, 200, facts_of_device(&device)) : rc;
}

/* ---- tokens ---- */

static void put_expiry(struct buf *b, int64_t expires_at)
{
	char text[TIME_TEXT + 1];
	time_format(expires_at, text);
	if (expires_at)
		buf_printf(b, ",\"expiresAt\":\"%s\"}", text);
	else
		buf_put_text(b, ",\"expiresAt\":null}");
}

static int reply_token(struct request *r, const struct msg_token_made *m, const char *name, const char *role)
{
	struct buf *body;
	int rc = begin_secret_answer(m->token_secret, &body);
	if (rc < 0)
		return rc;
	buf_put_text(body, "{\"id\":");
	json_quote(m->id, body);
	buf_put_text(body, ",\"token\":");
	json_quote(m->token_secret, body);
	buf_put_text(body, ",\"name\":");
	json_quote(view_text(name), body);
	buf_put_text(body, ",\"role\":");
	json_quote(view_text(role), body);
	put_expiry(body, m->expires_at);
	return reply_bytes(r, 201, "application/json", body, buf_view(body));
}

int admin_add_token(struct request *r, struct keeper *k)
{
	struct msg_token m = { ADMIN(r) };
	struct msg_token_made made;
	char name[NAME_MAX_BYTES + 1] = "", role[ROLE_MAX_BYTES + 1] = ""; /* the body is gone once the call is sent */
	const struct field fields[] = {
		{ "name", FIELD_TEXT, true, 1, NAME_MAX_BYTES, &m.name },
		{ "role", FIELD_TEXT, true, 1, ROLE_MAX_BYTES, &m.role },
		{ "expiresIn", FIELD_NUMBER, false, 1, TOKEN_SECONDS_MAX, &m.expires_in },
		{ 0 },
	};
	int rc = body_read(&r->body, fields);
	if (rc == 0 && (!text_copy(m.name, name, sizeof name) || !text_copy(m.role, role, sizeof role)))
		rc = fail(FAULT_INTERNAL, "a name is longer than its field allows");
	if (rc == 0)
		rc = keeper_add_token(k, &m, &made);
	return rc == 0 ? reply_token(r, &made, name, role) : rc;
}

int admin_tokens(struct request *r, struct keeper *k)
{
	const struct msg_admin m = { ADMIN(r) };
	struct msg_tokens found;
	int rc = keeper_tokens(k, &m, &found);
	return rc == 0 ? reply_list(r, "tokens", found.tokens, facts_token, view_text("")) : rc;
}

int admin_delete_token(struct request *r, struct keeper *k)
{
	struct msg_object m = { ADMIN(r) };
	struct msg_nothing nothing;
	int rc = request_object_id(r, &m.id);
	if (rc == 0)
		rc = keeper_delete_token(k, &m, &nothing);
	return rc == 0 ? reply_nothing(r, 204) : rc;
}

/* ---- the enrolment CA ---- */

int admin_ca(struct request *r, struct keeper *k)
{
	const struct msg_admin m = { ADMIN(r) };
	struct msg_ca ca;
	int rc = keeper_ca(k, &m, &ca);
	if (rc != 0)
		return rc;
	return reply_bytes(r, 200, "application/x-pem-file", keeper_take_answer(k), ca.pem);
}
