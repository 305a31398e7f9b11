/* Answers the verbs of the local socket, and tells /metrics what ends when. Keeper only. Counts and times, never the
 * name of a person. */
#include "inspect.h"

#include "audit.h"
#include "ca.h"
#include "certificate.h"
#include "clock.h"
#include "fault.h"
#include "protocol.h"
#include "seal.h"
#include "serve.h"
#include "text.h"

enum { DAY_SECONDS = 86400, ENDING_METRICS = 3 };

/* ---- counting ---- */

/* Of active devices, by the newest certificate of each. */
struct ends {
	uint64_t ended, in_7, in_30, in_90;
};

static int count_ends(struct connection *c, struct ends *ret)
{
	STATEMENT s = NULL;
	int64_t now = now_seconds();
	int rc = statement_get(c, SQL_inspect_ends, &s);
	if (rc < 0)
		return rc;
	bind_number(s, 1, now);
	bind_number(s, 2, now + 7 * DAY_SECONDS);
	bind_number(s, 3, now + 30 * DAY_SECONDS);
	bind_number(s, 4, now + 90 * DAY_SECONDS);
	rc = statement_step(s);
	if (rc <= 0)
		return rc < 0 ? rc : fail(FAULT_INTERNAL, "nothing was counted");
	ret->ended = (uint64_t)column_number(s, 0);
	ret->in_7 = (uint64_t)column_number(s, 1) - ret->ended;
	ret->in_30 = (uint64_t)column_number(s, 2) - ret->ended;
	ret->in_90 = (uint64_t)column_number(s, 3) - ret->ended;
	return 0;
}

void inspect_count(struct keeper *k)
{
	READER c = NULL;
	int64_t identities;
	struct ends ends = { 0 };
	int64_t now_ms = clock_ms();
	uint64_t changes = atomic_load(&k->counters.imports) + atomic_load(&k->counters.deletions);
	int64_t counted_ms = atomic_load(&k->counted_ms);
	bool due = !counted_ms || now_ms - counted_ms >= INSPECT_COUNT_SECONDS * 1000;
	if (!due && changes == k->counted_changes)
		return;
	if (db_read(k->db, &c) < 0 || statement_number(c, SQL_identities_count, &identities) < 0)
		return;
	k->counted_changes = changes;
	atomic_store(&k->identities, (uint64_t)identities);
	if (!due || count_ends(c, &ends) < 0)
		return;
	atomic_store(&k->ending_7, ends.in_7);
	atomic_store(&k->ending_30, ends.in_30);
	atomic_store(&k->ending_90, ends.in_90);
	atomic_store(&k->counted_ms, now_ms);
}

int inspect_put_metrics(struct keeper *k, struct buf *ret)
{
	static const char ending[] = "Active devices whose certificate ends within so many days";
	const struct msg_health_metric metrics[] = {
		{ view_text("ca_not_after_seconds"), view_text(""), 0,
		  (uint64_t)certificate_ends(keyring_ca_certificate(k->keyring, 0)),
		  view_text("When the enrolment CA ends, in seconds since 1970") },
		{ view_text("signer_not_after_seconds"), view_text(""), 0,
		  (uint64_t)certificate_ends(keyring_signer_certificate(k->keyring, 0)),
		  view_text("When the bundle signer ends, in seconds since 1970") },
		{ view_text("identities_verified"), view_text(""), 0, atomic_load(&k->verified),
		  view_text("Identities that the last pfxctl verify looked at") },
		{ view_text("identities_readable"), view_text(""), 0, atomic_load(&k->readable),
		  view_text("Of them, those that can be read, and whose key fits") },
		{ view_text("identities_verified_at_seconds"), view_text(""), 0, (uint64_t)atomic_load(&k->verified_at),
		  view_text("When that was, in seconds since 1970; 0: never") },
		{ view_text("device_certificates_ending"), view_text("days=\"7\""), 0, atomic_load(&k->ending_7),
		  view_text(ending) },
		{ view_text("device_certificates_ending"), view_text("days=\"30\""), 0, atomic_load(&k->ending_30),
		  view_text(ending) },
		{ view_text("device_certificates_ending"), view_text("days=\"90\""), 0, atomic_load(&k->ending_90),
		  view_text(ending) },
	};
	size_t count = sizeof metrics / sizeof metrics[0];
	if (!atomic_load(&k->counted_ms)) /* the last three are not known yet: nothing is no zero */
		count -= ENDING_METRICS;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = put_health_metric(ret, &metrics[i]);
	return rc;
}

