/* The tables devices, device_certificates and enrolments. Keeper only. Decides whether a device may pull. */
#include "devices.h"

#include "encode.h"
#include "fault.h"
#include "seal.h"
#include "wallclock.h"

#include <stdio.h>

void shown_done(struct shown *shown)
{
	row_device_certificate_done(&shown->certificate);
	row_device_done(&shown->device);
	row_user_done(&shown->user);
}

int devices_get(const struct keyring *keyring, struct connection *c, struct view id, struct row_device *ret,
		int64_t *ret_last_pull_at)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_device_get, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, id);
	rc = statement_step(s);
	if (rc == 0)
		return fail(FAULT_NOT_FOUND, "there is no device %.*s", (int)id.len, (const char *)id.p);
	if (rc > 0)
		rc = load_device(keyring, s, ret);
	if (rc == 0)
		*ret_last_pull_at = column_number(s, columns_device + 1);
	return rc;
}

static int certificate_by_fingerprint(const struct keyring *keyring, struct connection *c, struct view fingerprint,
				      struct row_device_certificate *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_device_certificate_get, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, fingerprint);
	rc = statement_step(s);
	if (rc == 0)
		return fail(FAULT_UNAUTHORIZED,
			    "this service did not issue that client certificate, or it was replaced by "
			    "a newer one: enrol the device");
	return rc < 0 ? rc : load_device_certificate(keyring, s, ret);
}

static int check_active(const struct row_device *device, const struct row_user *user)
{
	if (device->state == STATE_HELD)
		return fail(FAULT_FORBIDDEN, "device %.*s is held, because the service was restored from a backup: an "
			    "administrator has to release it", (int)device->id.len, (const char *)device->id.p);
	if (device->state != STATE_ACTIVE)
		return fail(FAULT_FORBIDDEN, "device %.*s was revoked", (int)device->id.len,
			    (const char *)device->id.p);
	if (user->state != STATE_ACTIVE)
		return fail(FAULT_FORBIDDEN, "the user of device %.*s was retired", (int)device->id.len,
			    (const char *)device->id.p);
	return 0;
}

int devices_shown(const struct keeper *k, struct connection *c, struct view fingerprint, int64_t now,
		  struct shown *ret)
{
	const struct keyring *keyring = k->keyring;
	uint8_t digest[32] = { 0 };
	char shown[FINGERPRINT_CHARS + 1] = "", stored[FINGERPRINT_CHARS + 1];
	if (fingerprint.len == sizeof digest)
		hex_encode(fingerprint, shown);
	int rc = certificate_by_fingerprint(keyring, c, view_text(shown), &ret->certificate);
	if (rc == 0)
		rc = digest_sha256(ret->certificate.der, digest);
	hex_encode(view_of(digest, sizeof digest), stored);
	if (rc == 0 && strcmp(shown, stored) != 0)
		rc = fail(FAULT_TAMPERED, "a device certificate is not the one that its record names");
	if (rc == 0 && ret->certificate.not_after < now)
		rc = wallclock_expired(k, FAULT_UNAUTHORIZED, "the client certificate has expired: enrol the device "
							      "again");
	if (rc == 0)
		rc = devices_get(keyring, c, ret->certificate.device_id, &ret->device, &ret->last_pull_at);
	if (rc == 0)
		rc = users_get(keyring, c, ret->device.user_id, &ret->user);
	return rc < 0 ? rc : check_active(&ret->device, &ret->user);
}

int devices_still_active(const struct keyring *keyring, struct connection *c, struct view device_id,
			 struct view user_id)
{
	ROW(device, device);
	ROW(user, user);
	int64_t last_pull_at;
	int rc = devices_get(keyring, c, device_id, &device, &last_pull_at);
	if (rc == 0)
		rc = users_get(keyring, c, user_id, &user);
	return rc < 0 ? rc : check_active(&device, &user);
}

