/* Facts from the keeper, written as JSON. Front. It adds nothing to them and leaves nothing out. */
#include "facts.h"

#include "encode.h"
#include "fault.h"
#include "text.h"

json_t *json_text(struct view v)
{
	return json_stringn((const char *)v.p, v.len);
}

json_t *json_text_or_null(struct view v)
{
	return v.len ? json_text(v) : json_null();
}

json_t *json_time(int64_t seconds)
{
	char text[TIME_TEXT + 1];
	time_format(seconds, text);
	return json_string(text);
}

json_t *json_time_or_null(int64_t seconds)
{
	return seconds ? json_time(seconds) : json_null();
}

static json_t *json_hex(struct view v)
{
	char text[2 * THUMBPRINT_MAX_BYTES + 1] = "";
	if (v.len <= THUMBPRINT_MAX_BYTES)
		hex_encode(v, text);
	return json_string(text);
}

static json_t *json_usages(uint8_t set)
{
	json_t *array = json_array();
	if (set & USAGE_ENCRYPTION)
		json_array_append_new(array, json_string("encryption"));
	if (set & USAGE_SIGNING)
		json_array_append_new(array, json_string("signing"));
	return array;
}

int facts_list(struct view list, facts_reader *read, json_t **ret)
{
	json_t *array = json_array();
	while (list.len > 0) {
		json_t *one = NULL;
		int rc = read(&list, &one);
		if (rc == 0 && json_array_append_new(array, one) < 0)
			rc = fail(FAULT_INTERNAL, "no memory for an answer");
		if (rc != 0) {
			json_decref(array);
			return rc;
		}
	}
	*ret = array;
	return 0;
}

int facts_string(struct view *v, json_t **ret)
{
	struct msg_string m;
	int rc = get_string(v, &m);
	if (rc == 0)
		*ret = json_text(m.value);
	return rc;
}

int facts_identity(struct view *v, json_t **ret)
{
	struct msg_identity_facts m;
	json_t *emails = NULL;
	int rc = get_identity_facts(v, &m);
	if (rc == 0)
		rc = facts_list(m.emails, facts_string, &emails);
	if (rc != 0)
		return rc;
	*ret = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "id", json_text(m.id), "thumbprint", json_hex(m.sha1), "thumbprintSha256", json_hex(m.sha256),
			 "subject", json_text(m.subject), "issuer", json_text(m.issuer),
			 "serialNumber", json_text(m.serial), "notBefore", json_time(m.not_before),
			 "notAfter", json_time(m.not_after), "usages", json_usages(m.usages),
			 "currentFor", json_usages(m.current_for), "keyAlgorithm", json_text(m.key_algorithm),
			 "emails", emails, "importedAt", json_time(m.imported_at));
	return 0;
}

int facts_warning(struct view *v, json_t **ret)
{
	struct msg_warning m;
	int rc = get_warning(v, &m);
	if (rc != 0)
		return rc;
	*ret = json_pack("{s:o, s:o}", "code", json_text(m.code), "detail", json_text(m.detail));
	if (m.thumbprint.len > 0)
		json_object_set_new(*ret, "thumbprint", json_hex(m.thumbprint));
	return 0;
}

json_t *facts_of_user(const struct msg_user_facts *m)
{
	json_t *aliases = NULL;
	if (facts_list(m->aliases, facts_string, &aliases) < 0)
		return NULL;
	return json_pack("{s:o, s:o, s:o, s:I, s:I}", "id", json_text(m->id), "upn", json_text(m->upn),
			 "aliases", aliases, "identities", (json_int_t)m->identities,
			 "devices", (json_int_t)m->devices);
}

int facts_user(struct view *v, json_t **ret)
{
	struct msg_user_facts m;
	int rc = get_user_facts(v, &m);
	if (rc == 0)
		*ret = facts_of_user(&m);
	return rc;
}

json_t *facts_of_device(const struct msg_device_facts *m)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "id", json_text(m->id), "user", json_text(m->user), "name", json_text(m->name),
			 "platform", json_text(m->platform), "state", json_text(m->state),
			 "enrolledAt", json_time(m->enrolled_at), "notAfter", json_time(m->not_after),
			 "lastPullAt", json_time_or_null(m->last_pull_at));
}

int facts_device(struct view *v, json_t **ret)
{
	struct msg_device_facts m;
	int rc = get_device_facts(v, &m);
	if (rc == 0)
		*ret = facts_of_device(&m);
	return rc;
}

int facts_token(struct view *v, json_t **ret)
{
	struct msg_token_facts m;
	int rc = get_token_facts(v, &m);
	if (rc != 0)
		return rc;
	*ret = json_pack("{s:o, s:o, s:o, s:o, s:o}",
			 "id", json_text(m.id), "name", json_text(m.name), "role", json_text(m.role),
			 "createdAt", json_time(m.created_at), "expiresAt", json_time_or_null(m.expires_at));
	return 0;
}

int facts_audit(struct view *v, json_t **ret)
{
	struct msg_audit_facts m;
	int rc = get_audit_facts(v, &m);
	if (rc != 0)
		return rc;
	*ret = json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "sequence", (json_int_t)m.sequence, "at", json_time(m.at), "event", json_text(m.event),
			 "actor", json_text_or_null(m.actor), "user", json_text_or_null(m.user),
			 "object", json_text_or_null(m.object), "detail", json_text_or_null(m.detail),
			 "requestId", json_text_or_null(m.request_id));
	return 0;
}

static int facts_holder(struct view *v, json_t **ret)
{
	static const char *const words[] = { [HOLDS_NOT] = "no", [HOLDS_DELIVERED] = "delivered",
					     [HOLDS_INSTALLED] = "installed", [HOLDS_FAILED] = "failed" };
	struct msg_holder m;
	json_t *device = NULL;
	int rc = get_holder(v, &m);
	if (rc == 0)
		rc = facts_device(&m.device, &device);
	if (rc != 0)
		return rc;
	*ret = json_pack("{s:o, s:s, s:o}", "device", device, "holds", words[m.holds],
			 "receiptAt", json_time_or_null(m.at));
	if (m.holds == HOLDS_FAILED)
		json_object_set_new(*ret, "error", json_text(m.error));
	return 0;
}

int facts_found_identity(struct view *v, json_t **ret)
{
	struct msg_found_identity m;
	json_t *certificate = NULL, *devices = NULL;
	int rc = get_found_identity(v, &m);
	if (rc == 0)
		rc = facts_identity(&m.identity, &certificate);
	if (rc == 0)
		rc = facts_list(m.holders, facts_holder, &devices);
	if (rc != 0) {
		json_decref(certificate);
		return rc;
	}
	*ret = json_pack("{s:o, s:o, s:o}", "user", json_text(m.user), "certificate", certificate, "devices", devices);
	return 0;
}