/* ---- answers ---- */

int answer_verify(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	struct msg_nothing m;
	int rc = read_nothing(fields, &m);
	return rc < 0 ? rc : audit_put_verification(k, answer);
}

static int fill_counts(struct connection *c, struct msg_inspection *ret)
{
	STATEMENT s = NULL;
	struct ends ends = { 0 };
	int64_t identities = 0;
	int rc = statement_get(c, SQL_inspect_counts, &s);
	if (rc == 0)
		rc = statement_step(s);
	if (rc <= 0)
		return rc < 0 ? rc : fail(FAULT_INTERNAL, "nothing was counted");
	ret->users = (uint64_t)column_number(s, 0);
	ret->devices = (uint64_t)column_number(s, 1);
	ret->last_record_at = column_number(s, 2);
	ret->held = (uint64_t)column_number(s, 3);
	rc = statement_number(c, SQL_identities_count, &identities);
	ret->identities = (uint64_t)identities;
	if (rc == 0)
		rc = count_ends(c, &ends);
	ret->ended = ends.ended;
	ret->ending_7 = ends.in_7;
	ret->ending_30 = ends.in_30;
	ret->ending_90 = ends.in_90;
	return rc;
}

static int fill_keyring(const struct keyring *keyring, uint8_t ca_sha256[static FINGERPRINT_BYTES],
			struct msg_inspection *ret)
{
	X509 *ca = keyring_ca_certificate(keyring, 0);
	BUF der = buf_new(CERTIFICATE_MAX_BYTES);
	int rc = der ? ca_encode(ca, der) : fail(FAULT_UNAVAILABLE, "no memory for a certificate");
	if (rc == 0)
		rc = digest_sha256(buf_view(der), ca_sha256);
	ret->ca = view_of(ca_sha256, FINGERPRINT_BYTES);
	ret->ca_not_after = certificate_ends(ca);
	ret->signer_not_after = certificate_ends(keyring_signer_certificate(keyring, 0));
	return rc;
}

/* A file that is damaged is what this is to tell, so the numbers that can not be read from it are left at 0. */
static int fill_database(struct keeper *k, char why[static HEALTH_TEXT_MAX_BYTES + 1], struct msg_inspection *ret)
{
	READER c = NULL;
	ret->database = view_text(db_path(k->db));
	int rc = db_read(k->db, &c);
	if (rc == 0)
		rc = db_size(c, &ret->schema, &ret->database_bytes);
	if (rc == 0)
		rc = db_check(c, INSPECT_CHECK_SECONDS);
	if (rc == -FAULT_TIMED_OUT) {
		ret->state = DATABASE_NOT_LOOKED_AT;
		rc = 0;
	}
	if (rc == 0)
		rc = fill_counts(c, ret);
	if (rc == -FAULT_TAMPERED) {
		ret->state = DATABASE_DAMAGED;
		snprintf(why, HEALTH_TEXT_MAX_BYTES + 1, "%.*s", HEALTH_TEXT_MAX_BYTES, fault_detail());
		ret->damage = view_text(why);
		rc = 0;
	}
	return rc;
}

int answer_inspect(struct keeper *k, const struct caller *who, struct view fields, struct buf *answer)
{
	(void)who;
	struct msg_nothing m;
	struct msg_inspection message = { .state = DATABASE_WHOLE, .to_rewrap = atomic_load(&k->to_rewrap) };
	uint8_t ca_sha256[FINGERPRINT_BYTES];
	char why[HEALTH_TEXT_MAX_BYTES + 1];
	int rc = read_nothing(fields, &m);
	if (rc == 0)
		rc = fill_keyring(k->keyring, ca_sha256, &message);
	message.verified_at = atomic_load(&k->verified_at);
	message.verified = atomic_load(&k->verified);
	message.readable = atomic_load(&k->readable);
	if (rc == 0)
		rc = fill_database(k, why, &message);
	return rc < 0 ? rc : put_inspection(answer, &message);
}