int devices_insert(const struct keyring *keyring, struct connection *c, const struct row_device *device)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	int rc = statement_get(c, SQL_device_insert, &s);
	if (rc == 0)
		rc = bind_device(keyring, s, device, mac);
	return rc < 0 ? rc : statement_run(s);
}

int devices_add_certificate(const struct keyring *keyring, struct connection *c,
			    const struct row_device_certificate *certificate)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	int rc = statement_get(c, SQL_device_certificate_insert, &s);
	if (rc == 0)
		rc = bind_device_certificate(keyring, s, certificate, mac);
	return rc < 0 ? rc : statement_run(s);
}

int devices_newest_certificate(const struct keyring *keyring, struct connection *c, struct view id,
			       struct row_device_certificate *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_device_certificates_of, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, id);
	rc = statement_step(s);
	if (rc == 0)
		return fail(FAULT_TAMPERED, "the certificate of device %.*s is gone", (int)id.len, (const char *)id.p);
	return rc < 0 ? rc : load_device_certificate(keyring, s, ret);
}

int devices_certificate_for(const struct keyring *keyring, struct connection *c, struct view id, struct view csr_sha256,
			    struct row_device_certificate *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_device_certificates_of, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, id);
	while ((rc = statement_step(s)) > 0) {
		rc = load_device_certificate(keyring, s, ret);
		if (rc < 0 || view_equal(ret->csr_sha256, csr_sha256))
			return rc;
	}
	return rc < 0 ? rc : fail(FAULT_NOT_FOUND, "the certificate was replaced");
}

int devices_successor(const struct keyring *keyring, struct connection *c, struct view id, struct view fingerprint,
		      struct row_device_certificate *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_device_certificate_successor, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, id);
	bind_text(s, 2, fingerprint);
	rc = statement_step(s);
	if (rc == 0)
		return fail(FAULT_NOT_FOUND, "the certificate was not renewed");
	return rc < 0 ? rc : load_device_certificate(keyring, s, ret);
}

int devices_end_certificate(struct keeper *k, struct connection *c, const struct row_device *device,
			    struct view fingerprint, struct view request_id)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_device_certificate_delete, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, fingerprint);
	rc = statement_run(s);
	if (rc < 0 || rows_changed(c) == 0)
		return rc;
	const struct audit_record r = { .event = "certificate.end", .actor = device->id, .user_id = device->user_id,
					.object = fingerprint, .detail = device->id, .request_id = request_id };
	return audit_append(k, c, &r);
}

struct confirmation {
	struct keeper *k;
	const struct shown *shown;
	struct view request_id;
};

static int confirm(struct connection *c, void *arg)
{
	const struct confirmation *a = arg;
	struct row_device_certificate row = a->shown->certificate;
	STATEMENT s = NULL;
	uint8_t mac[32];
	row.replaces = view_text(NULL);
	int rc = mac_device_certificate(a->k->keyring, &row, mac);
	if (rc == 0)
		rc = statement_get(c, SQL_device_certificate_confirm, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, row.fingerprint);
	bind_blob(s, 2, view_of(mac, sizeof mac));
	rc = statement_run(s);
	if (rc < 0 || rows_changed(c) == 0)
		return rc;
	return devices_end_certificate(a->k, c, &a->shown->device, a->shown->certificate.replaces, a->request_id);
}

int devices_confirm(struct keeper *k, const struct shown *shown, struct view request_id)
{
	struct confirmation a = { .k = k, .shown = shown, .request_id = request_id };
	return shown->certificate.replaces.len == 0 ? 0 : db_write(k->db, confirm, &a);
}

int devices_check_room(struct connection *c, struct view user_id)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_user_count_not_revoked_devices, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, user_id);
	rc = statement_step(s);
	if (rc > 0 && column_number(s, 0) >= DEVICES_PER_USER_MAX)
		return fail(FAULT_CONFLICT, "the user has %d devices already: revoke one first", DEVICES_PER_USER_MAX);
	return rc < 0 ? rc : 0;
}

