/* The devices' interface. Front. It hands bundles on that it can not read. */
#include "device.h"

#include "facts.h"
#include "fault.h"
#include "keeper_client.h"
#include "request.h"

#include <string.h>

/* What every message of a device but the first begins with. */
#define DEVICE(r) .request_id = view_text((r)->id), .fingerprint = view_of((r)->fingerprint, FINGERPRINT_BYTES)

static int reply_enrolled(struct request *r, const struct msg_enrolled *m)
{
	text_copy(m->device_id, r->device_id, sizeof r->device_id);
	json_t *answer = json_pack("{s:o, s:o, s:o}", "deviceId", json_text(m->device_id), "certificate",
				   json_text(m->certificate), "chain", json_text(m->chain));
	return reply_json(r, 201, answer);
}

int device_enroll(struct request *r, struct keeper *k)
{
	struct msg_enroll m = { .request_id = view_text(r->id) };
	struct msg_enrolled enrolled;
	const struct field fields[] = {
		{ "token", FIELD_SECRET, true, 0, BODY_SMALL_MAX_BYTES, &m.token_secret },
		{ "csr", FIELD_PEM, true, 1, CSR_MAX_BYTES, &m.csr },
		{ 0 },
	};
	int rc = body_read(&r->body, fields);
	if (rc == 0 && m.token_secret.len > TOKEN_MAX_BYTES)
		rc = fail(FAULT_UNAUTHORIZED, "there is no such enrolment token");
	if (rc == 0)
		rc = keeper_enroll(k, &m, &enrolled);
	return rc == 0 ? reply_enrolled(r, &enrolled) : rc;
}

int device_certificates(struct request *r, struct keeper *k)
{
	const struct msg_device m = { DEVICE(r) };
	struct msg_identities found;
	json_t *certificates;
	int rc = keeper_certificates(k, &m, &found);
	if (rc == 0)
		rc = facts_list(found.identities, facts_identity, &certificates);
	return rc == 0 ? reply_json(r, 200, json_pack("{s:o}", "certificates", certificates)) : rc;
}

int device_bundle(struct request *r, struct keeper *k)
{
	struct msg_bundle m = { DEVICE(r), .if_none_match = view_text(r->if_none_match) };
	struct msg_bundled bundled;
	const char *cms = uri_query(&r->uri, "cms");
	if (cms && strcmp(cms, "enveloped") != 0)
		return fail(FAULT_MALFORMED_REQUEST, "cms can only be \"enveloped\"");
	m.enveloped = cms != NULL;
	int rc = keeper_bundle(k, &m, &bundled);
	if (rc != 0)
		return rc;
	rc = reply_bytes(r, bundled.not_modified ? 304 : 200, "application/cms", keeper_take_answer(k), bundled.cms);
	if (bundled.not_modified)
		r->reply.type = NULL;
	r->reply.etag = bundled.etag;
	r->reply.retry_after = bundled.retry_after;
	return rc;
}

/* ---- receipts ---- */

static int put_one(struct request *r, json_t *thumbprint, bool installed, struct view error)
{
	uint8_t bytes[THUMBPRINT_MAX_BYTES];
	struct view text = json_is_string(thumbprint) ? view_text(json_string_value(thumbprint)) : view_text("");
	size_t len = thumbprint_decode(text, bytes);
	if (len == 0)
		return fail(FAULT_MALFORMED_REQUEST, "a thumbprint is a string of 40 or 64 hexadecimal digits");
	const struct msg_receipt m = { .thumbprint = view_of(bytes, len), .installed = installed, .error = error };
	return put_receipt(r->body.list, &m);
}

static int put_installed(struct request *r, json_t *installed)
{
	size_t i;
	json_t *one;
	json_array_foreach(installed, i, one) {
		int rc = put_one(r, one, true, view_text(""));
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int put_failed(struct request *r, json_t *failed)
{
	size_t i;
	json_t *one;
	json_array_foreach(failed, i, one) {
		struct view thumbprint, error;
		const struct field fields[] = {
			{ "thumbprint", FIELD_TEXT, true, 1, 2 * THUMBPRINT_MAX_BYTES, &thumbprint },
			{ "error", FIELD_TEXT, true, 0, RECEIPT_ERROR_MAX_BYTES, &error },
			{ 0 },
		};
		if (!json_is_object(one))
			return fail(FAULT_MALFORMED_REQUEST, "failed must be an array of objects");
		int rc = body_read_object(&r->body, one, fields);
		if (rc == 0)
			rc = put_one(r, json_object_get(one, "thumbprint"), false, error);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int take_receipts(struct request *r)
{
	json_t *installed = NULL, *failed = NULL;
	const struct field fields[] = {
		{ "installed", FIELD_ARRAY, false, 0, 0, &installed },
		{ "failed", FIELD_ARRAY, false, 0, 0, &failed },
		{ 0 },
	};
	int rc = body_read(&r->body, fields);
	if (rc != 0)
		return rc;
	if (!installed && !failed)
		return fail(FAULT_MALFORMED_REQUEST, "one of the fields installed and failed must be there");
	if (json_array_size(installed) + json_array_size(failed) > RECEIPTS_MAX)
		return fail(FAULT_MALFORMED_REQUEST, "more than %d receipts at a time", RECEIPTS_MAX);
	r->body.list = buf_new(MIB);
	if (!r->body.list)
		return fail(FAULT_INTERNAL, "no memory for receipts");
	rc = put_installed(r, installed);
	return rc == 0 ? put_failed(r, failed) : rc;
}

int device_receipts(struct request *r, struct keeper *k)
{
	struct msg_receipts m = { DEVICE(r) };
	struct msg_nothing nothing;
	int rc = take_receipts(r);
	if (rc != 0)
		return rc;
	m.receipts = buf_view(r->body.list);
	rc = keeper_receipts(k, &m, &nothing);
	return rc == 0 ? reply_nothing(r, 204) : rc;
}

/* ---- renewal ---- */

int device_renew(struct request *r, struct keeper *k)
{
	struct msg_renew m = { DEVICE(r) };
	struct msg_enrolled enrolled;
	const struct field fields[] = {
		{ "csr", FIELD_PEM, true, 1, CSR_MAX_BYTES, &m.csr },
		{ "signature", FIELD_BASE64, true, 1, SIGNATURE_MAX_BYTES, &m.signature },
		{ 0 },
	};
	int rc = body_read(&r->body, fields);
	if (rc == 0)
		rc = keeper_renew(k, &m, &enrolled);
	return rc == 0 ? reply_enrolled(r, &enrolled) : rc;
}
