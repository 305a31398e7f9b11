/* What a restore does to devices and enrolment tokens, and how a device is released. Keeper only. A backup knows
 * nothing of what was revoked or spent after it, so nobody is let in on its word alone. */
#include "devices.h"

#include "fault.h"
#include "serve.h"

/* One after the other, because the change is of the table that is read. */
int devices_hold_all(struct keeper *k, struct connection *c, const struct actor *actor, uint64_t *ret_count)
{
	char last[UUID_TEXT + 1] = "";
	for (*ret_count = 0;; ++*ret_count) {
		ROW(device, device);
		STATEMENT s = NULL;
		int rc = statement_get(c, SQL_device_active_after, &s);
		if (rc < 0)
			return rc;
		bind_text(s, 1, view_text(last));
		rc = statement_step(s);
		if (rc <= 0)
			return rc;
		rc = load_device(k->keyring, s, &device);
		statement_done(s);
		if (rc == 0 && !text_copy(device.id, last, sizeof last))
			rc = fail(FAULT_TAMPERED, "a device has an id that is none");
		if (rc == 0)
			rc = devices_set_state(k, c, actor, &device, STATE_HELD);
		if (rc < 0)
			return rc;
	}
}

/* 0 is a moment that has always passed, whatever the clock says. */
static int end_enrolment(struct keeper *k, struct connection *c, const struct actor *actor, struct row_enrolment *row)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	row->expires_at = 0;
	int rc = mac_enrolment(k->keyring, row, mac);
	if (rc == 0)
		rc = statement_get(c, SQL_enrolment_end, &s);
	if (rc < 0)
		return rc;
	bind_blob(s, 1, row->token_sha256);
	bind_blob(s, 2, view_of(mac, sizeof mac));
	rc = statement_run(s);
	if (rc == 0 && rows_changed(c) != 1)
		rc = fail(FAULT_TAMPERED, "enrolment %.*s could not be ended", (int)row->id.len,
			  (const char *)row->id.p);
	const struct audit_record r = { .event = "enrolment.end", .actor = actor->id, .user_id = row->user_id,
					.object = row->id, .request_id = actor->request_id };
	return rc < 0 ? rc : audit_append(k, c, &r);
}

/* Those that have expired as well: by which clock, nobody can say. */
int enrolments_end_all(struct keeper *k, struct connection *c, const struct actor *actor, uint64_t *ret_count)
{
	uint8_t last[32] = { 0 };
	for (*ret_count = 0;; ++*ret_count) {
		ROW(enrolment, row);
		STATEMENT s = NULL;
		int rc = statement_get(c, SQL_enrolment_unspent_after, &s);
		if (rc < 0)
			return rc;
		bind_blob(s, 1, view_of(last, sizeof last));
		rc = statement_step(s);
		if (rc <= 0)
			return rc;
		rc = load_enrolment(k->keyring, s, &row);
		statement_done(s);
		if (rc == 0 && row.token_sha256.len != sizeof last)
			rc = fail(FAULT_TAMPERED, "an enrolment has a token that is none");
		if (rc < 0)
			return rc;
		memcpy(last, row.token_sha256.p, sizeof last);
		rc = end_enrolment(k, c, actor, &row);
		if (rc < 0)
			return rc;
	}
}

/* ---- releasing ---- */

struct release {
	struct keeper *k;
	const struct actor *actor;
	struct view id;
	struct buf *answer;
};

/* One that is active already is told as it is, and nothing is recorded. */
static int release(struct connection *c, void *arg)
{
	struct release *r = arg;
	ROW(device, device);
	int64_t last_pull_at = 0;
	int rc = devices_get(r->k->keyring, c, r->id, &device, &last_pull_at);
	if (rc == 0 && device.state == STATE_REVOKED)
		rc = fail(FAULT_CONFLICT, "device %.*s was revoked, and stays so: enrol it again", (int)r->id.len,
			  (const char *)r->id.p);
	if (rc == 0 && device.state == STATE_HELD)
		rc = devices_set_state(r->k, c, r->actor, &device, STATE_ACTIVE);
	return rc < 0 ? rc : devices_put_facts(r->k->keyring, c, &device, last_pull_at, r->answer);
}

int answer_release_device(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	struct msg_object m;
	struct release r = { .k = k, .actor = &who->actor, .answer = answer };
	int rc = read_object(fields, &m);
	r.id = m.id;
	return rc < 0 ? rc : tokens_write(k, &who->token, release, &r);
}