int devices_set_state(struct keeper *k, struct connection *c, const struct actor *actor, struct row_device *device,
		      enum state state)
{
	static const char *const events[] = {
		[STATE_ACTIVE] = "device.release", [STATE_REVOKED] = "device.revoke", [STATE_HELD] = "device.hold",
	};
	STATEMENT s = NULL;
	uint8_t mac[32];
	device->state = state;
	int rc = mac_device(k->keyring, device, mac);
	if (rc == 0)
		rc = statement_get(c, SQL_device_set_state, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, device->id);
	bind_number(s, 2, device->state);
	bind_blob(s, 3, view_of(mac, sizeof mac));
	rc = statement_run(s);
	if (rc == 0 && rows_changed(c) != 1)
		rc = fail(FAULT_TAMPERED, "device %.*s could not be changed", (int)device->id.len,
			  (const char *)device->id.p);
	const struct audit_record r = { .event = events[state], .actor = actor->id, .user_id = device->user_id,
					.object = device->id, .request_id = actor->request_id };
	return rc < 0 ? rc : audit_append(k, c, &r);
}

static int revoke(struct keeper *k, struct connection *c, const struct actor *actor, struct row_device *device)
{
	int rc = devices_set_state(k, c, actor, device, STATE_REVOKED);
	if (rc == 0)
		atomic_fetch_add(&k->counters.revocations, 1);
	return rc;
}

int devices_revoke(struct keeper *k, struct connection *c, const struct actor *actor, struct view id)
{
	ROW(device, device);
	int64_t last_pull_at;
	int rc = devices_get(k->keyring, c, id, &device, &last_pull_at);
	if (rc < 0 || device.state == STATE_REVOKED)
		return rc;
	return revoke(k, c, actor, &device);
}

/* One after the other: revoking changes the row under a statement that is still open. */
int devices_revoke_all(struct keeper *k, struct connection *c, const struct actor *actor, struct view user_id)
{
	for (;;) {
		ROW(device, device);
		STATEMENT s = NULL;
		int rc = statement_get(c, SQL_device_not_revoked_of_user, &s);
		if (rc < 0)
			return rc;
		bind_text(s, 1, user_id);
		rc = statement_step(s);
		if (rc <= 0)
			return rc;
		rc = load_device(k->keyring, s, &device);
		statement_done(s);
		if (rc == 0)
			rc = revoke(k, c, actor, &device);
		if (rc < 0)
			return rc;
	}
}

int devices_put_facts(const struct keyring *keyring, struct connection *c, const struct row_device *device,
		      int64_t last_pull_at, struct buf *ret)
{
	static const char *const states[] = {
		[STATE_ACTIVE] = "active", [STATE_REVOKED] = "revoked", [STATE_HELD] = "held",
	};
	ROW(user, user);
	ROW(device_certificate, certificate);
	int rc = users_get(keyring, c, device->user_id, &user);
	if (rc == 0)
		rc = devices_newest_certificate(keyring, c, device->id, &certificate);
	const struct msg_device_facts facts = {
		.id = device->id, .user = user.upn, .name = device->name, .platform = device->platform,
		.state = view_text(states[device->state]),
		.enrolled_at = device->enrolled_at, .not_after = certificate.not_after, .last_pull_at = last_pull_at,
	};
	return rc < 0 ? rc : put_device_facts(ret, &facts);
}

/* A cursor is "seconds.id" of the last device of the page before. An empty one leaves the outputs at the beginning. */
static int parse_cursor(struct view cursor, int64_t *ret_enrolled_at, struct view *ret_id)
{
	const uint8_t *dot = cursor.len ? memchr(cursor.p, '.', cursor.len) : NULL;
	size_t digits = dot ? (size_t)(dot - cursor.p) : 0;
	uint64_t seconds = 0;
	*ret_id = dot ? view_of(dot + 1, cursor.len - digits - 1) : view_text(NULL);
	if (cursor.len && (!dot || !number_parse(view_of(cursor.p, digits), INT64_MAX, &seconds) ||
			   !uuid_is_valid(*ret_id)))
		return fail(FAULT_MALFORMED_REQUEST, "cursor is not one that this service gave");
	if (cursor.len)
		*ret_enrolled_at = (int64_t)seconds;
	return 0;
}

static int query_page(struct connection *c, const struct row_user *user, struct view after, uint32_t limit,
		      struct statement **ret)
{
	int64_t enrolled_at = INT64_MIN;
	struct view id;
	int n = 1, rc = parse_cursor(after, &enrolled_at, &id);
	if (rc == 0)
		rc = statement_get(c, user ? SQL_devices_of_user : SQL_devices_after, ret);
	if (rc < 0)
		return rc;
	if (user)
		bind_text(*ret, n++, user->id);
	bind_number(*ret, n++, enrolled_at);
	bind_text(*ret, n++, id);
	bind_number(*ret, n, (int64_t)limit + 1);
	return 0;
}

int devices_put_page(const struct keyring *keyring, struct connection *c, const struct row_user *user,
		     struct view after, uint32_t limit, struct buf *ret, char ret_more[static DEVICE_CURSOR_MAX])
{
	STATEMENT s = NULL;
	char last[DEVICE_CURSOR_MAX] = "";
	uint32_t n = 0;
	int rc = query_page(c, user, after, limit, &s);
	ret_more[0] = '\0';
	while (rc == 0 && (rc = statement_step(s)) > 0) {
		ROW(device, device);
		if (n++ == limit) {
			strcpy(ret_more, last);
			return 0;
		}
		rc = load_device(keyring, s, &device);
		if (rc == 0)
			rc = devices_put_facts(keyring, c, &device, column_number(s, columns_device + 1), ret);
		if (rc == 0)
			snprintf(last, sizeof last, "%lld.%.*s", (long long)device.enrolled_at, (int)device.id.len,
				 (const char *)device.id.p);
	}
	return rc;
}

int enrolments_find(const struct keyring *keyring, struct connection *c, struct view token_secret,
		    struct row_enrolment *ret)
{
	STATEMENT s = NULL;
	uint8_t hash[32];
	int rc = digest_sha256(token_secret, hash);
	if (rc == 0)
		rc = statement_get(c, SQL_enrolment_get, &s);
	if (rc < 0)
		return rc;
	bind_blob(s, 1, view_of(hash, sizeof hash));
	rc = statement_step(s);
	if (rc == 0)
		return fail(FAULT_UNAUTHORIZED, "this enrolment token is unknown: ask an administrator for a new one");
	return rc < 0 ? rc : load_enrolment(keyring, s, ret);
}

int enrolments_insert(const struct keyring *keyring, struct connection *c, const struct row_enrolment *row)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	int rc = statement_get(c, SQL_enrolment_insert, &s);
	if (rc == 0)
		rc = bind_enrolment(keyring, s, row, mac);
	return rc < 0 ? rc : statement_run(s);
}

int enrolments_spend(const struct keyring *keyring, struct connection *c, const struct row_enrolment *spent)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	int rc = mac_enrolment(keyring, spent, mac);
	if (rc == 0)
		rc = statement_get(c, SQL_enrolment_spend, &s);
	if (rc < 0)
		return rc;
	bind_blob(s, 1, spent->token_sha256);
	bind_number(s, 2, spent->spent_at);
	bind_text(s, 3, spent->device_id);
	bind_blob(s, 4, spent->csr_sha256);
	bind_blob(s, 5, view_of(mac, sizeof mac));
	rc = statement_run(s);
	if (rc == 0 && rows_changed(c) != 1)
		rc = fail(FAULT_AGAIN, "the enrolment token was spent in the meantime");
	return rc;
}
